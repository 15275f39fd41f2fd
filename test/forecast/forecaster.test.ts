import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { createForecaster } from '../../src/forecast/forecaster.ts';
import type { ForecasterOptions, Sample } from '../../src/forecast/types.ts';

const STEP = 3_600_000;
const PER_DAY = 24;
const START = Date.UTC(2026, 2, 1);
const KINDS = ['pv', 'wind', 'load', 'net'] as const;

/** A site's days: a shape, weather that lasts, noise. */
function days(kind: ForecasterOptions['kind'], count: number, seed = 7): Sample[] {
  const random = seededRandom(seed);
  let weather = 0.5;
  return Array.from({ length: count * PER_DAY }, (_, i): Sample => {
    weather = Math.min(1, Math.max(0, weather + (random() - 0.5) * 0.2));
    const hour = i % PER_DAY;
    const sun = Math.max(0, Math.sin(((hour - 6) / 12) * Math.PI));
    const consumption = 300 + 400 * Math.exp(-((hour - 19) ** 2) / 4) + random() * 150;
    const powers = {
      pv: 4000 * sun * weather,
      wind: 5000 * weather,
      load: consumption,
      net: consumption - 3000 * sun * weather,
    };
    return { startMs: START + i * STEP, powerW: powers[kind] };
  });
}

function options(kind: ForecasterOptions['kind']): ForecasterOptions {
  return { kind, stepMs: STEP, latitude: 48, longitude: 9, timezone: 'Europe/Berlin' };
}

describe('with little history', () => {
  for (const kind of KINDS) {
    for (const steps of [0, 1, 5, 23, 24, 60]) {
      test(`${kind}: ${steps} steps give rising, finite quantiles`, () => {
        const forecaster = createForecaster(options(kind));
        days(kind, 3)
          .slice(0, steps)
          .forEach((sample, i) => {
            forecaster.learn(i % 7 === 3 ? { ...sample, powerW: null } : sample);
          });
        const result = forecaster.forecast(START + steps * STEP - 600_000, 36);
        expect(result).toHaveLength(36);
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

test('what comes later changes nothing before it', () => {
  for (const kind of ['pv', 'load'] as const) {
    const samples = days(kind, 13);
    const cut = 11 * PER_DAY + 17;
    const random = seededRandom(99);
    const noisy = samples.map((sample, i) => (i < cut ? sample : { ...sample, powerW: random() * 9000 }));
    const runs = [samples, noisy].map((series) => {
      const forecaster = createForecaster(options(kind), undefined, 12);
      return series.map((sample, i) => {
        // Until the cut everything forecast must agree; asking must not change what is learnt either.
        const given = i >= cut - 30 ? forecaster.forecast(sample.startMs, 12) : null;
        forecaster.learn(sample);
        return given;
      });
    });
    expect(runs[0]?.slice(0, cut + 1)).toEqual(runs[1]?.slice(0, cut + 1));
    expect(runs[0]?.at(-1)).not.toEqual(runs[1]?.at(-1));
  }
});

test('state and history rebuild the same forecaster, also in the middle of a fit', () => {
  const samples = days('pv', 13);
  const whole = createForecaster(options('pv'), undefined, 6);
  let restored = createForecaster(options('pv'), undefined, 6);
  samples.forEach((sample, i) => {
    whole.learn(sample);
    restored.learn(sample);
    if (i === 10 * PER_DAY + 5 || i === 11 * PER_DAY) {
      restored = createForecaster(options('pv'), restored.state(), 6);
    }
  });
  const endMs = (samples.at(-1)?.startMs ?? 0) + STEP;
  expect(restored.forecast(endMs, 6)).toEqual(whole.forecast(endMs, 6));
  expect(restored.state()).toBe(whole.state());
});

test('the state of short steps stays below 1 MiB', () => {
  const short = 300_000;
  const forecaster = createForecaster({ kind: 'load', stepMs: short });
  const random = seededRandom(1);
  // Less than what models are fitted to, but every list as long as it gets, on top of the longest history there can be.
  for (let i = 0; i < 3 * 288; i += 1)
    forecaster.learn({ startMs: START + i * short, powerW: i < 800 ? null : 1000 * random() });
  const historyBytes = 30_000 * '123.456,'.length;
  expect(forecaster.state().length + historyBytes).toBeLessThan(1024 * 1024);
});

test('a state that cannot be read says so', () => {
  expect(() => createForecaster(options('pv'), '{"version":1}')).toThrow('cannot be read');
});

describe('asked while a step runs', () => {
  const forecasterOf = (kind: (typeof KINDS)[number]) => {
    const samples = days(kind, 8);
    const forecaster = createForecaster(options(kind), undefined, 3);
    for (const sample of samples) forecaster.learn(sample);
    return { forecaster, startMs: (samples.at(-1)?.startMs ?? 0) + STEP };
  };

  test('its measured part moves the next one, and leaves nothing behind', () => {
    const { forecaster, startMs } = forecasterOf('wind');
    const median = (powerW?: number): number => {
      const running = powerW === undefined ? [] : [{ startMs, endMs: startMs + STEP / 3, powerW }];
      const [next] = forecaster.forecast(startMs + STEP / 3, 1, running);
      expect(next?.startMs).toBe(startMs + STEP);
      return next?.quantilesW[3] as number;
    };
    const [before, state] = [median(), forecaster.state()];
    expect(median(0)).toBeLessThan(before - 300);
    expect(median(5000)).toBeGreaterThan(before + 300);
    expect(median()).toBe(before);
    expect(forecaster.state()).toBe(state);
  });

  test('a third of it says more of wind than of a house', () => {
    const moved = (kind: 'wind' | 'load'): number => {
      const { forecaster, startMs } = forecasterOf(kind);
      const [least, most] = [0, 4000].map((powerW) => {
        const running = [{ startMs, endMs: startMs + STEP / 3, powerW }];
        return forecaster.forecast(startMs + STEP, 1, running)[0]?.quantilesW[3] as number;
      });
      return (most as number) - (least as number);
    };
    expect(moved('wind')).toBeGreaterThan(2 * moved('load'));
  });

  test('readings in pieces are one reading, and those of other steps are none', () => {
    const { forecaster, startMs } = forecasterOf('pv');
    const minute = 60_000;
    const at = (from: number, to: number, powerW: number) => ({
      startMs: startMs + from * minute,
      endMs: startMs + to * minute,
      powerW,
    });
    const forecast = (running: readonly ReturnType<typeof at>[]) => forecaster.forecast(startMs + STEP, 2, running);
    const plain = forecast([]);
    expect(forecast([at(-60, 0, 9000), at(0, 10, Number.NaN)])).toEqual(plain);
    expect(forecast([at(10, 20, 600), at(-30, 10, 200)])).toEqual(forecast([at(0, 20, 400)]));
  });

  test.each([2, 50])('after a gap of %i steps it is nearly all there is to go by, and leaves nothing behind', (gap) => {
    const { forecaster, startMs } = forecasterOf('wind');
    const at = startMs + gap * STEP;
    const running = [{ startMs: at, endMs: at + STEP / 3, powerW: 130 }];
    const state = forecaster.state();
    const ask = (given: typeof running): readonly number[] =>
      forecaster.forecast(at + STEP / 3, 1, given)[0]?.quantilesW ?? [];
    const before = ask([]);
    expect(Math.abs((ask(running)[3] as number) - 130)).toBeLessThan(0.25 * Math.abs((before[3] as number) - 130));
    expect(ask([])).toEqual(before);
    expect(forecaster.state()).toBe(state);
  });

  test('all of it measured is as good as learnt', () => {
    const { forecaster, startMs } = forecasterOf('load');
    const running = [{ startMs, endMs: startMs + STEP, powerW: 1234 }];
    const asked = forecaster.forecast(startMs + STEP, 1, running)[0]?.quantilesW[3] as number;
    forecaster.learn({ startMs, powerW: 1234 });
    const learnt = forecaster.forecast(startMs + STEP, 1)[0]?.quantilesW[3] as number;
    expect(Math.abs(asked / learnt - 1)).toBeLessThan(0.05);
  });
});

test('learns a daily shape: far better than the last value, and its bands cover', () => {
  const samples = days('load', 40);
  const forecaster = createForecaster(options('load'), undefined, 1);
  let [own, last, inside, count] = [0, 0, 0, 0];
  samples.forEach((sample, i) => {
    const actual = sample.powerW as number;
    if (i >= 21 * PER_DAY) {
      const quantiles = forecaster.forecast(sample.startMs, 1)[0]?.quantilesW as readonly number[];
      own += Math.abs((quantiles[3] as number) - actual);
      last += Math.abs((samples[i - 1]?.powerW as number) - actual);
      if (actual >= (quantiles[1] as number) && actual <= (quantiles[5] as number)) inside++;
      count++;
    }
    forecaster.learn(sample);
  });
  expect(own / last).toBeLessThan(0.75);
  expect(inside / count).toBeGreaterThan(0.72);
  expect(inside / count).toBeLessThan(0.88);
});

describe('what is not learnt', () => {
  const learnt = (kind: ForecasterOptions['kind'], more: Partial<ForecasterOptions> = {}) => {
    const forecaster = createForecaster({ ...options(kind), ...more }, undefined, 4);
    const samples = days(kind, 6);
    for (const sample of samples) forecaster.learn(sample);
    return { forecaster, nextMs: (samples.at(-1)?.startMs ?? 0) + STEP };
  };

  const cases: [string, ForecasterOptions['kind'], Partial<Sample>, string | null][] = [
    ['a gap', 'load', { powerW: null }, 'missing'],
    ['not a number', 'load', { powerW: Number.NaN }, 'missing'],
    ['a curtailed step', 'pv', { powerW: 100, curtailed: true }, 'curtailed'],
    ['an error code', 'pv', { powerW: -1e6 }, 'implausible'],
    ['negative consumption', 'load', { powerW: -5 }, 'implausible'],
    ['a zero where there never was one', 'load', { powerW: 0 }, 'zero-run'],
    ['sun at midnight', 'pv', { powerW: 2000 }, 'night'],
    ['a good value', 'net', { powerW: -700 }, null],
    ['own use at night', 'pv', { powerW: -3 }, null],
  ];
  for (const [name, kind, sample, mark] of cases) {
    test(name, () => {
      const { forecaster, nextMs } = learnt(kind);
      expect(forecaster.learn({ startMs: nextMs, powerW: 1, ...sample })).toBe(mark);
    });
  }

  test('more than a generator can', () => {
    const { forecaster, nextMs } = learnt('wind', { capacityW: 5000 });
    expect(forecaster.learn({ startMs: nextMs, powerW: 7000 })).toBe('implausible');
  });

  test('a step twice or off the grid', () => {
    const { forecaster, nextMs } = learnt('load');
    expect(forecaster.learn({ startMs: nextMs - STEP, powerW: 300 })).toBe('out-of-order');
    expect(forecaster.learn({ startMs: nextMs + 1, powerW: 300 })).toBe('out-of-order');
  });

  test('a meter that stands still', () => {
    const { forecaster, nextMs } = learnt('load');
    const marks = Array.from({ length: 11 }, (_, i) => forecaster.learn({ startMs: nextMs + i * STEP, powerW: 412.5 }));
    expect(marks.slice(0, 7)).toEqual(new Array(7).fill(null));
    expect(marks.at(-1)).toBe('stuck');
  });

  test('curtailment does not become weather', () => {
    const [free, held] = [learnt('wind'), learnt('wind')];
    for (let i = 0; i < 8; i++) {
      free.forecaster.learn({ startMs: free.nextMs + i * STEP, powerW: null });
      held.forecaster.learn({ startMs: held.nextMs + i * STEP, powerW: 0, curtailed: true });
    }
    const endMs = held.nextMs + 8 * STEP;
    expect(held.forecaster.forecast(endMs, 4)).toEqual(free.forecaster.forecast(endMs, 4));
  });
});
