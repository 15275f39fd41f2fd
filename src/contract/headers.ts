// What a gateway believes of the chain: the highest header that k validators have attested identically.
// Owns the count of attestations; that each is genuine is checked (`checkAttestation`) before it comes here.

import { compareStrings } from '../base/integers.ts';
import type { Header } from '../protocol/header.ts';
import { headerHash } from '../protocol/header.ts';
import { addVote, decidedWord, EMPTY_TALLY, type Tally } from './tally.ts';

/** Heights above the highest verified one whose attestations are kept while they gather. */
export const PENDING_HEIGHTS_MAX = 64;

export interface HeaderView {
  /** Attested by at least k validators, or null before the first. */
  readonly verified: Header | null;
  readonly pending: ReadonlyMap<number, { readonly tally: Tally; readonly headers: ReadonlyMap<string, Header> }>;
}

export const NO_HEADERS: HeaderView = { verified: null, pending: new Map() };

/** Adds one validator's genuine attestation. Heights at or below the verified one teach nothing new. */
export function addAttestation(view: HeaderView, validator: string, header: Header, k: number): HeaderView {
  if (view.verified !== null && header.height <= view.verified.height) return view;
  const hash = headerHash(header);
  const known = view.pending.get(header.height) ?? { tally: EMPTY_TALLY, headers: new Map<string, Header>() };
  const tally = addVote(known.tally, { validator, said: hash });
  const headers = new Map(known.headers).set(hash, header);
  if (decidedWord(tally, k) !== hash) {
    return { ...view, pending: bounded(new Map(view.pending).set(header.height, { tally, headers })) };
  }
  const pending = new Map([...view.pending].filter(([height]) => height > header.height));
  return { verified: header, pending };
}

/** A liar may attest heights that will never be: the highest ones are dropped first, so that the next ones always fit. */
function bounded<T>(pending: Map<number, T>): ReadonlyMap<number, T> {
  if (pending.size > PENDING_HEIGHTS_MAX) pending.delete(Math.max(...pending.keys()));
  return pending;
}

/**
 * The last sequence to go on from, out of the validators' signed answers: the (f+1)-th highest, so that at least one honest
 * validator has seen it and f liars cannot push it up; null until n - f have answered.
 */
export function agreedSequence(answers: ReadonlyMap<string, number>, n: number, f: number): number | null {
  if (answers.size < n - f) return null;
  const sorted = [...answers.entries()].sort((a, b) => b[1] - a[1] || compareStrings(a[0], b[0]));
  return sorted[f]?.[1] ?? null;
}
