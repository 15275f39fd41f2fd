// The last steps of a series: a ring of mean powers by step number, NaN where nothing is known.

import { WattpactError } from '../base/errors.ts';
import type { Watts } from '../base/units.ts';

export class History {
  readonly capacity: number;
  readonly #values: Float64Array;
  /** Number of the newest step; null before the first. */
  #newest: number | null = null;
  #oldest = 0;
  #known = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#values = new Float64Array(capacity).fill(Number.NaN);
  }

  get newest(): number | null {
    return this.#newest;
  }

  /** Number of the oldest step that is kept. */
  get oldest(): number {
    return this.#oldest;
  }

  /** How many steps with a value are kept. */
  get known(): number {
    return this.#known;
  }

  /** Value of a step; NaN when unknown, too old or to come. */
  at(step: number): Watts {
    if (this.#newest === null || step > this.#newest || step < this.#oldest) return Number.NaN;
    return this.#values[step % this.capacity] as number;
  }

  /** Appends the value of `step` (NaN: unknown); steps between the newest and it become unknown. */
  push(step: number, value: Watts): void {
    if (this.#newest === null || step - this.#newest > this.capacity) {
      this.#values.fill(Number.NaN);
      this.#known = 0;
      this.#oldest = step;
    } else {
      for (let skipped = this.#newest + 1; skipped < step; skipped++) this.#put(skipped, Number.NaN);
    }
    this.#newest = step;
    this.#put(step, value);
    this.#oldest = Math.max(this.#oldest, step - this.capacity + 1);
  }

  #put(step: number, value: number): void {
    const place = step % this.capacity;
    if (!Number.isNaN(this.#values[place] as number)) this.#known--;
    this.#values[place] = value;
    if (!Number.isNaN(value)) this.#known++;
  }

  /** Takes the newest step back, as if it had never been pushed; the one before must have been pushed right before it. */
  pop(): void {
    if (this.#newest === null || this.#newest <= this.#oldest) return;
    this.#put(this.#newest, Number.NaN);
    this.#newest--;
  }

  /** Forgets the values of `step` and all after it; the steps stay. */
  erase(step: number): void {
    for (let at = Math.max(step, this.#oldest); at <= (this.#newest ?? -1); at++) this.#put(at, Number.NaN);
  }

  toJson(): { oldest: number; values: (number | null)[] } {
    const values: (number | null)[] = [];
    if (this.#newest !== null) {
      for (let step = this.#oldest; step <= this.#newest; step++) {
        const value = this.at(step);
        values.push(Number.isNaN(value) ? null : value);
      }
    }
    return { oldest: this.#oldest, values };
  }

  static fromJson(capacity: number, json: { oldest: number; values: readonly (number | null)[] }): History {
    if (json.values.length > capacity) throw new WattpactError('forecast.state', 'the state holds too long a history');
    const history = new History(capacity);
    json.values.forEach((value, i) => {
      history.push(json.oldest + i, value ?? Number.NaN);
    });
    return history;
  }
}
