// The vote log: what a replica remembers of itself after a crash, and how the log is kept short.
// The records above the executed height restore the undecided height; the rest only proves what was said.

import { invariant } from '../../../base/errors.ts';
import type { Batch } from '../../engine.ts';
import type { LogRecord, Output } from './io.ts';
import type { Commit, NewView, PrePrepare, Prepare, ViewChange } from './messages.ts';
import { inboxAt, loseVote, mayVote, type Replica, voteKey } from './state.ts';

type OwnVote = PrePrepare | Prepare | Commit | ViewChange | NewView;

/**
 * Notes an own vote in memory before it is said; the record that holds it must be persisted in the same step. Throws where this place
 * holds another: no rule leads there, and a validator that stops is one fault, one that contradicts itself is evidence against it.
 */
export function remember(r: Replica, vote: OwnVote): void {
  const said = r.ownVotes.get(voteKey(vote));
  invariant(said === undefined || said === vote.signature, `${voteKey(vote)} was said before, and differently`);
  r.ownVotes.set(voteKey(vote), vote.signature);
}

/** Reads the log back into a fresh replica. */
export function recover(r: Replica, records: readonly LogRecord[]): void {
  for (const record of records) {
    switch (record.type) {
      case 'base':
        r.low = record.low;
        r.stable = { height: record.low, proof: [] };
        r.view = Math.max(r.view, record.view);
        for (const [key, signature] of record.votes) r.ownVotes.set(key, signature);
        break;
      case 'accepted':
        recoverAccepted(r, record);
        break;
      case 'committed':
        recoverCommitted(r, record);
        break;
      case 'view change':
        remember(r, record.viewChange);
        r.view = record.viewChange.body.view;
        r.changing = true;
        forgetView(r);
        r.viewChanges.set(r.env.self, { viewChange: record.viewChange, batch: batchOf(r, record.viewChange) });
        break;
      case 'new view':
        if (record.newView.signer === r.env.self) remember(r, record.newView);
        r.view = record.newView.body.view;
        r.changing = false;
        r.newView = record.newView;
        r.carried = record.carried;
        forgetView(r);
        break;
      case 'view':
        r.view = record.view;
        r.changing = false;
        r.newView = null;
        r.carried = null;
        forgetView(r);
        break;
      case 'evidence':
        r.evidence.push(record);
        break;
      case 'vote lost':
        r.voting = false;
        r.whyNotVoting = record.reason;
        break;
      default:
        record satisfies never;
    }
  }
  restoreOwnVotes(r);
}

/** Puts the votes of the undecided height back where they are counted and repeated from (signing is deterministic). */
function restoreOwnVotes(r: Replica): void {
  const { self } = r.env;
  if (r.prepared !== null) {
    for (const prepare of r.prepared.certificate.prepares)
      inboxAt(r, r.height + 1).prepares.set(prepare.signer, prepare);
  }
  if (r.accepted === null || !mayVote(r)) return;
  const { prePrepare, batch } = r.accepted;
  const inbox = inboxAt(r, r.height + 1);
  inbox.prePrepares.set(prePrepare.signer, { prePrepare, batch });
  if (prePrepare.signer !== self) inbox.prepares.set(self, r.env.sign('pbft.prepare', prePrepare.body));
  if (r.committed) inbox.commits.set(self, r.env.sign('pbft.commit', prePrepare.body));
}

/** The batch that a view-change names, if the log has it: what it speaks of may have been decided since. */
function batchOf(r: Replica, { body }: ViewChange): Batch | null {
  const named = body.prepared?.prePrepare.body.digest;
  return r.prepared?.certificate.prePrepare.body.digest === named ? (r.prepared?.batch ?? null) : null;
}

function forgetView(r: Replica): void {
  r.accepted = null;
  r.committed = false;
}

function recoverAccepted(r: Replica, record: Extract<LogRecord, { type: 'accepted' }>): void {
  if (record.prePrepare.signer === r.env.self) remember(r, record.prePrepare);
  if (record.prepare !== null) remember(r, record.prepare);
  const { height, view } = record.prePrepare.body;
  if (height !== r.height + 1) return;
  r.view = Math.max(r.view, view);
  r.accepted = { prePrepare: record.prePrepare, batch: record.batch };
}

function recoverCommitted(r: Replica, record: Extract<LogRecord, { type: 'committed' }>): void {
  if (record.commit !== null) remember(r, record.commit);
  const { height, view, digest } = record.prePrepare.body;
  if (height !== r.height + 1) return;
  const batch = record.batch ?? (r.accepted?.prePrepare.body.digest === digest ? r.accepted.batch : null);
  invariant(batch !== null, `the vote log prepared a batch at ${height} that it never accepted`);
  r.prepared = { certificate: { prePrepare: record.prePrepare, prepares: [...record.prepares] }, batch };
  r.committed = record.commit !== null && view === r.view;
}

/** Replaces the log by what still matters once everything up to `low` is certain. */
export function compact(r: Replica, out: Output, low: number): void {
  r.low = Math.max(r.low, low);
  for (const key of r.ownVotes.keys()) {
    const [, place, view] = key.split('/');
    const past = view === undefined ? Number(place) < highestOwnView(r) : Number(place) <= r.low;
    if (past) r.ownVotes.delete(key);
  }
  const records: LogRecord[] = [{ type: 'base', low: r.low, view: r.view, votes: [...r.ownVotes] }];
  if (!r.voting) records.push({ type: 'vote lost', reason: r.whyNotVoting });
  for (const piece of r.evidence) records.push({ type: 'evidence', ...piece });
  // The prepared certificate first: a view-change that follows names its batch.
  if (r.prepared !== null) {
    const { certificate, batch } = r.prepared;
    records.push({
      type: 'committed',
      prePrepare: certificate.prePrepare,
      prepares: certificate.prepares,
      batch,
      commit: null,
    });
  }
  const own = r.viewChanges.get(r.env.self)?.viewChange;
  if (r.newView !== null && r.carried !== null && r.newView.body.view <= r.view) {
    if (own !== undefined && own.body.view <= r.newView.body.view)
      records.push({ type: 'view change', viewChange: own });
    records.push({ type: 'new view', newView: r.newView, carried: r.carried });
    if (own !== undefined && own.body.view > r.newView.body.view)
      records.push({ type: 'view change', viewChange: own });
  } else if (own !== undefined && r.changing) {
    records.push({ type: 'view change', viewChange: own });
  }
  if (r.accepted !== null) {
    records.push({ type: 'accepted', prePrepare: r.accepted.prePrepare, batch: r.accepted.batch, prepare: null });
  }
  out.compact = records;
  out.persist.length = 0;
}

/** The very message is in the log. */
export function isRemembered(r: Replica, message: OwnVote): boolean {
  return r.ownVotes.get(voteKey(message)) === message.signature;
}

/**
 * Looks at a message that bears this validator's own signature. One it does not remember, above what it forgot on purpose,
 * means that its log was lost or rolled back, or that its key is used elsewhere: it stops voting.
 */
export function recognise(r: Replica, out: Output, message: OwnVote): void {
  const key = voteKey(message);
  const known = r.ownVotes.get(key);
  const forgotten =
    message.kind === 'pbft.view-change' || message.kind === 'pbft.new-view'
      ? known === undefined && message.body.view < highestOwnView(r)
      : message.body.height <= r.low;
  if (known === message.signature || forgotten) return;
  loseVote(r, out, `${key} bears this validator's signature, but is not in its log`);
}

function highestOwnView(r: Replica): number {
  let highest = 0;
  for (const key of r.ownVotes.keys()) {
    const [kind, view] = key.split('/');
    if (kind === 'pbft.view-change') highest = Math.max(highest, Number(view));
  }
  return highest;
}
