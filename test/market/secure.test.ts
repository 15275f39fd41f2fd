// The voltage band and rounds.

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { orderBook } from '../../src/market/book.ts';
import { clear, walkRounds } from '../../src/market/clear.ts';
import { type BusRecord, buildFeeder } from '../../src/market/feeder.ts';
import type { Clearing, FeederModel, Order, OrderBook } from '../../src/market/types.ts';
import { verifyClearing } from '../../src/market/verify.ts';
import {
  clearSecurely,
  squaredVoltages,
  tighteningFindings,
  type VoltageBand,
  verifySecurely,
  voltageModel,
} from '../../src/market/voltage.ts';
import { randomInstance } from './instances.ts';

const QUARTER = 900_000;
const BAND: VoltageBand = { rootPpm: 1_000_000, minPpm: 950_000, maxPpm: 1_050_000, tanPhiPpm: 0 };
const line = (id: string, parent: string | null, resistanceUohm = 100_000, reactanceUohm = 50_000): BusRecord => ({
  id,
  parent,
  capacityW: null,
  tariffUcPerWh: 0,
  lossPpm: 0,
  resistanceUohm,
  reactanceUohm,
  nominalV: 400,
});
const STREET = [line('root', null), line('a', 'root'), line('b', 'a')];
interface Round {
  readonly feeder: FeederModel;
  readonly book: OrderBook;
  readonly clearing: Clearing;
}
function clearRounds(feeder: FeederModel, book: OrderBook, joins: Uint8Array, rounds: number): Round[] {
  const done: Round[] = [];
  walkRounds(feeder, book, joins, rounds, (left, open) => {
    const clearing = clear(left, open);
    done.push({ feeder: left, book: open, clearing });
    return clearing;
  });
  return done;
}
const order = (bus: number, side: Order['side'], priceUcPerWh: number, energyWh: number): Order => ({
  bus,
  side,
  priceUcPerWh,
  energyWh,
});

describe('voltage', () => {
  const feeder = buildFeeder(STREET, { lengthMs: QUARTER });
  const model = voltageModel(STREET, BAND, QUARTER)!;

  test('LinDistFlow by hand: 0.1 ohm, 8 kW, 400 V raise the squared voltage by 2 x 0.1 x 8000 / 160000 = 1 %', () => {
    expect([...squaredVoltages(feeder, model, Float64Array.from([0, 2000, 2000]))]).toEqual([
      1_000_000, 1_010_000, 1_020_000,
    ]);
    expect([...squaredVoltages(feeder, model, Float64Array.from([0, -2000, 0]))]).toEqual([
      1_000_000, 990_000, 990_000,
    ]);
  });

  test('imports draw reactive power over the reactance, exports do not', () => {
    const withQ = voltageModel(STREET, { ...BAND, tanPhiPpm: 500_000 }, QUARTER)!;
    // 8 kW and 4 kvar: 1 % over R, 2 x 0.05 x 4000 / 160000 = 0.25 % over X
    expect(squaredVoltages(feeder, withQ, Float64Array.from([0, -2000, 0]))[1]).toBe(1_000_000 - 10_000 - 2500);
    expect(squaredVoltages(feeder, withQ, Float64Array.from([0, 2000, 0]))[1]).toBe(1_010_000);
  });

  test('a record without r, x or voltage has nothing to check', () => {
    expect(voltageModel([...STREET, { ...line('c', 'b'), nominalV: undefined }], BAND, QUARTER)).toBeNull();
  });

  test('an export that would lift the street out of the band is cut until it does not', () => {
    const book = orderBook(feeder, [order(2, 'supply', 1, 20_000), order(0, 'demand', 9, 20_000)]);
    expect(clear(feeder, book).tradedWh).toBe(20_000n);
    const secure = clearSecurely(feeder, book, model, 8);
    if (secure.status !== 'cleared') throw new Error(secure.message);
    const voltages = squaredVoltages(feeder, model, secure.clearing.flowsWh);
    expect(Math.max(...voltages)).toBeLessThanOrEqual(1_102_500);
    expect(Math.max(...voltages)).toBeGreaterThan(1_102_000);
    expect(secure.tightened.map(({ bus }) => bus)).toEqual([1, 2]);
    expect(secure.clearing.pricesUcPerWh[2]).toBe(1);
    expect(verifySecurely(feeder, book, model, secure.clearing, secure.tightened)).toEqual([]);
  });

  test('too low is cut as well; what does not go over the weak line is not affected', () => {
    const book = orderBook(feeder, [
      order(0, 'supply', 1, 40_000),
      order(2, 'demand', 9, 20_000),
      order(0, 'demand', 3, 500),
    ]);
    const secure = clearSecurely(feeder, book, model, 8);
    if (secure.status !== 'cleared') throw new Error(secure.message);
    expect(Math.min(...squaredVoltages(feeder, model, secure.clearing.flowsWh))).toBeGreaterThanOrEqual(902_500);
    expect(secure.clearing.fillsWh[2]).toBe(500);
  });

  test('a band that the baseline itself breaks makes the market void, and says where', () => {
    const loaded = buildFeeder(STREET, { lengthMs: QUARTER, netExportsWh: new Map([['b', -30_000]]) });
    const secure = clearSecurely(loaded, orderBook(loaded, []), model, 8);
    expect(secure).toMatchObject({ status: 'void', bus: 2 });
  });

  test('without repeats left the market is void', () => {
    const book = orderBook(feeder, [order(2, 'supply', 1, 20_000), order(0, 'demand', 9, 20_000)]);
    expect(clearSecurely(feeder, book, model, 0).status).toBe('void');
  });

  test('the check refuses a clearing out of band, and limits that loosen', () => {
    const book = orderBook(feeder, [order(2, 'supply', 1, 20_000), order(0, 'demand', 9, 20_000)]);
    const codes = (clearing: ReturnType<typeof clear>, tightened: Parameters<typeof verifySecurely>[4]): string[] =>
      verifySecurely(feeder, book, model, clearing, tightened).map(({ code }) => code);
    expect(codes(clear(feeder, book), [])).toContain('voltage');
    const limited = { ...feeder, upMaxWh: Float64Array.from([Infinity, 100, Infinity]) };
    expect(codes(clear(limited, book), [])).toContain('fill.suboptimal');
    expect(codes(clear(limited, book), [{ bus: 1, upMaxWh: 100, downMaxWh: Infinity }])).toEqual([]);
    expect(codes(clear(limited, book), [{ bus: 1, upMaxWh: -1, downMaxWh: Infinity }])).toEqual(['flow.limit']);
  });

  test('limits that are tighter than the rule makes them are found by following the rule', () => {
    const book = orderBook(feeder, [order(2, 'supply', 1, 20_000), order(0, 'demand', 9, 20_000)]);
    const secure = clearSecurely(feeder, book, model, 8);
    if (secure.status !== 'cleared') throw new Error(secure.message);
    const found = (tightened: Parameters<typeof tighteningFindings>[4]): string[] =>
      tighteningFindings(feeder, book, model, 8, tightened).map(({ code }) => code);
    expect(found(secure.tightened)).toEqual([]);
    expect(found([{ bus: 1, upMaxWh: 100, downMaxWh: Infinity }])).toEqual(['flow.limit']);
    expect(found(secure.tightened.map((line) => ({ ...line, upMaxWh: line.upMaxWh - 1 })))).toEqual(['flow.limit']);
    expect(found([])).toEqual(['flow.limit']);
  });

  test('on random streets whatever clears keeps the band and passes the check', () => {
    let cleared = 0;
    let tightened = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const next = seededRandom(seed);
      const below = (limit: number): number => Math.floor(next() * limit);
      const n = 2 + below(12);
      const records = Array.from({ length: n }, (_, i) =>
        line(`b${i}`, i === 0 ? null : `b${below(i)}`, below(200_000), below(100_000)),
      );
      const street = buildFeeder(records, { lengthMs: QUARTER });
      const electrical = voltageModel(records, { ...BAND, tanPhiPpm: 328_684 }, QUARTER)!;
      const orders = Array.from({ length: 30 }, () =>
        order(below(n), next() < 0.5 ? 'supply' : 'demand', below(50), 1 + below(6000)),
      );
      const book = orderBook(street, orders);
      const secure = clearSecurely(street, book, electrical, 12);
      if (secure.status === 'void') continue;
      cleared++;
      if (secure.tightened.length > 0) tightened++;
      expect(verifySecurely(street, book, electrical, secure.clearing, secure.tightened), `seed ${seed}`).toEqual([]);
      expect(clearSecurely(street, book, electrical, 12)).toEqual(secure);
    }
    expect(cleared).toBeGreaterThan(150);
    expect(tightened).toBeGreaterThan(30);
  });
});

describe('rounds', () => {
  test('one round is the clearing itself', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const { feeder, book } = randomInstance(seed, 10, 20);
      const [only] = clearRounds(feeder, book, new Uint8Array(book.size), 1);
      expect(only?.clearing).toEqual(clear(feeder, book));
    }
  });

  test('who came in the first round keeps what it got there; the second takes the capacity left', () => {
    const records = [line('root', null), { ...line('a', 'root'), capacityW: 400 }];
    const feeder = buildFeeder(records, { lengthMs: QUARTER });
    const book = orderBook(feeder, [order(1, 'supply', 1, 500), order(0, 'demand', 5, 60), order(0, 'demand', 50, 80)]);
    const rounds = clearRounds(feeder, book, Uint8Array.from([0, 0, 1]), 2);
    expect(rounds.map(({ clearing }) => [...clearing.fillsWh])).toEqual([
      [60, 60, 0],
      [40, 0, 40],
    ]);
  });

  test('each round is optimal on what is left, and all of them together keep the limits', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { feeder, book, label } = randomInstance(seed, 15, 40);
      const next = seededRandom(seed);
      const joins = Uint8Array.from({ length: book.size }, () => Math.floor(next() * 3));
      const rounds = clearRounds(feeder, book, joins, 3);
      const fills = new Float64Array(book.size);
      const flows = new Float64Array(feeder.ids.length);
      for (const round of rounds) {
        expect(verifyClearing(round.feeder, round.book, round.clearing), label).toEqual([]);
        for (let i = 0; i < book.size; i++) fills[i]! += round.clearing.fillsWh[i]!;
        for (let bus = 0; bus < flows.length; bus++) flows[bus]! += round.clearing.flowsWh[bus]!;
      }
      expect(
        fills.every((fill, i) => fill <= book.energiesWh[i]!),
        label,
      ).toBe(true);
      const within = flows.every((flow, bus) => flow <= feeder.upMaxWh[bus]! && -flow <= feeder.downMaxWh[bus]!);
      expect(within, label).toBe(true);
    }
  });
});
