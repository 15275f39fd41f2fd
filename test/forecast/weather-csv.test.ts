import { expect, test } from 'vitest';
import { readWeather } from '../../src/forecast/weather-csv.ts';

const read = (text: string) => readWeather(text, 'w.csv');

test('a forecast for each issue; what is not there is unknown, and so is what no weather can be', () => {
  const [first, second, ...others] = read(
    [
      'issued,time,temperature_c,wind100_ms',
      '2026-01-01T06:00Z,2026-01-01T07:00Z,5,nan',
      '2026-01-01T00:07:00Z,2026-01-01T00:00:00Z,1,3',
      '2026-01-01T00:07:00Z,2026-01-01T02:00:00Z,-273,4',
    ].join('\n'),
  );
  expect(others).toEqual([]);
  expect(first).toMatchObject({ issuedMs: Date.UTC(2026, 0, 1, 0, 7), startMs: Date.UTC(2026, 0, 1) });
  expect([...(first?.values.temperatureC ?? [])]).toEqual([1, Number.NaN, Number.NaN]);
  expect([...(first?.values.windHubMs ?? [])]).toEqual([3, Number.NaN, 4]);
  expect(first?.values.radiationWm2.every(Number.isNaN)).toBe(true);
  expect(second?.values.windHubMs[0]).toBeNaN();
});

const wrong: [string, string, string][] = [
  ['no issue', 'time,temperature_c\n', 'w.csv:1: columns issued, time'],
  ['no variable', 'issued,time,humidity\n', 'at least one variable'],
  [
    'a quarter of an hour',
    'issued,time,temperature_c\n2026-01-01T00:00Z,2026-01-01T00:15Z,1\n',
    'w.csv:2: time is not',
  ],
  ['no number', 'issued,time,temperature_c\n2026-01-01T00:00Z,2026-01-01T00:00Z,warm\n', 'w.csv:2: not a number'],
  [
    'half a year at once',
    'issued,time,temperature_c\n2026-01-01T00:00Z,2026-01-01T00:00Z,1\n2026-01-01T00:00Z,2026-06-01T00:00Z,1\n',
    'w.csv:3: more than 240 hours',
  ],
];
test.each(wrong)('%s', (_name, text, message) => {
  expect(() => read(text)).toThrow(message);
});
