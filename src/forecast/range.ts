// What the values of a stretch of steps range over: for what is usual, and for what cannot be.

import type { Millis, Watts } from '../base/units.ts';
import type { History } from './history.ts';

/** How long faults may hide in a range: the most is `heldMost` only when it lasted longer. */
const FAULTS_MS: Millis = 2 * 3_600_000;

/** Least and most of a month, how many steps of it are known, and which part of them is exactly 0. */
export interface Range {
  readonly least: Watts;
  readonly most: Watts;
  /** The most of either sign that was reached for longer than a fault lasts. */
  readonly heldMost: Watts;
  readonly known: number;
  readonly zeroShare: number;
  /** Of what is above 0: the least, and the mean; NaN where nothing is. */
  readonly leastPositive: Watts;
  readonly meanPositive: Watts;
}

/** Of the steps after `after` up to `end`. */
export function scanRange(history: History, after: number, end: number, stepMs: Millis): Range {
  const top = new Top(1 + Math.ceil(FAULTS_MS / stepMs));
  let [least, most, zeros, known] = [0, 0, 0, 0];
  let [leastPositive, positive, positives] = [Number.POSITIVE_INFINITY, 0, 0];
  for (let step = end; step > after; step--) {
    const value = history.at(step);
    if (Number.isNaN(value)) continue;
    top.add(Math.abs(value));
    least = known === 0 ? value : Math.min(least, value);
    most = known === 0 ? value : Math.max(most, value);
    if (value === 0) zeros++;
    if (value > 0) {
      leastPositive = Math.min(leastPositive, value);
      positive += value;
      positives++;
    }
    known++;
  }
  return {
    least,
    most,
    heldMost: top.least,
    known,
    zeroShare: known === 0 ? 0 : zeros / known,
    leastPositive: positives === 0 ? Number.NaN : leastPositive,
    meanPositive: positive / positives,
  };
}

/** The largest few of many numbers. */
class Top {
  readonly #count: number;
  /** Falling. */
  readonly #values: number[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  add(value: number): void {
    const values = this.#values;
    if (values.length === this.#count && value <= (values.at(-1) as number)) return;
    let place = values.length;
    while (place > 0 && (values[place - 1] as number) < value) place--;
    values.splice(place, 0, value);
    if (values.length > this.#count) values.pop();
  }

  /** The smallest of the largest; 0 when there is none. */
  get least(): number {
    return this.#values.at(-1) ?? 0;
  }
}
