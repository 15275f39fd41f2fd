// A battery behind its inverter: limits, losses, state of charge. Pure.
// Powers are at the AC terminals, + discharging; stored energy is what is in the cells.

import { clamp } from '../../base/integers.ts';
import type { Millis, WattHours, Watts } from '../../base/units.ts';

export interface BatteryModel {
  readonly id: string;
  /** Usable energy. */
  readonly capacityWh: WattHours;
  readonly chargeLimitW: Watts;
  readonly dischargeLimitW: Watts;
  /** Share of the AC energy that reaches the cells, and of the cells' energy that reaches AC. */
  readonly chargeEfficiency: number;
  readonly dischargeEfficiency: number;
  /** What its electronics take from AC all the time: consumption of the site. */
  readonly standbyW: Watts;
  /** What it does without a set-point: covers the site's own consumption, or nothing. */
  readonly automatic: 'self-consumption' | 'idle';
  /** Index of the phases it feeds. */
  readonly phases: readonly number[];
}

/** The power it can deliver now for a request: within its limits, nothing from an empty or into a full one. */
export function possibleW(model: BatteryModel, storedWh: WattHours, requestW: Watts): Watts {
  const bounded = clamp(requestW, -model.chargeLimitW, model.dischargeLimitW);
  if (bounded > 0 && storedWh <= 0) return 0;
  if (bounded < 0 && storedWh >= model.capacityWh) return 0;
  return bounded;
}

/** Rate at which the cells change at this AC power: + charging. */
export function cellPowerW(model: BatteryModel, powerW: Watts): Watts {
  return powerW > 0 ? -powerW / model.dischargeEfficiency : -powerW * model.chargeEfficiency;
}

/** Chain time until it is full or empty at this power; Infinity when never. */
export function timeToBoundMs(model: BatteryModel, storedWh: WattHours, powerW: Watts): Millis {
  const cellW = cellPowerW(model, powerW);
  if (cellW === 0) return Number.POSITIVE_INFINITY;
  const roomWh = cellW > 0 ? model.capacityWh - storedWh : storedWh;
  return (Math.max(0, roomWh) / Math.abs(cellW)) * 3_600_000;
}
