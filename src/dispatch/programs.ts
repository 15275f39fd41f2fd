// When a program runs that cannot be broken off: every start is priced by the whole cost of the site, those first that
// the price of the next Wh does not rule out.

import { type ProgramLoad, spanOf } from './equipment.ts';
import type { LoadPlan, PlanInput } from './plan-types.ts';
import type { SiteCost } from './site-cost.ts';
import type { Sliced } from './slices.ts';

/** Starts of a program, the cheapest first, with the whole cost of each; those that cannot be among the `count` cheapest are left out. */
export function* programStarts(
  load: ProgramLoad,
  input: PlanInput,
  cost: SiteCost,
  count: number,
): Sliced<{ readonly from: number; readonly totalUc: number }[]> {
  const hours = input.intervalMs / 3_600_000;
  const { first, end } = spanOf(load, input);
  const energiesWh = load.powersW.map((powerW) => powerW * hours);
  const prices = cost.nextPrices();
  const now = cost.total();
  const bounds: { from: number; totalUc: number }[] = [];
  for (let from = first; from + energiesWh.length <= end; from++) {
    let totalUc = now;
    for (let i = 0; i < energiesWh.length; i++) totalUc += prices[from + i]! * energiesWh[i]!;
    bounds.push({ from, totalUc });
  }
  bounds.sort((a, b) => a.totalUc - b.totalUc);
  const best: { from: number; totalUc: number }[] = [];
  for (const { from, totalUc } of bounds) {
    const worst = best[count - 1];
    if (worst !== undefined && totalUc >= worst.totalUc) break;
    if (cost.work.isPauseDue()) yield;
    best.push({ from, totalUc: cost.totalWith(from, energiesWh) });
    best.sort((a, b) => a.totalUc - b.totalUc || a.from - b.from);
    best.length = Math.min(best.length, count);
  }
  return best;
}

/** The plan of a program that starts in an interval; null: it does not run. */
export function programFrom(load: ProgramLoad, input: PlanInput, from: number | null): LoadPlan {
  const powersW = input.intervals.map(() => 0);
  if (from !== null) for (const [i, powerW] of load.powersW.entries()) powersW[from + i] = powerW;
  return { id: load.id, powersW, met: from !== null };
}

/** Places a program that `cost` does not hold yet; afterwards it does. */
export function* placeProgram(load: ProgramLoad, input: PlanInput, cost: SiteCost): Sliced<LoadPlan> {
  const [best] = yield* programStarts(load, input, cost, 1);
  if (best !== undefined) {
    const hours = input.intervalMs / 3_600_000;
    cost.add(
      best.from,
      load.powersW.map((powerW) => powerW * hours),
    );
  }
  return programFrom(load, input, best?.from ?? null);
}

/** Whether the program might cost less at another start: no start can cost less than its energy at the prices of the next Wh. */
export function programMayGain(
  load: ProgramLoad,
  { powersW }: LoadPlan,
  input: PlanInput,
  prices: Float64Array,
  worthUc: number,
): boolean {
  const hours = input.intervalMs / 3_600_000;
  const { first, end } = spanOf(load, input);
  const nowUc = powersW.reduce((sum, powerW, t) => sum + powerW * hours * prices[t]!, 0);
  for (let from = first; from + load.powersW.length <= end; from++) {
    if (load.powersW.reduce((sum, powerW, i) => sum + powerW * hours * prices[from + i]!, 0) < nowUc - worthUc)
      return true;
  }
  return false;
}
