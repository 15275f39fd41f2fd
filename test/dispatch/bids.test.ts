import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PlanLoad } from '../../src/dispatch/equipment.ts';
import { planSite } from '../../src/dispatch/plan.ts';
import {
  BID_STEPS_MAX,
  type BidCurve,
  type Plan,
  type PlanInput,
  type PlanInterval,
  type PricedSchedules,
} from '../../src/dispatch/plan-types.ts';
import { offerSchema } from '../../src/protocol/requests.ts';
import { problem, randomProblem, TERMS } from './problems.ts';

const anyProblem = fc.integer({ min: 1, max: 1e9 }).map((seed) => randomProblem(seed, { intervals: 24 }));

/** What the offer trades at one price, + sold. */
function tradedAt({ sell, buy }: BidCurve, priceUcPerWh: number): number {
  const sold = sell
    .filter((step) => step.priceUcPerWh <= priceUcPerWh)
    .reduce((sum, { energyWh }) => sum + energyWh, 0);
  const bought = buy
    .filter((step) => step.priceUcPerWh >= priceUcPerWh)
    .reduce((sum, { energyWh }) => sum + energyWh, 0);
  return sold - bought;
}

test('an offer is one that may be requested', () => {
  fc.assert(
    fc.property(anyProblem, fc.double({ min: 0.05, max: 0.95, noNaN: true }), (input, riskQuantile) => {
      const { sell, buy } = planSite({ ...input, terms: { ...TERMS, riskQuantile } }).bids;
      const common = { salt: 'AAAAAAAAAAAAAAAAAAAAAA', sequence: 1, validUntilMs: 1 };
      const parsed = offerSchema.safeParse({ ...common, interval: 1, sell, buy });
      expect(parsed.error?.issues.filter(({ path }) => path[0] !== 'salt') ?? []).toEqual([]);
      expect(Math.max(sell.length, buy.length)).toBeLessThanOrEqual(BID_STEPS_MAX);
    }),
    { numRuns: 100 },
  );
});

test('whatever the price, trading by the offer costs no more than not trading', () => {
  fc.assert(
    fc.property(anyProblem, fc.double({ min: 0, max: 1, noNaN: true }), (input, share) => {
      const plan = planSite(input);
      const prices = [...plan.bids.buy, ...plan.bids.sell].map((step) => step.priceUcPerWh);
      const [low, high] = [Math.min(...prices, 0), Math.max(...prices, 0)];
      const price = Math.round(low + share * (high - low));
      const positionWh = tradedAt(plan.bids, price);
      const traded: PlanInput = {
        ...input,
        intervals: input.intervals.map((x, t) => (t === 0 ? { ...x, positionWh } : x)),
      };
      const cost = planSite(traded).costUc - price * positionWh;
      // Steps are whole Wh: less than one Wh a step may be missing from either side.
      const rounding = BID_STEPS_MAX * Math.abs(high - low);
      expect(cost).toBeLessThanOrEqual(plan.costUc + rounding);
    }),
    { numRuns: 100 },
  );
});

const anyLoaded = fc
  .record({
    seed: fc.integer({ min: 1, max: 1e9 }),
    loads: fc.integer({ min: 1, max: 3 }),
    stores: fc.boolean(),
    alone: fc.boolean(),
  })
  .map(({ seed, loads, stores, alone }): PlanInput => {
    const input = randomProblem(seed, { intervals: 24, loads });
    const earliestMs = input.intervals[0]!.startMs;
    return {
      ...input,
      batteries: stores ? input.batteries : [],
      intervals: input.intervals.map((x, t) => (alone && t === 0 ? { ...x, consumptionWh: 0 } : x)),
      loads: input.loads.map((load) => ({ ...load, earliestMs })),
    };
  });

/** The same with a trade in the first interval, planned from what its offer was priced with. */
function afterTrade(input: PlanInput, { priced }: Plan, positionWh: number): Plan {
  return planSite({ ...input, priced, intervals: input.intervals.map((x, t) => (t === 0 ? { ...x, positionWh } : x)) });
}

test('loads that can wait: at any price, filled in whole or in part, trading by the offer costs no more than not trading', {
  timeout: 120_000,
}, () => {
  fc.assert(
    fc.property(
      anyLoaded,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (input, share, part) => {
        const plan = planSite(input);
        const steps = [...plan.bids.buy, ...plan.bids.sell];
        if (steps.length === 0) return;
        const price = steps[Math.floor(share * (steps.length - 1e-9))]!.priceUcPerWh;
        // The step at the price itself may be filled in part.
        const [without, whole] = [price - 0.5, price + 0.5]
          .map((near) => tradedAt(plan.bids, near))
          .sort((a, b) => Math.abs(a) - Math.abs(b));
        const positionWh = without! + Math.round(part * (whole! - without!));
        const costUc = afterTrade(input, plan, positionWh).costUc - price * positionWh;
        expect(costUc).toBeLessThanOrEqual(plan.costUc + 1);
      },
    ),
    { numRuns: 40 },
  );
});

test('once it is traded, a schedule that the offer was priced with is taken where it costs less, unless the load has changed', () => {
  const load = {
    kind: 'energy',
    id: 'boiler',
    needWh: 500,
    powersW: [2000],
    minOnMs: 0,
    minOffMs: 0,
    on: false,
    sinceMs: 0,
    earliestMs: 0,
  } as const;
  const rows = [{}, {}, { buyUcPerWh: 1000 }];
  const all = problem(rows, { batteries: [] });
  const early = { ...load, deadlineMs: all.intervals[2]!.startMs };
  const late = planSite({ ...all, loads: [{ ...load, deadlineMs: 1e15 }] });
  const poweredW = (priced: PricedSchedules): readonly number[] =>
    planSite({ ...all, loads: [early], priced }).loads[0]!.powersW;
  expect(late.loads[0]!.powersW).toEqual([0, 0, 2000]);
  // It would never be found: the deadline is before it. That what is handed over was possible is not asked again.
  expect(poweredW({ ...late.priced, loads: [early] })).toEqual([0, 0, 2000]);
  expect(poweredW({ ...late.priced, loads: [{ ...early, on: true }] })).not.toEqual([0, 0, 2000]);
  expect(poweredW({ ...late.priced, loads: [] })).not.toEqual([0, 0, 2000]);
  const more = { ...early, needWh: 1000 };
  const { loads } = planSite({ ...all, loads: [more], priced: { ...late.priced, loads: [early] } });
  expect(loads[0]!.powersW).toEqual([2000, 2000, 0]);
});

test('a dearer market is sold more', () => {
  fc.assert(
    fc.property(
      anyProblem,
      fc.integer({ min: 0, max: 60_000 }),
      fc.integer({ min: 0, max: 20_000 }),
      (input, price, more) => {
        const { bids } = planSite(input);
        expect(tradedAt(bids, price + more)).toBeGreaterThanOrEqual(tradedAt(bids, price));
      },
    ),
    { numRuns: 60 },
  );
});

test('the contract bounds the prices, the connection the energies', () => {
  fc.assert(
    fc.property(anyProblem, (input) => {
      const intervals = input.intervals.map((x) => ({ ...x, importLimitW: 2000, exportLimitW: 1000 }));
      const { sell, buy } = planSite({
        ...input,
        intervals,
        terms: { ...TERMS, floorUcPerWh: 12_000, ceilingUcPerWh: 20_000 },
      }).bids;
      for (const step of sell) expect(step.priceUcPerWh).toBeGreaterThanOrEqual(12_000);
      for (const step of buy) expect(step.priceUcPerWh).toBeLessThanOrEqual(20_000);
      expect(sell.reduce((sum, { energyWh }) => sum + energyWh, 0)).toBeLessThanOrEqual(250);
      expect(buy.reduce((sum, { energyWh }) => sum + energyWh, 0)).toBeLessThanOrEqual(500);
    }),
    { numRuns: 60 },
  );
});

test('without storage: surplus stands at what it brings anyway, need at what it costs anyway', () => {
  const sunny = planSite(problem([{ generationWh: 900, consumptionWh: 100 }], { batteries: [] }));
  expect(sunny.bids).toEqual({ sell: [{ energyWh: 800, priceUcPerWh: 8000 }], buy: [] });
  const dark = planSite(problem([{ consumptionWh: 250 }], { batteries: [] }));
  expect(dark.bids).toEqual({ sell: [], buy: [{ energyWh: 250, priceUcPerWh: 30_000 }] });
});

describe('a load of 500 Wh that can wait', () => {
  const boiler = {
    kind: 'energy',
    id: 'boiler',
    needWh: 500,
    powersW: [2000],
    minOnMs: 0,
    minOffMs: 0,
    on: false,
    sinceMs: 0,
    earliestMs: 0,
    deadlineMs: Number.MAX_SAFE_INTEGER,
  } as const;
  const program = { kind: 'program', id: 'washing', powersW: [2000], earliestMs: 0, deadlineMs: 1e15 } as const;
  const dark = [{ consumptionWh: 500 }, { buyUcPerWh: 10_000 }];
  const sunny = [{ generationWh: 1000 }, { buyUcPerWh: 20_000 }];
  const boilerOf = (leastMs: number) => ({ ...boiler, minOnMs: leastMs, minOffMs: leastMs });
  const loads = {
    'without least times': boilerOf(0),
    'with least times': boilerOf(1_800_000),
    'as a program': program,
  };

  test.each(Object.entries(loads))('%s: planned later, it is bought for now at what it costs later', (_, load) => {
    const long = load.kind === 'energy' && load.minOnMs > 0;
    const rows = long ? [...dark.map((x) => ({ ...x, buyUcPerWh: x.buyUcPerWh ?? 30_000 })), dark[1]!] : dark;
    const needWh = long ? 1000 : 500;
    const { bids, loads } = planSite(problem(rows, { batteries: [], loads: [{ ...load, needWh } as PlanLoad] }));
    expect(loads[0]!.powersW[0]).toBe(0);
    expect(bids).toEqual({
      sell: [],
      buy: [
        { energyWh: 500, priceUcPerWh: 30_000 },
        { energyWh: 500, priceUcPerWh: 10_000 },
      ],
    });
  });

  test.each([boiler, program])('planned now, its surplus is sold at what it costs later: $kind', (load) => {
    const { bids, loads } = planSite(problem(sunny, { batteries: [], loads: [load] }));
    expect(loads[0]!.powersW[0]).toBe(2000);
    expect(bids).toEqual({
      sell: [
        { energyWh: 500, priceUcPerWh: 8000 },
        { energyWh: 500, priceUcPerWh: 20_000 },
      ],
      buy: [],
    });
  });

  test('what cannot move is not offered', () => {
    const stays = (load: PlanLoad, rows: Partial<PlanInterval>[]): BidCurve =>
      planSite(problem(rows, { batteries: [], loads: [load] })).bids;
    const [{ startMs }, next] = problem([{}, {}]).intervals as [PlanInterval, PlanInterval];
    expect(stays({ ...boiler, deadlineMs: next.startMs }, sunny).sell).toEqual([{ energyWh: 500, priceUcPerWh: 8000 }]);
    expect(stays({ ...boiler, earliestMs: next.startMs }, dark).buy).toEqual([{ energyWh: 500, priceUcPerWh: 30_000 }]);
    const running = { ...boiler, minOnMs: 900_001, minOffMs: 900_001, needWh: 1000, on: true, sinceMs: startMs };
    expect(stays(running, [...sunny, {}]).sell).toEqual([{ energyWh: 500, priceUcPerWh: 8000 }]);
  });

  test('alone at the site, a part of it would cost more than it is worth: it is not bought above what surplus brings', () => {
    const { bids } = planSite(problem([{}, { buyUcPerWh: 10_000 }], { batteries: [], loads: [boiler] }));
    expect(bids.buy).toEqual([{ energyWh: 500, priceUcPerWh: 8000 }]);
  });
});

test('a careful site offers less of an uncertain surplus', () => {
  const generationWh = [100, 200, 400, 600, 800, 900, 1000];
  const offered = (riskQuantile: number): number =>
    planSite(problem([{ generationWh }], { batteries: [], terms: { ...TERMS, riskQuantile } })).bids.sell[0]!.energyWh;
  expect([0.1, 0.25, 0.5].map(offered)).toEqual([200, 400, 600]);
});
