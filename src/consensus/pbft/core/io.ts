// What goes into the core and what comes out of it. The driver (host.ts) carries outputs out in the order written here:
// persist, send, tell, ask; and feeds each answer of the application back before any other input.

import type { Envelope } from '../../../protocol/envelope.ts';
import type { Header } from '../../../protocol/header.ts';
import type { Batch, Certificate, DecidedBlock, SnapshotManifest } from '../../engine.ts';
import type { Commit, Message, MessageKind, NewView, Packet, PrePrepare, Prepare, ViewChange } from './messages.ts';
import type { PbftTerms } from './terms.ts';

/** Both clocks at the moment of an input. */
export interface Now {
  readonly chainMs: number;
  readonly monotonicMs: number;
}

/** What the core is given once: who it is, and pure functions for what it may not do itself. */
export interface Environment {
  readonly self: string;
  readonly publicKey: string;
  readonly terms: PbftTerms;
  readonly sign: <Kind extends MessageKind>(kind: Kind, body: unknown) => Extract<Message, { kind: Kind }>;
  readonly isSigned: (message: Message, publicKey: string) => boolean;
  readonly digestOf: (batch: Batch) => string;
}

/** The application's answer to what is the head, and what it means for the next height. */
export interface HeadState {
  readonly header: Header;
  readonly headerHash: string;
  readonly dueAtMs: number | null;
  /** Validators (id -> public key) of the next height. */
  readonly validators: ReadonlyMap<string, string>;
}

export type Input =
  | { readonly type: 'request'; readonly id: string; readonly request: Envelope; readonly bytes: number }
  | { readonly type: 'message'; readonly packet: Packet }
  | { readonly type: 'tick' }
  | { readonly type: 'proposed'; readonly batch: Batch }
  | { readonly type: 'verified'; readonly reason: string | null }
  | { readonly type: 'applied'; readonly head: HeadState; readonly requestIds: readonly string[] }
  | { readonly type: 'rechecked'; readonly refused: readonly { readonly id: string; readonly reason: string }[] }
  | {
      readonly type: 'blocks read';
      readonly peer: string;
      readonly from: number;
      readonly blocks: readonly DecidedBlock[];
    }
  | { readonly type: 'snapshot taken'; readonly manifest: SnapshotManifest }
  | {
      readonly type: 'chunk read';
      readonly peer: string;
      readonly height: number;
      readonly index: number;
      readonly bytes: string;
    }
  | { readonly type: 'restored'; readonly head: HeadState | null; readonly reason: string };

/** A question to the application, answered by the input named in brackets. */
export type Question =
  /** The batch to propose now [proposed]. */
  | { readonly type: 'propose'; readonly pending: readonly Envelope[]; readonly timeMs: number }
  /** Whether to prepare another's batch [verified]. */
  | { readonly type: 'verify'; readonly batch: Batch }
  /** Execute a decided batch [applied]. */
  | { readonly type: 'apply'; readonly batch: Batch; readonly certificate: Certificate }
  /** Are these still worth ordering [rechecked]? */
  | { readonly type: 'recheck'; readonly requests: readonly { readonly id: string; readonly request: Envelope }[] }
  /** Requests another validator showed us [request, for each that passes `check`]. */
  | { readonly type: 'admit'; readonly requests: readonly Envelope[] }
  /** Blocks for a validator that is behind [blocks read]. */
  | { readonly type: 'read blocks'; readonly peer: string; readonly from: number }
  /** A snapshot of the head, to be served [snapshot taken]; a chunk of it [chunk read]. */
  | { readonly type: 'take snapshot' }
  | { readonly type: 'read chunk'; readonly peer: string; readonly height: number; readonly index: number }
  /** Replace the state by a proven snapshot [restored]. */
  | { readonly type: 'restore'; readonly manifest: SnapshotManifest; readonly chunks: readonly string[] };

/** What the vote log holds: everything this validator must not forget having said. */
export type LogRecord =
  /** Start of a compacted log: own votes up to `low` are forgotten on purpose; those above are listed by key. */
  | {
      readonly type: 'base';
      readonly low: number;
      readonly view: number;
      readonly votes: readonly (readonly [key: string, signature: string])[];
    }
  /** A pre-prepare accepted (or, as primary, made) and the prepare that answers it. */
  | {
      readonly type: 'accepted';
      readonly prePrepare: PrePrepare;
      readonly batch: Batch;
      readonly prepare: Prepare | null;
    }
  /** Prepared, and the commit that says so. `batch` null: that of the accepted record before it. */
  | {
      readonly type: 'committed';
      readonly prePrepare: PrePrepare;
      readonly prepares: readonly Prepare[];
      readonly batch: Batch | null;
      readonly commit: Commit | null;
    }
  | { readonly type: 'view change'; readonly viewChange: ViewChange }
  | { readonly type: 'new view'; readonly newView: NewView; readonly carried: Carried }
  | { readonly type: 'view'; readonly view: number }
  | { readonly type: 'evidence'; readonly accused: string; readonly first: Message; readonly second: Message }
  | { readonly type: 'vote lost'; readonly reason: string };

/** What a new view obliges its primary to propose at a height: the batch of a digest, or anything (null). */
export interface Carried {
  readonly height: number;
  readonly digest: string | null;
}

/** For the log and the page. The seed's phases: `request`, `pre-prepare`, `prepare`, `commit`, `executed` (then the program replies). */
export type ConsensusEvent =
  | { readonly type: 'request'; readonly signer: string; readonly kind: string; readonly id: string }
  | ({ readonly type: 'pre-prepare'; readonly from: string; readonly requests: number } & Place)
  | ({ readonly type: 'prepare'; readonly from: string } & Place)
  | ({ readonly type: 'commit'; readonly from: string } & Place)
  | ({
      readonly type: 'executed';
      readonly requests: number;
      readonly timeMs: number;
      readonly synced: boolean;
    } & Place)
  | { readonly type: 'dropped'; readonly id: string; readonly reason: string }
  | ({ readonly type: 'proposal refused'; readonly from: string; readonly reason: string } & Place)
  | { readonly type: 'view change'; readonly height: number; readonly view: number; readonly reason: string }
  | {
      readonly type: 'new view';
      readonly height: number;
      readonly view: number;
      readonly primary: string;
      readonly carried: string | null;
    }
  | { readonly type: 'checkpoint'; readonly height: number }
  | { readonly type: 'asking'; readonly height: number; readonly peer: string; readonly what: string }
  | { readonly type: 'restored'; readonly height: number }
  | { readonly type: 'members'; readonly height: number; readonly validators: readonly string[] }
  | { readonly type: 'evidence'; readonly accused: string; readonly first: Message; readonly second: Message }
  | { readonly type: 'vote lost'; readonly reason: string }
  | { readonly type: 'message refused'; readonly from: string; readonly kind: string; readonly reason: string };

interface Place {
  readonly height: number;
  readonly view: number;
  readonly digest: string;
}

/** Everything one step wants done. */
export interface Output {
  /** Replaces the whole log when set; `persist` is appended after it. */
  compact: readonly LogRecord[] | null;
  persist: LogRecord[];
  send: Packet[];
  events: ConsensusEvent[];
  ask: Question[];
}
