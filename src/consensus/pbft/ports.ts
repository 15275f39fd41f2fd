// What the PBFT driver needs from the program around it, and what it tells it. `validator/` connects these to MQTT, SQLite
// and the page.

import type { Envelope } from '../../protocol/envelope.ts';
import type { Channel } from './core/messages.ts';

/** Carries messages to all other validators: one topic each and channel. May lose, repeat, delay and reorder. */
export interface Transport {
  publish(channel: Channel, bytes: Uint8Array): void;
  /** Called with every message of other validators on either channel (own messages that loop back do no harm). */
  onMessage(listener: (bytes: Uint8Array) => void): void;
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

/** What the log and the page are shown. The seed's phases are `request`, `pre-prepare`, `prepare`, `commit`, `executed` (then the validator replies). */
export type ConsensusEvent =
  | { readonly type: 'request'; readonly signer: string; readonly kind: string }
  | {
      readonly type: 'pre-prepare';
      readonly height: number;
      readonly view: number;
      readonly primary: string;
      readonly digest: string;
      readonly requests: number;
    }
  | {
      readonly type: 'prepare';
      readonly height: number;
      readonly view: number;
      readonly digest: string;
      readonly from: string;
    }
  | {
      readonly type: 'commit';
      readonly height: number;
      readonly view: number;
      readonly digest: string;
      readonly from: string;
    }
  | {
      readonly type: 'executed';
      readonly height: number;
      readonly view: number;
      readonly digest: string;
      readonly requests: number;
      readonly timeMs: number;
      readonly synced: boolean;
    }
  | { readonly type: 'dropped'; readonly signer: string; readonly kind: string; readonly reason: string }
  | {
      readonly type: 'proposal refused';
      readonly height: number;
      readonly view: number;
      readonly primary: string;
      readonly reason: string;
    }
  | { readonly type: 'view change'; readonly height: number; readonly view: number; readonly reason: string }
  | {
      readonly type: 'new view';
      readonly height: number;
      readonly view: number;
      readonly primary: string;
      readonly carried: boolean;
    }
  | { readonly type: 'checkpoint'; readonly height: number }
  | { readonly type: 'asking'; readonly height: number; readonly peer: string; readonly what: string }
  | { readonly type: 'restored'; readonly height: number }
  | { readonly type: 'members'; readonly height: number; readonly validators: readonly string[] }
  | { readonly type: 'evidence'; readonly accused: string; readonly first: Envelope; readonly second: Envelope }
  | { readonly type: 'vote lost'; readonly reason: string }
  | { readonly type: 'message refused'; readonly from: string; readonly reason: string };
