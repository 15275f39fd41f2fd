// Requests waiting for their place in a batch: in order of arrival, bounded in all and for each signer.
// Forward, complain, drop: a request not ordered in time is shown to all validators; one that is passed over again and again
// makes its validator give up the primary; one the application no longer wants is dropped.

import type { Envelope } from '../../../protocol/envelope.ts';
import type { Input, Output } from './io.ts';
import { mayVote, type Pending, type Replica, send, tell } from './state.ts';

/** Requests and bytes shown to others in one message. */
const FORWARD_REQUESTS_MAX = 256;
const FORWARD_BYTES_MAX = 256 * 1024;
/** A batch is never made smaller than this because blocks take long: then it isn't its size. */
const BATCH_REQUESTS_MIN = 256;
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
  r.pool.set(id, { request, bytes, arrivedMs, forwardAtMs, forwards: 0, shownMs: null, overtaken: 0 });
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
  const { batchBytesMax } = r.env.terms;
  const requests: Envelope[] = [];
  let bytes = 0;
  for (const pending of r.pool.values()) {
    bytes += pending.bytes + 1;
    if (requests.length >= r.batchRequests || bytes > batchBytesMax) break;
    requests.push(pending.request);
  }
  return requests;
}

export function oldestPending(r: Replica): Pending | null {
  for (const pending of r.pool.values()) return pending;
  return null;
}

/** After a block that came by state transfer: what it ordered leaves. */
export function removeRequests(r: Replica, orderedIds: readonly string[]): void {
  for (const id of orderedIds) removeRequest(r, id);
}

/**
 * After a block that was agreed on here: what it ordered leaves; the longest waiting of the others was passed over if it had been shown to all
 * before something came that the block ordered. What never waited here came just now, and so did what a block without requests is about.
 */
export function settleRequests(r: Replica, orderedIds: readonly string[]): void {
  const nowMs = r.now.monotonicMs;
  const arrivals = orderedIds.map((id) => r.pool.get(id)?.arrivedMs ?? nowMs);
  const latestMs = arrivals.length === 0 ? nowMs : Math.max(...arrivals);
  r.servedUpToMs = Math.max(r.servedUpToMs, latestMs);
  removeRequests(r, orderedIds);
  const oldest = oldestPending(r);
  if (oldest !== null && oldest.shownMs !== null && oldest.shownMs < latestMs) oldest.overtaken++;
}

/**
 * After a block that was agreed on here and took so long: one that used up half the first timer was too large, since the timer may run out on
 * the next; after quick ones batches may grow again.
 */
export function sizeBatches(r: Replica, requests: number, tookMs: number): void {
  const { viewMs, batchRequestsMax } = r.env.terms;
  if (4 * tookMs < viewMs) r.batchRequests = Math.min(batchRequestsMax, 2 * r.batchRequests);
  else if (2 * tookMs > viewMs && requests > BATCH_REQUESTS_MIN)
    r.batchRequests = Math.max(BATCH_REQUESTS_MIN, Math.min(r.batchRequests, Math.floor(requests / 2)));
}

/**
 * The longest waiting request was passed over more often than an honest primary would, which serves what came to it first:
 * what waits here may have come to it before.
 */
export function isPassedOver(r: Replica): boolean {
  const overtaken = oldestPending(r)?.overtaken ?? 0;
  return overtaken >= r.env.terms.overtakenMax + Math.ceil(r.pool.size / r.batchRequests);
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
 * Shows requests to all validators, each less and less often, if something that came `forwardMs` later was ordered before them, or if nothing is
 * proposed for so long. Under load requests wait although every validator has them; to show them then would only add to it.
 */
export function forwardRequests(r: Replica, out: Output): void {
  if (!mayVote(r)) return;
  const { forwardMs } = r.env.terms;
  const nowMs = r.now.monotonicMs;
  const isIdle = r.accepted === null && r.workSinceMs !== null && r.workSinceMs + forwardMs <= nowMs;
  const latestMs = (isIdle ? nowMs : r.servedUpToMs) - forwardMs;
  const requests: Envelope[] = [];
  let bytes = 0;
  for (const pending of r.pool.values()) {
    if (pending.arrivedMs > latestMs) break;
    if (pending.forwardAtMs > nowMs) continue;
    bytes += pending.bytes;
    if (requests.length === FORWARD_REQUESTS_MAX || (bytes > FORWARD_BYTES_MAX && requests.length > 0)) break;
    requests.push(pending.request);
    pending.shownMs ??= nowMs;
    pending.forwards++;
    pending.forwardAtMs = nowMs + forwardMs * 2 ** Math.min(pending.forwards, 6);
  }
  if (requests.length > 0) send(out, r.env.sign('pbft.forward', { requests }));
}
