import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { type BacktestInput, backtest } from '../../src/forecast/backtest.ts';
import { plotForecasts } from '../../src/forecast/plot.ts';
import type { Sample } from '../../src/forecast/types.ts';

const STEP = 3_600_000;
const START = Date.UTC(2026, 4, 4);

function house(days: number): Sample[] {
  const random = seededRandom(11);
  return Array.from({ length: days * 24 }, (_, i) => ({
    startMs: START + i * STEP,
    powerW: 200 + 300 * Math.exp(-(((i % 24) - 19) ** 2) / 6) + random() * 80,
  }));
}

interface Given {
  readonly issuedMs: number;
  readonly startMs: number;
  readonly quantilesW: readonly number[];
  readonly actualW: number;
}

function run(samples: readonly Sample[], more: Partial<BacktestInput> = {}) {
  const given: Given[] = [];
  const result = backtest({
    options: { kind: 'load', stepMs: STEP, timezone: 'Europe/Berlin' },
    samples,
    horizon: 1,
    warmupDays: 8,
    issueEveryMs: 6 * STEP,
    monotonicMs: () => 0,
    onForecast: (issuedMs, startMs, quantilesW, actualW) => given.push({ issuedMs, startMs, quantilesW, actualW }),
    ...more,
  });
  return { result, given };
}

describe('walking forward', () => {
  for (const horizon of [1, 24]) {
    test(`horizon ${horizon}: noise in the future changes nothing before it`, () => {
      const samples = house(11);
      const cutMs = START + (10 * 24 + 7) * STEP;
      const random = seededRandom(5);
      const noisy = samples.map((sample) => (sample.startMs < cutMs ? sample : { ...sample, powerW: random() * 5000 }));
      const [before, after] = [run(samples, { horizon }), run(noisy, { horizon })].map(({ given }) =>
        given
          .filter(({ issuedMs }) => issuedMs <= cutMs)
          .map(({ issuedMs, startMs, quantilesW }) => [issuedMs, startMs, quantilesW]),
      );
      expect(before?.length).toBeGreaterThan(40);
      expect(after).toEqual(before);
    });
  }

  test('scores are what one works out by hand from the forecasts', () => {
    const { result, given } = run(house(11));
    const errors = given.map(({ quantilesW, actualW }) => (quantilesW[3] as number) - actualW);
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(result.n).toBe(72);
    expect(result.mae).toBeCloseTo(mean(errors.map(Math.abs)), 9);
    expect(result.bias).toBeCloseTo(mean(errors), 9);
    expect(result.rmse).toBeCloseTo(Math.sqrt(mean(errors.map((error) => error * error))), 9);
    expect(result.nmae).toBeCloseTo(result.mae / mean(given.map(({ actualW }) => actualW)), 9);
    const taus = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95];
    const losses = given.flatMap(({ quantilesW, actualW }) =>
      taus.map((tau, q) =>
        Math.max(tau * (actualW - (quantilesW[q] as number)), (tau - 1) * (actualW - (quantilesW[q] as number))),
      ),
    );
    expect(result.pinball).toBeCloseTo(mean(losses), 9);
    const inside = given.filter(
      ({ quantilesW, actualW }) => actualW >= (quantilesW[1] as number) && actualW <= (quantilesW[5] as number),
    );
    expect(result.coverage80).toBeCloseTo(inside.length / given.length, 9);
    expect(Object.keys(result.baselines)).toEqual(['persistence', 'yesterday', 'seasonalMean']);
    const best = Math.min(...Object.values(result.baselines).map(({ mae }) => mae));
    expect(result.skillMae).toBeCloseTo(1 - result.mae / best, 9);
  });

  test('the baselines are what their names say', () => {
    const samples = house(10);
    const { result } = run(samples);
    const scored = samples.slice(8 * 24);
    const error = (back: number): number =>
      scored.reduce(
        (sum, { powerW }, i) => sum + Math.abs((powerW as number) - (samples[8 * 24 + i - back]?.powerW as number)),
        0,
      );
    expect(result.baselines.persistence?.n).toBe(scored.length);
    // Their medians carry the median of their past errors, hence not exactly the plain value.
    expect((result.baselines.persistence?.mae as number) / (error(1) / scored.length)).toBeCloseTo(1, 0);
    expect((result.baselines.yesterday?.mae as number) / (error(24) / scored.length)).toBeCloseTo(1, 0);
  });

  test('longer horizons are issued at 00, 06, 12, 18 UTC and scored by lead; gaps are not scored', () => {
    const samples = house(10).filter((_, i) => i !== 9 * 24 + 3);
    const { result, given } = run(samples, { horizon: 24 });
    expect(new Set(given.map(({ issuedMs }) => (issuedMs / STEP) % 24))).toEqual(new Set([0, 6, 12, 18]));
    expect(result.byLead).toHaveLength(24);
    expect(result.byLead?.[3]?.n).toBe(7);
    // The plain ones too: lead by lead, the last value grows old.
    const persistence = result.baselines.persistence?.byLead ?? [];
    expect(persistence.map(({ n }) => n)).toEqual(result.byLead?.map(({ n }) => n));
    expect(persistence[0]?.mae).toBeLessThan(persistence[11]?.mae as number);
    expect(given.every(({ issuedMs, startMs }) => startMs >= issuedMs)).toBe(true);
  });
});

test('a plot holds the bands and breaks at gaps', () => {
  const steps = [0, 1, 2, 3].map((i) => ({
    startMs: START + i * STEP,
    quantilesW: [1, 2, 3, 4, 5, 6, 7],
    actualW: i === 1 ? Number.NaN : 4,
  }));
  const svg = plotForecasts('a<b', steps);
  expect(svg.match(/<polygon/g)).toHaveLength(2);
  expect(svg.match(/stroke="#111"/g)).toHaveLength(2);
  expect(svg).toContain('a&lt;b');
  expect(svg).not.toContain('NaN');
});
