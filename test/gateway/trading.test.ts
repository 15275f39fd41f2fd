// What a site says of an interval before its gate, and what it may believe of its position.

import { beforeEach, expect, test } from 'vitest';
import { WattpactError } from '../../src/base/errors.ts';
import { SILENT } from '../../src/base/log.ts';
import { newRequest, type RequestLife } from '../../src/contract/life.ts';
import type { GatewayEvent } from '../../src/gateway/events.ts';
import type { EnergyForecast } from '../../src/gateway/forecasting.ts';
import type { SiteOverride } from '../../src/gateway/overrides.ts';
import { createSitePlanning } from '../../src/gateway/planning.ts';
import { createSiteTrading, type SiteTrading } from '../../src/gateway/trading.ts';
import type { Notice } from '../../src/protocol/replies.ts';
import type { RequestBody } from '../../src/protocol/requests.ts';
import { loadSite } from '../../src/site/load.ts';
import type { Customer, SiteFile } from '../../src/site/types.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { INTERVAL, INTERVAL_MS, T0_MS } from '../vectors/examples.ts';
import { fakeRequester, GENESIS } from './fixtures.ts';

const { site: house } = loadSite('devices/demo/house.yaml');
/** A few seconds into the window in which INTERVAL + 1 is spoken of. */
const ASKED = INTERVAL + 1;
const WINDOW_MS = ASKED * INTERVAL_MS - GENESIS.interval.requestMs + 5_000;

let store: GatewayStore;
let chainMs: number;
let requester: ReturnType<typeof fakeRequester>;
let events: GatewayEvent[];
let generationWh: number;
let isMetered: boolean;
let forgotten: boolean;
let stateOfCharge: number | null;
let overrides: SiteOverride[];
let cleared: [number, number][];
/** Whether it was a plan of what was traded, for each. */
let planned: boolean[];

beforeEach(() => {
  store = openGatewayStore(':memory:');
  requester = fakeRequester();
  events = [];
  chainMs = WINDOW_MS;
  generationWh = 500;
  isMetered = true;
  forgotten = false;
  stateOfCharge = null;
  overrides = [];
  cleared = [];
  planned = [];
});

function trading(site: SiteFile = house): SiteTrading {
  const forecast = (wh: number, first: number, count: number): EnergyForecast[] =>
    Array.from({ length: count }, (_, i) => ({
      interval: first + i,
      quantilesWh: [0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3].map((q) => q * wh),
    }));
  const planning = createSitePlanning({
    site,
    genesis: GENESIS,
    store,
    loadNeeds: { progress: () => new Map() },
    prices: { expected: () => ({ buyUcPerWh: 30_000, sellUcPerWh: 8_000 }) },
    positionWh: () => 0,
    stateOfCharge: () => stateOfCharge,
    overrides: () => overrides,
    clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
  });
  return createSiteTrading({
    site,
    genesis: GENESIS,
    gateway: 'gateway-farm',
    store,
    requester: {
      ...requester,
      // As the real one: an offer is in the store before it leaves.
      submit(kind, interval, draft, validUntilMs) {
        const id = requester.submit(kind, interval, draft, validUntilMs);
        if (kind === 'offer') remember(id, interval as number, newRequest(id, validUntilMs));
        return id;
      },
      onVerdict: () => undefined,
      onAbsent: () => undefined,
      onHint: () => undefined,
      tick: () => undefined,
    },
    forecasting: {
      learnUpTo: () => true,
      doubts: () => [],
      generation: (first, count) => new Map([['pv', forecast(generationWh, first, count)]]),
      consumption: (first, count) => forecast(200, first, count),
      net: (first, count) =>
        forecast(1, first, count).map(({ interval, quantilesWh }) => ({
          interval,
          quantilesWh: quantilesWh.map((q, i) => q * 200 - (quantilesWh[6 - i] as number) * generationWh),
        })),
    },
    planning: {
      ...planning,
      plan(asked) {
        planned.push(asked.isCleared);
        return planning.plan(asked);
      },
    },
    prices: { onCleared: (interval, _startMs, price) => cleared.push([interval, price]) },
    mayHaveForgotten: () => forgotten,
    mayNotTrade: () => (isMetered ? null : new WattpactError('trading.unmetered', 'no meter')),
    clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
    emit: (event) => events.push(event),
    log: SILENT,
  });
}

function remember(id: string, interval: number, life: RequestLife): void {
  store.requests.create(() => ({ id, kind: 'offer', interval, bytes: new Uint8Array(), createdAtMs: chainMs, life }));
}
function customers(...ids: string[]): readonly Customer[] {
  return ids.map((id) => ({ ...(house.customers[0] as Customer), id }));
}
function state(customer: string, energyWh: number): void {
  store.demands.save({ customer, interval: ASKED, energyWh, statedAtMs: chainMs });
}
const said = (kind: string) => requester.submitted.filter((request) => request.kind === kind).map(({ draft }) => draft);
/** + sold, - bought by the last offer. */
function offeredWh(): number {
  const { sell, buy } = said('offer').at(-1) as RequestBody<'offer'>;
  const total = (steps: typeof sell): number => steps.reduce((sum, { energyWh }) => sum + energyWh, 0);
  return total(sell) - total(buy);
}

test('a site that has nothing to offer says what it forecasts once, not every second', async () => {
  generationWh = 0;
  const idle = trading({ ...house, customers: [], storage: [], connection: { ...house.connection, importLimitW: 0 } });
  for (let i = 0; i < 5; i++, chainMs += 1_000) await idle.tick();
  expect(said('offer')).toHaveLength(0);
  expect(said('forecast')).toHaveLength(1);
});

test('a forecast over what the sun allows, or below nothing, is said as the ledger believes it', async () => {
  chainMs += 12 * 3_600_000; // night
  generationWh = 40;
  await trading().tick();
  expect(said('forecast')).toMatchObject([{ energyWh: 0, quantilesWh: [0, 0, 0, 0, 0, 0, 0] }]);

  chainMs = WINDOW_MS;
  generationWh = -0.3;
  await trading().tick();
  const { quantilesWh } = said('forecast').at(-1) as RequestBody<'forecast'>;
  expect(quantilesWh.every((wh) => Object.is(wh, 0))).toBe(true);

  generationWh = 1e9;
  chainMs += 24 * 3_600_000;
  await trading().tick();
  expect(said('forecast').at(-1)).toMatchObject({ energyWh: 2_000 }); // 8 kW for a quarter of an hour
});

test('a plan that is done too late for the gate says nothing, and what is planned is not planned twice at a time', async () => {
  const site = trading();
  const late = site.tick();
  chainMs = ASKED * INTERVAL_MS - GENESIS.interval.gateCloseMs - 1;
  await late;
  expect(requester.submitted).toHaveLength(0);
  expect(events).toMatchObject([{ type: 'trouble' }]);

  chainMs = WINDOW_MS;
  await Promise.all([site.tick(), site.tick()]);
  expect(said('offer')).toHaveLength(1);
});

test('nothing is traded that could not be measured', async () => {
  isMetered = false;
  const site = trading();
  await site.tick();
  await site.tick();
  expect(requester.submitted).toHaveLength(0);
  expect(events).toHaveLength(1);
  isMetered = true;
  await site.tick();
  expect(said('offer')).toHaveLength(1);
});

test('the statement of one of two customers does not silence the other', async () => {
  generationWh = 0;
  state('a', 50);
  await trading({ ...house, customers: customers('a', 'b') }).tick();
  expect(offeredWh()).toBe(-200);
  expect(said('demand')).toMatchObject([{ customer: 'a', energyWh: 50 }]);
});

test('what all customers stated is what the site needs; a stranger states nothing', async () => {
  generationWh = 0;
  state('a', 50);
  state('b', 70);
  state('long-gone', 5_000);
  await trading({ ...house, customers: customers('a', 'b') }).tick();
  expect(offeredWh()).toBe(-120);
  expect(said('demand')).toHaveLength(2);
});

test('another statement is said again, once', async () => {
  const site = trading();
  await site.tick();
  chainMs += 2_000;
  state('household', 900);
  chainMs += 1_000;
  for (let i = 0; i < 3; i++) await site.tick();
  expect(said('offer')).toHaveLength(2);
});

const lives: [RequestLife['phase'], number | null][] = [
  ['undecided', null],
  ['recorded', null],
  ['refused', 0],
  ['expired', 0],
];
test.each(lives)('with an offer that is %s and no notice, the position is %s', (phase, expected) => {
  remember('1', INTERVAL, { ...newRequest('1', T0_MS), phase } as unknown as RequestLife);
  expect(trading().positionWh(INTERVAL)).toBe(expected);
});

test('a store that was lost does not say that nothing was offered', () => {
  forgotten = true;
  expect(trading().positionWh(INTERVAL)).toBeNull();
});

const HOUR_MS = 3_600_000;
const word = (mode: SiteOverride['mode'], percent: number | null, ms: number): SiteOverride => {
  return { id: 'battery', kind: 'battery', mode, percent, setAtMs: chainMs, untilMs: chainMs + ms, by: 'page' };
};
const sellableWh = (): number =>
  (said('offer').at(-1) as RequestBody<'offer'>).sell.reduce((sum, { energyWh }) => sum + energyWh, 0);

test('a battery that the owner holds is not offered; one that is free again by then is', async () => {
  stateOfCharge = 80;
  generationWh = 0;
  overrides = [word('hold', null, 3 * HOUR_MS)];
  await trading().tick();
  const held = sellableWh();
  expect(held).toBe(0);

  chainMs += 24 * HOUR_MS;
  overrides = [word('hold', null, 60_000)];
  await trading().tick();
  expect(sellableWh()).toBeGreaterThan(500);
});

test('what a battery takes that the owner charges is bought', async () => {
  stateOfCharge = 20;
  generationWh = 0;
  const { battery } = { battery: house.storage[0] as (typeof house.storage)[number] };
  overrides = [word('charge-to', 90, 3 * HOUR_MS)];
  await trading().tick();
  const { buy } = said('offer').at(-1) as RequestBody<'offer'>;
  const boughtWh = buy.reduce((sum, { energyWh }) => sum + energyWh, 0);
  expect(boughtWh).toBeCloseTo(200 + battery.chargeLimitW / 4, -1);
});

test('an offer holds no more than the connection carries in an interval', async () => {
  generationWh = 5_000;
  await trading({ ...house, storage: [], connection: { ...house.connection, exportLimitW: 3_000 } }).tick();
  expect(offeredWh()).toBe(750);
});

test.each([
  [5_900, 5_900],
  [7_000, 6_000],
])('a demand of %i Wh is said as %i Wh: 24 kW carry no more in a quarter of an hour', async (stated, expected) => {
  state('household', stated);
  await trading().tick();
  expect(said('demand')).toMatchObject([{ customer: 'household', energyWh: expected }]);
});

test.each([
  ['export', 1],
  ['import', -1],
])('the least that a connection carries is offered too: an %s of 1 Wh', async (side, expected) => {
  generationWh = side === 'export' ? 5_000 : 0;
  const connection = { ...house.connection, [`${side}LimitW`]: 4 };
  await trading({ ...house, storage: [], connection }).tick();
  expect(offeredWh()).toBe(expected);
});

test('what was traded is planned once, not every second; a site without loads has nothing to place', async () => {
  const notice: Notice = {
    kind: 'notice',
    bindingLine: '',
    bindingUcPerWh: 0,
    clearing: 'c'.repeat(64),
    feeder: 'feeder-1',
    gateway: 'gateway-farm',
    interval: ASKED,
    nodalPriceUcPerWh: 9_000,
    positionWh: 100,
    status: 'cleared',
    trades: [],
  };
  const { site: flat } = loadSite('devices/demo/flat.yaml');
  for (const [site, plans] of [
    [flat, 1],
    [{ ...flat, loads: [] }, 0],
  ] as const) {
    planned = [];
    chainMs = ASKED * INTERVAL_MS - GENESIS.interval.gateCloseMs + 5_000;
    const traded = trading(site);
    traded.onNotice(notice, 3);
    for (let i = 0; i < 3; i++, chainMs += 1_000) await traded.tick();
    expect(planned.filter((isCleared) => isCleared)).toHaveLength(plans);
    store = openGatewayStore(':memory:');
  }
});
