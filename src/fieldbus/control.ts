// A control's value as register writes, and back from registers. Pure: used to write to devices and to serve them.

import { WattpactError } from '../base/errors.ts';
import type { Control, Part, Table, WriteStep } from '../site/types.ts';
import { addressOf, decodePart, encodePart, type Layout, type Registers } from './codec.ts';

export interface RegisterWrite {
  readonly table: Table;
  readonly address: number;
  readonly words: readonly number[];
}

/** What percentages refer to. */
export type BaseOf = (measurand: string) => number | null;

/** How close a register must come to what was written: half its step, floats a millionth. */
const FLOAT_TOLERANCE = 1e-6;

/** Writes that set a control, in order. `value` is in the house's unit and sign. Errors: `fieldbus.range`, `fieldbus.base`, `fieldbus.model`. */
export function writesOf(
  control: Control,
  value: number,
  baseOf: BaseOf,
  current: Registers,
  layout: Layout,
): RegisterWrite[] {
  return control.write.map((step) => writeOf(step, turned(control, value), baseOf, current, layout));
}

/** Writes that give the device back to itself; empty when the profile knows none. */
export function releaseWrites(control: Control, baseOf: BaseOf, current: Registers, layout: Layout): RegisterWrite[] {
  return control.release.map((step) => writeOf(step, 0, baseOf, current, layout));
}

function writeOf(
  step: WriteStep,
  deviceValue: number,
  baseOf: BaseOf,
  current: Registers,
  layout: Layout,
): RegisterWrite {
  const address = addressOf(step.part, layout);
  if (address === null) {
    throw new WattpactError('fieldbus.model', `the device has no SunSpec model ${step.part.model}`);
  }
  const written = percent(step, carried(step, deviceValue), baseOf);
  return { table: step.part.table, address, words: encodePart(step.part, written, current, layout) };
}

/** The number that a step writes, before it becomes a percentage. */
function carried(step: WriteStep, deviceValue: number): number {
  const { carries } = step;
  switch (carries.kind) {
    case 'constant':
      return carries.value;
    case 'value':
      return deviceValue;
    case 'magnitude':
      return Math.abs(deviceValue);
    case 'positive':
      return Math.max(0, deviceValue);
    case 'negative':
      return Math.max(0, -deviceValue);
    case 'bySign':
      return deviceValue > 0 ? carries.positive : deviceValue < 0 ? carries.negative : carries.zero;
    default:
      return carries satisfies never;
  }
}

function percent(step: WriteStep, value: number, baseOf: BaseOf): number {
  if (step.percentOf === null) return value;
  return (value / base(step.percentOf, baseOf)) * 100;
}

function base(measurand: string, baseOf: BaseOf): number {
  const baseW = baseOf(measurand);
  if (baseW === null || !(baseW > 0)) {
    throw new WattpactError('fieldbus.base', `cannot make a percentage: ${measurand} is not known`, {
      hint: 'give the device ratedW in the site file',
    });
  }
  return baseW;
}

/**
 * The value (house's sign) that a control's registers say; null when they say that the device is left to itself, or are not known.
 * Where the registers do not carry a number (a mode alone), null too.
 */
export function controlValue(control: Control, baseOf: BaseOf, registers: Registers, layout: Layout): number | null {
  if (
    control.release.length > 0 &&
    control.release.every((step) => holds(step.part, constantOf(step), registers, layout))
  )
    return null;
  let sign: 1 | -1 = 1;
  let value: number | null = null;
  for (const step of control.write) {
    const read = decodePart(step.part, registers, layout);
    if ('reason' in read) return null;
    const { carries } = step;
    switch (carries.kind) {
      case 'constant':
        if (!near(step.part, read.value, carries.value)) return null;
        break;
      case 'bySign':
        if (near(step.part, read.value, carries.zero)) value ??= 0;
        else if (near(step.part, read.value, carries.negative)) sign = -1;
        else if (!near(step.part, read.value, carries.positive)) return null;
        break;
      case 'negative':
        value = (value ?? 0) - amount(step, read.value, baseOf);
        break;
      // Several registers may carry the same number.
      case 'value':
      case 'magnitude':
        value = amount(step, read.value, baseOf);
        break;
      case 'positive':
        value = (value ?? 0) + amount(step, read.value, baseOf);
        break;
      default:
        carries satisfies never;
    }
  }
  return value === null ? null : turned(control, signed(control, value, sign)) + 0;
}

/** A `bySign` step gives a magnitude its sign; sides written apart carry their own. */
function signed(control: Control, value: number, sign: 1 | -1): number {
  return control.write.some((step) => step.carries.kind === 'magnitude') ? value * sign : value;
}

function amount(step: WriteStep, read: number, baseOf: BaseOf): number {
  return step.percentOf === null ? read : (read / 100) * base(step.percentOf, baseOf);
}

function constantOf(step: WriteStep): number {
  return step.carries.kind === 'constant' ? step.carries.value : 0;
}

function holds(part: Part, value: number, registers: Registers, layout: Layout): boolean {
  const read = decodePart(part, registers, layout);
  return 'value' in read && near(part, read.value, value);
}

function near(part: Part, read: number, wanted: number): boolean {
  const step =
    part.type === 'f32' || part.type === 'f64' ? Math.abs(wanted) * FLOAT_TOLERANCE : Math.abs(part.scale) / 2;
  return Math.abs(read - wanted) <= step;
}

function turned(control: Control, value: number): number {
  return control.turn === 1 ? value : -value;
}
