// Dumb oracles. `searchClearing` moves one Wh at a time along the best chain of orders until no gain is left (every pair of
// orders, every time); `highsWelfare` writes the linear programme and lets HiGHS solve it.

import highsLoader from 'highs';
import { orderKeys, SCALE } from '../../src/market/book.ts';
import type { FeederModel, OrderBook } from '../../src/market/types.ts';

/**
 * Fills by exhaustive improvement: as long as some exchange of 1 Wh between two orders gains (by price, then by rank), the
 * best such exchange is made. An exchange = one order sells a Wh more or buys one less, another the opposite; the lines
 * between them must have room and their tariffs are counted with the direction of the flow already there.
 */
export function searchClearing(feeder: FeederModel, book: OrderBook): Float64Array {
  const keys = orderKeys(book);
  const fills = new Float64Array(book.size);
  const flows = new Float64Array(feeder.parents.length);
  const stepCost = (bus: number, sign: number): number => {
    const flow = flows[bus]!;
    if (sign > 0 ? flow + 1 > feeder.upMaxWh[bus]! : flow - 1 < -feeder.downMaxWh[bus]!) return Infinity;
    return feeder.tariffsUcPerWh[bus]! * SCALE * (Math.abs(flow + sign) - Math.abs(flow));
  };
  const lineage = (bus: number): number[] => {
    const buses: number[] = [];
    for (let at = bus; at !== -1; at = feeder.parents[at]!) buses.push(at);
    return buses;
  };
  const lines = (from: number, to: number): { bus: number; sign: number }[] => {
    const up = lineage(from);
    const down = lineage(to);
    const shared = new Set(up.filter((bus) => down.includes(bus)));
    return [
      ...up.filter((bus) => !shared.has(bus)).map((bus) => ({ bus, sign: 1 })),
      ...down.filter((bus) => !shared.has(bus)).map((bus) => ({ bus, sign: -1 })),
    ];
  };
  // Injecting a Wh at an order: a supply sells one more, a demand gives one back. Withdrawing: the opposite.
  const canInject = (i: number): boolean => (book.supply[i] === 1 ? fills[i]! < book.energiesWh[i]! : fills[i]! > 0);
  const canWithdraw = (i: number): boolean => (book.supply[i] === 1 ? fills[i]! > 0 : fills[i]! < book.energiesWh[i]!);
  for (;;) {
    let best = 0;
    let chosen: { from: number; to: number } | null = null;
    for (let from = 0; from < book.size; from++) {
      if (!canInject(from)) continue;
      for (let to = 0; to < book.size; to++) {
        if (from === to || !canWithdraw(to)) continue;
        let gain = keys[to]! - keys[from]!;
        for (const { bus, sign } of lines(book.buses[from]!, book.buses[to]!)) gain -= stepCost(bus, sign);
        if (gain > best) {
          best = gain;
          chosen = { from, to };
        }
      }
    }
    if (chosen === null) return fills;
    fills[chosen.from]! += book.supply[chosen.from] === 1 ? 1 : -1;
    fills[chosen.to]! += book.supply[chosen.to] === 1 ? -1 : 1;
    for (const { bus, sign } of lines(book.buses[chosen.from]!, book.buses[chosen.to]!)) flows[bus]! += sign;
  }
}

/** The package is CommonJS for TypeScript and a module for Node. */
const load = highsLoader as unknown as (typeof highsLoader)['default'];
export type Highs = Awaited<ReturnType<typeof load>>;
export const loadHighs = (): Promise<Highs> => load();

/** Greatest welfare by linear programming, µ¤: a column for each order and each way over a line, a row for each bus. */
export function highsWelfare(highs: Highs, feeder: FeederModel, book: OrderBook): number {
  const n = feeder.parents.length;
  const cost: number[] = [];
  const upper: number[] = [];
  const starts: number[] = [0];
  const indices: number[] = [];
  const values: number[] = [];
  for (let i = 0; i < book.size; i++) {
    const sign = book.supply[i] === 1 ? 1 : -1;
    cost.push(sign * book.pricesUcPerWh[i]!);
    upper.push(book.energiesWh[i]!);
    indices.push(book.buses[i]!);
    values.push(sign);
    starts.push(indices.length);
  }
  for (let bus = 0; bus < n; bus++) {
    const parent = feeder.parents[bus]!;
    if (parent < 0) continue;
    for (const [limit, sign] of [
      [feeder.upMaxWh[bus]!, -1],
      [feeder.downMaxWh[bus]!, 1],
    ] as const) {
      cost.push(feeder.tariffsUcPerWh[bus]!);
      upper.push(Number.isFinite(limit) ? limit : highs.infinity);
      indices.push(Math.min(bus, parent), Math.max(bus, parent));
      values.push(bus < parent ? sign : -sign, bus < parent ? -sign : sign);
      starts.push(indices.length);
    }
  }
  if (cost.length === 0) return 0;
  return highs.withModel(
    {
      numCols: cost.length,
      numRows: n,
      colCost: Float64Array.from(cost),
      colLower: new Float64Array(cost.length),
      colUpper: Float64Array.from(upper),
      rowLower: new Float64Array(n),
      rowUpper: new Float64Array(n),
      matrix: {
        format: 'csc',
        numRows: n,
        numCols: cost.length,
        starts: Int32Array.from(starts),
        indices: Int32Array.from(indices),
        values: Float64Array.from(values),
      },
    },
    (model) => {
      model.options.set('output_flag', false);
      const { modelStatus } = model.run();
      if (modelStatus !== highs.constants.modelStatus.optimal)
        throw new Error(`HiGHS ended with status ${modelStatus}`);
      return 0 - model.getObjectiveValue();
    },
  );
}
