// Stated demand at the site's desk: whose, for when, and what is news.

import { expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { createDemandDesk } from '../../src/gateway/demands.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { INTERVAL, INTERVAL_MS, T0_MS } from '../vectors/examples.ts';

const store = openGatewayStore(':memory:');
let chainMs = T0_MS;
const accept = createDemandDesk({
  site: { id: 'house', customers: [{ id: 'a', name: 'A' }] },
  store,
  intervalMs: INTERVAL_MS,
  clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
});
function statement(...demands: [interval: number, energyWh: number][]): Uint8Array {
  const of = demands.map(([interval, energyWh]) => ({
    start: new Date(interval * INTERVAL_MS).toISOString(),
    energyWh,
  }));
  return utf8(JSON.stringify({ demands: of }));
}

test('the same statement again is no news; another one is', () => {
  accept('a', statement([INTERVAL + 1, 50]));
  chainMs += 10_000;
  accept('a', statement([INTERVAL + 1, 50]));
  expect(store.demands.of(INTERVAL + 1)).toMatchObject([{ energyWh: 50, statedAtMs: T0_MS }]);
  accept('a', statement([INTERVAL + 1, 60]));
  expect(store.demands.of(INTERVAL + 1)).toMatchObject([{ energyWh: 60, statedAtMs: T0_MS + 10_000 }]);
});

test('intervals that are over are not counted, those beyond a month are refused, so that no store grows without end', () => {
  expect(accept('a', statement([INTERVAL - 1, 5], [INTERVAL, 5]))).toBe(1);
  expect(store.demands.of(INTERVAL - 1)).toEqual([]);
  expect(() => accept('a', statement([INTERVAL + 32 * 96, 5]))).toThrow(/31 days/);
  expect(() => accept('b', statement([INTERVAL, 5]))).toThrow(/no customer b/);
});
