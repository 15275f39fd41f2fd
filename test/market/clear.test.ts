// The clearing against dumb oracles, and what it promises: one result, from any order of records, within every limit.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocate } from '../../src/market/allocate.ts';
import { orderBook } from '../../src/market/book.ts';
import { clear } from '../../src/market/clear.ts';
import { type BusRecord, buildFeeder } from '../../src/market/feeder.ts';
import type { Order } from '../../src/market/types.ts';
import { verifyClearing } from '../../src/market/verify.ts';
import { largeInstance, pendulumInstance, randomInstance, SHAPES } from './instances.ts';
import { highsWelfare, loadHighs, searchClearing } from './oracle.ts';

const MINUTES_15 = 900_000;
const line = (id: string, parent: string | null, capacityW: number | null = null, tariffUcPerWh = 0): BusRecord => ({
  id,
  parent,
  capacityW,
  tariffUcPerWh,
  lossPpm: 0,
});
const supply = (bus: number, priceUcPerWh: number, energyWh: number): Order => ({
  bus,
  side: 'supply',
  priceUcPerWh,
  energyWh,
});
const demand = (bus: number, priceUcPerWh: number, energyWh: number): Order => ({
  ...supply(bus, priceUcPerWh, energyWh),
  side: 'demand',
});
const twoBuses = (capacityW: number | null, tariff: number) =>
  buildFeeder([line('root', null), line('house', 'root', capacityW, tariff)], { lengthMs: MINUTES_15 });

const CASES = [
  {
    name: 'no order: nothing traded, prices 0',
    feeder: twoBuses(null, 0),
    orders: [],
    fills: [],
    prices: [0, 0],
  },
  {
    name: 'the price lies in the middle of what both sides agree with, rounded down',
    feeder: twoBuses(null, 0),
    orders: [supply(0, 10, 5), demand(0, 13, 5)],
    fills: [5, 5],
    prices: [11, 11],
  },
  {
    name: 'equal prices trade',
    feeder: twoBuses(null, 0),
    orders: [supply(1, 7, 5), demand(0, 7, 3)],
    fills: [3, 3],
    prices: [7, 7],
  },
  {
    name: 'a tariff above the gain forbids the trade',
    feeder: twoBuses(null, 4),
    orders: [supply(1, 7, 5), demand(0, 10, 3)],
    fills: [0, 0],
    prices: [10, 7],
  },
  {
    name: 'a tariff separates the prices of both ends',
    feeder: twoBuses(null, 4),
    orders: [supply(1, 7, 5), demand(0, 12, 3)],
    fills: [3, 3],
    prices: [11, 7],
  },
  {
    name: 'a full line lets floor(W x minutes / 60) through and separates prices',
    feeder: twoBuses(10, 0),
    orders: [supply(1, 7, 5), demand(0, 12, 3)],
    fills: [2, 2],
    prices: [12, 7],
  },
  {
    name: 'of equal orders the earlier is served',
    feeder: twoBuses(null, 0),
    orders: [demand(1, 9, 4), supply(1, 7, 5), supply(1, 7, 5)],
    fills: [4, 4, 0],
    prices: [7, 7],
  },
  {
    name: 'the earlier of two demands is served too, whichever bus',
    feeder: twoBuses(null, 0),
    orders: [demand(1, 9, 4), demand(0, 9, 4), supply(0, 7, 5)],
    fills: [4, 1, 5],
    prices: [9, 9],
  },
  {
    name: 'negative prices: who must get rid of energy pays',
    feeder: twoBuses(null, 0),
    orders: [supply(1, -8, 5), demand(0, -6, 5)],
    fills: [5, 5],
    prices: [-7, -7],
  },
] as const;

describe('small clearings by hand', () => {
  for (const { name, feeder, orders, fills, prices } of CASES) {
    test(name, () => {
      const clearing = clear(feeder, orderBook(feeder, orders));
      expect([...clearing.fillsWh]).toEqual([...fills]);
      expect([...clearing.pricesUcPerWh]).toEqual(prices);
    });
  }

  test('the utility comes last on ties and does not trade with itself', () => {
    const feeder = twoBuses(null, 0);
    const tariff = { buyUcPerWh: 10, buyWhMax: 100, sellUcPerWh: 10, sellWhMax: 100 };
    const alone = clear(feeder, orderBook(feeder, [], tariff));
    expect([...alone.fillsWh]).toEqual([0, 0]);
    const book = orderBook(feeder, [supply(1, 10, 5), demand(1, 10, 7)], tariff);
    expect([...clear(feeder, book).fillsWh]).toEqual([5, 7, 2, 0]);
  });

  test('a baseline uses a line up; what relieves an overloaded line still passes', () => {
    const feeder = buildFeeder([line('root', null), line('house', 'root', 40)], {
      lengthMs: MINUTES_15,
      netExportsWh: new Map([['house', 12]]),
    });
    const exporting = clear(feeder, orderBook(feeder, [supply(1, 1, 5), demand(0, 9, 5)]));
    expect([...exporting.fillsWh]).toEqual([0, 0]);
    const importing = clear(feeder, orderBook(feeder, [supply(0, 1, 50), demand(1, 9, 50)]));
    expect([...importing.fillsWh]).toEqual([22, 22]);
  });
});

describe('against oracles', () => {
  test('welfare, fills and ties equal a dumb search on tiny instances', () => {
    for (let seed = 1; seed <= 1500; seed++) {
      const { feeder, book, label } = randomInstance(seed, 7, 9, 6);
      expect([...clear(feeder, book).fillsWh], label).toEqual([...searchClearing(feeder, book)]);
    }
  });

  test('welfare equals linear programming on instances of all shapes', async () => {
    const highs = await loadHighs();
    for (let seed = 10_001; seed <= 10_080; seed++) {
      const { feeder, book, label } = randomInstance(seed, 60, 200);
      const clearing = clear(feeder, book);
      expect(Number(clearing.welfareUc), label).toBeCloseTo(highsWelfare(highs, feeder, book), 4);
      expect(verifyClearing(feeder, book, clearing), label).toEqual([]);
    }
  });
});

describe('properties', () => {
  test('the order of the feeder’s records changes nothing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.infiniteStream(fc.nat()), (seed, shuffle) => {
        const { feeder, orders, utility } = randomInstance(seed, 12, 20, 20);
        const records = feeder.ids.map((id, bus) => ({
          ...line(id, feeder.parents[bus] === -1 ? null : (feeder.ids[feeder.parents[bus]!] as string)),
          capacityW: Number.isFinite(feeder.upMaxWh[bus]!) ? feeder.upMaxWh[bus]! * 4 : null,
          tariffUcPerWh: feeder.tariffsUcPerWh[bus]!,
        }));
        const order = records.map((_, i) => ({ i, at: shuffle.next().value as number })).sort((a, b) => a.at - b.at);
        const place = new Map(order.map(({ i }, to) => [i, to]));
        const one = buildFeeder(records, { lengthMs: MINUTES_15 });
        const other = buildFeeder(
          order.map(({ i }) => records[i] as BusRecord),
          { lengthMs: MINUTES_15 },
        );
        const moved = orders.map((step) => ({ ...step, bus: place.get(step.bus) as number }));
        const a = clear(one, orderBook(one, orders, utility));
        const b = clear(other, orderBook(other, moved, utility));
        expect([...b.fillsWh]).toEqual([...a.fillsWh]);
        expect(order.map(({ i }) => a.pricesUcPerWh[i])).toEqual([...b.pricesUcPerWh]);
        expect(b.welfareUc).toBe(a.welfareUc);
      }),
      { numRuns: 150 },
    );
  });

  test('welfare never falls when an order is added, and is never negative', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), (seed) => {
        const { feeder, orders } = randomInstance(seed, 12, 20, 20);
        let welfare = 0n;
        for (let count = 0; count <= orders.length; count++) {
          const next = clear(feeder, orderBook(feeder, orders.slice(0, count))).welfareUc;
          expect(next >= welfare).toBe(true);
          welfare = next;
        }
      }),
      { numRuns: 60 },
    );
  });

  test('extreme figures stay exact: greatest prices, energies and tariffs on a long path', () => {
    const buses = Array.from({ length: 3000 }, (_, i) => line(`b${i}`, i === 0 ? null : `b${i - 1}`, null, 1_000_000));
    const feeder = buildFeeder(buses, { lengthMs: MINUTES_15 });
    const orders = Array.from({ length: 3000 }, (_, i) =>
      i % 2 === 0 ? supply(i, -1_000_000, 1_000_000_000) : demand(i, 1_000_000, 999_999_999),
    );
    const book = orderBook(feeder, orders);
    const clearing = clear(feeder, book);
    expect(verifyClearing(feeder, book, clearing)).toEqual([]);
    expect(clearing.tradedWh).toBe(1500n * 999_999_999n);
    expect(clearing.welfareUc).toBe(1500n * 999_999_999n * 1_000_000n);
  });
});

describe('large and deep', () => {
  for (const shape of SHAPES) {
    test(`${shape}: 5,000 buses and 30,000 orders are cleared and verified`, () => {
      for (const limits of [true, false]) {
        const { feeder, book } = largeInstance({
          shape,
          buses: 5000,
          orders: 30_000,
          limits,
          tariffs: true,
          seed: 3,
        });
        expect(verifyClearing(feeder, book, clear(feeder, book))).toEqual([]);
      }
    });
  }

  test('a price that swings from bus to bus over all small orders', () => {
    const { feeder, book } = pendulumInstance(3000, 30_000);
    const clearing = clear(feeder, book);
    expect(verifyClearing(feeder, book, clearing)).toEqual([]);
    expect(clearing.tradedWh > 0n).toBe(true);
  });

  test('an allocation repeats to the bit', () => {
    const { feeder, book } = largeInstance({
      shape: 'random',
      buses: 5000,
      orders: 30_000,
      limits: true,
      tariffs: true,
      seed: 5,
    });
    expect(allocate(feeder, book)).toEqual(allocate(feeder, book));
  });
});
