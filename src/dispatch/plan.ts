// The plan of a site: when to charge and discharge, when loads run, what to offer. Pure: prices, forecasts and states come in.
// Loads are placed first against the exact cost of the site with its battery (loads.ts), then the battery is planned
// over the uncertain forecast by dynamic programming (value.ts); the value of stored energy gives the bids (bids.ts).

import { WattpactError } from '../base/errors.ts';
import { MEDIAN, QUANTILES } from '../forecast/types.ts';
import { bidCurve, type PricedInterval } from './bids.ts';
import { type CostToGo, costAt } from './cost-to-go.ts';
import { reserveWh } from './equipment.ts';
import { type Exchange, exchangeCost, type Only } from './exchange.ts';
import { explainPlan } from './explain.ts';
import { scheduleLoads } from './loads.ts';
import {
  type LoadSchedule,
  PLAN_BATTERIES_MAX,
  PLAN_INTERVALS_MAX,
  PLAN_LOADS_MAX,
  type Plan,
  type PlanInput,
  type PlanInterval,
  type PlanStep,
  type StoredBattery,
  type StoredValue,
  type Uncertain,
} from './plan-types.ts';
import { fittingSchedules, otherSchedules } from './rescheduling.ts';
import { atOnce, type Sliced, Work } from './slices.ts';
import { tapersOf } from './taper.ts';
import { acWh, average, choicesOf, decide, type Storage, stepBack } from './value.ts';

/** Outcomes that stand for a whole distribution, with their probabilities (Swanson's rule: 10, 50 and 90 %). */
const OUTCOMES = [
  { quantile: QUANTILES.indexOf(0.1), weight: 0.3 },
  { quantile: MEDIAN, weight: 0.4 },
  { quantile: QUANTILES.indexOf(0.9), weight: 0.3 },
] as const;
const OUTCOME_WEIGHTS: readonly number[] = OUTCOMES.map(({ weight }) => weight);
/**
 * How long a forecast that errs goes on erring the same way: a cloudy morning is mostly a cloudy day. After this time an outcome
 * tells nothing more of those that follow.
 */
const ERRORS_LAST_MS = 12 * 3_600_000;
/**
 * How much of what a forecast of consumption may err by is the same over hours, as a part of its spread; the rest (who cooks when) is another
 * one in each interval and evens out over what a battery holds. What is said of generation errs together: its weather is one.
 */
const CONSUMPTION_ERRS_ALIKE = 0.5;
/** A limit of the connection broken costs this many times the dearest price of the plan. */
const PENALTY_FACTOR = 10;
/** Rounds of planning with the plan's own last day as what follows it. */
const END_ROUNDS = 1;
const DAY_MS = 86_400_000;
/** A step over an uncertain interval counts as so many: its functions have more pieces, and their mean is taken too. */
const UNCERTAIN_WORK = 5;

/** A schedule with the site's exchanges and its cost before each interval. */
interface Costed {
  readonly schedule: LoadSchedule;
  readonly loaded: readonly (readonly Exchange[])[];
  readonly costs: readonly CostToGo[];
}

/** Middle of a forecast. */
export function medianOf(energy: Uncertain): number {
  return typeof energy === 'number' ? energy : energy[MEDIAN]!;
}

/**
 * Plans up to `PLAN_INTERVALS_MAX` intervals. Throws `plan.input` when the input contradicts itself.
 * The result holds the expected cost, what happens at the middle of the forecast, and the value of stored energy after each interval.
 */
export function planSite(input: PlanInput): Plan {
  return atOnce(planInPieces(input));
}

/** The same plan with pauses, so that who asks for it may do other things in between. */
export function* planInPieces(input: PlanInput): Sliced<Plan> {
  check(input);
  const work = new Work();
  const { intervals } = input;
  const hours = input.intervalMs / 3_600_000;
  const dearest = intervals.reduce((max, x) => Math.max(max, Math.abs(x.buyUcPerWh), Math.abs(x.sellUcPerWh)), 1);
  const exchanges = intervals.map((x) => exchangeOf(x, input.curtailable, hours, dearest * PENALTY_FACTOR));
  const storage = storageOf(input.batteries, hours);
  const storedWh = input.batteries.reduce((sum, stored) => sum + stored.storedWh, 0);
  const middle = exchanges.map((nodes) => nodes[MEDIAN] ?? nodes[0]!);
  const lasting = intervals.map((x, t) => lastingOutcomes(x, exchanges[t]!));
  const end = yield* endOf(input, lasting, storage, work);
  const placed = yield* scheduleLoads(input, middle, storage, storedWh, end, work);
  const withLoads = (of: readonly (readonly Exchange[])[], { loads, only }: LoadSchedule): Exchange[][] =>
    of.map((nodes, t) => {
      const loadWh = loads.reduce((sum, load) => sum + load.powersW[t]! * hours, 0);
      return nodes.map((x) => withLoad(x, loadWh, only[t]));
    });
  function* costed(schedule: LoadSchedule): Sliced<Costed> {
    const costs = yield* costsToGo(withLoads(lasting, schedule), storage, end, input.intervalMs, work);
    return { schedule, loaded: withLoads(exchanges, schedule), costs };
  }
  let best = yield* costed(placed.schedule);
  for (const schedule of fittingSchedules(input.priced, input)) {
    const known = yield* costed(schedule);
    if (costAt(known.costs[0]!, storedWh) < costAt(best.costs[0]!, storedWh)) best = known;
  }
  const { loaded, costs } = best;
  const { loads } = best.schedule;

  const steps: PlanStep[] = [];
  let stored = storedWh;
  for (const [t, interval] of intervals.entries()) {
    const x = loaded[t]![MEDIAN] ?? loaded[t]![0]!;
    let batteryWh = 0;
    let end = stored;
    if (storage !== null) {
      const choice = decide(costs[t + 1]!, choicesOf(storage, x), storage, stored);
      batteryWh = acWh(storage, choice.withdrawnWh);
      end = choice.storedEndWh;
    }
    const { curtailedWh } = exchangeCost(x, batteryWh - x.netWh);
    steps.push({
      startMs: interval.startMs,
      generationWh: medianOf(interval.generationWh),
      curtailedWh,
      consumptionWh: medianOf(interval.consumptionWh),
      loadsWh: loads.reduce((sum, load) => sum + load.powersW[t]! * hours, 0),
      batteryWh,
      gridWh: x.netWh - batteryWh + curtailedWh,
      storedEndWh: end,
    });
    stored = end;
  }
  const first = costs[0]!;
  const storedValues = costs.slice(1).map(storedValueOf);
  const bidAt = input.bidInterval;
  // What was traded decides where loads run; it is not offered again.
  const others = input.priced === undefined ? yield* otherSchedules(input, best.schedule, placed.cost) : [];
  const pricedOthers: PricedInterval[] = [];
  for (const other of others) {
    const moved = withLoads(lasting, other).slice(bidAt + 1);
    const [after] = yield* costsToGo(moved, storage, end, input.intervalMs, work);
    pricedOthers.push({ exchanges: withLoads(exchanges, other)[bidAt]!, after: after! });
  }
  const bids = bidCurve({
    exchanges: loaded[bidAt]!,
    storage,
    storedWh: bidAt === 0 ? storedWh : steps[bidAt - 1]!.storedEndWh,
    after: costs[bidAt + 1]!,
    others: pricedOthers,
    terms: input.terms,
  });
  return {
    intervalMs: input.intervalMs,
    costUc: first === undefined ? 0 : costAt(first, storedWh),
    steps,
    loads,
    storedValues,
    bids,
    priced: { loads: input.loads, schedules: [best.schedule, ...others] },
    explanation: explainPlan(input, steps, loads, storage),
  };
}

function withLoad(x: Exchange, loadWh: number, only: Only | undefined): Exchange {
  return { ...x, netWh: x.netWh + loadWh, ...(only === undefined ? {} : { only }) };
}

function storedValueOf(cost: CostToGo): StoredValue[] {
  let upToWh = cost.lowWh;
  return cost.values.map((valueUcPerWh, i) => {
    upToWh += cost.widthsWh[i]!;
    return { upToWh, valueUcPerWh };
  });
}

/** Cost-to-go before each interval, of its outcomes, and, last, after the plan. Without a battery: sums of expected costs, no width. */
function* costsToGo(
  exchanges: readonly (readonly Exchange[])[],
  storage: Storage | null,
  end: CostToGo,
  intervalMs: number,
  work: Work,
): Sliced<CostToGo[]> {
  const costs = new Array<CostToGo>(exchanges.length + 1);
  costs[exchanges.length] = end;
  const stays = Math.exp(-intervalMs / ERRORS_LAST_MS);
  // Cost-to-go before the later interval if the forecast errs as it does in each outcome; one function while nothing is uncertain.
  let erring: readonly CostToGo[] = [end];
  for (let t = exchanges.length - 1; t >= 0; t--) {
    const outcomes = exchanges[t]!;
    work.add(UNCERTAIN_WORK * outcomes.length);
    if (work.isPauseDue()) yield;
    const after = costs[t + 1]!;
    if (storage === null) {
      const weight = (k: number): number => (outcomes.length === 1 ? 1 : OUTCOME_WEIGHTS[k]!);
      const mean = outcomes.reduce((sum, x, k) => sum + weight(k) * exchangeCost(x, -x.netWh).costUc, 0);
      costs[t] = { ...after, costAtLowUc: after.costAtLowUc + mean };
      continue;
    }
    if (outcomes.length === 1) {
      costs[t] = stepBack(after, choicesOf(storage, outcomes[0]!), storage);
      erring = [costs[t]!];
      continue;
    }
    erring = outcomes.map((x, k) => {
      const same = erring[k];
      const later = same === undefined || erring.length === 1 ? after : average([same, after], [stays, 1 - stays]);
      return stepBack(later, choicesOf(storage, x), storage);
    });
    costs[t] = average(erring, OUTCOME_WEIGHTS);
  }
  return costs;
}

/** What stored energy is worth after the plan: as told, or else as on the plan's own last day. */
function* endOf(
  input: PlanInput,
  exchanges: readonly (readonly Exchange[])[],
  storage: Storage | null,
  work: Work,
): Sliced<CostToGo> {
  if (storage === null) return { lowWh: 0, costAtLowUc: 0, values: [], widthsWh: [] };
  if (input.endValueUcPerWh !== null) return flatEnd(input, storage, input.endValueUcPerWh);
  const prices = input.intervals.map((x) => x.buyUcPerWh).sort((a, b) => a - b);
  const usual = (prices[Math.floor(prices.length / 2)] ?? 0) * storage.dischargeEfficiency - storage.wearUcPerWh;
  let end = flatEnd(input, storage, Math.max(0, usual));
  const dayBefore = exchanges.length - Math.round(DAY_MS / input.intervalMs);
  for (let round = 0; round < END_ROUNDS && dayBefore >= 0; round++) {
    const [before] = yield* costsToGo(exchanges.slice(dayBefore), storage, end, input.intervalMs, work);
    end = { ...before!, costAtLowUc: 0 };
  }
  return end;
}

/** The same value for every Wh; what is missing of the reserve is worth the dearest price. */
function flatEnd(input: PlanInput, storage: Storage, value: number): CostToGo {
  const { lowWh, highWh } = storage;
  const reserve = input.batteries.reduce((sum, { battery }) => sum + reserveWh(battery), 0);
  const costAtLowUc = -value * lowWh;
  if (lowWh >= reserve) return { lowWh, costAtLowUc, values: [value], widthsWh: [highWh - lowWh] };
  const dearest = input.intervals.reduce((max, x) => Math.max(max, x.buyUcPerWh), value);
  return { lowWh, costAtLowUc, values: [dearest, value], widthsWh: [reserve - lowWh, highWh - reserve] };
}

/** The interval if the forecast errs as in each of `OUTCOMES` for hours: around the mean, by the part of its doubt that lasts. Certain: as it is. */
function lastingOutcomes(interval: PlanInterval, nodes: readonly Exchange[]): readonly Exchange[] {
  if (nodes.length === 1) return nodes;
  const spread = (energy: Uncertain): number =>
    quantile(energy, OUTCOMES[2].quantile) - quantile(energy, OUTCOMES[0].quantile);
  const [consumption, generation] = [spread(interval.consumptionWh), spread(interval.generationWh)];
  const all = Math.hypot(consumption, generation);
  const lasts = all === 0 ? 1 : Math.hypot(CONSUMPTION_ERRS_ALIKE * consumption, generation) / all;
  const outcomes = OUTCOMES.map((outcome) => nodes[outcome.quantile]!);
  const meanOf = (of: (x: Exchange) => number): number =>
    outcomes.reduce((sum, x, k) => sum + OUTCOME_WEIGHTS[k]! * of(x), 0);
  const [netWh, generationWh] = [meanOf((x) => x.netWh), meanOf((x) => x.generationWh)];
  return outcomes.map((x) => ({
    ...x,
    netWh: netWh + lasts * (x.netWh - netWh),
    generationWh: generationWh + lasts * (x.generationWh - generationWh),
  }));
}

/** The interval as the battery sees it: one exchange when it is certain, one for each quantile of net consumption otherwise. */
function exchangeOf(interval: PlanInterval, curtailable: boolean, hours: number, penaltyUcPerWh: number): Exchange[] {
  const generation = medianOf(interval.generationWh);
  const consumption = medianOf(interval.consumptionWh);
  const base = {
    curtailable,
    positionWh: interval.positionWh,
    buyUcPerWh: interval.buyUcPerWh,
    sellUcPerWh: interval.sellUcPerWh,
    importLimitWh: interval.importLimitW * hours,
    exportLimitWh: interval.exportLimitW * hours,
    penaltyUcPerWh,
  };
  if (typeof interval.generationWh === 'number' && typeof interval.consumptionWh === 'number') {
    return [{ ...base, netWh: consumption - generation, generationWh: generation }];
  }
  // Consumption and generation err independently: their deviations add as squares.
  return QUANTILES.map((_, k) => {
    const more = quantile(interval.consumptionWh, k) - consumption;
    const less = generation - quantile(interval.generationWh, QUANTILES.length - 1 - k);
    const deviation = Math.sign(k - MEDIAN) * Math.hypot(more, less);
    const share = more === 0 && less === 0 ? 0 : (less * less) / (more * more + less * less);
    return {
      ...base,
      netWh: consumption - generation + deviation,
      generationWh: Math.max(0, generation - deviation * share),
    };
  });
}

function quantile(energy: Uncertain, k: number): number {
  return typeof energy === 'number' ? energy : energy[k]!;
}

/** All batteries as one: energies and powers add, efficiencies and wear weigh by capacity, the strictest word on export holds. */
export function storageOf(batteries: readonly StoredBattery[], hours: number): Storage | null {
  if (batteries.length === 0) return null;
  const sum = (of: (stored: StoredBattery) => number): number => batteries.reduce((total, b) => total + of(b), 0);
  const capacity = sum(({ battery }) => battery.capacityWh);
  const mean = (of: (stored: StoredBattery) => number): number => sum((b) => of(b) * b.battery.capacityWh) / capacity;
  const chargeEfficiency = mean(({ battery }) => battery.chargeEfficiency);
  const dischargeEfficiency = mean(({ battery }) => battery.dischargeEfficiency);
  return {
    // Below its reserve a battery may be charged but not discharged further.
    lowWh: Math.min(
      sum(({ battery }) => reserveWh(battery)),
      sum((stored) => stored.storedWh),
    ),
    highWh: capacity,
    chargeAcWh: sum(({ battery }) => battery.chargeLimitW) * hours,
    dischargeAcWh: sum(({ battery }) => battery.dischargeLimitW) * hours,
    chargeEfficiency,
    dischargeEfficiency,
    standingLossWh: sum(({ battery }) => battery.standingLossW) * hours,
    wearUcPerWh: mean(({ battery }) => battery.cycleCostUcPerWh) / 2,
    exports: batteries.every(({ battery }) => battery.export !== 'never'),
    chargesFromGrid: batteries.every(({ battery }) => battery.export !== 'own-generation'),
    tapers: tapersOf(batteries, { charge: chargeEfficiency, discharge: dischargeEfficiency }, hours),
  };
}

function check(input: PlanInput): void {
  const wrong = (message: string): never => {
    throw new WattpactError('plan.input', message);
  };
  const { intervals, batteries, loads, intervalMs, bidInterval } = input;
  if (!(intervalMs > 0)) wrong(`An interval must be longer than 0 ms, not ${intervalMs}`);
  if (intervals.length === 0 || intervals.length > PLAN_INTERVALS_MAX) {
    wrong(`A plan needs 1 to ${PLAN_INTERVALS_MAX} intervals, not ${intervals.length}`);
  }
  if (batteries.length > PLAN_BATTERIES_MAX) wrong(`A plan takes at most ${PLAN_BATTERIES_MAX} batteries`);
  if (loads.length > PLAN_LOADS_MAX) wrong(`A plan takes at most ${PLAN_LOADS_MAX} loads`);
  if (!(bidInterval >= 0 && bidInterval < intervals.length)) wrong(`There is no interval ${bidInterval} to bid for`);
  for (const [t, x] of intervals.entries()) {
    if (x.startMs !== intervals[0]!.startMs + t * intervalMs) wrong(`Interval ${t} does not follow the one before it`);
    for (const [what, value] of [
      ['buy price', x.buyUcPerWh],
      ['sell price', x.sellUcPerWh],
      ['position', x.positionWh],
      ['generation', medianOf(x.generationWh)],
      ['consumption', medianOf(x.consumptionWh)],
    ] as const) {
      if (!Number.isFinite(value)) wrong(`Interval ${t}: ${what} is not a number`);
    }
  }
  for (const { battery, storedWh } of batteries) {
    if (!(storedWh >= 0 && storedWh <= battery.capacityWh)) {
      wrong(`Battery ${battery.id}: ${storedWh} Wh stored is outside 0 to ${battery.capacityWh} Wh`);
    }
  }
}
