// Plans in pieces: how long the longest piece is, counted in steps, and that pauses change nothing.

import { beforeEach, expect, test, vi } from 'vitest';
import { planInPieces, planSite } from '../../src/dispatch/plan.ts';
import type { PlanInput } from '../../src/dispatch/plan-types.ts';
import type * as Value from '../../src/dispatch/value.ts';
import { inPieces } from '../../src/gateway/background.ts';
import { randomProblem } from './problems.ts';

const { counted } = vi.hoisted(() => ({ counted: { steps: 0 } }));
vi.mock('../../src/dispatch/value.ts', async (original) => {
  const real = await original<typeof Value>();
  const counting = <A extends unknown[], R>(step: (...args: A) => R) => {
    return (...args: A): R => {
      counted.steps++;
      return step(...args);
    };
  };
  return {
    ...real,
    stepBack: counting(real.stepBack),
    stepForward: counting(real.stepForward),
    average: counting(real.average),
    decide: counting(real.decide),
  };
});

/** Some five microseconds each on a small computer: 20 ms. */
const STEPS_MAX = 4_000;

beforeEach(() => {
  counted.steps = 0;
});

/** Steps of each piece of a plan. */
function piecesOf(input: PlanInput): number[] {
  const pieces: number[] = [];
  const work = planInPieces(input);
  for (let done = false; !done; ) {
    counted.steps = 0;
    done = work.next().done === true;
    pieces.push(counted.steps);
  }
  return pieces;
}

/** Consumption known with doubts, as the gateway's is. */
function uncertain(input: PlanInput): PlanInput {
  const shares = [0.5, 0.7, 0.9, 1, 1.1, 1.3, 1.5];
  return {
    ...input,
    endValueUcPerWh: null,
    intervals: input.intervals.map((x) => ({
      ...x,
      consumptionWh: shares.map((share) => share * (x.consumptionWh as number)),
    })),
  };
}

test.each([
  ['a day and a half with five loads', { intervals: 144, loads: 5 }],
  ['the longest plan', { intervals: 400, loads: 12 }],
  ['prices below zero', { intervals: 144, loads: 5, negative: true }],
  ['limits by what is stored', { intervals: 144, loads: 5, tapers: true }],
])('%s holds the loop no longer than a piece', (_name, options) => {
  for (let seed = 1; seed <= 3; seed++) {
    const pieces = piecesOf(uncertain(randomProblem(10_000 + seed, options)));
    expect(pieces.length).toBeGreaterThan(2);
    expect(Math.max(...pieces)).toBeLessThan(STEPS_MAX);
  }
});

test('plans made by turns are those made alone', async () => {
  const inputs = [1, 2, 3].map((seed) => randomProblem(seed, { intervals: 48, loads: 3 }));
  const byTurns = await Promise.all(inputs.map((input) => inPieces(planInPieces(input))));
  expect(byTurns).toEqual(inputs.map(planSite));
});
