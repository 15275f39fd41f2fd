// Random planning problems from a seed, of the kinds that sites have.

import { seededRandom } from '../../src/base/random.ts';
import type { PlanLoad } from '../../src/dispatch/equipment.ts';
import type { PlanInput, PlanInterval } from '../../src/dispatch/plan-types.ts';
import type { Battery } from '../../src/site/types.ts';

const QUARTER_MS = 900_000;
const START_MS = Date.UTC(2026, 5, 21);

export const BATTERY: Battery = {
  id: 'battery',
  capacityWh: 10_000,
  chargeLimitW: 5000,
  dischargeLimitW: 5000,
  chargeTaper: [],
  dischargeTaper: [],
  chargeEfficiency: 0.95,
  dischargeEfficiency: 0.95,
  standingLossW: 0,
  cycleCostUcPerWh: 2000,
  reservePercent: 10,
  export: 'yes',
};

export const TERMS = {
  floorUcPerWh: -1_000_000,
  ceilingUcPerWh: 1_000_000,
  riskQuantile: 0.5,
  priceMinUcPerWh: -1_000_000,
  priceMaxUcPerWh: 1_000_000,
};

/** A plan's input around intervals. */
export function problem(intervals: readonly Partial<PlanInterval>[], more: Partial<PlanInput> = {}): PlanInput {
  return {
    intervalMs: QUARTER_MS,
    intervals: intervals.map((x, t) => ({
      startMs: START_MS + t * QUARTER_MS,
      generationWh: 0,
      consumptionWh: 0,
      buyUcPerWh: 30_000,
      sellUcPerWh: 8000,
      positionWh: 0,
      importLimitW: 30_000,
      exportLimitW: 30_000,
      ...x,
    })),
    bidInterval: 0,
    batteries: [{ battery: BATTERY, storedWh: 5000 }],
    loads: [],
    curtailable: false,
    endValueUcPerWh: 10_000,
    terms: TERMS,
    ...more,
  };
}

export interface RandomOptions {
  readonly intervals?: number;
  readonly loads?: number;
  /** Whether prices may fall below zero. */
  readonly negative?: boolean;
  /** Whether the battery takes less near full and gives less near empty. */
  readonly tapers?: boolean;
}

/** A site with sun, a house, a battery and loads, all drawn from the seed. */
export function randomProblem(
  seed: number,
  { intervals = 144, loads = 0, negative = false, tapers = false }: RandomOptions = {},
): PlanInput {
  const next = seededRandom(seed);
  const between = (low: number, high: number): number => low + (high - low) * next();
  const hours = 0.25;
  const peakWh = between(0, 10_000) * hours;
  const baseWh = between(100, 800) * hours;
  const buyBase = between(15_000, 35_000);
  const spread = between(0, 0.9);
  const sellShare = next() < 0.3 ? 1 : between(0, 0.9);
  const swing = between(0, negative ? 60_000 : 20_000);
  const dynamic = next() < 0.7;
  const low = negative ? -10_000 : 500;
  let cloud = 1;
  const rows = Array.from({ length: intervals }, (_, t): Partial<PlanInterval> => {
    const hour = (t * hours) % 24;
    cloud = Math.min(1, Math.max(0.1, cloud + between(-0.3, 0.3)));
    const sun = Math.max(0, Math.sin(((hour - 6) / 12) * Math.PI));
    const wave = Math.sin(((hour - 9) / 12) * 2 * Math.PI);
    const buy = dynamic
      ? Math.max(low, buyBase + wave * swing * spread + between(-spread, spread) * 8000 - sun * swing)
      : hour >= 17 && hour < 21
        ? buyBase * 1.5
        : buyBase;
    return {
      generationWh: peakWh * sun * cloud,
      consumptionWh: baseWh * between(0.3, 2) + (next() < 0.08 ? between(200, 800) : 0),
      buyUcPerWh: Math.round(buy),
      sellUcPerWh: Math.round(buy > 0 ? buy * sellShare : buy),
    };
  });
  const capacityWh = between(3000, 20_000);
  const battery: Battery = {
    ...BATTERY,
    capacityWh,
    chargeLimitW: capacityWh * between(0.2, 0.8),
    dischargeLimitW: capacityWh * between(0.2, 0.8),
    chargeEfficiency: between(0.88, 0.99),
    dischargeEfficiency: between(0.88, 0.99),
    standingLossW: between(0, 30),
    cycleCostUcPerWh: between(0, 6000),
    reservePercent: Math.round(between(0, 20)),
  };
  const tapering: Battery = {
    ...battery,
    chargeTaper: [
      { percent: 60, powerW: battery.chargeLimitW },
      { percent: 85, powerW: battery.chargeLimitW * 0.6 },
      { percent: 100, powerW: battery.chargeLimitW * 0.1 },
    ],
    dischargeTaper: [
      { percent: 0, powerW: battery.dischargeLimitW * 0.2 },
      { percent: 30, powerW: battery.dischargeLimitW },
    ],
  };
  const reserve = (battery.capacityWh * battery.reservePercent) / 100;
  return problem(rows, {
    batteries: [{ battery: tapers ? tapering : battery, storedWh: between(reserve, capacityWh) }],
    curtailable: next() < 0.5,
    endValueUcPerWh: Math.round(between(0, 20_000)),
    loads: Array.from({ length: loads }, (_, i) => randomLoad(i, intervals, between)),
  });
}

function randomLoad(i: number, intervals: number, between: (low: number, high: number) => number): PlanLoad {
  const from = Math.floor(between(0, intervals / 2));
  const until = Math.floor(between(from + 24, intervals + 1));
  const span = {
    earliestMs: START_MS + from * QUARTER_MS,
    deadlineMs: START_MS + Math.min(until, intervals) * QUARTER_MS,
  };
  if (i % 5 === 0) {
    const powersW = Array.from({ length: Math.floor(between(4, 10)) }, () => Math.round(between(100, 2200)));
    return { kind: 'program', id: `program-${i}`, powersW, ...span };
  }
  const steps = i % 5;
  const ratedW = Math.round(between(1000, steps === 2 ? 7000 : 3000));
  const powersW = steps === 2 ? [ratedW * 0.25, ratedW * 0.5, ratedW * 0.75, ratedW] : [ratedW];
  const quarters = Math.floor(between(4, steps === 2 ? 16 : 14));
  const block = steps === 3 ? 4 : steps === 4 ? 2 : 1;
  return {
    kind: 'energy',
    id: `energy-${i}`,
    needWh: ratedW * 0.25 * quarters,
    powersW,
    minOnMs: block * QUARTER_MS,
    minOffMs: block * QUARTER_MS,
    on: false,
    sinceMs: -1e9,
    ...span,
  };
}
