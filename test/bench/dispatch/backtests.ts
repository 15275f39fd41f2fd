// What the planner would have won on measured days, site by site and tariff by tariff.

import { backtest } from '../../../src/dispatch/backtest.ts';
import { causalForecast } from '../../../src/dispatch/site-forecast.ts';
import { TERMS } from '../../dispatch/problems.ts';
import { type BenchSite, intervalsOf, SITES, type Tariff } from './sites.ts';

const DAY = 96;
const WARMUP_DAYS = 28;
const HORIZON = 144;
const REPLAN_EVERY = 4;
/** Share of the possible saving that is wanted of every site. */
const WANTED_SHARE = 0.85;
/** A site without generation sees the exchange's small spread only: a battery can win nothing there. */
const tariffsOf = (site: BenchSite): readonly Tariff[] =>
  site.generation === null ? ['time-of-use'] : ['time-of-use', 'day-ahead'];

export interface BacktestFigures {
  readonly sites: number;
  /** Means over sites and tariffs: of the saving that was possible, and of what was possible beyond the rule. */
  readonly shareOfPossible: number;
  readonly shareBeyondRule: number;
  readonly worstShare: number;
  /** Sites and tariffs whose share is below 0.85. */
  readonly below: number;
  readonly aboveRuleEverywhere: boolean;
  readonly msPerPlan: number;
}

/** `days` that count at each site at most. */
export function benchBacktests(days: number): BacktestFigures {
  const shares: number[] = [];
  const beyond: number[] = [];
  let above = true;
  const ms: number[] = [];
  process.stdout.write(
    `  ${'site'.padEnd(32)}${'tariff'.padEnd(13)}      none      rule   planner   perfect  share beyond cycles\n`,
  );
  for (const site of SITES) {
    const remembered = new Map<number, ReturnType<ReturnType<typeof causalForecast>>>();
    for (const tariff of tariffsOf(site)) {
      const intervals = intervalsOf(site, tariff).slice(0, (WARMUP_DAYS + days) * DAY);
      const ask = causalForecast(intervals, {
        intervalMs: 900_000,
        latitude: site.latitude,
        longitude: site.longitude,
        timezone: site.timezone,
        generation: site.generation?.kind ?? null,
        capacityW: site.generation?.source.toW ?? 0,
      });
      // Forecasts know no prices: those of the first tariff serve the second.
      const forecast = (t: number, count: number) => {
        const known = remembered.get(t) ?? ask(t, count);
        remembered.set(t, known);
        return known;
      };
      const result = backtest({
        intervalMs: 900_000,
        intervals,
        batteries: [site.battery],
        curtailable: true,
        importLimitW: 100_000,
        exportLimitW: 100_000,
        terms: TERMS,
        scoredFrom: WARMUP_DAYS * DAY,
        horizon: HORIZON,
        replanEvery: REPLAN_EVERY,
        pricesPublishedMs: 43_200_000,
        forecast,
        stopwatch: () => performance.now(),
      });
      const { none, rule, planner, perfect, shareOfPossible, shareBeyondRule } = result;
      if (shareOfPossible !== null) shares.push(shareOfPossible);
      if (shareBeyondRule !== null) beyond.push(shareBeyondRule);
      if (planner.costUc >= rule.costUc) above = false;
      ms.push(result.msPerPlan);
      const cells = [none, rule, planner, perfect].map(({ costUc }) => (costUc / 1e8).toFixed(2).padStart(10));
      const parts = [
        (shareOfPossible ?? Number.NaN).toFixed(3),
        (shareBeyondRule ?? Number.NaN).toFixed(3),
        planner.cycles.toFixed(1),
      ];
      process.stdout.write(`  ${site.name.padEnd(32)}${tariff.padEnd(13)}${cells.join('')}  ${parts.join('  ')}\n`);
    }
  }
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    sites: SITES.length,
    shareOfPossible: mean(shares),
    shareBeyondRule: mean(beyond),
    worstShare: Math.min(...shares),
    below: shares.filter((share) => share < WANTED_SHARE).length,
    aboveRuleEverywhere: above,
    msPerPlan: mean(ms),
  };
}
