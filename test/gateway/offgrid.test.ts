// The public grid, gone and back: believed after a while, and only on what the meter says.

import { beforeEach, expect, test } from 'vitest';
import type { Quality, Reading } from '../../src/fieldbus/types.ts';
import { createGridWatch } from '../../src/gateway/offgrid.ts';

let nowMs: number;
beforeEach(() => {
  nowMs = 0;
});

const readings = (values: Record<string, number>, quality: Quality = 'good') =>
  new Map(
    Object.entries(values).map(([name, value]): [string, Reading] => [
      name,
      { value, quality, reason: null, atMs: 0, monotonicMs: nowMs },
    ]),
  );
function watched() {
  const watch = createGridWatch(230, { monotonicMs: () => nowMs });
  return (values: Record<string, number>, forMs: number, quality?: Quality): string | null => {
    for (let ms = 0; ms <= forMs; ms += 1_000, nowMs += 1_000) watch.look(readings(values, quality));
    return watch.reason();
  };
}
const GRID = { voltageL1V: 231, voltageL2V: 229, voltageL3V: 12, frequencyHz: 50.02 };

test.each([
  ['no voltage on any phase', { voltageL1V: 3, voltageL2V: 0, voltageL3V: 1 }],
  ['a backup inverter that slows generators down', { ...GRID, frequencyHz: 52.7 }],
  ['a generator that gives up', { ...GRID, frequencyHz: 45 }],
  ['a generator that gives up, at 60 Hz', { ...GRID, frequencyHz: 56.8 }],
  ['a backup inverter that slows generators down, at 60 Hz', { ...GRID, frequencyHz: 62.3 }],
  ['what is left of the voltage', { voltageL1V: 65, voltageL2V: 60, voltageL3V: 68 }],
])('%s: off the grid', (_what, values) => {
  const see = watched();
  expect(see(GRID, 5_000)).toBeNull();
  expect(see(values, 1_000)).toBeNull();
  expect(see(values, 2_000)).not.toBeNull();
});

test.each([
  ['one phase without voltage', GRID],
  ['60 Hz', { ...GRID, frequencyHz: 59.9 }],
  ['50 Hz in need', { ...GRID, frequencyHz: 47.1 }],
  ['50 Hz with too much', { ...GRID, frequencyHz: 51.9 }],
  ['60 Hz in need', { ...GRID, frequencyHz: 57.1 }],
  ['60 Hz with too much', { ...GRID, frequencyHz: 61.9 }],
  ['a low voltage', { voltageL1V: 71, voltageL2V: 71, voltageL3V: 71 }],
  ['a meter that tells no frequency', { voltageL1V: 230, frequencyHz: 0 }],
  ['a meter that tells neither', { gridPowerW: 100 }],
])('%s: on the grid', (_what, values) => {
  expect(watched()(values, 10_000)).toBeNull();
});

test('the grid is believed again after a minute of it, and not by a meter that is silent', () => {
  const see = watched();
  see({ voltageL1V: 0 }, 5_000);
  expect(see({ voltageL1V: 230 }, 50_000, 'stale')).not.toBeNull();
  expect(see(GRID, 30_000)).not.toBeNull();
  expect(see({ voltageL1V: 0 }, 0)).not.toBeNull();
  expect(see(GRID, 45_000)).not.toBeNull();
  expect(see(GRID, 20_000)).toBeNull();
});
