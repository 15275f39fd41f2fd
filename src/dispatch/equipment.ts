// What dispatch can move at a site, as plain values: batteries, loads that can wait, generators that can be held back.
// Owns the words; the site file says which of them a site has. Signs as in base/units: battery + is discharging.

import type { Millis, UcPerWh, WattHours, Watts } from '../base/units.ts';

/** `never`: stored energy stays at home. `own-generation`: only what was charged from own generation may leave. `yes`: it may be traded. */
export type BatteryExport = 'never' | 'own-generation' | 'yes';

/** A limit of power at a state of charge; between two points it is linear, outside them constant. */
export interface TaperPoint {
  readonly percent: number;
  readonly powerW: Watts;
}

export interface Battery {
  readonly id: string;
  /** Energy between 0 and 100 %. */
  readonly capacityWh: WattHours;
  /** Most power at the AC terminals, both >= 0. */
  readonly chargeLimitW: Watts;
  readonly dischargeLimitW: Watts;
  /** Tighter limits near full and near empty; empty = none. Concave: as batteries taper. */
  readonly chargeTaper: readonly TaperPoint[];
  readonly dischargeTaper: readonly TaperPoint[];
  /** Stored per AC energy taken, and AC energy given per stored; (0, 1]. */
  readonly chargeEfficiency: number;
  readonly dischargeEfficiency: number;
  /** Lost from the store at all times. */
  readonly standingLossW: Watts;
  /** Wear of each Wh that passes through the store, half of it when charged and half when discharged: price / (cycle life x capacity). */
  readonly cycleCostUcPerWh: UcPerWh;
  /** Below this the battery is never discharged by economy or trades. */
  readonly reservePercent: number;
  readonly export: BatteryExport;
}

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
