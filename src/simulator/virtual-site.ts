// A virtual site: its physics behind the Modbus devices of its site file. What a master writes changes what it reads.
//
// Physics is moved when somebody looks (a request, `state`) and at least every TICK_MS, so that a meter with a delay
// has samples to show. Energy follows chain time; watchdogs, lag and delay follow monotonic wall time.

import { WattpactError } from '../base/errors.ts';
import { addedPowerW } from '../site/sg-ready.ts';
import type { Device, Profile, SiteFile } from '../site/types.ts';
import { createServedDevice, type ServedDevice } from './device.ts';
import { createMeter, EXACT } from './measuring.ts';
import { type AnswerUnit, type BusServer, serveSerial, serveTcp } from './modbus/server.ts';
import { createSitePhysics, type SitePhysics } from './physics/site.ts';
import { shownBy } from './shown.ts';
import { loadsBehind, siteModel } from './site-model.ts';
import type { BusAddress, SiteTruth, VirtualSite, VirtualSiteOptions } from './types.ts';

const TICK_MS = 100;
const LOOPBACK = '127.0.0.1';

/** Makes a site; nothing listens before `start`. Errors: `simulator.site` for a device that cannot be served. */
export function createVirtualSite(options: VirtualSiteOptions): VirtualSite {
  const { site, clock, seed = 1 } = options;
  const model = siteModel(site, options.series, {
    inverterLagMs: options.inverterLagMs ?? null,
    initialStateOfChargePercent: options.initialStateOfChargePercent ?? 50,
  });
  const physics = createSitePhysics(model, clock.chainMs(), clock.monotonicMs());
  const meter = createMeter({ ...EXACT, ...options.measuring }, seed);
  const devices = new Map<string, ServedDevice>();
  const servers = new Map<string, BusServer>();
  let timer: NodeJS.Timeout | undefined;

  /** Brings physics up to now. */
  function refresh(): SiteTruth {
    physics.advance(clock.chainMs(), clock.monotonicMs());
    const truth = physics.truth();
    meter.sample(truth, clock.monotonicMs());
    return truth;
  }

  /** Brings what a device shows up to now. */
  function show(device: Device): void {
    const truth = refresh();
    const nowMs = clock.monotonicMs();
    const profile = profileOf(options.profiles, device.profile);
    devices.get(device.id)?.show(shownBy(site, device, profile, truth, meter.shown(nowMs)), nowMs);
  }

  site.devices.forEach((device, i) => {
    const obeyed = obeyWith(physics, site, device.id);
    const hooks = {
      refresh: () => show(device),
      obey(control: string, value: number | null, timeoutMs: number | null) {
        options.onCommand?.(device.id, control, value);
        obeyed(control, value, timeoutMs);
      },
      monotonicMs: () => clock.monotonicMs(),
    };
    const profile = profileOf(options.profiles, device.profile);
    devices.set(device.id, createServedDevice(device, profile, seed * 1000 + i, hooks));
  });
  const unitsByBus = new Map(site.buses.map((bus) => [bus.id, unitsOf(site, bus.id, devices)]));
  site.devices.forEach(show);

  /** A device with its values up to now. */
  function upToDate(id: string): ServedDevice {
    const served = devices.get(id);
    if (served === undefined) throw new WattpactError('simulator.device', `the site ${site.id} has no device ${id}`);
    site.devices.filter((device) => device.id === id).forEach(show);
    return served;
  }

  return {
    async start() {
      const addresses = new Map<string, BusAddress>();
      try {
        for (const bus of site.buses) {
          const units = unitsByBus.get(bus.id) ?? new Map();
          const path = options.serialPaths?.get(bus.id);
          if (bus.kind === 'rtu' && path !== undefined) {
            servers.set(bus.id, await serveSerial(units, { ...bus, baudRate: bus.baud, path, clock }));
            addresses.set(bus.id, { kind: 'rtu', path: bus.path });
            continue;
          }
          const host = options.host ?? LOOPBACK;
          const framing = bus.kind === 'tcp' ? 'tcp' : 'rtu';
          const server = await serveTcp(units, { host, port: options.ports?.get(bus.id) ?? 0, framing, clock });
          servers.set(bus.id, server);
          addresses.set(bus.id, { kind: framing === 'tcp' ? 'tcp' : 'rtu-over-tcp', host, port: server.port });
        }
      } catch (error) {
        await this.stop();
        throw error;
      }
      timer = setInterval(refresh, TICK_MS);
      return addresses;
    },
    async stop() {
      clearInterval(timer);
      for (const device of devices.values()) device.stop();
      await Promise.all([...servers.values()].map((server) => server.close()));
      servers.clear();
    },
    state: refresh,
    setFault(device, fault) {
      upToDate(device).setFault(fault);
    },
    setBusLost(bus, lost) {
      const server = servers.get(bus);
      if (server === undefined) throw new WattpactError('simulator.bus', `the site ${site.id} serves no bus ${bus}`);
      server.setLost(lost);
    },
    setCounter(device, measurand, valueWh) {
      upToDate(device).setCounter(measurand, valueWh);
    },
  };
}

/** What a device's controls do to the site. */
function obeyWith(physics: SitePhysics, site: SiteFile, device: string) {
  const closed = new Set<string>();
  return (control: string, value: number | null, timeoutMs: number | null): void => {
    if (control === 'batterySetpointW') return physics.setBattery(device, value, timeoutMs);
    if (control === 'generationLimitW') return physics.setGenerationLimit(device, value, timeoutMs);
    if (value === 1) closed.add(control);
    else closed.delete(control);
    for (const load of loadsBehind(site, device, control)) {
      if (load.block !== null) {
        const powers = { recommendedW: load.powersW[0] ?? load.ratedW, forcedW: load.ratedW };
        physics.setLoad(load.id, addedPowerW(powers, closed.has(load.control), closed.has(load.block)), timeoutMs);
        continue;
      }
      const switchedW = value === 1 ? load.ratedW : 0;
      physics.setLoad(load.id, control === 'consumptionSetpointW' ? (value ?? 0) : switchedW, timeoutMs);
    }
  };
}

function profileOf(profiles: ReadonlyMap<string, Profile>, name: string): Profile {
  const profile = profiles.get(name);
  if (profile === undefined) throw new WattpactError('simulator.site', `the profile ${name} is not loaded`);
  return profile;
}

function unitsOf(site: SiteFile, bus: string, devices: ReadonlyMap<string, ServedDevice>): Map<number, AnswerUnit> {
  const units = new Map<number, AnswerUnit>();
  for (const device of site.devices) {
    const served = devices.get(device.id);
    if (device.bus !== bus || served === undefined) continue;
    if (units.has(device.unitId)) {
      throw new WattpactError('simulator.site', `bus ${bus} has two devices with unit id ${device.unitId}`);
    }
    units.set(device.unitId, served.answer);
  }
  return units;
}
