// Requests waiting for their place in a batch: in order of arrival, bounded in all and for each signer.
// Forward, complain, drop: a request not ordered in time is shown to all validators; one that is passed over again and again
// makes its validator give up the primary; one the application no longer wants is dropped.

import type { Envelope } from '../../../protocol/envelope.ts';
import type { Input, Output } from './io.ts';
import { mayVote, type Pending, type Replica, send, tell } from './state.ts';

/** Requests and bytes shown to others in one message. */
const FORWARD_REQUESTS_MAX = 256;
const FORWARD_BYTES_MAX = 256 * 1024;
/** Blocks that may come without a request from its arrival on: one was on its way, one may just have missed it at the primary. */
const BLOCKS_WITHOUT_MAX = 2;
/** Requests the application is asked about again at a time. */
const RECHECK_MAX = 256;

/** Why a request cannot wait here, or null. */
export function poolRefuses(r: Replica, signer: string): string | null {
  if (r.pool.size >= r.env.terms.pendingMax) return 'too many requests are waiting here';
  if ((r.poolBySigner.get(signer) ?? 0) >= r.env.terms.pendingPerSignerMax)
    return 'too many of your requests are waiting';
  return null;
}

export function addRequest(r: Replica, out: Output, input: Extract<Input, { type: 'request' }>): void {
  const { id, request, bytes } = input;
  if (r.pool.has(id) || poolRefuses(r, request.signer) !== null) return;
  const arrivedMs = r.now.monotonicMs;
  const forwardAtMs = arrivedMs + r.env.terms.forwardMs;
  r.pool.set(id, { request, bytes, arrivedMs, arrivedHeight: r.height, forwardAtMs, forwards: 0, overtaken: 0 });
  r.poolBySigner.set(request.signer, (r.poolBySigner.get(request.signer) ?? 0) + 1);
  r.proposeAgainMs = 0;
  tell(out, { type: 'request', signer: request.signer, kind: request.kind, id });
}

export function removeRequest(r: Replica, id: string): void {
  const pending = r.pool.get(id);
  if (pending === undefined) return;
  r.pool.delete(id);
  const { signer } = pending.request;
  const left = (r.poolBySigner.get(signer) ?? 1) - 1;
  if (left > 0) r.poolBySigner.set(signer, left);
  else r.poolBySigner.delete(signer);
}

/** The longest waiting requests that fit a batch. */
export function nextRequests(r: Replica): Envelope[] {
  const { batchRequestsMax, batchBytesMax } = r.env.terms;
  const requests: Envelope[] = [];
  let bytes = 0;
  for (const pending of r.pool.values()) {
    bytes += pending.bytes + 1;
    if (requests.length >= batchRequestsMax || bytes > batchBytesMax) break;
    requests.push(pending.request);
  }
  return requests;
}

export function oldestPending(r: Replica): Pending | null {
  for (const pending of r.pool.values()) return pending;
  return null;
}

/** After a block: what it ordered leaves; the longest waiting of the others, once shown to all, was passed over. */
export function settleRequests(r: Replica, orderedIds: readonly string[]): void {
  for (const id of orderedIds) removeRequest(r, id);
  const oldest = oldestPending(r);
  if (oldest !== null && oldest.forwards > 0) oldest.overtaken++;
}

/**
 * The longest waiting request was passed over more often than an honest primary would, which serves what came to it first:
 * what waits here may have come to it before.
 */
export function isPassedOver(r: Replica): boolean {
  const overtaken = oldestPending(r)?.overtaken ?? 0;
  return overtaken >= r.env.terms.overtakenMax + blocksWaiting(r);
}

/** Blocks that it takes to order what waits here. */
function blocksWaiting(r: Replica): number {
  return Math.ceil(r.pool.size / r.env.terms.batchRequestsMax);
}

/** A new primary begins without reproach. */
export function forgiveOvertaking(r: Replica): void {
  for (const pending of r.pool.values()) pending.overtaken = 0;
}

/** Asks the application which of the longest waiting requests are still worth ordering. */
export function recheckRequests(r: Replica, out: Output): void {
  const requests: { id: string; request: Envelope }[] = [];
  for (const [id, { request }] of r.pool) {
    if (requests.length === RECHECK_MAX) break;
    requests.push({ id, request });
  }
  r.asked = 'recheck';
  r.recheckedMs = r.now.monotonicMs;
  out.ask.push({ type: 'recheck', requests });
}

export function dropRequests(r: Replica, out: Output, refused: Extract<Input, { type: 'rechecked' }>['refused']): void {
  for (const { id, reason } of refused) {
    removeRequest(r, id);
    tell(out, { type: 'dropped', id, reason });
  }
}

/**
 * Shows requests that have waited too long to all validators, each less and less often: those that blocks passed over, and all when nothing is
 * proposed. Under load requests wait long although every validator has them; to show them then would only add to the load.
 */
export function forwardRequests(r: Replica, out: Output): void {
  if (!mayVote(r)) return;
  const { forwardMs } = r.env.terms;
  const isIdle = r.accepted === null && r.workSinceMs !== null && r.workSinceMs + forwardMs <= r.now.monotonicMs;
  const missedFrom = r.height - BLOCKS_WITHOUT_MAX - blocksWaiting(r);
  const requests: Envelope[] = [];
  let bytes = 0;
  for (const pending of r.pool.values()) {
    if (pending.arrivedMs + forwardMs > r.now.monotonicMs) break;
    if (!isIdle && pending.arrivedHeight >= missedFrom) break;
    if (pending.forwardAtMs > r.now.monotonicMs) continue;
    bytes += pending.bytes;
    if (requests.length === FORWARD_REQUESTS_MAX || (bytes > FORWARD_BYTES_MAX && requests.length > 0)) break;
    requests.push(pending.request);
    pending.forwards++;
    pending.forwardAtMs = r.now.monotonicMs + forwardMs * 2 ** Math.min(pending.forwards, 6);
  }
  if (requests.length > 0) send(out, r.env.sign('pbft.forward', { requests }));
}
