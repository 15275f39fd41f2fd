// Brings a series of another place and year to a site: its days, its sun, its size. Pure and deterministic.
//
// Days move by whole weeks, so that working days stay working days, to the season that is nearest to the origin.
// PV of another longitude moves within the day until its middle is at the site's solar noon, under the site's own sky.
// Loads keep their size where the connection can carry it.

import type { Millis, Watts } from '../../base/units.ts';
import { pvBoundPpm } from '../../ledger/sun.ts';
import { DAY_MS, loopSteps, peakW, type Series, scaleSeries, shiftSeries } from './series.ts';

const WEEK_MS = 7 * DAY_MS;
const YEAR_MS = 365.2425 * DAY_MS;
/** A roof that faces east or west has its middle this far from noon: no reason to move it. */
const NOON_TOLERANCE_MS = 90 * 60_000;
/** Shares of the import limit within which a measured load is kept as it is, and the one an unfit one is brought to. */
const LOAD_PEAK_SHARE = { least: 0.01, most: 0.8, target: 0.4 };

export interface Place {
  readonly latitudeDeg: number;
  readonly longitudeDeg: number;
}

/**
 * Moves the series by whole weeks (whole days when it is shorter) so that the origin falls into its nearest season, and
 * begins its loop half a loop before the origin: what comes before and after lies in one piece.
 */
export function alignDays(series: Series, originMs: Millis): Series {
  const lengthMs = loopSteps(series) * series.stepMs;
  const unitMs = lengthMs >= WEEK_MS ? WEEK_MS : DAY_MS;
  let best = Math.floor((originMs - series.startMs) / unitMs) * unitMs;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (let shift = best; originMs - shift < series.startMs + lengthMs; shift -= unitMs) {
    const distance = seasonDistanceMs(shift);
    if (distance < bestDistance) {
      bestDistance = distance;
      best = shift;
    }
  }
  return loopFrom(shiftSeries(series, best), originMs - lengthMs / 2);
}

/** The same endless series, its loop written out from the last whole day of it before an instant. */
function loopFrom(series: Series, atMs: Millis): Series {
  const days = Math.floor((atMs - series.startMs) / DAY_MS);
  const startMs = series.startMs + days * DAY_MS;
  const length = loopSteps(series);
  const first = (((days * DAY_MS) / series.stepMs) % length) + length;
  const powerW = Float64Array.from({ length }, (_, i) => series.powerW[(first + i) % length] ?? Number.NaN);
  return { ...series, startMs, powerW };
}

/**
 * Moves PV so that its mean time of day is at the site's solar noon, unless it is near. And no step gives more than a
 * clear sky over the site allows at both its ends: what another place or season had beyond it is cut. In the dark a
 * missing value is no gap: inverters that sleep send none.
 */
export function alignSun(series: Series, place: Place, ratedW: Watts): Series {
  const noonMs = (((DAY_MS / 2 - (place.longitudeDeg / 360) * DAY_MS) % DAY_MS) + DAY_MS) % DAY_MS;
  const offMs = wrapDay(noonMs - middleOfDayMs(series));
  const shifted =
    Math.abs(offMs) <= NOON_TOLERANCE_MS
      ? series
      : shiftSeries(series, Math.round(offMs / series.stepMs) * series.stepMs);
  const mostW = (atMs: Millis): Watts => {
    const instantMs = Math.round(atMs);
    const ppm = pvBoundPpm(
      instantMs,
      instantMs,
      Math.round(place.latitudeDeg * 10),
      Math.round(place.longitudeDeg * 10),
    );
    return (ratedW * ppm) / 1_000_000;
  };
  return {
    ...shifted,
    powerW: shifted.powerW.map((powerW, i) => {
      const startMs = shifted.startMs + i * shifted.stepMs;
      const ceilingW = Math.min(mostW(startMs), mostW(startMs + shifted.stepMs));
      if (Number.isNaN(powerW)) return ceilingW === 0 ? 0 : powerW;
      return Math.min(powerW, ceilingW);
    }),
  };
}

/** Scales generation so that its largest step is the rated power; per-unit values are taken at their word. */
export function fitGeneration(series: Series, perUnit: boolean, ratedW: Watts): Series {
  const peak = perUnit ? 1 : peakW(series);
  return peak > 0 ? scaleSeries(series, ratedW / peak) : series;
}

/** Keeps a load whose peak suits the connection; scales one that is far too small or too large (or per unit) to a share of it. */
export function fitLoad(series: Series, perUnit: boolean, importLimitW: Watts): Series {
  const share = peakW(series) / importLimitW;
  if (!perUnit && share >= LOAD_PEAK_SHARE.least && share <= LOAD_PEAK_SHARE.most) return series;
  return share > 0 ? scaleSeries(series, LOAD_PEAK_SHARE.target / share) : series;
}

/** Mean time of day of the energy, as an angle: ms after midnight UTC. */
function middleOfDayMs(series: Series): Millis {
  let sine = 0;
  let cosine = 0;
  series.powerW.forEach((powerW, i) => {
    if (!(powerW > 0)) return;
    const angle = ((series.startMs + (i + 0.5) * series.stepMs) / DAY_MS) * 2 * Math.PI;
    sine += powerW * Math.sin(angle);
    cosine += powerW * Math.cos(angle);
  });
  return (Math.atan2(sine, cosine) / (2 * Math.PI)) * DAY_MS;
}

function wrapDay(differenceMs: Millis): Millis {
  return differenceMs - Math.round(differenceMs / DAY_MS) * DAY_MS;
}

/** How far a shift is from whole years. */
function seasonDistanceMs(shiftMs: Millis): Millis {
  return Math.abs(shiftMs - Math.round(shiftMs / YEAR_MS) * YEAR_MS);
}
