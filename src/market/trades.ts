// Who trades with whom: a flow decomposition of a clearing, nearest first. Energy is paired at the lowest bus that can: own
// orders of a bus with each other, then what its branches have left over, in the order of the feeder's buses; within a
// queue the bus itself first, then branch by branch, each in consensus order. An optimal clearing never sends energy both
// ways over a line, so every trade runs along the flows and pays buyer's - seller's nodal price for its path.
// Owns pairing only: what is paid follows from nodal prices (settle.ts), whoever is paired with whom.

import { BugError } from '../base/errors.ts';
import { mulDivFloor } from '../base/integers.ts';
import type { Clearing, FeederModel, OrderBook, OrderTrade } from './types.ts';

const PPM = 1_000_000;

/** All trades of a verified clearing, at most one for each filled order; O(n + m). `pathBetween` gives a trade's buses. */
export function pairTrades(feeder: FeederModel, book: OrderBook, clearing: Clearing): OrderTrade[] {
  const { parents, topDown } = feeder;
  const { pricesUcPerWh } = clearing;
  const n = parents.length;
  const leftWh = Float64Array.from(clearing.fillsWh);
  const { starts, orders } = ordersByBus(book, n);
  const sellers = new Queues(n, book.size);
  const buyers = new Queues(n, book.size);
  const lossPpmToRoot = lossToRoot(feeder);
  const trades: OrderTrade[] = [];

  for (let k = n - 1; k >= 0; k--) {
    const bus = topDown[k]!;
    for (let at = starts[bus + 1]! - 1; at >= starts[bus]!; at--) {
      const order = orders[at]!;
      if (leftWh[order]! > 0) (book.supply[order] === 1 ? sellers : buyers).prepend(bus, order);
    }
    for (;;) {
      const seller = sellers.heads[bus]!;
      const buyer = buyers.heads[bus]!;
      if (seller === -1 || buyer === -1) break;
      const energyWh = Math.min(leftWh[seller]!, leftWh[buyer]!);
      leftWh[seller]! -= energyWh;
      leftWh[buyer]! -= energyWh;
      if (leftWh[seller] === 0) sellers.dropHead(bus);
      if (leftWh[buyer] === 0) buyers.dropHead(bus);
      const from = book.buses[seller]!;
      const to = book.buses[buyer]!;
      const pathPpm = lossPpmToRoot[from]! + lossPpmToRoot[to]! - 2 * lossPpmToRoot[bus]!;
      trades.push({
        seller,
        buyer,
        energyWh,
        sellerUcPerWh: pricesUcPerWh[from]!,
        buyerUcPerWh: pricesUcPerWh[to]!,
        lossWh: mulDivFloor(energyWh, pathPpm, PPM),
        via: bus,
      });
    }
    const parent = parents[bus]!;
    if (parent >= 0) {
      sellers.prependAll(parent, bus);
      buyers.prependAll(parent, bus);
    } else if (sellers.heads[bus] !== -1 || buyers.heads[bus] !== -1) {
      throw new BugError('the clearing sells more than it buys: verify it before pairing');
    }
  }
  return trades;
}

/** Linked queues of orders, one a bus; an order is in one queue at a time. */
class Queues {
  readonly heads: Int32Array;
  readonly #tails: Int32Array;
  readonly #next: Int32Array;

  constructor(buses: number, orders: number) {
    this.heads = new Int32Array(buses).fill(-1);
    this.#tails = new Int32Array(buses).fill(-1);
    this.#next = new Int32Array(orders).fill(-1);
  }

  prepend(bus: number, order: number): void {
    this.#next[order] = this.heads[bus]!;
    if (this.heads[bus] === -1) this.#tails[bus] = order;
    this.heads[bus] = order;
  }

  dropHead(bus: number): void {
    this.heads[bus] = this.#next[this.heads[bus]!]!;
  }

  /** Moves the queue of `from` to the front of that of `to`. */
  prependAll(to: number, from: number): void {
    const head = this.heads[from]!;
    if (head === -1) return;
    const tail = this.#tails[from]!;
    if (this.heads[to] === -1) this.#tails[to] = tail;
    this.#next[tail] = this.heads[to]!;
    this.heads[to] = head;
    this.heads[from] = -1;
  }
}

function ordersByBus(book: OrderBook, n: number): { starts: Int32Array; orders: Int32Array } {
  const starts = new Int32Array(n + 1);
  for (let i = 0; i < book.size; i++) starts[book.buses[i]! + 1]!++;
  for (let bus = 0; bus < n; bus++) starts[bus + 1]! += starts[bus]!;
  const next = starts.slice();
  const orders = new Int32Array(book.size);
  for (let i = 0; i < book.size; i++) orders[next[book.buses[i]!]!++] = i;
  return { starts, orders };
}

/** Sum of the losses of the lines from each bus to the root, ppm. */
function lossToRoot({ parents, topDown, lossesPpm }: FeederModel): Float64Array {
  const sums = new Float64Array(parents.length);
  for (let k = 1; k < topDown.length; k++) {
    const bus = topDown[k]!;
    sums[bus] = sums[parents[bus]!]! + lossesPpm[bus]!;
  }
  return sums;
}
