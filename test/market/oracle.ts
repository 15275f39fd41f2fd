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

export type Highs = Awaited<ReturnType<typeof highsLoader>>;
export const loadHighs = (): Promise<Highs> => highsLoader();

/** Greatest welfare by linear programming, µ¤. */
export function highsWelfare(highs: Highs, feeder: FeederModel, book: OrderBook): number {
  const terms: string[] = [];
  const bounds: string[] = [];
  const balance: string[][] = feeder.parents.length > 0 ? Array.from(feeder.parents, () => []) : [];
  const signed = (value: number, name: string): string => `${value < 0 ? '-' : '+'} ${Math.abs(value)} ${name}`;
  for (let i = 0; i < book.size; i++) {
    const isSupply = book.supply[i] === 1;
    terms.push(signed((isSupply ? 1 : -1) * book.pricesUcPerWh[i]!, `q${i}`));
    bounds.push(`0 <= q${i} <= ${book.energiesWh[i]}`);
    balance[book.buses[i]!]!.push(`${isSupply ? '+' : '-'} q${i}`);
  }
  feeder.parents.forEach((parent, bus) => {
    if (parent < 0) return;
    for (const [name, limit, sign] of [
      [`u${bus}`, feeder.upMaxWh[bus]!, '-'],
      [`d${bus}`, feeder.downMaxWh[bus]!, '+'],
    ] as const) {
      terms.push(signed(feeder.tariffsUcPerWh[bus]!, name));
      bounds.push(Number.isFinite(limit) ? `0 <= ${name} <= ${limit}` : `0 <= ${name}`);
      balance[bus]!.push(`${sign} ${name}`);
      balance[parent]!.push(`${sign === '-' ? '+' : '-'} ${name}`);
    }
  });
  const rows = balance.flatMap((row, bus) => (row.length === 0 ? [] : [` c${bus}: ${row.join(' ')} = 0`]));
  if (terms.length === 0 || rows.length === 0) return 0;
  const lp = `Minimize\n obj: ${terms.join('\n ')}\nSubject To\n${rows.join('\n')}\nBounds\n ${bounds.join('\n ')}\nEnd\n`;
  const solution = highs.solve(lp);
  if (solution.Status !== 'Optimal') throw new Error(`HiGHS: ${solution.Status}`);
  return 0 - solution.ObjectiveValue;
}
