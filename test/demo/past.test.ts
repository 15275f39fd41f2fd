import { expect, test } from 'vitest';
import { energyOfSeriesWh, writePast } from '../../src/demo/past.ts';
import { consumptionWh } from '../../src/gateway/forecasting.ts';
import type { Series } from '../../src/simulator/physics/series.ts';
import { loadSite } from '../../src/site/load.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';

const DAY = 86_400_000;
const START = Date.UTC(2026, 5, 22);
/** A day in 10-minute steps: the power of step i is 6 i watts (1 Wh more each step). */
const ramp: Series = {
  name: 'ramp',
  startMs: START,
  stepMs: 600_000,
  powerW: Float64Array.from({ length: 144 }, (_, i) => 6 * i),
};
const holed: Series = { ...ramp, powerW: ramp.powerW.map((powerW, i) => (i === 3 ? Number.NaN : powerW)) };

test.each([
  ['one step', 0, 600_000, 0],
  ['three steps', 0, 1_800_000, 0 + 1 + 2],
  ['across steps: half of one, one, half of one', 300_000, 1_500_000, 0 + 1 + 1],
  ['over the end of the series: it repeats', DAY - 600_000, DAY + 600_000, 143 + 0],
])('energy of a series: %s', (_name, from, until, expected) => {
  expect(energyOfSeriesWh(ramp, START + from, START + until)).toBeCloseTo(expected, 9);
});

test('a gap makes the energy unknown, not smaller', () => {
  expect(energyOfSeriesWh(holed, START, START + 1_800_000)).toBe(3);
  expect(energyOfSeriesWh(holed, START + 1_800_000, START + 2_400_000)).toBeNull();
});

test('the past that is written balances: consumption is what the series says, with the battery idle', () => {
  const { site } = loadSite('devices/demo/house.yaml');
  const store = openGatewayStore(':memory:');
  const interval = START / 900_000 + 40;
  writePast({
    energies: store.energies,
    series: { generation: new Map([['pv', ramp]]), consumption: ramp },
    storage: ['battery'],
    until: interval,
    intervals: 20,
    intervalMs: 900_000,
  });
  const expected = Math.round(energyOfSeriesWh(ramp, (interval - 1) * 900_000, interval * 900_000) ?? -1);
  expect(consumptionWh(site, store, interval - 1)).toBe(expected);
  expect(consumptionWh(site, store, interval)).toBeNull();
  store.close();
});
