// Loads that move freely, seen as consumption that comes wherever it is worth its price: while those with least times and the
// programs are placed, they make room by themselves. Owns their prices; where they really run is placement.ts.

import { type EnergyLoad, type Span, spanOf } from './equipment.ts';
import type { Adaptable } from './exchange.ts';
import type { PlanInput } from './plan-types.ts';
import type { SiteCost } from './site-cost.ts';
import type { Sliced } from './slices.ts';

/** Tries for each price. */
const TRIES = 9;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * Tells `cost`, which holds none of these loads, that they may run wherever a Wh costs less than it is worth to them. That worth is such that
 * each takes about what it needs: it is where least cost plus the worth of all needs is highest (the dual of meeting them), `boundUc`: no plan with
 * the others where they are costs less. Then each is made `urgency` times as dear.
 */
export function* adaptFreely(
  loads: readonly EnergyLoad[],
  input: PlanInput,
  cost: SiteCost,
  urgency: number,
): Sliced<{ readonly worthsUcPerWh: readonly number[]; readonly boundUc: number }> {
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
  function* dual(touched: Span): Sliced<number> {
    if (cost.work.isPauseDue()) yield;
    for (let t = touched.first; t < touched.end; t++) tell(t);
    return loads.reduce((sum, { needWh }, l) => sum + worths[l]! * needWh, cost.total());
  }
  const everywhere = { first: 0, end: prices.length };
  // Where one price alone cannot rise without another, all of them together can.
  function* together(range: Range): Sliced<void> {
    const before = worths.slice();
    const to = (shift: number): Sliced<number> => {
      for (const [l, worth] of before.entries()) worths[l] = worth + shift;
      return dual(everywhere);
    };
    yield* to(yield* highest(range, to));
  }
  const whole = { low: Math.min(...ranges.map(({ low }) => low)), high: Math.max(...ranges.map(({ high }) => high)) };
  yield* together(whole);
  if (loads.length > 1) {
    for (const [l, span] of spans.entries()) {
      const to = (worth: number): Sliced<number> => {
        worths[l] = worth;
        return dual(span);
      };
      yield* to(yield* highest(whole, to));
    }
    const near = (whole.high - whole.low) / 8;
    yield* together({ low: -near, high: near });
  }
  const boundUc = yield* dual(everywhere);
  // Whole steps cost more than what they would be divided: what is needed is then taken a little earlier than at the last moment.
  for (const l of worths.keys()) worths[l]! *= urgency;
  yield* dual(everywhere);
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
function* highest({ low, high }: Range, of: (x: number) => Sliced<number>): Sliced<number> {
  let [a, b] = [low, high];
  let [x, y] = [b - GOLDEN * (b - a), a + GOLDEN * (b - a)];
  let [fx, fy] = [yield* of(x), yield* of(y)];
  for (let tries = 2; tries < TRIES; tries++) {
    if (fx > fy) {
      [b, y, fy] = [y, x, fx];
      x = b - GOLDEN * (b - a);
      fx = yield* of(x);
    } else {
      [a, x, fx] = [x, y, fy];
      y = a + GOLDEN * (b - a);
      fy = yield* of(y);
    }
  }
  return (a + b) / 2;
}
