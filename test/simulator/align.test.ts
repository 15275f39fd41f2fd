import { describe, expect, test } from 'vitest';
import { sunSinePpm } from '../../src/ledger/sun.ts';
import { alignDays, alignSun, fitGeneration, fitLoad } from '../../src/simulator/physics/align.ts';
import { DAY_MS, peakW, type Series, stepAt } from '../../src/simulator/physics/series.ts';

const HOUR_MS = 3_600_000;

function hourly(start: string, days: number, powerW: (hour: number) => number): Series {
  const startMs = Date.parse(start);
  return {
    name: 's',
    startMs,
    stepMs: HOUR_MS,
    powerW: Float64Array.from({ length: days * 24 }, (_, i) => powerW(i)),
  };
}

describe('days', () => {
  const origin = Date.parse('2026-06-24T00:00:00Z');

  test('the origin falls into the same season, weekday and time of day', () => {
    const year = hourly('2017-01-01T05:00:00Z', 700, (i) => i);
    const aligned = alignDays(year, origin);
    const shift = aligned.startMs - year.startMs;
    expect(shift % (7 * DAY_MS)).toBe(0);
    const then = new Date(origin - shift);
    expect(then.getUTCDay()).toBe(new Date(origin).getUTCDay());
    expect(then.getUTCHours()).toBe(0);
    const dayOfYear = (then.getTime() - Date.UTC(then.getUTCFullYear(), 0, 1)) / DAY_MS;
    expect(Math.abs(dayOfYear - 174)).toBeLessThanOrEqual(4);
    expect(stepAt(aligned, origin).powerW).toBe((origin - shift - year.startMs) / HOUR_MS);
  });

  test('a series without that season gives its nearest week', () => {
    const autumn = hourly('2021-07-31T22:00:00Z', 91, (i) => i);
    const at = origin - (alignDays(autumn, origin).startMs - autumn.startMs);
    expect(new Date(at).toISOString().slice(0, 7)).toBe('2021-08');
    expect(at - autumn.startMs).toBeLessThan(7 * DAY_MS);
  });

  test('a series shorter than a week moves by days', () => {
    const three = hourly('2021-07-31T22:00:00Z', 3, (i) => i);
    const aligned = alignDays(three, origin);
    expect((aligned.startMs - three.startMs) % DAY_MS).toBe(0);
    expect(origin - aligned.startMs).toBeGreaterThanOrEqual(0);
    expect(origin - aligned.startMs).toBeLessThan(DAY_MS);
  });
});

describe('the sun', () => {
  const bell = (noonHour: number) => (i: number) => Math.max(0, 100 * Math.cos(((i % 24) + 0.5 - noonHour) * 0.25));

  test('PV of another longitude moves to the site, and gives nothing in its night', () => {
    const colorado = hourly('2026-07-06T00:00:00Z', 7, bell(19));
    const place = { latitudeDeg: 51, longitudeDeg: 10 };
    const moved = alignSun(colorado, place);
    const noonIndex = moved.powerW.indexOf(peakW(moved));
    const noonHour = (new Date(moved.startMs).getUTCHours() + noonIndex + 0.5) % 24;
    expect(Math.abs(noonHour - 11.33)).toBeLessThan(1);
    moved.powerW.forEach((powerW, i) => {
      const at = moved.startMs + i * HOUR_MS;
      if (powerW > 0)
        expect(Math.max(sunSinePpm(at, 510, 100), sunSinePpm(at + HOUR_MS, 510, 100))).toBeGreaterThan(-14_500);
    });
  });

  test('a roof that faces east stays where it is', () => {
    const east = hourly('2026-07-06T00:00:00Z', 7, bell(10.5));
    expect(alignSun(east, { latitudeDeg: 51, longitudeDeg: 10 }).startMs).toBe(east.startMs);
  });

  test('gaps stay gaps', () => {
    const gap = hourly('2026-07-06T00:00:00Z', 1, (i) => (i === 12 ? Number.NaN : bell(12)(i)));
    expect(alignSun(gap, { latitudeDeg: 51, longitudeDeg: 10 }).powerW[12]).toBeNaN();
  });
});

describe('size', () => {
  const series = hourly('2026-07-06T00:00:00Z', 1, (i) => (i === 3 ? 2000 : -10));

  test('generation grows or shrinks to its rated power; per-unit values are taken at their word', () => {
    expect(peakW(fitGeneration(series, false, 8000))).toBe(8000);
    expect(peakW(fitGeneration({ ...series, powerW: Float64Array.of(0.5, 0.7) }, true, 1000))).toBe(700);
  });

  const loads: [string, number, number][] = [
    ['keeps its size', 10_000, 2000],
    ['too large for the connection: brought to 40 % of it', 2200, 880],
    ['far too small: brought to 40 % of it', 250_000, 100_000],
  ];
  test.each(loads)('a load %s', (_, importLimitW, expectedW) => {
    expect(peakW(fitLoad(series, false, importLimitW))).toBeCloseTo(expectedW, 6);
  });
});
