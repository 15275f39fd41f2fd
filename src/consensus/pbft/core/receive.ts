// The door for messages: who says it, is it signed, is it near enough to be kept; and what contradicts what was said before.
// Stores only. What follows from the stored messages is decided by the rules in step.ts.

import { sameVote } from './certificate.ts';
import { noteCheckpoint, repeatCheckpoint } from './checkpoints.ts';
import { accuse } from './evidence.ts';
import type { Output } from './io.ts';
import { isRemembered, recognise } from './log.ts';
import { primaryOf } from './members.ts';
import type { Commit, Message, Packet, PrePrepare, Prepare, Status, ViewChange } from './messages.ts';
import { HEIGHTS_AHEAD_MAX, inboxAt, type Replica, send, tell } from './state.ts';
import { receiveAsk, receiveBlocks, receiveChunk, receiveSnapshot } from './transfer.ts';
import { receiveNewView, repeatNewView } from './views.ts';

export function receive(r: Replica, out: Output, packet: Packet): void {
  const message = packet.envelope;
  if (message.signer === r.env.self) return receiveOwn(r, out, message);
  if (isStale(r, message)) return;
  const publicKey = r.members.keys.get(message.signer);
  if (publicKey === undefined) return refuse(out, message, 'not a validator');
  if (!r.env.isSigned(message, publicKey)) return refuse(out, message, 'wrong signature');
  notePeer(r, message);
  switch (message.kind) {
    case 'pbft.pre-prepare':
      return receivePrePrepare(r, out, message, packet);
    case 'pbft.prepare':
    case 'pbft.commit':
      return receiveVote(r, out, message);
    case 'pbft.view-change':
      return receiveViewChange(r, out, message, packet);
    case 'pbft.new-view':
      return receiveNewView(r, out, message);
    case 'pbft.checkpoint':
      return noteCheckpoint(r, out, message);
    case 'pbft.status':
      showLastVote(r, out, message);
      repeatNewView(r, out, message);
      return repeatCheckpoint(r, out, message);
    case 'pbft.forward':
      out.ask.push({ type: 'admit', requests: message.body.requests as never });
      return;
    case 'pbft.ask':
      return receiveAsk(r, out, message);
    case 'pbft.blocks':
      return receiveBlocks(r, out, message);
    case 'pbft.snapshot':
      return receiveSnapshot(r, out, message);
    case 'pbft.chunk':
      return receiveChunk(r, out, message);
    default:
      message satisfies never;
  }
}

/** Own words, looped back by a broker or shown by another. */
function receiveOwn(r: Replica, out: Output, message: Message): void {
  if (isOwnWord(message) && !isRemembered(r, message) && r.env.isSigned(message, r.env.publicKey))
    recognise(r, out, message);
}

function refuse(out: Output, message: Message, reason: string): void {
  tell(out, { type: 'message refused', from: message.signer, kind: message.kind, reason });
}

function isOwnWord(
  message: Message,
): message is PrePrepare | Prepare | Commit | ViewChange | Extract<Message, { kind: 'pbft.new-view' }> {
  return (
    message.kind === 'pbft.pre-prepare' ||
    message.kind === 'pbft.prepare' ||
    message.kind === 'pbft.commit' ||
    message.kind === 'pbft.view-change' ||
    message.kind === 'pbft.new-view'
  );
}

/** Repetitions and votes of decided heights cost no signature check. */
function isStale(r: Replica, message: Message): boolean {
  switch (message.kind) {
    case 'pbft.prepare':
    case 'pbft.commit': {
      if (message.body.height <= r.height) return true;
      const inbox = r.inbox.get(message.body.height);
      const votes = message.kind === 'pbft.prepare' ? inbox?.prepares : inbox?.commits;
      const known = votes?.get(message.signer);
      return known === undefined ? isSurplus(r, message) : known.signature === message.signature;
    }
    case 'pbft.pre-prepare':
      if (message.body.height <= r.height) return true;
      return (
        r.inbox.get(message.body.height)?.prePrepares.get(message.signer)?.prePrepare.signature === message.signature
      );
    case 'pbft.checkpoint':
      return message.body.height < r.stable.height;
    case 'pbft.view-change':
      return r.viewChanges.get(message.signer)?.viewChange.signature === message.signature;
    case 'pbft.new-view':
      return message.body.view < r.view || r.newView?.signature === message.signature;
    default:
      return false;
  }
}

/** The first word of its signer, and one more prepare of what is prepared already. Anything else is looked at: it may be evidence. */
function isSurplus(r: Replica, { kind, body }: Prepare | Commit): boolean {
  return kind === 'pbft.prepare' && r.committed && r.accepted !== null && sameVote(body, r.accepted.prePrepare.body);
}

/** A validator that stands below what it voted on lost its state, and perhaps its log: it is shown its own word (log.ts). */
function showLastVote(r: Replica, out: Output, status: Status): void {
  const lastVote = r.peers.get(status.signer)?.lastVote ?? null;
  if (lastVote !== null && lastVote.body.height > status.body.height + 1) send(out, lastVote);
}

/** A validator that votes on a height has executed the one below. */
function notePeer(r: Replica, message: Message): void {
  let peer = r.peers.get(message.signer);
  if (peer === undefined) {
    peer = { height: 0, view: 0, heardMs: 0, lastVote: null, served: 0, servedSinceMs: 0 };
    r.peers.set(message.signer, peer);
  }
  peer.heardMs = r.now.monotonicMs;
  switch (message.kind) {
    case 'pbft.pre-prepare':
    case 'pbft.prepare':
    case 'pbft.commit':
      peer.height = Math.max(peer.height, message.body.height - 1);
      if (message.kind !== 'pbft.pre-prepare' && message.body.height > (peer.lastVote?.body.height ?? 0)) {
        peer.lastVote = message;
      }
      break;
    case 'pbft.checkpoint':
    case 'pbft.view-change':
      peer.height = Math.max(peer.height, message.body.height);
      break;
    case 'pbft.status':
      // The latest word counts, also downwards: a validator may come back with less than it had claimed.
      peer.height = message.body.height;
      peer.view = message.body.view;
      break;
    default:
  }
}

function receivePrePrepare(r: Replica, out: Output, prePrepare: PrePrepare, packet: Packet): void {
  const { height, view, digest } = prePrepare.body;
  if (height > r.height + HEIGHTS_AHEAD_MAX) return;
  // The set of a later height is not known yet; there the rule that accepts looks again.
  if (height === r.height + 1 && prePrepare.signer !== primaryOf(r.members, view)) {
    return refuse(out, prePrepare, 'not the primary of its view');
  }
  const { prePrepares } = inboxAt(r, height);
  const known = prePrepares.get(prePrepare.signer);
  if (known !== undefined) {
    if (known.prePrepare.body.view > view) return;
    if (known.prePrepare.body.view === view) return accuse(r, out, known.prePrepare, prePrepare);
  }
  if (packet.batch === null || r.env.digestOf(packet.batch) !== digest) {
    return refuse(out, prePrepare, 'without the batch it names');
  }
  prePrepares.set(prePrepare.signer, { prePrepare, batch: packet.batch });
  tell(out, {
    type: 'pre-prepare',
    height,
    view,
    digest,
    from: prePrepare.signer,
    requests: packet.batch.requests.length,
  });
}

function receiveVote(r: Replica, out: Output, vote: Prepare | Commit): void {
  const { height, view, digest } = vote.body;
  if (height > r.height + HEIGHTS_AHEAD_MAX) return;
  const inbox = inboxAt(r, height);
  const votes: Map<string, Prepare | Commit> = vote.kind === 'pbft.prepare' ? inbox.prepares : inbox.commits;
  const known = votes.get(vote.signer);
  if (known !== undefined) {
    if (known.body.view > view) return;
    if (known.body.view === view) {
      if (!sameVote(known.body, vote.body)) accuse(r, out, known, vote);
      return;
    }
  }
  votes.set(vote.signer, vote);
  tell(out, { type: vote.kind === 'pbft.prepare' ? 'prepare' : 'commit', height, view, digest, from: vote.signer });
}

function receiveViewChange(r: Replica, out: Output, viewChange: ViewChange, packet: Packet): void {
  const known = r.viewChanges.get(viewChange.signer)?.viewChange;
  if (known !== undefined) {
    if (known.body.view > viewChange.body.view) return;
    if (known.body.view === viewChange.body.view) return accuse(r, out, known, viewChange);
  }
  const prepared = viewChange.body.prepared;
  if (prepared !== null) {
    // Kept with its batch or not at all: whoever becomes primary must be able to propose it.
    if (packet.batch === null || r.env.digestOf(packet.batch) !== prepared.prePrepare.body.digest) {
      return refuse(out, viewChange, 'without the batch it prepared');
    }
  }
  r.viewChanges.set(viewChange.signer, { viewChange, batch: prepared === null ? null : packet.batch });
}
