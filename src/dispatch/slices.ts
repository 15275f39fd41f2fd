// Planning in pieces: a hard day takes longer than a gateway's loop may stand still. Pauses come by work done, never by the clock, so that the
// result is the same on every machine and whoever pauses, or not.

/** Steps of dynamic programming between two pauses: some milliseconds on a small computer. */
const PIECE_WORK = 1_000;

/** Work that says at each `yield` that it may pause; what it returns does not depend on pauses. */
export type Sliced<T> = Generator<void, T, void>;

/** Counts steps of work and says when a pause is due. */
export class Work {
  #done = 0;
  #pausedAt = 0;

  get done(): number {
    return this.#done;
  }

  add(steps: number): void {
    this.#done += steps;
  }

  /** Whether a whole piece was done since this was last so. */
  isPauseDue(): boolean {
    if (this.#done - this.#pausedAt < PIECE_WORK) return false;
    this.#pausedAt = this.#done;
    return true;
  }
}

/** Does it all without a pause. */
export function atOnce<T>(work: Sliced<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}
