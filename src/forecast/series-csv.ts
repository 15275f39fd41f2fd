// A measured series as CSV text: `time` (ISO 8601 UTC, start of a step) and value columns `*_w`, `*_wh` or `*_pu`.
// Owns the reading: units, the grid, averaging to a longer step. Every error names its line.

import { WattpactError } from '../base/errors.ts';
import { type Millis, meanPowerW, type Watts } from '../base/units.ts';
import { readNumber, readTable, readTime } from './csv.ts';
import type { Sample } from './types.ts';

/** Largest mean power: as a connection of the market may have. */
const POWER_W_MAX = 4_000_000_000;

export interface MeasuredSeries {
  readonly column: string;
  readonly sourceStepMs: Millis;
  /** In order, on the grid of `stepMs`; gaps are not there. */
  readonly samples: readonly Sample[];
  /** Steps of the source with two different values: neither is believed. */
  readonly contradictions: number;
}

/**
 * Reads a column (the first after `time` unless named) as mean power of steps, in whatever order the rows are. A series with a longer step is
 * refused, or `held`: each of its values stands for all the steps in it. Throws `csv.*`.
 */
export function readSeries(
  text: string,
  file: string,
  stepMs: Millis,
  column?: string,
  longer: 'refused' | 'held' = 'refused',
): MeasuredSeries {
  const { header, rows } = readTable(text, file);
  const timeAt = header.indexOf('time');
  if (timeAt < 0) throw new WattpactError('csv.header', `${file}:1: no column "time"`);
  const wanted = column ?? header.find((name) => /_(w|wh|pu)$/.test(name));
  const valueAt = wanted === undefined ? -1 : header.indexOf(wanted);
  if (wanted === undefined || valueAt < 0) {
    throw new WattpactError('csv.header', `${file}:1: no column ${wanted ?? 'that ends in _w, _wh or _pu'}`, {
      hint: `Columns: ${header.join(', ')}`,
    });
  }
  const values = new Map<Millis, number | null>();
  for (const { line, fields } of rows) {
    const atMs = readTime(fields[timeAt] ?? '', file, line);
    const value = readNumber(fields[valueAt] ?? '', file, line);
    if (value === null) continue;
    if (Math.abs(value) > POWER_W_MAX) {
      throw new WattpactError(
        'csv.value',
        `${file}:${line}: ${wanted} is ${value}, beyond anything that can be measured`,
        {
          hint: `Largest is ${POWER_W_MAX}; _w are watts, _wh watt-hours of a step`,
        },
      );
    }
    const other = values.get(atMs);
    values.set(atMs, other === undefined || other === value ? value : null);
  }
  if (values.size < 2) throw new WattpactError('csv.empty', `${file}: fewer than two values in ${wanted}`);
  const times = [...values.keys()].sort((a, b) => a - b);
  const sourceStepMs = usualStep(times);
  if (sourceStepMs > stepMs && longer === 'refused') {
    throw new WattpactError('csv.step', `${file}: its step of ${sourceStepMs / 60_000} min is longer than --step`, {
      hint: `Give at least as much, e.g. --step ${sourceStepMs / 60_000}m`,
    });
  }
  const powers = times.map((atMs) => {
    const value = values.get(atMs) ?? null;
    return value !== null && wanted.endsWith('_wh') ? meanPowerW(value, sourceStepMs) : value;
  });
  return {
    column: wanted,
    sourceStepMs,
    samples: averaged(times, powers, sourceStepMs, stepMs),
    contradictions: powers.filter((powerW) => powerW === null).length,
  };
}

/** The distance that most rows have from the next one: a stray row does not make a series finer than it is. */
function usualStep(times: readonly Millis[]): Millis {
  const counts = new Map<Millis, number>();
  let best = (times[1] as number) - (times[0] as number);
  for (let i = 1; i < times.length; i++) {
    const distance = (times[i] as number) - (times[i - 1] as number);
    const count = (counts.get(distance) ?? 0) + 1;
    counts.set(distance, count);
    if (count > (counts.get(best) ?? 0)) best = distance;
  }
  return best;
}

/** Means over `stepMs`, each row counting for as long as it reaches into a step; a step that is not whole is a gap. */
function averaged(
  times: readonly Millis[],
  powers: readonly (Watts | null)[],
  sourceStepMs: Millis,
  stepMs: Millis,
): Sample[] {
  const samples: Sample[] = [];
  let [startMs, sum, knownMs] = [Number.NaN, 0, 0];
  const close = (): void => {
    if (knownMs >= stepMs) samples.push({ startMs, powerW: sum / knownMs });
  };
  times.forEach((atMs, i) => {
    const powerW = powers[i] ?? null;
    const endMs = Math.min(atMs + sourceStepMs, times[i + 1] ?? Number.POSITIVE_INFINITY);
    for (let fromMs = atMs; fromMs < endMs; ) {
      const start = Math.floor(fromMs / stepMs) * stepMs;
      if (start !== startMs) {
        close();
        [startMs, sum, knownMs] = [start, 0, 0];
      }
      const untilMs = Math.min(endMs, start + stepMs);
      if (powerW !== null) {
        sum += powerW * (untilMs - fromMs);
        knownMs += untilMs - fromMs;
      }
      fromMs = untilMs;
    }
  });
  close();
  return samples;
}
