// Series from CSV text: `time` (UTC, ISO 8601, start of the step) and columns of measured values.
// Owns the format and its errors (`file:line`), not files and not which series drives what. Pure.
//
// Columns end in their unit: `_w` mean power, `_wh` energy of the step, `_pu` per unit of rated power (kept as it is:
// scaling makes watts of it). Other columns are left alone. The step is the shortest distance of two rows; a missing
// row or an empty field is a gap. Rows must rise in time and lie on the grid that the first row and the step make.

import { WattpactError } from '../base/errors.ts';
import type { Millis } from '../base/units.ts';
import { DAY_MS, type Series } from './physics/series.ts';

/** Largest series: ten years of minutes. */
export const STEPS_MAX = 5_260_000;

export interface CsvColumn {
  /** Name in the header: `pv_w`. */
  readonly column: string;
  /** What it is, the name without the unit: `pv`. */
  readonly kind: string;
  readonly unit: 'w' | 'wh' | 'pu';
  readonly series: Series;
}

/** Largest mean power of a step, W (or energy, Wh), and largest share of the rated power. */
const POWER_W_MAX = 4_000_000_000;
const PER_UNIT_MAX = 10;

const COLUMN = /^([a-z][a-z0-9_]*)_(w|wh|pu)$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?Z$/;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

interface Row {
  readonly line: number;
  readonly atMs: Millis;
  readonly fields: readonly string[];
}

/** Every measured column of a CSV text. Throws `series.csv` with `file:line`. */
export function parseSeriesCsv(text: string, file: string): readonly CsvColumn[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const header = (lines[0] ?? '').split(',').map((name) => name.trim());
  if (text.trim() === '') throw wrong(file, 1, 'the file is empty');
  if (/^"?time"?[;\t]/.test(lines[0] as string))
    throw wrong(file, 1, 'columns are separated by commas, and decimals written with a point');
  const twice = header.find((name, i) => name !== '' && header.indexOf(name) !== i);
  if (twice !== undefined) throw wrong(file, 1, `column ${twice} appears twice`);
  if (header[0] !== 'time') throw wrong(file, 1, `the first column must be 'time', not '${header[0]}'`);
  const columns = header.flatMap((column, index) => {
    const match = COLUMN.exec(column);
    return match === null ? [] : [{ column, index, kind: match[1] as string, unit: match[2] as CsvColumn['unit'] }];
  });
  if (columns.length === 0) throw wrong(file, 1, 'no column ends in _w, _wh or _pu');

  const rows = parseRows(lines, header.length, file);
  const first = rows[0];
  const last = rows.at(-1);
  if (first === undefined || last === undefined || rows.length < 2) {
    throw wrong(file, lines.length, 'fewer than two rows: the step is unknown');
  }
  const stepMs = shortestStep(rows);
  if (DAY_MS % stepMs !== 0) throw wrong(file, 2, `a step of ${stepMs / 1000} s does not divide a day`);
  const steps = (last.atMs - first.atMs) / stepMs + 1;
  if (steps > STEPS_MAX) throw wrong(file, last.line, `more than ${STEPS_MAX} steps from the first row to the last`);
  if (steps * stepMs < DAY_MS) throw wrong(file, last.line, 'less than one day');

  const values = columns.map(() => new Float64Array(Math.floor(steps)).fill(Number.NaN));
  for (const row of rows) {
    const step = (row.atMs - first.atMs) / stepMs;
    if (!Number.isInteger(step))
      throw wrong(file, row.line, `not on the grid of ${stepMs / 1000} s from the first row`);
    columns.forEach((column, i) => {
      const field = (row.fields[column.index] ?? '').trim();
      if (field === '') return;
      if (!NUMBER.test(field)) throw wrong(file, row.line, `${column.column} is not a number: '${field.slice(0, 40)}'`);
      const value = Number(field);
      const most = column.unit === 'pu' ? PER_UNIT_MAX : POWER_W_MAX;
      if (Math.abs(value) > most)
        throw wrong(file, row.line, `${column.column} is ${field.slice(0, 40)}, more than the ${most} that can be`);
      values[i]![step] = column.unit === 'wh' ? (value * 3_600_000) / stepMs : value;
    });
  }
  return columns.map(({ column, kind, unit }, i) => ({
    column,
    kind,
    unit,
    series: { name: `${file}:${column}`, startMs: first.atMs, stepMs, powerW: values[i] as Float64Array },
  }));
}

function parseRows(lines: readonly string[], width: number, file: string): Row[] {
  const rows: Row[] = [];
  let beforeMs = Number.NEGATIVE_INFINITY;
  for (let i = 1; i < lines.length; i++) {
    const text = lines[i] as string;
    if (text.trim() === '') continue;
    const fields = text.split(',');
    if (fields.length !== width) throw wrong(file, i + 1, `${fields.length} fields where the header has ${width}`);
    const time = (fields[0] as string).trim();
    const atMs = TIME.test(time) ? Date.parse(time) : Number.NaN;
    if (Number.isNaN(atMs) || new Date(atMs).toISOString().slice(0, 10) !== time.slice(0, 10))
      throw wrong(file, i + 1, `time must be UTC like 2026-06-21T10:15:00Z, not '${time.slice(0, 40)}'`);
    if (atMs <= beforeMs) throw wrong(file, i + 1, 'time does not rise');
    beforeMs = atMs;
    rows.push({ line: i + 1, atMs, fields });
    if (rows.length > STEPS_MAX) throw wrong(file, i + 1, `more than ${STEPS_MAX} rows`);
  }
  return rows;
}

function shortestStep(rows: readonly Row[]): Millis {
  let shortest = Number.POSITIVE_INFINITY;
  for (let i = 1; i < rows.length; i++) shortest = Math.min(shortest, rows[i]!.atMs - rows[i - 1]!.atMs);
  return shortest;
}

function wrong(file: string, line: number, what: string): WattpactError {
  return new WattpactError('series.csv', `${file}:${line} ${what}`);
}
