// Prices of past clearings: by hour and kind of day, the tariff where nothing is known.

import { expect, test } from 'vitest';
import { createMarketPrices, expectedPrice, learnPrice } from '../../src/gateway/prices.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';

const TARIFF = { ceilingUcPerWh: 40_000, floorUcPerWh: 5_000 };
const LENGTH_MS = 900_000;
/** A Wednesday, 10:00 in Berlin. */
const TEN = Date.UTC(2026, 5, 24, 8);
const DAY_MS = 86_400_000;

function prices(store = openGatewayStore(':memory:')) {
  const made = createMarketPrices({ store, timezone: 'Europe/Berlin', tariff: TARIFF });
  const see = (startMs: number, price: number) => made.onCleared(startMs / LENGTH_MS, startMs, price);
  return { ...made, see, store };
}

test('the tariff stands until something was seen, and is left step by step', () => {
  const { expected, see } = prices();
  expect(expected(TEN)).toEqual({ buyUcPerWh: 40_000, sellUcPerWh: 5_000 });
  let gap = 35_000;
  for (let day = 0; day < 30; day++) {
    for (let quarter = 0; quarter < 4; quarter++) see(TEN + day * 7 * DAY_MS + quarter * LENGTH_MS, 18_000);
    const { buyUcPerWh, sellUcPerWh } = expected(TEN);
    expect(buyUcPerWh - sellUcPerWh).toBeLessThanOrEqual(gap);
    gap = buyUcPerWh - sellUcPerWh;
  }
  expect(expected(TEN).buyUcPerWh).toBeLessThan(19_500);
  expect(expected(TEN).sellUcPerWh).toBeGreaterThan(17_000);
});

test('another hour and a free day are not the same', () => {
  const { expected, see } = prices();
  for (let day = 0; day < 8; day++) see(TEN + day * 7 * DAY_MS, 10_000);
  const tariff = { buyUcPerWh: 40_000, sellUcPerWh: 5_000 };
  expect(expected(TEN + DAY_MS)).not.toEqual(tariff);
  expect(expected(TEN + 3 * 3_600_000)).toEqual(tariff);
  expect(expected(TEN + 3 * DAY_MS)).toEqual(tariff);
});

test('the same clearing counts once, prices stay within the tariff, and all of it outlives a restart', () => {
  const { expected, see, store } = prices();
  see(TEN, 90_000);
  const once = expected(TEN);
  see(TEN, 90_000);
  expect(expected(TEN)).toEqual(once);
  expect(once.buyUcPerWh).toBe(40_000);
  expect(once.sellUcPerWh).toBeLessThanOrEqual(once.buyUcPerWh);
  expect(prices(store).expected(TEN)).toEqual(once);
});

test('prices that jump are expected with their spread: sold low, bought high', () => {
  const { expected, see } = prices();
  for (let day = 0; day < 20; day++) see(TEN + day * 7 * DAY_MS, day % 2 === 0 ? 10_000 : 30_000);
  const { buyUcPerWh, sellUcPerWh } = expected(TEN);
  expect(sellUcPerWh).toBeLessThan(14_000);
  expect(buyUcPerWh).toBeGreaterThan(26_000);
});

test.each<[string, number[], { meanUcPerWh: number; spreadUcPerWh: number }]>([
  ['one price', [20_000], { meanUcPerWh: 20_000, spreadUcPerWh: 0 }],
  ['a jump', [10_000, 30_000], { meanUcPerWh: 20_000, spreadUcPerWh: 10_000 }],
  ['a jump, and calm after it', [10_000, 30_000, 20_000, 20_000], { meanUcPerWh: 20_000, spreadUcPerWh: 5_000 }],
])('mean, and mean distance from it: %s', (_name, seen, expected) => {
  const hour = seen.reduce<ReturnType<typeof learnPrice> | undefined>(learnPrice, undefined);
  expect(hour?.meanUcPerWh).toBeCloseTo(expected.meanUcPerWh, 6);
  expect(hour?.spreadUcPerWh).toBeCloseTo(expected.spreadUcPerWh, 6);
});

test('four clearings count as much as the tariff', () => {
  const hour = { count: 4, meanUcPerWh: 20_000, spreadUcPerWh: 4_000 };
  expect(expectedPrice(hour, TARIFF)).toEqual({ buyUcPerWh: 32_000, sellUcPerWh: 10_500 });
  expect(expectedPrice({ ...hour, count: 12 }, TARIFF)).toEqual({ buyUcPerWh: 28_000, sellUcPerWh: 13_250 });
  expect(expectedPrice({ ...hour, meanUcPerWh: 3_000 }, TARIFF)).toEqual({ buyUcPerWh: 23_500, sellUcPerWh: 5_000 });
});

test('a month of an hour is remembered: what comes then weighs no less', () => {
  let hour: ReturnType<typeof learnPrice> | undefined;
  for (let i = 0; i < 500; i++) hour = learnPrice(hour, 10_000);
  expect(learnPrice(hour, 22_000).meanUcPerWh).toBeCloseTo(10_100, 6);
});
