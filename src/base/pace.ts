// How fast each of many may go: a bucket of tokens each, that fills again with time. Owns the counting, not what is done with the answer.

import type { Millis } from './units.ts';

export interface PaceLimits {
  /** Tokens of a full bucket, and how fast it fills. */
  readonly burst: number;
  readonly perS: number;
  /** Buckets remembered; beyond, the one used longest ago is forgotten. */
  readonly knownMax: number;
}

export class Pace {
  readonly #limits: PaceLimits;
  readonly #monotonicMs: () => Millis;
  readonly #buckets = new Map<string, { tokens: number; atMs: Millis }>();

  constructor(limits: PaceLimits, monotonicMs: () => Millis) {
    this.#limits = limits;
    this.#monotonicMs = monotonicMs;
  }

  /** Takes tokens; 0 if they were there, else after how many seconds they will be, and nothing is taken. */
  take(who: string, tokens: number): number {
    const { burst, perS, knownMax } = this.#limits;
    const nowMs = this.#monotonicMs();
    const last = this.#buckets.get(who) ?? { tokens: burst, atMs: nowMs };
    const present = Math.min(burst, last.tokens + ((nowMs - last.atMs) * perS) / 1000);
    const waitS = present >= tokens ? 0 : Math.ceil((tokens - present) / perS);
    this.#buckets.delete(who);
    this.#buckets.set(who, { tokens: waitS === 0 ? present - tokens : present, atMs: nowMs });
    if (this.#buckets.size > knownMax) this.#buckets.delete(this.#buckets.keys().next().value as string);
    return waitS;
  }
}
