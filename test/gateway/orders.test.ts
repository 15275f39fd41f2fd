// Operators' orders at a site: in force from and until the instants that they name, the newest of each operator, over restarts.

import { beforeEach, expect, test } from 'vitest';
import { createOrderBook } from '../../src/gateway/orders.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { T0_MS } from '../vectors/examples.ts';

let nowMs: number;
let store: GatewayStore;
beforeEach(() => {
  nowMs = T0_MS;
  store = openGatewayStore(':memory:');
});

const book = () => createOrderBook(store, { chainMs: () => nowMs, monotonicMs: () => 0 });
const order = (sequence: number, fromMs: number, untilMs: number) => ({
  ...{ gateway: 'gateway-farm', exportLimitW: 1000 + sequence, importLimitW: null, sequence, fromMs, untilMs },
});

test('an order is in force from its beginning until its end, the end not included', () => {
  const orders = book();
  orders.add('operator', order(1, T0_MS + 1_000, T0_MS + 5_000));
  for (const [atMs, count] of [
    [999, 0],
    [1_000, 1],
    [4_999, 1],
    [5_000, 0],
  ] as const) {
    nowMs = T0_MS + atMs;
    expect([atMs, orders.inForce().length]).toEqual([atMs, count]);
  }
});

test('each operator has one order, the newest; those of several stand together, also after a restart', () => {
  const before = book();
  before.add('operator', order(1, T0_MS, T0_MS + 5_000));
  before.add('other', order(7, T0_MS, T0_MS + 5_000));
  before.add('operator', order(2, T0_MS, T0_MS + 5_000));
  for (const orders of [before, book()]) {
    expect(orders.inForce().map(({ sequence }) => sequence)).toEqual([2, 7]);
  }
  expect([...book().sequences]).toEqual([
    ['operator', 2],
    ['other', 7],
  ]);
});
