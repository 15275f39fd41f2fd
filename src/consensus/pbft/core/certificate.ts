// What convinces: quorums of equal votes, prepared certificates, new views. Judges what messages say of each other;
// signatures are checked through the environment (the caller's cache makes repetition cheap).
// Everything here is a function of its arguments, so that the same code serves a stranger who checks a block.

import type { Carried } from './io.ts';
import { type Members, primaryOf } from './members.ts';
import type { Checkpoint, Commit, Message, NewView, Prepared, Vote } from './messages.ts';

export type IsSigned = (message: Message, publicKey: string) => boolean;

export function sameVote(a: Vote, b: Vote): boolean {
  return a.digest === b.digest && a.height === b.height && a.parent === b.parent && a.view === b.view;
}

/** Distinct members whose signature is right, and nobody else. */
export function areSignedByMembers(messages: readonly Message[], members: Members, isSigned: IsSigned): boolean {
  const signers = new Set<string>();
  for (const message of messages) {
    const publicKey = members.keys.get(message.signer);
    if (publicKey === undefined || signers.has(message.signer)) return false;
    if (!isSigned(message, publicKey)) return false;
    signers.add(message.signer);
  }
  return true;
}

/** q commits of distinct members for this digest on this parent at this height, all in one view. */
export function commitsDecide(
  commits: readonly Commit[],
  decision: { readonly digest: string; readonly height: number; readonly parent: string },
  members: Members,
  isSigned: IsSigned,
): boolean {
  const first = commits[0];
  if (first === undefined || commits.length < members.quorum) return false;
  const vote = { ...decision, view: first.body.view };
  return (
    commits.every(({ kind, body }) => kind === 'pbft.commit' && sameVote(body, vote)) &&
    areSignedByMembers(commits, members, isSigned)
  );
}

/** q checkpoints of distinct members for this header at this height. */
export function checkpointsProve(
  proof: readonly Checkpoint[],
  claim: { readonly header: string; readonly height: number },
  members: Members,
  isSigned: IsSigned,
): boolean {
  if (proof.length < members.quorum) return false;
  if (!proof.every(({ body }) => body.header === claim.header && body.height === claim.height)) return false;
  return areSignedByMembers(proof, members, isSigned);
}

/** The primary's pre-prepare and q - 1 prepares of others for it, at this height on this parent, below this view. */
export function isPrepared(
  prepared: Prepared,
  at: { readonly height: number; readonly parent: string; readonly belowView: number },
  members: Members,
  isSigned: IsSigned,
): boolean {
  const { prePrepare, prepares } = prepared;
  const vote = prePrepare.body;
  if (vote.height !== at.height || vote.parent !== at.parent || vote.view >= at.belowView) return false;
  if (prePrepare.signer !== primaryOf(members, vote.view) || prepares.length < members.quorum - 1) return false;
  if (!prepares.every(({ body }) => sameVote(body, vote))) return false;
  return areSignedByMembers([prePrepare, ...prepares], members, isSigned);
}

/** Height a new view stands on: the highest its view-changes executed. Nothing above it can be decided in lower views. */
export function newViewHeight(newView: NewView): number {
  return newView.body.viewChanges.reduce((highest, { body }) => Math.max(highest, body.height), 0);
}

/**
 * What a quorum of view-changes obliges the new primary to: at one above the highest executed height, the batch prepared
 * in the highest view; or anything, if none was. Recomputed by everybody; null if the new view does not hold.
 * View-changes of lower heights count as promises only: what they prepared is already decided.
 */
export function carriedBy(newView: NewView, parent: string, members: Members, isSigned: IsSigned): Carried | null {
  const { view, viewChanges } = newView.body;
  if (newView.signer !== primaryOf(members, view) || viewChanges.length < members.quorum) return null;
  if (!viewChanges.every(({ body }) => body.view === view)) return null;
  if (!areSignedByMembers(viewChanges, members, isSigned)) return null;
  const height = newViewHeight(newView) + 1;
  let highest: Vote | null = null;
  for (const { body } of viewChanges) {
    if (body.height + 1 !== height || body.prepared === null) continue;
    if (!isPrepared(body.prepared, { height, parent, belowView: view }, members, isSigned)) return null;
    const vote = body.prepared.prePrepare.body;
    if (highest === null || vote.view > highest.view) highest = vote;
  }
  return { height, digest: highest?.digest ?? null };
}
