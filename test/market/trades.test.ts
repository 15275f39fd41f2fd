// Pairing: every filled Wh is in exactly one trade, along the flows, nearest first, at nodal prices.

import { expect, test } from 'vitest';
import { orderBook } from '../../src/market/book.ts';
import { clear } from '../../src/market/clear.ts';
import { buildFeeder, pathBetween } from '../../src/market/feeder.ts';
import { pairTrades } from '../../src/market/trades.ts';
import type { Clearing, FeederModel, Order, OrderBook, OrderTrade } from '../../src/market/types.ts';
import { randomInstance } from './instances.ts';

test('trades add up to fills and flows, run along the flows, and pay for their way', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const { feeder, book, label } = randomInstance(seed, 25, 60);
    const clearing = clear(feeder, book);
    const trades = pairTrades(feeder, book, clearing);
    const filled = new Float64Array(book.size);
    const flows = new Float64Array(feeder.ids.length);
    for (const trade of trades) {
      const { seller, buyer, energyWh, via, lossWh, sellerUcPerWh, buyerUcPerWh } = trade;
      expect(energyWh, label).toBeGreaterThan(0);
      expect([book.supply[seller], book.supply[buyer]], label).toEqual([1, 0]);
      filled[seller]! += energyWh;
      filled[buyer]! += energyWh;
      const [from, to] = [book.buses[seller]!, book.buses[buyer]!];
      const path = pathBetween(feeder, from, via, to);
      expect([path[0], path.at(-1)], label).toEqual([from, to]);
      let ppm = 0;
      let tariffs = 0;
      for (let i = 1; i < path.length; i++) {
        const upwards = feeder.parents[path[i - 1]!] === path[i];
        const line = upwards ? path[i - 1]! : path[i]!;
        expect(feeder.parents[line], label).toBe(upwards ? path[i] : path[i - 1]);
        flows[line]! += upwards ? energyWh : -energyWh;
        expect(Math.sign(clearing.flowsWh[line]!), label).toBe(upwards ? 1 : -1);
        ppm += feeder.lossesPpm[line]!;
        tariffs += feeder.tariffsUcPerWh[line]!;
      }
      expect(lossWh, label).toBe(Math.floor((energyWh * ppm) / 1_000_000));
      expect(buyerUcPerWh - sellerUcPerWh, label).toBeGreaterThanOrEqual(tariffs);
      expect([sellerUcPerWh, buyerUcPerWh], label).toEqual([clearing.pricesUcPerWh[from], clearing.pricesUcPerWh[to]]);
    }
    expect(filled, label).toEqual(clearing.fillsWh);
    expect(flows, label).toEqual(clearing.flowsWh);
    expect(trades.length, label).toBeLessThanOrEqual(book.size);
  }
});

test('neighbours come before strangers', () => {
  const bus = (id: string, parent: string | null) => ({
    id,
    parent,
    capacityW: null,
    tariffUcPerWh: 1,
    lossPpm: 10_000,
  });
  const feeder = buildFeeder([bus('root', null), bus('west', 'root'), bus('east', 'root')], { lengthMs: 900_000 });
  const order = (at: number, side: Order['side'], priceUcPerWh: number, energyWh: number): Order => ({
    bus: at,
    side,
    priceUcPerWh,
    energyWh,
  });
  const book = orderBook(feeder, [
    order(1, 'supply', 5, 100),
    order(2, 'supply', 5, 100),
    order(2, 'demand', 50, 150),
    order(1, 'demand', 50, 50),
  ]);
  const trades = pairTrades(feeder, book, clear(feeder, book));
  expect(trades.map(({ seller, buyer, energyWh, lossWh, via }) => ({ seller, buyer, energyWh, lossWh, via }))).toEqual([
    { seller: 1, buyer: 2, energyWh: 100, lossWh: 0, via: 2 },
    { seller: 0, buyer: 3, energyWh: 50, lossWh: 0, via: 1 },
    { seller: 0, buyer: 2, energyWh: 50, lossWh: 1, via: 0 },
  ]);
});

/** The rule word for word: at each bus, lowest first, its own orders and then what each branch left over, first seller with first buyer. */
function pairByHand(
  feeder: FeederModel,
  book: OrderBook,
  clearing: Clearing,
): Pick<OrderTrade, 'seller' | 'buyer' | 'energyWh' | 'via'>[] {
  const left = [...clearing.fillsWh];
  const childrenOf = (bus: number): number[] => [...feeder.topDown].filter((child) => feeder.parents[child] === bus);
  const trades: Pick<OrderTrade, 'seller' | 'buyer' | 'energyWh' | 'via'>[] = [];
  const leftOver = (bus: number): number[] => {
    const branches = childrenOf(bus).map(leftOver);
    const own = left.map((_, order) => order).filter((order) => book.buses[order] === bus);
    const queue = [...own, ...branches.flat()];
    const first = (supply: number) =>
      queue.find((order) => book.supply[order] === supply && (left[order] as number) > 0);
    for (;;) {
      const [seller, buyer] = [first(1), first(0)];
      if (seller === undefined || buyer === undefined) return queue;
      const energyWh = Math.min(left[seller] as number, left[buyer] as number);
      left[seller]! -= energyWh;
      left[buyer]! -= energyWh;
      trades.push({ seller, buyer, energyWh, via: bus });
    }
  };
  leftOver(feeder.root);
  return trades;
}

test('whoever pairs by hand, bus by bus, gets the same trades', () => {
  const inOrder = (trades: ReturnType<typeof pairByHand>) =>
    trades
      .map(({ seller, buyer, energyWh, via }) => ({ seller, buyer, energyWh, via }))
      .sort((a, b) => a.seller - b.seller || a.buyer - b.buyer);
  for (let seed = 1; seed <= 400; seed++) {
    const { feeder, book, label } = randomInstance(seed, 25, 60);
    const clearing = clear(feeder, book);
    expect(inOrder(pairTrades(feeder, book, clearing)), label).toEqual(inOrder(pairByHand(feeder, book, clearing)));
  }
});
