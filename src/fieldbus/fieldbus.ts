// The field bus of a site: buses, devices and leases put together.

import type { Clock } from '../base/clock.ts';
import { WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Bus, LineTraits, Profile, SiteFile } from '../site/types.ts';
import { type BusOwner, createBus, silenceMs } from './bus.ts';
import { type BusDevice, createDevice, PERIODS, type Periods } from './device.ts';
import { createLeases } from './leases.ts';
import { openableLine } from './line.ts';
import { type BusProxy, shareBus } from './proxy.ts';
import type { Fieldbus, LeaseStore } from './types.ts';

export interface FieldbusOptions {
  readonly site: SiteFile;
  /** Profiles by the name the site file uses. */
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly clock: Clock;
  readonly leases: LeaseStore;
  readonly log: Log;
  /** How often each class of points is read; every second, ten seconds and minute by default. */
  readonly periods?: Periods;
}

/** Errors: `fieldbus.profile` when a profile is missing; `start` throws `fieldbus.share` when a bus cannot be shared on its port. */
export function createFieldbus(options: FieldbusOptions): Fieldbus {
  const { site, profiles, clock, log } = options;
  const buses = new Map(site.buses.map((bus) => [bus.id, ownerOf(bus, linesOn(bus, site, profiles), options)]));
  const devices = new Map<string, BusDevice>(
    site.devices.map((device) => {
      const profile = profiles.get(device.profile);
      const bus = buses.get(device.bus);
      if (profile === undefined || bus === undefined) {
        throw new WattpactError(
          'fieldbus.profile',
          `${device.id}: profile ${device.profile} or bus ${device.bus} is not there`,
        );
      }
      const shared = site.devices.some((other) => other.bus === device.bus && other.id !== device.id);
      return [
        device.id,
        createDevice({ device, profile, bus, shared, clock, log, periods: options.periods ?? PERIODS }),
      ];
    }),
  );
  const leases = createLeases({ site, devices, store: options.leases, clock, log });
  const deviceOf = (id: string): BusDevice => {
    const device = devices.get(id);
    if (device === undefined) throw new WattpactError('fieldbus.device', `there is no device ${id}`);
    return device;
  };

  const proxies: BusProxy[] = [];

  return {
    async start() {
      for (const bus of site.buses) {
        const owner = buses.get(bus.id);
        if (bus.kind === 'rtu' || bus.share === null || owner === undefined) continue;
        proxies.push(await shareBus(owner, bus.share, { clock, log }));
      }
      for (const bus of buses.values()) bus.start();
      leases.recover();
      for (const device of devices.values()) device.start();
    },
    async stop() {
      for (const device of devices.values()) device.stop();
      await leases.stop();
      await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
      await Promise.all([...buses.values()].map((bus) => bus.stop()));
    },
    readings: (id) => deviceOf(id).readings(),
    refresh: (id, measurands) => deviceOf(id).refresh(measurands),
    lease: (id, control, value, ttlMs) => leases.lease(id, control, value, ttlMs),
    release: (id, control) => leases.release(id, control),
  };
}

/** The owner of a bus, as slow and as careful as the most delicate of its devices' lines needs. */
export function ownerOf(bus: Bus, lines: readonly LineTraits[], { clock, log }: { clock: Clock; log: Log }): BusOwner {
  const serial = bus.kind !== 'tcp';
  return createBus({
    id: bus.id,
    line: openableLine(bus),
    inFlightMax: serial ? 1 : Math.max(1, Math.min(...lines.map(({ inFlightMax }) => inFlightMax))),
    silenceMs: bus.kind === 'rtu' ? silenceMs(bus.baud) : 0,
    serial,
    connectDelayMs: Math.max(0, ...lines.map(({ connectDelayMs }) => connectDelayMs)),
    clock,
    log,
  });
}

/** How the devices on a bus want to be talked to. */
export function linesOn(bus: Bus, site: SiteFile, profiles: ReadonlyMap<string, Profile>): LineTraits[] {
  return site.devices
    .filter((device) => device.bus === bus.id)
    .flatMap((device) => profiles.get(device.profile)?.line ?? []);
}
