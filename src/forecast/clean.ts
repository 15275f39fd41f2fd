// What must not be learnt: missing and curtailed steps, values that cannot be, zeros that mean missing, a stuck meter, power at night.
// Judges a sample by the history before it; says why, and learns nothing itself.

import type { Watts } from '../base/units.ts';
import type { Features } from './features.ts';
import type { ForecasterOptions, Sample, SampleMark } from './types.ts';

/** No site of this kind has more. */
const POWER_MAX_W = 4e9;
/** Negative generation beyond this part of the most that was seen is no own use. */
const OWN_USE_SHARE = 0.05;
/** From this part of the most that was seen, a generator may be at its limit. */
const LIMIT_SHARE = 0.9;
/** A generator may exceed its rated power by this much. */
const OVER_CAPACITY = 1.3;
/** More than so many times the most of a month is a fault, unless it lasts: then it is something new. */
const SPIKE_TIMES = { pv: 2.5, wind: 2.5, load: 8, net: 8 } as const;
const SPIKE_MS = 2 * 3_600_000;
/** Days after which a month's most says something. */
const SPIKE_DAYS_MIN = 3;
/** Cosine of the zenith angle at nearly six degrees below the horizon: no generator of the sun works. */
const DEEP_NIGHT = -0.1;
/** A value that repeats for longer than this (and twice as long as it ever did) is stuck. */
const STUCK_HOURS = 8;
/** From this part of the most that was seen, under a clear sky, a generator of the sun is not at nothing at once. */
const SUNNY_SHARE = 0.15;
/** A nothing by day that lasts no longer than this is a reading that failed. */
const BLINK_MS = 1_800_000;
/** A consumption that was hardly ever 0 is not 0; after so many days of it, it is. */
const ZERO_SHARE = 0.002;
/** Nor is one that otherwise never came near it: its least was above this part of its mean, and 0 was seldom. */
const BASE_SHARE = 0.05;
const SELDOM_ZERO_SHARE = 0.03;
const ZERO_DAYS_MAX = 2;

/** What cannot be told from the history; JSON. */
export interface CleanerState {
  repeatedW: Watts | null;
  times: number;
  longestRun: number;
  zeros: number;
  spikes: number;
}

export function newCleaner(): CleanerState {
  return { repeatedW: null, times: 0, longestRun: 0, zeros: 0, spikes: 0 };
}

/** Why the sample of a step must not be learnt, or null. Keeps count in `state`. */
export function judge(
  options: ForecasterOptions,
  features: Features,
  state: CleanerState,
  { powerW, curtailed }: Sample,
  step: number,
): SampleMark | null {
  const { kind, capacityW } = options;
  if (powerW === null || !Number.isFinite(powerW)) return 'missing';
  if (Math.abs(powerW) > POWER_MAX_W) return 'implausible';
  if (curtailed === true) return 'curtailed';
  if (kind === 'load' && powerW < 0) return 'implausible';
  if (kind === 'pv' || kind === 'wind') {
    const top = Math.max(capacityW ?? 0, features.range(step - 1).most);
    if (powerW < -OWN_USE_SHARE * top) return 'implausible';
    if (capacityW !== undefined && powerW > OVER_CAPACITY * capacityW) return 'implausible';
    if (kind === 'pv' && top > 0 && features.sunHeight(step) < DEEP_NIGHT && Math.abs(powerW) > OWN_USE_SHARE * top) {
      return 'night';
    }
  }
  if (isSpike(options, features, state, powerW, step)) return 'implausible';
  return zeroRun(options, features, state, powerW, step) ?? stuck(options, features, state, powerW, step);
}

function isSpike(
  { kind, stepMs }: ForecasterOptions,
  features: Features,
  state: CleanerState,
  powerW: Watts,
  step: number,
): boolean {
  // Not the very most: a spike of the first days, when nothing tells it, would hide all others for a month.
  const { heldMost, known } = features.range(step - 1);
  const isFar =
    known >= SPIKE_DAYS_MIN * features.perDay && Math.abs(powerW) > SPIKE_TIMES[kind] * heldMost && heldMost > 0;
  state.spikes = isFar ? state.spikes + 1 : 0;
  return isFar && state.spikes * stepMs <= SPIKE_MS;
}

function zeroRun(
  { kind, stepMs }: ForecasterOptions,
  features: Features,
  state: CleanerState,
  powerW: Watts,
  step: number,
): SampleMark | null {
  if (powerW !== 0 || (kind !== 'load' && kind !== 'pv')) {
    state.zeros = 0;
    return null;
  }
  state.zeros++;
  if (kind === 'pv') {
    // What lasts is an outage or snow, and goes on: only a blink is not believed.
    const wasOn = features.lastKnown(step - 1) > SUNNY_SHARE * features.range(step - 1).most;
    return wasOn && isSunny(features, step) && state.zeros * stepMs <= BLINK_MS ? 'zero-run' : null;
  }
  const { known, zeroShare, leastPositive, meanPositive } = features.range(step - 1);
  const hasBase = zeroShare < SELDOM_ZERO_SHARE && leastPositive > BASE_SHARE * meanPositive;
  const unusual = known >= features.perDay && (zeroShare < ZERO_SHARE || hasBase);
  return unusual && state.zeros <= ZERO_DAYS_MAX * features.perDay ? 'zero-run' : null;
}

function stuck(
  { kind }: ForecasterOptions,
  features: Features,
  state: CleanerState,
  powerW: Watts,
  step: number,
): SampleMark | null {
  const long = (STUCK_HOURS * features.perDay) / 24;
  if (state.repeatedW !== powerW) {
    state.longestRun = Math.max(state.longestRun, Math.min(state.times, long));
    state.repeatedW = powerW;
    state.times = 1;
    return null;
  }
  state.times++;
  if (powerW === 0 || state.times <= Math.max(long, 2 * state.longestRun)) return null;
  if (kind === 'load' || kind === 'net') return 'stuck';
  if (kind === 'pv' && isSunny(features, step)) return 'stuck';
  // Generators stand still for days, and run at their limit for hours; in between nothing keeps them at one power.
  const share = powerW / features.range(step - 1).most;
  return share > OWN_USE_SHARE && share < LIMIT_SHARE ? 'stuck' : null;
}

/** Whether a clear sky would give a good part of what the plant can. */
function isSunny(features: Features, step: number): boolean {
  return features.envelope(step - 1, step) > SUNNY_SHARE * features.range(step - 1).most;
}
