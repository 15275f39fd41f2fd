// The life of one request, from the signature to its end, as a pure state machine.
//
//   undecided --k identical "recorded"--> recorded
//   undecided --k identical "refused"---> refused     (a late request is refused by the ledger with reason "late")
//   undecided --k say "absent"----------> expired     (a certified block past validUntil does not hold it)
//
// An undecided request is resent byte for byte, never signed anew; past its `validUntilMs` it is asked for instead.
// Nothing ends by a time-out: not knowing is not an answer.

import { clamp } from '../base/integers.ts';
import type { Millis } from '../base/units.ts';
import { addVote, decidedWord, EMPTY_TALLY, supporters, type Tally } from './tally.ts';

/** First wait before a resend, its growth and its bound; monotonic ms. */
export const RESEND_FIRST_MS = 1_000;
export const RESEND_MAX_MS = 30_000;

export interface Decision {
  readonly verdict: 'recorded' | 'refused';
  readonly reason: string;
  readonly height: number;
  /** Hash and block time of the header the verdict stands under. */
  readonly header: string;
  readonly timeMs: Millis;
}

interface Common {
  readonly id: string;
  readonly validUntilMs: Millis;
  readonly replies: Tally;
  readonly absences: Tally;
}

export type RequestLife =
  | (Common & {
      readonly phase: 'undecided';
      readonly sendings: number;
      readonly nextSendAtMs: Millis;
      readonly hints: readonly string[];
    })
  | (Common & {
      readonly phase: 'recorded' | 'refused';
      readonly decision: Decision;
      readonly validators: readonly string[];
    })
  | (Common & { readonly phase: 'expired'; readonly validators: readonly string[] });

export type LifeEvent =
  /** Time to look whether something must be sent; `monotonicMs` drives resending, `chainMs` the validity. */
  | { readonly type: 'tick'; readonly monotonicMs: Millis; readonly chainMs: Millis }
  /** A genuine verdict with its path to a header attested by this validator. */
  | { readonly type: 'reply'; readonly validator: string; readonly decision: Decision }
  /** A genuine statement that no block up to one at `timeMs` holds the request. */
  | { readonly type: 'absent'; readonly validator: string; readonly timeMs: Millis }
  /** A validator would not order it: shown to people, never counted. */
  | { readonly type: 'hint'; readonly validator: string; readonly reason: string };

export type LifeEffect = 'send' | 'ask' | null;

/** Hints kept for showing. */
const HINTS_MAX = 8;

export function newRequest(id: string, validUntilMs: Millis): RequestLife {
  return {
    phase: 'undecided',
    id,
    validUntilMs,
    replies: EMPTY_TALLY,
    absences: EMPTY_TALLY,
    sendings: 0,
    nextSendAtMs: Number.NEGATIVE_INFINITY,
    hints: [],
  };
}

/** After a restart monotonic time starts anew: an undecided request is due at once. */
export function afterRestart(life: RequestLife): RequestLife {
  return life.phase === 'undecided' ? { ...life, nextSendAtMs: Number.NEGATIVE_INFINITY } : life;
}

export function isDecided(life: RequestLife): boolean {
  return life.phase !== 'undecided';
}

/** Validators that confirmed the record, or so far: the k of "k of n". A refusal confirms nothing. */
export function confirmations(life: RequestLife): number {
  if (life.phase === 'recorded') return life.validators.length;
  if (life.phase !== 'undecided') return 0;
  const counts = life.replies.votes
    .filter(({ said }) => said.startsWith('recorded '))
    .map(({ said }) => supporters(life.replies, said).length);
  return Math.max(0, ...counts);
}

/** One event in, the new life and what to do out. `k` identical words decide. */
export function stepLife(life: RequestLife, event: LifeEvent, k: number): { life: RequestLife; effect: LifeEffect } {
  switch (event.type) {
    case 'tick':
      return onTick(life, event.monotonicMs, event.chainMs);
    case 'reply':
      return { life: onReply(life, event.validator, event.decision, k), effect: null };
    case 'absent':
      return { life: onAbsent(life, event.validator, event.timeMs, k), effect: null };
    case 'hint':
      if (life.phase !== 'undecided' || life.hints.length >= HINTS_MAX) return { life, effect: null };
      return { life: { ...life, hints: [...life.hints, `${event.validator}: ${event.reason}`] }, effect: null };
    default:
      return event satisfies never;
  }
}

function onTick(life: RequestLife, monotonicMs: Millis, chainMs: Millis): { life: RequestLife; effect: LifeEffect } {
  if (life.phase !== 'undecided' || monotonicMs < life.nextSendAtMs) return { life, effect: null };
  const waitMs = clamp(RESEND_FIRST_MS * 2 ** Math.min(life.sendings, 10), RESEND_FIRST_MS, RESEND_MAX_MS);
  const next = { ...life, sendings: life.sendings + 1, nextSendAtMs: monotonicMs + waitMs };
  return { life: next, effect: chainMs > life.validUntilMs ? 'ask' : 'send' };
}

function wordOf({ verdict, reason, height, header, timeMs }: Decision): string {
  return `${verdict} ${height} ${header} ${timeMs} ${reason}`;
}

function onReply(life: RequestLife, validator: string, decision: Decision, k: number): RequestLife {
  if (life.phase === 'expired') return life;
  const word = wordOf(decision);
  const replies = addVote(life.replies, { validator, said: word });
  if (life.phase !== 'undecided') {
    // Late replies raise the shown count; they change no decision.
    return word === wordOf(life.decision) ? { ...life, replies, validators: supporters(replies, word) } : life;
  }
  if (decidedWord(replies, k) !== word) return { ...life, replies };
  const { id, validUntilMs, absences } = life;
  return {
    phase: decision.verdict,
    id,
    validUntilMs,
    replies,
    absences,
    decision,
    validators: supporters(replies, word),
  };
}

function onAbsent(life: RequestLife, validator: string, timeMs: Millis, k: number): RequestLife {
  if (life.phase !== 'undecided' || timeMs <= life.validUntilMs) return life;
  const absences = addVote(life.absences, { validator, said: 'absent' });
  if (decidedWord(absences, k) === null) return { ...life, absences };
  const { id, validUntilMs, replies } = life;
  return { phase: 'expired', id, validUntilMs, replies, absences, validators: supporters(absences, 'absent') };
}
