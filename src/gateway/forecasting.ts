// The site's forecasters: taught by the stored energies of finished intervals, asked for the next ones in Wh. What they learn is the site and
// not its own dispatch: consumption without battery and movable loads, generation where nothing held it back.
// Owns when they learn and where their state lives; how they work is forecast/; knows no prices.

import type { Clock } from '../base/clock.ts';
import { isWattpactError } from '../base/errors.ts';
import { intervalAt, intervalStartMs } from '../base/interval.ts';
import { type Millis, meanPowerW, type WattHours } from '../base/units.ts';
import { createForecaster } from '../forecast/forecaster.ts';
import { createNetForecaster, type NetForecaster } from '../forecast/net.ts';
import {
  type Forecaster,
  type ForecasterOptions,
  type IntervalForecast,
  MEDIAN,
  type PartialReading,
  type Sample,
} from '../forecast/types.ts';
import type { WeatherArchive } from '../forecast/weather.ts';
import type { Work } from '../forecast/work.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { createDoubts, type Doubt } from './doubts.ts';
import { generatorsOf } from './equipment.ts';
import { loadSubject, SITE, type SoFar } from './metering.ts';

/** How far back a forecaster that has no kept state learns from the store: the same season a year ago. */
const HISTORY_INTERVALS_MAX = 400 * 96;
/** Learning at the start may take so long, ms; a few days of history are learnt before the first forecast, a year is not. */
const START_MS_MAX = 3_000;
/** While a long history is learnt, states are kept every so many intervals: a restart goes on from there. */
const KEEP_INTERVALS = 2_000;
/** Less than this measured of the running interval says nothing, ms. */
const SO_FAR_MS_MIN: Millis = 60_000;
/** What is metered apart does not add up to the last Wh: consumption may come out below zero by this, as a share of what was summed. */
const SUM_ERROR = 0.02;

export const CONSUMPTION = 'consumption';
const NET = 'net';
const LEARNED = 'forecast learned';

/** Quantiles (forecast/types.ts `QUANTILES`) of an interval's energy, Wh. */
export interface EnergyForecast {
  readonly interval: number;
  readonly quantilesWh: readonly number[];
}

export interface SiteForecasting {
  /**
   * Learns the metered intervals up to this one, oldest first, for at most `budgetMs`; true when it has caught up and all is kept. After a
   * rebuilt store there is a year to learn: it goes on with the next call, and forecasts use what is known until then. Slices or at once,
   * the result is the same.
   */
  learnUpTo(interval: number, budgetMs: number): boolean;
  /** Generator id -> forecasts of `count` intervals from `first` on. */
  generation(first: number, count: number): ReadonlyMap<string, readonly EnergyForecast[]>;
  /** What was metered in the last day but is not believed, and so not learnt from. */
  doubts(): readonly Doubt[];
  /** Without movable loads. */
  consumption(first: number, count: number): readonly EnergyForecast[];
  /**
   * Consumption less generation, + import: its quantiles are not those of the parts, which err together or do not. Empty while a history
   * is still being learnt: how the parts err together is known from its newest end.
   */
  net(first: number, count: number): readonly EnergyForecast[];
}

type Energies = Pick<GatewayStore, 'energies'>;

/** Loads that the plan moves, and adds to the forecast itself. */
export function movableLoads(site: SiteFile): readonly string[] {
  return site.loads.filter(({ need }) => need !== null).map(({ id }) => loadSubject(id));
}

/** Batteries whose flow is the gateway's doing, and no part of what is forecast. */
function drivenBatteries(site: SiteFile): readonly string[] {
  return site.storage.filter(({ driven }) => driven).map(({ id }) => id);
}

/**
 * Energy of what the site consumes in an interval besides its movable loads, from the balance at its meters; null when a part of it is not
 * known, or when the parts contradict each other. `loadsSince`: from which interval on each movable load is metered; before that it was
 * moved by nobody, and belongs to the consumption.
 */
export function consumptionWh(
  site: SiteFile,
  store: Energies,
  interval: number,
  loadsSince: ReadonlyMap<string, number> = new Map(),
): WattHours | null {
  const terms: (readonly [string, string, 1 | -1])[] = [
    [SITE, 'import', 1],
    [SITE, 'export', -1],
    ...generatorsOf(site).map(({ id }) => [id, 'generation', 1] as const),
    ...drivenBatteries(site).flatMap((id) => [[id, 'discharge', 1] as const, [id, 'charge', -1] as const]),
    ...[...loadsSince].flatMap(([load, since]) => (interval < since ? [] : [[load, CONSUMPTION, -1] as const])),
  ];
  let [sum, moved, doubt] = [0, 0, 0];
  for (const [subject, quantity, sign] of terms) {
    const [stored] = store.energies.range(subject, quantity, interval, interval + 1);
    if (stored === undefined || stored.energyWh === null || stored.quality === 'gap') return null;
    sum += sign * stored.energyWh;
    moved += Math.abs(stored.energyWh);
    doubt += stored.uncertaintyWh;
  }
  return sum < 0 - doubt - SUM_ERROR * moved ? null : Math.max(0, sum);
}

interface Part {
  readonly name: string;
  readonly sign: 1 | -1;
  readonly forecaster: Forecaster;
}

export function createSiteForecasting(options: {
  site: SiteFile;
  store: Pick<GatewayStore, 'energies' | 'settings'>;
  intervalMs: number;
  /** What is measured of the running interval, by subject as metering keeps it. */
  soFar?: (subject: string) => SoFar | null;
  /** What was forecast of the weather and when; null: nothing is asked for. */
  weather?: WeatherArchive | null;
  clock: Clock;
}): SiteForecasting {
  const { site, store, intervalMs, soFar: soFarOf = () => null, clock } = options;
  const { location, timezone, holidays } = site;
  const place = { latitude: location.latitude, longitude: location.longitude, timezone, holidays };
  const weather = options.weather == null ? {} : { weather: options.weather };
  const common = { stepMs: intervalMs, ...place, ...weather };
  const lastOver = intervalAt(clock.chainMs(), intervalMs) - 1;
  let learned = (store.settings.get(LEARNED) as number | null) ?? -1;
  // Learnt under a clock that ran ahead: everything since would come too late.
  if (learned > lastOver) learned = -1;
  const { parts, net } = fromKept() ?? fresh();
  /** Names of states that are still to be kept, and the interval they are of. */
  let toKeep: string[] = [];
  let keeping = learned;
  let kept = learned;
  let isLearning = true;
  const loadsSince = new Map<string, number>();
  /** The interval after `learned`, half learnt. */
  let begun: ReturnType<NetForecaster['learning']> | null = null;
  /** After a restart: what is to be fitted again, in pieces. */
  const refits = [...parts.map(({ forecaster }) => forecaster.refit), net.refit];
  const doubts = createDoubts(store.settings, intervalMs);

  function partOptions(): readonly (readonly [string, 1 | -1, ForecasterOptions])[] {
    return [
      [CONSUMPTION, 1, { kind: 'load', ...common }],
      ...generatorsOf(site).map(({ id, role, ratedW }) => {
        const kind = role === 'wind' ? 'wind' : 'pv';
        return [id, -1, { kind, ...common, ...(ratedW === null ? {} : { capacityW: ratedW }) }] as const;
      }),
    ];
  }

  function make(stateOf: (name: string) => string | undefined): { parts: readonly Part[]; net: NetForecaster } {
    const made = partOptions().map(([name, sign, forecasterOptions]): Part => {
      return { name, sign, forecaster: createForecaster(forecasterOptions, stateOf(name)) };
    });
    return { parts: made, net: createNetForecaster(common, made, stateOf(NET)) };
  }

  function fresh(): { parts: readonly Part[]; net: NetForecaster } {
    learned = -1;
    return make(() => undefined);
  }

  /** As they were kept; null when one is missing or this version cannot read it: the store has what they learnt from. */
  function fromKept(): { parts: readonly Part[]; net: NetForecaster } | null {
    const names = [...partOptions().map(([name]) => name), NET];
    const states = new Map(names.map((name) => [name, store.settings.get(`forecast ${name}`) as string | null]));
    if (learned < 0 || [...states.values()].includes(null)) return null;
    try {
      return make((name) => states.get(name) as string);
    } catch (error) {
      if (isWattpactError(error) && error.code === 'forecast.state') return null;
      throw error;
    }
  }

  function sampleOf({ name }: Part, interval: number): Sample {
    const startMs = intervalStartMs(interval, intervalMs);
    if (name === CONSUMPTION) {
      const energyWh = consumptionWh(site, store, interval, loadsSince);
      return { startMs, powerW: energyWh === null ? null : meanPowerW(energyWh, intervalMs) };
    }
    const [stored] = store.energies.range(name, 'generation', interval, interval + 1);
    if (stored === undefined || stored.energyWh === null || stored.quality === 'gap') return { startMs, powerW: null };
    return { startMs, powerW: meanPowerW(stored.energyWh, intervalMs), curtailed: stored.curtailed };
  }

  /** First interval of a subject that the store knows, not older than the history that is worth learning. */
  function firstStored(subject: string, quantity: string, before: number): number | null {
    const [first] = store.energies.range(subject, quantity, before - HISTORY_INTERVALS_MAX, before + 1);
    return first?.interval ?? null;
  }

  function learnUpTo(interval: number, budgetMs: number): boolean {
    const untilMs = clock.monotonicMs() + budgetMs;
    for (const load of movableLoads(site)) {
      const since = loadsSince.has(load) ? null : firstStored(load, CONSUMPTION, interval);
      if (since !== null) loadsSince.set(load, since);
    }
    // What is to be kept comes first: learning takes all the time there is. A step that is half learnt is in no state.
    if (toKeep.length > 0 && begun === null) keepNext();
    while (refits.length > 0 && clock.monotonicMs() < untilMs) {
      if ((refits[0] as Work<void>).next().done === true) refits.shift();
    }
    if (refits.length > 0) return false;
    let next = learned + 1;
    if (learned < 0) {
      next = firstStored(SITE, 'import', interval) ?? interval + 1;
      kept = next - 1;
    }
    while (next <= interval && clock.monotonicMs() < untilMs) {
      const current = next;
      begun ??= net.learning(parts.map((part) => sampleOf(part, current)));
      const { done, value: marks } = begun.next();
      if (done !== true) continue;
      for (const [i, mark] of marks.entries()) doubts.note((parts[i] as Part).name, current, mark);
      begun = null;
      learned = next++;
      if (toKeep.length > 0) break;
    }
    const hasCaughtUp = next > interval;
    isLearning = !hasCaughtUp;
    const isDue = hasCaughtUp ? kept < learned : learned - kept >= KEEP_INTERVALS;
    if (toKeep.length === 0 && isDue) {
      toKeep = [...parts.map(({ name }) => name), NET];
      keeping = learned;
    }
    while (toKeep.length > 0 && begun === null && clock.monotonicMs() < untilMs) keepNext();
    return hasCaughtUp && kept >= learned;
  }

  /**
   * One state a time: each may take a while to write. The interval comes last: states that are ahead of it after a crash see what they know
   * once more, and leave it.
   */
  function keepNext(): void {
    const name = toKeep.shift();
    const forecaster = name === NET ? net : parts.find((part) => part.name === name)?.forecaster;
    if (name !== undefined && forecaster !== undefined) store.settings.set(`forecast ${name}`, forecaster.state());
    if (toKeep.length > 0) return;
    kept = keeping;
    doubts.keep();
    store.settings.set(LEARNED, kept);
  }

  function readingsOf(part: Part): readonly PartialReading[] {
    const soFar = part.name === CONSUMPTION ? consumptionSoFar() : soFarOf(part.name);
    if (soFar === null || soFar.curtailed || soFar.endMs - soFar.startMs < SO_FAR_MS_MIN) return [];
    return [{ startMs: soFar.startMs, endMs: soFar.endMs, powerW: Math.max(0, soFar.powerW) }];
  }

  /** The balance of what all meters say of the same stretch; null while one of them says nothing. */
  function consumptionSoFar(): SoFar | null {
    const terms: (readonly [string, 1 | -1])[] = [
      [SITE, 1],
      ...generatorsOf(site).map(({ id }) => [id, 1] as const),
      ...drivenBatteries(site).map((id) => [id, 1] as const),
      ...[...loadsSince.keys()].map((load) => [load, -1] as const),
    ];
    let [startMs, endMs, powerW] = [0, Number.POSITIVE_INFINITY, 0];
    for (const [subject, sign] of terms) {
      const soFar = soFarOf(subject);
      if (soFar === null) return null;
      startMs = Math.max(startMs, soFar.startMs);
      endMs = Math.min(endMs, soFar.endMs);
      powerW += sign * soFar.powerW;
    }
    return { startMs, endMs, powerW, curtailed: false };
  }

  function energies(forecasts: readonly IntervalForecast[]): readonly EnergyForecast[] {
    return forecasts.map(({ startMs, quantilesW }) => ({
      interval: startMs / intervalMs,
      quantilesWh: quantilesW.map((powerW) => (powerW * intervalMs) / 3_600_000),
    }));
  }

  function forecastOf(part: Part, first: number, count: number): readonly EnergyForecast[] {
    return energies(part.forecaster.forecast(intervalStartMs(first, intervalMs), count, readingsOf(part)));
  }

  learnUpTo(lastOver, START_MS_MAX);

  return {
    learnUpTo,
    doubts: () => doubts.of(learned),
    generation: (first, count) =>
      new Map(parts.slice(1).map((part) => [part.name, forecastOf(part, first, count)] as const)),
    consumption: (first, count) => forecastOf(parts[0] as Part, first, count),
    net: (first, count) =>
      isLearning ? [] : energies(net.forecast(intervalStartMs(first, intervalMs), count, parts.map(readingsOf))),
  };
}

export function medianWh(forecast: EnergyForecast | undefined): number | null {
  return forecast?.quantilesWh[MEDIAN] ?? null;
}
