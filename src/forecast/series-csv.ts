// A measured series as CSV text: `time` (ISO 8601 UTC, start of a step) and value columns `*_w`, `*_wh` or `*_pu`.
// Owns the reading: units, the grid, averaging to a longer step. Every error names its line.

import { WattpactError } from '../base/errors.ts';
import { type Millis, meanPowerW, type Watts } from '../base/units.ts';
import type { Sample } from './types.ts';

/** Lines read at most: ten years of minutes. */
const LINES_MAX = 5_300_000;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|\+00:00)$/;

export interface MeasuredSeries {
  readonly column: string;
  readonly sourceStepMs: Millis;
  /** In order, on the grid of `stepMs`; gaps are not there. */
  readonly samples: readonly Sample[];
}

/** Reads a column (the first after `time` unless named) as mean power of steps. Throws `csv.*`. */
export function readSeries(text: string, file: string, stepMs: Millis, column?: string): MeasuredSeries {
  const lines = text.split(/\r?\n/);
  if (lines.length > LINES_MAX) throw new WattpactError('csv.size', `${file}: more than ${LINES_MAX} lines`);
  const header = (lines[0] ?? '').split(',').map((name) => name.trim());
  const timeAt = header.indexOf('time');
  if (timeAt < 0) throw new WattpactError('csv.header', `${file}:1: no column "time"`);
  const wanted = column ?? header.find((name) => /_(w|wh|pu)$/.test(name));
  const valueAt = wanted === undefined ? -1 : header.indexOf(wanted);
  if (wanted === undefined || valueAt < 0) {
    throw new WattpactError('csv.header', `${file}:1: no column ${wanted ?? 'that ends in _w, _wh or _pu'}`, {
      hint: `Columns: ${header.join(', ')}`,
    });
  }
  const times: number[] = [];
  const values: number[] = [];
  let sourceStepMs = Number.POSITIVE_INFINITY;
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    if (line === '') continue;
    const fields = line.split(',');
    const stamp = fields[timeAt]?.trim() ?? '';
    const atMs = TIME.test(stamp) ? Date.parse(stamp) : Number.NaN;
    if (Number.isNaN(atMs)) throw new WattpactError('csv.time', `${file}:${i + 1}: not a time in UTC: "${stamp}"`);
    const before = times.at(-1);
    if (before !== undefined && atMs <= before) {
      throw new WattpactError('csv.order', `${file}:${i + 1}: ${stamp} is not after the line before`);
    }
    if (before !== undefined) sourceStepMs = Math.min(sourceStepMs, atMs - before);
    const shown = fields[valueAt]?.trim() ?? '';
    if (shown === '' || /^nan$/i.test(shown)) continue;
    const value = Number(shown);
    if (!Number.isFinite(value)) throw new WattpactError('csv.value', `${file}:${i + 1}: not a number: "${shown}"`);
    times.push(atMs);
    values.push(value);
  }
  if (times.length < 2) throw new WattpactError('csv.empty', `${file}: fewer than two values in ${wanted}`);
  if (sourceStepMs > stepMs || stepMs % sourceStepMs !== 0) {
    throw new WattpactError('csv.step', `${file}: its step of ${sourceStepMs / 60_000} min does not fit into --step`, {
      hint: 'Give a multiple of it, e.g. --step 60m',
    });
  }
  const powers = wanted.endsWith('_wh') ? values.map((value) => meanPowerW(value, sourceStepMs)) : values;
  return { column: wanted, sourceStepMs, samples: averaged(times, powers, sourceStepMs, stepMs) };
}

/** Means over `stepMs`; a step that is not whole is a gap. */
function averaged(times: readonly Millis[], powers: readonly Watts[], sourceStepMs: Millis, stepMs: Millis): Sample[] {
  const samples: Sample[] = [];
  const parts = stepMs / sourceStepMs;
  let [startMs, sum, count] = [Number.NaN, 0, 0];
  const close = (): void => {
    if (count === parts) samples.push({ startMs, powerW: sum / count });
  };
  times.forEach((atMs, i) => {
    const start = Math.floor(atMs / stepMs) * stepMs;
    if (start !== startMs) {
      close();
      [startMs, sum, count] = [start, 0, 0];
    }
    sum += powers[i] as number;
    count++;
  });
  close();
  return samples;
}
