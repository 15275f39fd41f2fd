// The normal case, as rules over what was received: propose, accept (pre-prepare), prepare, commit, execute.
// Each rule looks at the replica, does at most one thing, and says whether it did.

import { invariant } from '../../../base/errors.ts';
import type { Batch } from '../../engine.ts';
import { commitsDecide, sameVote } from './certificate.ts';
import { afterExecution } from './checkpoints.ts';
import type { HeadState, Input, Output } from './io.ts';
import { remember } from './log.ts';
import { type Members, membersOf, primaryOf, sameMembers } from './members.ts';
import type { Commit, PrePrepare, Vote } from './messages.ts';
import { nextRequests, oldestPending, recheckRequests, removeRequests, settleRequests, sizeBatches } from './pool.ts';
import {
  inboxAt,
  isPrimary,
  mayVote,
  persist,
  type Replica,
  recentHeights,
  rememberMembers,
  send,
  tell,
} from './state.ts';
import { complain, regainTrust } from './views.ts';

/** Proposals and votes stop here until the next checkpoint is stable. */
export function highWatermark(r: Replica): number {
  return r.stable.height + 2 * r.env.terms.checkpointEvery;
}

export function isDue(r: Replica, atMs: number): boolean {
  return r.dueAtMs !== null && r.dueAtMs <= atMs;
}

function mayAgree(r: Replica): boolean {
  return mayVote(r) && !r.changing && r.height < highWatermark(r);
}

/** A primary with work and without a proposal of its own proposes: what the new view carries, or a fresh batch. */
export function propose(r: Replica, out: Output): boolean {
  if (!mayAgree(r) || !isPrimary(r) || r.accepted !== null) return false;
  const carried = carriedDigest(r);
  if (carried !== null) {
    const batch = knownBatch(r, carried);
    if (batch === null) return false;
    prePrepare(r, out, batch);
    return true;
  }
  if (r.now.monotonicMs < r.proposeAgainMs || (!isDue(r, r.now.chainMs) && !isBatchRipe(r))) return false;
  r.asked = 'propose';
  out.ask.push({ type: 'propose', pending: nextRequests(r), timeMs: Math.max(r.now.chainMs, r.headTimeMs + 1) });
  return true;
}

/** Batching by count, bytes (the pool cuts) and time. */
function isBatchRipe(r: Replica): boolean {
  const oldest = oldestPending(r);
  if (oldest === null) return false;
  return r.pool.size >= r.batchRequests || r.now.monotonicMs >= oldest.arrivedMs + r.env.terms.batchMs;
}

export function onProposed(r: Replica, out: Output, { batch }: Extract<Input, { type: 'proposed' }>): void {
  if (batch.requests.length === 0 && !isDue(r, batch.timeMs)) {
    // Nothing of what waits can be ordered: let the application say what to drop, and do not ask again at once.
    r.proposeAgainMs = r.now.monotonicMs + r.env.terms.resendMs;
    if (r.pool.size > 0 && r.recheckedMs !== r.now.monotonicMs) recheckRequests(r, out);
    return;
  }
  prePrepare(r, out, batch);
}

function prePrepare(r: Replica, out: Output, batch: Batch): void {
  const vote: Vote = { digest: r.env.digestOf(batch), height: r.height + 1, parent: r.headHash, view: r.view };
  const message = r.env.sign('pbft.pre-prepare', vote);
  r.accepted = { prePrepare: message, batch };
  inboxAt(r, vote.height).prePrepares.set(r.env.self, { prePrepare: message, batch });
  remember(r, message);
  persist(out, { type: 'accepted', prePrepare: message, batch, prepare: null });
  send(out, message, batch);
  tell(out, { type: 'pre-prepare', ...place(vote), from: r.env.self, requests: batch.requests.length });
}

/** What the new view obliges this height to, or null if it is free. */
function carriedDigest(r: Replica): string | null {
  return r.carried !== null && r.carried.height === r.height + 1 ? r.carried.digest : null;
}

/** A backup looks at the primary's proposal for this height and view. */
export function accept(r: Replica, out: Output): boolean {
  if (!mayAgree(r) || r.accepted !== null) return false;
  const primary = primaryOf(r.members, r.view);
  const proposal = r.inbox.get(r.height + 1)?.prePrepares.get(primary);
  if (primary === r.env.self || proposal === undefined || proposal.prePrepare.body.view !== r.view) return false;
  const { prePrepare: message, batch } = proposal;
  const vote = message.body;
  const carried = carriedDigest(r);
  if (carried !== null) {
    // Prepared before: never checked against a clock or the application again.
    if (vote.digest !== carried || vote.parent !== r.headHash) {
      refuseProposal(r, out, message, 'not the batch the new view carries');
    } else prepare(r, out, message, batch);
    return true;
  }
  const wrong = wrongForm(r, vote, batch);
  if (wrong !== null) {
    refuseProposal(r, out, message, wrong);
    return true;
  }
  if (Math.abs(batch.timeMs - r.now.chainMs) > r.env.terms.clockSkewMsMax) return false; // its time may come
  r.asked = { prePrepare: message, batch };
  out.ask.push({ type: 'verify', batch });
  return true;
}

function wrongForm(r: Replica, vote: Vote, batch: Batch): string | null {
  if (vote.parent !== r.headHash) return 'stands on another parent';
  if (batch.timeMs <= r.headTimeMs) return 'its time is not later than the last block';
  if (batch.requests.length === 0 && !isDue(r, batch.timeMs)) return 'empty, and nothing is due';
  return null;
}

export function onVerified(
  r: Replica,
  out: Output,
  proposal: { prePrepare: PrePrepare; batch: Batch },
  reason: string | null,
): void {
  if (reason === null) prepare(r, out, proposal.prePrepare, proposal.batch);
  else refuseProposal(r, out, proposal.prePrepare, reason);
}

/** The primary signed what no honest validator would: it is given up at once. */
function refuseProposal(r: Replica, out: Output, message: PrePrepare, reason: string): void {
  tell(out, { type: 'proposal refused', ...place(message.body), from: message.signer, reason });
  complain(r, out, r.view + 1, `proposal refused: ${reason}`);
}

function prepare(r: Replica, out: Output, message: PrePrepare, batch: Batch): void {
  const vote = message.body;
  const own = r.env.sign('pbft.prepare', vote);
  r.accepted = { prePrepare: message, batch };
  inboxAt(r, vote.height).prepares.set(r.env.self, own);
  remember(r, own);
  persist(out, { type: 'accepted', prePrepare: message, batch, prepare: own });
  send(out, own);
  tell(out, { type: 'prepare', ...place(vote), from: r.env.self });
}

/** Accepted, and q - 1 prepares of others than the primary: prepared. Kept with its proof, then said (commit). */
export function commit(r: Replica, out: Output): boolean {
  if (!mayAgree(r) || r.accepted === null || r.committed) return false;
  const { prePrepare: message, batch } = r.accepted;
  const vote = message.body;
  const prepares = [...inboxAt(r, vote.height).prepares.values()].filter(
    ({ signer, body }) => signer !== message.signer && r.members.keys.has(signer) && sameVote(body, vote),
  );
  if (prepares.length < r.members.quorum - 1) return false;
  const certificate = { prePrepare: message, prepares: prepares.slice(0, r.members.quorum - 1) };
  const own = r.env.sign('pbft.commit', vote);
  r.prepared = { certificate, batch };
  r.committed = true;
  inboxAt(r, vote.height).commits.set(r.env.self, own);
  remember(r, own);
  persist(out, { type: 'committed', ...certificate, batch: null, commit: own });
  send(out, own);
  tell(out, { type: 'commit', ...place(vote), from: r.env.self });
  return true;
}

/** q equal commits decide, in whatever view this replica is. */
export function decide(r: Replica, out: Output): boolean {
  const inbox = r.inbox.get(r.height + 1);
  if (inbox === undefined || inbox.commits.size < r.members.quorum) return false;
  for (const { body } of inbox.commits.values()) {
    const commits = [...inbox.commits.values()].filter(
      (other) => r.members.keys.has(other.signer) && sameVote(other.body, body),
    );
    if (commits.length < r.members.quorum || body.parent !== r.headHash) continue;
    const batch = knownBatch(r, body.digest);
    if (batch === null) continue; // state transfer will bring it
    apply(r, out, batch, commits.slice(0, r.members.quorum), false);
    return true;
  }
  return false;
}

/** Hands a decided batch to the application. Also the way of state transfer. */
export function apply(r: Replica, out: Output, batch: Batch, commits: readonly Commit[], synced: boolean): void {
  const vote = (commits[0] as Commit).body;
  const decision = { digest: r.env.digestOf(batch), height: r.height + 1, parent: r.headHash };
  invariant(commitsDecide(commits, decision, r.members, r.env.isSigned), `height ${vote.height} is not decided`);
  r.asked = { batch, vote, commits, synced };
  const certificate = {
    engine: 'pbft',
    engineHeight: vote.height,
    view: vote.view,
    proposer: primaryOf(r.members, vote.view),
    commits: [...commits],
  };
  out.ask.push({ type: 'apply', batch, certificate });
}

export function onApplied(
  r: Replica,
  out: Output,
  decided: { batch: Batch; vote: Vote; synced: boolean },
  input: Extract<Input, { type: 'applied' }>,
): void {
  const { vote, batch, synced } = decided;
  invariant(input.head.header.height === vote.height, `block ${vote.height} made height ${input.head.header.height}`);
  invariant(
    input.head.header.parent === vote.parent,
    `block ${vote.height} stands on another parent than was voted on`,
  );
  enterHeight(r, out, input.head);
  tell(out, { type: 'executed', ...place(vote), requests: batch.requests.length, timeMs: batch.timeMs, synced });
  if (synced) removeRequests(r, input.requestIds);
  else settleRequests(r, input.requestIds);
  // A block decided in a view proves that the view was entered rightly.
  if (vote.view > r.view || (vote.view === r.view && r.changing)) {
    r.view = vote.view;
    r.changing = false;
    r.newView = null;
    r.carried = null;
    persist(out, { type: 'view', view: r.view });
  }
  if (!synced) {
    const tookMs = r.workSinceMs === null ? 0 : r.now.monotonicMs - r.workSinceMs;
    regainTrust(r, tookMs);
    sizeBatches(r, batch.requests.length, tookMs);
  }
  r.workSinceMs = null;
  r.proposeAgainMs = 0;
  afterExecution(r, out);
}

/** The executed state moved: everything about the height agreed on before is done with. */
export function enterHeight(r: Replica, out: Output, head: HeadState): void {
  r.height = head.header.height;
  r.headTimeMs = head.header.timeMs;
  r.headHash = head.headerHash;
  r.dueAtMs = head.dueAtMs;
  r.recent.set(r.height, r.headHash);
  r.recent.delete(r.height - recentHeights(r.env.terms));
  r.accepted = null;
  r.prepared = null;
  r.committed = false;
  r.resends = 0;
  r.resendAtMs = r.now.monotonicMs + r.env.terms.resendMs;
  for (const height of r.inbox.keys()) if (height <= r.height) r.inbox.delete(height);
  const members = membersOf(head.validators);
  if (!sameMembers(members, r.members)) {
    forgetKeysBefore(r, members);
    rememberMembers(r, r.height + 1, members);
    r.inbox.clear(); // signed with keys of the set before: whoever is still a member repeats it
    tell(out, { type: 'members', height: r.height + 1, validators: members.ids });
  }
}

/** What a key said that is in force no more counts for nothing, and must not contradict what the new key says. */
function forgetKeysBefore(r: Replica, members: Members): void {
  for (const [signer, publicKey] of r.members.keys) {
    if (members.keys.get(signer) === publicKey) continue;
    r.viewChanges.delete(signer);
    for (const bySigner of r.checkpoints.values()) bySigner.delete(signer);
  }
}

/** A batch seen with a proposal or a view-change for this height. */
function knownBatch(r: Replica, digest: string): Batch | null {
  if (r.accepted?.prePrepare.body.digest === digest) return r.accepted.batch;
  if (r.prepared?.certificate.prePrepare.body.digest === digest) return r.prepared.batch;
  for (const { prePrepare: message, batch } of r.inbox.get(r.height + 1)?.prePrepares.values() ?? []) {
    if (message.body.digest === digest) return batch;
  }
  for (const { viewChange, batch } of r.viewChanges.values()) {
    if (viewChange.body.prepared?.prePrepare.body.digest === digest) return batch;
  }
  return null;
}

export function place(vote: Vote): { height: number; view: number; digest: string } {
  return { height: vote.height, view: vote.view, digest: vote.digest };
}
