// What the PBFT driver needs from the program around it, and what it tells it. `validator/` connects these to MQTT, SQLite
// and the page.

import type { Channel } from './core/messages.ts';

/** Carries messages to all other validators: one topic each and channel. May lose, repeat, delay and reorder. */
export interface Transport {
  publish(channel: Channel, bytes: Uint8Array): void;
  /**
   * Called with every message of other validators on either channel (own messages that loop back do no harm). `from` = the
   * validator on whose topic it came, where the broker vouches for that: then it must be the signer, and pays for forgeries.
   */
  onMessage(listener: (bytes: Uint8Array, from?: string) => void): void;
}

/**
 * The vote log: what must never be forgotten. Bytes are opaque to the store.
 * `null` from `read` = there is no log for this key, or it cannot be read in full: the validator then follows without a
 * vote until its key is replaced. The program creates an empty log once, together with the key.
 */
export interface VoteLog {
  read(): readonly Uint8Array[] | null;
  /** Durable (`synchronous=FULL`) when it returns; throws if it is not. */
  append(records: readonly Uint8Array[]): void;
  /** Replaces everything by these records, atomically and durably. */
  replace(records: readonly Uint8Array[]): void;
}

/** Calls back once after a delay of monotonic time; the returned function cancels. */
export interface Timers {
  after(delayMs: number, callback: () => void): () => void;
}

export type { ConsensusEvent } from './core/io.ts';
