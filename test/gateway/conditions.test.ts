// What is wrong is said in words once it lasts, and that it is over.

import { beforeEach, expect, test } from 'vitest';
import { conditionsOf, createConditions, keptConditions, type SiteSigns } from '../../src/gateway/conditions.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { T0_MS } from '../vectors/examples.ts';

const WELL: SiteSigns = {
  meterFresh: true,
  lostDevices: [],
  brokersConnected: 2,
  operatorReachable: true,
  clockObstacle: null,
  offGrid: null,
  positionWh: 0,
  countedSinceStart: true,
  unmeteredLoads: [],
  undrivenBatteries: [],
  weatherTrouble: null,
  doubts: [],
  refusals: new Map(),
};

let store: GatewayStore;
let nowMs: number;
beforeEach(() => {
  store = openGatewayStore(':memory:');
  nowMs = 0;
});
const made = () => createConditions(store, { chainMs: () => T0_MS + nowMs, monotonicMs: () => nowMs });

const cases: [string, Partial<SiteSigns>, string, RegExp][] = [
  ['a stale meter', { meterFresh: false }, 'meter-stale', /batteries rest, generation is held/],
  ['a lost battery', { lostDevices: [{ id: 'b', role: 'battery' }] }, 'device-lost b', /no set-points/],
  ['a lost roof', { lostDevices: [{ id: 'pv', role: 'pv' }] }, 'device-lost pv', /rated power/],
  ['lost brokers', { brokersConnected: 0 }, 'brokers-lost', /waits on disk/],
  ['a silent operator', { operatorReachable: false }, 'operator-silent', /default limits/],
  ['a lost clock', { clockObstacle: 'the clock is 9 s behind' }, 'clock-lost', /9 s behind.*nothing is signed/],
  ['a restart in mid-interval', { countedSinceStart: false }, 'interval-begun', /only the rest/],
  ['an unproved trade', { positionWh: null }, 'position-unknown', /not proved/],
  [
    'a meter that stands still',
    { doubts: [{ subject: 'pv', intervals: 4, why: 'one value again and again' }] },
    'doubted pv',
    /again and again\): 4 intervals/,
  ],
  ['no grid', { offGrid: 'no voltage' }, 'off-grid', /automatic mode, nothing is traded/],
  ['a battery without a watchdog', { undrivenBatteries: ['b'] }, 'undriven b', /by itself/],
  ['a battery that refuses', { refusals: new Map([['b x', 'too hot']]) }, 'refused b x', /too hot/],
  ['a load without a meter', { unmeteredLoads: ['kiln'] }, 'unmetered kiln', /forecast with the rest/],
];
test.each(cases)('%s', (_what, signs, code, text) => {
  expect(conditionsOf(WELL)).toEqual([]);
  const found = conditionsOf({ ...WELL, ...signs });
  expect(found.map((each) => each.code)).toEqual([code]);
  expect(found[0]?.text).toMatch(text);
});

test('what lasts is told once, stands in the store, and ends once', () => {
  const conditions = made();
  expect(conditions.follow({ ...WELL, brokersConnected: 0 })).toEqual([]);
  nowMs += 4_000;
  expect(conditions.follow({ ...WELL, brokersConnected: 0 })).toEqual([]);
  nowMs += 1_000;
  expect(conditions.follow({ ...WELL, brokersConnected: 0 })).toMatchObject([
    { what: 'began', condition: { code: 'brokers-lost', sinceMs: T0_MS } },
  ]);
  expect(conditions.follow({ ...WELL, brokersConnected: 0 })).toEqual([]);
  expect(keptConditions(store)).toHaveLength(1);
  expect(conditions.follow(WELL)).toMatchObject([{ what: 'ended', condition: { code: 'brokers-lost' } }]);
  expect(keptConditions(store)).toEqual([]);
});

test('what is short is not told at all; no grid is told at once; a restart forgets what was', () => {
  const conditions = made();
  conditions.follow({ ...WELL, meterFresh: false });
  nowMs += 3_000;
  expect(conditions.follow(WELL)).toEqual([]);
  expect(conditions.follow({ ...WELL, offGrid: 'no voltage' })).toMatchObject([{ what: 'began' }]);
  expect(keptConditions(store)).toHaveLength(1);
  made();
  expect(keptConditions(store)).toEqual([]);
});
