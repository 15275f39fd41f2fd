// The registers of a device that is served from its profile: values in, registers out, and what a master wrote back as controls. Pure.
// Owns what a register image holds; how it is served (TCP, RTU) and what it measures are its caller's.

import { WattpactError } from '../base/errors.ts';
import { clamp } from '../base/integers.ts';
import type { Millis, Watts } from '../base/units.ts';
import type { Part, Place, Point, Profile, Table } from '../site/types.ts';
import {
  addressOf,
  decodePart,
  encodePart,
  encodeText,
  type Layout,
  type ModelAt,
  partAt,
  type Registers,
  rawRange,
} from './codec.ts';
import { type BaseOf, controlValue } from './control.ts';

export interface Image {
  /** Registers (16 bit) or coils (0, 1); null: the device has none there (exception 2). */
  read(table: Table, address: number, count: number): number[] | null;
  /** A master's write: the names of the controls it touched (their watchdogs begin anew); null: nothing writable there (exception 2). */
  write(table: 'holding' | 'coil', address: number, values: readonly number[]): readonly string[] | null;
  /** Sets measurands (house's unit and sign) that the profile has; others are ignored. Values that do not fit are cut to what the registers can hold. */
  set(values: ReadonlyMap<string, number>): void;
  /** What a master would read now (house's unit and sign); null: not a value. */
  value(measurand: string): number | null;
  /** What the device is told (house's unit and sign); null: nothing, it does as it likes. */
  control(name: string): number | null;
  /** The device's own time-out for a control, as written or fixed; null: it never forgets. */
  controlTimeoutMs(name: string): Millis | null;
  /** Puts a control's registers back to where nothing is told: what the device's watchdog does. */
  forget(name: string): void;
}

export interface ImageOptions {
  /** Nameplate power, for percentages. */
  readonly ratedW: Watts | null;
}

export function createImage(given: Profile, options: ImageOptions): Image {
  const layout = servedLayout(given);
  const profile = withoutAlternatives(given, layout);
  const words: Record<Table, Map<number, number>> = {
    holding: new Map(),
    input: new Map(),
    coil: new Map(),
    discrete: new Map(),
  };
  const current: Registers = (table, address) => words[table].get(address);
  const writable = { holding: new Set<number>(), coil: new Set<number>() };
  const at = (place: Place): number => {
    const address = addressOf(place, layout);
    if (address === null) {
      throw new WattpactError('profile.model', `profile ${profile.name}: SunSpec model ${place.model} is not listed`);
    }
    return address;
  };
  const put = (table: Table, address: number, values: readonly number[]): void => {
    for (const [i, value] of values.entries()) words[table].set(address + i, value);
  };
  const baseOf: BaseOf = (measurand) => value(measurand) || options.ratedW;

  /** Every register that the profile speaks of exists and holds 0 until it is set. */
  function reserve(part: Part): void {
    const start = at(part);
    for (let i = 0; i < part.length; i++)
      if (current(part.table, start + i) === undefined) put(part.table, start + i, [0]);
    const scale = part.scaleRegister;
    if (scale !== null && current(scale.table, at(scale)) === undefined) put(scale.table, at(scale), [0]);
  }

  function permit(part: Part): void {
    if (part.table !== 'holding' && part.table !== 'coil') return;
    for (let i = 0; i < part.length; i++) writable[part.table].add(at(part) + i);
  }

  function value(measurand: string): number | null {
    const point = profile.points.get(measurand);
    if (point === undefined) return null;
    let sum = 0;
    for (const part of point.parts) {
      const decoded = decodePart(part, current, layout);
      if ('reason' in decoded) return null;
      sum += decoded.value;
    }
    return sum * point.turn;
  }

  /** Registers that belong to another point keep what that point set; the point's own make up the sum. */
  function setPoint(point: Point, wanted: number): void {
    const own = point.parts.filter((part) => ownerOf(profile, part) === point);
    for (const part of own) setPart(part, 0);
    let left = wanted * point.turn;
    for (const part of point.parts) {
      const decoded = decodePart(part, current, layout);
      if (!own.includes(part) && 'value' in decoded) left -= decoded.value;
    }
    for (const part of own) {
      setPart(part, left);
      const decoded = decodePart(part, current, layout);
      if ('value' in decoded) left -= decoded.value;
    }
  }

  function setPart(part: Part, amount: number): void {
    put(part.table, at(part), encodePart(part, fitting(part, amount, current, layout), current, layout));
  }

  for (const [address, registers] of sunspecModels(profile, layout)) put('holding', address, registers);
  for (const point of profile.points.values()) for (const part of point.parts) reserve(part);
  for (const control of profile.controls.values()) {
    for (const step of [...control.write, ...control.release]) {
      reserve(step.part);
      permit(step.part);
      if (step.readBack !== null) reserve(step.readBack);
    }
    if (control.watchdog?.kind === 'register') {
      reserve(control.watchdog.part);
      permit(control.watchdog.part);
    }
  }
  for (const { part, equals, startsWith, oneOf } of profile.identify) {
    reserve(part);
    const text = equals ?? startsWith;
    const [number] = oneOf;
    if (text !== null) put(part.table, at(part), encodeText(text, part.length));
    else if (number !== undefined) put(part.table, at(part), encodePart(part, number, current, layout));
  }
  for (const { part, value: fixed } of profile.served) {
    put(
      part.table,
      at(part),
      typeof fixed === 'string' ? encodeText(fixed, part.length) : encodePart(part, fixed, current, layout),
    );
  }
  if (options.ratedW !== null && profile.points.has('ratedPowerW')) {
    setPoint(profile.points.get('ratedPowerW') as Point, options.ratedW);
  }
  for (const table of Object.keys(words) as Table[]) fillHoles(words[table], profile.line.holeMax);

  /** Which controls' registers a write touches. */
  function touched(table: Table, address: number, count: number): string[] {
    const names: string[] = [];
    for (const control of profile.controls.values()) {
      const parts = [...control.write, ...control.release].map((step) => step.part);
      if (control.watchdog?.kind === 'register') parts.push(control.watchdog.part);
      if (
        parts.some((part) => part.table === table && at(part) < address + count && address < at(part) + part.length)
      ) {
        names.push(control.control);
      }
    }
    return names;
  }

  return {
    read(table, address, count) {
      const values: number[] = [];
      for (let i = 0; i < count; i++) {
        const word = current(table, address + i);
        if (word === undefined) return null;
        values.push(word);
      }
      return values;
    },
    write(table, address, values) {
      for (let i = 0; i < values.length; i++) if (!writable[table].has(address + i)) return null;
      put(table, address, values);
      mirror(profile, table, address, values.length, current, put, layout);
      return touched(table, address, values.length);
    },
    set(values) {
      const points = [...values].flatMap(([measurand, wanted]) => {
        const point = profile.points.get(measurand);
        return point === undefined ? [] : [{ point, wanted }];
      });
      // Sums last: they make up the difference to the registers that they share.
      for (const { point, wanted } of points.sort((a, b) => a.point.parts.length - b.point.parts.length)) {
        setPoint(point, wanted);
      }
    },
    value,
    control(name) {
      const control = profile.controls.get(name);
      return control === undefined ? null : controlValue(control, baseOf, current, layout);
    },
    controlTimeoutMs(name) {
      const watchdog = profile.controls.get(name)?.watchdog ?? null;
      if (watchdog === null) return null;
      if (watchdog.kind === 'fixed') return watchdog.timeoutMs;
      const decoded = decodePart(watchdog.part, current, layout);
      return 'value' in decoded && decoded.value > 0 ? decoded.value * 1000 : null;
    },
    forget(name) {
      const control = profile.controls.get(name);
      if (control === undefined) return;
      for (const { part, carries } of control.release) {
        if (carries.kind === 'constant') setPart(part, carries.value);
      }
    },
  };
}

/** The profile as the served device has it: of each part's alternatives the one whose model it serves. */
function withoutAlternatives(profile: Profile, layout: Layout): Profile {
  const points = [...profile.points].map(([name, point]): [string, Point] => [
    name,
    { ...point, parts: point.parts.map((part) => partAt(part, layout)) },
  ]);
  return { ...profile, points: new Map(points) };
}

/** SunSpec models one after the other from the first base, behind the marker `SunS`. */
export function servedLayout(profile: Profile): Layout {
  const layout = new Map<number, ModelAt>();
  let address = (profile.sunspec?.bases[0] ?? 0) + 2;
  for (const { id, length } of profile.sunspec?.models ?? []) {
    layout.set(id, { address, length });
    address += length + 2;
  }
  return layout;
}

/** Marker, models with empty bodies and the end of the chain. Source: SunSpec Device Information Model Specification V1.1. */
function sunspecModels(profile: Profile, layout: Layout): [number, number[]][] {
  if (profile.sunspec === null) return [];
  const base = profile.sunspec.bases[0] ?? 0;
  const blocks: [number, number[]][] = [[base, [0x5375, 0x6e53]]];
  let end = base + 2;
  for (const { id, length } of profile.sunspec.models) {
    const start = (layout.get(id) as ModelAt).address;
    blocks.push([start, [id, length, ...new Array<number>(length).fill(0)]]);
    end = start + length + 2;
  }
  return [...blocks, [end, [0xffff, 0]]];
}

/** Real devices answer for the gaps inside a block: holes that a plan may read over hold 0. */
function fillHoles(words: Map<number, number>, holeMax: number): void {
  const addresses = [...words.keys()].sort((a, b) => a - b);
  for (const [i, address] of addresses.entries()) {
    const next = addresses[i + 1];
    if (next === undefined || next - address - 1 > holeMax) continue;
    for (let hole = address + 1; hole < next; hole++) words.set(hole, 0);
  }
}

/** A read-back register of its own shows what was written. */
function mirror(
  profile: Profile,
  table: Table,
  address: number,
  count: number,
  current: Registers,
  put: (table: Table, address: number, values: readonly number[]) => void,
  layout: Layout,
): void {
  for (const control of profile.controls.values()) {
    for (const { part, readBack } of control.write) {
      const start = addressOf(part, layout);
      if (readBack === null || start === null || part.table !== table) continue;
      if (start >= address + count || address >= start + part.length) continue;
      const decoded = decodePart(part, current, layout);
      const target = addressOf(readBack, layout);
      if ('value' in decoded && target !== null) {
        put(readBack.table, target, encodePart(readBack, decoded.value, current, layout));
      }
    }
  }
}

/** The point that a register belongs to when several use it: the one made of the fewest. */
function ownerOf(profile: Profile, part: Part): Point | undefined {
  let owner: Point | undefined;
  for (const point of profile.points.values()) {
    if (owner !== undefined && point.parts.length >= owner.parts.length) continue;
    if (point.parts.some((other) => samePlace(other, part))) owner = point;
  }
  return owner;
}

function samePlace(a: Part, b: Part): boolean {
  return a.table === b.table && a.model === b.model && a.address === b.address;
}

function fitting(part: Part, amount: number, current: Registers, layout: Layout): number {
  if (part.type === 'f32' || part.type === 'f64' || part.type === 'bit') return amount;
  const exponent =
    part.scaleRegister === null
      ? 0
      : signed16(current(part.scaleRegister.table, addressOf(part.scaleRegister, layout) ?? 0) ?? 0);
  const { min, max } = rawRange(part);
  const low = part.type.startsWith('s') && part.bits === null ? min + 1 : min;
  const high = part.sentinels.includes(BigInt(max)) ? max - 1 : max;
  const factor = part.scale * 10 ** exponent;
  const bounds = [low * factor, high * factor].map((edge) => (edge + part.offset) * part.times).sort((a, b) => a - b);
  return clamp(amount, bounds[0] as number, bounds[1] as number);
}

function signed16(word: number): number {
  return word > 0x7fff ? word - 0x1_0000 : word;
}
