// A logger's clock that moves by an hour, and everything that only looks like it.

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { createCalendar } from '../../src/forecast/calendar.ts';
import { Features } from '../../src/forecast/features.ts';
import { createForecaster } from '../../src/forecast/forecaster.ts';
import { History } from '../../src/forecast/history.ts';
import { newShift, watchShift } from '../../src/forecast/shift.ts';
import { clearSky } from '../../src/forecast/sun.ts';
import type { ForecasterOptions } from '../../src/forecast/types.ts';
import { finish } from '../../src/forecast/work.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** The clock of Berlin goes back 20 days later. */
const START = Date.UTC(2026, 9, 5);
const place = { latitude: 52.3, longitude: 13.4, timezone: 'Europe/Berlin' };

/** Power of a roof with clouds that drift, by true time; the same for the same seed. */
function roof(seed: number, days: number, stepMs: number, cloud = 0.7): (atMs: number) => number {
  const random = seededRandom(seed);
  const shares: number[] = [];
  let share = 0.8;
  for (let i = 0; i <= (days * DAY) / stepMs + 100; i++) {
    share = Math.min(1, Math.max(1 - cloud, share + 0.3 * (random() - 0.5)));
    shares.push(share);
  }
  return (atMs) => {
    const step = Math.floor((atMs - START) / stepMs) + 50;
    const sky = (part: number) => clearSky(atMs + part * stepMs, place.latitude, place.longitude);
    return 7 * ((sky(0.1) + sky(0.3) + sky(0.5) + sky(0.7) + sky(0.9)) / 5) * (shares[step] as number);
  };
}

/** Days (from the start; the sun's midnight ends them, an hour before UTC's) at which a shift was found, the day it was found to be from, and the days with a mark. */
function watched(options: ForecasterOptions, days: number, powerW: (atMs: number, day: number) => number | null) {
  const { stepMs } = options;
  const history = new History((200 * DAY) / stepMs);
  const features = new Features(options, createCalendar(options.timezone), history);
  const state = newShift();
  const found: { day: number; from: number }[] = [];
  const marked = new Set<number>();
  for (let atMs = START; atMs < START + days * DAY; atMs += stepMs) {
    const day = Math.floor((atMs - START) / DAY);
    const value = powerW(atMs, day);
    const from = watchShift(options, features, state, value, atMs / stepMs);
    if (from !== null) found.push({ day, from: Math.round((from * stepMs - START) / DAY) });
    if (state.shifted !== null) marked.add(day);
    history.push(atMs / stepMs, state.shifted !== null || value === null ? Number.NaN : value);
  }
  return { found, marked: [...marked] };
}

describe('an hour off', () => {
  const steps = [5, 15, 30, 60].flatMap((minutes) => [
    [minutes, 'late', -HOUR] as const,
    [minutes, 'early', HOUR] as const,
  ]);
  test.each(steps)('steps of %i min, stamps an hour %s from the 20th day on', (minutes, _, offMs) => {
    const stepMs = minutes * 60_000;
    for (let seed = 1; seed <= 4; seed++) {
      const power = roof(seed, 45, stepMs);
      const { found, marked } = watched({ kind: 'pv', stepMs, ...place }, 45, (atMs, day) =>
        power(day < 20 ? atMs : atMs + offMs),
      );
      expect(found).toHaveLength(1);
      expect(found[0]?.from).toBeGreaterThanOrEqual(20);
      expect(found[0]?.from).toBeLessThanOrEqual(22);
      expect(found[0]?.day).toBeLessThanOrEqual(27);
      // What lasts is believed in the end.
      expect(marked.at(-1)).toBeGreaterThanOrEqual(26);
      expect(marked.at(-1)).toBeLessThanOrEqual(30);
    }
  });

  test('ends when the clock is right again', () => {
    const stepMs = HOUR / 4;
    const power = roof(5, 45, stepMs, 0.3);
    const { found, marked } = watched({ kind: 'pv', stepMs, ...place }, 45, (atMs, day) =>
      power(day < 20 || day >= 26 ? atMs : atMs - HOUR),
    );
    expect(found).toEqual([{ day: 22, from: 20 }]);
    expect(marked).toEqual([22, 23, 24, 25, 26, 27]);
  });

  test('a clock that is set right is believed at once', () => {
    const stepMs = HOUR / 4;
    for (const offMs of [HOUR, -HOUR]) {
      const power = roof(6, 45, stepMs);
      const { marked } = watched({ kind: 'pv', stepMs, ...place }, 45, (atMs, day) =>
        power(day >= 20 ? atMs : atMs + offMs),
      );
      expect(marked).toEqual([]);
    }
  });

  test('what is learnt is taken back, what comes is marked, and a restored forecaster goes on the same', () => {
    const options = { kind: 'pv', stepMs: HOUR, ...place } as const;
    const power = roof(7, 45, HOUR, 0.3);
    let forecaster = createForecaster(options, undefined, 24);
    const marks: (string | null)[] = [];
    for (let hour = 0; hour < 24 * 26; hour++) {
      const atMs = START + hour * HOUR;
      marks.push(forecaster.learn({ startMs: atMs, powerW: power(hour < 24 * 20 ? atMs : atMs - HOUR) }));
    }
    expect(marks.indexOf('shifted')).toBeGreaterThanOrEqual(24 * 23 - 1);
    expect(new Set(marks.slice(0, 24 * 20))).toEqual(new Set([null]));
    expect(marks.slice(24 * 24)).toEqual(new Array(48).fill('shifted'));
    const { history } = JSON.parse(forecaster.state()) as { history: { oldest: number; values: (number | null)[] } };
    expect(history.values.slice(0, 24 * 20 - 1).every((value) => value !== null)).toBe(true);
    expect(history.values.slice(24 * 20).every((value) => value === null)).toBe(true);
    const endMs = START + 26 * 24 * HOUR;
    const ahead = forecaster.forecast(endMs, 24);
    // As if nothing were known of those days.
    const missing = createForecaster(options, undefined, 24);
    for (let hour = 0; hour < 24 * 26; hour++) {
      const atMs = START + hour * HOUR;
      missing.learn({ startMs: atMs, powerW: hour < 24 * 20 - 1 ? power(atMs) : null });
    }
    const without = missing.forecast(endMs, 24);
    const offW = ahead.map(({ quantilesW }, i) =>
      Math.abs((quantilesW[3] as number) - (without[i]?.quantilesW[3] as number)),
    );
    // Of some 2,700 W at noon; 240 W when the records of who was right stay.
    expect(offW.reduce((sum, value) => sum + value, 0) / 10).toBeLessThan(60);
    forecaster = createForecaster(options, forecaster.state(), 24);
    finish(forecaster.refit);
    expect(forecaster.forecast(endMs, 24)).toEqual(ahead);
  });
});

describe('no shift', () => {
  const stepMs = HOUR / 4;
  const options = { kind: 'pv', stepMs, ...place } as const;
  const noonOf = (day: number): number => START + day * DAY + 11 * HOUR;
  const random = seededRandom(11);
  const table: [string, (power: (atMs: number) => number) => (atMs: number, day: number) => number | null][] = [
    ['clouds', (power) => power],
    ['noise', (power) => (atMs) => power(atMs) * (0.3 + 1.4 * random())],
    ['dark mornings', (power) => (atMs, day) => power(atMs) * (day > 20 && atMs < noonOf(day) ? 0.02 : 1)],
    ['dark evenings', (power) => (atMs, day) => power(atMs) * (day > 20 && atMs > noonOf(day) ? 0.02 : 1)],
    ['fog, then sun', (power) => (atMs, day) => power(atMs) * (day < 20 ? 0.05 : 1)],
    ['snow', (power) => (atMs, day) => power(atMs) * (day > 20 && day < 30 ? 0.005 : 1)],
    [
      'a tree cut, in the morning',
      (power) => (atMs, day) => power(atMs) * (day < 20 && atMs < noonOf(day) - 3 * HOUR ? 0.02 : 1),
    ],
    ['an hour missing every day', (power) => (atMs, day) => (atMs - START - day * DAY < HOUR ? null : power(atMs))],
    ['half an hour off', (power) => (atMs, day) => power(day < 20 ? atMs : atMs - HOUR / 2)],
    ['two hours off', (power) => (atMs, day) => power(day < 20 ? atMs : atMs - 2 * HOUR)],
    ['two days off', (power) => (atMs, day) => power(day === 20 || day === 21 ? atMs - HOUR : atMs)],
  ];
  test.each(table)('%s', (_, change) => {
    for (let seed = 1; seed <= 6; seed++) {
      const power = roof(seed, 60, stepMs, 0.95);
      expect(watched(options, 60, change(power)).found).toEqual([]);
    }
  });

  test('people who rise an hour later, and a place that is not known', () => {
    const power = roof(1, 45, stepMs);
    const late = (atMs: number, day: number) => power(day < 20 ? atMs : atMs - HOUR);
    expect(watched({ ...options, kind: 'load' }, 45, late).found).toEqual([]);
    expect(watched({ kind: 'pv', stepMs }, 45, late).found).toEqual([]);
  });
});

describe('spikes', () => {
  test.each(['pv', 'load', 'net', 'wind'] as const)('of the first days do not hide later ones: %s', (kind) => {
    const random = seededRandom(3);
    const forecaster = createForecaster({ kind, stepMs: HOUR }, undefined, 1);
    const marks: (string | null)[] = [];
    for (let hour = 0; hour < 24 * 12; hour++) {
      const powerW = hour === 30 || hour === 24 * 8 + 12 ? 40_000 : 1000 + 200 * random();
      marks.push(forecaster.learn({ startMs: START + hour * HOUR, powerW }));
    }
    expect(marks.map((mark, hour) => [hour, mark]).filter(([, mark]) => mark !== null)).toEqual([[204, 'implausible']]);
  });

  test('what lasts is believed', () => {
    const forecaster = createForecaster({ kind: 'load', stepMs: HOUR }, undefined, 1);
    const marks: (string | null)[] = [];
    for (let hour = 0; hour < 24 * 5; hour++) {
      const powerW = hour < 96 ? 100 + (hour % 7) : 2000 + (hour % 7);
      marks.push(forecaster.learn({ startMs: START + hour * HOUR, powerW }));
    }
    expect(marks.slice(96)).toEqual(['implausible', 'implausible', ...new Array(22).fill(null)]);
  });
});
