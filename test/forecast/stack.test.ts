// What a mixture cannot say by its weights: the stack learns it, and learns nothing where there is nothing.

import { expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { learnStack, newStack, stackShift } from '../../src/forecast/stack.ts';

const BAND = [-40, -30, -15, 0, 15, 30, 40];
const around = (middle: number): number[] => BAND.map((off) => middle + off);

/** Two experts about 500; the truth lies `reach` times their distance beyond the first, give or take `noise`. */
function taught(reach: number, noise: number, outcomes: number) {
  const random = seededRandom(3);
  const state = newStack(3);
  let [plain, moved] = [0, 0];
  for (let i = 0; i < outcomes; i++) {
    const [first, second] = [500 + 20 * (random() - 0.5), 500 + 20 * (random() - 0.5)];
    const experts = [around(first), around(second), null];
    const mixed = around((first + second) / 2);
    const truth = first + reach * (first - second) + noise * (random() - 0.5);
    const shift = stackShift(state, experts, mixed);
    if (i >= outcomes / 2) {
      plain += Math.abs(truth - (mixed[3] as number));
      moved += Math.abs(truth - (mixed[3] as number) - shift);
    }
    learnStack(state, experts, mixed, truth, 0.9995);
  }
  return { state, ratio: moved / plain };
}

test.each([
  ['the truth beyond one of two: found', 0.5, 5, 0, 0.4],
  ['the truth at one of two: found', 0, 5, 0, 0.6],
  ['the truth in the middle: next to nothing is changed', -0.5, 20, 0.97, 1.03],
])('%s', (_name, reach, noise, least, most) => {
  const { ratio } = taught(reach, noise, 3000);
  expect(ratio).toBeGreaterThanOrEqual(least);
  expect(ratio).toBeLessThan(most);
});

test('before anything is known nothing moves; never beyond the outer quantiles; one wild value hardly moves it', () => {
  const experts = [around(480), around(520), null];
  expect(stackShift(newStack(3), experts, around(500))).toBe(0);
  const { state } = taught(0.5, 5, 3000);
  expect(Math.abs(stackShift(state, [around(-9e5), around(9e5), null], around(500)))).toBe(40);
  const before = stackShift(state, experts, around(500));
  learnStack(state, experts, around(500), 5_000_000, 0.9995);
  expect(Math.abs(stackShift(state, experts, around(500)) - before)).toBeLessThan(2);
});
