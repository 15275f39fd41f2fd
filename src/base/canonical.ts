// Canonical JSON: RFC 8785 restricted to safe integers, strings, booleans, null, arrays and objects.
// One value has one byte sequence. Owns encoding and strict decoding; knows nothing of messages.
//
// Restrictions beyond RFC 8785: no fractions or exponents, no -0, no lone surrogates, strings in NFC, no `__proto__`
// key, at most DEPTH_MAX levels. Keys are sorted by UTF-16 code units, as RFC 8785 section 3.2.3 says.

import { utf8 } from './bytes.ts';
import { WattpactError } from './errors.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** Deepest nesting accepted in a canonical value. */
export const DEPTH_MAX = 32;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Texts of values that came in canonical form: what is passed on as it came is not written anew, however often. */
const known = new WeakMap<object, string>();

/** Remembers the canonical text of a value that nobody changes from here on. */
export function rememberText(value: object, text: string): void {
  known.set(value, text);
}

/** Canonical text of a value; throws `canonical.*` errors for what has no canonical form. */
export function canonicalText(value: Json): string {
  return encode(value, 0);
}

/** Canonical UTF-8 bytes of a value. */
export function canonicalBytes(value: Json): Uint8Array {
  return utf8(encode(value, 0));
}

/**
 * Decodes bytes that must already be canonical: the value re-encodes to exactly these bytes.
 * Throws `canonical.utf8`, `canonical.json` or `canonical.form`.
 */
export function parseCanonical(bytes: Uint8Array): Json {
  return parseCanonicalText(decodeText(bytes));
}

/** Bytes to text; throws `canonical.utf8`. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new WattpactError('canonical.utf8', 'not valid UTF-8', { cause });
  }
}

/** The value of a text that must be canonical; throws `canonical.json` or `canonical.form`. */
export function parseCanonicalText(text: string): Json {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (cause) {
    throw new WattpactError('canonical.json', 'not valid JSON', { cause });
  }
  if (encode(value, 0) !== text) throw new WattpactError('canonical.form', 'not in canonical form');
  return value;
}

function encode(value: Json, depth: number): string {
  if (depth > DEPTH_MAX) throw new WattpactError('canonical.depth', `nested deeper than ${DEPTH_MAX} levels`);
  if (value === null) return 'null';
  switch (typeof value) {
    case 'boolean':
      return value ? 'true' : 'false';
    case 'number':
      if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
        throw new WattpactError('canonical.number', `not a safe integer: ${value}`);
      }
      return String(value);
    case 'string':
      return encodeString(value);
    case 'object':
      return isArray(value) ? encodeArray(value, depth) : (known.get(value) ?? encodeObject(value, depth));
    default:
      throw new WattpactError('canonical.type', `a ${typeof value} has no canonical form`);
  }
}

/** Printable ASCII that JSON escapes nowhere: well-formed and in NFC as it stands. */
const PLAIN = /^[ !#-[\]-~]*$/;

function encodeString(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new WattpactError('canonical.surrogate', 'string has a lone surrogate');
  if (text.normalize('NFC') !== text) throw new WattpactError('canonical.nfc', 'string is not in NFC');
  return JSON.stringify(text);
}

function encodeArray(values: readonly Json[], depth: number): string {
  let text = '[';
  for (let i = 0; i < values.length; i++) {
    if (i > 0) text += ',';
    text += encode(values[i] as Json, depth + 1);
  }
  return `${text}]`;
}

function encodeObject(value: JsonObject, depth: number): string {
  const keys = Object.keys(value);
  if (!areSorted(keys)) keys.sort(byCodeUnits);
  let text = '{';
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    if (key === '__proto__') throw new WattpactError('canonical.key', 'the key __proto__ is not allowed');
    if (i > 0) text += ',';
    text += `${encodeString(key)}:${encode(value[key] as Json, depth + 1)}`;
  }
  return `${text}}`;
}

/** What was decoded from canonical text stands in order already. */
function areSorted(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) if ((keys[i - 1] as string) > (keys[i] as string)) return false;
  return true;
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isArray(value: readonly Json[] | JsonObject): value is readonly Json[] {
  return Array.isArray(value);
}
