// What the same intervals' forecasts would have been had the gateways known less of their sites' past: imbalance falls as they learn. The
// gateway's own forecasters, taught by the same series, each with a shorter past; nothing but the past differs.

import { intervalStartMs } from '../base/interval.ts';
import type { WattHours } from '../base/units.ts';
import { finish, type Work } from '../forecast/work.ts';
import { inBackground } from '../gateway/background.ts';
import { createSiteForecasting, medianWh } from '../gateway/forecasting.ts';
import type { SiteSeries } from '../simulator/types.ts';
import type { SiteFile } from '../site/types.ts';
import { openGatewayStore } from '../store/gateway.ts';
import { energyOfSeriesWh, writePast } from './past.ts';

/** A day's first forecast is issued when this many intervals are unknown: the one offered for and the running one. */
const LEAD = 2;

export interface Learned {
  /** Days of past that the forecasters knew when the intervals began. */
  readonly days: number;
  /** Mean error of the net of all sites together, Wh a site and interval: what would be left as imbalance by the forecast alone. */
  readonly errorWh: WattHours;
}

export interface ComparisonOptions {
  readonly sites: readonly { readonly site: SiteFile; readonly series: SiteSeries }[];
  readonly days: readonly number[];
  readonly first: number;
  readonly count: number;
  readonly lengthMs: number;
}

export interface LearningComparison {
  /** What has come out; `isAwaited`: does what is left of the work first. */
  result(isAwaited: boolean): readonly Learned[];
  stop(): void;
}

/** Compares beside other work, a piece at a time. */
export function compareInBackground(
  options: ComparisonOptions,
  onFailure: (error: unknown) => void,
): LearningComparison {
  const work = compareLearning(options);
  let learned: readonly Learned[] | null = null;
  const background = inBackground(() => {
    const { done, value } = work.next();
    if (done === true) learned ??= value;
    return done === true;
  }, onFailure);
  return {
    result: (isAwaited) => learned ?? (isAwaited ? finish(work) : []),
    stop: background.stop,
  };
}

/** The errors for each length of past, in pieces; empty when there is nothing to compare. */
export function* compareLearning(options: ComparisonOptions): Work<readonly Learned[]> {
  const { sites, days, first, count, lengthMs } = options;
  if (sites.length === 0 || count === 0) return [];
  const learned: Learned[] = [];
  for (const known of days) {
    const errors: WattHours[] = [];
    for (const { site, series } of sites)
      errors.push(...(yield* errorsOf(site, series, known, first, count, lengthMs)));
    const sum = errors.reduce((total, wh) => total + wh, 0);
    learned.push({ days: known, errorWh: Math.round(sum / Math.max(1, errors.length)) });
  }
  return learned;
}

function* errorsOf(
  site: SiteFile,
  series: SiteSeries,
  days: number,
  first: number,
  count: number,
  lengthMs: number,
): Work<number[]> {
  const store = openGatewayStore(':memory:');
  const remember = (until: number, intervals: number): void =>
    writePast({
      energies: store.energies,
      series,
      storage: site.storage.map(({ id }) => id),
      until,
      intervals,
      intervalMs: lengthMs,
    });
  remember(first - LEAD + 1, Math.round((days * 24 * 3_600_000) / lengthMs));
  const clock = { chainMs: () => intervalStartMs(first - LEAD + 1, lengthMs), monotonicMs: () => 0 };
  const forecasting = createSiteForecasting({ site, store, intervalMs: lengthMs, clock });
  const errors: number[] = [];
  for (let interval = first; interval < first + count; interval++) {
    const known = interval - LEAD;
    if (interval > first) remember(known + 1, 1);
    while (!forecasting.learnUpTo(known, 1)) yield;
    yield;
    const actualWh = netOf(series, interval, lengthMs);
    const expectedWh = medianWh(forecasting.net(interval, 1)[0]);
    if (actualWh !== null && expectedWh !== null) errors.push(Math.abs(expectedWh - actualWh));
  }
  store.close();
  return errors;
}

/** Consumption less generation of the series, or null in a gap. */
function netOf({ consumption, generation }: SiteSeries, interval: number, lengthMs: number): WattHours | null {
  const startMs = intervalStartMs(interval, lengthMs);
  const of = (from: Parameters<typeof energyOfSeriesWh>[0]): number | null =>
    energyOfSeriesWh(from, startMs, startMs + lengthMs);
  let netWh = consumption === null ? 0 : of(consumption);
  for (const from of generation.values()) {
    const energyWh = of(from);
    netWh = netWh === null || energyWh === null ? null : netWh - Math.max(0, energyWh);
  }
  return netWh;
}
