// A gateway that lost its store learns again from its own deliveries.

import { expect, test } from 'vitest';
import { consumptionWh, createSiteForecasting, medianWh } from '../../src/gateway/forecasting.ts';
import { createRebuilding, rememberDeliveries } from '../../src/gateway/history.ts';
import { loadSite } from '../../src/site/load.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';

const { site } = loadSite('devices/demo/house.yaml');
const LENGTH_MS = 900_000;
const NOON = Date.UTC(2026, 5, 24, 11) / LENGTH_MS;
const DAYS = 3;

/** Deliveries of some days: PV by a half sine, 400 W of consumption, an idle battery. */
function deliveries(until: number) {
  return Array.from({ length: DAYS * 96 }, (_, i) => {
    const interval = until - DAYS * 96 + i;
    const quarter = interval % 96;
    const pvWh = Math.round(Math.max(0, 1500 * Math.sin(((quarter - 20) / 56) * Math.PI)));
    const netWh = pvWh - 100;
    const body = {
      interval,
      quality: 'measured',
      uncertaintyWh: 2,
      importStartWh: 0,
      importEndWh: Math.max(0, -netWh),
      exportStartWh: 0,
      exportEndWh: Math.max(0, netWh),
      devices: [
        { device: 'pv', energyWh: pvWh, curtailed: false },
        { device: 'battery', energyWh: 0, curtailed: false },
      ],
    };
    return { kind: 'delivery', signer: 'gateway-house', signature: '', body };
  });
}

test('what was measured comes back, and the forecast with it', () => {
  const store = openGatewayStore(':memory:');
  const forecasting = createSiteForecasting({
    site,
    store,
    intervalMs: LENGTH_MS,
    clock: { chainMs: () => NOON * LENGTH_MS, monotonicMs: () => 0 },
  });
  rememberDeliveries(store, deliveries(NOON));
  expect(consumptionWh(site, store, NOON - 1)).toBe(100);
  expect(store.energies.range('pv', 'generation', NOON - 1, NOON)[0]?.energyWh).toBeGreaterThan(1000);

  while (!forecasting.learnUpTo(NOON - 1, 1_000));
  const [pv] = forecasting.generation(NOON, 1).get('pv') ?? [];
  const [consumption] = forecasting.consumption(NOON, 1);
  expect(medianWh(pv)).toBeGreaterThan(1000);
  expect(medianWh(pv)).toBeLessThan(2000);
  expect(medianWh(consumption)).toBeGreaterThan(60);
  expect(medianWh(consumption)).toBeLessThan(140);
  store.close();
});

test('what a lost store misses is known until it is there, over a crash too', () => {
  const store = openGatewayStore(':memory:');
  const start = () => createRebuilding(store, NOON + 4);
  const before = start();
  expect([before.historyFrom(), before.mayHaveForgotten(NOON + 4), before.mayHaveForgotten(NOON + 5)]).toEqual([
    0,
    true,
    false,
  ]);
  expect(before.wanted(null)).toBeNull();
  expect(before.wanted(30)).toBe(0);
  before.onHistory([], 17);
  const after = start();
  expect(after.historyFrom()).toBe(17);
  // Requests beyond the last one the validators saw may be under way.
  expect(after.onSequence(40)).toBeGreaterThan(40);
  expect(after.mayHaveForgotten(NOON)).toBe(true);
  expect(after.wanted(40)).toBe(17);
  after.onHistory([], 40);
  expect(after.historyFrom()).toBe(40);
  after.onHistory([], 41);
  const last = createRebuilding(store, NOON + 400);
  expect([last.historyFrom(), last.onSequence(2_000), last.mayHaveForgotten(NOON + 5)]).toEqual([null, 2_000, false]);
  store.close();
});

test('who never signed anything has forgotten nothing', () => {
  const store = openGatewayStore(':memory:');
  const rebuilding = createRebuilding(store, NOON);
  expect(rebuilding.onSequence(0)).toBe(0);
  expect(rebuilding.mayHaveForgotten(NOON)).toBe(false);
  store.close();
});
