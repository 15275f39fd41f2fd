// Loads that move freely, seen as consumption that comes wherever it is worth its price: while those with least times and the
// programs are placed, they make room by themselves. Owns their prices; where they really run is placement.ts.

import { type EnergyLoad, type Span, spanOf } from './equipment.ts';
import type { Adaptable } from './exchange.ts';
import type { PlanInput } from './plan-types.ts';
import type { SiteCost } from './site-cost.ts';

/** Tries for each price. */
const TRIES = 9;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * Tells `cost`, which holds none of these loads, that they may run wherever a Wh costs less than it is worth to them. That worth is such that
 * each takes about what it needs: it is where least cost plus the worth of all needs is highest (the dual of meeting them), `boundUc`: no plan with
 * the others where they are costs less. Then each is made `urgency` times as dear.
 */
export function adaptFreely(
  loads: readonly EnergyLoad[],
  input: PlanInput,
  cost: SiteCost,
  urgency: number,
): { readonly worthsUcPerWh: readonly number[]; readonly boundUc: number } {
  const hours = input.intervalMs / 3_600_000;
  const spans = loads.map((load) => spanOf(load, input));
  const mostWh = loads.map((load) => (load.powersW.at(-1) ?? 0) * hours);
  adaptNoMore(input, cost);
  const prices = cost.nextPrices();
  const ranges = spans.map((span) => priceRange(prices, span));
  const worths = loads.map(() => 0);
  const tell = (t: number): void => {
    const adaptable: Adaptable[] = [];
    for (const [l, { first, end }] of spans.entries()) {
      if (t >= first && t < end) adaptable.push({ mostWh: mostWh[l]!, worthUcPerWh: worths[l]! });
    }
    cost.adapt(t, adaptable);
  };
  const dual = (touched: Span): number => {
    for (let t = touched.first; t < touched.end; t++) tell(t);
    return loads.reduce((sum, { needWh }, l) => sum + worths[l]! * needWh, cost.total());
  };
  const everywhere = { first: 0, end: prices.length };
  // Where one price alone cannot rise without another, all of them together can.
  const together = (range: Range): void => {
    const before = worths.slice();
    const to = (shift: number): number => {
      for (const [l, worth] of before.entries()) worths[l] = worth + shift;
      return dual(everywhere);
    };
    to(highest(range, to));
  };
  const whole = { low: Math.min(...ranges.map(({ low }) => low)), high: Math.max(...ranges.map(({ high }) => high)) };
  together(whole);
  if (loads.length > 1) {
    for (const [l, span] of spans.entries()) {
      const to = (worth: number): number => {
        worths[l] = worth;
        return dual(span);
      };
      to(highest(whole, to));
    }
    const near = (whole.high - whole.low) / 8;
    together({ low: -near, high: near });
  }
  const boundUc = dual(everywhere);
  // Whole steps cost more than what they would be divided: what is needed is then taken a little earlier than at the last moment.
  for (const l of worths.keys()) worths[l]! *= urgency;
  dual(everywhere);
  return { worthsUcPerWh: worths, boundUc };
}

/** They are placed by themselves again. */
export function adaptNoMore(input: PlanInput, cost: SiteCost): void {
  for (let t = 0; t < input.intervals.length; t++) cost.adapt(t, []);
}

interface Range {
  readonly low: number;
  readonly high: number;
}

function priceRange(prices: Float64Array, { first, end }: Span): Range {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let t = first; t < end; t++) {
    low = Math.min(low, prices[t]!);
    high = Math.max(high, prices[t]!);
  }
  return low > high ? { low: 0, high: 0 } : { low, high: high + (high - low) / 2 };
}

/** Where a concave function is highest, by golden sections. */
function highest({ low, high }: Range, of: (x: number) => number): number {
  let [a, b] = [low, high];
  let [x, y] = [b - GOLDEN * (b - a), a + GOLDEN * (b - a)];
  let [fx, fy] = [of(x), of(y)];
  for (let tries = 2; tries < TRIES; tries++) {
    if (fx > fy) {
      [b, y, fy] = [y, x, fx];
      x = b - GOLDEN * (b - a);
      fx = of(x);
    } else {
      [a, x, fx] = [x, y, fy];
      y = a + GOLDEN * (b - a);
      fy = of(y);
    }
  }
  return (a + b) / 2;
}
