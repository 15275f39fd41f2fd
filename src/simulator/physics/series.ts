// A measured series of mean powers on a constant grid, and exact energies of it. Pure.
//
// A value is the mean power of its step, so the power is taken as constant within the step: every step keeps its
// energy. A gap (NaN) stays a gap in the series; `bridge` decides what physics does in it and says so.

import { BugError } from '../../base/errors.ts';
import type { Millis, Watts } from '../../base/units.ts';

export const DAY_MS = 86_400_000;

/** Days searched to either side for a value of the same time of day. */
const BRIDGE_DAYS_MAX = 14;

export interface Series {
  /** Where it comes from, for people: file and column. */
  readonly name: string;
  readonly startMs: Millis;
  readonly stepMs: Millis;
  /** Mean power of each step; NaN is a gap. */
  readonly powerW: Float64Array;
}

/** One step of a series as physics uses it. */
export interface SeriesStep {
  readonly powerW: Watts;
  /** The series has no value here; `powerW` was bridged. */
  readonly gap: boolean;
  /** Instant at which the step ends. */
  readonly endMs: Millis;
}

/** The step that holds the instant. The series repeats for ever by whole days (whole weeks where it has one): it has no end. */
export function stepAt(series: Series, atMs: Millis): SeriesStep {
  const period = loopSteps(series);
  const steps = Math.floor((atMs - series.startMs) / series.stepMs);
  const index = ((steps % period) + period) % period;
  const endMs = series.startMs + (steps + 1) * series.stepMs;
  const powerW = series.powerW[index];
  if (powerW === undefined) throw new BugError(`series ${series.name} has no step ${index}`);
  if (!Number.isNaN(powerW)) return { powerW, gap: false, endMs };
  return { powerW: bridge(series, index), gap: true, endMs };
}

/** Steps after which the series repeats: whole weeks, or whole days of a series shorter than a week. */
export function loopSteps(series: Series): number {
  const day = DAY_MS / series.stepMs;
  const days = Math.floor(series.powerW.length / day);
  return (days >= 7 ? days - (days % 7) : days) * day;
}

/** The same time of the nearest day that has a value, earlier days first; without one, zero. */
function bridge(series: Series, index: number): Watts {
  const day = DAY_MS / series.stepMs;
  for (let days = 1; days <= BRIDGE_DAYS_MAX; days++) {
    for (const candidate of [index - days * day, index + days * day]) {
      const powerW = series.powerW[candidate];
      if (powerW !== undefined && !Number.isNaN(powerW)) return powerW;
    }
  }
  return 0;
}

/** The series moved in time by whole milliseconds. */
export function shiftSeries(series: Series, byMs: Millis): Series {
  return { ...series, startMs: series.startMs + byMs };
}

/** The series times a factor. */
export function scaleSeries(series: Series, factor: number): Series {
  return { ...series, powerW: series.powerW.map((powerW) => powerW * factor) };
}

/** Largest mean power of a step; 0 for a series of gaps. */
export function peakW(series: Series): Watts {
  let peak = 0;
  for (const powerW of series.powerW) if (powerW > peak) peak = powerW;
  return peak;
}

/** Mean power of the steps that have a value; 0 for a series of gaps. */
export function meanW(series: Series): Watts {
  let sum = 0;
  let count = 0;
  for (const powerW of series.powerW) {
    if (Number.isNaN(powerW)) continue;
    sum += powerW;
    count += 1;
  }
  return count > 0 ? sum / count : 0;
}
