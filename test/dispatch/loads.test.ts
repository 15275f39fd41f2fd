import fc from 'fast-check';
import { expect, test } from 'vitest';
import { adaptFreely, adaptNoMore } from '../../src/dispatch/adapting.ts';
import type { EnergyLoad } from '../../src/dispatch/equipment.ts';
import type { Exchange } from '../../src/dispatch/exchange.ts';
import { fillFreely } from '../../src/dispatch/filling.ts';
import { planSite, storageOf } from '../../src/dispatch/plan.ts';
import type { PlanInput } from '../../src/dispatch/plan-types.ts';
import { bestRuns, type RunRules } from '../../src/dispatch/runs.ts';
import { SiteCost } from '../../src/dispatch/site-cost.ts';
import { atOnce } from '../../src/dispatch/slices.ts';
import { problem, randomProblem } from './problems.ts';

/** Every pattern of the length, tried. */
function bestRunsBySearch(prices: readonly number[], count: number, rules: RunRules): number {
  let best = Number.POSITIVE_INFINITY;
  for (let bits = 0; bits < 1 << prices.length; bits++) {
    const pattern = prices.map((_, t) => (bits >> t) & 1);
    if (pattern.filter(Boolean).length !== count || !obeys(pattern, rules)) continue;
    best = Math.min(
      best,
      pattern.reduce((sum, on, t) => sum + on * prices[t]!, 0),
    );
  }
  return best;
}

function obeys(pattern: readonly number[], rules: RunRules): boolean {
  for (const [t, on] of pattern.entries()) {
    if (on === 1 && !((t >= rules.first && t < rules.end) || t < rules.carriedOn)) return false;
    if (on === 1 && t < rules.carriedOff) return false;
    if (on === 0 && t < rules.carriedOn) return false;
  }
  const text = pattern.join('');
  // A run that goes on from before the plan has had its least time; so has the pause before it.
  for (const match of text.matchAll(/1+/g)) {
    const begunBefore = match.index === 0 && rules.on;
    if (!begunBefore && match[0].length < rules.block) return false;
  }
  for (const match of text.matchAll(/0+/g)) {
    const open = match.index + match[0].length === text.length;
    const since = match.index === 0 && !rules.on;
    if (!open && !since && match[0].length < rules.pause) return false;
  }
  return true;
}

test('the best runs are those of a search of all patterns', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -20, max: 50 }), { minLength: 6, maxLength: 11 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.boolean(),
      fc.integer({ min: 0, max: 2 }),
      (prices, count, block, pause, on, carried) => {
        const rules: RunRules = {
          first: 1,
          end: prices.length - 1,
          block,
          pause,
          on,
          carriedOn: on ? carried : 0,
          carriedOff: on ? 0 : carried,
        };
        const pattern = bestRuns(prices, count, rules);
        const best = bestRunsBySearch(prices, count, rules);
        if (pattern === null) expect(best).toBe(Number.POSITIVE_INFINITY);
        else {
          expect(obeys(pattern, rules)).toBe(true);
          expect(pattern.reduce((sum, one, t) => sum + one * prices[t]!, 0)).toBe(best);
        }
      },
    ),
    { numRuns: 300 },
  );
});

/** The cost of a problem's site without its loads. */
function siteCostOf(input: PlanInput): SiteCost {
  const storage = storageOf(input.batteries, 0.25)!;
  const value = input.endValueUcPerWh!;
  const end = {
    lowWh: storage.lowWh,
    costAtLowUc: -value * storage.lowWh,
    values: [value],
    widthsWh: [storage.highWh - storage.lowWh],
  };
  const exchanges = input.intervals.map(
    (x): Exchange => ({
      netWh: (x.consumptionWh as number) - (x.generationWh as number),
      generationWh: x.generationWh as number,
      curtailable: input.curtailable,
      positionWh: 0,
      buyUcPerWh: x.buyUcPerWh,
      sellUcPerWh: x.sellUcPerWh,
      importLimitWh: x.importLimitW / 4,
      exportLimitWh: x.exportLimitW / 4,
      penaltyUcPerWh: 1e6,
    }),
  );
  return new SiteCost(exchanges, storage, input.batteries[0]!.storedWh, end);
}

test('the cost with a load here and there is the cost of planning it anew', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1e9 }),
      fc.boolean(),
      fc.array(fc.tuple(fc.nat(20), fc.integer({ min: -50, max: 900 })), { minLength: 1, maxLength: 5 }),
      (seed, tapers, changes) => {
        const input = randomProblem(seed, { intervals: 24, tapers });
        const cost = siteCostOf(input);
        const more = new Map<number, number>();
        const planned = (): number =>
          planSite({
            ...input,
            intervals: input.intervals.map((x, t) => ({
              ...x,
              consumptionWh: (x.consumptionWh as number) + (more.get(t) ?? 0),
            })),
          }).costUc;
        for (const [t, energyWh] of changes) {
          more.set(t, (more.get(t) ?? 0) + energyWh);
          const asked = cost.totalWith(t, [energyWh]);
          cost.add(t, [energyWh]);
          const expected = planned();
          expect(Math.abs(asked - expected)).toBeLessThan(1e-6 * Math.abs(expected) + 1);
          expect(Math.abs(cost.total() - expected)).toBeLessThan(1e-6 * Math.abs(expected) + 1);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('what comes in an interval never costs less than the next Wh there, limits by what is stored or not', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e9 }), fc.boolean(), (seed, tapers) => {
      const cost = siteCostOf(randomProblem(seed, { intervals: 48, tapers }));
      const [total, prices] = [cost.total(), cost.nextPrices()];
      for (const [t, price] of prices.entries())
        for (const energyWh of [1, 50, 700])
          expect((cost.totalWith(t, [energyWh]) - total) / energyWh).toBeGreaterThan(price - 1e-2);
    }),
    { numRuns: 60 },
  );
});

test('a load that is on stays on for the rest of its least time', () => {
  const at = Date.UTC(2026, 5, 21);
  const load = {
    kind: 'energy' as const,
    id: 'pump',
    needWh: 1500,
    earliestMs: at,
    deadlineMs: at + 9_000_000,
    powersW: [2000],
    minOnMs: 3_600_000,
    minOffMs: 1_800_000,
  };
  const prices = [50_000, 50_000, 50_000, 50_000, 5000, 5000, 5000, 5000, 6000, 6000];
  const intervals = prices.map((buyUcPerWh) => ({ buyUcPerWh, sellUcPerWh: 0 }));
  const powers = (on: boolean, sinceMs: number): readonly number[] =>
    planSite(problem(intervals, { batteries: [], loads: [{ ...load, on, sinceMs }] })).loads[0]!.powersW.map(
      (w) => w / 2000,
    );
  expect(powers(true, at - 1_800_000)).toEqual([1, 1, 0, 0, 1, 1, 1, 1, 0, 0]);
  expect(powers(false, at - 1e9).reduce((sum, on) => sum + on, 0)).toBe(4);
});

test('loads that move freely are filled in as a search of all their places finds, and never below the bound', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e9 }), (seed) => {
      const input = randomProblem(seed, { intervals: 10 });
      const at = input.intervals[0]!.startMs;
      const load = (id: string, powersW: number[], steps: number): EnergyLoad => ({
        kind: 'energy',
        id,
        needWh: steps * powersW[0]! * 0.25,
        earliestMs: at,
        deadlineMs: at + 9_000_000,
        powersW,
        minOnMs: 0,
        minOffMs: 0,
        on: false,
        sinceMs: -1e9,
      });
      const loads = [load('one', [1100], 2), load('two', [700, 1400], 3)];
      const cost = siteCostOf(input);
      const ways = loads.map(({ powersW }, l) => waysToUse(10, powersW.length, l === 0 ? 2 : 3));
      let bestUc = Number.POSITIVE_INFINITY;
      for (const one of ways[0]!) {
        for (const two of ways[1]!) {
          const moreWh = one.map((level, t) => level * 275 + two[t]! * 175);
          bestUc = Math.min(bestUc, cost.totalWith(0, moreWh));
        }
      }
      const { worthsUcPerWh, boundUc } = atOnce(adaptFreely(loads, input, cost, 1));
      const filled = atOnce(fillFreely(loads, worthsUcPerWh, input, cost, Number.POSITIVE_INFINITY, 64))!;
      expect(boundUc).toBeLessThanOrEqual(bestUc + 1);
      expect(filled.costUc).toBeGreaterThanOrEqual(bestUc - 1);
      expect(filled.costUc).toBeLessThanOrEqual(bestUc + 1);
      adaptNoMore(input, cost);
      const filledWh = input.intervals.map((_, t) =>
        filled.plans.reduce((sum, { powersW }) => sum + powersW[t]! / 4, 0),
      );
      expect(Math.abs(cost.totalWith(0, filledWh) - filled.costUc)).toBeLessThan(1);
    }),
    { numRuns: 12 },
  );
});

/** All ways to spread so many steps over intervals that take up to `most` each. */
function waysToUse(intervals: number, most: number, steps: number): number[][] {
  if (intervals === 0) return steps === 0 ? [[]] : [];
  return Array.from({ length: Math.min(most, steps) + 1 }, (_, level) =>
    waysToUse(intervals - 1, most, steps - level).map((rest) => [level, ...rest]),
  ).flat();
}

test('where the price is the same at any time, a load takes the least that its steps allow', () => {
  const car = { kind: 'energy', id: 'car', minOnMs: 0, minOffMs: 0, on: false, sinceMs: 0 } as const;
  const sums = new Set([0]);
  for (const sum of sums) for (const stepWh of [350, 575, 900]) if (sum < 9_000) sums.add(sum + stepWh);
  for (const needWh of [9000, 7475, 4125, 2625, 2600, 1950, 1875, 1750]) {
    const input = problem(new Array(40).fill({}), { batteries: [] });
    const { startMs } = input.intervals[0]!;
    const span = { earliestMs: startMs, deadlineMs: startMs + 40 * input.intervalMs };
    const plan = planSite({ ...input, loads: [{ ...car, ...span, needWh, powersW: [1400, 2300, 3600] }] });
    const takenWh = plan.loads[0]!.powersW.reduce((sum, powerW) => sum + powerW / 4, 0);
    expect([needWh, plan.loads[0]!.met]).toEqual([needWh, true]);
    expect(takenWh, `${needWh} Wh`).toBe(Math.min(...[...sums].filter((sum) => sum >= needWh)));
  }
});
