// The memory of one replica. Only step.ts and what it calls change it; everything is bounded by a named limit.

import { invariant } from '../../../base/errors.ts';
import type { Envelope } from '../../../protocol/envelope.ts';
import type { Batch, SnapshotManifest } from '../../engine.ts';
import type { Carried, ConsensusEvent, Environment, HeadState, LogRecord, Now, Output } from './io.ts';
import { type Members, membersOf, primaryOf } from './members.ts';
import type {
  Blocks,
  Checkpoint,
  Commit,
  Message,
  NewView,
  Packet,
  PrePrepare,
  Prepare,
  Prepared,
  ViewChange,
  Vote,
} from './messages.ts';
import type { PbftTerms } from './terms.ts';

/** Heights above the executed one whose votes are kept; what lies further on comes by state transfer. */
export const HEIGHTS_AHEAD_MAX = 8;
/** Changes of membership remembered, to judge certificates of recent heights. */
const MEMBERSHIPS_MAX = 16;
/** Pieces of evidence kept. */
export const EVIDENCE_MAX = 64;

/** Votes for one height: from each signer the one of the highest view. */
export interface Inbox {
  readonly prePrepares: Map<string, { readonly prePrepare: PrePrepare; readonly batch: Batch }>;
  readonly prepares: Map<string, Prepare>;
  readonly commits: Map<string, Commit>;
}

/** A request waiting for its place in a batch. */
export interface Pending {
  readonly request: Envelope;
  readonly bytes: number;
  readonly arrivedMs: number;
  /** When it may next be shown to the other validators, how often it was, and when first (null: never). */
  forwardAtMs: number;
  forwards: number;
  shownMs: number | null;
  /** Blocks that ordered what came after it was shown. */
  overtaken: number;
}

/** What another validator was heard to say of itself. Never believed beyond asking it. */
export interface Peer {
  height: number;
  view: number;
  heardMs: number;
  /** Its vote on the highest height, to be shown to it if it forgets. */
  lastVote: Prepare | Commit | null;
  /** Questions answered in the present second, so that nobody keeps us busy with state transfer. */
  served: number;
  servedSinceMs: number;
}

/** What this validator is asking others for because it is behind. */
export interface Transfer {
  peer: string;
  askedMs: number;
  /** The question was answered: the next one may be asked. */
  answered: boolean;
  what: 'blocks' | 'snapshot' | 'chunk';
  blocks: Blocks['body']['blocks'];
  manifest: SnapshotManifest | null;
  proof: readonly Checkpoint[];
  chunks: string[];
  /** Characters of the chunks so far. */
  textLength: number;
}

export interface Replica {
  readonly env: Environment;
  now: Now;

  // The executed state.
  height: number;
  headTimeMs: number;
  headHash: string;
  dueAtMs: number | null;
  /** Validators of the next height, and since which height each remembered set is in force. */
  members: Members;
  readonly memberships: { readonly from: number; readonly members: Members }[];
  /** Header hashes of recent heights. */
  readonly recent: Map<number, string>;

  // The view.
  view: number;
  /** Left the view below, and not yet in this one. */
  changing: boolean;
  /** The message that made this view, to repeat to others. */
  newView: NewView | null;
  carried: Carried | null;
  readonly viewChanges: Map<string, { readonly viewChange: ViewChange; readonly batch: Batch | null }>;
  /** A new view that cannot be judged before blocks below it are fetched. */
  newViewAhead: NewView | null;

  // The height being agreed on: `height + 1`.
  accepted: { readonly prePrepare: PrePrepare; readonly batch: Batch } | null;
  /** Prepared certificate of the highest view so far. */
  prepared: { readonly certificate: Prepared; readonly batch: Batch } | null;
  committed: boolean;
  readonly inbox: Map<number, Inbox>;

  // What must not be forgotten.
  voting: boolean;
  whyNotVoting: string;
  readonly ownVotes: Map<string, string>;
  low: number;
  readonly evidence: { readonly accused: string; readonly first: Message; readonly second: Message }[];

  // Checkpoints.
  readonly checkpoints: Map<number, Map<string, Checkpoint>>;
  stable: { readonly height: number; readonly proof: readonly Checkpoint[] };

  // Requests.
  readonly pool: Map<string, Pending>;
  readonly poolBySigner: Map<string, number>;
  /** Latest arrival of a request that was ordered. */
  servedUpToMs: number;
  /** Most requests of the next batch: fewer after blocks that took long. */
  batchRequests: number;

  // Others, and state transfer.
  readonly peers: Map<string, Peer>;
  transfer: Transfer | null;
  /** Peers that just failed to answer; asked again after everybody else. */
  readonly unhelpful: Set<string>;
  /** Rounds of questions that nobody answered in time, less those since that were answered fast. */
  asksInVain: number;
  lastAsked: string;
  askAgainMs: number;
  /** A snapshot taken for others; its proof is there once a quorum has the same checkpoint. */
  serving: {
    readonly manifest: SnapshotManifest;
    readonly takenMs: number;
    proof: readonly Checkpoint[] | null;
  } | null;
  readonly snapshotAskers: Set<string>;
  /** A snapshot did not come or did not hold: blocks from now on, unless they are not kept. */
  noSnapshots: boolean;

  // Timers (monotonic ms).
  /** Since when work has waited without a new block. */
  workSinceMs: number | null;
  newViewSinceMs: number | null;
  attempts: number;
  /** Blocks since the last view was given up. */
  slowBlocks: number;
  resendAtMs: number;
  resends: number;
  statusAtMs: number;
  recheckedMs: number;
  /** After an empty answer the application is not asked for a proposal again before this. */
  proposeAgainMs: number;
  /** Since when another validator is known to be ahead. */
  behindSinceMs: number | null;

  /** A question that changes the executed state is open: nothing else may be decided until it is answered. */
  asked:
    | { readonly batch: Batch; readonly vote: Vote; readonly commits: readonly Commit[]; readonly synced: boolean }
    | { readonly prePrepare: PrePrepare; readonly batch: Batch }
    | 'propose'
    | 'recheck'
    | 'restore'
    | null;
}

/** Heights below the head whose header hashes are kept. */
export function recentHeights(terms: PbftTerms): number {
  return 4 * terms.checkpointEvery;
}

/** A replica at the head of its application (with the header hashes of `recent` heights, for checkpoints), before its log is read back (log.ts). */
export function newReplica(
  env: Environment,
  head: HeadState,
  recent: readonly (readonly [height: number, headerHash: string])[],
  now: Now,
): Replica {
  const members = membersOf(head.validators);
  return {
    env,
    now,
    height: head.header.height,
    headTimeMs: head.header.timeMs,
    headHash: head.headerHash,
    dueAtMs: head.dueAtMs,
    members,
    memberships: [{ from: head.header.height + 1, members }],
    recent: new Map([...recent, [head.header.height, head.headerHash]]),
    view: 0,
    changing: false,
    newView: null,
    carried: null,
    viewChanges: new Map(),
    newViewAhead: null,
    accepted: null,
    prepared: null,
    committed: false,
    inbox: new Map(),
    voting: true,
    whyNotVoting: '',
    ownVotes: new Map(),
    low: 0,
    evidence: [],
    checkpoints: new Map(),
    stable: { height: 0, proof: [] },
    pool: new Map(),
    poolBySigner: new Map(),
    servedUpToMs: Number.NEGATIVE_INFINITY,
    batchRequests: env.terms.batchRequestsMax,
    peers: new Map(),
    transfer: null,
    unhelpful: new Set(),
    asksInVain: 0,
    lastAsked: '',
    askAgainMs: 0,
    serving: null,
    snapshotAskers: new Set(),
    noSnapshots: false,
    workSinceMs: null,
    newViewSinceMs: null,
    attempts: 0,
    slowBlocks: 0,
    resendAtMs: now.monotonicMs + env.terms.resendMs,
    resends: 0,
    statusAtMs: now.monotonicMs,
    recheckedMs: Number.NEGATIVE_INFINITY,
    proposeAgainMs: 0,
    behindSinceMs: null,
    asked: null,
  };
}

/** A member with the key in force, and a log that holds every vote it ever gave. */
export function mayVote(r: Replica): boolean {
  return r.voting && r.members.keys.get(r.env.self) === r.env.publicKey;
}

export function isPrimary(r: Replica): boolean {
  return primaryOf(r.members, r.view) === r.env.self;
}

/** The validators in force for a height, or null for heights too old to judge. */
export function membersAt(r: Replica, height: number): Members | null {
  for (let i = r.memberships.length - 1; i >= 0; i--) {
    const membership = r.memberships[i] as Replica['memberships'][number];
    if (height >= membership.from) return membership.members;
  }
  return null;
}

export function rememberMembers(r: Replica, from: number, members: Members): void {
  r.members = members;
  r.memberships.push({ from, members });
  if (r.memberships.length > MEMBERSHIPS_MAX) r.memberships.shift();
}

export function inboxAt(r: Replica, height: number): Inbox {
  let inbox = r.inbox.get(height);
  if (inbox === undefined) {
    invariant(height > r.height && height <= r.height + HEIGHTS_AHEAD_MAX, `no inbox for height ${height}`);
    inbox = { prePrepares: new Map(), prepares: new Map(), commits: new Map() };
    r.inbox.set(height, inbox);
  }
  return inbox;
}

export function emptyOutput(): Output {
  return { compact: null, persist: [], send: [], events: [], ask: [] };
}

export function send(out: Output, envelope: Message, batch: Batch | null = null): void {
  out.send.push({ batch, envelope } satisfies Packet);
}

export function tell(out: Output, event: ConsensusEvent): void {
  out.events.push(event);
}

export function persist(out: Output, record: LogRecord): void {
  out.persist.push(record);
}

/** Key under which an own message is remembered. */
export function voteKey(message: PrePrepare | Prepare | Commit | ViewChange | NewView): string {
  return message.kind === 'pbft.view-change' || message.kind === 'pbft.new-view'
    ? `${message.kind}/${message.body.view}`
    : `${message.kind}/${message.body.height}/${message.body.view}`;
}

/** The validator's own words that nobody remembers it saying: its log was lost or rolled back, or another has its key. */
export function loseVote(r: Replica, out: Output, reason: string): void {
  if (!r.voting) return;
  r.voting = false;
  r.whyNotVoting = reason;
  persist(out, { type: 'vote lost', reason });
  tell(out, { type: 'vote lost', reason });
}
