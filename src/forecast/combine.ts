// Experts' quantiles to one set: for each quantile a mixture weighted by recent loss, then bands widened or narrowed until they
// cover what they say. Learns online from each forecast that came true; its state is small JSON.
// After Wintenberger's Bernstein online aggregation (2017), with the gradient of the mixture and with forgetting.

import { clamp } from '../base/integers.ts';
import { sortQuantiles } from './quantiles.ts';
import { MEDIAN, QUANTILES } from './types.ts';

/** How fast a quantile's factor follows what it covered, and how fast the whole band's does. */
const CALIBRATION_RATE = 0.02;
const SPREAD_RATE = 0.01;
/** The band that must cover what it says: its places in `QUANTILES`, and what it says. */
const [LOW, HIGH] = [1, 5] as const;
const BAND = 0.8;
/** Bounds of the factors: a band is never narrowed or widened beyond. */
const FACTOR_MIN = Math.log(0.3);
const FACTOR_MAX = Math.log(4);
/** Part of a quantile's record that is all quantiles' together. */
const POOLED = 0.15;

/** JSON. */
export interface CombinationState {
  /** By expert and quantile: faded sums of loss against the mixture, and of its squares. */
  readonly losses: number[][];
  readonly squares: number[][];
  /** Logarithm of each quantile's distance factor from the median. */
  readonly factors: number[];
  /** Faded mean distance between experts and truth: the unit of loss. */
  scale: number;
}

/** Logarithm of what several combinations widen their bands by together: it has more to learn from than each of them. JSON. */
export interface Spread {
  log: number;
}

export function newCombination(experts: number): CombinationState {
  const zeros = (): number[][] => Array.from({ length: experts }, () => QUANTILES.map(() => 0));
  return { losses: zeros(), squares: zeros(), factors: QUANTILES.map(() => 0), scale: 0 };
}

/** What is believed of experts before anything is known of them, and whatever becomes known. */
export interface Trust {
  readonly priors: readonly number[];
  /** Part of the weight that all of them share in any case, so that each can come back. */
  readonly kept: number;
}

/** Mixture before calibration. Null experts have no opinion. At least one must have one. */
export function mix(
  state: CombinationState,
  experts: readonly (readonly number[] | null)[],
  { priors, kept }: Trust,
): number[] {
  const records = experts.map((expert, k) => (expert === null ? null : recordOf(state, k)));
  const opinions = experts.filter((expert, k) => expert !== null && (priors[k] as number) > 0).length;
  const mixed = QUANTILES.map((_, q) => {
    let [total, sum, shared] = [0, 0, 0];
    for (let k = 0; k < experts.length; k++) {
      const record = records[k];
      if (record == null) continue;
      const opinion = (experts[k] as readonly number[])[q] as number;
      const prior = priors[k] as number;
      const weight = prior * weightOf(record, q);
      total += weight;
      sum += weight * opinion;
      if (prior > 0) shared += opinion;
    }
    return (1 - kept) * (sum / total) + kept * (shared / opinions);
  });
  return sortQuantiles(mixed);
}

/** What an expert's losses were, and those of all its quantiles together. */
interface ExpertRecord {
  readonly losses: readonly number[];
  readonly squares: readonly number[];
  readonly loss: number;
  readonly square: number;
}

function recordOf(state: CombinationState, expert: number): ExpertRecord {
  const losses = state.losses[expert] as number[];
  const squares = state.squares[expert] as number[];
  let [loss, square] = [0, 0];
  for (let q = 0; q < losses.length; q++) {
    loss += losses[q] as number;
    square += squares[q] as number;
  }
  return { losses, squares, loss: loss / losses.length, square: square / losses.length };
}

/** By the quantile's own record, and a little by that of all quantiles together. */
function weightOf(record: ExpertRecord, quantile: number): number {
  const loss = (1 - POOLED) * (record.losses[quantile] as number) + POOLED * record.loss;
  const square = (1 - POOLED) * (record.squares[quantile] as number) + POOLED * record.square;
  const rate = Math.min(1, Math.sqrt(2 / (1 + square)));
  return Math.exp(Math.max(-30, Math.min(30, -rate * loss)));
}

/** Bands around the median times their factors. */
export function calibrate(state: CombinationState, spread: Spread, mixed: readonly number[]): number[] {
  const median = mixed[MEDIAN] as number;
  return mixed.map((value, q) => median + (value - median) * Math.exp((state.factors[q] as number) + spread.log));
}

/**
 * Learns from what came true. `issued`: the calibrated quantiles as they were given, before anything later was known: only those can
 * be held to what they covered. `memory`: the part of the record that is kept. `together`: how many outcomes err as one (the steps of one
 * forecast do); that many count as one.
 */
export function learnCombination(
  state: CombinationState,
  spread: Spread,
  experts: readonly (readonly number[] | null)[],
  trust: Trust,
  issued: readonly number[],
  actual: number,
  memory: number,
  together: number,
): void {
  const mixed = mix(state, experts, trust);
  let distance = 0;
  let count = 0;
  for (const expert of experts) {
    if (expert === null) continue;
    distance += Math.abs(actual - (expert[MEDIAN] as number));
    count++;
  }
  if (count === 0) return;
  const blend = state.scale === 0 ? 1 : 0.01;
  state.scale += blend * (distance / count - state.scale);
  const unit = Math.max(state.scale, 1e-9);
  experts.forEach((expert, k) => {
    const losses = state.losses[k] as number[];
    const squares = state.squares[k] as number[];
    QUANTILES.forEach((tau, q) => {
      const gradient = actual < (mixed[q] as number) ? 1 - tau : -tau;
      const loss = expert === null ? 0 : (gradient * ((expert[q] as number) - (mixed[q] as number))) / unit;
      losses[q] = memory * (losses[q] as number) + loss;
      squares[q] = memory * (squares[q] as number) + together * loss * loss;
    });
  });
  const median = issued[MEDIAN] as number;
  // Outcomes that err as one say little more than one of them; but bands that follow them too slowly never cover.
  const slower = Math.sqrt(together);
  QUANTILES.forEach((tau, q) => {
    // A band without width (the night) says nothing about its factor.
    if (q === MEDIAN || Math.abs((issued[q] as number) - median) < 1e-6 * unit) return;
    const outside = q < MEDIAN ? actual < (issued[q] as number) : actual > (issued[q] as number);
    const expected = q < MEDIAN ? tau : 1 - tau;
    const moved = (state.factors[q] as number) + (CALIBRATION_RATE / slower) * ((outside ? 1 : 0) - expected);
    state.factors[q] = clamp(moved, FACTOR_MIN, FACTOR_MAX);
  });
  const [low, high] = [issued[LOW] as number, issued[HIGH] as number];
  if (high - low < 1e-6 * unit) return;
  const missed = actual < low || actual > high ? 1 : 0;
  spread.log = clamp(spread.log + (SPREAD_RATE / slower) * (missed - (1 - BAND)), FACTOR_MIN, FACTOR_MAX);
}
