// What the site's forecasters are taught: the site itself, in slices or at once, and what is measured of the running interval.

import { beforeEach, expect, test } from 'vitest';
import { keptDoubts } from '../../src/gateway/doubts.ts';
import { consumptionWh, createSiteForecasting, medianWh } from '../../src/gateway/forecasting.ts';
import { loadSubject, SITE, type SoFar } from '../../src/gateway/metering.ts';
import { loadSite } from '../../src/site/load.ts';
import { type GatewayStore, openGatewayStore, type StoredEnergy } from '../../src/store/gateway.ts';

const { site: house } = loadSite('devices/demo/house.yaml');
const { site: flat } = loadSite('devices/demo/flat.yaml');
const LENGTH_MS = 900_000;
const NOON = Date.UTC(2026, 5, 24, 11) / LENGTH_MS;

let store: GatewayStore;
beforeEach(() => {
  store = openGatewayStore(':memory:');
});

function row(subject: string, quantity: string, interval: number, energyWh: number, rest: Partial<StoredEnergy> = {}) {
  return { subject, quantity, interval, energyWh, uncertaintyWh: 1, quality: 'measured', curtailed: false, ...rest };
}
/** A house that takes 100 Wh, and a roof that gives a half sine; `changes` per interval. */
function remember(interval: number, pvWh: number, curtailed = false, batteryWh = 0): void {
  const netWh = 100 - pvWh - batteryWh;
  store.energies.save([
    row(SITE, 'import', interval, Math.max(0, netWh)),
    row(SITE, 'export', interval, Math.max(0, -netWh)),
    row('pv', 'generation', interval, pvWh, { curtailed }),
    row('battery', 'discharge', interval, Math.max(0, batteryWh)),
    row('battery', 'charge', interval, Math.max(0, -batteryWh)),
  ]);
}
const sunWh = (interval: number): number =>
  Math.round(Math.max(0, 1500 * Math.sin((((interval % 96) - 20) / 56) * Math.PI)));

/** Monotonic time passes `stepMs` with each look at the clock. */
function forecasting(of = store, stepMs = 0, soFar: (subject: string) => SoFar | null = () => null, now = NOON) {
  let monotonicMs = 0;
  const clock = {
    chainMs: () => now * LENGTH_MS,
    monotonicMs: () => {
      monotonicMs += stepMs;
      return monotonicMs;
    },
  };
  return createSiteForecasting({ site: house, store: of, intervalMs: LENGTH_MS, soFar, clock });
}

test('learnt in slices or at once: the same forecasts and the same states', () => {
  const other = openGatewayStore(':memory:');
  for (const each of [store, other]) {
    const before = store;
    store = each;
    for (let interval = NOON - 3 * 96; interval < NOON; interval++) remember(interval, sunWh(interval));
    store = before;
  }
  const atOnce = forecasting();
  while (!atOnce.learnUpTo(NOON - 1, 1_000));
  // Each look at the clock takes 10 ms: a slice of 15 ms learns a step or two.
  const sliced = forecasting(other, 100);
  let slices = 0;
  while (!sliced.learnUpTo(NOON - 1, 250)) slices++;
  expect(slices).toBeGreaterThan(50);
  expect(sliced.net(NOON + 1, 8)).toEqual(atOnce.net(NOON + 1, 8));
  expect(sliced.consumption(NOON + 1, 8)).toEqual(atOnce.consumption(NOON + 1, 8));
  for (const name of ['forecast consumption', 'forecast pv', 'forecast net', 'forecast learned']) {
    expect(other.settings.get(name), name).toEqual(store.settings.get(name));
  }
  // A restart goes on from what was kept.
  expect(forecasting(other).net(NOON + 1, 8)).toEqual(atOnce.net(NOON + 1, 8));
});

test('a restart fits the models again in slices, and forecasts the same in the end', () => {
  for (let interval = NOON - 4 * 96; interval < NOON; interval++) remember(interval, sunWh(interval));
  const before = forecasting();
  while (!before.learnUpTo(NOON - 1, 1_000));
  // Each look at the clock takes 100 ms: the start does 30 pieces.
  const again = forecasting(store, 100);
  expect(again.net(NOON + 1, 8)).toEqual([]);
  expect(again.consumption(NOON + 1, 8)).toHaveLength(8);
  let slices = 1;
  while (!again.learnUpTo(NOON - 1, 250)) slices++;
  expect(slices).toBeGreaterThan(50);
  expect(again.net(NOON + 1, 8)).toEqual(before.net(NOON + 1, 8));
});

test('what is not believed is told, also after a restart, and forgotten a day after it ended', () => {
  for (let interval = NOON - 3 * 96; interval < NOON; interval++) remember(interval, sunWh(interval));
  // A roof that says the same from midnight until noon: nights first, then by day, and longer than eight hours.
  for (let interval = NOON - 46; interval < NOON; interval++) remember(interval, 600);
  const taught = forecasting();
  while (!taught.learnUpTo(NOON - 1, 1_000));
  // The house of this file always takes the same, and is not believed either.
  expect(taught.doubts().map(({ subject }) => subject)).toEqual(['consumption', 'pv']);
  expect(taught.doubts()[1]?.intervals).toBeGreaterThan(8);
  const again = forecasting();
  expect(again.doubts()).toEqual(taught.doubts());
  expect(keptDoubts(store.settings, NOON - 1, LENGTH_MS)).toEqual(taught.doubts());
  for (let interval = NOON; interval < NOON + 97; interval++) remember(interval, sunWh(interval));
  const later = forecasting(store, 0, undefined, NOON + 97);
  while (!later.learnUpTo(NOON + 96, 1_000));
  expect(later.doubts().map(({ subject }) => subject)).toEqual(['consumption']);
});

test('a battery that works is no consumption, and a roof that is held back is no weather', () => {
  for (let interval = NOON - 3 * 96; interval < NOON; interval++) {
    // From the second day on the battery takes and gives, and the roof is held to a third around noon.
    const late = interval >= NOON - 2 * 96;
    const held = late && sunWh(interval) > 900;
    remember(interval, held ? 500 : sunWh(interval), held, late ? (interval % 2 === 0 ? 400 : -400) : 0);
  }
  expect(consumptionWh(house, store, NOON - 1)).toBe(100);
  const taught = forecasting();
  while (!taught.learnUpTo(NOON - 1, 1_000));
  expect(medianWh(taught.generation(NOON, 1).get('pv')?.[0])).toBeGreaterThan(900);
  expect(medianWh(taught.consumption(NOON, 1)[0])).toBeCloseTo(100, -1);
});

test('movable loads are taken out once they are metered; a gap of theirs is a gap, and contradictions are no zero', () => {
  const boiler = loadSubject('boiler');
  const save = (interval: number, importWh: number, boilerWh: number | null, quality = 'measured'): void =>
    store.energies.save([
      row(SITE, 'import', interval, importWh),
      row(SITE, 'export', interval, 0),
      row('pv', 'generation', interval, 0),
      ...(boilerWh === null ? [] : [row(boiler, 'consumption', interval, boilerWh, { quality })]),
    ]);
  const since = new Map([[boiler, 10]]);
  save(9, 600, null);
  save(10, 600, 500);
  save(11, 600, null);
  save(12, 600, 500, 'gap');
  save(13, 100, 500);
  const of = (interval: number) => consumptionWh(flat, store, interval, since);
  expect([9, 10, 11, 12, 13].map(of)).toEqual([600, 100, null, null, null]);
});

test('what is measured of the running interval moves the next ones; what was held back or is too short does not', () => {
  for (let interval = NOON - 5 * 96; interval < NOON; interval++) remember(interval, sunWh(interval));
  const start = NOON * LENGTH_MS;
  const soFar =
    (powerW: number, lastsMs: number, curtailed = false) =>
    (subject: string) =>
      subject === 'pv' ? { startMs: start, endMs: start + lastsMs, powerW, curtailed } : null;
  const first = forecasting();
  while (!first.learnUpTo(NOON - 1, 1_000));
  const next = (of: (subject: string) => SoFar | null): number =>
    medianWh(
      forecasting(store, 0, of)
        .generation(NOON + 1, 1)
        .get('pv')?.[0],
    ) ?? 0;
  const plain = next(() => null);
  // A cloud: a tenth of what the sun gives.
  expect(next(soFar(600, 300_000))).toBeLessThan(0.8 * plain);
  expect(next(soFar(600, 300_000, true))).toBe(plain);
  expect(next(soFar(600, 30_000))).toBe(plain);
});
