// Hand-made CSV files: what is wrong is said with its line, and nothing is read as something else.

import { expect, test } from 'vitest';
import { describeError } from '../../src/base/errors.ts';
import { assumedUtcLine } from '../../src/forecast/csv.ts';
import { readSeries } from '../../src/forecast/series-csv.ts';
import { readWeather } from '../../src/forecast/weather-csv.ts';

const SERIES = 'time,load_w\n2026-06-01T00:00Z,300\n2026-06-01T00:15Z,310\n2026-06-01T00:30Z,320\n';
const WEATHER =
  'issued,time,temperature_c\n2026-06-01T00:00Z,2026-06-01T01:00Z,20\n2026-06-01T00:00Z,2026-06-01T02:00Z,21\n';

function told(read: (text: string, file: string) => unknown, text: string): string {
  try {
    read(text, 'a.csv');
  } catch (error) {
    return describeError(error);
  }
  return '';
}
const series = (text: string, file: string): unknown => readSeries(text, file, 900_000);

test.each<[string, (text: string, file: string) => unknown, string, RegExp | '']>([
  ['nothing', series, SERIES, ''],
  ['CRLF', series, SERIES.replaceAll('\n', '\r\n'), ''],
  ['a byte-order mark', series, `\uFEFF${SERIES}`, ''],
  ['an empty file', series, '', /^a\.csv:1: the file is empty/],
  [
    'semicolons',
    series,
    SERIES.replaceAll(',', ';'),
    /^a\.csv:1: columns are separated by semicolons\. Separate them by commas/,
  ],
  ['tabs', series, SERIES.replaceAll(',', '\t'), /^a\.csv:1: columns are separated by tabs/],
  [
    'a decimal comma',
    series,
    SERIES.replace('310', '310,5'),
    /^a\.csv:3: 3 fields where the header has 2\. Decimals are written with a point/,
  ],
  ['a column twice', series, SERIES.replace('load_w', 'load_w,load_w'), /^a\.csv:1: column load_w appears twice/],
  [
    'a day that is none',
    series,
    SERIES.replace('2026-06-01T00:15', '2026-06-31T00:15'),
    /^a\.csv:3: not a time: "2026-06-31T00:15Z"/,
  ],
  [
    'a time as people write it',
    series,
    SERIES.replace('2026-06-01T00:15Z', '01.06.2026 00:15'),
    /^a\.csv:3: not a time/,
  ],
  [
    'what nobody can measure',
    series,
    SERIES.replace('310', '1e12'),
    /^a\.csv:3: load_w is 1000000000000, beyond anything/,
  ],
  ['a unit', series, SERIES.replace('310', '310 W'), /^a\.csv:3: not a number: "310 W"/],
  ['weather', readWeather, WEATHER, ''],
  [
    'weather with a decimal comma',
    readWeather,
    WEATHER.replace('21', '21,5'),
    /^a\.csv:3: 4 fields where the header has 3/,
  ],
  [
    'weather of a day that is none',
    readWeather,
    WEATHER.replace('2026-06-01T02', '2026-02-30T02'),
    /^a\.csv:3: not a time/,
  ],
])('%s', (_name, read, text, expected) => {
  if (expected === '') expect(told(read, text)).toBe('');
  else expect(told(read, text)).toMatch(expected);
});

test.each<[string, number | null]>([
  [SERIES, null],
  [SERIES.replace('00:15Z', '00:15'), 3],
  [SERIES.replace('00:15Z', '00:15+02:00'), null],
  [SERIES.replace('2026-06-01T00:30Z', '"2026-06-01 00:30:00"'), 4],
  [SERIES.replaceAll('Z', '').replaceAll('\n', '\r\n'), 2],
  [WEATHER.replace('02:00Z', '02:00'), 3],
])('the first time without a zone: %j', (text, line) => {
  expect(assumedUtcLine(text)).toBe(line);
});
