// Where the sun is and what a clear sky gives: only the shape matters, the plant's own size and shading are learnt.
// Sun: Spencer's series (1971) as in NOAA's solar calculator. Clear sky: Haurwitz (1945), 1098 cos z exp(-0.057 / cos z) W/m2.

import type { Millis } from '../base/units.ts';
import { DAY_MS } from './calendar.ts';

const RADIANS = Math.PI / 180;

/** Cosine of the sun's zenith angle. Degrees, + north, + east. */
export function sunCosine(atMs: Millis, latitude: number, longitude: number): number {
  const yearStartMs = Date.UTC(new Date(atMs).getUTCFullYear(), 0, 1);
  const days = (atMs - yearStartMs) / DAY_MS;
  const g = (2 * Math.PI * days) / 365;
  const declination =
    0.006918 -
    0.399912 * Math.cos(g) +
    0.070257 * Math.sin(g) -
    0.006758 * Math.cos(2 * g) +
    0.000907 * Math.sin(2 * g);
  const equationMin =
    229.18 *
    (0.000075 +
      0.001868 * Math.cos(g) -
      0.032077 * Math.sin(g) -
      0.014615 * Math.cos(2 * g) -
      0.040849 * Math.sin(2 * g));
  const minute = (days - Math.floor(days)) * 1440;
  const hourAngle = ((minute + equationMin + 4 * longitude) / 4 - 180) * RADIANS;
  const phi = latitude * RADIANS;
  return Math.sin(phi) * Math.sin(declination) + Math.cos(phi) * Math.cos(declination) * Math.cos(hourAngle);
}

/** Global horizontal irradiance of a clear sky, W/m2. */
export function clearSky(atMs: Millis, latitude: number, longitude: number): number {
  const cosine = sunCosine(atMs, latitude, longitude);
  return cosine <= 0.01 ? 0 : 1098 * cosine * Math.exp(-0.057 / cosine);
}
