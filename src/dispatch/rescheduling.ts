// Where else loads could run, seen from the interval that is offered for: out of it, to have more to sell, or into it, to buy more. Nothing
// before that interval changes. What is asked for it is bids.ts; after the trade the plan takes one of these or finds better (plan.ts).

import { type PlanLoad, spanOf } from './equipment.ts';
import { placeLoad, placeLoadAt } from './placement.ts';
import { ENOUGH_WH, movesFreely } from './placing.ts';
import type { LoadPlan, LoadSchedule, PlanInput, PricedSchedules } from './plan-types.ts';
import { programFrom } from './programs.ts';
import type { SiteCost } from './site-cost.ts';
import type { Sliced } from './slices.ts';

/** Loads that are moved at most each way: those whose moving costs least, alone and together with the ones before. */
const MOVED_MAX = 3;

type Way = 'out' | 'in';

/** Other schedules around the interval that is offered for. `cost` holds the loads as they are in `schedule`, before and after. */
export function* otherSchedules(input: PlanInput, schedule: LoadSchedule, cost: SiteCost): Sliced<LoadSchedule[]> {
  const others: LoadSchedule[] = [];
  for (const way of ['out', 'in'] as const) {
    const moved: { readonly l: number; readonly plan: LoadPlan; readonly totalUc: number }[] = [];
    for (const [l, load] of input.loads.entries()) {
      if (cost.work.isPauseDue()) yield;
      const back = cost.remember();
      const plan = yield* movedLoad(load, schedule.loads[l]!, way, input, cost);
      if (plan !== null) moved.push({ l, plan, totalUc: cost.total() });
      back();
    }
    moved.sort((a, b) => a.totalUc - b.totalUc);
    moved.length = Math.min(moved.length, MOVED_MAX);
    for (const [i, { l, plan }] of moved.entries()) {
      others.push({ ...schedule, loads: schedule.loads.with(l, plan) });
      const before = moved.slice(0, i + 1);
      if (i > 0)
        others.push({ ...schedule, loads: before.reduce((all, m) => all.with(m.l, m.plan), [...schedule.loads]) });
    }
  }
  return others;
}

/** A load moved out of the interval offered for, or into it, as `cost` then holds it; null when it cannot be. */
function* movedLoad(
  load: PlanLoad,
  now: LoadPlan,
  way: Way,
  input: PlanInput,
  cost: SiteCost,
): Sliced<LoadPlan | null> {
  const at = input.bidInterval;
  const { first, end } = spanOf(load, input);
  if (!now.met || at < first || at >= end || now.powersW[at]! > 0 !== (way === 'out')) return null;
  const hours = input.intervalMs / 3_600_000;
  const energiesWh = (powersW: readonly number[]): number[] => powersW.map((powerW) => powerW * hours);
  cost.add(0, energiesWh(now.powersW.map((powerW) => -powerW)));
  let plan: LoadPlan;
  if (load.kind === 'program') {
    // What has begun before runs on.
    if (now.powersW.findIndex((powerW) => powerW > 0) < at) return null;
    const laterMs = input.intervals[at]!.startMs + input.intervalMs;
    if (way === 'out') plan = yield* placeLoad({ ...load, earliestMs: laterMs }, input, cost);
    else {
      if (at + load.powersW.length > end) return null;
      plan = programFrom(load, input, at);
      cost.add(0, energiesWh(plan.powersW));
    }
  } else if (way === 'out') plan = yield* placeLoad(load, input, cost, at);
  else if (movesFreely(load, input)) {
    const powerW = load.powersW.findLast((w) => w * hours <= load.needWh) ?? load.powersW[0]!;
    cost.add(at, [powerW * hours]);
    const needWh = load.needWh - powerW * hours;
    const rest = yield* placeLoad({ ...load, needWh }, input, cost, at);
    if (rest.powersW[at]! > 0) return null;
    plan = { ...rest, powersW: rest.powersW.with(at, powerW) };
  } else plan = yield* placeLoadAt(load, input, cost, at);
  const isMoved = plan.powersW[at]! > 0 === (way === 'in');
  const isAsBefore = plan.powersW.every((powerW, t) => t >= at || powerW === now.powersW[t]);
  return plan.met && isMoved && isAsBefore ? plan : null;
}

/** Those of the schedules that an offer was priced with that still hold for the loads as they are now. */
export function fittingSchedules(priced: PricedSchedules | undefined, input: PlanInput): readonly LoadSchedule[] {
  const { loads, intervals } = input;
  if (priced === undefined || priced.loads.length !== loads.length) return [];
  const isSame = loads.every((load, l) => withoutNeed(load) === withoutNeed(priced.loads[l]!));
  if (!isSame) return [];
  return priced.schedules.filter(
    (schedule) =>
      schedule.only.length === intervals.length && schedule.loads.every((plan, l) => meets(plan, loads[l]!, input)),
  );
}

function withoutNeed(load: PlanLoad): string {
  return JSON.stringify(load.kind === 'energy' ? { ...load, needWh: 0 } : load);
}

function meets({ met, powersW }: LoadPlan, load: PlanLoad, { intervalMs }: PlanInput): boolean {
  if (!met || load.kind === 'program') return met;
  const takenWh = powersW.reduce((sum, powerW) => sum + (powerW * intervalMs) / 3_600_000, 0);
  return takenWh >= load.needWh - ENOUGH_WH;
}
