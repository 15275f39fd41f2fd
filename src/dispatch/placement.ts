// Where one load runs, all others as they are: the times that cost the whole site least, its battery used at best around
// them. How its steps are found is placing.ts. Which loads are placed when is loads.ts.

import type { EnergyLoad, PlanLoad } from './equipment.ts';
import { Placement, WORTH_MOVE_UC } from './placing.ts';
import type { LoadPlan, PlanInput } from './plan-types.ts';
import { placeProgram, programMayGain } from './programs.ts';
import type { SiteCost } from './site-cost.ts';
import type { Sliced } from './slices.ts';

/** Places a load that `cost` does not hold yet; afterwards it does. An energy load stays off in the interval `banned`. */
export function* placeLoad(load: PlanLoad, input: PlanInput, cost: SiteCost, banned = -1): Sliced<LoadPlan> {
  if (load.kind === 'program') return yield* placeProgram(load, input, cost);
  const placement = new Placement(load, input, cost);
  placement.banned = banned;
  placement.placeRuns();
  while (yield* placement.next()) {}
  return yield* placement.finish();
}

/** Places a load with least times and one power that `cost` does not hold yet such that it runs in an interval, if it can. */
export function* placeLoadAt(load: EnergyLoad, input: PlanInput, cost: SiteCost, wanted: number): Sliced<LoadPlan> {
  const placement = new Placement(load, input, cost);
  placement.wanted = wanted;
  placement.placeRuns();
  while (yield* placement.next()) {}
  return yield* placement.finish();
}

/**
 * Moves single steps of a load that `cost` holds to better times until none is left to move. With `banned`, its step there is moved
 * away instead. Not for loads with least times.
 */
export function* rebalance(
  load: EnergyLoad,
  plan: LoadPlan,
  input: PlanInput,
  cost: SiteCost,
  banned?: number,
): Sliced<LoadPlan> {
  const placement = new Placement(load, input, cost, plan);
  if (banned !== undefined) yield* placement.moveAway(banned);
  else yield* placement.rebalance();
  return yield* placement.finish();
}

/** Finds all steps of a load that `cost` holds anew, none in the order of another (knapsack.ts). Not for loads with least times. */
export function* placeAnew(load: EnergyLoad, plan: LoadPlan, input: PlanInput, cost: SiteCost): Sliced<LoadPlan> {
  const placement = new Placement(load, input, cost, plan);
  yield* placement.again();
  return yield* placement.finish();
}

/**
 * Whether a load that `cost` holds might cost less elsewhere, all others as they are. The cost of consumption is convex: moving energy
 * saves at most what the prices of the next Wh differ by.
 */
export function mayGain(load: PlanLoad, plan: LoadPlan, input: PlanInput, cost: SiteCost): boolean {
  const prices = cost.nextPrices();
  if (load.kind === 'program') return programMayGain(load, plan, input, prices, WORTH_MOVE_UC);
  return new Placement(load, input, cost, plan).mayGain(prices);
}

/** Two loads placed at the same time, a step of each in turn. */
export function* placeTogether(loads: readonly EnergyLoad[], input: PlanInput, cost: SiteCost): Sliced<LoadPlan[]> {
  const placements = loads.map((load) => new Placement(load, input, cost));
  for (const placement of placements) placement.placeRuns();
  for (let open = placements; open.length > 0; ) {
    const next: Placement[] = [];
    for (const placement of open) if (yield* placement.next()) next.push(placement);
    open = next;
  }
  const plans: LoadPlan[] = [];
  for (const placement of placements) plans.push(yield* placement.finish());
  return plans;
}
