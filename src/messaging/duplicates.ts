// The same message comes over several brokers: the first copy counts, the others that follow at once are dropped.
//
// Only for a moment: who repeats itself on purpose (an undecided request, a lost vote) waits longer than the window, and must
// be heard again. A copy later than the window does no harm: everything on the topics is idempotent.

import { hash } from 'node:crypto';
import type { Millis } from '../base/units.ts';

/** Below the shortest wait of a deliberate repetition (contract's first resend: 1 s). */
export const DUPLICATE_WINDOW_MS: Millis = 900;
/** Digests remembered; beyond, the oldest is forgotten. */
export const DUPLICATES_MAX = 20_000;

export class Duplicates {
  readonly #seenAt = new Map<string, Millis>();

  /** True if the same payload came on the same topic within the window; else remembers it. */
  isDuplicate(topic: string, payload: Uint8Array, monotonicMs: Millis): boolean {
    const digest = `${hash('sha256', payload, 'base64')} ${topic}`;
    const seenAt = this.#seenAt.get(digest);
    if (seenAt !== undefined && monotonicMs - seenAt < DUPLICATE_WINDOW_MS) return true;
    // Taken out first, so that the order of the map is the order of arrival.
    this.#seenAt.delete(digest);
    this.#seenAt.set(digest, monotonicMs);
    this.#forget(monotonicMs);
    return false;
  }

  #forget(monotonicMs: Millis): void {
    for (const [digest, at] of this.#seenAt) {
      if (this.#seenAt.size <= DUPLICATES_MAX && monotonicMs - at < DUPLICATE_WINDOW_MS) return;
      this.#seenAt.delete(digest);
    }
  }
}
