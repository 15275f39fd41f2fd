// The honest baseline: what this time of the local day has been, weekdays and free days apart, recent days first.
// Useful from the first day; before it, a wide band from the plant's size.

import type { Millis, Watts } from '../base/units.ts';
import { DAY_MS } from './calendar.ts';
import type { Features } from './features.ts';
import type { History } from './history.ts';
import { weightedQuantiles } from './quantiles.ts';
import { type ForecasterOptions, MEDIAN } from './types.ts';

/** Days looked back, and the days in which a day's weight halves. */
const DAYS = 28;
const HALF_LIFE_DAYS = 9;
/** Weight of a day of the other type (working or free), for what people do and for what weather does. */
const OTHER_TYPE_WEIGHT = { load: 0.15, net: 0.4, pv: 1, wind: 1 } as const;
/** Size of a site of which nothing is known. */
export const UNKNOWN_SIZE_W: Watts = 5_000;

/** Quantiles of the step that starts at `startMs`, from steps up to `newest`. */
export function seasonalQuantiles(
  options: ForecasterOptions,
  features: Features,
  history: History,
  startMs: Millis,
): number[] {
  const { stepMs, kind } = options;
  const perDay = DAY_MS / stepMs;
  const newest = history.newest;
  if (newest === null) return withoutHistory(options);
  const target = startMs / stepMs;
  const here = features.local(target);
  const values: number[] = [];
  const weights: number[] = [];
  const firstDay = Math.max(1, Math.ceil((target - newest) / perDay));
  for (let day = firstDay; day < firstDay + DAYS; day++) {
    const step = target - day * perDay;
    if (step < history.oldest) break;
    const then = features.local(step);
    // The same local time, also over a change of the clock.
    const shift = Math.round(((here.minute - then.minute) * 60_000) / stepMs);
    const moved = Math.abs(shift) < perDay / 2 ? step + shift : step;
    const weight = 0.5 ** ((day - firstDay) / HALF_LIFE_DAYS) * (then.free === here.free ? 1 : OTHER_TYPE_WEIGHT[kind]);
    for (const [near, share] of [
      [0, 1],
      [-1, 0.5],
      [1, 0.5],
    ] as const) {
      const value = history.at(moved + near);
      if (Number.isNaN(value)) continue;
      values.push(value);
      weights.push(weight * share);
    }
  }
  return weightedQuantiles(values, weights) ?? recentQuantiles(history, perDay) ?? withoutHistory(options);
}

/** How fast what is unusual now is forgotten. */
const MEMORY_HALF_LIFE_MS: Millis = 2 * 3_600_000;

/** The season moved by what is unusual now, the less the farther ahead; its band as wide as what may have been forgotten. */
export function memoryQuantiles(
  options: ForecasterOptions,
  features: Features,
  now: number,
  startMs: Millis,
  season: readonly number[],
): number[] {
  const last = features.lastKnown(now);
  const usual = features.usual(now, now).sameType;
  if (Number.isNaN(last) || Number.isNaN(usual)) return [...season];
  const memory = 0.5 ** ((startMs - now * options.stepMs) / MEMORY_HALF_LIFE_MS);
  const width = Math.sqrt(1 - memory * memory);
  const middle = season[MEDIAN] as number;
  return season.map((quantile) => middle + memory * (last - usual) + (quantile - middle) * width);
}

/** Less than a day is known: the quantiles of what is. */
function recentQuantiles(history: History, perDay: number): number[] | null {
  const newest = history.newest ?? 0;
  const values: number[] = [];
  for (let step = newest; step > newest - perDay * 7 && step >= history.oldest; step--) {
    const value = history.at(step);
    if (!Number.isNaN(value)) values.push(value);
  }
  return weightedQuantiles(
    values,
    values.map(() => 1),
  );
}

/** Nothing is known: anything from nothing to the whole plant. */
function withoutHistory({ kind, capacityW = UNKNOWN_SIZE_W }: ForecasterOptions): number[] {
  const shares = kind === 'load' ? [0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5] : [0, 0, 0.02, 0.1, 0.35, 0.7, 0.9];
  if (kind === 'net') return [-0.7, -0.5, -0.1, 0.05, 0.15, 0.3, 0.5].map((share) => share * capacityW);
  return shares.map((share) => share * capacityW);
}
