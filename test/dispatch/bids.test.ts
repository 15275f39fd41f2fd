import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import type { PlanLoad } from '../../src/dispatch/equipment.ts';
import { medianOf, planSite } from '../../src/dispatch/plan.ts';
import {
  BID_STEPS_MAX,
  type BidCurve,
  type Plan,
  type PlanInput,
  type PlanInterval,
  type PricedSchedules,
  type StoredBattery,
  type Uncertain,
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

/** Which step of an offer sets the price, and how much of it is filled, both as shares. */
const anyFill = fc.record({
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  part: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
});

/** What an offer trades (+ sold) at the price of one of its steps, that step filled in part; null without steps. */
function filled(bids: BidCurve, { share, part }: { share: number; part: number }) {
  const steps = [...bids.buy, ...bids.sell];
  if (steps.length === 0) return null;
  const { priceUcPerWh } = steps[Math.floor(share * (steps.length - 1e-9))]!;
  const [without, whole] = [priceUcPerWh - 0.5, priceUcPerWh + 0.5]
    .map((near) => tradedAt(bids, near))
    .sort((a, b) => Math.abs(a) - Math.abs(b));
  return { priceUcPerWh, positionWh: without! + Math.round(part * (whole! - without!)) };
}

/** One µ¤: what is computed with fractions, and compared. */
const NOTHING_UC = 1;

test.each([
  ['a battery', anyProblem, 100],
  ['loads that can wait', anyLoaded, 40],
])(
  '%s: at any price, filled in whole or in part, trading by the offer costs no more than not trading',
  {
    timeout: 300_000,
  },
  (_what, anyInput, numRuns) => {
    fc.assert(
      fc.property(anyInput, anyFill, (input, fill) => {
        const plan = planSite(input);
        const trade = filled(plan.bids, fill);
        if (trade === null) return;
        const costUc = afterTrade(input, plan, trade.positionWh).costUc - trade.priceUcPerWh * trade.positionWh;
        expect(costUc).toBeLessThanOrEqual(plan.costUc + NOTHING_UC);
      }),
      { numRuns },
    );
  },
);

describe('an uncertain interval', () => {
  /** Quantiles stand for the shares of outcomes next to them: 5, 10, 25, 50, 75, 90, 95 %. */
  const SHARES = [0.075, 0.1, 0.2, 0.25, 0.2, 0.1, 0.075];

  /** Sites without or with several batteries, sun or consumption that is not known, prices below zero too, and penalties on what differs from the trade. */
  const anyDoubtful = fc.integer({ min: 1, max: 1e9 }).map((seed): PlanInput => {
    const next = seededRandom(seed);
    const between = (low: number, high: number): number => low + (high - low) * next();
    const input = randomProblem(seed, { intervals: 16, negative: next() < 0.5 });
    const [{ battery }] = input.batteries as [StoredBattery];
    const batteries = Array.from({ length: Math.floor(between(0, 4)) }, (_, i): StoredBattery => {
      const capacityWh = between(1_000, 12_000);
      const limits = { chargeLimitW: between(500, 5_000), dischargeLimitW: between(500, 5_000) };
      const exports = (['yes', 'yes', 'never', 'own-generation'] as const)[Math.floor(between(0, 4))]!;
      const efficiencies = { chargeEfficiency: between(0.8, 1), dischargeEfficiency: between(0.8, 1) };
      const made = { ...battery, ...limits, ...efficiencies, id: `battery-${i}`, capacityWh, export: exports };
      return { battery: made, storedWh: capacityWh * between(0, 1) };
    });
    const spread = (middleWh: number): number[] =>
      Array.from({ length: 7 }, () => Math.max(0, middleWh * between(0, 2))).sort((a, b) => a - b);
    const sunIsDoubtful = next() < 0.5;
    const penaltyUcPerWh = next() < 0.5 ? 0 : between(0, 10_000);
    const sunWh = next() < 0.3 ? 0 : between(0, 3_000);
    const buyUcPerWh = between(-5_000, 40_000);
    const sellUcPerWh = Math.min(buyUcPerWh, between(-20_000, 20_000)) - penaltyUcPerWh;
    return {
      ...input,
      batteries,
      curtailable: next() < 0.5,
      intervals: input.intervals.map((x, t) => {
        const [generationWh, consumptionWh] = [t === 0 ? sunWh : medianOf(x.generationWh), medianOf(x.consumptionWh)];
        return {
          ...x,
          generationWh: sunIsDoubtful ? spread(generationWh) : generationWh,
          consumptionWh: sunIsDoubtful ? consumptionWh : spread(consumptionWh),
          ...(t > 0 ? {} : { buyUcPerWh: buyUcPerWh + penaltyUcPerWh, sellUcPerWh }),
        };
      }),
    };
  });

  /** Mean cost over the outcomes of the first interval; what comes after it stays as uncertain as it is. */
  function expectedUc(input: PlanInput, positionWh: number): number {
    const certain = (energy: Uncertain, k: number): number => (typeof energy === 'number' ? energy : energy[k]!);
    return SHARES.reduce((sum, share, k) => {
      const intervals = input.intervals.map((x, t) => {
        if (t > 0) return x;
        const [generationWh, consumptionWh] = [certain(x.generationWh, k), certain(x.consumptionWh, k)];
        return { ...x, generationWh, consumptionWh, positionWh };
      });
      return sum + share * planSite({ ...input, intervals }).costUc;
    }, 0);
  }

  test('whatever comes in it: at any price, filled in whole or in part, trading by the offer costs no more in the mean', {
    timeout: 300_000,
  }, () => {
    fc.assert(
      fc.property(anyDoubtful, anyFill, (input, fill) => {
        const trade = filled(planSite({ ...input, terms: { ...TERMS, riskQuantile: null } }).bids, fill);
        if (trade === null) return;
        const costUc = expectedUc(input, trade.positionWh) - trade.priceUcPerWh * trade.positionWh;
        // A price is a whole number of µ¤/Wh.
        const roundingUc = Math.abs(trade.positionWh);
        expect(costUc).toBeLessThanOrEqual(expectedUc(input, 0) + NOTHING_UC + roundingUc);
      }),
      { numRuns: 150 },
    );
  });

  test('more of a doubtful surplus is sold the dearer it is, none of it at what its lack costs', () => {
    const generationWh = [100, 200, 400, 600, 800, 900, 1000];
    const terms = { ...TERMS, riskQuantile: null };
    const { sell } = planSite(problem([{ generationWh }], { batteries: [], terms })).bids;
    expect(sell.map(({ energyWh }) => energyWh)).toEqual([100, 100, 200, 200, 200, 100, 100]);
    // 8 is what surplus brings, 30 what a lack costs: by the share of outcomes that have less.
    const shares = [0, 0.075, 0.175, 0.375, 0.625, 0.825, 0.925];
    expect(sell.map(({ priceUcPerWh }) => priceUcPerWh)).toEqual(shares.map((share) => 8_000 + 22_000 * share));
  });

  test('surplus that costs something to give away is not sold for less than that when it can be held back', () => {
    const offer = (curtailable: boolean): BidCurve['sell'] =>
      planSite(problem([{ generationWh: 500, sellUcPerWh: -5000 }], { batteries: [], curtailable })).bids.sell;
    expect(offer(true)).toEqual([{ energyWh: 500, priceUcPerWh: 0 }]);
    expect(offer(false)).toEqual([{ energyWh: 500, priceUcPerWh: -5000 }]);
  });

  test('a careful site offers less of an uncertain surplus', () => {
    const generationWh = [100, 200, 400, 600, 800, 900, 1000];
    const offered = (riskQuantile: number): number =>
      planSite(problem([{ generationWh }], { batteries: [], terms: { ...TERMS, riskQuantile } })).bids.sell[0]!
        .energyWh;
    expect([0.1, 0.25, 0.5].map(offered)).toEqual([200, 400, 600]);
  });
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

test('without storage too, no more is offered than the connection carries', () => {
  const limited = { importLimitW: 400, exportLimitW: 600 };
  const sunny = planSite(problem([{ generationWh: 900, consumptionWh: 100, ...limited }], { batteries: [] }));
  expect(sunny.bids).toEqual({ sell: [{ energyWh: 150, priceUcPerWh: 8000 }], buy: [] });
  const dark = planSite(problem([{ consumptionWh: 250, ...limited }], { batteries: [] }));
  expect(dark.bids).toEqual({ sell: [], buy: [{ energyWh: 100, priceUcPerWh: 30_000 }] });
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
