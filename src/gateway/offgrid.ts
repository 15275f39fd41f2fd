// Whether the site still hangs on the public grid, from the meter at its connection: without voltage, or at a frequency that every plant must
// have left the grid at (EN 50549: 47.5 to 51.5 Hz; backup inverters go above it to slow generators down), it runs on its own.

import type { Clock } from '../base/clock.ts';
import type { Millis } from '../base/units.ts';
import type { DeviceReadings } from '../fieldbus/types.ts';

/** A phase below this share of its nominal voltage has none. */
const NO_VOLTAGE_SHARE = 0.3;
/** Bands of frequency of a grid that stands, Hz. */
const GRID_HZ: readonly (readonly [number, number])[] = [
  [47, 52],
  [57, 62],
];
/** Seen for so long it is believed; gone for so long the grid is believed again. Wall time. */
const GONE_MS: Millis = 2_000;
const BACK_MS: Millis = 60_000;

export interface GridWatch {
  /** Looks at the meter's readings now. */
  look(readings: DeviceReadings): void;
  /** Why the site is believed to be on its own, or null. */
  reason(): string | null;
}

/** `voltageV`: nominal, of a phase. */
export function createGridWatch(voltageV: number, clock: Pick<Clock, 'monotonicMs'>): GridWatch {
  let reason: string | null = null;
  /** What speaks for the other state, since when, wall time. */
  let against: { what: string | null; sinceMs: Millis } | null = null;

  return {
    look(readings) {
      const nowMs = clock.monotonicMs();
      const seen = seenOf(readings, voltageV);
      // A meter that says nothing of it changes nothing: it is stale, and control is blind.
      if (seen === 'unknown') return;
      const what = seen === 'grid' ? null : seen.why;
      if ((what === null) === (reason === null)) {
        against = null;
        return;
      }
      against ??= { what, sinceMs: nowMs };
      if (nowMs - against.sinceMs < (what === null ? BACK_MS : GONE_MS)) return;
      reason = what;
      against = null;
    },
    reason: () => reason,
  };
}

function seenOf(readings: DeviceReadings, voltageV: number): 'unknown' | 'grid' | { readonly why: string } {
  const good = (measurand: string): number | null => {
    const reading = readings.get(measurand);
    return reading?.quality === 'good' ? reading.value : null;
  };
  const voltages = ['L1', 'L2', 'L3'].flatMap((phase) => good(`voltage${phase}V`) ?? []);
  const frequencyHz = good('frequencyHz');
  if (voltages.length > 0 && voltages.every((volts) => volts < NO_VOLTAGE_SHARE * voltageV)) {
    return { why: 'no voltage at the connection' };
  }
  if (
    frequencyHz !== null &&
    frequencyHz > 0 &&
    !GRID_HZ.some(([from, to]) => from <= frequencyHz && frequencyHz <= to)
  ) {
    return { why: `${frequencyHz.toFixed(1)} Hz at the connection` };
  }
  return voltages.length > 0 || frequencyHz !== null ? 'grid' : 'unknown';
}
