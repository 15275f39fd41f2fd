// Reads the meters of the site and turns them into the energy of intervals: feeds readings to metering/, keeps what comes out,
// and knows how much has flowed since the running interval began. Owns the carrying; the arithmetic is metering/'s.

import type { Clock } from '../base/clock.ts';
import { intervalAt } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import type { DeviceReadings, Fieldbus, Reading } from '../fieldbus/types.ts';
import { createMeter, type Meter, type MeterState } from '../metering/meter.ts';
import type { MeteredInterval, MeterReading, MeterSpec } from '../metering/types.ts';
import type { Device, Profile, SiteFile } from '../site/types.ts';
import type { GatewayStore, StoredEnergy } from '../store/gateway.ts';
import { generatorsOf, gridMeterOf, meterSpecOf } from './equipment.ts';

/** Counters are read out of turn this close to an interval's edge, wall ms; elsewhere the bus's own pace is enough. */
const EDGE_WALL_MS = 1_500;
/** Counters older than this (chain time) say too little of the running interval: they are read out of turn as well. */
const COUNTER_AGE_MAX_MS = 20_000;
/** How often the meters' states are kept, wall ms: what a crash may cost in interpolation, never in energy. */
const KEEP_MS = 10_000;

/** Subjects and quantities under which energies are stored. */
export const SITE = 'site';

interface Channel {
  readonly measurand: string;
  readonly side: 'positive' | 'negative';
}

interface Metered {
  readonly subject: string;
  readonly device: Device;
  readonly channels: Readonly<Record<string, Channel>>;
  readonly power: string;
  readonly spec: MeterSpec;
  meter: Meter;
  /** Chain time of its newest reading; null before the first. */
  fedMs: number | null;
}

export interface GridInterval {
  readonly metered: MeteredInterval;
  readonly importStartWh: number;
  readonly importEndWh: number;
  readonly exportStartWh: number;
  readonly exportEndWh: number;
}

export interface SiteMetering {
  /** Reads and feeds; returns the intervals of the grid meter that are finished now. Whoever takes them calls `keep` once they are safe. */
  tick(): Promise<readonly GridInterval[]>;
  /** Stored energy of a subject's quantity in an interval, or null. */
  energyOf(subject: string, quantity: string, interval: number): StoredEnergy | null;
  /** Rise of import and export since the start of the running interval; null where it is not known. */
  risesSinceStart(): { readonly importRiseWh: number | null; readonly exportRiseWh: number | null };
  /** Interval finished last by every meter of the site. */
  finishedByAll(interval: number): boolean;
  keep(): void;
}

export function createSiteMetering(options: {
  site: SiteFile;
  profiles: ReadonlyMap<string, Profile>;
  fieldbus: Pick<Fieldbus, 'readings' | 'refresh'>;
  store: Pick<GatewayStore, 'energies' | 'settings'>;
  clock: Clock;
  intervalMs: number;
  chainRate: number;
  /** Devices held back now: what they make is no sign of what they could. */
  curtailing: () => ReadonlySet<string>;
  log: Log;
}): SiteMetering {
  const { site, profiles, fieldbus, store, clock, intervalMs, chainRate, curtailing, log } = options;
  const grid = gridMeterOf(site);
  const meters: Metered[] = [];
  const finished = new Map<string, number>();
  let keptAtMs = clock.monotonicMs();

  function add(subject: string, device: Device, power: string, powerMaxW: number, channels: Metered['channels']): void {
    const profile = profiles.get(device.profile);
    if (profile === undefined) return;
    const spec = meterSpecOf({ device, profile, channels, powerMaxW, intervalMs, chainRate });
    const kept = store.settings.get(`meter ${subject}`) as MeterState | null;
    const meter = kept === null ? createMeter(spec) : createMeter(spec, kept);
    meters.push({ subject, device, channels, power, spec, meter, fedMs: kept?.lastMs ?? null });
  }

  const { importLimitW, exportLimitW } = site.connection;
  // A fuse holds more than its rating for a while: twice the limit is still believed.
  add(SITE, grid, 'gridPowerW', 2 * Math.max(importLimitW, exportLimitW), {
    import: { measurand: 'importEnergyWh', side: 'positive' },
    export: { measurand: 'exportEnergyWh', side: 'negative' },
  });
  for (const device of generatorsOf(site)) {
    add(device.id, device, 'generationPowerW', 2 * (device.ratedW ?? exportLimitW), {
      generation: { measurand: 'generationEnergyWh', side: 'positive' },
    });
  }
  for (const storage of site.storage) {
    const device = site.devices.find(({ id }) => id === storage.device);
    if (device === undefined) continue;
    add(storage.id, device, 'batteryPowerW', 2 * Math.max(storage.chargeLimitW, storage.dischargeLimitW), {
      charge: { measurand: 'batteryChargeEnergyWh', side: 'negative' },
      discharge: { measurand: 'batteryDischargeEnergyWh', side: 'positive' },
    });
  }

  function readingsNeeded(metered: Metered): readonly string[] {
    const profile = profiles.get(metered.device.profile);
    const measurands = [...Object.values(metered.channels).map(({ measurand }) => measurand), metered.power];
    return measurands.filter((measurand) => profile?.points.has(measurand));
  }

  async function look(metered: Metered): Promise<DeviceReadings> {
    const readings = fieldbus.readings(metered.device.id);
    const needed = readingsNeeded(metered);
    // A device that is silent is found again by its own polling: asked out of turn every second, it would hold up all others and control.
    if (!needed.some((measurand) => readings.get(measurand)?.quality === 'good')) return readings;
    const nowMs = clock.chainMs();
    const sinceEdge = nowMs % intervalMs;
    const nearEdge = Math.min(sinceEdge, intervalMs - sinceEdge) <= EDGE_WALL_MS * chainRate;
    const counters = Object.values(metered.channels).map(({ measurand }) => readings.get(measurand));
    const old = counters.some((reading) => reading !== undefined && nowMs - reading.atMs > COUNTER_AGE_MAX_MS);
    if (!nearEdge && !old) return readings;
    return fieldbus.refresh(metered.device.id, needed);
  }

  function meterReading(metered: Metered, readings: DeviceReadings): MeterReading | null {
    const goodOf = (measurand: string): Reading | null => {
      const reading = readings.get(measurand);
      return reading?.quality === 'good' && reading.value !== null ? reading : null;
    };
    const counters = Object.entries(metered.channels).map(
      ([name, { measurand }]) => [name, goodOf(measurand)] as const,
    );
    const power = goodOf(metered.power);
    const times = [power, ...counters.map(([, reading]) => reading)].flatMap((reading) =>
      reading === null ? [] : [reading.atMs],
    );
    if (times.length === 0) return null;
    const atMs = Math.max(...times);
    // A counter that was read in another request than the newest value belongs to its own instant, not to this one.
    const countersWh = Object.fromEntries(
      counters.map(([name, reading]) => [
        name,
        reading !== null && atMs - reading.atMs <= chainRate * SAME_LOOK_MS ? reading.value : null,
      ]),
    );
    return { atMs, countersWh, powerW: power?.value ?? null, curtailed: curtailing().has(metered.device.id) };
  }

  function keepInterval(metered: Metered, done: MeteredInterval): void {
    const { uncertaintyWh, quality, curtailed, interval } = done;
    store.energies.save(
      Object.entries(done.channels).map(([quantity, { startWh, endWh }]) => {
        return {
          subject: metered.subject,
          quantity,
          interval,
          energyWh: endWh - startWh,
          uncertaintyWh,
          quality,
          curtailed,
        };
      }),
    );
    finished.set(metered.subject, interval);
    if (done.marks.length > 0)
      log.warn({ subject: metered.subject, interval, marks: done.marks }, 'metering: interval has marks');
  }

  /** A meter takes no reading older than its last one: after a clock that ran ahead it would be silent until then. */
  function beginAnew(metered: Metered): void {
    log.warn({ subject: metered.subject }, 'metering: the clock was set back; the meter begins anew');
    metered.meter = createMeter(metered.spec);
    metered.fedMs = null;
    finished.delete(metered.subject);
    if (metered.subject === SITE) start = null;
  }

  function keep(): void {
    for (const { subject, meter } of meters) store.settings.set(`meter ${subject}`, meter.state());
    keptAtMs = clock.monotonicMs();
  }

  /** Counters at the start of the running interval (the end of the one before, as metered), and the newest ones. */
  let start: { interval: number; importWh: number; exportWh: number } | null = null;
  let latest: { importWh: number; exportWh: number } | null = null;
  function follow(reading: MeterReading): void {
    const { import: importWh, export: exportWh } = reading.countersWh;
    if (importWh != null && exportWh != null) latest = { importWh, exportWh };
  }

  function rises(): { importRiseWh: number | null; exportRiseWh: number | null } {
    const current = start?.interval === intervalAt(clock.chainMs(), intervalMs);
    if (start === null || latest === null || !current) return { importRiseWh: null, exportRiseWh: null };
    return {
      importRiseWh: Math.max(0, latest.importWh - start.importWh),
      exportRiseWh: Math.max(0, latest.exportWh - start.exportWh),
    };
  }

  /** Finished and not yet handed over: what fails at one meter must not lose what another has finished. */
  const done: GridInterval[] = [];

  return {
    async tick() {
      await Promise.all(
        meters.map(async (metered) => {
          const reading = meterReading(metered, await look(metered));
          if (reading === null) return;
          if (metered.fedMs !== null && reading.atMs < metered.fedMs - intervalMs) beginAnew(metered);
          metered.fedMs = Math.max(metered.fedMs ?? 0, reading.atMs);
          if (metered.subject === SITE) follow(reading);
          for (const interval of metered.meter.feed(reading)) {
            keepInterval(metered, interval);
            if (metered.subject !== SITE) continue;
            const grid = gridInterval(interval);
            start = { interval: interval.interval + 1, importWh: grid.importEndWh, exportWh: grid.exportEndWh };
            done.push(grid);
          }
        }),
      );
      if (clock.monotonicMs() - keptAtMs >= KEEP_MS && done.length === 0) keep();
      return done.splice(0);
    },
    energyOf: (subject, quantity, interval) =>
      store.energies.range(subject, quantity, interval, interval + 1)[0] ?? null,
    risesSinceStart: rises,
    finishedByAll: (interval) => meters.every(({ subject }) => (finished.get(subject) ?? -1) >= interval),
    keep,
  };
}

/** Values whose requests were answered within this time of each other are one look at the device, wall ms. */
const SAME_LOOK_MS = 250;

function gridInterval(metered: MeteredInterval): GridInterval {
  const channel = (name: string) => metered.channels[name] as { startWh: number; endWh: number };
  const [imported, exported] = [channel('import'), channel('export')];
  return {
    metered,
    importStartWh: imported.startWh,
    importEndWh: imported.endWh,
    exportStartWh: exported.startWh,
    exportEndWh: exported.endWh,
  };
}
