import { describe, expect, test } from 'vitest';
import { pvBoundPpm } from '../../src/ledger/sun.ts';
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

  /** Instant of the source that is replayed at `atMs`: hourly series that hold their own index tell. */
  const replayed = (source: Series, atMs: number): Date =>
    new Date(source.startMs + stepAt(alignDays(source, origin), atMs).powerW * HOUR_MS);

  test('the origin falls into the same season, weekday and time of day, and time goes on from there', () => {
    const year = hourly('2017-01-01T05:00:00Z', 700, (i) => i);
    const then = replayed(year, origin);
    expect(then.getUTCDay()).toBe(new Date(origin).getUTCDay());
    expect(then.getUTCHours()).toBe(0);
    const dayOfYear = (then.getTime() - Date.UTC(then.getUTCFullYear(), 0, 1)) / DAY_MS;
    expect(Math.abs(dayOfYear - 174)).toBeLessThanOrEqual(4);
    for (const days of [-30, -1, 1, 30]) {
      expect(replayed(year, origin + days * DAY_MS).getTime() - then.getTime()).toBe(days * DAY_MS);
    }
  });

  test('a series without that season gives its nearest week', () => {
    const autumn = hourly('2021-07-31T22:00:00Z', 91, (i) => i);
    const since = replayed(autumn, origin).getTime() - autumn.startMs;
    expect(since).toBeGreaterThanOrEqual(0);
    expect(since).toBeLessThan(7 * DAY_MS);
  });

  test('a series shorter than a week keeps the time of day and repeats', () => {
    const three = hourly('2021-07-31T22:00:00Z', 3, (i) => i);
    expect(replayed(three, origin + 5 * HOUR_MS).getUTCHours()).toBe(5);
    expect(replayed(three, origin + 3 * DAY_MS)).toEqual(replayed(three, origin));
  });
});

describe('the sun', () => {
  const bell = (noonHour: number) => (i: number) => Math.max(0, 100 * Math.cos(((i % 24) + 0.5 - noonHour) * 0.25));

  const place = { latitudeDeg: 51, longitudeDeg: 10 };

  test('PV of another longitude moves to the site', () => {
    const colorado = hourly('2026-07-06T00:00:00Z', 7, bell(19));
    const moved = alignSun(colorado, place, 100);
    const noonIndex = moved.powerW.indexOf(peakW(moved));
    const noonHour = (new Date(moved.startMs).getUTCHours() + noonIndex + 0.5) % 24;
    expect(Math.abs(noonHour - 11.33)).toBeLessThan(1);
  });

  test('a roof that faces east stays where it is', () => {
    const east = hourly('2026-07-06T00:00:00Z', 7, bell(10.5));
    expect(alignSun(east, place, 100).startMs).toBe(east.startMs);
  });

  test.each(['2026-07-06', '2026-12-07'])('on %s no quarter hour is over what the sun allows there', (day) => {
    const summer = hourly(`${day}T00:00:00Z`, 7, bell(12));
    const aligned = alignSun(summer, place, 100);
    let seen = 0;
    for (let atMs = summer.startMs; atMs < summer.startMs + 7 * DAY_MS; atMs += HOUR_MS / 4) {
      const { powerW } = stepAt(aligned, atMs);
      expect(powerW).toBeLessThanOrEqual((100 * pvBoundPpm(atMs, atMs + HOUR_MS / 4, 510, 100)) / 1e6);
      seen += powerW;
    }
    expect(seen).toBeGreaterThan(0);
  });

  test('gaps stay gaps by day; at night there is nothing to miss, and own use stays', () => {
    const gappy = hourly('2026-07-06T00:00:00Z', 1, (i) =>
      i === 12 || i < 2 ? Number.NaN : i === 23 ? -4 : bell(12)(i),
    );
    const { powerW } = alignSun(gappy, place, 100);
    expect([powerW[12], powerW[0], powerW[1], powerW[23]]).toEqual([Number.NaN, 0, 0, -4]);
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
