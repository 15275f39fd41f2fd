// What a battery would have earned on measured days: without it, with the usual rule, with this planner on its own
// forecasts, and with perfect foresight. Strictly causal: a plan sees forecasts made from earlier steps and the prices
// that were published by then. Every strategy meets the same interval the same way (control follows the site within it).

import { intervalAt } from '../base/interval.ts';
import type { Millis } from '../base/units.ts';
import { DAY_MS } from '../forecast/calendar.ts';
import type { Battery } from '../site/types.ts';
import type { CostToGo } from './cost-to-go.ts';
import { type Exchange, exchangeCost } from './exchange.ts';
import { planSite, storageOf } from './plan.ts';
import type { BidTerms, PlanInterval, Uncertain } from './plan-types.ts';
import { withinTapers } from './taper.ts';
import { acWh, choicesOf, decide, type Storage, stepBack } from './value.ts';

export interface MeasuredInterval {
  readonly startMs: Millis;
  readonly generationWh: number;
  readonly consumptionWh: number;
  readonly buyUcPerWh: number;
  readonly sellUcPerWh: number;
}

export interface SiteForecast {
  readonly generationWh: readonly Uncertain[];
  readonly consumptionWh: readonly Uncertain[];
}

export interface BacktestInput {
  readonly intervalMs: Millis;
  readonly intervals: readonly MeasuredInterval[];
  readonly batteries: readonly Battery[];
  readonly curtailable: boolean;
  readonly importLimitW: number;
  readonly exportLimitW: number;
  readonly terms: BidTerms;
  /** First interval that counts: those before only teach the forecaster. */
  readonly scoredFrom: number;
  /** Intervals that a plan looks ahead, and between two plans. */
  readonly horizon: number;
  readonly replanEvery: number;
  /** Time of day (UTC) at which the prices of the next UTC day are published. */
  readonly pricesPublishedMs: Millis;
  /** Forecast of the intervals from `t` on, made from intervals before `t` only. */
  readonly forecast: (t: number, count: number) => SiteForecast;
  /** A stopwatch, ms. */
  readonly stopwatch: () => number;
}

export interface StrategyResult {
  /** Energy bought less sold, wear included, stored energy at the end paid back at its value. */
  readonly costUc: number;
  /** Full cycles of the battery. */
  readonly cycles: number;
}

export interface BacktestResult {
  readonly days: number;
  readonly none: StrategyResult;
  readonly rule: StrategyResult;
  readonly planner: StrategyResult;
  readonly perfect: StrategyResult;
  /** (none - planner) / (none - perfect), and the same from the rule on. Null when perfect foresight saves nothing. */
  readonly shareOfPossible: number | null;
  readonly shareBeyondRule: number | null;
  readonly msPerPlan: number;
}

/** What stands between having a forecast and acting: withdraws stored energy (- charges) in interval `t`. */
type Strategy = (t: number, x: Exchange, storedWh: number) => number;

/** Runs all four over the measured intervals; they begin half full. */
export function backtest(input: BacktestInput): BacktestResult {
  const hours = input.intervalMs / 3_600_000;
  const halfFull = input.batteries.map((battery) => ({ battery, storedWh: battery.capacityWh / 2 }));
  const storage = storageOf(halfFull, hours);
  const exchanges = input.intervals.map((x) => exchangeOf(x, input, hours));
  const scored = exchanges.slice(input.scoredFrom);
  const days = (scored.length * input.intervalMs) / DAY_MS;
  const none = { costUc: Math.round(scored.reduce((sum, x) => sum + exchangeCost(x, -x.netWh).costUc, 0)), cycles: 0 };
  if (storage === null) {
    const nothing = { shareOfPossible: null, shareBeyondRule: null, msPerPlan: 0 };
    return { days, none, rule: none, planner: none, perfect: none, ...nothing };
  }
  const endValue = endValueOf(input, storage);
  const score = (strategy: Strategy): StrategyResult => run(input, exchanges, storage, endValue, strategy);
  const watch = { ms: 0, plans: 0 };
  const rule = score(selfConsumption(storage));
  const planner = score(planned(input, storage, watch));
  const perfect = score(foreseen(exchanges, storage, endValue));
  const possible = none.costUc - perfect.costUc;
  const beyondRule = rule.costUc - perfect.costUc;
  return {
    days,
    none,
    rule,
    planner,
    perfect,
    shareOfPossible: possible > 0 ? (none.costUc - planner.costUc) / possible : null,
    shareBeyondRule: beyondRule > 0 ? (rule.costUc - planner.costUc) / beyondRule : null,
    msPerPlan: watch.plans === 0 ? 0 : watch.ms / watch.plans,
  };
}

function exchangeOf(x: MeasuredInterval, input: BacktestInput, hours: number): Exchange {
  return {
    netWh: x.consumptionWh - x.generationWh,
    generationWh: x.generationWh,
    curtailable: input.curtailable,
    positionWh: 0,
    buyUcPerWh: x.buyUcPerWh,
    sellUcPerWh: x.sellUcPerWh,
    importLimitWh: input.importLimitW * hours,
    exportLimitWh: input.exportLimitW * hours,
    penaltyUcPerWh: 10 * Math.max(1, Math.abs(x.buyUcPerWh), Math.abs(x.sellUcPerWh)),
  };
}

/** Stored energy at the end is worth what it saves at the middle price. */
function endValueOf(input: BacktestInput, storage: Storage): number {
  const prices = input.intervals
    .slice(input.scoredFrom)
    .map((x) => x.buyUcPerWh)
    .sort((a, b) => a - b);
  const middle = prices[Math.floor(prices.length / 2)] ?? 0;
  return Math.max(0, middle * storage.dischargeEfficiency - storage.wearUcPerWh);
}

function run(
  input: BacktestInput,
  exchanges: readonly Exchange[],
  storage: Storage,
  endValue: number,
  strategy: Strategy,
): StrategyResult {
  const startWh = Math.max(storage.lowWh, storage.highWh / 2);
  let storedWh = startWh;
  let costUc = 0;
  let dischargedWh = 0;
  for (let t = input.scoredFrom; t < exchanges.length; t++) {
    const x = exchanges[t]!;
    // Below its lowest a store is not left: what the standing loss took is charged again, whatever the strategy.
    const wantedWh = strategy(t, x, storedWh);
    const possibleWh = storage.tapers === null ? wantedWh : withinTapers(storage.tapers, storedWh, wantedWh);
    const withdrawnWh = Math.min(possibleWh, storedWh - storage.standingLossWh - storage.lowWh);
    costUc +=
      exchangeCost(x, acWh(storage, withdrawnWh) - x.netWh).costUc + Math.abs(withdrawnWh) * storage.wearUcPerWh;
    dischargedWh += Math.max(0, withdrawnWh);
    storedWh = storedWh - withdrawnWh - storage.standingLossWh;
  }
  return { costUc: Math.round(costUc + (startWh - storedWh) * endValue), cycles: dischargedWh / storage.highWh };
}

/** The usual rule: surplus charges, need discharges, nothing else. */
function selfConsumption(storage: Storage): Strategy {
  return (_t, x, storedWh) => {
    const free = storedWh - storage.standingLossWh;
    if (x.netWh < 0) {
      const ac = Math.min(-x.netWh, storage.chargeAcWh, Math.max(0, storage.highWh - free) / storage.chargeEfficiency);
      return -ac * storage.chargeEfficiency;
    }
    const ac = Math.min(x.netWh, storage.dischargeAcWh);
    return Math.min(ac / storage.dischargeEfficiency, Math.max(0, free - storage.lowWh));
  };
}

/** The best there is: the value of stored energy from what really came. */
function foreseen(exchanges: readonly Exchange[], storage: Storage, endValue: number): Strategy {
  const costs = new Array<CostToGo>(exchanges.length + 1);
  costs[exchanges.length] = {
    lowWh: storage.lowWh,
    costAtLowUc: 0,
    values: [endValue],
    widthsWh: [storage.highWh - storage.lowWh],
  };
  for (let t = exchanges.length - 1; t >= 0; t--) {
    costs[t] = stepBack(costs[t + 1]!, choicesOf(storage, exchanges[t]!), storage);
  }
  return (t, x, storedWh) => decide(costs[t + 1]!, choicesOf(storage, x), storage, storedWh).withdrawnWh;
}

/** This planner: a plan every so often, and within each interval its value of stored energy against the prices. */
function planned(input: BacktestInput, storage: Storage, watch: { ms: number; plans: number }): Strategy {
  let plannedAt = Number.NEGATIVE_INFINITY;
  let values: CostToGo[] = [];
  return (t, x, storedWh) => {
    if (t - plannedAt >= input.replanEvery) {
      const count = Math.min(input.horizon, 400);
      const forecast = input.forecast(t, count);
      const began = input.stopwatch();
      const plan = planSite({
        intervalMs: input.intervalMs,
        intervals: forecast.generationWh.map((generationWh, i) =>
          plannedInterval(input, t, i, generationWh, forecast.consumptionWh[i]!),
        ),
        bidInterval: 0,
        batteries: input.batteries.map((battery) => ({
          battery,
          storedWh: battery.capacityWh * Math.min(1, storedWh / storage.highWh),
        })),
        loads: [],
        curtailable: input.curtailable,
        endValueUcPerWh: null,
        terms: input.terms,
      });
      watch.ms += input.stopwatch() - began;
      watch.plans++;
      values = plan.storedValues.map((steps) => {
        let lowWh = storage.lowWh;
        const widthsWh = steps.map(({ upToWh }) => {
          const width = Math.max(0, upToWh - lowWh);
          lowWh = Math.max(lowWh, upToWh);
          return width;
        });
        return {
          lowWh: storage.lowWh,
          costAtLowUc: 0,
          values: steps.map(({ valueUcPerWh }) => valueUcPerWh),
          widthsWh,
        };
      });
      plannedAt = t;
    }
    return decide(values[t - plannedAt]!, choicesOf(storage, x), storage, storedWh).withdrawnWh;
  };
}

function plannedInterval(
  input: BacktestInput,
  now: number,
  i: number,
  generationWh: Uncertain,
  consumptionWh: Uncertain,
): PlanInterval {
  const { buyUcPerWh, sellUcPerWh } = input.intervals[priceSource(input, now, now + i)]!;
  const startMs = input.intervals[now]!.startMs + i * input.intervalMs;
  const { importLimitW, exportLimitW } = input;
  return { startMs, generationWh, consumptionWh, buyUcPerWh, sellUcPerWh, positionWh: 0, importLimitW, exportLimitW };
}

/** The interval whose price stands for `t` as seen from `now`: itself when published, else the same time of the last published day. */
export function priceSource(
  input: Pick<BacktestInput, 'intervals' | 'intervalMs' | 'pricesPublishedMs'>,
  now: number,
  t: number,
): number {
  const nowMs = input.intervals[now]!.startMs;
  const today = intervalAt(nowMs, DAY_MS);
  const knownUntilMs = (today + (nowMs - today * DAY_MS >= input.pricesPublishedMs ? 2 : 1)) * DAY_MS;
  const perDay = DAY_MS / input.intervalMs;
  let source = t;
  while (source > now && (source >= input.intervals.length || input.intervals[source]!.startMs >= knownUntilMs))
    source -= perDay;
  return Math.max(0, Math.min(source, input.intervals.length - 1));
}
