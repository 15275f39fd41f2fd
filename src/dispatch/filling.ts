// Where loads run that move freely, all of them at once: interval by interval the most promising choices of powers are kept, each
// judged by its exact cost so far and the cost from there on with what is still needed at its price (adapting.ts).

import type { CostToGo } from './cost-to-go.ts';
import { type EnergyLoad, spanOf } from './equipment.ts';
import type { LoadPlan, PlanInput } from './plan-types.ts';
import type { SiteCost } from './site-cost.ts';
import type { Sliced } from './slices.ts';
import { leastTotal } from './value.ts';

const TOO_DEAR = Number.NEGATIVE_INFINITY;
/** Ways to have used energy are told apart by whole Wh of each load. */
const KEY_WIDTH = 1 << 20;
const ENOUGH_WH = 1e-6;

/** Powers of all loads in an interval: 0 is off, k the k-th power. */
interface Combination {
  readonly levels: readonly number[];
  readonly energiesWh: readonly number[];
  /** What the highest step of each load is added to: it must still be needed then. */
  readonly withoutWh: readonly number[];
  readonly moreWh: number;
}

interface Node {
  readonly before: Node | null;
  readonly levels: readonly number[];
  readonly usedWh: readonly number[];
  readonly upTo: CostToGo;
  /** No continuation costs less, the worth of what is needed being what it is. */
  readonly boundUc: number;
}

/**
 * Plans of loads that `cost` does not hold, but knows as adapting to what is worth `worthsUcPerWh` to each; null when nothing was found
 * that costs less than `belowUc` altogether. From interval to interval the best choice for each of `kept` ways to have used energy goes on.
 */
export function* fillFreely(
  loads: readonly EnergyLoad[],
  worthsUcPerWh: readonly number[],
  input: PlanInput,
  cost: SiteCost,
  belowUc: number,
  kept: number,
): Sliced<{ readonly plans: LoadPlan[]; readonly costUc: number } | null> {
  const hours = input.intervalMs / 3_600_000;
  const spans = loads.map((load) => spanOf(load, input));
  const first = Math.min(...spans.map((span) => span.first));
  const end = Math.max(...spans.map((span) => span.end));
  const all = combinationsOf(loads, hours);
  const mostWh = loads.map(({ powersW }) => (powersW.at(-1) ?? 0) * hours);
  const nothing = loads.map(() => 0);
  const start = { before: null, levels: nothing, usedWh: nothing, upTo: cost.upTo(first), boundUc: 0 };
  let nodes: Node[] = [start];
  for (let t = first; t < end; t++) {
    const open = spans.map((span) => t >= span.first && t < span.end);
    const restWh = spans.map((span, l) => Math.max(0, span.end - Math.max(t + 1, span.first)) * mostWh[l]!);
    const possible = all.filter(({ levels }) => levels.every((level, l) => level === 0 || open[l]));
    const steps = new Array<((before: CostToGo) => CostToGo) | undefined>(possible.length);
    const after = cost.from(t + 1);
    const next = new Map<number, Node>();
    for (const node of nodes) {
      if (cost.work.isPauseDue()) yield;
      let lastUc = Number.POSITIVE_INFINITY;
      for (let c = 0; c < possible.length; c++) {
        const { levels, energiesWh, withoutWh, moreWh } = possible[c]!;
        const lastLevel = levels[loads.length - 1]!;
        if (lastLevel === 0) lastUc = Number.POSITIVE_INFINITY;
        // Costs are convex in the last load's power: once too dear, a higher one is dearer.
        else if (lastUc === TOO_DEAR) continue;
        let fits = true;
        for (let l = 0; l < loads.length && fits; l++) {
          const leftWh = loads[l]!.needWh - node.usedWh[l]!;
          fits =
            (levels[l] === 0 || leftWh - withoutWh[l]! > ENOUGH_WH) &&
            leftWh - energiesWh[l]! <= restWh[l]! + ENOUGH_WH;
        }
        if (!fits) continue;
        steps[c] ??= cost.stepWith(t, moreWh);
        const upTo = steps[c]!(node.upTo);
        let boundUc = leastTotal(upTo, after);
        let key = 0;
        const usedWh = new Array<number>(loads.length);
        for (let l = 0; l < loads.length; l++) {
          const used = node.usedWh[l]! + energiesWh[l]!;
          usedWh[l] = used;
          boundUc += worthsUcPerWh[l]! * (loads[l]!.needWh - used);
          key = key * KEY_WIDTH + Math.round(used);
        }
        if (boundUc >= belowUc) {
          if (boundUc > lastUc) lastUc = TOO_DEAR;
          continue;
        }
        lastUc = boundUc;
        const known = next.get(key);
        if (known === undefined || boundUc < known.boundUc)
          next.set(key, { before: node, levels, usedWh, upTo, boundUc });
      }
    }
    nodes = [...next.values()].sort((a, b) => a.boundUc - b.boundUc).slice(0, kept);
    if (nodes.length === 0) return null;
  }
  const best = nodes[0]!;
  const plans = loads.map(({ id, powersW }, l) => {
    const powers = input.intervals.map(() => 0);
    let node: Node | null = best;
    for (let t = end - 1; t >= first; t--) {
      const level: number = node!.levels[l]!;
      powers[t] = level === 0 ? 0 : powersW[level - 1]!;
      node = node!.before;
    }
    return { id, powersW: powers, met: true };
  });
  return { plans, costUc: leastTotal(best.upTo, cost.from(end)) };
}

function combinationsOf(loads: readonly EnergyLoad[], hours: number): Combination[] {
  let all: Combination[] = [{ levels: [], energiesWh: [], withoutWh: [], moreWh: 0 }];
  for (const { powersW } of loads) {
    all = all.flatMap(({ levels, energiesWh, withoutWh, moreWh }) =>
      [0, ...powersW].map((powerW, level) => ({
        levels: [...levels, level],
        energiesWh: [...energiesWh, powerW * hours],
        withoutWh: [...withoutWh, level < 2 ? 0 : powersW[level - 2]! * hours],
        moreWh: moreWh + powerW * hours,
      })),
    );
  }
  return all;
}
