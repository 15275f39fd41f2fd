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

/** Splits a text; a byte-order mark and quotes around a field are no part of it. Throws `csv.size`, `csv.header`, `csv.fields`. */
export function readTable(text: string, file: string): Table {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  if (lines.length > LINES_MAX) throw new WattpactError('csv.size', `${file}: more than ${LINES_MAX} lines`);
  const header = fieldsOf(lines[0] ?? '');
  if (text === '') throw new WattpactError('csv.header', `${file}:1: the file is empty`);
  if (header.length === 1 && /[;\t]/.test(header[0] as string)) {
    throw new WattpactError(
      'csv.header',
      `${file}:1: columns are separated by ${header[0]?.includes(';') ? 'semicolons' : 'tabs'}`,
      {
        hint: 'Separate them by commas, and write decimals with a point',
      },
    );
  }
  const twice = header.find((name, i) => name !== '' && header.indexOf(name) !== i);
  if (twice !== undefined) throw new WattpactError('csv.header', `${file}:1: column ${twice} appears twice`);
  return { header, rows: rowsOf(lines, header.length, file) };
}

function* rowsOf(lines: readonly string[], width: number, file: string): Generator<Row> {
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    if (line.trim() === '') continue;
    const fields = fieldsOf(line);
    // A decimal comma makes two fields of a value, and every later value another column's.
    if (fields.length > width) {
      throw new WattpactError('csv.fields', `${file}:${i + 1}: ${fields.length} fields where the header has ${width}`, {
        hint: 'Decimals are written with a point',
      });
    }
    yield { line: i + 1, fields };
  }
}

function fieldsOf(line: string): string[] {
  return line.split(',').map((field) => field.trim().replace(/^"(.*)"$/, '$1'));
}

/** The first line with a time that names no zone, or null. */
export function assumedUtcLine(text: string): number | null {
  const found = /(?:^|,)[ "]*\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?[ "]*(?=,|\r|\n|$)/m.exec(text);
  if (found === null) return null;
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < found.index; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** An instant, UTC unless it says another offset. Throws `csv.time`. */
export function readTime(stamp: string, file: string, line: number): Millis {
  const shown = stamp.replace(' ', 'T');
  const atMs =
    TIME.test(stamp) && isDate(stamp)
      ? Date.parse(/(Z|[+-]\d{2}:?\d{2})$/.test(shown) ? shown : `${shown}Z`)
      : Number.NaN;
  if (Number.isNaN(atMs)) {
    throw new WattpactError('csv.time', `${file}:${line}: not a time: "${stamp}"`, {
      hint: 'Write ISO 8601 in UTC, e.g. 2026-06-22T09:15:00Z',
    });
  }
  return atMs;
}

/** Whether there is such a day: the 30th of February is none. */
function isDate(stamp: string): boolean {
  const [year, month, day] = stamp.slice(0, 10).split('-').map(Number) as [number, number, number];
  return new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
}

/** A number; null where the field says that there is none. Throws `csv.value`. */
export function readNumber(shown: string, file: string, line: number): number | null {
  if (/^(nan|na|n\/a|null|none|)$/i.test(shown)) return null;
  const value = Number(shown);
  if (!Number.isFinite(value)) throw new WattpactError('csv.value', `${file}:${line}: not a number: "${shown}"`);
  return value;
}
