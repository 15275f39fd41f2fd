// What must not be learnt: missing and curtailed steps, values that cannot be, zeros that mean missing, a stuck meter, power at night.
// Judges a sample by the history before it; says why, and learns nothing itself.

import type { Features } from './features.ts';
import type { History } from './history.ts';
import type { ForecasterOptions, Sample, SampleMark } from './types.ts';

/** No site of this kind has more. */
const POWER_MAX_W = 4e9;
/** Negative generation beyond this part of the most that was seen is no own use. */
const OWN_USE_SHARE = 0.05;
/** A generator may exceed its rated power by this much. */
const OVER_CAPACITY = 1.3;
/** A value that repeats for longer than this (and twice as long as it ever did) is stuck. */
const STUCK_HOURS = 8;
/** A consumption that was hardly ever 0 is not 0; after so many days of it, it is. */
const ZERO_SHARE = 0.002;
const ZERO_DAYS_MAX = 2;

export type Cleaner = (sample: Sample, step: number) => SampleMark | null;

export function createCleaner(options: ForecasterOptions, features: Features, history: History): Cleaner {
  const { kind, capacityW } = options;
  const perDay = features.perDay;
  let repeated: { value: number; times: number } | null = null;
  let longestRun = 0;
  let zeros = 0;

  return ({ powerW, curtailed }, step) => {
    if (powerW === null || !Number.isFinite(powerW)) return 'missing';
    if (Math.abs(powerW) > POWER_MAX_W) return 'implausible';
    if (curtailed === true) return 'curtailed';
    if (kind === 'load' && powerW < 0) return 'implausible';
    if (kind === 'pv' || kind === 'wind') {
      const top = Math.max(capacityW ?? 0, features.range().most);
      if (powerW < -OWN_USE_SHARE * top) return 'implausible';
      if (capacityW !== undefined && powerW > OVER_CAPACITY * capacityW) return 'implausible';
      if (kind === 'pv' && features.sunHeight(step) < -0.1 && powerW > OWN_USE_SHARE * top && top > 0) return 'night';
    }
    return zeroRun(powerW) ?? stuck(powerW);
  };

  function zeroRun(powerW: number): SampleMark | null {
    if (kind !== 'load' || powerW !== 0) {
      zeros = 0;
      return null;
    }
    zeros++;
    const usual = history.known >= perDay && features.zeroShare() < ZERO_SHARE;
    return usual && zeros <= ZERO_DAYS_MAX * perDay ? 'zero-run' : null;
  }

  function stuck(powerW: number): SampleMark | null {
    if (repeated === null || repeated.value !== powerW) {
      if (repeated !== null) longestRun = Math.max(longestRun, Math.min(repeated.times, (STUCK_HOURS * perDay) / 24));
      repeated = { value: powerW, times: 1 };
      return null;
    }
    repeated.times++;
    // Generators stand still for days; consumption and net do not.
    if (kind === 'pv' || kind === 'wind' || powerW === 0) return null;
    return repeated.times > Math.max((STUCK_HOURS * perDay) / 24, 2 * longestRun) ? 'stuck' : null;
  }
}
