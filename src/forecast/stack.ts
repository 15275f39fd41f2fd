// What a mixture with weights cannot say: that all its experts are too low together, or that the truth lies beyond the one that departs
// from the others. A small regression of the mixture's error on each expert's distance from it, learnt online; it moves the whole band.

import { clamp } from '../base/integers.ts';
import { solve } from './linear.ts';
import { MEDIAN, QUANTILES } from './types.ts';

/** Weight of the ridge, in outcomes. */
const RIDGE = 100;
/** Beyond what was seen a straight line is a guess: so many usual errors apart are the end of it. */
const APART_MAX = 5;
/** Share of a new error in the usual one. */
const SCALE_RATE = 0.01;

/** JSON. */
export interface StackState {
  /** Faded sums over outcomes, in usual errors: products of two distances (row after row), and of each distance with the error. */
  products: number[];
  targets: number[];
  /** Usual error of the mixture. */
  scale: number;
}

export function newStack(experts: number): StackState {
  return { products: Array(experts * experts).fill(0), targets: Array(experts).fill(0), scale: 0 };
}

type Opinions = readonly (readonly number[] | null)[];

/** How far to move the quantiles `mixed` from these opinions; never beyond the outer ones. */
export function stackShift(state: StackState, experts: Opinions, mixed: readonly number[]): number {
  const width = experts.length;
  const weights = solve(Float64Array.from(state.products), Float64Array.from(state.targets), width, RIDGE);
  if (weights === null) return 0;
  const most = APART_MAX * state.scale;
  const shift = distances(experts, mixed).reduce(
    (sum, distance, k) => sum + clamp(distance, -most, most) * (weights[k] as number),
    0,
  );
  const median = mixed[MEDIAN] as number;
  return clamp(shift, (mixed[0] as number) - median, (mixed[QUANTILES.length - 1] as number) - median);
}

/** Learns from what came true; `memory` as in combine.ts. Large errors count in proportion to their size, not its square: the median is sought. */
export function learnStack(
  state: StackState,
  experts: Opinions,
  mixed: readonly number[],
  actual: number,
  memory: number,
): void {
  const width = experts.length;
  const error = actual - (mixed[MEDIAN] as number);
  const left = Math.abs(error - stackShift(state, experts, mixed));
  state.scale += (state.scale === 0 ? 1 : SCALE_RATE) * (Math.abs(error) - state.scale);
  const unit = Math.max(state.scale, 1e-9);
  const weight = 1 / Math.max(1, left / unit);
  const apart = distances(experts, mixed).map((distance) => distance / unit);
  for (let a = 0; a < width; a++) {
    const x = weight * (apart[a] as number);
    state.targets[a] = memory * (state.targets[a] as number) + (x * error) / unit;
    for (let b = 0; b < width; b++) {
      state.products[a * width + b] = memory * (state.products[a * width + b] as number) + x * (apart[b] as number);
    }
  }
}

/** Of each expert's median from the mixture's; who says nothing is not apart. */
function distances(experts: Opinions, mixed: readonly number[]): number[] {
  return experts.map((expert) => (expert === null ? 0 : (expert[MEDIAN] as number) - (mixed[MEDIAN] as number)));
}
