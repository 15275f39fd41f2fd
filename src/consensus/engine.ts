// The port between consensus and the application: one application, several engines. An engine orders batches and knows
// nothing of energy; the application executes them and knows nothing of views. All application calls are synchronous.

import type { Envelope } from '../protocol/envelope.ts';
import type { Header } from '../protocol/header.ts';

/** What is agreed on: a block time (chain ms, later than the last) and requests in order. */
export interface Batch {
  readonly requests: readonly Envelope[];
  readonly timeMs: number;
}

/** Where an ordered batch came from and who agreed to it; stored beside the block, never part of its header. */
export interface Certificate {
  readonly engine: string;
  readonly engineHeight: number;
  readonly view: number;
  readonly proposer: string;
  /** Signed commits (or the engine's own evidence), enough to convince a stranger. */
  readonly commits: readonly Envelope[];
}

/** One part of a state snapshot, verifiable by itself against the snapshot's root. */
export interface SnapshotChunk {
  readonly index: number;
  readonly bytes: Uint8Array;
}

export interface SnapshotManifest {
  /** Application header whose state this is; `stateHash` commits to every chunk. */
  readonly header: Header;
  /** Hex SHA-256 of each chunk's bytes, in order. */
  readonly chunks: readonly string[];
}

/** A block as it was decided: what a validator that was away is given. */
export interface DecidedBlock {
  readonly batch: Batch;
  readonly certificate: Certificate;
  readonly header: Header;
}

/** Each decided batch makes exactly one block: the engine never orders an empty batch when nothing is due. */
export interface Application {
  /** The header of the last applied block (genesis: height 0). */
  head(): Header;
  /**
   * Why this request would not be ordered at all in a block made now, chain time (bad signature, unknown signer, duplicate, expired, valid for
   * too long), or null. A hint, not a verdict. It must not accept what `propose` at that time passes over: waiting work that no primary
   * may order would cost one primary after the other its place.
   */
  check(request: Envelope, nowMs: number): string | null;
  /** Chain time of the next due operation (clearing, settlement, expiry), or null. */
  dueAtMs(): number | null;
  /** The batch to propose now out of pending requests in order of arrival: bounded, nothing known twice. May be empty of requests. */
  propose(pending: readonly Envelope[], timeMs: number): Batch;
  /** Why a proposed batch must not be prepared (form, bounds, signatures, duplicates, time not later than the head), or null. Requests that fail `check`'s deterministic part in state terms are still fine: they get an ordered refusal. */
  verify(batch: Batch): string | null;
  /**
   * Executes due operations, then the requests, durably and atomically with its certificate, and returns the header of the
   * new block, one higher than the last. A batch that `verify` accepted, or that a quorum agreed on, is never refused here.
   */
  apply(batch: Batch, certificate: Certificate): Header;
  /** The block at a height, or null if it is not kept (genesis, pruned, or before a restored snapshot). */
  block(height: number): DecidedBlock | null;
  /** Takes a snapshot of the state at the head. Its chunks can be read one by one until the next is taken. */
  snapshot(): SnapshotManifest;
  chunk(index: number): SnapshotChunk;
  /** Replaces the state by a snapshot whose header is already proven; refuses chunks that do not make its `stateHash`. */
  restore(manifest: SnapshotManifest, chunks: readonly SnapshotChunk[]): void;
  /** Validators (id -> public key, base64url) in force for the next block. */
  validators(): ReadonlyMap<string, string>;
}

/** What a program asks of an engine, whichever it is. */
export interface Engine {
  /** Begins to take part; reads back what was persisted. Throws if the engine cannot run at all. */
  start(): void;
  stop(): void;
  /** Takes a request for ordering. Null if it was queued or is queued already, else why not (for a hint). */
  submit(request: Envelope): string | null;
  status(): EngineStatus;
}

/** Two signed messages of one validator that an honest one never signs both. */
export interface Contradiction {
  readonly accused: string;
  readonly first: Envelope;
  readonly second: Envelope;
}

export interface EngineStatus {
  readonly engine: string;
  /** Height of the last executed block. */
  readonly height: number;
  readonly view: number;
  readonly primary: string;
  /** `voting`; `changing` the view; `syncing` from others; `following` without a vote (and `why`); `stopped`. */
  readonly state: 'voting' | 'changing' | 'syncing' | 'following' | 'stopped';
  readonly why: string;
  /** Requests waiting for an order. */
  readonly pending: number;
  /** What is kept against other validators, one piece each. */
  readonly evidence: readonly Contradiction[];
}
