// A battery without a watchdog is left to itself: nothing counts on it, and what it does is part of what the site takes.

import { expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import type { Reading } from '../../src/fieldbus/types.ts';
import { createSiteControl } from '../../src/gateway/controlling.ts';
import { controlConfigOf } from '../../src/gateway/equipment.ts';
import { consumptionWh } from '../../src/gateway/forecasting.ts';
import { SITE } from '../../src/gateway/metering.ts';
import { createOverrides, overridable } from '../../src/gateway/overrides.ts';
import { createSitePlanning } from '../../src/gateway/planning.ts';
import { loadSite } from '../../src/site/load.ts';
import type { SiteFile } from '../../src/site/types.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { INTERVAL, INTERVAL_MS } from '../vectors/examples.ts';
import { GENESIS } from './fixtures.ts';

const { site: house } = loadSite('devices/demo/house.yaml');
const without: SiteFile = { ...house, storage: house.storage.map((storage) => ({ ...storage, driven: false })) };
const clock = { chainMs: () => INTERVAL * INTERVAL_MS, monotonicMs: () => 0 };

/** Two batteries, of which the second one cannot be driven. */
const both: SiteFile = {
  ...house,
  devices: house.devices.flatMap((device) => (device.id === 'battery' ? [device, { ...device, id: 'old' }] : [device])),
  storage: house.storage.flatMap((storage) => [storage, { ...storage, id: 'old', device: 'old', driven: false }]),
};

/** The battery is full: one that counts covers what is dear, and is offered. */
function planned(site: SiteFile) {
  const planning = createSitePlanning({
    site,
    genesis: GENESIS,
    store: openGatewayStore(':memory:'),
    loadNeeds: { progress: () => new Map() },
    prices: { expected: () => ({ buyUcPerWh: 30_000, sellUcPerWh: 5_000 }) },
    positionWh: () => null,
    stateOfCharge: () => 100,
    overrides: () => [],
    clock,
  });
  const expected = Array.from({ length: 96 }, () => ({ netWh: Array.from({ length: 7 }, () => 100), generationWh: 0 }));
  return planning.plan({ bidAt: 1, isCleared: false, expected });
}

test('it is neither planned nor offered nor driven', async () => {
  const [counted, left] = [await planned(house), await planned(without)];
  const batteryWh = (plan: typeof counted) => plan.steps.reduce((sum, step) => sum + Math.abs(step.batteryWh), 0);
  expect(batteryWh(counted)).toBeGreaterThan(0);
  expect(counted.bids.sell.length).toBeGreaterThan(0);
  expect(batteryWh(left)).toBe(0);
  expect(left.bids.sell).toEqual([]);
  expect(left.storedValues.every((values) => values.length === 0)).toBe(true);
  expect(controlConfigOf(house, 1, 0).batteries).toHaveLength(1);
  expect(controlConfigOf(without, 1, 0).batteries).toEqual([]);
});

test('beside one that can be driven: that one is planned as if it were alone', async () => {
  expect(await planned(both)).toEqual(await planned(house));
});

/** What control leases when the house takes 2 kW from the grid and its old battery gives another kilowatt. */
function leasedOf(answers: (device: string, measurand: string) => boolean): ReadonlyMap<string, number> {
  const values: Readonly<Record<string, Readonly<Record<string, number>>>> = {
    meter: { gridPowerW: 2_000 },
    battery: { batteryPowerW: 0, stateOfChargePercent: 60 },
    old: { batteryPowerW: 1_000, stateOfChargePercent: 60 },
    pv: { generationPowerW: 0 },
  };
  const leased = new Map<string, number>();
  createSiteControl({
    ...{ site: both, config: controlConfigOf(both, 1, 0), genesis: GENESIS, clock, log: SILENT },
    fieldbus: {
      readings: (device) =>
        new Map(
          Object.entries(values[device] ?? {}).flatMap(([measurand, value]): [string, Reading][] => {
            const reading: Reading = { value, quality: 'good', reason: null, atMs: clock.chainMs(), monotonicMs: 0 };
            return answers(device, measurand) ? [[measurand, reading]] : [];
          }),
        ),
      async lease(device, control, value) {
        leased.set(device, value);
        return { device, control, value, revertTo: 0, state: 'active', reason: null };
      },
      start: async () => undefined,
      stop: async () => undefined,
      refresh: async () => new Map(),
      release: async () => undefined,
    },
    metering: { risesSinceStart: () => ({ importRiseWh: null, exportRiseWh: null }) },
    loadNeeds: { progress: () => new Map(), onSeen: () => undefined },
    ...{
      positionWh: () => null,
      plan: () => null,
      loadPowersW: () => new Map(),
      orders: () => [],
      overrides: () => [],
    },
    ...{ operatorReachable: () => true, clockSynchronised: () => true, offGrid: () => false },
  }).tick();
  return leased;
}

test('beside one that can be driven: only that one is driven, against what the other leaves', () => {
  expect(leasedOf(() => true)).toEqual(new Map([['battery', 2_000]]));
  expect(leasedOf((device) => device !== 'old')).toEqual(new Map([['battery', 2_000]]));
});

test('the one that can be driven does not answer: nothing is asked of either', () => {
  expect(leasedOf((device, measurand) => device !== 'battery' || measurand !== 'batteryPowerW')).toEqual(new Map());
});

/** What was metered in the interval. */
const row = (subject: string, quantity: string, energyWh: number) => ({
  ...{ subject, quantity, energyWh, interval: INTERVAL, uncertaintyWh: 1, quality: 'measured', curtailed: false },
});

test('beside one that can be driven: consumption is without the flow of that one, with the flow of the other', () => {
  const store = openGatewayStore(':memory:');
  // 600 Wh are consumed: 100 from the grid, 200 and 300 from the batteries.
  store.energies.save([
    ...[row(SITE, 'import', 100), row(SITE, 'export', 0), row('pv', 'generation', 0)],
    ...[row('battery', 'discharge', 200), row('battery', 'charge', 0)],
    ...[row('old', 'discharge', 300), row('old', 'charge', 0)],
  ]);
  expect(consumptionWh(both, store, INTERVAL)).toBe(300);
  // What the old one does is not needed for it, and need not be known.
  const unknown = openGatewayStore(':memory:');
  unknown.energies.save([
    ...[row(SITE, 'import', 100), row(SITE, 'export', 0), row('pv', 'generation', 0)],
    ...[row('battery', 'discharge', 200), row('battery', 'charge', 0)],
  ]);
  expect(consumptionWh(both, unknown, INTERVAL)).toBe(300);
});

test('what it takes and gives is consumption', () => {
  const store = openGatewayStore(':memory:');
  // 300 Wh are consumed, 200 of them from the battery.
  store.energies.save([
    ...[row(SITE, 'import', 100), row(SITE, 'export', 0), row('pv', 'generation', 0)],
    ...[row('battery', 'discharge', 200), row('battery', 'charge', 0)],
  ]);
  expect(consumptionWh(house, store, INTERVAL)).toBe(300);
  expect(consumptionWh(without, store, INTERVAL)).toBe(100);
});

test('its owner cannot drive it either, and is told why', () => {
  expect(overridable(without).map(({ id }) => id)).not.toContain('battery');
  const overrides = createOverrides({ site: without, store: openGatewayStore(':memory:'), clock });
  const until = new Date(clock.chainMs() + 3_600_000).toISOString();
  const hold = new TextEncoder().encode(JSON.stringify({ id: 'battery', mode: 'hold', until }));
  expect(() => overrides.accept(hold, 'page')).toThrow(/battery of site house cannot be driven/);
});
