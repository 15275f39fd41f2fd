import { describe, expect, test } from 'vitest';
import { createForecaster } from '../../src/forecast/forecaster.ts';

const STEP = 900_000;
const START = Date.UTC(2026, 5, 1);

describe('with little history', () => {
  for (const kind of ['pv', 'wind', 'load', 'net'] as const) {
    for (const steps of [0, 1, 5, 95, 96, 200]) {
      test(`${kind}: ${steps} steps give rising, finite quantiles`, () => {
        const forecaster = createForecaster({ kind, stepMs: STEP, latitude: 48, longitude: 9 });
        for (let i = 0; i < steps; i++) {
          forecaster.learn({ startMs: START + i * STEP, powerW: i % 7 === 3 ? null : 300 + 200 * Math.sin(i / 15) });
        }
        const result = forecaster.forecast(START + steps * STEP - 600_000, 144);
        expect(result).toHaveLength(144);
        expect(result[0]?.startMs).toBe(START + steps * STEP);
        for (const { quantilesW } of result) {
          expect(quantilesW).toHaveLength(7);
          expect(quantilesW.every(Number.isFinite)).toBe(true);
          expect([...quantilesW].sort((a, b) => a - b)).toEqual(quantilesW);
        }
      });
    }
  }
});
