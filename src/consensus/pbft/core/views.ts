// Giving up a primary: view-changes, the new view made from a quorum of them, and its check by everybody else.

import { carriedBy, isPrepared, newViewHeight } from './certificate.ts';
import { accuse } from './evidence.ts';
import type { Carried, Output } from './io.ts';
import { recognise, remember } from './log.ts';
import { primaryOf } from './members.ts';
import type { NewView, Status, ViewChange } from './messages.ts';
import { forgiveOvertaking, isPassedOver, recheckRequests } from './pool.ts';
import { mayVote, membersAt, persist, type Replica, send, tell } from './state.ts';

/** Heartbeats after which a silent validator counts as cut off. */
const HEARD_HEARTBEATS = 3;
/** Blocks that took long, after which patience shrinks by one doubling. */
const SLOW_BLOCKS = 16;

/** Leaves the present view for a higher one, and says what was executed and prepared. Said once a view, repeated unchanged. */
export function complain(r: Replica, out: Output, view: number, reason: string): void {
  if (!mayVote(r) || view <= r.view) return;
  r.view = view;
  r.changing = true;
  r.accepted = null;
  r.committed = false;
  r.newViewSinceMs = null;
  r.attempts++;
  r.slowBlocks = 0;
  r.resends = 0;
  r.resendAtMs = r.now.monotonicMs + r.env.terms.resendMs;
  const body = { height: r.height, prepared: r.prepared?.certificate ?? null, view };
  const viewChange = r.env.sign('pbft.view-change', body);
  const batch = r.prepared?.batch ?? null;
  r.viewChanges.set(r.env.self, { viewChange, batch });
  remember(r, viewChange);
  persist(out, { type: 'view change', viewChange });
  send(out, viewChange, batch);
  tell(out, { type: 'view change', height: r.height, view, reason });
}

/** f + 1 others have left this view, so at least one honest one has: follow, without waiting for the own timer. */
export function join(r: Replica, out: Output): boolean {
  if (!mayVote(r)) return false;
  const views = othersAbove(r);
  const view = views[r.members.faults];
  if (view === undefined) return false;
  complain(r, out, view, `${r.members.faults + 1} others left the view`);
  return true;
}

/** Views above this one that others have gone to, the highest first. */
function othersAbove(r: Replica): number[] {
  const views: number[] = [];
  for (const [signer, { viewChange }] of r.viewChanges) {
    if (signer !== r.env.self && r.members.keys.has(signer) && viewChange.body.view > r.view)
      views.push(viewChange.body.view);
  }
  return views.sort((a, b) => b - a);
}

/** View-changes to the present view of members that executed no more than this replica. */
function countable(r: Replica): ViewChange[] {
  const usable: ViewChange[] = [];
  for (const [signer, { viewChange }] of r.viewChanges) {
    const { view, height } = viewChange.body;
    if (r.members.keys.has(signer) && view === r.view && height <= r.height) usable.push(viewChange);
  }
  return usable;
}

/** The primary of the view that is being changed to announces it, once a quorum of view-changes is there. */
export function announce(r: Replica, out: Output): boolean {
  if (!mayVote(r) || !r.changing || primaryOf(r.members, r.view) !== r.env.self) return false;
  const candidates = countable(r);
  if (candidates.length < r.members.quorum) return false;
  // Its own word stands in the new view, so that it never stands on less than its own height.
  candidates.sort((a, b) => Number(b.signer === r.env.self) - Number(a.signer === r.env.self));
  const sound = candidates.filter((viewChange) => isSound(r, viewChange)).slice(0, r.members.quorum);
  if (sound.length < r.members.quorum) return false;
  const newView = r.env.sign('pbft.new-view', { view: r.view, viewChanges: sound });
  const carried = judge(r, newView);
  if (carried === null) return false;
  remember(r, newView);
  send(out, newView);
  enter(r, out, newView, carried);
  return true;
}

/** A view-change whose prepared certificate does not hold would spoil a new view and is left out of it. */
function isSound(r: Replica, { body }: ViewChange): boolean {
  if (body.prepared === null || body.height !== r.height) return true;
  const at = { height: r.height + 1, parent: r.headHash, belowView: body.view };
  return isPrepared(body.prepared, at, r.members, r.env.isSigned);
}

/** What the new view obliges to, or null if it does not hold or cannot be judged at this height. */
function judge(r: Replica, newView: NewView): Carried | null {
  const height = newViewHeight(newView);
  const members = membersAt(r, height + 1);
  const parent = r.recent.get(height);
  if (members === null || parent === undefined) return null;
  return carriedBy(newView, parent, members, r.env.isSigned);
}

export function receiveNewView(r: Replica, out: Output, newView: NewView): void {
  const { view, viewChanges } = newView.body;
  accuseOfTwo(r, out, newView);
  if (view < r.view || (view === r.view && !r.changing)) return;
  for (const viewChange of viewChanges) {
    const publicKey = r.members.keys.get(viewChange.signer);
    if (viewChange.signer === r.env.self && publicKey !== undefined && r.env.isSigned(viewChange, publicKey)) {
      recognise(r, out, viewChange);
    }
  }
  if (newViewHeight(newView) > r.height) {
    if (newView.signer !== primaryOf(r.members, view)) return;
    if (r.newViewAhead === null || r.newViewAhead.body.view <= view) r.newViewAhead = newView;
    return;
  }
  const carried = judge(r, newView);
  if (carried === null) {
    tell(out, {
      type: 'message refused',
      from: newView.signer,
      kind: newView.kind,
      reason: 'the new view does not hold',
    });
    return;
  }
  enter(r, out, newView, carried);
}

/** One primary, one new view: a second that differs is evidence, if the first holds by the key that is in force now. */
function accuseOfTwo(r: Replica, out: Output, second: NewView): void {
  const first = r.newView;
  const publicKey = r.members.keys.get(second.signer);
  if (first === null || publicKey === undefined) return;
  if (first.signer !== second.signer || first.body.view !== second.body.view) return;
  if (r.env.isSigned(first, publicKey)) accuse(r, out, first, second);
}

/** A new view that had to wait for blocks below it. */
export function receiveNewViewAhead(r: Replica, out: Output): boolean {
  const newView = r.newViewAhead;
  if (newView === null || newViewHeight(newView) > r.height) return false;
  r.newViewAhead = null;
  receiveNewView(r, out, newView);
  return true;
}

function enter(r: Replica, out: Output, newView: NewView, carried: Carried): void {
  r.view = newView.body.view;
  r.changing = false;
  r.newView = newView;
  r.carried = carried;
  r.accepted = null;
  r.committed = false;
  r.newViewSinceMs = null;
  r.workSinceMs = null;
  r.resends = 0;
  r.resendAtMs = r.now.monotonicMs + r.env.terms.resendMs;
  forgiveOvertaking(r);
  persist(out, { type: 'new view', newView, carried });
  tell(out, {
    type: 'new view',
    height: carried.height,
    view: r.view,
    primary: newView.signer,
    carried: carried.digest,
  });
}

/** A validator that is in a lower view, or waits to enter this one, gets the message that made it. */
export function repeatNewView(r: Replica, out: Output, status: Status): void {
  const { view, changing } = status.body;
  if (r.newView === null || r.changing || r.newView.body.view !== r.view) return;
  if (view < r.view || (view === r.view && changing)) send(out, r.newView);
}

/** True once a quorum has left for the present view: from then on its primary has a time limit. */
export function hasQuorumLeft(r: Replica): boolean {
  let count = 0;
  for (const [signer, { viewChange }] of r.viewChanges) {
    if (r.members.keys.has(signer) && viewChange.body.view >= r.view) count++;
  }
  return count >= r.members.quorum;
}

/** How long work may wait for a block, or a quorum for its new view: doubles with each view given up in vain. */
export function patienceMs(r: Replica): number {
  const { viewMs, viewMsMax } = r.env.terms;
  return Math.min(viewMs * 2 ** Math.max(0, r.attempts - 1), viewMsMax);
}

/**
 * After a block that was agreed on here, with the time that its work had waited. One that came well within the first timer shows that links are fast: patience is short again.
 * Else patience shrinks by one doubling every so many blocks: where links are slower than the first timer, not each block costs views,
 * and a primary that is slow on purpose does not stay slow for ever.
 */
export function regainTrust(r: Replica, tookMs: number): void {
  if (2 * tookMs <= r.env.terms.viewMs) r.attempts = 0;
  else if (r.attempts > 0 && ++r.slowBlocks >= SLOW_BLOCKS) {
    r.attempts--;
    r.slowBlocks = 0;
  }
}

/** When the present primary is given up if nothing happens, or null. */
export function givesUpAtMs(r: Replica): number | null {
  const since = r.changing ? r.newViewSinceMs : r.workSinceMs;
  return since === null ? null : since + patienceMs(r);
}

/** The rule of the timer: work waited without a block, or a request was passed over, or no new view came. */
export function giveUp(r: Replica, out: Output): boolean {
  if (!mayVote(r)) return false;
  const atMs = givesUpAtMs(r);
  const late = atMs !== null && r.now.monotonicMs >= atMs;
  const overtaken = !r.changing && isPassedOver(r);
  if (!late && !overtaken) return false;
  if (r.changing) {
    complain(r, out, r.view + 1, 'no new view in time');
    return true;
  }
  if (r.pool.size > 0 && r.recheckedMs < (r.workSinceMs ?? Number.POSITIVE_INFINITY)) {
    recheckRequests(r, out); // what nobody wants any more is no reason to complain
    return true;
  }
  if (!hearsQuorum(r)) return false; // cut off: leaving the view alone would only keep this one out of it
  complain(r, out, r.view + 1, overtaken ? 'a request is passed over' : 'work waits without a block');
  return true;
}

function hearsQuorum(r: Replica): boolean {
  const sinceMs = r.now.monotonicMs - HEARD_HEARTBEATS * r.env.terms.heartbeatMs;
  let heard = 1;
  for (const [id, peer] of r.peers) if (r.members.keys.has(id) && peer.heardMs >= sinceMs) heard++;
  return heard >= r.members.quorum;
}
