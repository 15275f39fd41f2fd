// From registers to readings: sums, signs, plausibility, counters that fall. Pure but for the state of each point's last value.

import type { Millis } from '../base/units.ts';
import { MEASURANDS } from '../site/measurands.ts';
import type { Device, Point } from '../site/types.ts';
import { type Decoded, decodePart, type Layout, type Registers } from './codec.ts';

/** What is remembered of a point between two readings. */
export interface PointState {
  value: number | null;
  /** Why the last answer gave no value; null when it did. */
  reason: string | null;
  atMs: Millis;
  monotonicMs: Millis;
  /** A counter that fell is believed when it is seen twice: some devices answer 0 now and then. */
  fallen: number | null;
}

/** The value of a point in the house's unit and sign. `factor`: current transformers that the device does not know of. */
export function pointValue(point: Point, registers: Registers, layout: Layout, factor = 1): Decoded {
  let sum = 0;
  for (const part of point.parts) {
    const decoded = decodePart(part, registers, layout);
    if ('reason' in decoded) return decoded;
    sum += decoded.value;
  }
  const value = sum * point.turn * factor;
  const { min, max } = point.plausible;
  if (value < min || value > max) return { reason: `${value} is not plausible (${min} to ${max})` };
  // An inverter's own use at night is consumption, not negative generation.
  return { value: point.measurand === 'generationPowerW' ? Math.max(0, value) : value + 0 };
}

/** Takes a new answer into the state. */
export function remember(state: PointState, point: Point, decoded: Decoded, atMs: Millis, monotonicMs: Millis): void {
  const checked = 'value' in decoded ? believe(state, point, decoded.value, monotonicMs) : decoded;
  state.atMs = atMs;
  state.monotonicMs = monotonicMs;
  if ('value' in checked) {
    state.value = checked.value;
    state.reason = null;
    state.fallen = null;
  } else {
    state.reason = checked.reason;
    if (!('value' in decoded)) state.value = null;
  }
}

function believe(state: PointState, point: Point, value: number, monotonicMs: Millis): Decoded {
  const last = state.value;
  if (last === null) return { value };
  if (point.counter !== null && value < last && state.fallen === null) {
    state.fallen = value;
    return { reason: `counter fell from ${last} to ${value}; waiting to see it again` };
  }
  const { ratePerSecond } = point.plausible;
  const seconds = (monotonicMs - state.monotonicMs) / 1000;
  if (ratePerSecond !== null && state.reason === null && seconds > 0) {
    const rate = Math.abs(value - last) / seconds;
    if (rate > ratePerSecond)
      return { reason: `changed by ${rate.toFixed(0)} a second; at most ${ratePerSecond} is plausible` };
  }
  return { value };
}

const PRIMARY_UNITS = new Set(['W', 'Wh', 'A', 'var', 'VA']);

/** Current transformers that the meter's registers do not know of. */
export function factorOf(measurand: string, device: Device): number {
  return PRIMARY_UNITS.has(MEASURANDS[measurand]?.unit ?? 'none') ? device.ctFactor : 1;
}

/** A device on L2 alone calls its phase L1: the house's name of a device's measurand; null for a phase that it is not on. */
export function nameAtSite(measurand: string, device: Device): string | null {
  const match = /^(.*?)L([123])(.*)$/.exec(measurand);
  if (match === null) return measurand;
  const phase = device.phases[Number(match[2]) - 1];
  return phase === undefined ? null : `${match[1]}${phase}${match[3]}`;
}
