// The faces of the second-by-second control: configuration, one tick's input, state, set-points.
// Two clocks: `Ms` of readings, lags and run times are monotonic wall time; `chain...Ms` are chain time, in which energy counts.

import type { Millis, UcPerWh, WattHours, Watts } from '../base/units.ts';
import type { Battery, Phase } from '../site/types.ts';
import type { StoredValue } from './plan-types.ts';

/** One measured value; null: nothing is known. `quality` as the field bus says it. */
export interface Measured {
  readonly value: number | null;
  readonly quality: 'good' | 'stale' | 'invalid' | 'missing';
  /** When the device answered, monotonic. */
  readonly monotonicMs: Millis;
}

export interface ControlBattery {
  readonly battery: Battery;
  /** Device with the control `batterySetpointW`. */
  readonly device: string;
  /** Phases it feeds; power is shared equally among them. */
  readonly phases: readonly Phase[];
  /** Time constant with which its power follows a set-point. */
  readonly lagMs: Millis;
  /** Smaller powers are not followed by the device. */
  readonly deadBandW: Watts;
  /** Resolution of its set-point. */
  readonly stepW: Watts;
}

export interface ControlGenerator {
  readonly id: string;
  readonly ratedW: Watts;
  readonly phases: readonly Phase[];
  /** False: it cannot be held back. */
  readonly curtailable: boolean;
}

export interface ControlLoad {
  readonly id: string;
  /** Device and control that drive it: a relay's `switchN`, or `consumptionSetpointW`. */
  readonly device: string;
  readonly control: string;
  /** A heat pump by SG-ready states: its second contact, and what state 3 adds (`ratedW` is what state 4 adds). Null: one control drives it. */
  readonly sgReady: { readonly block: string; readonly recommendedW: Watts } | null;
  readonly ratedW: Watts;
  readonly phases: readonly Phase[];
  readonly minOnMs: Millis;
  readonly minOffMs: Millis;
  /** May be shed when the connection's limit needs it. */
  readonly sheddable: boolean;
}

export interface Connection {
  readonly importLimitW: Watts;
  readonly exportLimitW: Watts;
  /** Most power on each phase either way (amps x nominal voltage). */
  readonly phaseLimitW: Watts;
  readonly phases: readonly Phase[];
  /** In force while the operator cannot be reached. */
  readonly defaultImportLimitW: Watts;
  readonly defaultExportLimitW: Watts;
}

export interface ControlConfig {
  readonly batteries: readonly ControlBattery[];
  readonly generators: readonly ControlGenerator[];
  readonly loads: readonly ControlLoad[];
  readonly connection: Connection;
  /** A reading older than this is stale. */
  readonly staleAfterMs: Millis;
  /** From a change at the connection to the meter's answer: how old a fresh reading already is. */
  readonly meterDelayMs: Millis;
  /** Resolution of the counters at the connection. */
  readonly counterStepWh: WattHours;
  /** Change of position at an interval's edge: own random delay (drawn once by the gateway) and ramp, chain time. */
  readonly edgeDelayChainMs: Millis;
  readonly edgeRampChainMs: Millis;
}

/** A restrictive order of the operator; null = no limit on that side. */
export interface OperatorOrder {
  readonly importLimitW: Watts | null;
  readonly exportLimitW: Watts | null;
}

/** The owner's own word for a battery or a load. Local safety stays above it. The gateway drops it at its end. */
export type Override =
  | { readonly id: string; readonly mode: 'hold' }
  | { readonly id: string; readonly mode: 'charge-to'; readonly percent: number }
  | { readonly id: string; readonly mode: 'off' }
  | { readonly id: string; readonly mode: 'on' };

export interface BatteryReadings {
  readonly id: string;
  readonly powerW: Measured;
  readonly stateOfChargePercent: Measured;
  /** Live limits of the battery management, when it tells them. */
  readonly chargePowerMaxW: Measured | null;
  readonly dischargePowerMaxW: Measured | null;
}

export interface ControlInput {
  readonly monotonicMs: Millis;
  /** Chain milliseconds a wall millisecond. */
  readonly chainRate: number;
  readonly interval: {
    readonly number: number;
    readonly chainElapsedMs: Millis;
    readonly chainRemainingMs: Millis;
  };
  /** Net export of the interval as traded, - import; null: not known, and then nothing is assumed about it. */
  readonly positionWh: WattHours | null;
  /** Of energy imported beyond the position, and exported beyond it. */
  readonly shortfallUcPerWh: UcPerWh;
  readonly surplusUcPerWh: UcPerWh;
  /** Plan's value of stored energy at the end of the running interval; empty: no plan, stored energy is kept for own use. */
  readonly storedValue: readonly StoredValue[];
  /** Powers the plan wants of loads in this interval, by load id. Loads without an entry are left as they are. */
  readonly loadPowersW: ReadonlyMap<string, Watts>;
  /** At the grid connection, + import. */
  readonly gridPowerW: Measured;
  /** Of each phase, when the meter tells them. */
  readonly gridPhasePowersW: ReadonlyMap<Phase, Measured>;
  /** Rise of the counters since the interval's start; null when one of them is not known. */
  readonly importRiseWh: WattHours | null;
  readonly exportRiseWh: WattHours | null;
  readonly batteries: readonly BatteryReadings[];
  readonly generatorPowersW: ReadonlyMap<string, Measured>;
  /** Whether each load is on (its power for a modulating one, what its state adds for an SG-ready one), when known. */
  readonly loadStates: ReadonlyMap<string, Measured>;
  readonly orders: readonly OperatorOrder[];
  readonly overrides: readonly Override[];
  /** False: the operator's orders cannot be heard, and the default limits hold. */
  readonly operatorReachable: boolean;
  /** False: the clock is not proven; no trade is followed. */
  readonly clockSynchronised: boolean;
  /** The site runs on its own: every lease is let go, the inverter's own automatic mode carries the site. */
  readonly offGrid: boolean;
}

/** A value to hold on a device's control; null: let it go, back to the device's own automatic mode. */
export interface Setpoint {
  readonly device: string;
  readonly control: string;
  readonly value: number | null;
}

export type ControlMode = 'off-grid' | 'blind' | 'own-use' | 'trade';

export interface ControlOutput {
  readonly state: ControlState;
  readonly setpoints: readonly Setpoint[];
  readonly mode: ControlMode;
  /** One line for people: what is done and what binds it. */
  readonly explanation: string;
  /** Generation is being held back in this tick. */
  readonly curtailing: boolean;
}

/** Serialisable; `initialControlState` begins one, also after a restart in mid-interval. */
export interface ControlState {
  readonly interval: number | null;
  /** Net export since the interval's start, as estimated from counters and power. */
  readonly exportedWh: WattHours;
  readonly lastMonotonicMs: Millis | null;
  /** Net export power wanted in the last tick, and in the last one of the interval before (the edge's ramp begins there). */
  readonly targetExportW: Watts | null;
  readonly rampFromExportW: Watts | null;
  /** What generation gives beyond consumption, without batteries; null before the first tick with a meter. */
  readonly surplus: Surplus | null;
  /** What each battery was told last. */
  readonly batterySetpointsW: Readonly<Record<string, Watts>>;
  /** Recent measured power of all batteries, to compare with a meter that answers later: newest last, bounded. */
  readonly batteryHistory: readonly { readonly monotonicMs: Millis; readonly powerW: Watts }[];
  /** Since when each load is in the state that it was told. */
  readonly loads: Readonly<Record<string, LoadState>>;
  /** Limit each generator is held to; absent: not held. */
  readonly generationLimitsW: Readonly<Record<string, Watts>>;
  readonly economy: Economy;
}

/** Net export that nobody controls: what to expect of it, and how far it lately went either way. */
export interface Surplus {
  readonly expectedW: Watts;
  readonly lowW: Watts;
  readonly highW: Watts;
}

export interface LoadState {
  readonly powerW: Watts;
  readonly sinceMs: Millis;
}

/** What the battery is for at present prices: `cover` a shortfall, `absorb` a surplus, and `charge` or `discharge` beyond them. */
export interface Economy {
  readonly cover: boolean;
  readonly absorb: boolean;
  readonly charge: boolean;
  readonly discharge: boolean;
}
