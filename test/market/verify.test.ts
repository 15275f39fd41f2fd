// Wrong, biased and suboptimal results, each of which the check must refuse for the right reason.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { orderBook } from '../../src/market/book.ts';
import { certify } from '../../src/market/certificate.ts';
import { clear } from '../../src/market/clear.ts';
import { type BusRecord, buildFeeder } from '../../src/market/feeder.ts';
import type { Clearing, FeederModel, Finding, Order, OrderBook } from '../../src/market/types.ts';
import { FINDINGS_MAX, verifyClearing } from '../../src/market/verify.ts';
import { randomInstance } from './instances.ts';

// root -- street -- house (line of 10 W over 60 min: 10 Wh)
//             \--- farm
const BUSES: readonly BusRecord[] = [
  { id: 'root', parent: null, capacityW: null, tariffUcPerWh: 0, lossPpm: 0 },
  { id: 'street', parent: 'root', capacityW: 40, tariffUcPerWh: 2, lossPpm: 0 },
  { id: 'house', parent: 'street', capacityW: 10, tariffUcPerWh: 1, lossPpm: 0 },
  { id: 'farm', parent: 'street', capacityW: null, tariffUcPerWh: 1, lossPpm: 0 },
];
const [ROOT, STREET, HOUSE, FARM] = [0, 1, 2, 3];
const feeder = buildFeeder(BUSES, { lengthMs: 3_600_000 });
const step = (bus: number, side: Order['side'], priceUcPerWh: number, energyWh: number): Order => ({
  bus,
  side,
  priceUcPerWh,
  energyWh,
});
const ORDERS: readonly Order[] = [
  step(FARM, 'supply', 5, 20), //   0
  step(FARM, 'supply', 5, 20), //   1 ties with 0, later
  step(FARM, 'supply', 9, 20), //   2 dearer
  step(HOUSE, 'demand', 30, 15), // 3 behind the line of 10 Wh
  step(STREET, 'demand', 20, 6), // 4
  step(STREET, 'demand', 20, 6), // 5 ties with 4, later
  step(ROOT, 'demand', 7, 8), //    6 pays less than the way costs: 5 + 1 + 2 = 8
  step(ROOT, 'supply', 12, 30), //  7 far and dear
];
const book = orderBook(feeder, ORDERS);
const right = clear(feeder, book);
const RIGHT_FILLS = [20, 2, 0, 10, 6, 6, 0, 0];

/** A certificate made by the same means from other fills: only the fills are wrong. */
const withFills = (fills: readonly number[]): Clearing => certify(feeder, book, Float64Array.from(fills));
const changed = (values: Float64Array, at: number, value: number): Float64Array => {
  const copy = values.slice();
  copy[at] = value;
  return copy;
};

interface Wrong {
  readonly name: string;
  readonly clearing: Clearing;
  readonly code: Finding['code'];
}
const WRONG: readonly Wrong[] = [
  { name: 'a fill is missing', clearing: { ...right, fillsWh: right.fillsWh.slice(1) }, code: 'shape' },
  { name: 'a price is missing', clearing: { ...right, pricesUcPerWh: right.pricesUcPerWh.slice(1) }, code: 'shape' },
  { name: 'a negative fill', clearing: withFills([20, 2, -1, 10, 6, 5, 0, 0]), code: 'fill.range' },
  { name: 'a fill above what was offered', clearing: withFills([22, 0, 0, 10, 6, 6, 0, 0]), code: 'fill.range' },
  {
    name: 'half a Wh',
    clearing: { ...right, fillsWh: Float64Array.from([20, 1.5, 0.5, 10, 6, 6, 0, 0]) },
    code: 'fill.range',
  },
  {
    name: 'a fill that is no number',
    clearing: { ...right, fillsWh: changed(right.fillsWh, 1, Number.NaN) },
    code: 'fill.range',
  },
  { name: 'more sold than bought', clearing: withFills([20, 3, 0, 10, 6, 6, 0, 0]), code: 'flow.balance' },
  { name: 'a line over its limit', clearing: withFills([20, 3, 0, 11, 6, 6, 0, 0]), code: 'flow.limit' },
  {
    name: 'flows that are not those of the fills',
    clearing: { ...right, flowsWh: changed(right.flowsWh, FARM, 21) },
    code: 'flow.balance',
  },
  {
    name: 'a flow that is no number',
    clearing: { ...right, flowsWh: changed(right.flowsWh, FARM, Number.NaN) },
    code: 'flow.balance',
  },
  { name: 'nothing traded at all', clearing: withFills([0, 0, 0, 0, 0, 0, 0, 0]), code: 'fill.suboptimal' },
  { name: 'one Wh less than pays', clearing: withFills([20, 1, 0, 10, 6, 5, 0, 0]), code: 'fill.suboptimal' },
  { name: 'a dearer seller preferred', clearing: withFills([20, 0, 2, 10, 6, 6, 0, 0]), code: 'fill.suboptimal' },
  { name: 'a poorer buyer preferred', clearing: withFills([20, 2, 0, 8, 6, 6, 2, 0]), code: 'fill.suboptimal' },
  {
    name: 'a trade that costs more than it is worth',
    clearing: withFills([20, 3, 0, 10, 6, 6, 1, 0]),
    code: 'fill.suboptimal',
  },
  { name: 'energy from afar preferred', clearing: withFills([20, 0, 0, 10, 6, 6, 0, 2]), code: 'fill.suboptimal' },
  {
    name: 'the later of two equal sellers preferred',
    clearing: withFills([2, 20, 0, 10, 6, 6, 0, 0]),
    code: 'fill.tie',
  },
  { name: 'a Wh moved between two equal sellers', clearing: withFills([19, 3, 0, 10, 6, 6, 0, 0]), code: 'fill.tie' },
  {
    name: 'all prices a little higher',
    clearing: { ...right, pricesUcPerWh: right.pricesUcPerWh.map((p) => p + 1) },
    code: 'price',
  },
  {
    name: 'one bus a little dearer',
    clearing: { ...right, pricesUcPerWh: changed(right.pricesUcPerWh, HOUSE, right.pricesUcPerWh[HOUSE]! - 1) },
    code: 'price',
  },
  {
    name: 'another optimal price, in favour of the sellers',
    clearing: { ...right, pricesUcPerWh: changed(right.pricesUcPerWh, ROOT, right.pricesUcPerWh[ROOT]! + 1) },
    code: 'price',
  },
  {
    name: 'a price that is no number',
    clearing: { ...right, pricesUcPerWh: changed(right.pricesUcPerWh, STREET, Number.NaN) },
    code: 'price',
  },
  { name: 'welfare overstated', clearing: { ...right, welfareUc: right.welfareUc + 1n }, code: 'welfare' },
  { name: 'traded energy understated', clearing: { ...right, tradedWh: right.tradedWh - 1n }, code: 'traded' },
];

describe('the check of a clearing', () => {
  test('accepts the right one', () => {
    expect([...right.fillsWh]).toEqual(RIGHT_FILLS);
    expect(verifyClearing(feeder, book, right)).toEqual([]);
  });

  for (const { name, clearing, code } of WRONG) {
    test(`refuses: ${name}`, () => {
      const codes = verifyClearing(feeder, book, clearing).map((finding) => finding.code);
      expect(codes.length).toBeGreaterThan(0);
      expect(new Set(codes)).toEqual(new Set([code]));
    });
  }

  const others: readonly {
    name: string;
    feeder: FeederModel;
    book: OrderBook;
    fills: readonly number[];
    code: Finding['code'];
  }[] = [
    {
      name: 'the utility preferred to a neighbour of the same price',
      feeder,
      book: orderBook(feeder, [step(ROOT, 'supply', 10, 5), step(ROOT, 'demand', 15, 5)], {
        buyUcPerWh: 1,
        buyWhMax: 9,
        sellUcPerWh: 10,
        sellWhMax: 9,
      }),
      fills: [0, 5, 5, 0],
      code: 'fill.tie',
    },
    {
      name: 'the utility trading with itself',
      feeder,
      book: orderBook(feeder, [], { buyUcPerWh: 10, buyWhMax: 9, sellUcPerWh: 10, sellWhMax: 9 }),
      fills: [9, 9],
      code: 'fill.tie',
    },
    {
      name: 'a trade without gain left out',
      feeder,
      book: orderBook(feeder, [step(FARM, 'supply', 5, 4), step(FARM, 'demand', 5, 4)]),
      fills: [0, 0],
      code: 'fill.tie',
    },
    {
      name: 'more over a line that the baseline has filled',
      feeder: buildFeeder(BUSES, { lengthMs: 3_600_000, netExportsWh: new Map([['house', -9]]) }),
      book: orderBook(feeder, [step(FARM, 'supply', 5, 4), step(HOUSE, 'demand', 15, 4)]),
      fills: [2, 2],
      code: 'flow.limit',
    },
    {
      name: 'energy sent in a circle: each sells what the other wanted from next door',
      feeder,
      book: orderBook(feeder, [step(FARM, 'supply', 5, 4), step(ROOT, 'supply', 5, 4), step(FARM, 'demand', 9, 4)]),
      fills: [0, 4, 4],
      code: 'fill.suboptimal',
    },
  ];
  for (const { name, feeder: on, book: of, fills, code } of others) {
    test(`refuses: ${name}`, () => {
      const codes = verifyClearing(on, of, certify(on, of, Float64Array.from(fills))).map((finding) => finding.code);
      expect(codes[0]).toBe(code);
    });
  }

  test('any other balanced allocation within the limits is refused, on random instances', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.nat(), fc.nat(), (seed, a, b) => {
        const instance = randomInstance(seed, 8, 12, 8);
        const clearing = clear(instance.feeder, instance.book);
        if (instance.book.size < 2) return;
        // One Wh more at two orders: sold and bought, or moved between two of a side.
        const [i, j] = [a % instance.book.size, b % instance.book.size];
        const fills = clearing.fillsWh.slice();
        const { supply, energiesWh } = instance.book;
        fills[i]! += 1;
        fills[j]! += supply[i] === supply[j] ? -1 : 1;
        if (i === j || fills[i]! > energiesWh[i]! || fills[j]! > energiesWh[j]! || fills[j]! < 0) return;
        const other = certify(instance.feeder, instance.book, fills);
        expect(verifyClearing(instance.feeder, instance.book, other)).not.toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  test('reports at most a handful', () => {
    const instance = randomInstance(7, 60, 300);
    const clearing = clear(instance.feeder, instance.book);
    const fillsWh = clearing.fillsWh.map(() => -1);
    expect(fillsWh.length).toBeGreaterThan(FINDINGS_MAX);
    expect(verifyClearing(instance.feeder, instance.book, { ...clearing, fillsWh })).toHaveLength(FINDINGS_MAX);
  });
});
