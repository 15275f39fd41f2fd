// Registers to values and back. Pure.
// Source: MODBUS Application Protocol V1.1b3 section 4.3 (big-endian registers); the order of words is each maker's own.

import { WattpactError } from '../base/errors.ts';
import type { Part, Place, Table } from '../site/types.ts';

/** Where a device has a SunSpec model: protocol address of its ID register, and how many registers follow its header. */
export interface ModelAt {
  readonly address: number;
  readonly length: number;
}

/** SunSpec model -> where it is. Empty for devices with fixed addresses. */
export type Layout = ReadonlyMap<number, ModelAt>;
export const NO_LAYOUT: Layout = new Map();

/** Looks a register (or coil) up; undefined: not read. */
export type Registers = (table: Table, address: number) => number | undefined;

export type Decoded = { readonly value: number } | { readonly reason: string };

/** SunSpec scale factors are powers of ten from -10 to 10; anything else is a sentinel or damage. */
const SCALE_EXPONENT_MAX = 10;

/** Registers of a SunSpec model's header (ID and length). */
const MODEL_HEADER = 2;

/** Protocol address of a place; null when the device has no such SunSpec model, or one that ends before it. */
export function addressOf(place: Place & { readonly length?: number }, layout: Layout): number | null {
  if (place.model === null) return place.address;
  const model = layout.get(place.model);
  if (model === undefined || place.address + (place.length ?? 1) > model.length + MODEL_HEADER) return null;
  return model.address + place.address;
}

/** The part itself, or the first of its alternatives that the device has. */
export function partAt(part: Part, layout: Layout): Part {
  return alternativesOf(part).find((at) => addressOf(at, layout) !== null) ?? part;
}

/** The part and its alternatives. */
export function alternativesOf(part: Part): Part[] {
  return part.or === undefined ? [part] : [part, ...alternativesOf(part.or)];
}

/** The value of one part, or why there is none. A missing value is never 0. */
export function decodePart(wanted: Part, registers: Registers, layout: Layout): Decoded {
  const part = partAt(wanted, layout);
  const start = addressOf(part, layout);
  if (start === null) return { reason: notThere(part, layout) };
  const words: number[] = [];
  for (let i = 0; i < part.length; i++) {
    const word = registers(part.table, start + i);
    if (word === undefined) return { reason: `${part.table} ${start + i} not read` };
    words.push(word);
  }
  const exponent = scaleExponent(part, registers, layout);
  if (typeof exponent === 'string') return { reason: exponent };
  const raw = decodeRaw(part, words);
  if ('reason' in raw) return raw;
  return { value: (scaled(raw.value, exponent, part.scale) + part.offset) * part.times };
}

/** A text: registers as ASCII, cut at the first NUL, trimmed. */
export function decodeText(words: readonly number[], byteOrder: Part['byteOrder']): string {
  const bytes = words.flatMap((word) => (byteOrder === 'big' ? [word >> 8, word & 0xff] : [word & 0xff, word >> 8]));
  const end = bytes.indexOf(0);
  const printable = (end < 0 ? bytes : bytes.slice(0, end)).filter((byte) => byte >= 0x20 && byte < 0x7f);
  return String.fromCharCode(...printable).trim();
}

/**
 * Registers (or coils) that carry `value`. `current` gives the scale register and, for a field of bits, the other bits.
 * Errors: `fieldbus.range` when the value does not fit the register.
 */
export function encodePart(wanted: Part, value: number, current: Registers, layout: Layout): number[] {
  const part = partAt(wanted, layout);
  const exponent = scaleExponent(part, current, layout);
  if (typeof exponent === 'string') throw new WattpactError('fieldbus.scale', `cannot write: ${exponent}`);
  const unscaled = (value / part.times - part.offset) / (part.scale * 10 ** exponent);
  if (part.type === 'f32' || part.type === 'f64') return wordsOfFloat(part, unscaled);
  if (part.type === 'bit') return [unscaled === 0 ? 0 : 1];
  const rounded = Math.round(unscaled);
  const { min, max } = rawRange(part);
  if (!(rounded >= min && rounded <= max)) {
    throw new WattpactError('fieldbus.range', `${value} does not fit ${part.type} at ${part.table} ${part.address}`, {
      hint: `the register holds ${min} to ${max} before scaling`,
    });
  }
  if (part.type === 'bcd') return wordsOfRaw(part, bcdOf(rounded));
  let raw = BigInt(rounded);
  if (part.bits !== null) {
    const mask = (1n << BigInt(part.bits.count)) - 1n;
    const before = rawOf(part, currentWords(part, current, layout));
    raw = (before & ~(mask << BigInt(part.bits.from))) | ((raw & mask) << BigInt(part.bits.from));
  }
  return wordsOfRaw(part, BigInt.asUintN(16 * part.length, raw));
}

/** Registers of a text, padded with NUL. */
export function encodeText(text: string, length: number): number[] {
  const byte = (i: number): number => (i < text.length ? text.charCodeAt(i) & 0x7f : 0);
  return Array.from({ length }, (_, i) => (byte(2 * i) << 8) | byte(2 * i + 1));
}

/** Smallest and largest unscaled integer of an integer part. */
export function rawRange(part: Part): { readonly min: number; readonly max: number } {
  if (part.bits !== null) return { min: 0, max: 2 ** part.bits.count - 1 };
  const width = 16 * part.length;
  if (part.type === 'bcd') return { min: 0, max: Math.min(10 ** (width / 4) - 1, Number.MAX_SAFE_INTEGER) };
  if (part.type.startsWith('s')) return { min: -(2 ** (width - 1)), max: 2 ** (width - 1) - 1 };
  return { min: 0, max: 2 ** width - 1 };
}

function decodeRaw(part: Part, words: readonly number[]): Decoded {
  if (part.type === 'bit') return { value: (words[0] as number) === 0 ? 0 : 1 };
  if (part.type === 'string') return { reason: 'a text is not a number' };
  const raw = rawOf(part, words);
  if (part.sentinels.includes(raw)) return { reason: `sentinel 0x${raw.toString(16).padStart(part.length * 4, '0')}` };
  if (part.type === 'f32' || part.type === 'f64') return float(part, raw);
  if (part.type === 'bcd') return bcd(raw, part.length);
  if (part.bits !== null) {
    return { value: Number((raw >> BigInt(part.bits.from)) & ((1n << BigInt(part.bits.count)) - 1n)) };
  }
  const integer = part.type.startsWith('s') ? BigInt.asIntN(16 * part.length, raw) : raw;
  return { value: Number(integer) };
}

function float(part: Part, raw: bigint): Decoded {
  const view = new DataView(new ArrayBuffer(8));
  let value: number;
  if (part.type === 'f32') {
    view.setUint32(0, Number(raw));
    value = view.getFloat32(0);
  } else {
    view.setBigUint64(0, raw);
    value = view.getFloat64(0);
  }
  return Number.isFinite(value) ? { value } : { reason: Number.isNaN(value) ? 'not a number' : 'infinite' };
}

function bcd(raw: bigint, length: number): Decoded {
  const digits = raw.toString(16).padStart(4 * length, '0');
  return /^\d+$/.test(digits) ? { value: Number(digits) } : { reason: `not BCD: 0x${digits}` };
}

function bcdOf(value: number): bigint {
  return BigInt(`0x${value}`);
}

/** The raw value with the most significant word and byte first, unsigned. */
function rawOf(part: Part, words: readonly number[]): bigint {
  const ordered = part.wordOrder === 'big' ? words : [...words].reverse();
  return ordered.reduce((raw, word) => (raw << 16n) | BigInt(part.byteOrder === 'big' ? word : swapBytes(word)), 0n);
}

function wordsOfRaw(part: Part, raw: bigint): number[] {
  const words = Array.from({ length: part.length }, (_, i) => {
    const word = Number((raw >> BigInt(16 * (part.length - 1 - i))) & 0xffffn);
    return part.byteOrder === 'big' ? word : swapBytes(word);
  });
  return part.wordOrder === 'big' ? words : words.reverse();
}

function wordsOfFloat(part: Part, value: number): number[] {
  const view = new DataView(new ArrayBuffer(8));
  if (part.type === 'f32') {
    view.setFloat32(0, value);
    return wordsOfRaw(part, BigInt(view.getUint32(0)));
  }
  view.setFloat64(0, value);
  return wordsOfRaw(part, view.getBigUint64(0));
}

function currentWords(part: Part, current: Registers, layout: Layout): number[] {
  const start = addressOf(part, layout) ?? 0;
  return Array.from({ length: part.length }, (_, i) => current(part.table, start + i) ?? 0);
}

function notThere({ model, address }: Place, layout: Layout): string {
  if (model === null || !layout.has(model)) return `the device has no SunSpec model ${model}`;
  return `the device's SunSpec model ${model} ends before ${address}`;
}

function swapBytes(word: number): number {
  return ((word & 0xff) << 8) | (word >> 8);
}

/** Division keeps what a multiplication by 0.1 loses: 2301 at -1 is 230.1. */
function scaled(raw: number, exponent: number, scale: number): number {
  const value = exponent < 0 ? raw / 10 ** -exponent : raw * 10 ** exponent;
  const inverse = 1 / scale;
  return Math.abs(scale) < 1 && Number.isInteger(round9(inverse)) ? value / round9(inverse) : value * scale;
}

function round9(value: number): number {
  return Math.round(value * 1e9) / 1e9;
}

function scaleExponent(part: Part, registers: Registers, layout: Layout): number | string {
  if (part.scaleRegister === null) return 0;
  const address = addressOf(part.scaleRegister, layout);
  if (address === null) return notThere(part.scaleRegister, layout);
  const word = registers(part.scaleRegister.table, address);
  if (word === undefined) return `scale register ${address} not read`;
  const exponent = word > 0x7fff ? word - 0x1_0000 : word;
  if (Math.abs(exponent) > SCALE_EXPONENT_MAX) return `scale register ${address} says 10^${exponent}`;
  return exponent;
}
