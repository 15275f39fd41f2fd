// What the readers of CSV have in common: fields, instants, lines that name their place.

import { WattpactError } from '../base/errors.ts';
import type { Millis } from '../base/units.ts';

/** Lines read at most: ten years of minutes. */
const LINES_MAX = 5_300_000;
const TIME = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$/;

export interface Row {
  readonly line: number;
  readonly fields: readonly string[];
}

export interface Table {
  readonly header: readonly string[];
  /** What follows the header, once; empty lines are left out. */
  readonly rows: Iterable<Row>;
}

/** Splits a text; a byte-order mark and quotes around a field are no part of it. Throws `csv.size`. */
export function readTable(text: string, file: string): Table {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  if (lines.length > LINES_MAX) throw new WattpactError('csv.size', `${file}: more than ${LINES_MAX} lines`);
  return { header: fieldsOf(lines[0] ?? ''), rows: rowsOf(lines) };
}

function* rowsOf(lines: readonly string[]): Generator<Row> {
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    if (line.trim() !== '') yield { line: i + 1, fields: fieldsOf(line) };
  }
}

function fieldsOf(line: string): string[] {
  return line.split(',').map((field) => field.trim().replace(/^"(.*)"$/, '$1'));
}

/** An instant, UTC unless it says another offset. Throws `csv.time`. */
export function readTime(stamp: string, file: string, line: number): Millis {
  const shown = stamp.replace(' ', 'T');
  const atMs = TIME.test(stamp) ? Date.parse(/(Z|[+-]\d{2}:?\d{2})$/.test(shown) ? shown : `${shown}Z`) : Number.NaN;
  if (Number.isNaN(atMs)) {
    throw new WattpactError('csv.time', `${file}:${line}: not a time: "${stamp}"`, {
      hint: 'Write ISO 8601 in UTC, e.g. 2026-06-22T09:15:00Z',
    });
  }
  return atMs;
}

/** A number; null where the field says that there is none. Throws `csv.value`. */
export function readNumber(shown: string, file: string, line: number): number | null {
  if (/^(nan|na|n\/a|null|none|)$/i.test(shown)) return null;
  const value = Number(shown);
  if (!Number.isFinite(value)) throw new WattpactError('csv.value', `${file}:${line}: not a number: "${shown}"`);
  return value;
}
