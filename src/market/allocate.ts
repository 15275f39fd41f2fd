// The exact allocation: which order gets how much, so that welfare (value bought - cost sold - line tariffs) is greatest.
// Owns the walk over the tree; curves.ts owns the data structure, book.ts the rank that makes the optimum unique.
//
// Up the tree every bus gets the marginal curve of its subtree; each line keeps four keys of it: around zero net export and
// where its capacity cuts. Down the tree every bus gets its keyed price from its parent's by those four. Orders cheaper
// than the price of their bus are filled, dearer ones not; buses whose prices differ by exactly the tariff of the lines
// between them form a zone, and the one order of a zone whose key equals the price takes what balances the zone.
//
// Time O(m log m + n log^2 m) for m orders and n buses of a tree of any shape, no recursion. All numbers are integers
// below 2^53: keys |k| < 2^43, tariffs x SCALE < 2^43, energies < 2^51 in sum.

import { BugError } from '../base/errors.ts';
import { orderKeys, SCALE } from './book.ts';
import { CurveStack } from './curves.ts';
import type { FeederModel, OrderBook } from './types.ts';

/** Energy filled of each order, Wh. Any feeder of `buildFeeder` and book that passes `checkBook` has an allocation. */
export function allocate(feeder: FeederModel, book: OrderBook): Float64Array {
  const keys = orderKeys(book);
  const offers = sortByBus(book, keys, feeder.parents.length);
  // Nobody pays what the cheapest asks: nothing is traded, whatever the lines.
  if (offers.keyMin > offers.keyMax) return new Float64Array(book.size);
  return fillsAt(feeder, book, keys, keyedPrices(feeder, offers));
}

/** Keyed price of each bus: an optimal dual of the keyed problem. */
function keyedPrices(feeder: FeederModel, offers: SortedOffers): Float64Array {
  const { parents, tariffsUcPerWh, upMaxWh, downMaxWh } = feeder;
  const n = parents.length;
  const { postOrder, hasChildren } = heavyFirst(feeder, offers.starts);
  const stack = new CurveStack(offers.keys.length, n);
  // Of the curve so far of each bus: its first run on the stack, and its quantities left and right of zero.
  const bases = new Int32Array(n).fill(-1);
  const leftWh = new Float64Array(n);
  const rightWh = new Float64Array(n);
  // The four keys of each line; as they are, they pass the parent's price through.
  const zeroLeft = new Float64Array(n).fill(Number.NEGATIVE_INFINITY);
  const zeroRight = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  const cutLow = new Float64Array(n).fill(Number.NEGATIVE_INFINITY);
  const cutHigh = new Float64Array(n).fill(Number.POSITIVE_INFINITY);

  for (let k = 0; k < n; k++) {
    const bus = postOrder[k]!;
    if (hasChildren[bus] === 0) bases[bus] = stack.count;
    const base = bases[bus]!;
    const from = offers.starts[bus]!;
    const to = offers.starts[bus + 1]!;
    if (to > from) {
      stack.push(offers.keys, offers.energiesWh, from, to, offers.demandWh[bus]!);
      leftWh[bus]! += offers.demandWh[bus]!;
      rightWh[bus]! += offers.totalWh[bus]! - offers.demandWh[bus]!;
      stack.center(base);
      stack.collapse(base);
    }
    const parent = parents[bus]!;
    if (parent < 0) break;

    const shift = tariffsUcPerWh[bus]! * SCALE;
    const down = downMaxWh[bus]!;
    const up = upMaxWh[bus]!;
    let left = leftWh[bus]!;
    let right = rightWh[bus]!;
    if (stack.count > base && (shift > 0 || down < left || up < right)) {
      stack.center(base);
      zeroLeft[bus] = stack.leftKey;
      zeroRight[bus] = stack.rightKey;
      if (left > down) {
        cutLow[bus] = stack.clipLow(base, left - down);
        left = down;
      }
      if (right > up) {
        cutHigh[bus] = stack.clipHigh(base, right - up);
        right = up;
      }
      if (shift > 0) {
        stack.shift(base, shift);
        left -= stack.pruneLow(base, offers.keyMin);
        right -= stack.pruneHigh(base, offers.keyMax);
      }
    }
    leftWh[parent]! += left;
    rightWh[parent]! += right;
    if (bases[parent] === -1) bases[parent] = base;
    else if (stack.count > base) {
      stack.center(bases[parent]!);
      stack.collapse(bases[parent]!);
    }
  }

  const prices = new Float64Array(n);
  const { root, topDown } = feeder;
  stack.center(0);
  // Within what the root agrees with, and no lower than any supply, so that what was pruned stays out of the market.
  prices[root] = Math.min(Math.max(offers.keyMin, stack.leftKey), stack.rightKey);
  for (let k = 1; k < n; k++) {
    const bus = topDown[k]!;
    const above = prices[parents[bus]!]!;
    const shift = tariffsUcPerWh[bus]! * SCALE;
    const left = zeroLeft[bus]!;
    const right = zeroRight[bus]!;
    if (above - shift >= right) prices[bus] = Math.min(above - shift, cutHigh[bus]!);
    else if (above + shift <= left) prices[bus] = Math.max(above + shift, cutLow[bus]!);
    else prices[bus] = Math.min(Math.max(above, left), right);
  }
  return prices;
}

interface SortedOffers {
  /** Orders of bus b are [starts[b], starts[b + 1]), by rising key, without empty ones. */
  readonly starts: Int32Array;
  readonly keys: Float64Array;
  readonly energiesWh: Float64Array;
  readonly demandWh: Float64Array;
  readonly totalWh: Float64Array;
  /** Least key of any supply: nothing is ever offered below it. */
  readonly keyMin: number;
  /** Greatest key of any demand: nobody ever pays more. */
  readonly keyMax: number;
}

/** Most orders of a bus sorted by insertion; above, the engine's sort is faster. */
const INSERTION_MAX = 48;

function sortByBus(book: OrderBook, orderKey: Float64Array, n: number): SortedOffers {
  const { size, buses, supply, energiesWh } = book;
  const starts = new Int32Array(n + 1);
  const demandWh = new Float64Array(n);
  const totalWh = new Float64Array(n);
  let keyMin = Number.POSITIVE_INFINITY;
  let keyMax = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < size; i++) {
    const energyWh = energiesWh[i]!;
    if (energyWh === 0) continue;
    const bus = buses[i]!;
    const key = orderKey[i]!;
    starts[bus + 1]!++;
    totalWh[bus]! += energyWh;
    if (supply[i] === 1) {
      if (key < keyMin) keyMin = key;
    } else {
      demandWh[bus]! += energyWh;
      if (key > keyMax) keyMax = key;
    }
  }
  for (let bus = 0; bus < n; bus++) starts[bus + 1]! += starts[bus]!;
  const next = starts.slice();
  const keys = new Float64Array(starts[n]!);
  const energies = new Float64Array(keys.length);
  for (let i = 0; i < size; i++) {
    const energyWh = energiesWh[i]!;
    if (energyWh === 0) continue;
    const at = next[buses[i]!]!++;
    keys[at] = orderKey[i]!;
    energies[at] = energyWh;
  }
  for (let bus = 0; bus < n; bus++) {
    const from = starts[bus]!;
    const to = starts[bus + 1]!;
    if (to - from <= INSERTION_MAX) {
      insertionSort(keys, energies, from, to);
      continue;
    }
    keys.subarray(from, to).sort();
    for (let at = from; at < to; at++) energies[at] = energiesWh[orderOfKey(keys[at]!, book)]!;
  }
  return { starts, keys, energiesWh: energies, demandWh, totalWh, keyMin, keyMax };
}

/** Sorts by key, energies along with them. */
function insertionSort(keys: Float64Array, energies: Float64Array, from: number, to: number): void {
  for (let i = from + 1; i < to; i++) {
    const key = keys[i]!;
    const energy = energies[i]!;
    let at = i;
    for (; at > from && keys[at - 1]! > key; at--) {
      keys[at] = keys[at - 1]!;
      energies[at] = energies[at - 1]!;
    }
    keys[at] = key;
    energies[at] = energy;
  }
}

/** Which order a key belongs to: its weight is what is left of the key modulo SCALE. */
function orderOfKey(key: number, book: OrderBook): number {
  const rest = key % SCALE;
  let weight = rest < 0 ? rest + SCALE : rest;
  if (weight > SCALE / 2) weight = SCALE - weight;
  if (book.hasUtility && weight <= 2) return book.size - 3 + weight;
  return book.size - weight;
}

/** The tree in post-order, of each bus the child with the most orders below first: small curves join large ones. */
function heavyFirst(feeder: FeederModel, starts: Int32Array): { postOrder: Int32Array; hasChildren: Uint8Array } {
  const { parents, topDown, root } = feeder;
  const n = parents.length;
  const weights = new Float64Array(n);
  const heavy = new Int32Array(n).fill(-1);
  const firstChild = new Int32Array(n).fill(-1);
  const nextSibling = new Int32Array(n).fill(-1);
  const hasChildren = new Uint8Array(n);
  for (let k = n - 1; k > 0; k--) {
    const bus = topDown[k]!;
    const parent = parents[bus]!;
    weights[bus]! += starts[bus + 1]! - starts[bus]! + 1;
    weights[parent]! += weights[bus]!;
    hasChildren[parent] = 1;
    const best = heavy[parent]!;
    if (best === -1 || weights[bus]! > weights[best]!) heavy[parent] = bus;
    nextSibling[bus] = firstChild[parent]!;
    firstChild[parent] = bus;
  }
  const postOrder = new Int32Array(n);
  const pending = new Int32Array(n);
  pending[0] = root;
  let depth = 1;
  // A walk that takes the heavy child last, written from the end: the reverse takes it first and children before parents.
  for (let at = n - 1; at >= 0; at--) {
    const bus = pending[--depth]!;
    postOrder[at] = bus;
    if (heavy[bus] !== -1) pending[depth++] = heavy[bus]!;
    for (let child = firstChild[bus]!; child !== -1; child = nextSibling[child]!) {
      if (child !== heavy[bus]) pending[depth++] = child;
    }
  }
  return { postOrder, hasChildren };
}

/** Fills that the keyed prices imply. */
function fillsAt(feeder: FeederModel, book: OrderBook, keys: Float64Array, prices: Float64Array): Float64Array {
  const { parents, topDown, tariffsUcPerWh, upMaxWh, downMaxWh } = feeder;
  const { size, buses, supply, energiesWh } = book;
  const n = parents.length;
  const fills = new Float64Array(size);
  const netWh = new Float64Array(n);
  const marginal = new Int32Array(n).fill(-1);
  for (let i = 0; i < size; i++) {
    const bus = buses[i]!;
    const ahead = supply[i] === 1 ? prices[bus]! - keys[i]! : keys[i]! - prices[bus]!;
    if (ahead > 0) {
      fills[i] = energiesWh[i]!;
      netWh[bus]! += supply[i] === 1 ? energiesWh[i]! : -energiesWh[i]!;
    } else if (ahead === 0 && energiesWh[i]! > 0) marginal[bus] = i;
  }
  for (let k = n - 1; k >= 0; k--) {
    const bus = topDown[k]!;
    const parent = parents[bus]!;
    let flowWh = 0;
    if (parent >= 0) {
      const difference = prices[parent]! - prices[bus]!;
      const shift = tariffsUcPerWh[bus]! * SCALE;
      if (difference === shift || difference === -shift) {
        // One zone: balance and the marginal order are settled further up.
        netWh[parent]! += netWh[bus]!;
        if (marginal[bus] !== -1) marginal[parent] = marginal[bus]!;
        continue;
      }
      flowWh = difference > shift ? upMaxWh[bus]! : difference < -shift ? 0 - downMaxWh[bus]! : 0;
      netWh[parent]! += flowWh;
    }
    const order = marginal[bus]!;
    const missing = flowWh - netWh[bus]!;
    if (order === -1) {
      if (missing !== 0) throw new BugError(`zone of bus ${bus} is out of balance by ${missing} Wh`);
      continue;
    }
    const fill = supply[order] === 1 ? missing : 0 - missing;
    if (fill < 0 || fill > energiesWh[order]!) {
      throw new BugError(`order ${order} would be filled with ${fill} of ${energiesWh[order]} Wh`);
    }
    fills[order] = fill;
  }
  return fills;
}
