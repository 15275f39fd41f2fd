// The exact choice of levels against trying them all.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cheapestLevels } from '../../src/dispatch/knapsack.ts';

const problems = fc
  .record({
    energiesWh: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 3 }),
    intervals: fc.integer({ min: 1, max: 5 }),
    needWh: fc.integer({ min: 0, max: 120 }),
    beyondWh: fc.integer({ min: 0, max: 30 }),
    prices: fc.array(fc.integer({ min: -50, max: 200 }), { minLength: 20, maxLength: 20 }),
    barred: fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }),
  })
  .map(({ energiesWh, intervals, needWh, beyondWh, prices, barred }) => {
    const levels = [0, ...energiesWh.toSorted((a, b) => a - b).map((wh) => wh * 25)];
    const costsUc = Array.from({ length: intervals }, (_, t) =>
      levels.map((_wh, k) =>
        k > 0 && barred[4 * t + k] ? Number.POSITIVE_INFINITY : k === 0 ? 0 : prices[4 * t + k]!,
      ),
    );
    return { levels, costsUc, needWh: needWh * 25, mostWh: (needWh + beyondWh) * 25 };
  });

function tried(costsUc: number[][], levels: number[], needWh: number, mostWh: number): number {
  const least = (t: number, hadWh: number): number => {
    if (hadWh > mostWh) return Number.POSITIVE_INFINITY;
    if (t === costsUc.length) return hadWh >= needWh ? 0 : Number.POSITIVE_INFINITY;
    return Math.min(...costsUc[t]!.map((costUc, k) => costUc + least(t + 1, hadWh + levels[k]!)));
  };
  return least(0, 0);
}

test('nothing is cheaper, the need is met, and no more is taken than may be', () => {
  fc.assert(
    fc.property(problems, ({ levels, costsUc, needWh, mostWh }) => {
      const best = tried(costsUc, levels, needWh, mostWh);
      const found = cheapestLevels(costsUc, levels, needWh, mostWh);
      if (found === null) {
        expect(best).toBe(Number.POSITIVE_INFINITY);
        return;
      }
      const hadWh = found.reduce((sum, k) => sum + levels[k]!, 0);
      expect(hadWh).toBeGreaterThanOrEqual(needWh);
      expect(hadWh).toBeLessThanOrEqual(mostWh);
      expect(found.reduce((sum, k, t) => sum + costsUc[t]![k]!, 0)).toBe(best);
    }),
    { numRuns: 500 },
  );
});

test('steps without a common measure: the need is met, and hardly more', () => {
  const costsUc = Array.from({ length: 96 }, (_, t) => [0, 300 + t, 517 + t, 811 + 2 * t]);
  const found = cheapestLevels(costsUc, [0, 333.333, 571.001, 897.77], 9_000, 9_300) as number[];
  const hadWh = found.reduce((sum, k) => sum + [0, 333.333, 571.001, 897.77][k]!, 0);
  expect(hadWh).toBeGreaterThanOrEqual(9_000);
  expect(hadWh).toBeLessThan(9_500);
});
