// The faces of the plan: what it is made from and what comes out of it. Energies in Wh an interval, prices in µ¤/Wh.

import type { Millis, UcPerWh, WattHours, Watts } from '../base/units.ts';
import type { Battery } from '../site/types.ts';
import type { PlanLoad } from './equipment.ts';
import type { Only } from './exchange.ts';

/** Most intervals a plan looks ahead, most batteries and loads it takes. */
export const PLAN_INTERVALS_MAX = 400;
export const PLAN_LOADS_MAX = 32;
export const PLAN_BATTERIES_MAX = 16;
/** Steps a side of an offer. */
export const BID_STEPS_MAX = 8;

/** An uncertain energy: its quantiles at the forecast's `QUANTILES` (rising), or one number when it is certain. */
export type Uncertain = number | readonly number[];

export interface PlanInterval {
  readonly startMs: Millis;
  /** Generation that is possible without curtailment, >= 0. */
  readonly generationWh: Uncertain;
  /** Consumption that nobody controls (without the loads below), >= 0. */
  readonly consumptionWh: Uncertain;
  /** What a Wh costs that is imported beyond the position, and what one brings that is exported beyond it; sell <= buy. */
  readonly buyUcPerWh: UcPerWh;
  readonly sellUcPerWh: UcPerWh;
  /** Net export already traded for the interval (- import); 0 when nothing is. */
  readonly positionWh: WattHours;
  /** Limits of the connection, both >= 0. */
  readonly importLimitW: Watts;
  readonly exportLimitW: Watts;
}

/** The contract's bounds of what may be offered. */
export interface BidTerms {
  /** Nothing is sold below, nothing is bought above. */
  readonly floorUcPerWh: UcPerWh;
  readonly ceilingUcPerWh: UcPerWh;
  /**
   * Null: each Wh stands at what it costs in the mean of all outcomes. Else surplus is priced as if this share of possible outcomes were at
   * most what is offered: 0.5 is the median; lower offers less.
   */
  readonly riskQuantile: number | null;
  /** Price range within which a marginal price is asked, e.g. the exchange's. Steps outside are cut to it. */
  readonly priceMinUcPerWh: UcPerWh;
  readonly priceMaxUcPerWh: UcPerWh;
}

export interface StoredBattery {
  readonly battery: Battery;
  /** Stored at the start of the first interval. */
  readonly storedWh: WattHours;
}

export interface PlanInput {
  readonly intervalMs: Millis;
  /** Contiguous, the first one first. */
  readonly intervals: readonly PlanInterval[];
  /** Index of the interval that the bids are for (0, or 1 while the first is running). */
  readonly bidInterval: number;
  readonly batteries: readonly StoredBattery[];
  readonly loads: readonly PlanLoad[];
  /** Whether generation can be held back. */
  readonly curtailable: boolean;
  /** What a Wh in the store is worth after the last interval; null: derived from the prices of the plan. */
  readonly endValueUcPerWh: UcPerWh | null;
  readonly terms: BidTerms;
  /** What an earlier plan's offer rests on, once it is known what was traded by it: the plan costs no more than the best of these. */
  readonly priced?: PricedSchedules;
}

/** Where loads run, and whether the battery may charge or discharge in an interval where prices below zero would pay for both at once. */
export interface LoadSchedule {
  readonly loads: readonly LoadPlan[];
  readonly only: readonly (Only | undefined)[];
}

/** Schedules that an offer is priced with, and the loads they are for. */
export interface PricedSchedules {
  readonly loads: readonly PlanLoad[];
  /** The plan's own first, then those with loads moved out of the interval offered for, or into it. */
  readonly schedules: readonly LoadSchedule[];
}

/** What is meant to happen in an interval, at the middle of the forecast. */
export interface PlanStep {
  readonly startMs: Millis;
  readonly generationWh: WattHours;
  readonly curtailedWh: WattHours;
  readonly consumptionWh: WattHours;
  readonly loadsWh: WattHours;
  /** At the AC terminals, + discharging, all batteries. */
  readonly batteryWh: WattHours;
  /** + import. */
  readonly gridWh: WattHours;
  readonly storedEndWh: WattHours;
}

export interface LoadPlan {
  readonly id: string;
  /** Power in each interval of the plan. */
  readonly powersW: readonly Watts[];
  /** False: the need does not fit before its deadline, and what fits is planned. */
  readonly met: boolean;
}

/** Marginal value of stored energy: each Wh up to `upToWh` (and above the entry before) is worth `valueUcPerWh`. Values fall. */
export interface StoredValue {
  readonly upToWh: WattHours;
  readonly valueUcPerWh: UcPerWh;
}

export interface BidStep {
  readonly energyWh: number;
  readonly priceUcPerWh: number;
}

/** One net offer: integers, sell prices rise, buy prices fall, highest buy < lowest sell. */
export interface BidCurve {
  readonly sell: readonly BidStep[];
  readonly buy: readonly BidStep[];
}

/** One line a decision, for people. */
export interface PlanLine {
  readonly startMs: Millis;
  readonly what: string;
}

export interface Plan {
  readonly intervalMs: Millis;
  readonly costUc: number;
  readonly steps: readonly PlanStep[];
  readonly loads: readonly LoadPlan[];
  /** Value of energy in the store (all batteries together) at the end of each interval: what second-by-second control weighs prices against. */
  readonly storedValues: readonly (readonly StoredValue[])[];
  readonly bids: BidCurve;
  readonly priced: PricedSchedules;
  readonly explanation: readonly PlanLine[];
}
