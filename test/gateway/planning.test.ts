// The plan of an interval stands once it was traded: what loads take then, and what is left of their needs.

import { beforeEach, expect, test } from 'vitest';
import type { BidCurve } from '../../src/dispatch/plan-types.ts';
import type { SiteOverride } from '../../src/gateway/overrides.ts';
import { createSitePlanning, type ExpectedInterval } from '../../src/gateway/planning.ts';
import { loadSite } from '../../src/site/load.ts';
import type { SiteFile } from '../../src/site/types.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { INTERVAL, INTERVAL_MS } from '../vectors/examples.ts';
import { GENESIS } from './fixtures.ts';

const { site: flat } = loadSite('devices/demo/flat.yaml');
const COUNT = 96;

let store: GatewayStore;
let chainMs: number;
let doneWh: number;
let positions: Map<number, number>;
let overrides: SiteOverride[];
/** Price by place in the plan. */
let price: (startMs: number) => number;

beforeEach(() => {
  store = openGatewayStore(':memory:');
  chainMs = INTERVAL * INTERVAL_MS + 300_000;
  doneWh = 0;
  positions = new Map();
  overrides = [];
  price = () => 30_000;
});

function planning(site: SiteFile = flat) {
  return createSitePlanning({
    site,
    genesis: GENESIS,
    store,
    loadNeeds: { progress: () => new Map(site.loads.map(({ id }) => [id, { doneWh, on: false, sinceMs: 0 }])) },
    prices: { expected: (startMs) => ({ buyUcPerWh: price(startMs), sellUcPerWh: price(startMs) - 1_000 }) },
    positionWh: (interval) => positions.get(interval) ?? null,
    stateOfCharge: () => null,
    overrides: () => overrides,
    clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
  });
}
const expected = (): ExpectedInterval[] =>
  Array.from({ length: COUNT }, () => ({ netWh: Array.from({ length: 7 }, () => 100), generationWh: 0 }));
const request = (of: ReturnType<typeof planning>) => of.plan({ bidAt: 1, isCleared: false, expected: expected() });
const boilerW = (of: ReturnType<typeof planning>, interval: number) => of.loadPowersW(interval).get('boiler');
/** Dear but for one interval, which the boiler then wants. */
const cheapAt = (interval: number) => (startMs: number) => (startMs === interval * INTERVAL_MS ? 1_000 : 30_000);
const withNeed = (energyWh: number): SiteFile => ({
  ...flat,
  loads: flat.loads.map((load) => ({ ...load, need: load.need === null ? null : { ...load.need, energyWh } })),
});

test('what was planned for an interval when it was offered is what runs in it, whatever is planned later', async () => {
  const site = planning(withNeed(500));
  // All prices are alike but the ceiling of the bid interval: the boiler waits for the cheap one.
  price = cheapAt(INTERVAL + 3);
  await request(site);
  expect(boilerW(site, INTERVAL + 1)).toBe(0);
  chainMs += INTERVAL_MS;
  // Now everything but the running interval seems dear.
  price = () => 60_000;
  await request(site);
  expect(boilerW(site, INTERVAL + 1)).toBe(0);
  expect(boilerW(planning(withNeed(500)), INTERVAL + 1)).toBe(0);
});

test('others have their turn while a plan is made, and the one before is in force until it is done', async () => {
  const site = planning(withNeed(500));
  await request(site);
  const before = site.current();
  let turns = 0;
  let done = false;
  const others = (): void => {
    turns++;
    if (!done) setImmediate(others);
  };
  const made = request(site);
  setImmediate(others);
  expect(site.current()).toBe(before);
  const plan = await made;
  done = true;
  expect(turns).toBeGreaterThan(0);
  expect(site.current()?.plan).toBe(plan);
});

test('what runs by agreement is not planned a second time', async () => {
  store.settings.set('loads agreed', { boiler: { [INTERVAL]: 2_000, [INTERVAL + 1]: 0 } });
  chainMs = INTERVAL * INTERVAL_MS;
  const site = planning(withNeed(500));
  const plan = await request(site);
  expect(boilerW(site, INTERVAL)).toBe(2_000);
  const [boiler] = plan.loads.filter(({ id }) => id === 'boiler');
  expect(boiler?.powersW.slice(0, 20).every((powerW) => powerW === 0) ?? true).toBe(true);
  // The running interval is known to take it.
  expect(plan.steps[0]?.consumptionWh).toBe(600);
});

test('a rest of a need that is less than measuring gets wrong does not start it again', async () => {
  doneWh = 480;
  const plan = await request(planning(withNeed(500)));
  expect(plan.loads.filter(({ id, powersW }) => id === 'boiler' && powersW.slice(0, 30).some((w) => w > 0))).toEqual(
    [],
  );
});

test('a load whose need is met is off, not left as it is', async () => {
  doneWh = 500;
  const site = planning(withNeed(500));
  await request(site);
  expect(boilerW(site, INTERVAL)).toBe(0);
  expect(boilerW(site, INTERVAL + 1)).toBe(0);
});

test('after the notice the loads of the interval follow what was traded', async () => {
  const site = planning(withNeed(500));
  await request(site);
  positions.set(INTERVAL + 1, -600);
  price = () => 41_000;
  await site.plan({ bidAt: 1, isCleared: true, expected: expected() });
  expect(boilerW(site, INTERVAL + 1)).toBe(2_000);
  positions.set(INTERVAL + 1, -100);
  price = () => 20_000;
  await site.plan({ bidAt: 1, isCleared: true, expected: expected() });
  expect(boilerW(site, INTERVAL + 1)).toBe(0);
});

test('loads that could wait are offered once: after the notice they follow what was traded, and are not for sale again', async () => {
  const site = planning(withNeed(500));
  // The boiler waits for the cheap interval, and would be bought for at once at what it costs there.
  price = cheapAt(INTERVAL + 3);
  const boughtWh = ({ bids }: { readonly bids: BidCurve }) => bids.buy.reduce((sum, step) => sum + step.energyWh, 0);
  expect(boughtWh(await request(site))).toBe(600);
  positions.set(INTERVAL + 1, -100);
  const cleared = await site.plan({ bidAt: 1, isCleared: true, expected: expected() });
  expect(boilerW(site, INTERVAL + 1)).toBe(0);
  expect(boughtWh(cleared)).toBe(100);
});

test('what differs from the trade pays its penalty: before the clearing it is priced as after it', async () => {
  // Alone at the site, a part of the boiler is worth what surplus brings: the floor less the penalty.
  const site = planning(withNeed(500));
  price = cheapAt(INTERVAL + 3);
  const nothing = Array.from({ length: COUNT }, () => ({ netWh: Array.from({ length: 7 }, () => 0), generationWh: 0 }));
  const { bids } = await site.plan({ bidAt: 1, isCleared: false, expected: nothing });
  const { floorUcPerWh } = flat.contract;
  expect(bids.buy).toEqual([{ energyWh: 500, priceUcPerWh: floorUcPerWh - GENESIS.settlement.surplusPenaltyUcPerWh }]);
});

test('a load that the owner switches off is planned for later; one that he switches on is told as consumption', async () => {
  const untilMs = chainMs + 2 * 3_600_000;
  const word = (mode: 'on' | 'off'): SiteOverride => {
    return { id: 'boiler', kind: 'load', mode, percent: null, setAtMs: chainMs, untilMs, by: 'page' };
  };
  overrides = [word('off')];
  price = cheapAt(INTERVAL + 3);
  const plan = await request(planning(withNeed(500)));
  const powers = plan.loads.find(({ id }) => id === 'boiler')?.powersW ?? [];
  expect(powers.slice(0, 8).every((powerW) => powerW === 0)).toBe(true);
  expect(powers.some((powerW) => powerW > 0)).toBe(true);

  overrides = [word('on')];
  const switched = await request(planning(withNeed(500)));
  expect(switched.steps[1]?.consumptionWh).toBe(600);
  expect(switched.bids.buy.reduce((sum, { energyWh }) => sum + energyWh, 0)).toBe(600);
});

test('a run that is settled takes nothing off the rest of a need twice, also while its least time lasts', async () => {
  const startMs = INTERVAL * INTERVAL_MS;
  chainMs = startMs;
  store.settings.set('loads agreed', { boiler: { [INTERVAL]: 2_000 } });
  for (const minOnMs of [0, 600_000, 2 * INTERVAL_MS]) {
    const needed = withNeed(2_000);
    const site = createSitePlanning({
      site: { ...needed, loads: needed.loads.map((load) => ({ ...load, minOnMs, minOffMs: minOnMs })) },
      ...{ genesis: GENESIS, store, positionWh: () => null, stateOfCharge: () => null, overrides: () => [] },
      loadNeeds: { progress: () => new Map([['boiler', { doneWh: 0, on: true, sinceMs: startMs }]]) },
      prices: { expected: () => ({ buyUcPerWh: 50_000, sellUcPerWh: 49_000 }) },
      clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
    });
    const plan = await request(site);
    const powers = plan.loads.find(({ id }) => id === 'boiler')?.powersW ?? [];
    // 500 Wh are settled in the running interval; 1500 are to come.
    expect(powers.slice(1).filter((powerW) => powerW > 0)).toEqual([2_000, 2_000, 2_000]);
  }
});

test('a program that began goes on to its end, also over a restart', async () => {
  const kiln = (): SiteFile => ({
    ...flat,
    loads: flat.loads.slice(0, 1).map((load) => ({
      ...load,
      kind: 'program' as const,
      powersW: [2_000, 1_500, 1_000],
      minOnMs: 3 * INTERVAL_MS,
      need: { energyWh: null, from: '00:00', until: '23:59' },
    })),
  });
  store.settings.set('loads agreed', { boiler: { [INTERVAL]: 2_000, [INTERVAL + 1]: 1_500, [INTERVAL + 2]: 1_000 } });
  doneWh = 100;
  const site = planning(kiln());
  await request(site);
  chainMs += INTERVAL_MS;
  const again = planning(kiln());
  await request(again);
  expect([INTERVAL, INTERVAL + 1, INTERVAL + 2, INTERVAL + 3].map((interval) => boilerW(again, interval))).toEqual([
    2_000, 1_500, 1_000, 0,
  ]);
});
