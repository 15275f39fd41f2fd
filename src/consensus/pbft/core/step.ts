// The core of PBFT: one input in, what to persist, send, tell and ask out. No clock, no I/O, no waiting.
// Inputs are only stored; then the rules below are tried in order until none applies or the application was asked.

import { invariant } from '../../../base/errors.ts';
import { accept, commit, decide, onApplied, onProposed, onVerified, propose } from './agree.ts';
import type { Input, Now, Output } from './io.ts';
import { addRequest, dropRequests } from './pool.ts';
import { receive } from './receive.ts';
import { emptyOutput, type Replica } from './state.ts';
import { passTime } from './timing.ts';
import { answerBlocks, answerChunk, askOn, catchUp, onRestored, onSnapshotTaken } from './transfer.ts';
import { announce, giveUp, join, receiveNewViewAhead } from './views.ts';

export { recover } from './log.ts';
export { newReplica, type Replica, recentHeights } from './state.ts';
export { wakeAtMs } from './timing.ts';

type Rule = (r: Replica, out: Output) => boolean;

/** Decisions first, then views, then the height in progress, then complaints. */
const RULES: readonly Rule[] = [decide, catchUp, join, announce, receiveNewViewAhead, accept, commit, propose, giveUp];

/** Firings of rules in one step: far above what an input can cause; reached only by a rule that never rests. */
const FIRINGS_MAX = 1000;

export function step(r: Replica, input: Input, now: Now): Output {
  const out = emptyOutput();
  r.now = now;
  take(r, out, input);
  if (r.asked === null) passTime(r, out);
  let firings = 0;
  while (r.asked === null && RULES.some((rule) => rule(r, out))) {
    invariant(++firings < FIRINGS_MAX, 'the rules of consensus do not come to rest');
  }
  if (r.asked === null) askOn(r, out);
  return out;
}

function take(r: Replica, out: Output, input: Input): void {
  const asked = r.asked;
  switch (input.type) {
    case 'request':
      return addRequest(r, out, input);
    case 'message':
      return receive(r, out, input.packet);
    case 'tick':
      return;
    case 'proposed':
      invariant(asked === 'propose', 'a proposal nobody asked for');
      r.asked = null;
      return onProposed(r, out, input);
    case 'verified':
      invariant(typeof asked === 'object' && asked !== null && 'prePrepare' in asked, 'a verdict nobody asked for');
      r.asked = null;
      return onVerified(r, out, asked, input.reason);
    case 'applied':
      invariant(typeof asked === 'object' && asked !== null && 'commits' in asked, 'an execution nobody asked for');
      r.asked = null;
      return onApplied(r, out, asked, input);
    case 'rechecked':
      invariant(asked === 'recheck', 'a recheck nobody asked for');
      r.asked = null;
      return dropRequests(r, out, input.refused);
    case 'restored':
      invariant(asked === 'restore', 'a restore nobody asked for');
      r.asked = null;
      return onRestored(r, out, input);
    case 'blocks read':
      return answerBlocks(r, out, input.peer, input.from, input.blocks);
    case 'snapshot taken':
      return onSnapshotTaken(r, out, input);
    case 'chunk read':
      return answerChunk(r, out, input);
    default:
      input satisfies never;
  }
}
