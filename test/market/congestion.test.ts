// Who is told which line stood in the way.

import { expect, test } from 'vitest';
import { orderBook } from '../../src/market/book.ts';
import { clear } from '../../src/market/clear.ts';
import { congestionOf } from '../../src/market/congestion.ts';
import { buildFeeder } from '../../src/market/feeder.ts';
import { randomInstance } from './instances.ts';

test('a house behind a full line hears of that line and its shadow price, and so does who would have bought from it', () => {
  const line = (id: string, parent: string | null, capacityW: number | null) => ({
    id,
    parent,
    capacityW,
    tariffUcPerWh: 1,
    lossPpm: 0,
  });
  const feeder = buildFeeder(
    [line('root', null, null), line('a', 'root', null), line('house', 'a', 400), line('b', 'root', null)],
    {
      lengthMs: 900_000,
    },
  );
  const supply = { bus: 2, side: 'supply', priceUcPerWh: 5, energyWh: 300 } as const;
  const demand = { bus: 3, side: 'demand', priceUcPerWh: 20, energyWh: 200 } as const;
  const { shadowsUcPerWh, supplyLines, demandLines } = congestionOf(
    feeder,
    clear(feeder, orderBook(feeder, [supply, demand])),
  );
  expect([...shadowsUcPerWh]).toEqual([0, 0, 12, 0]);
  expect([...supplyLines]).toEqual([-1, -1, 2, -1]);
  expect([...demandLines]).toEqual([2, 2, -1, 2]);
});

test('one Wh more of a short line is worth at most its shadow price, and of another nothing', () => {
  let short = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const { feeder, book, label } = randomInstance(seed, 10, 30);
    const clearing = clear(feeder, book);
    const { shadowsUcPerWh } = congestionOf(feeder, clearing);
    for (let bus = 0; bus < feeder.parents.length; bus++) {
      const wider = (limits: Float64Array): Float64Array => limits.map((limit, i) => (i === bus ? limit + 1 : limit));
      const more = { ...feeder, upMaxWh: wider(feeder.upMaxWh), downMaxWh: wider(feeder.downMaxWh) };
      const gain = clear(more, book).welfareUc - clearing.welfareUc;
      expect(gain <= BigInt(shadowsUcPerWh[bus]!), label).toBe(true);
      if (gain > 0n) short++;
    }
  }
  expect(short).toBeGreaterThan(50);
});
