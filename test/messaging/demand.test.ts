// A customer's statement: one form, and every way to get it wrong has its line.

import { expect, test } from 'vitest';
import { parseStatedDemand, STATED_INTERVALS_MAX } from '../../src/messaging/demand.ts';
import { bytes } from './fixtures.ts';

const QUARTER_MS = 900_000;
const parse = (value: unknown) =>
  parseStatedDemand('planning', bytes(typeof value === 'string' ? value : JSON.stringify(value)), QUARTER_MS);
const at = (n: number): string => new Date(n * QUARTER_MS).toISOString();

test('a statement becomes demands by interval', () => {
  expect(
    parse({
      demands: [
        { start: '2026-06-21T10:15:00Z', energyWh: 1_200 },
        { start: at(5), energyWh: 0 },
      ],
    }),
  ).toEqual([
    { customer: 'planning', interval: Date.UTC(2026, 5, 21, 10, 15) / QUARTER_MS, energyWh: 1_200 },
    { customer: 'planning', interval: 5, energyWh: 0 },
  ]);
});

const one = { start: at(1), energyWh: 1 };
const wrong: [string, unknown, RegExp][] = [
  ['no JSON', 'demands', /not JSON/],
  ['no UTF-8', '\ud800', /.+/],
  ['nothing stated', { demands: [] }, /cannot be used/],
  ['no list', { demands: one }, /cannot be used/],
  ['an unknown field', { demands: [one], urgent: true }, /urgent/],
  ['an unknown field inside', { demands: [{ ...one, priceUcPerWh: 1 }] }, /priceUcPerWh/],
  ['a fraction', { demands: [{ ...one, energyWh: 1.5 }] }, /energyWh/],
  ['less than nothing', { demands: [{ ...one, energyWh: -1 }] }, /energyWh/],
  ['too much', { demands: [{ ...one, energyWh: 1e12 }] }, /energyWh/],
  ['no time', { demands: [{ ...one, start: 'tomorrow' }] }, /start/],
  ['local time', { demands: [{ ...one, start: '2026-06-21T10:15:00+02:00' }] }, /start/],
  [
    'a start inside an interval',
    { demands: [{ ...one, start: '2026-06-21T10:16:00Z' }] },
    /not the start of an interval of 15 minutes/,
  ],
  ['an interval twice', { demands: [one, one] }, /stated twice/],
  [
    'too many intervals',
    { demands: Array.from({ length: STATED_INTERVALS_MAX + 1 }, (_, i) => ({ ...one, start: at(i) })) },
    /cannot be used/,
  ],
];
for (const [name, value, message] of wrong) {
  test(`${name} is refused`, () => {
    expect(() => parse(value)).toThrow(message);
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'demand.form' }));
  });
}
