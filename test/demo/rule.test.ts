// The usual rule beside the plan: the same physics, prices and end, computed by hand on a day that anyone can add up.

import { expect, test } from 'vitest';
import { compareLearning } from '../../src/demo/learning.ts';
import { compareWithRule, isComparable } from '../../src/demo/rule.ts';
import { finish } from '../../src/forecast/work.ts';
import type { Series } from '../../src/simulator/physics/series.ts';
import { loadSite } from '../../src/site/load.ts';

const { site } = loadSite('devices/demo/house.yaml');
const LENGTH_MS = 900_000;
const START = Date.UTC(2026, 5, 22, 9);
const FIRST = START / LENGTH_MS;
const TARIFF = { buyUcPerWh: 8_000, sellUcPerWh: 30_000 };
const constant = (powerW: number): Series => {
  return { name: 'constant', startMs: START, stepMs: LENGTH_MS, powerW: new Float64Array(96).fill(powerW) };
};
/** No losses, no wear: what is stored is what was taken. */
const ideal = {
  ...site,
  storage: site.storage.map((storage) => ({
    ...storage,
    chargeEfficiency: 1,
    dischargeEfficiency: 1,
    cycleCostUcPerWh: 0,
    standingLossW: 0,
  })),
};
const half = { storedWh: 5_000, chargedWh: 0, dischargedWh: 0 };

function compared(pvW: number, loadW: number, prices: (number | null)[], moneyUc = prices.map(() => 0), end = half) {
  return compareWithRule({
    site: ideal,
    series: { generation: new Map([['pv', constant(pvW)]]), consumption: constant(loadW) },
    lengthMs: LENGTH_MS,
    first: FIRST,
    moneyUc,
    pricesUcPerWh: prices,
    tariff: TARIFF,
    start: half,
    end,
  });
}

test('a surplus goes into the battery: nothing is sold, what is stored counts at the mean price', () => {
  // 2 kW of sun, 400 W taken: 400 Wh an interval into the battery.
  const { earnedUc, storedEndWh } = compared(2_000, 400, [10_000, 20_000]);
  expect(storedEndWh).toEqual({ plan: 5_000, rule: 5_800 });
  expect(earnedUc.ruleAtMarket).toBe(800 * 15_000);
  expect(earnedUc.ruleAtTariff).toBe(800 * 15_000);
  expect(earnedUc.plan).toBe(0);
});

test('beyond the battery it is sold, at the price of its interval or the tariff where nothing was cleared', () => {
  // 8 kW of sun, 1 kW taken: 5 kW into the battery, 2 kW out of the house, 500 Wh an interval.
  const { earnedUc, storedEndWh } = compared(8_000, 1_000, [12_000, null]);
  expect(storedEndWh.rule).toBe(7_500);
  expect(earnedUc.ruleAtMarket).toBe(500 * 12_000 + 500 * 8_000 + 2_500 * 12_000);
  expect(earnedUc.ruleAtTariff).toBe(1_000 * 8_000 + 2_500 * 12_000);
});

test('what the plan got is what was settled, and what it took out of the battery counts against it', () => {
  const empty = { storedWh: 4_000, chargedWh: 0, dischargedWh: 1_000 };
  const { earnedUc } = compared(0, 0, [20_000], [30_000_000], empty);
  expect(earnedUc.plan).toBe(30_000_000 - 1_000 * 20_000);
  expect(earnedUc.ruleAtMarket).toBe(0);
});

test('only sites with a battery and without switched loads are compared', () => {
  expect(isComparable(site)).toBe(true);
  expect(isComparable(loadSite('devices/demo/flat.yaml').site)).toBe(false);
  expect(isComparable(loadSite('devices/demo/farm.yaml').site)).toBe(false);
});

test('forecasters that know a day err less than ones that know nothing', () => {
  const daily: Series = {
    ...constant(0),
    powerW: Float64Array.from({ length: 96 }, (_, i) => 500 + 400 * Math.sin((i / 96) * 2 * Math.PI)),
  };
  const series = { generation: new Map([['pv', constant(0)]]), consumption: daily };
  const learned = finish(
    compareLearning({
      sites: [{ site, series }],
      days: [0, 1],
      first: FIRST,
      count: 8,
      lengthMs: LENGTH_MS,
    }),
  );
  expect(learned.map(({ days }) => days)).toEqual([0, 1]);
  expect(learned[1]?.errorWh).toBeLessThan(0.5 * (learned[0]?.errorWh ?? 0));
});
