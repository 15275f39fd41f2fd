// Checkpoints: a quorum of signed words that a height has one header. A stable one lets the vote log be cut, moves the
// watermarks, and proves a snapshot to a validator that was away.

import { accuse } from './evidence.ts';
import type { Output } from './io.ts';
import { compact } from './log.ts';
import type { Checkpoint, Status } from './messages.ts';
import { loseVote, mayVote, type Replica, send, tell } from './state.ts';
import { offerSnapshot } from './transfer.ts';

/** Unstable checkpoints kept of one signer. */
const KEPT_OF_SIGNER_MAX = 8;

export function afterExecution(r: Replica, out: Output): void {
  if (r.height % r.env.terms.checkpointEvery === 0) sendCheckpoint(r, out, r.height);
  settleCheckpoint(r, out, r.height);
}

/** Says what header this validator has at a height that it executed lately. */
export function sendCheckpoint(r: Replica, out: Output, height: number): void {
  const header = r.recent.get(height);
  if (!mayVote(r) || header === undefined || height === 0) return;
  const message = r.env.sign('pbft.checkpoint', { header, height });
  if (height > r.stable.height) checkpointsAt(r, height).set(r.env.self, message);
  send(out, message);
  settleCheckpoint(r, out, height);
}

function checkpointsAt(r: Replica, height: number): Map<string, Checkpoint> {
  let bySigner = r.checkpoints.get(height);
  if (bySigner === undefined) {
    bySigner = new Map();
    r.checkpoints.set(height, bySigner);
  }
  return bySigner;
}

export function noteCheckpoint(r: Replica, out: Output, message: Checkpoint): void {
  const { height, header } = message.body;
  if (height <= r.stable.height) return;
  const bySigner = checkpointsAt(r, height);
  const known = bySigner.get(message.signer);
  if (known !== undefined && known.body.header !== header) return accuse(r, out, known, message);
  bySigner.set(message.signer, message);
  if (known === undefined) forgetOldest(r, message.signer);
  settleCheckpoint(r, out, height);
}

function forgetOldest(r: Replica, signer: string): void {
  const heights = [...r.checkpoints].filter(([, bySigner]) => bySigner.has(signer)).map(([height]) => height);
  if (heights.length <= KEPT_OF_SIGNER_MAX) return;
  const oldest = Math.min(...heights);
  const bySigner = r.checkpoints.get(oldest);
  bySigner?.delete(signer);
  if (bySigner?.size === 0) r.checkpoints.delete(oldest);
}

/** Makes a checkpoint stable once a quorum signed the header that this replica has, too. */
export function settleCheckpoint(r: Replica, out: Output, height: number): void {
  const own = r.recent.get(height);
  const bySigner = r.checkpoints.get(height);
  if (own === undefined || bySigner === undefined || height > r.height || height <= r.stable.height) return;
  const votes = [...bySigner.values()].filter(({ signer }) => r.members.keys.has(signer));
  const equal = votes.filter(({ body }) => body.header === own);
  if (equal.length < r.members.quorum) {
    if (votes.length - equal.length >= r.members.quorum)
      loseVote(r, out, `a quorum has another state at height ${height}`);
    return;
  }
  r.stable = { height, proof: equal };
  for (const old of r.checkpoints.keys()) if (old <= height) r.checkpoints.delete(old);
  tell(out, { type: 'checkpoint', height });
  compact(r, out, height);
  offerSnapshot(r, out);
}

/** Where two validators differ in what is stable, both sign the higher one, if both executed it: so a third is convinced. */
export function repeatCheckpoint(r: Replica, out: Output, status: Status): void {
  const { stable, height } = status.body;
  const higher = Math.max(stable, r.stable.height);
  if (stable !== r.stable.height && height >= higher && r.height >= higher) sendCheckpoint(r, out, higher);
}

/** The latest own checkpoint that is not stable yet, to be repeated. */
export function repeatOwnCheckpoint(r: Replica, out: Output): void {
  const latest = r.height - (r.height % r.env.terms.checkpointEvery);
  if (latest > r.stable.height) sendCheckpoint(r, out, latest);
}
