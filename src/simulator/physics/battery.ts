// A battery behind its inverter: limits, losses, state of charge. Pure.
// Powers are at the AC terminals, + discharging; stored energy is what is in the cells.

import { clamp } from '../../base/integers.ts';
import type { Millis, WattHours, Watts } from '../../base/units.ts';
import { limitAtW } from '../../dispatch/equipment.ts';
import type { Battery } from '../../site/types.ts';

export interface BatteryModel
  extends Pick<Battery, 'id' | 'capacityWh' | 'chargeLimitW' | 'dischargeLimitW'>,
    Pick<Battery, 'chargeTaper' | 'dischargeTaper' | 'chargeEfficiency' | 'dischargeEfficiency'> {
  /** What its electronics take from AC all the time: consumption of the site. */
  readonly standbyW: Watts;
  /** What it does without a set-point: covers the site's own consumption, or nothing. */
  readonly automatic: 'self-consumption' | 'idle';
  /** Index of the phases it feeds. */
  readonly phases: readonly number[];
}

/** How finely a tapering limit is followed. */
const TAPER_STEP_PERCENT = 0.2;

/** The most it can take now: nothing when full. */
export function chargeMaxW(model: BatteryModel, storedWh: WattHours): Watts {
  if (storedWh >= model.capacityWh) return 0;
  return limitAtW(model.chargeLimitW, model.chargeTaper, (100 * storedWh) / model.capacityWh);
}

/** The most it can give now: nothing when empty. */
export function dischargeMaxW(model: BatteryModel, storedWh: WattHours): Watts {
  if (storedWh <= 0) return 0;
  return limitAtW(model.dischargeLimitW, model.dischargeTaper, (100 * storedWh) / model.capacityWh);
}

/** The power it can deliver now for a request. */
export function possibleW(model: BatteryModel, storedWh: WattHours, requestW: Watts): Watts {
  return clamp(requestW, 0 - chargeMaxW(model, storedWh), dischargeMaxW(model, storedWh));
}

/** Rate at which the cells change at this AC power: + charging. */
export function cellPowerW(model: BatteryModel, powerW: Watts): Watts {
  return powerW > 0 ? -powerW / model.dischargeEfficiency : -powerW * model.chargeEfficiency;
}

/**
 * Chain time for which this power may be held: until it is full or empty, or, when its limits taper, until the state
 * of charge has moved by TAPER_STEP_PERCENT. Infinity at rest.
 */
export function holdMs(model: BatteryModel, storedWh: WattHours, powerW: Watts): Millis {
  const cellW = cellPowerW(model, powerW);
  if (cellW === 0) return Number.POSITIVE_INFINITY;
  const roomWh = cellW > 0 ? model.capacityWh - storedWh : storedWh;
  const tapers = (cellW > 0 ? model.chargeTaper : model.dischargeTaper).length > 0;
  const stepWh = tapers ? (model.capacityWh * TAPER_STEP_PERCENT) / 100 : Number.POSITIVE_INFINITY;
  return (Math.min(Math.max(0, roomWh), stepWh) / Math.abs(cellW)) * 3_600_000;
}
