// Every point of a SunSpec model, with its groups, from its registers: what probe shows of a device that nobody wrote a profile for. Pure.
// Source: SunSpec Device Information Model Specification V1.1 (types, not-implemented values, scale factors); the models' points are site/sunspec-models.ts.

import {
  HEADER,
  isGroup,
  NOT_IMPLEMENTED,
  type SunspecField,
  type SunspecGroup,
  type SunspecModel,
} from '../site/sunspec-models.ts';
import type { Part, Place } from '../site/types.ts';
import { decodePart, decodeText, NO_LAYOUT, type Registers } from './codec.ts';

export interface SunspecValue {
  /** `W`, or `module2.DCW` in a group that comes more than once. */
  readonly name: string;
  readonly unit: string;
  /** Registers as they came, in hex. */
  readonly raw: string;
  readonly value: number | null;
  /** Of a text; and of an integer too large for a number to hold. */
  readonly text: string | null;
  /** Why there is neither. */
  readonly reason: string | null;
}

/** Values of one model at most: a device may claim any length. */
const VALUES_MAX = 4_000;

/** `words`: the model's registers from its ID on, as many as it says (and as could be read). A point beyond them is left out. */
export function decodeModel(model: SunspecModel, words: readonly number[]): SunspecValue[] {
  const values: SunspecValue[] = [];
  const registers: Registers = (_table, address) => words[address];
  group(model.body, '', HEADER, [], { words, registers, values });
  return values;
}

interface Reading {
  readonly words: readonly number[];
  readonly registers: Registers;
  readonly values: SunspecValue[];
}

/** Where the points of the groups around are: the innermost first. */
type Scopes = readonly ReadonlyMap<string, number>[];

/** Decodes a group that begins at `start`; where the next thing begins. */
function group({ items }: SunspecGroup, path: string, start: number, around: Scopes, reading: Reading): number {
  const scope = new Map<string, number>();
  const scopes = [scope, ...around];
  let at = start;
  // A scale factor stands behind what it scales, and before the groups: first where everything is, then what it says.
  for (const item of items) {
    if (isGroup(item)) break;
    scope.set(item.name, at);
    at += item.registers;
  }
  at = start;
  for (const item of items) {
    if (reading.values.length >= VALUES_MAX) return at;
    if (!isGroup(item)) {
      if (at + item.registers <= reading.words.length && item.type !== 'pad') {
        reading.values.push(sunspecValue(item, path, at, scopes, reading));
      }
      at += item.registers;
      continue;
    }
    const times = timesOf(item, scopes, reading);
    for (let n = 1; n <= times && at < reading.words.length && reading.values.length < VALUES_MAX; n++) {
      at = group(item, `${path}${item.name}${item.times === 'once' ? '' : n}.`, at, scopes, reading);
    }
  }
  return at;
}

function timesOf({ times }: SunspecGroup, scopes: Scopes, { words }: Reading): number {
  if (times === 'once') return 1;
  if (times === 'fill') return Number.POSITIVE_INFINITY;
  const at = find(times, scopes);
  const count = at === undefined ? undefined : words[at];
  return count === undefined || count === 0xffff ? 0 : count;
}

function find(name: string, scopes: Scopes): number | undefined {
  return scopes.find((scope) => scope.has(name))?.get(name);
}

function sunspecValue(field: SunspecField, path: string, at: number, scopes: Scopes, reading: Reading): SunspecValue {
  const words = reading.words.slice(at, at + field.registers);
  const raw = words.map((word) => word.toString(16).padStart(4, '0')).join(' ');
  const base = { name: `${path}${field.name}`, unit: field.unit, raw, value: null, text: null };
  if (field.type === 'text') {
    const text = decodeText(words, 'big');
    return text === '' ? { ...base, reason: 'not implemented' } : { ...base, text, reason: null };
  }
  const whole = words.reduce((left, word) => (left << 16n) | BigInt(word), 0n);
  if (NOT_IMPLEMENTED[field.type].includes(whole)) {
    return {
      ...base,
      reason: field.type.startsWith('a') ? 'not implemented, or nothing counted yet' : 'not implemented',
    };
  }
  const scaleAt = field.scale === null ? undefined : find(field.scale, scopes);
  if (field.scale !== null && scaleAt !== undefined && reading.words[scaleAt] === 0x8000) {
    return { ...base, reason: `its scale factor ${field.scale} is not implemented` };
  }
  const decoded = decodePart(partOf(field, at, scaleAt), reading.registers, NO_LAYOUT);
  if ('reason' in decoded) {
    return { ...base, reason: decoded.reason === 'not a number' ? 'not implemented' : decoded.reason };
  }
  const exact = field.scale !== null || whole <= BigInt(Number.MAX_SAFE_INTEGER) || field.data.startsWith('s');
  return { ...base, value: decoded.value, text: exact ? null : String(whole), reason: null };
}

function partOf(field: SunspecField, address: number, scaleAt: number | undefined): Part {
  const place = (at: number): Place => ({ table: 'holding', model: null, address: at });
  return {
    ...place(address),
    type: field.data,
    length: field.registers,
    byteOrder: 'big',
    wordOrder: 'big',
    scale: 1,
    offset: 0,
    scaleRegister: scaleAt === undefined ? null : place(scaleAt),
    sentinels: [],
    bits: null,
    times: 1,
  };
}
