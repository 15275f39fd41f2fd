// Random feeders and orders for tests and benchmarks: trees of all shapes, ties, zero and tight capacities.

import { seededRandom } from '../../src/base/random.ts';
import { checkBook, emptyBook, orderBook } from '../../src/market/book.ts';
import { type BusRecord, buildFeeder } from '../../src/market/feeder.ts';
import type { FeederModel, Order, OrderBook, UtilityTariff } from '../../src/market/types.ts';

export type Shape = 'random' | 'path' | 'star' | 'binary' | 'caterpillar' | 'brush';
export const SHAPES: readonly Shape[] = ['random', 'path', 'star', 'binary', 'caterpillar', 'brush'];

/** Parent of bus i > 0. */
export function parentOf(shape: Shape, i: number, next: () => number): number {
  switch (shape) {
    case 'random':
      return Math.floor(next() * i);
    case 'path':
      return i - 1;
    case 'star':
      return 0;
    case 'binary':
      return Math.floor((i - 1) / 2);
    case 'caterpillar':
      return i % 2 === 1 ? Math.max(0, i - 2) : i - 1;
    case 'brush':
      return Math.max(0, i - 1 - Math.floor(next() * 3));
  }
}

export interface Instance {
  readonly feeder: FeederModel;
  readonly orders: readonly Order[];
  readonly utility: UtilityTariff | undefined;
  readonly book: OrderBook;
  readonly label: string;
}

/** A small instance that is likely to be nasty: the seed decides its shape, limits, tariffs and how many ties there are. */
export function randomInstance(seed: number, busesMax: number, ordersMax: number, energyMax = 50): Instance {
  const next = seededRandom(seed);
  const below = (limit: number): number => Math.floor(next() * limit);
  const shape = SHAPES[below(SHAPES.length)] as Shape;
  const n = 1 + below(busesMax);
  const limits = below(4);
  const tariffMax = [0, 1, 3, 20][below(4)] as number;
  const priceSpan = [2, 6, 30, 400][below(4)] as number;
  const buses: BusRecord[] = Array.from({ length: n }, (_, i) => ({
    id: `b${i}`,
    parent: i === 0 ? null : `b${parentOf(shape, i, next)}`,
    capacityW:
      limits === 0 || (limits === 1 && next() < 0.5)
        ? null
        : next() < 0.15
          ? 0
          : below(limits === 3 ? 8 : 4 * energyMax) * 4,
    tariffUcPerWh: next() < 0.2 ? 0 : below(tariffMax + 1),
    lossPpm: below(30_000),
  }));
  const netExportsWh = new Map<string, number>();
  const withBaseline = next() < 0.3;
  for (const { id } of withBaseline ? buses : []) {
    if (next() < 0.3) netExportsWh.set(id, below(2 * energyMax) - energyMax);
  }
  const shuffled =
    next() < 0.5
      ? buses
          .map((bus) => ({ bus, at: next() }))
          .sort((a, b) => a.at - b.at)
          .map(({ bus }) => bus)
      : buses;
  const feeder = buildFeeder(shuffled, { lengthMs: 900_000, netExportsWh });
  const orders: Order[] = Array.from({ length: below(ordersMax + 1) }, () => ({
    bus: below(n),
    side: next() < 0.5 ? 'supply' : 'demand',
    priceUcPerWh: below(priceSpan) - (next() < 0.1 ? priceSpan : 0),
    energyWh: next() < 0.05 ? 0 : 1 + below(energyMax),
  }));
  const buy = below(priceSpan);
  const utility =
    next() < 0.4
      ? {
          buyUcPerWh: buy,
          buyWhMax: below(200),
          sellUcPerWh: buy + (next() < 0.3 ? 0 : below(priceSpan)),
          sellWhMax: below(200),
        }
      : undefined;
  return {
    feeder,
    orders,
    utility,
    book: orderBook(feeder, orders, utility),
    label: `seed ${seed}: ${shape}, ${n} buses, ${orders.length} orders`,
  };
}

export interface LargeTerms {
  readonly shape: Shape;
  readonly buses: number;
  readonly orders: number;
  readonly limits: boolean;
  readonly tariffs: boolean;
  readonly seed: number;
}

/** A large instance straight into columns: prices of a local market, tariffs of a few per cent of them, limits that bind here and there. */
export function largeInstance(terms: LargeTerms): { feeder: FeederModel; book: OrderBook } {
  const next = seededRandom(terms.seed);
  const below = (limit: number): number => Math.floor(next() * limit);
  const subtree = new Float64Array(terms.buses).fill(1);
  const parents = Array.from({ length: terms.buses }, (_, i) => (i === 0 ? -1 : parentOf(terms.shape, i, next)));
  for (let i = terms.buses - 1; i > 0; i--) subtree[parents[i] as number]! += subtree[i]!;
  const perBus = terms.orders / terms.buses;
  const buses: BusRecord[] = parents.map((parent, i) => ({
    id: `b${i}`,
    parent: parent < 0 ? null : `b${parent}`,
    capacityW: terms.limits ? 4 * Math.floor(500 * Math.sqrt(perBus * subtree[i]!) * (1 + 3 * next())) : null,
    tariffUcPerWh: terms.tariffs ? 1 + below(20) : 0,
    lossPpm: 1000,
  }));
  const feeder = buildFeeder(buses, { lengthMs: 900_000 });
  const book = emptyBook(terms.orders);
  for (let i = 0; i < terms.orders; i++) {
    const isSupply = next() < 0.5;
    book.buses[i] = below(terms.buses);
    book.supply[i] = isSupply ? 1 : 0;
    book.pricesUcPerWh[i] = 5_000 + below(25_000) + (isSupply ? 0 : 5_000);
    book.energiesWh[i] = 1 + below(1000);
  }
  checkBook(feeder, book);
  return { feeder, book };
}

/**
 * The worst case for a clearing that passes orders one by one: along a path, orders that outweigh all others pull the price
 * up and down from bus to bus, and every time all the small orders at its end change sides.
 */
export function pendulumInstance(buses: number, orders: number): { feeder: FeederModel; book: OrderBook } {
  const records = Array.from(
    { length: buses },
    (_, i): BusRecord => ({
      id: `b${i}`,
      parent: i === 0 ? null : `b${i - 1}`,
      capacityW: null,
      tariffUcPerWh: 0,
      lossPpm: 0,
    }),
  );
  const feeder = buildFeeder(records, { lengthMs: 900_000 });
  const book = emptyBook(orders);
  for (let i = 0; i < orders; i++) {
    const isHuge = i < buses;
    book.buses[i] = isHuge ? i : buses - 1;
    book.supply[i] = isHuge ? i % 2 : 0;
    book.pricesUcPerWh[i] = isHuge ? (i % 2 === 1 ? 0 : 1_000_000) : 1000 + ((i * 7919) % 500_000);
    book.energiesWh[i] = isHuge ? 900_000_000 : 1;
  }
  checkBook(feeder, book);
  return { feeder, book };
}
