// What stored energy is for at given prices, and when a decision is given up.

import { describe, expect, test } from 'vitest';
import { type EconomyInput, economyOf, OWN_USE, valueAt } from '../../src/dispatch/economy.ts';

/** Fuller is worth less. */
const VALUES = [
  { upToWh: 2_000, valueUcPerWh: 30_000 },
  { upToWh: 6_000, valueUcPerWh: 20_000 },
  { upToWh: 10_000, valueUcPerWh: 10_000 },
];
const NEITHER = { cover: false, absorb: false, charge: false, discharge: false };
const ALL = { cover: true, absorb: true, charge: true, discharge: true };

const input = (shortfallUcPerWh: number, surplusUcPerWh: number, change: Partial<EconomyInput> = {}): EconomyInput => ({
  ...{ storedValue: VALUES, storedWh: 4_000, shortfallUcPerWh, surplusUcPerWh },
  ...{ chargeEfficiency: 0.8, dischargeEfficiency: 0.8, wearUcPerWh: 1_000 },
  ...change,
});

test.each([
  ['above', 0, 30_000],
  ['above', 1_999, 30_000],
  ['above', 2_000, 20_000],
  ['below', 2_000, 30_000],
  ['below', 2_001, 20_000],
  ['below', 10_000, 10_000],
  ['above', 10_000, 10_000],
  ['above', 12_000, 10_000],
] as const)('the Wh %s %i Wh is worth %i', (side, storedWh, expected) => {
  expect(valueAt(VALUES, storedWh, side)).toBe(expected);
});

test('without a plan stored energy is worth nothing that is known, and serves the site', () => {
  expect(valueAt([], 0, 'above')).toBe(0);
  expect(economyOf(input(40_000, 2_000, { storedValue: [] }), NEITHER)).toEqual(OWN_USE);
  expect(OWN_USE).toEqual({ cover: true, absorb: true, charge: false, discharge: false });
});

describe('efficiency and wear lie between what is stored and what is paid', () => {
  // A Wh at the meter is 1.25 Wh in the battery, and 0.8 of one that comes out of it; wear goes off either way.
  test.each([
    ['cover', 27_000, 0, true],
    ['cover', 25_600, 0, false],
    ['discharge', 50_000, 28_000, true],
    ['discharge', 50_000, 25_000, false],
    ['absorb', 50_000, 14_000, true],
    ['absorb', 50_000, 17_000, false],
    ['charge', 14_700, 0, true],
    ['charge', 16_000, 0, false],
  ] as const)('%s at %i and %i', (use, buy, sell, expected) => {
    expect(economyOf(input(buy, sell), NEITHER)[use]).toBe(expected);
  });

  test('of two prices inside the battery the last Wh goes, and the next one comes', () => {
    const at = (storedWh: number) => economyOf(input(32_000, 14_000, { storedWh }), NEITHER);
    // 32 000 at the meter brings 24 600, 14 000 put in costs 18 500.
    expect(at(2_000)).toMatchObject({ cover: false, absorb: true });
    expect(at(6_000)).toMatchObject({ cover: true, absorb: false });
  });
});

test('where prices are close to what is stored nothing changes', () => {
  // Within 2 % of the dearer price (500 and 300) of what a Wh is worth.
  const close = [input(26_250, 0), input(50_000, 26_250), input(50_000, 15_200), input(15_200, 0)];
  for (const [i, use] of (['cover', 'discharge', 'absorb', 'charge'] as const).entries()) {
    expect([use, economyOf(close[i]!, NEITHER)[use]]).toEqual([use, false]);
    expect([use, economyOf(close[i]!, ALL)[use]]).toEqual([use, true]);
  }
  // Further away it is given up.
  const away = [input(25_000, 0), input(50_000, 24_000), input(50_000, 17_000), input(16_500, 0)];
  for (const [i, use] of (['cover', 'discharge', 'absorb', 'charge'] as const).entries()) {
    expect([use, economyOf(away[i]!, ALL)[use]]).toEqual([use, false]);
  }
});
