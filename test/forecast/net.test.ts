import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { createForecaster } from '../../src/forecast/forecaster.ts';
import { createNetForecaster, type NetPart } from '../../src/forecast/net.ts';
import type { Forecaster, Sample } from '../../src/forecast/types.ts';
import { finish } from '../../src/forecast/work.ts';

const STEP = 3_600_000;
const START = Date.UTC(2026, 2, 1);
const BAND = [-128, -100, -53, 0, 53, 100, 128];

/** A part that says the same of every step: a middle and a band; learns nothing. */
function fixed(
  kind: 'load' | 'pv',
  middleW: number,
  widthW: (hour: number) => number = () => 1,
  knownW: (startMs: number) => number = () => 0,
): Forecaster {
  return {
    options: { kind, stepMs: STEP },
    learn: ({ powerW }) => (powerW === null ? 'missing' : null),
    *learning({ powerW }) {
      yield;
      return powerW === null ? 'missing' : null;
    },
    refit: (function* () {})(),
    forecast: (issuedMs, count) =>
      Array.from({ length: count }, (_, i) => {
        const startMs = Math.ceil(issuedMs / STEP) * STEP + i * STEP;
        return {
          startMs,
          quantilesW: BAND.map((error) => middleW + knownW(startMs) + error * widthW((startMs / STEP) % 24)),
        };
      }),
    state: () => '',
  };
}

const parts = (): NetPart[] => [
  { sign: 1, forecaster: fixed('load', 1000, () => 1, known) },
  { sign: -1, forecaster: fixed('pv', 2000) },
];

/** What both parts of `samples` know of each step and a model of the net cannot. */
const known = (startMs: number): number => 1000 * ((Math.sin(startMs / STEP) * 1e4) % 1);

/** Errors of both parts, uniform in +-150 W: the same, opposite or none of each other's. */
function samples(i: number, random: () => number, together: 1 | -1 | 0): Sample[] {
  const error = (random() - 0.5) * 300;
  const other = together === 0 ? (random() - 0.5) * 300 : together * error;
  return [
    { startMs: START + i * STEP, powerW: 1000 + known(START + i * STEP) + error },
    { startMs: START + i * STEP, powerW: 2000 + other },
  ];
}

function taught(together: 1 | -1 | 0, steps: number) {
  const net = createNetForecaster({ stepMs: STEP }, parts());
  const random = seededRandom(3);
  for (let i = 0; i < steps; i++) net.learn(samples(i, random, together));
  return { net, endMs: START + steps * STEP };
}

describe('errors of the parts', () => {
  const width = (together: 1 | -1 | 0): number => {
    const { net, endMs } = taught(together, 120);
    const quantiles = net.forecast(endMs, 1)[0]?.quantilesW as readonly number[];
    expect(net.source(1)).toBe('joint');
    expect(Math.abs((quantiles[3] as number) + 1000 - known(endMs))).toBeLessThan(70);
    return (quantiles[5] as number) - (quantiles[1] as number);
  };

  test('that go together cancel in the net, that oppose add up, that know nothing of each other lie between', () => {
    // 80 % of a uniform 600 W; of the sum of two uniform 300 W; of nothing.
    expect(width(1)).toBeLessThan(20);
    expect(Math.abs(width(0) - 331)).toBeLessThan(50);
    expect(Math.abs(width(-1) - 480)).toBeLessThan(50);
  });
});

test('before anything is known: the medians, and errors that know nothing of each other', () => {
  const net = createNetForecaster({ stepMs: STEP }, parts());
  const quantiles = net.forecast(START, 1)[0]?.quantilesW as readonly number[];
  expect(quantiles[3]).toBe(known(START) - 1000);
  expect(quantiles[5]).toBeCloseTo(known(START) - 1000 + 100 * Math.SQRT2, 6);
});

test('the night of a part says nothing of its day', () => {
  const byDay = (hour: number): number => (hour < 12 ? 0 : 1);
  const net = createNetForecaster({ stepMs: STEP }, [
    { sign: 1, forecaster: fixed('load', 1000, () => 0.01) },
    { sign: -1, forecaster: fixed('pv', 2000, byDay) },
  ]);
  const random = seededRandom(4);
  for (let i = 0; i < 24 * 8; i++) {
    const startMs = START + i * STEP;
    const error = byDay(i % 24) * (random() - 0.5) * 300;
    net.learn([
      { startMs, powerW: 1000 },
      { startMs, powerW: 2000 + error },
    ]);
  }
  const [night, day] = [0, 12].map((hour) => {
    const quantiles = net.forecast(START + (24 * 8 + hour) * STEP, 1)[0]?.quantilesW as readonly number[];
    return (quantiles[5] as number) - (quantiles[1] as number);
  });
  expect(night).toBeLessThan(10);
  expect(day).toBeGreaterThan(180);
});

test('a model of the net answers where it has scored better', () => {
  // The parts do not know that the net is always the same.
  const net = createNetForecaster({ stepMs: STEP }, [
    { sign: 1, forecaster: fixed('load', 1000, () => 3) },
    { sign: -1, forecaster: fixed('pv', 300) },
  ]);
  const random = seededRandom(5);
  for (let i = 0; i < 30; i++) {
    const powerW = 1000 + random() * 500;
    net.learn([powerW, powerW - 500].map((value) => ({ startMs: START + i * STEP, powerW: value })));
  }
  expect(net.source(1)).toBe('model');
  expect(net.forecast(START + 30 * STEP, 1)[0]?.quantilesW[3]).toBeCloseTo(500, 0);
});

test('a part that is missing makes no joint residual, and the state rebuilds the same', () => {
  const { net, endMs } = taught(0, 60);
  const before = net.forecast(endMs, 3);
  const again = createNetForecaster({ stepMs: STEP }, parts(), net.state());
  finish(again.refit);
  expect(again.forecast(endMs, 3)).toEqual(before);
  expect(net.learn([{ startMs: endMs, powerW: null }, ...samples(60, () => 0.5, 0).slice(1)])).toEqual([
    'missing',
    null,
  ]);
  expect(() => createNetForecaster({ stepMs: STEP }, parts().slice(1), net.state())).toThrow('cannot be read');
});

test('over real parts: finite and rising, 36 hours ahead, and noise that comes later changes nothing', () => {
  const random = seededRandom(8);
  const runs = [0, 1].map((noise) => {
    const [load, pv] = (['load', 'pv'] as const).map((kind) =>
      createForecaster({ kind, stepMs: STEP, latitude: 48, longitude: 9 }),
    ) as [Forecaster, Forecaster];
    const net = createNetForecaster({ stepMs: STEP, latitude: 48, longitude: 9 }, [
      { sign: 1, forecaster: load },
      { sign: -1, forecaster: pv },
    ]);
    return Array.from({ length: 60 }, (_, i) => {
      const startMs = START + i * STEP;
      const given = net.forecast(startMs, i === 59 ? 36 : 2);
      const sun = Math.max(0, Math.sin((((i % 24) - 6) / 12) * Math.PI));
      const later = noise === 1 && i >= 40 ? random() * 500 : 0;
      net.learn([
        { startMs, powerW: 300 + 10 * (i % 24) + later },
        { startMs, powerW: 2000 * sun + (sun > 0 ? later : 0) },
      ]);
      return given;
    });
  });
  expect(runs[0]?.slice(0, 41)).toEqual(runs[1]?.slice(0, 41));
  expect(runs[0]?.at(-1)).not.toEqual(runs[1]?.at(-1));
  const last = runs[0]?.at(-1) ?? [];
  expect(last).toHaveLength(36);
  for (const { quantilesW } of last) {
    expect(quantilesW.every(Number.isFinite)).toBe(true);
    expect([...quantilesW].sort((a, b) => a - b)).toEqual(quantilesW);
  }
});
