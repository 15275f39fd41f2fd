// Reads the meters of the site and turns them into the energy of intervals: feeds readings to metering/, keeps what comes out,
// and knows how much has flowed since the running interval began. Loads that are switched have no meter but for their state: rated power
// while they are on. Owns the carrying; the arithmetic is metering/'s.

import type { Clock } from '../base/clock.ts';
import { intervalAt } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import type { Millis, Watts } from '../base/units.ts';
import type { DeviceReadings, Fieldbus, Reading } from '../fieldbus/types.ts';
import { createMeter, type Meter, type MeterState } from '../metering/meter.ts';
import type { MeteredInterval, MeterReading, MeterSpec } from '../metering/types.ts';
import { addedPowerW, type SgReadyPowers } from '../site/sg-ready.ts';
import type { Device, Profile, SiteFile, SiteLoad } from '../site/types.ts';
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
  /** Watts of one unit of `power`: 1, or the rated power of a load of which only is known whether it is on. */
  readonly wattsPerUnit: Watts;
  /** Heat pump by SG-ready states: `power` is the contact that recommends, and this turns both contacts into what they add. */
  readonly sgReady: { readonly block: string; readonly powers: SgReadyPowers } | null;
  readonly spec: MeterSpec;
  meter: Meter;
  /** Chain time of its newest reading; null before the first. */
  fedMs: number | null;
  /** The last stretch of the running interval without a gap. */
  soFar: Stretch | null;
}

/** Power of a subject as measured without a gap since `startMs`, within one interval. */
interface Stretch {
  readonly startMs: Millis;
  readonly endMs: Millis;
  readonly lastW: Watts;
  /** Integral of the power, W ms. */
  readonly sum: number;
  readonly curtailed: boolean;
}

/** Mean power over a part of the running interval; signs as base/units.ts. */
export interface SoFar {
  readonly startMs: Millis;
  readonly endMs: Millis;
  readonly powerW: Watts;
  readonly curtailed: boolean;
}

/** Subject under which a load's energy is stored. */
export function loadSubject(load: string): string {
  return `load ${load}`;
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
  /** What is measured of the running interval of `site`, a device, a battery or a load; null when next to nothing is. */
  soFar(subject: string): SoFar | null;
  /** Loads of which nothing can be read: what they take is taken for consumption that nobody controls. */
  readonly unmeteredLoads: readonly string[];
  /** Interval finished last by every meter of the site but those of loads. */
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

  function add(
    subject: string,
    device: Device,
    power: string,
    powerMaxW: number,
    channels: Metered['channels'],
    wattsPerUnit = 1,
    sgReady: Metered['sgReady'] = null,
  ): void {
    const profile = profiles.get(device.profile);
    if (profile === undefined) return;
    const spec = meterSpecOf({ device, profile, channels, powerMaxW, intervalMs, chainRate });
    const kept = store.settings.get(`meter ${subject}`) as MeterState | null;
    const meter = kept === null ? createMeter(spec) : createMeter(spec, kept);
    const fedMs = kept?.lastMs ?? null;
    meters.push({ subject, device, channels, power, wattsPerUnit, sgReady, spec, meter, fedMs, soFar: null });
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

  /** True if its consumption can be read, or at least whether it is on. */
  function addLoad(load: SiteLoad): boolean {
    const device = site.devices.find(({ id }) => id === load.device);
    const points = device === undefined ? undefined : profiles.get(device.profile)?.points;
    if (device === undefined || points === undefined) return false;
    if (load.block !== null) {
      if (!points.has(load.control) || !points.has(load.block)) return false;
      // Its own running belongs to the consumption: a meter of the whole pump is not asked.
      const powers = { recommendedW: load.powersW[0] ?? load.ratedW, forcedW: load.ratedW };
      const added = { consumption: { measurand: load.control, side: 'positive' } } as const;
      add(loadSubject(load.id), device, load.control, 2 * load.ratedW, added, 1, { block: load.block, powers });
      return true;
    }
    // A meter of a board with several outputs does not tell one from the other.
    const isAlone = site.loads.filter((other) => other.device === load.device).length === 1;
    const isMetered = isAlone && points.has('consumptionPowerW');
    if (!isMetered && !(load.control.startsWith('switch') && points.has(load.control))) return false;
    const [power, scale] = isMetered ? ['consumptionPowerW', 1] : [load.control, load.ratedW];
    const measurand = isMetered ? 'consumptionEnergyWh' : load.control;
    const channels = { consumption: { measurand, side: 'positive' } } as const;
    add(loadSubject(load.id), device, power as string, 2 * load.ratedW, channels, scale as number);
    return true;
  }
  const unmeteredLoads = site.loads.filter((load) => !addLoad(load)).map(({ id }) => id);

  function readingsNeeded(metered: Metered): readonly string[] {
    const profile = profiles.get(metered.device.profile);
    return measurandsOf(metered).filter((measurand) => profile?.points.has(measurand));
  }

  async function look(metered: Metered): Promise<DeviceReadings> {
    const readings = fieldbus.readings(metered.device.id);
    const needed = readingsNeeded(metered);
    // A device that is silent is found again by its own polling: asked out of turn every second, it would hold up all others and control.
    if (!needed.some((measurand) => readings.get(measurand)?.quality === 'good')) return readings;
    const nowMs = clock.chainMs();
    const sinceEdge = nowMs % intervalMs;
    const nearEdge = Math.min(sinceEdge, intervalMs - sinceEdge) <= EDGE_WALL_MS * chainRate;
    const old = measurandsOf(metered)
      .map((measurand) => readings.get(measurand))
      .some((reading) => reading !== undefined && nowMs - reading.atMs > COUNTER_AGE_MAX_MS);
    if (!nearEdge && !old) return readings;
    return fieldbus.refresh(metered.device.id, needed);
  }

  function meterReading(metered: Metered, readings: DeviceReadings): MeterReading | null {
    const goodOf = (measurand: string): Reading | null => {
      const reading = readings.get(measurand);
      return reading?.quality === 'good' && reading.value !== null ? reading : null;
    };
    const counters = Object.entries(metered.channels).map(
      ([name, { measurand }]) =>
        [name, metered.spec.channels[name]?.source === 'counter' ? goodOf(measurand) : null] as const,
    );
    const power = withBlock(metered, goodOf(metered.power), goodOf);
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
    const powerW = power?.value == null ? null : power.value * metered.wattsPerUnit;
    return { atMs, countersWh, powerW, curtailed: curtailing().has(metered.device.id) };
  }

  /** Of two contacts both have to be known; the older one says how fresh the state is. */
  function withBlock(
    { sgReady }: Metered,
    power: Reading | null,
    goodOf: (measurand: string) => Reading | null,
  ): Reading | null {
    if (sgReady === null || power === null) return power;
    const block = goodOf(sgReady.block);
    if (block === null) return null;
    const value = addedPowerW(sgReady.powers, (power.value ?? 0) > 0, (block.value ?? 0) > 0);
    return { ...power, value, atMs: Math.min(power.atMs, block.atMs) };
  }

  function follow(metered: Metered, { atMs, powerW, curtailed = false }: MeterReading): void {
    const before = metered.soFar;
    if (powerW === null || (before !== null && atMs <= before.endMs)) return;
    const startMs = intervalAt(atMs, intervalMs) * intervalMs;
    if (before === null || before.endMs < startMs || atMs - before.endMs > metered.spec.gapMs) {
      metered.soFar = { startMs: atMs, endMs: atMs, lastW: powerW, sum: 0, curtailed };
      return;
    }
    const sum = before.sum + ((before.lastW + powerW) / 2) * (atMs - before.endMs);
    metered.soFar = { ...before, endMs: atMs, lastW: powerW, sum, curtailed: before.curtailed || curtailed };
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
    metered.soFar = null;
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
  function followCounters(reading: MeterReading): void {
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
          if (metered.subject === SITE) followCounters(reading);
          follow(metered, reading);
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
    soFar(subject) {
      const stretch = meters.find((metered) => metered.subject === subject)?.soFar ?? null;
      if (stretch === null || stretch.endMs <= stretch.startMs) return null;
      if (intervalAt(stretch.startMs, intervalMs) !== intervalAt(clock.chainMs(), intervalMs)) return null;
      const { startMs, endMs, sum, curtailed } = stretch;
      return { startMs, endMs, powerW: sum / (endMs - startMs), curtailed };
    },
    unmeteredLoads,
    finishedByAll: (interval) =>
      meters.every(({ subject }) => isLoad(subject) || (finished.get(subject) ?? -1) >= interval),
    keep,
  };
}

/** Values whose requests were answered within this time of each other are one look at the device, wall ms. */
const SAME_LOOK_MS = 250;

function isLoad(subject: string): boolean {
  return subject.startsWith(loadSubject(''));
}

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

function measurandsOf({ power, channels, sgReady }: Metered): readonly string[] {
  const counted = Object.values(channels).map(({ measurand }) => measurand);
  return [power, ...counted, ...(sgReady === null ? [] : [sgReady.block])];
}
