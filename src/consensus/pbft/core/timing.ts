// What happens because time passes: repetition, heartbeat, forwarding, asking; and when the next of it is due.
// Monotonic milliseconds; a due operation is chain time turned into wall time by the chain's rate.

import { highWatermark, isDue } from './agree.ts';
import { repeatOwnCheckpoint } from './checkpoints.ts';
import type { Output } from './io.ts';
import { primaryOf } from './members.ts';
import { forwardRequests, oldestPending } from './pool.ts';
import { isPrimary, mayVote, type Replica, send } from './state.ts';
import { askOthers, patienceOfLaggardMs, waitForAnswerMs } from './transfer.ts';
import { givesUpAtMs, hasQuorumLeft } from './views.ts';

/** Repetition becomes rarer by doubling, up to so many times the first delay. */
const RESEND_DOUBLINGS_MAX = 3;

export function passTime(r: Replica, out: Output): void {
  noteWork(r);
  askOthers(r, out);
  forwardRequests(r, out);
  if (r.now.monotonicMs >= r.resendAtMs) resend(r, out);
  if (r.now.monotonicMs >= r.statusAtMs) sayStatus(r, out);
}

/** Starts and stops the clock on the primary. */
function noteWork(r: Replica): void {
  if (!isWorkWaiting(r)) r.workSinceMs = null;
  else r.workSinceMs ??= r.now.monotonicMs;
  if (r.changing && hasQuorumLeft(r)) r.newViewSinceMs ??= r.now.monotonicMs;
}

function isWorkWaiting(r: Replica): boolean {
  if (r.pool.size > 0 || r.accepted !== null || r.prepared !== null || isDue(r, r.now.chainMs)) return true;
  return r.inbox.get(r.height + 1)?.prePrepares.has(primaryOf(r.members, r.view)) === true;
}

/** Says again what the undecided height or the view change needs from this validator. */
function resend(r: Replica, out: Output): void {
  r.resendAtMs = r.now.monotonicMs + r.env.terms.resendMs * 2 ** Math.min(r.resends, RESEND_DOUBLINGS_MAX);
  r.resends++;
  if (!mayVote(r)) return;
  repeatOwnCheckpoint(r, out);
  const { self } = r.env;
  if (r.changing) {
    const own = r.viewChanges.get(self);
    if (own !== undefined) send(out, own.viewChange, own.batch);
    sayStatus(r, out);
    return;
  }
  if (r.accepted === null) return;
  const inbox = r.inbox.get(r.height + 1);
  const prepare = inbox?.prepares.get(self);
  const commit = inbox?.commits.get(self);
  const { prePrepare, batch } = r.accepted;
  if (prePrepare.signer === self) send(out, prePrepare, batch);
  else if (prepare !== undefined) send(out, prepare);
  if (commit !== undefined && r.committed) send(out, commit);
  sayStatus(r, out);
}

function sayStatus(r: Replica, out: Output): void {
  r.statusAtMs = r.now.monotonicMs + r.env.terms.heartbeatMs;
  const { changing, height, view } = r;
  send(out, r.env.sign('pbft.status', { changing, height, stable: r.stable.height, view }));
}

/** Monotonic time at which the core wants to be called again if nothing arrives before. */
export function wakeAtMs(r: Replica): number {
  const { terms } = r.env;
  const nowMs = r.now.monotonicMs;
  let atMs = Math.min(r.resendAtMs, r.statusAtMs);
  const sooner = (candidate: number | null): void => {
    if (candidate !== null && candidate > nowMs && candidate < atMs) atMs = candidate;
  };
  sooner(givesUpAtMs(r));
  const oldest = oldestPending(r);
  if (oldest !== null) {
    if (isPrimary(r) && r.accepted === null && r.height < highWatermark(r)) sooner(oldest.arrivedMs + terms.batchMs);
    sooner(oldest.forwardAtMs);
    if (r.workSinceMs !== null) sooner(r.workSinceMs + terms.forwardMs);
  }
  if (r.dueAtMs !== null) sooner(nowMs + Math.max(0, (r.dueAtMs - r.now.chainMs) / terms.chainRate));
  if (r.behindSinceMs !== null) sooner(r.behindSinceMs + patienceOfLaggardMs(r));
  sooner(r.askAgainMs);
  if (r.transfer !== null) sooner(r.transfer.askedMs + waitForAnswerMs(r));
  return atMs;
}
