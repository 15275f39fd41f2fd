// The integer sun against an independent formula in floats: Spencer's series as NOAA publishes it.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pvBoundPpm, sinePpm, sunSinePpm } from '../../src/ledger/sun.ts';

const DEGREE = Math.PI / 180;

/** Height of the sun in degrees, no refraction. */
function heightBySeries(timeMs: number, latitudeDeg: number, longitudeDeg: number): number {
  const date = new Date(timeMs);
  const minutes = date.getUTCHours() * 60 + date.getUTCMinutes() + date.getUTCSeconds() / 60;
  const day = Math.floor((timeMs - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000);
  const g = ((2 * Math.PI) / 365) * (day + (minutes / 60 - 12) / 24);
  const declination =
    0.006918 -
    0.399912 * Math.cos(g) +
    0.070257 * Math.sin(g) -
    0.006758 * Math.cos(2 * g) +
    0.000907 * Math.sin(2 * g) -
    0.002697 * Math.cos(3 * g) +
    0.00148 * Math.sin(3 * g);
  const equationMinutes =
    229.18 *
    (0.000075 +
      0.001868 * Math.cos(g) -
      0.032077 * Math.sin(g) -
      0.014615 * Math.cos(2 * g) -
      0.040849 * Math.sin(2 * g));
  const hourAngle = ((minutes + equationMinutes + 4 * longitudeDeg) / 4 - 180) * DEGREE;
  const latitude = latitudeDeg * DEGREE;
  const sine =
    Math.sin(latitude) * Math.sin(declination) + Math.cos(latitude) * Math.cos(declination) * Math.cos(hourAngle);
  return Math.asin(sine) / DEGREE;
}

// Sines are compared, not angles: at the zenith the table's 40 ppm alone are half a degree.
test("the height's sine agrees with the series as 0.7 degrees at the horizon do, anywhere, for years", () => {
  const time = fc.integer({ min: Date.UTC(2020, 0), max: Date.UTC(2040, 0) });
  const latitude = fc.integer({ min: -700, max: 700 });
  const longitude = fc.integer({ min: -1800, max: 1800 });
  fc.assert(
    fc.property(time, latitude, longitude, (timeMs, latitudeDeg10, longitudeDeg10) => {
      const sine = Math.sin(heightBySeries(timeMs, latitudeDeg10 / 10, longitudeDeg10 / 10) * DEGREE);
      expect(Math.abs(sunSinePpm(timeMs, latitudeDeg10, longitudeDeg10) / 1e6 - sine)).toBeLessThan(
        Math.sin(0.7 * DEGREE),
      );
    }),
    { numRuns: 1000 },
  );
});

test('sines are those of the table, interpolated, odd and periodic', () => {
  fc.assert(
    fc.property(fc.integer({ min: -2_000_000, max: 2_000_000 }), (mdeg) => {
      expect(Math.abs(sinePpm(mdeg) - 1e6 * Math.sin((mdeg / 1000) * DEGREE))).toBeLessThan(41);
      expect(sinePpm(mdeg + 360_000)).toBe(sinePpm(mdeg));
    }),
  );
});

test('the bound looks at the whole interval: dawn within it counts', () => {
  const midnight = Date.UTC(2026, 5, 21);
  const hour = 3_600_000;
  expect(pvBoundPpm(midnight, midnight + hour, 520, 130)).toBe(0);
  expect(pvBoundPpm(midnight, midnight + 4 * hour, 520, 130)).toBeGreaterThan(0);
  expect(pvBoundPpm(midnight + 9 * hour, midnight + 10 * hour, 520, 130)).toBe(1_000_000);
  expect(pvBoundPpm(midnight + 19 * hour, midnight + 24 * hour, 520, 130)).toBeGreaterThan(0);
});
