// What no feeder, order or interval may look like, and the arithmetic of limits.

import { describe, expect, test } from 'vitest';
import { emptyBook, ORDERS_MAX, orderBook, orderKeys, SCALE } from '../../src/market/book.ts';
import { type BusRecord, buildFeeder, energyOfCapacity } from '../../src/market/feeder.ts';
import { DEFAULT_TARIFF_RULE, lineTerms } from '../../src/market/tariffs.ts';

const bus = (id: string, parent: string | null, more: Partial<BusRecord> = {}): BusRecord => ({
  id,
  parent,
  capacityW: 1000,
  tariffUcPerWh: 1,
  lossPpm: 1,
  ...more,
});
const QUARTER = { lengthMs: 900_000 };
const ROOT = bus('root', null);

describe('feeders that are refused', () => {
  for (const [name, buses, message] of [
    ['no bus', [], 'the feeder has no bus'],
    ['no root', [bus('a', 'b'), bus('b', 'a')], 'no bus is the root'],
    ['two roots', [ROOT, bus('other', null)], 'two roots: bus root and bus other'],
    ['a loop', [ROOT, bus('a', 'b'), bus('b', 'a')], 'bus a does not lead to the root: a loop'],
    ['a bus on itself', [ROOT, bus('a', 'a')], 'bus a does not lead to the root: a loop'],
    ['an unknown parent', [ROOT, bus('a', 'nowhere')], 'bus a hangs on unknown bus nowhere'],
    ['a bus twice', [ROOT, bus('a', 'root'), bus('a', 'root')], 'bus a appears twice'],
    ['a negative capacity', [ROOT, bus('a', 'root', { capacityW: -1 })], 'capacity of bus a is -1 W'],
    ['half a watt', [ROOT, bus('a', 'root', { capacityW: 0.5 })], 'capacity of bus a is 0.5 W'],
    ['a negative tariff', [ROOT, bus('a', 'root', { tariffUcPerWh: -1 })], 'tariff of bus a is -1'],
    ['a loss above everything', [ROOT, bus('a', 'root', { lossPpm: 1_000_001 })], 'loss of bus a is 1000001 ppm'],
  ] as const) {
    test(name, () => expect(() => buildFeeder(buses, QUARTER)).toThrow(message));
  }
  test('an interval that is no whole number of minutes', () => {
    expect(() => buildFeeder([ROOT], { lengthMs: 90_000 })).toThrow('no whole number of minutes');
  });
  test('limits and baselines for unknown buses', () => {
    expect(() => buildFeeder([ROOT], { ...QUARTER, capacitiesW: new Map([['x', 1]]) })).toThrow('names bus x');
    expect(() => buildFeeder([ROOT], { ...QUARTER, netExportsWh: new Map([['x', 1]]) })).toThrow('names bus x');
  });
});

describe('orders that are refused', () => {
  const feeder = buildFeeder([ROOT], QUARTER);
  const good = { bus: 0, side: 'supply', priceUcPerWh: 1, energyWh: 1 } as const;
  for (const [name, order, message] of [
    ['unknown bus', { ...good, bus: 1 }, 'order 0 names bus 1 of 1'],
    ['price too high', { ...good, priceUcPerWh: 1_000_001 }, 'price of order 0 is 1000001'],
    ['half a price', { ...good, priceUcPerWh: 0.5 }, 'price of order 0 is 0.5'],
    ['negative energy', { ...good, energyWh: -1 }, 'energy of order 0 is -1'],
    ['too much energy', { ...good, energyWh: 1_000_000_001 }, 'energy of order 0 is 1000000001'],
  ] as const) {
    test(name, () => expect(() => orderBook(feeder, [order])).toThrow(message));
  }
  test('a utility that buys dearer than it sells', () => {
    const tariff = { buyUcPerWh: 2, buyWhMax: 1, sellUcPerWh: 1, sellWhMax: 1 };
    expect(() => orderBook(feeder, [], tariff)).toThrow('must not buy dearer than it sells');
  });
  test('more orders than keys can tell apart', () => {
    expect(() => emptyBook(ORDERS_MAX + 1)).toThrow('the limit is');
    expect(2 * ORDERS_MAX).toBeLessThan(SCALE);
  });
});

test('no two keys are equal modulo SCALE, so no path of whole tariffs makes two orders equal', () => {
  const feeder = buildFeeder([ROOT], QUARTER);
  const orders = Array.from({ length: 500 }, (_, i) => ({
    bus: 0,
    side: i % 3 === 0 ? ('supply' as const) : ('demand' as const),
    priceUcPerWh: (i % 7) - 3,
    energyWh: 1,
  }));
  const book = orderBook(feeder, orders, { buyUcPerWh: 0, buyWhMax: 1, sellUcPerWh: 0, sellWhMax: 1 });
  const rests = [...orderKeys(book)].map((key) => ((key % SCALE) + SCALE) % SCALE);
  expect(new Set(rests).size).toBe(502);
});

test('watts become Wh an interval by floor(W x minutes / 60), operator limits replace the record, the baseline uses them up', () => {
  expect(energyOfCapacity(1000, 900_000)).toBe(250);
  expect(energyOfCapacity(7, 900_000)).toBe(1);
  expect(energyOfCapacity(4_000_000_000, 24 * 3_600_000)).toBe(96_000_000_000);
  const records = [ROOT, bus('a', 'root'), bus('b', 'a', { capacityW: null })];
  const plain = buildFeeder(records, QUARTER);
  expect([...plain.upMaxWh]).toEqual([Infinity, 250, Infinity]);
  const limited = buildFeeder(records, {
    ...QUARTER,
    capacitiesW: new Map([['a', 400]]),
    netExportsWh: new Map([
      ['a', 30],
      ['b', 40],
    ]),
  });
  expect([...limited.baseFlowsWh]).toEqual([70, 70, 40]);
  expect([limited.upMaxWh[1], limited.downMaxWh[1]]).toEqual([30, 170]);
});

test('ohms, metres and losses become a tariff by the documented rule', () => {
  const line = { resistanceUohm: 100_000, lengthM: 250, nominalV: 400, ratingVa: 98_380, referenceW: 8000 };
  // 0.1 ohm x 8000 W / 400^2 V^2 = 0.5 %; 50 x 0.25 km + 25000 x 0.5 % = 12.5 + 125
  expect(lineTerms(line, DEFAULT_TARIFF_RULE)).toEqual({ capacityW: 98_380, lossPpm: 5000, tariffUcPerWh: 138 });
  expect(lineTerms({ ...line, ratingVa: null }, { ...DEFAULT_TARIFF_RULE, loadingPercent: 80 }).capacityW).toBeNull();
  expect(lineTerms(line, { ...DEFAULT_TARIFF_RULE, loadingPercent: 80 }).capacityW).toBe(78_704);
});
