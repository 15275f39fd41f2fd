// From fills to the certificate: flows, totals and canonical nodal prices, each in one or two passes over orders and
// buses. Owns optimality on a tree: fills are optimal exactly when every bus has a price that its orders and lines agree
// with (complementary slackness), and on a tree those prices are found from the leaves up.
//
// Canonical nodal prices. Up the tree each bus gets the range of prices that everything below it agrees with:
//   a supply with fill > 0 wants price >= its own, with fill < energy <= its own; a demand the mirror of that;
//   a line with tariff t and flow x: parent's price - bus' price is t if 0 < x < limit, >= t at the limit, within
//   [-t, t] if x = 0 and both ways are open, and the mirror of that for x < 0.
// The root takes the middle of its range (rounded down; the one end it has if the other is open; 0 if both are).
// Every other bus takes the price of its range and line that is nearest to its parent's: no price differs from its
// neighbour's without a reason, and congestion rent is as low as the allocation permits.

import { floorDiv } from '../base/integers.ts';
import { PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { flowsOf } from './feeder.ts';
import type { Clearing, FeederModel, OrderBook } from './types.ts';

/** Range of prices of each bus that its subtree agrees with, in the unit of the orders' prices given. */
export interface PriceRanges {
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** Buses where nothing can be agreed on: the allocation is not optimal. Their range is opened again to look further. */
  readonly disputed: readonly number[];
}

/** The clearing that an allocation makes; throws no error: whether it is optimal is for `verifyClearing` to say. */
export function certify(feeder: FeederModel, book: OrderBook, fillsWh: Float64Array): Clearing {
  const flowsWh = orderFlows(feeder, book, fillsWh);
  flowsWh[feeder.root] = 0;
  const own = ownRanges(feeder.parents.length, book, book.pricesUcPerWh, fillsWh);
  const ranges = agreedRanges(feeder, own, 1, flowsWh);
  const pricesUcPerWh = canonicalPrices(feeder, flowsWh, ranges);
  return { ...totals(feeder, book, fillsWh, flowsWh), fillsWh, flowsWh, pricesUcPerWh };
}

/** Flow that fills cause over the line of each bus, Wh towards the root; at the root what is left over (0 if balanced). */
export function orderFlows(feeder: FeederModel, book: OrderBook, fillsWh: Float64Array): Float64Array {
  const netWh = new Float64Array(feeder.parents.length);
  for (let i = 0; i < book.size; i++) {
    netWh[book.buses[i]!]! += book.supply[i] === 1 ? fillsWh[i]! : -fillsWh[i]!;
  }
  return flowsOf(feeder.parents, feeder.topDown, netWh);
}

/** Welfare (value bought - cost sold - line tariffs), µ¤, and energy sold, Wh. */
export function totals(
  feeder: FeederModel,
  book: OrderBook,
  fillsWh: Float64Array,
  flowsWh: Float64Array,
): { welfareUc: bigint; tradedWh: bigint } {
  const welfare = new ExactSum();
  let tradedWh = 0;
  for (let i = 0; i < book.size; i++) {
    const fill = fillsWh[i]!;
    if (fill === 0) continue;
    if (book.supply[i] === 1) {
      tradedWh += fill;
      welfare.add(-book.pricesUcPerWh[i]! * fill);
    } else welfare.add(book.pricesUcPerWh[i]! * fill);
  }
  for (let bus = 0; bus < flowsWh.length; bus++) {
    const flow = Math.abs(flowsWh[bus]!);
    // A line may carry more than one order's energy: two factors that may leave 2^53 together.
    if (flow > 0) welfare.addProduct(-feeder.tariffsUcPerWh[bus]!, flow);
  }
  return { welfareUc: welfare.total(), tradedWh: BigInt(tradedWh) };
}

/** Range of prices that the orders of each bus agree with by themselves. */
export interface OwnRanges {
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** `unitPrices` are the orders' prices, or their keys (book.ts). */
export function ownRanges(
  buses: number,
  book: OrderBook,
  unitPrices: Float64Array | Int32Array,
  fillsWh: Float64Array,
): OwnRanges {
  const { size, supply, energiesWh } = book;
  const low = new Float64Array(buses).fill(Number.NEGATIVE_INFINITY);
  const high = new Float64Array(buses).fill(Number.POSITIVE_INFINITY);
  for (let i = 0; i < size; i++) {
    const bus = book.buses[i]!;
    const price = unitPrices[i]!;
    const fill = fillsWh[i]!;
    const isSupply = supply[i] === 1;
    if (isSupply ? fill > 0 : fill < energiesWh[i]!) {
      if (price > low[bus]!) low[bus] = price;
    }
    if (isSupply ? fill < energiesWh[i]! : fill > 0) {
      if (price < high[bus]!) high[bus] = price;
    }
  }
  return { low, high };
}

/**
 * Ranges of prices that whole subtrees agree with, from the leaves up. `scale` turns a tariff into the unit of `own`: 1 for
 * prices, SCALE for keys. What lies beyond any possible price counts as open. `own` is used up.
 */
export function agreedRanges(
  feeder: FeederModel,
  { low, high }: OwnRanges,
  scale: number,
  flowsWh: Float64Array,
): PriceRanges {
  const { parents, topDown, tariffsUcPerWh, upMaxWh, downMaxWh } = feeder;
  const n = parents.length;
  const beyond = (PRICE_UC_PER_WH_MAX + 1) * scale;
  const disputed: number[] = [];
  for (let k = n - 1; k >= 0; k--) {
    const bus = topDown[k]!;
    if (low[bus]! < -beyond) low[bus] = Number.NEGATIVE_INFINITY;
    if (high[bus]! > beyond) high[bus] = Number.POSITIVE_INFINITY;
    if (low[bus]! > high[bus]! || low[bus]! > beyond || high[bus]! < -beyond) {
      disputed.push(bus);
      low[bus] = Number.NEGATIVE_INFINITY;
      high[bus] = Number.POSITIVE_INFINITY;
    }
    const parent = parents[bus]!;
    if (parent < 0) continue;
    const tariff = tariffsUcPerWh[bus]! * scale;
    const flow = flowsWh[bus]!;
    const least = leastRise(flow, tariff, downMaxWh[bus]!);
    const most = mostRise(flow, tariff, upMaxWh[bus]!);
    if (low[bus]! + least > low[parent]!) low[parent] = low[bus]! + least;
    if (high[bus]! + most < high[parent]!) high[parent] = high[bus]! + most;
  }
  return { low, high, disputed };
}

/** The one set of prices: see the head of this file. */
export function canonicalPrices(feeder: FeederModel, flowsWh: Float64Array, ranges: PriceRanges): Float64Array {
  const { parents, topDown, tariffsUcPerWh, upMaxWh, downMaxWh, root } = feeder;
  const { low, high } = ranges;
  const prices = new Float64Array(parents.length);
  prices[root] = middle(low[root]!, high[root]!);
  for (let k = 1; k < topDown.length; k++) {
    const bus = topDown[k]!;
    const above = prices[parents[bus]!]!;
    const tariff = tariffsUcPerWh[bus]!;
    const flow = flowsWh[bus]!;
    const from = Math.max(low[bus]!, above - mostRise(flow, tariff, upMaxWh[bus]!));
    const to = Math.min(high[bus]!, above - leastRise(flow, tariff, downMaxWh[bus]!));
    prices[bus] = Math.min(Math.max(above, from), to);
  }
  return prices;
}

/** Least that the price may rise from a bus to its parent. */
function leastRise(flow: number, tariff: number, downMaxWh: number): number {
  if (flow > 0) return tariff;
  return -flow < downMaxWh ? -tariff : Number.NEGATIVE_INFINITY;
}

/** Most that the price may rise from a bus to its parent. */
function mostRise(flow: number, tariff: number, upMaxWh: number): number {
  if (flow < 0) return -tariff;
  return flow < upMaxWh ? tariff : Number.POSITIVE_INFINITY;
}

function middle(low: number, high: number): number {
  if (Number.isFinite(low) && Number.isFinite(high)) return floorDiv(low + high, 2);
  return Number.isFinite(low) ? low : Number.isFinite(high) ? high : 0;
}

/** Exact sum of many integers below 2^52, in doubles as long as they fit. */
class ExactSum {
  #big = 0n;
  #small = 0;

  add(value: number): void {
    this.#small += value;
    if (Math.abs(this.#small) > 2 ** 51) {
      this.#big += BigInt(this.#small);
      this.#small = 0;
    }
  }

  addProduct(a: number, b: number): void {
    const product = a * b;
    if (Math.abs(product) <= 2 ** 51) this.add(product);
    else this.#big += BigInt(a) * BigInt(b);
  }

  total(): bigint {
    return this.#big + BigInt(this.#small);
  }
}
