// The energy of an interval reaches the chain: once, in a form that can be signed and believed, and afterwards if it must.

import { beforeEach, expect, test } from 'vitest';
import { canonicalBytes, type JsonObject } from '../../src/base/canonical.ts';
import { WattpactError } from '../../src/base/errors.ts';
import { SILENT } from '../../src/base/log.ts';
import type { RequestLife } from '../../src/contract/life.ts';
import { createSiteDelivering, type SiteDelivering } from '../../src/gateway/delivering.ts';
import type { GatewayEvent } from '../../src/gateway/events.ts';
import type { GridInterval } from '../../src/gateway/metering.ts';
import { REQUEST_SCHEMAS } from '../../src/protocol/requests.ts';
import { loadSite } from '../../src/site/load.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { INTERVAL, INTERVAL_MS } from '../vectors/examples.ts';
import { fakeRequester, GENESIS, salt } from './fixtures.ts';

const { site } = loadSite('devices/demo/house.yaml');
const END_MS = (INTERVAL + 1) * INTERVAL_MS;
const SETTLED_MS = END_MS + GENESIS.interval.settlementMs;

let store: GatewayStore;
let chainMs: number;
let requester: ReturnType<typeof fakeRequester>;
let events: GatewayEvent[];
let areFinished: boolean;

beforeEach(() => {
  areFinished = true;
  store = openGatewayStore(':memory:');
  requester = fakeRequester();
  events = [];
  chainMs = END_MS + 1_000;
});

function delivering(): SiteDelivering {
  return createSiteDelivering({
    site,
    genesis: GENESIS,
    gateway: 'gateway-farm',
    store,
    requester,
    metering: {
      energyOf: (subject, quantity, interval) =>
        store.energies.range(subject, quantity, interval, interval + 1)[0] ?? null,
      finishedByAll: () => areFinished,
    },
    clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
    emit: (event) => events.push(event),
    log: SILENT,
  });
}

function grid(interval = INTERVAL, changes: Partial<GridInterval['metered']> = {}): GridInterval {
  const metered = {
    interval,
    startMs: interval * INTERVAL_MS,
    endMs: (interval + 1) * INTERVAL_MS,
    channels: {},
    uncertaintyWh: 2,
    quality: 'measured' as const,
    marks: [],
    curtailed: false,
    ...changes,
  };
  return { metered, importStartWh: 100, importEndWh: 150, exportStartWh: 10, exportEndWh: 10 };
}

function energy(subject: string, quantity: string, energyWh: number): void {
  const common = { interval: INTERVAL, uncertaintyWh: 1, quality: 'measured', curtailed: false };
  store.energies.save([{ subject, quantity, energyWh, ...common }]);
}

/** What was submitted, as the validators would take it. */
const bodies = () =>
  requester.submitted.map(({ id: _id, kind, draft, validUntilMs }) => {
    const body = { ...(draft as JsonObject), salt, sequence: 1, validUntilMs };
    canonicalBytes(body);
    return { kind, ...(REQUEST_SCHEMAS[kind as 'delivery'].parse(body) as JsonObject) };
  });
const kinds = () => requester.submitted.map(({ kind, interval }) => `${kind} ${(interval as number) - INTERVAL}`);

test('an interval in which nothing flowed at all can be signed, and blocks none after it', () => {
  const site = delivering();
  site.onMetered(grid(INTERVAL, { uncertaintyWh: -0 }));
  site.tick();
  const meter = { meterSerial: '630-1001', ctRatio: { primaryA: 1, secondaryA: 1 } };
  expect(bodies()).toMatchObject([{ kind: 'delivery', uncertaintyWh: 0, ...meter }]);
});

test('an uncertainty beyond every bound is cut, not refused', () => {
  const site = delivering();
  site.onMetered(grid(INTERVAL, { uncertaintyWh: 5e12, quality: 'gap' }));
  site.tick();
  expect(bodies()).toMatchObject([{ kind: 'delivery', quality: 'gap' }]);
});

test('a device whose coarse counter says more than the sun allows is left out; the delivery goes', () => {
  energy('pv', 'generation', 8_000);
  energy('battery', 'discharge', 300);
  energy('battery', 'charge', 300);
  const site = delivering();
  site.onMetered(grid());
  site.tick();
  expect(bodies()).toMatchObject([{ devices: [{ device: 'battery', energyWh: 0 }] }]);
});

test('what cannot be said is given up aloud; what comes after it is delivered', () => {
  const site = delivering();
  requester.failWith(new WattpactError('canonical.number', 'no'));
  site.onMetered(grid());
  site.tick();
  requester.failWith(null);
  site.onMetered(grid(INTERVAL + 1));
  chainMs += INTERVAL_MS;
  site.tick();
  expect(kinds()).toEqual(['delivery 1']);
  expect(events).toContainEqual({ type: 'trouble', what: expect.stringContaining('stays undelivered') });
});

test('while nothing may be signed the interval stays owed, over a restart too', () => {
  requester.failWith(new WattpactError('clock.unsynchronised', 'no'));
  const before = delivering();
  before.onMetered(grid());
  before.tick();
  requester.failWith(null);
  const after = delivering();
  after.tick();
  // Metered once more, it is owed once.
  after.onMetered(grid());
  after.tick();
  expect(kinds()).toEqual(['delivery 0']);
  expect(events.filter(({ type }) => type === 'trouble')).toEqual([]);
});

test('a delivery is void at settlement; one that came too late is followed by one correction', () => {
  const site = delivering();
  site.onMetered(grid());
  site.tick();
  expect(bodies()[0]).toMatchObject({ validUntilMs: SETTLED_MS });
  chainMs = SETTLED_MS + 60_000;
  site.tick();
  expect(kinds()).toEqual(['delivery 0']);
  requester.end(0, 'expired');
  site.tick();
  site.tick();
  expect(kinds()).toEqual(['delivery 0', 'correction 0']);
  expect(bodies()[1]).toMatchObject({ importEndWh: 150, reason: expect.stringContaining('settlement') });
  requester.end(1, 'recorded');
  site.tick();
  site.tick();
  expect(kinds()).toHaveLength(2);
});

test('a delivery refused before settlement waits for it, and is corrected then', () => {
  const site = delivering();
  site.onMetered(grid());
  site.tick();
  requester.end(0, 'refused');
  site.tick();
  expect(kinds()).toEqual(['delivery 0']);
  chainMs = SETTLED_MS + 60_000;
  site.tick();
  expect(kinds()).toEqual(['delivery 0', 'correction 0']);
  requester.end(1, 'refused');
  site.tick();
  site.tick();
  expect(kinds()).toHaveLength(2);
  expect(events.at(-1)).toMatchObject({ type: 'trouble' });
});

test('after an outage, intervals that are settled already are corrected, the last one is delivered, in portions', () => {
  const site = delivering();
  const outage = Array.from({ length: 100 }, (_, i) => INTERVAL - 99 + i);
  for (const interval of outage) site.onMetered(grid(interval, { quality: 'gap' }));
  for (let i = 0; i < 200; i++) {
    site.tick();
    const underWay = requester.submitted.filter(({ id }) => requester.life(id)?.phase === 'undecided');
    expect(underWay.length).toBeLessThanOrEqual(32);
    requester.submitted.forEach((_, k) => void requester.end(k, 'recorded' as RequestLife['phase']));
  }
  expect(kinds()).toEqual(
    outage.map((interval) => `${interval === INTERVAL ? 'delivery' : 'correction'} ${interval - INTERVAL}`),
  );
});

test('an interval that a clock running ahead has metered is given up, and holds up no true one', () => {
  const site = delivering();
  site.onMetered(grid(INTERVAL + 40));
  site.onMetered(grid());
  site.tick();
  expect(kinds()).toEqual(['delivery 0']);
});

test('what is told of a delivery: net export', () => {
  const site = delivering();
  site.onMetered({ ...grid(), importStartWh: 100, importEndWh: 150.4, exportStartWh: 10.4, exportEndWh: 37 });
  site.tick();
  expect(events).toEqual([
    { type: 'delivery', interval: INTERVAL, deliveredWh: -23, quality: 'measured', uncertaintyWh: 2 },
  ]);
});

test('of a battery goes what it gave less what it took', () => {
  energy('battery', 'discharge', 40);
  energy('battery', 'charge', 340);
  const site = delivering();
  site.onMetered(grid());
  site.tick();
  expect(bodies()).toMatchObject([{ devices: [{ device: 'battery', energyWh: -300 }] }]);
});

test('other meters of the site are waited for, three seconds of wall time; the delivery waits no longer', () => {
  const waitMs = 3_000 * GENESIS.clock.rate;
  areFinished = false;
  const site = delivering();
  site.onMetered(grid());
  chainMs = END_MS + waitMs - 1;
  site.tick();
  expect(kinds()).toEqual([]);
  chainMs += 1;
  site.tick();
  expect(kinds()).toEqual(['delivery 0']);
});

test('nothing is begun so close to settlement that it would arrive on the wrong side of it', () => {
  const marginMs = 1_000 * GENESIS.clock.rate;
  for (const [first, kind] of [
    [SETTLED_MS - marginMs - 1, 'delivery 0'],
    [SETTLED_MS - marginMs, 'correction 0'],
  ] as const) {
    store = openGatewayStore(':memory:');
    requester = fakeRequester();
    const site = delivering();
    site.onMetered(grid());
    for (const nowMs of [first, SETTLED_MS + marginMs - 1]) {
      chainMs = nowMs;
      site.tick();
    }
    expect(kinds()).toEqual(kind.startsWith('delivery') ? [kind] : []);
    chainMs = SETTLED_MS + marginMs;
    site.tick();
    expect(kinds()).toEqual([kind]);
  }
});

test('a correction is tried three times, and only as long as the chain takes one', () => {
  const site = delivering();
  site.onMetered(grid());
  chainMs = SETTLED_MS + 60_000;
  for (let i = 0; i < 6; i++) {
    site.tick();
    requester.end(i, 'expired');
  }
  expect(kinds()).toEqual(['correction 0', 'correction 0', 'correction 0']);
  expect(events.at(-1)).toMatchObject({ type: 'trouble', what: expect.stringContaining('3 corrections') });
  site.onMetered(grid(INTERVAL + 1));
  site.onMetered(grid(INTERVAL + 2));
  chainMs = END_MS + INTERVAL_MS + 30 * 24 * 3_600_000 + 1;
  site.tick();
  expect(kinds().slice(3)).toEqual(['correction 2']);
  expect(events.at(-1)).toMatchObject({ type: 'trouble', what: expect.stringContaining('too old') });
});
