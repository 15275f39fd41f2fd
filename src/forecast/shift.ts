// Whether the stamps of a generator of the sun have come to stand an hour early or late: a logger whose clock was moved, local time
// written as UTC over a change of the clock. Each finished day says when power began and ended, by sunrise and sunset, beside the days
// before it: clouds, dirt and snow move both ends together or apart, never both the same way by an hour. Several days must say the same,
// none the contrary. Consumption is not judged: people do shift their days by an hour.

import type { Millis, Watts } from '../base/units.ts';
import { DAY_MS } from './calendar.ts';
import type { Features } from './features.ts';
import { sunCosine } from './sun.ts';
import type { ForecasterOptions } from './types.ts';

const HOUR_MS: Millis = 3_600_000;
/** Days that a day is held against. */
const DAYS_MIN = 7;
const DAYS_MAX = 28;
/** Days that must say the same, and within how many. */
const VOTES_MIN = 3;
const SUSPECT_DAYS_MAX = 8;
/** Days that stand as before end it; after so many days it is how things are. */
const BACK_DAYS = 2;
const BELIEVED_DAYS = 7;
/** Steps of a day that must be known. */
const KNOWN_SHARE = 0.95;
/** Power has begun above this part of the most. */
const EDGE_SHARE = 0.02;
/** How far from no shift, or from an hour, both ends may be, minutes. */
const EDGE_TOLERANCE_MIN = 25;
/** How finely the sun's rise and set are looked for, minutes. */
const SUN_GRID_MIN = 5;

/** Of a finished day: minutes from sunrise to the first power, and from sunset to the last. */
type Edges = readonly [number, number];

/** The day that runs, by the sun. */
interface Today {
  readonly day: number;
  readonly firstStep: number;
  known: number;
  previousW: Watts | null;
  firstMin: number | null;
  lastMin: number | null;
}

/** JSON. */
export interface ShiftState {
  days: Edges[];
  today: Today | null;
  suspect: { readonly hours: number; readonly fromStep: number; votes: number } | null;
  /** In force: every step is marked. */
  shifted: { readonly fromStep: number; back: number } | null;
}

export function newShift(): ShiftState {
  return { days: [], today: null, suspect: null, shifted: null };
}

/**
 * Takes a step's power (null: not known, or not to be believed) as it stands. Returns the first step of the days that have just turned
 * out to be an hour off (they were taken for good until now), or null. Says nothing where the place is not known.
 */
export function watchShift(
  { kind, stepMs, latitude, longitude }: ForecasterOptions,
  features: Features,
  state: ShiftState,
  powerW: Watts | null,
  step: number,
): number | null {
  if (kind !== 'pv' || latitude === undefined || longitude === undefined || stepMs > HOUR_MS) return null;
  const solarMs = step * stepMs + (longitude / 15) * HOUR_MS;
  const day = Math.floor(solarMs / DAY_MS);
  let found: number | null = null;
  if (state.today?.day !== day) {
    const edges = state.today === null ? null : edgesOf(state.today, features.perDay, latitude, longitude);
    if (edges !== null) found = judgeDay(state, edges, (state.today as Today).firstStep, features.perDay);
    state.today = { day, firstStep: step, known: 0, previousW: null, firstMin: null, lastMin: null };
  }
  const { today } = state;
  if (powerW !== null) {
    today.known++;
    noteEdges(today, powerW, EDGE_SHARE * features.range(step - 1).most, solarMs - day * DAY_MS, stepMs);
  }
  today.previousW = powerW;
  return found;
}

/** Notes where the power comes above `edgeW` first and falls below it last, between the middles of steps. */
function noteEdges(today: Today, powerW: Watts, edgeW: Watts, sinceMidnightMs: Millis, stepMs: Millis): void {
  const before = today.previousW;
  if (before === null || edgeW <= 0 || powerW > edgeW === before > edgeW) return;
  const crossedMs = sinceMidnightMs + stepMs / 2 - (stepMs * (edgeW - powerW)) / (before - powerW);
  if (powerW > edgeW) today.firstMin ??= crossedMs / 60_000;
  else today.lastMin = crossedMs / 60_000;
}

function edgesOf(today: Today, perDay: number, latitude: number, longitude: number): Edges | null {
  const { day, known, firstMin, lastMin } = today;
  if (known < KNOWN_SHARE * perDay || firstMin === null || lastMin === null) return null;
  const midnightMs = day * DAY_MS - (longitude / 15) * HOUR_MS;
  const lit: number[] = [];
  for (let minute = 0; minute < 1440; minute += SUN_GRID_MIN) {
    if (sunCosine(midnightMs + minute * 60_000, latitude, longitude) > 0) lit.push(minute);
  }
  // Where the sun does not rise, or not set, there is nothing to hold on to.
  if (lit.length === 0 || lit.length * SUN_GRID_MIN >= 1440) return null;
  return [firstMin - (lit[0] as number), lastMin - (lit.at(-1) as number)];
}

/** Takes a finished day; returns the first step of the shift if this day makes it sure, or null. */
function judgeDay(state: ShiftState, edges: Edges, firstStep: number, perDay: number): number | null {
  const hours = verdict(state.days, edges);
  if (state.shifted !== null) {
    if (hours !== null) state.shifted.back = hours === 0 ? state.shifted.back + 1 : 0;
    const lasts = firstStep - state.shifted.fromStep >= BELIEVED_DAYS * perDay;
    if (lasts) state.days = [];
    if (lasts || state.shifted.back >= BACK_DAYS) state.shifted = null;
    return null;
  }
  const isOld = state.suspect !== null && firstStep - state.suspect.fromStep > SUSPECT_DAYS_MAX * perDay;
  if (isOld || (hours !== null && hours !== state.suspect?.hours)) state.suspect = null;
  if (hours === null || hours === 0) {
    state.days.push(edges);
    if (state.days.length > DAYS_MAX) state.days.shift();
    return null;
  }
  state.suspect ??= { hours, fromStep: firstStep, votes: 0 };
  state.suspect.votes++;
  if (state.suspect.votes < VOTES_MIN) return null;
  const { fromStep } = state.suspect;
  state.suspect = null;
  // Days lie about the sun's noon. Where they do so now and did not before, the clock was set right.
  const beforeMin = median(state.days.map(([first, last]) => (first + last) / 2));
  if (Math.abs(beforeMin + 60 * hours) < Math.abs(beforeMin)) {
    state.days = [];
    return null;
  }
  state.shifted = { fromStep, back: 0 };
  return fromStep;
}

/** Hours that a day stands late (+1) or early (-1), 0 when it stands as before, null when it does not say. */
function verdict(days: readonly Edges[], edges: Edges): number | null {
  if (days.length < DAYS_MIN) return null;
  const moved = edges.map((minutes, end) => minutes - median(days.map((day) => day[end] as number)));
  for (const hours of [0, 1, -1]) {
    if (moved.every((minutes) => Math.abs(minutes - 60 * hours) <= EDGE_TOLERANCE_MIN)) return hours;
  }
  return null;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}
