// What dispatch can move beside batteries (site/types.ts): loads that can wait, as plain values. Owns the words; the site file says which of
// them a site has.

import type { Millis, WattHours, Watts } from '../base/units.ts';
import type { Battery, TaperPoint } from '../site/types.ts';

/** A program that runs once started (a dishwasher, a kiln). */
export interface ProgramLoad {
  readonly kind: 'program';
  readonly id: string;
  /** Power in each interval of the program, from its start. */
  readonly powersW: readonly Watts[];
  readonly earliestMs: Millis;
  /** It must have ended by then. */
  readonly deadlineMs: Millis;
}

/** So much energy by a deadline, at one of the given powers: on/off loads, modulating ones, heat pumps by their states, cars until departure. */
export interface EnergyLoad {
  readonly kind: 'energy';
  readonly id: string;
  readonly needWh: WattHours;
  readonly earliestMs: Millis;
  readonly deadlineMs: Millis;
  /** Powers it can run at when on, rising, each > 0. */
  readonly powersW: readonly Watts[];
  readonly minOnMs: Millis;
  readonly minOffMs: Millis;
  /** Whether it is on at the plan's start, and for how long it has been so. */
  readonly on: boolean;
  readonly sinceMs: Millis;
}

export type PlanLoad = ProgramLoad | EnergyLoad;

/** Lowest stored energy that economy and trades may reach. */
export function reserveWh(battery: Battery): WattHours {
  return (battery.capacityWh * battery.reservePercent) / 100;
}

/** Power limit at a state of charge: the smaller of the plain limit and the taper. */
export function limitAtW(limitW: Watts, taper: readonly TaperPoint[], percent: number): Watts {
  return Math.min(limitW, taperAt(taper, percent));
}

function taperAt(taper: readonly TaperPoint[], percent: number): Watts {
  let before: TaperPoint | undefined;
  for (const point of taper) {
    if (point.percent >= percent) {
      if (before === undefined || point.percent === before.percent) return point.powerW;
      const share = (percent - before.percent) / (point.percent - before.percent);
      return before.powerW + share * (point.powerW - before.powerW);
    }
    before = point;
  }
  return before?.powerW ?? Number.POSITIVE_INFINITY;
}

/** Intervals of a plan: `end` is exclusive. */
export interface Span {
  readonly first: number;
  readonly end: number;
}

/** Intervals that lie wholly between a load's earliest start and its deadline. */
export function spanOf(
  load: PlanLoad,
  {
    intervalMs,
    intervals,
  }: { readonly intervalMs: Millis; readonly intervals: readonly { readonly startMs: Millis }[] },
): Span {
  const startMs = intervals[0]!.startMs;
  const first = Math.max(0, Math.ceil((load.earliestMs - startMs) / intervalMs));
  const end = Math.min(intervals.length, Math.floor((load.deadlineMs - startMs) / intervalMs));
  return { first, end };
}
