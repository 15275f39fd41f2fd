import { describe, expect, test } from 'vitest';
import { parseSeriesCsv } from '../../src/simulator/csv.ts';
import { loopSteps, stepAt } from '../../src/simulator/physics/series.ts';

const START_MS = Date.parse('2026-06-01T00:00:00Z');

function day(column: string, value: (quarter: number) => string | null): string {
  const rows = Array.from({ length: 96 }, (_, i) => [new Date(START_MS + i * 900_000).toISOString(), value(i)]);
  return [`time,${column}`, ...rows.filter((row) => row[1] !== null).map((row) => row.join(','))].join('\n');
}

describe('a CSV series', () => {
  test('reads mean powers, energies and several columns, and leaves others alone', () => {
    const text = day('pv_w,load_wh,note,wind_pu', (i) => `${i * 10},100,x,0.5`);
    const columns = parseSeriesCsv(text, 'a.csv');
    expect(columns.map(({ column, kind, unit }) => [column, kind, unit])).toEqual([
      ['pv_w', 'pv', 'w'],
      ['load_wh', 'load', 'wh'],
      ['wind_pu', 'wind', 'pu'],
    ]);
    expect(columns[0]!.series.powerW[3]).toBe(30);
    expect(columns[1]!.series.powerW[3]).toBe(400);
    expect(columns[0]!.series).toMatchObject({ startMs: START_MS, stepMs: 900_000, name: 'a.csv:pv_w' });
  });

  test('keeps gaps: a missing row and an empty field have no value', () => {
    const { series } = parseSeriesCsv(
      day('pv_w', (i) => (i === 4 ? null : i === 5 ? '' : '7')),
      'a.csv',
    )[0]!;
    expect([...series.powerW.slice(3, 7)]).toEqual([7, Number.NaN, Number.NaN, 7]);
    expect(stepAt(series, START_MS + 4 * 900_000)).toEqual({ powerW: 0, gap: true, endMs: START_MS + 5 * 900_000 });
  });

  const bad: [string, string, string][] = [
    ['no time column', 'when,pv_w\n', "a.csv:1 the first column must be 'time', not 'when'"],
    ['no value column', 'time,pv\n', 'a.csv:1 no column ends in _w, _wh or _pu'],
    ['one row', 'time,pv_w\n2026-06-01T00:00:00Z,1\n', 'a.csv:3 fewer than two rows: the step is unknown'],
    ['local time', 'time,pv_w\n2026-06-01T00:00:00+02:00,1\n', 'a.csv:2 time must be UTC like 2026-06-21T10:15:00Z'],
    ['no such day', 'time,pv_w\n2026-02-31T00:00:00Z,1\n', 'a.csv:2 time must be UTC'],
    ['time that falls', 'time,pv_w\n2026-06-01T01:00:00Z,1\n2026-06-01T00:00:00Z,1\n', 'a.csv:3 time does not rise'],
    ['a field too many', 'time,pv_w\n2026-06-01T00:00:00Z,1,2\n', 'a.csv:2 3 fields where the header has 2'],
    ['a word', day('pv_w', (i) => (i === 9 ? 'NaN' : '1')), "a.csv:11 pv_w is not a number: 'NaN'"],
    [
      'too large',
      day('pv_w', (i) => (i === 9 ? '1e999' : '1')),
      'a.csv:11 pv_w is 1e999, more than the 4000000000 that can be',
    ],
    ['off the grid', `${day('pv_w', () => '1')}\n2026-06-02T00:07:00Z,1`, 'a.csv:98 not on the grid of 900 s'],
    ['half a day', day('pv_w', (i) => (i < 48 ? '1' : null)), 'a.csv:49 less than one day'],
  ];
  test.each(bad)('refuses %s by file and line', (_, text, message) => {
    expect(() => parseSeriesCsv(text, 'a.csv')).toThrow(message);
  });
});

describe('the steps of a series', () => {
  const series = (days: number) => ({
    name: 's',
    startMs: START_MS,
    stepMs: 21_600_000,
    powerW: Float64Array.from({ length: days * 4 }, (_, i) => i),
  });

  test('repeats by whole weeks, or by whole days when shorter', () => {
    expect(loopSteps(series(17))).toBe(14 * 4);
    expect(loopSteps(series(5))).toBe(20);
    expect(stepAt(series(5), START_MS + 5 * 86_400_000).powerW).toBe(0);
    expect(stepAt(series(5), START_MS - 1).powerW).toBe(19);
  });

  test('a gap is bridged by the same time of the nearest day, and says so', () => {
    const gappy = series(5);
    gappy.powerW[8] = Number.NaN;
    gappy.powerW[4] = Number.NaN;
    expect(stepAt(gappy, START_MS + 2 * 86_400_000)).toMatchObject({ powerW: 12, gap: true });
    expect(stepAt(gappy, START_MS + 86_400_000)).toMatchObject({ powerW: 0, gap: true });
  });
});
