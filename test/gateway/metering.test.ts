// From readings to intervals: over a clock that is set back, and with a meter that never answers.

import { beforeEach, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import type { Reading } from '../../src/fieldbus/types.ts';
import { createSiteMetering, loadSubject, type SiteMetering } from '../../src/gateway/metering.ts';
import { loadSite } from '../../src/site/load.ts';
import type { Point, Profile } from '../../src/site/types.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { INTERVAL, INTERVAL_MS } from '../vectors/examples.ts';

const { site, profiles } = loadSite('devices/demo/house.yaml');
const MINUTE = 60_000;
let store: GatewayStore;
let chainMs: number;
let importWh: number;
let refreshed: Set<string>;

beforeEach(() => {
  store = openGatewayStore(':memory:');
  chainMs = INTERVAL * INTERVAL_MS - MINUTE;
  importWh = 1_000;
  refreshed = new Set();
});

/** The grid meter answers; every other device is silent. */
function metering(): SiteMetering {
  const good = (value: number): Reading => ({ value, quality: 'good', reason: null, atMs: chainMs, monotonicMs: 0 });
  const silent = (): Reading => ({ ...good(0), value: null, quality: 'missing', reason: 'never read', atMs: 0 });
  const readings = (device: string): Map<string, Reading> =>
    device !== 'meter'
      ? new Map(['generationPowerW', 'generationEnergyWh'].map((measurand) => [measurand, silent()]))
      : new Map([
          ['gridPowerW', good(600)],
          ['importEnergyWh', good(importWh)],
          ['exportEnergyWh', good(50)],
        ]);
  return createSiteMetering({
    site,
    profiles,
    fieldbus: {
      readings,
      async refresh(device) {
        refreshed.add(device);
        return readings(device);
      },
    },
    store,
    clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
    intervalMs: INTERVAL_MS,
    chainRate: 1,
    curtailing: () => new Set(),
    log: SILENT,
  });
}

/** Minutes of 600 W; the intervals that are finished in them. */
async function run(meters: SiteMetering, minutes: number): Promise<number[]> {
  const finished: number[] = [];
  for (let i = 0; i < minutes; i++) {
    chainMs += MINUTE;
    importWh += 10;
    for (const { metered } of await meters.tick()) finished.push(metered.interval - INTERVAL);
  }
  return finished;
}

test('a site whose other meters are dead from the start is metered at its connection', async () => {
  const meters = metering();
  await meters.tick();
  expect(await run(meters, 32)).toEqual([0, 1]);
  expect(meters.energyOf('site', 'import', INTERVAL)?.energyWh).toBe(150);
  expect(meters.energyOf('pv', 'generation', INTERVAL)).toBeNull();
  expect(meters.finishedByAll(INTERVAL)).toBe(false);
  // Nobody waits for the silent ones out of turn.
  expect([...refreshed]).toEqual(['meter']);
});

test('after a clock that ran a year ahead, metering goes on with the right time; over a restart too', async () => {
  const ahead = 365 * 24 * 60 * MINUTE;
  const meters = metering();
  await meters.tick();
  await run(meters, 1);
  chainMs += ahead;
  await meters.tick();
  meters.keep();
  chainMs -= ahead;
  expect(await run(meters, 32)).toEqual([1]);
  expect(meters.soFar('site')?.endMs).toBe(chainMs);
  chainMs += ahead;
  await meters.tick();
  meters.keep();
  chainMs -= ahead;
  expect(await run(metering(), 32)).toEqual([3]);
});

test('what was measured of the running interval is told, and nothing of it once there was a gap or a new interval', async () => {
  const meters = metering();
  await meters.tick();
  await run(meters, 6);
  const soFar = meters.soFar('site');
  expect(soFar).toMatchObject({ powerW: 600, curtailed: false });
  expect((soFar?.endMs ?? 0) - (soFar?.startMs ?? 0)).toBe(5 * MINUTE);
  expect(meters.soFar('pv')).toBeNull();
  chainMs += 4 * MINUTE;
  await run(meters, 2);
  // Only what came after the gap.
  expect((meters.soFar('site')?.endMs ?? 0) - (meters.soFar('site')?.startMs ?? 0)).toBe(MINUTE);
  chainMs += 15 * MINUTE;
  expect(meters.soFar('site')).toBeNull();
});

test('a load on a relay is metered by its state and its rating; what cannot be read is named', async () => {
  const flat = loadSite('devices/demo/flat.yaml');
  let on = 1;
  const meters = createSiteMetering({
    site: {
      ...flat.site,
      loads: flat.site.loads.map((load) =>
        load.id === 'laundry' ? { ...load, control: 'consumptionSetpointW' } : load,
      ),
    },
    profiles: flat.profiles,
    fieldbus: {
      readings: (device) =>
        device === 'relay'
          ? new Map([
              ['switch1', { value: on, quality: 'good', reason: null, atMs: chainMs, monotonicMs: 0 } as Reading],
            ])
          : new Map(),
      refresh: async () => new Map(),
    },
    store,
    clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
    intervalMs: INTERVAL_MS,
    chainRate: 1,
    curtailing: () => new Set(),
    log: SILENT,
  });
  expect(meters.unmeteredLoads).toEqual(['laundry']);
  for (let i = 0; i < 68; i++, chainMs += MINUTE / 2) {
    on = chainMs < INTERVAL * INTERVAL_MS + 6 * MINUTE ? 1 : 0;
    await meters.tick();
  }
  const boiler = loadSubject('boiler');
  // On for 6 minutes at 2 kW, give or take half a minute of looking.
  expect(meters.energyOf(boiler, 'consumption', INTERVAL)?.energyWh).toBeGreaterThan(160);
  expect(meters.energyOf(boiler, 'consumption', INTERVAL)?.energyWh).toBeLessThan(220);
  expect(meters.energyOf(boiler, 'consumption', INTERVAL + 1)?.energyWh).toBe(0);
  // Not seen for a while: it may have taken up to twice its rating.
  chainMs += 10 * MINUTE;
  for (let i = 0; i < 40; i++, chainMs += MINUTE / 2) await meters.tick();
  const unseenWh = (2 * 2_000 * 10.5) / 60;
  expect(meters.energyOf(boiler, 'consumption', INTERVAL + 2)).toMatchObject({
    quality: 'gap',
    uncertaintyWh: unseenWh,
  });
});

test('a heat pump is metered by what its SG-ready states add, not by all it takes; half known is not known', async () => {
  const flat = loadSite('devices/demo/flat.yaml');
  const relay = flat.profiles.get('waveshare/relay-8') as Profile;
  const meterOfAll = (flat.profiles.get('eastron/sdm630') as Profile).points.get('gridPowerW') as Point;
  const known: Record<string, number> = { switch1: 1, switch2: 0, consumptionPowerW: 5_000 };
  const meters = createSiteMetering({
    site: {
      ...flat.site,
      loads: flat.site.loads.flatMap((load) =>
        load.id === 'boiler' ? [{ ...load, kind: 'sg-ready', block: 'switch2', powersW: [1_000, 2_000] } as const] : [],
      ),
    },
    profiles: new Map([
      ...flat.profiles,
      [relay.name, { ...relay, points: new Map([...relay.points, ['consumptionPowerW', meterOfAll]]) }],
    ]),
    fieldbus: {
      readings: (device) =>
        new Map(
          (device === 'relay' ? Object.entries(known) : []).map(([name, value]): [string, Reading] => [
            name,
            { value, quality: 'good', reason: null, atMs: chainMs, monotonicMs: 0 },
          ]),
        ),
      refresh: async () => new Map(),
    },
    store,
    clock: { chainMs: () => chainMs, monotonicMs: () => 0 },
    intervalMs: INTERVAL_MS,
    chainRate: 1,
    curtailing: () => new Set(),
    log: SILENT,
  });
  expect(meters.unmeteredLoads).toEqual([]);
  const startMs = INTERVAL * INTERVAL_MS;
  for (let i = 0; i < 100; i++, chainMs += MINUTE / 2) {
    known.switch2 = chainMs < startMs + 6 * MINUTE ? 0 : 1;
    // In state 1 it adds nothing; later one of the contacts cannot be read.
    if (chainMs >= startMs + 15 * MINUTE) known.switch1 = 0;
    if (chainMs >= startMs + 34 * MINUTE) delete known.switch2;
    await meters.tick();
  }
  const pumpWh = (interval: number) => meters.energyOf(loadSubject('boiler'), 'consumption', interval)?.energyWh;
  // 6 minutes at 1 kW and 9 at 2 kW, give or take half a minute of looking.
  expect(Math.abs((pumpWh(INTERVAL) ?? 0) - 400)).toBeLessThan(20);
  expect(pumpWh(INTERVAL + 1)).toBeLessThan(20);
  expect(pumpWh(INTERVAL + 2) ?? null).toBeNull();
  // Known again after a quarter of an hour: it may have taken up to twice its rating.
  known.switch2 = 1;
  for (let i = 0; i < 40; i++, chainMs += MINUTE / 2) await meters.tick();
  const unknownWh = Math.ceil((2 * 2_000 * 15.5) / 60);
  expect(meters.energyOf(loadSubject('boiler'), 'consumption', INTERVAL + 2)).toMatchObject({
    quality: 'gap',
    uncertaintyWh: unknownWh,
  });
});
