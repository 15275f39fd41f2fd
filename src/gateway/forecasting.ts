// The site's forecasters: one for each generator and one for what the site consumes. Learns from the stored energies, in order, and
// keeps what it learnt. Owns the carrying between store and forecast/; knows no prices.

import type { Clock } from '../base/clock.ts';
import { isWattpactError } from '../base/errors.ts';
import { intervalAt, intervalStartMs } from '../base/interval.ts';
import { meanPowerW } from '../base/units.ts';
import { createForecaster } from '../forecast/forecaster.ts';
import { type Forecaster, type ForecasterOptions, MEDIAN } from '../forecast/types.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { generatorsOf } from './equipment.ts';
import { SITE } from './metering.ts';

/** How far back a forecaster that has no kept state learns from the store: the same season a year ago. */
const HISTORY_INTERVALS_MAX = 400 * 96;

/** Learning at the start may take so long, ms; a few days of history are learnt before the first forecast, a year is not. */
const START_MS_MAX = 3_000;

export const CONSUMPTION = 'consumption';

/** Quantiles (forecast/types.ts `QUANTILES`) of an interval's energy, Wh. */
export interface EnergyForecast {
  readonly interval: number;
  readonly quantilesWh: readonly number[];
}

export interface SiteForecasting {
  /**
   * Learns the metered intervals up to this one, oldest first, for at most `budgetMs`; true when it has caught up. After a rebuilt store
   * there is a year to learn: it goes on with the next call, and forecasts use what is known until then.
   */
  learnUpTo(interval: number, budgetMs: number): boolean;
  /** Generator id -> forecasts of `count` intervals from `first` on. */
  generation(first: number, count: number): ReadonlyMap<string, readonly EnergyForecast[]>;
  consumption(first: number, count: number): readonly EnergyForecast[];
}

/** Energy of what the site consumes in an interval, from the balance at its meters; null when a part of it is not known. */
export function consumptionWh(site: SiteFile, store: Pick<GatewayStore, 'energies'>, interval: number): number | null {
  const energy = (subject: string, quantity: string): number | null => {
    const [stored] = store.energies.range(subject, quantity, interval, interval + 1);
    return stored === undefined || stored.quality === 'gap' ? null : stored.energyWh;
  };
  let sum = 0;
  const terms: (readonly [string, string, 1 | -1])[] = [
    [SITE, 'import', 1],
    [SITE, 'export', -1],
    ...generatorsOf(site).map(({ id }) => [id, 'generation', 1] as const),
    ...site.storage.flatMap(({ id }) => [[id, 'discharge', 1] as const, [id, 'charge', -1] as const]),
  ];
  for (const [subject, quantity, sign] of terms) {
    const part = energy(subject, quantity);
    if (part === null) return null;
    sum += sign * part;
  }
  return Math.max(0, sum);
}

export function createSiteForecasting(options: {
  site: SiteFile;
  store: Pick<GatewayStore, 'energies' | 'settings'>;
  intervalMs: number;
  clock: Clock;
}): SiteForecasting {
  const { site, store, intervalMs, clock } = options;
  const place = { latitude: site.location.latitude, longitude: site.location.longitude, timezone: site.timezone };
  const forecasters = new Map<string, Forecaster>();
  const lastOver = intervalAt(clock.chainMs(), intervalMs) - 1;
  let learned = (store.settings.get('forecast learned') as number | null) ?? -1;
  // Learnt under a clock that ran ahead: everything since would come too late.
  if (learned > lastOver) learned = -1;

  function add(name: string, kind: ForecasterOptions['kind'], capacityW: number | null): void {
    const kept = store.settings.get(`forecast ${name}`) as string | null;
    const forecasterOptions = { kind, stepMs: intervalMs, ...place, ...(capacityW === null ? {} : { capacityW }) };
    const restored = kept !== null && learned >= 0 ? restore(forecasterOptions, kept) : null;
    forecasters.set(name, restored ?? createForecaster(forecasterOptions));
    if (restored === null) learned = -1;
  }
  for (const { id, role, ratedW } of generatorsOf(site)) add(id, role === 'wind' ? 'wind' : 'pv', ratedW);
  add(CONSUMPTION, 'load', null);

  function learn(interval: number): void {
    const startMs = intervalStartMs(interval, intervalMs);
    for (const [name, forecaster] of forecasters) {
      if (name === CONSUMPTION) {
        const energy = consumptionWh(site, store, interval);
        forecaster.learn({ startMs, powerW: energy === null ? null : meanPowerW(energy, intervalMs) });
        continue;
      }
      const [stored] = store.energies.range(name, 'generation', interval, interval + 1);
      const known = stored !== undefined && stored.energyWh !== null && stored.quality !== 'gap';
      const powerW = known ? meanPowerW(stored.energyWh as number, intervalMs) : null;
      forecaster.learn({ startMs, powerW, curtailed: stored?.curtailed ?? false });
    }
  }

  function energies(name: string, first: number, count: number): readonly EnergyForecast[] {
    const forecaster = forecasters.get(name);
    const issuedMs = intervalStartMs(first, intervalMs);
    return (forecaster?.forecast(issuedMs, count) ?? []).map(({ startMs, quantilesW }) => ({
      interval: startMs / intervalMs,
      quantilesWh: quantilesW.map((powerW) => (powerW * intervalMs) / 3_600_000),
    }));
  }

  function learnUpTo(interval: number, budgetMs: number): boolean {
    const from = learned < 0 ? (firstStored(interval) ?? interval + 1) : learned + 1;
    if (from > interval) return true;
    const untilMs = clock.monotonicMs() + budgetMs;
    for (let next = from; next <= interval && clock.monotonicMs() < untilMs; next++) {
      learn(next);
      learned = next;
    }
    for (const [name, forecaster] of forecasters) store.settings.set(`forecast ${name}`, forecaster.state());
    store.settings.set('forecast learned', learned);
    return learned >= interval;
  }

  /** First interval that the store knows at all, not older than the history that is worth learning. */
  function firstStored(before: number): number | null {
    const [first] = store.energies.range(SITE, 'import', before - HISTORY_INTERVALS_MAX, before + 1);
    return first?.interval ?? null;
  }

  learnUpTo(lastOver, START_MS_MAX);

  return {
    learnUpTo,
    generation: (first, count) =>
      new Map(generatorsOf(site).map(({ id }) => [id, energies(id, first, count)] as const)),
    consumption: (first, count) => energies(CONSUMPTION, first, count),
  };
}

/** The forecaster as it was kept; null when this version cannot read it: the store has what it learnt from. */
function restore(options: ForecasterOptions, kept: string): Forecaster | null {
  try {
    return createForecaster(options, kept);
  } catch (error) {
    if (isWattpactError(error) && error.code === 'forecast.state') return null;
    throw error;
  }
}

export function medianWh(forecast: EnergyForecast | undefined): number | null {
  return forecast?.quantilesWh[MEDIAN] ?? null;
}
