import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planSite } from '../../src/dispatch/plan.ts';
import { BID_STEPS_MAX, type BidCurve, type PlanInput } from '../../src/dispatch/plan-types.ts';
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

test('a careful site offers less of an uncertain surplus', () => {
  const generationWh = [100, 200, 400, 600, 800, 900, 1000];
  const offered = (riskQuantile: number): number =>
    planSite(problem([{ generationWh }], { batteries: [], terms: { ...TERMS, riskQuantile } })).bids.sell[0]!.energyWh;
  expect([0.1, 0.25, 0.5].map(offered)).toEqual([200, 400, 600]);
});
