import { expect, test } from 'vitest';
import { localTimeMs, nextWindow } from '../../src/gateway/localtime.ts';

const at = (iso: string): number => Date.parse(iso);
const iso = (ms: number): string => new Date(ms).toISOString().slice(0, 16);

test.each([
  ['winter', '2026-01-15T12:00Z', '07:00', '2026-01-15T06:00'],
  ['summer', '2026-07-15T12:00Z', '07:00', '2026-07-15T05:00'],
  ['the day clocks go forward, before', '2026-03-29T00:30Z', '01:30', '2026-03-29T00:30'],
  ['the day clocks go forward, after', '2026-03-29T00:30Z', '07:00', '2026-03-29T05:00'],
  ['the day clocks go back', '2026-10-25T00:30Z', '07:00', '2026-10-25T06:00'],
  ['a time that is skipped', '2026-03-29T00:30Z', '02:30', '2026-03-29T01:30'],
  ['a time that comes twice', '2026-10-25T00:30Z', '02:30', '2026-10-25T00:30'],
  ['just after local midnight', '2026-07-14T22:10Z', '07:00', '2026-07-15T05:00'],
])('%s: a local time is its instant', (_name, now, time, expected) => {
  expect(iso(localTimeMs(at(now), 'Europe/Berlin', time))).toBe(expected);
});

test.each(['2026-03-28', '2026-03-29', '2026-10-24', '2026-10-25'])(
  'on %s each local time is one instant, whenever it is asked',
  (day) => {
    const noon = at(`${day}T12:00Z`);
    const midnight = localTimeMs(noon, 'Europe/Berlin', '00:00');
    let last = midnight - 1;
    for (const time of Array.from(
      { length: 48 },
      (_, i) => `${String(i >> 1).padStart(2, '0')}:${i % 2 === 0 ? '00' : '30'}`,
    )) {
      const instants = Array.from({ length: 24 }, (_, hour) =>
        localTimeMs(midnight + hour * 3_600_000 - 1, 'Europe/Berlin', time, hour === 0 ? 1 : 0),
      );
      expect(new Set(instants).size).toBe(1);
      // The hour that is skipped comes with the one after it.
      if (day !== '2026-03-29' || !time.startsWith('03')) expect(instants[0]).toBeGreaterThan(last);
      last = instants[0] as number;
    }
  },
);

test.each([
  ['inside a window', '2026-07-15T08:00Z', '06:00', '18:00', '2026-07-15T04:00', '2026-07-15T16:00'],
  ['after it: the next day', '2026-07-15T17:00Z', '06:00', '18:00', '2026-07-16T04:00', '2026-07-16T16:00'],
  ['over midnight, evening', '2026-07-15T21:00Z', '22:00', '06:00', '2026-07-15T20:00', '2026-07-16T04:00'],
  ['over midnight, early', '2026-07-15T02:00Z', '22:00', '06:00', '2026-07-14T20:00', '2026-07-15T04:00'],
])('window: %s', (_name, now, from, until, start, end) => {
  const { fromMs, untilMs } = nextWindow(at(now), 'Europe/Berlin', from, until);
  expect([iso(fromMs), iso(untilMs)]).toEqual([start, end]);
});

test('on every hour of a year the window is whole and ahead', () => {
  for (let ms = at('2026-01-01T00:00Z'); ms < at('2027-01-01T00:00Z'); ms += 3_600_000) {
    const { fromMs, untilMs } = nextWindow(ms, 'Europe/Berlin', '06:00', '18:00');
    expect(untilMs).toBeGreaterThan(ms);
    expect(untilMs - fromMs).toBe(12 * 3_600_000);
  }
});
