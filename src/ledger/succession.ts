// Which validators are in force at which height, as somebody follows it who knows genesis: a change counts if a quorum of the set before
// and the operators' threshold approved it, and a quorum of the set after confirmed the block that recorded it.

import { z } from 'zod';
import { fromBase64url } from '../base/bytes.ts';
import type { JsonObject } from '../base/canonical.ts';
import { wordsOf } from '../base/words.ts';
import { idSchema, publicKeySchema, type Verify } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { type Header, type ValidatorKey, validatorSetHash } from '../protocol/header.ts';
import { consensusQuorum } from '../protocol/quorum.ts';
import { approvalBytes, membershipSchema, type RequestBody } from '../protocol/requests.ts';
import { type Certified, type CheckCommits, certifiedSchema, certify, checkCertified } from './certified.ts';
import type { Ledger } from './types.ts';

/** Sets that are remembered; beyond, the oldest is forgotten and its blocks can no longer be judged. */
const SETS_MAX = 1_000;

const setSchema = z.strictObject({
  /** First height whose block it agreed on. */
  fromHeight: z.int().min(0),
  /** Last one; null: not known. Of the newest set: still in force. */
  toHeight: z.int().min(0).nullable(),
  validators: z
    .array(z.strictObject({ id: idSchema, publicKey: publicKeySchema }))
    .min(1)
    .max(128),
});
export const setsSchema = z.array(setSchema).min(1).max(SETS_MAX);

/** A set of validators and the heights it is in force for. */
export type SetInForce = z.infer<typeof setSchema>;
/** In order of heights. A set that is not the last and whose end is not known is followed by a gap. */
export type Sets = readonly SetInForce[];

export type Change = Pick<RequestBody<'membership'>, 'approvals' | 'change'>;

export function genesisSets(genesis: Genesis): Sets {
  return [{ fromHeight: 0, toHeight: null, validators: genesis.validators }];
}

/** The set that agreed on the block of a height; null where it is not known. */
export function setAt(sets: Sets, height: number): SetInForce | null {
  const found = sets.findLast(({ fromHeight }) => fromHeight <= height);
  if (found === undefined) return null;
  const known = found.toHeight === null ? found === sets.at(-1) : height <= found.toHeight;
  return known ? found : null;
}

/** The set that a header names, if that is the one in force at its height. */
export function setOf(
  sets: Sets,
  { height, validatorSet }: Pick<Header, 'height' | 'validatorSet'>,
): SetInForce | null {
  const set = setAt(sets, height);
  return set !== null && validatorSetHash(set.validators) === validatorSet ? set : null;
}

export function keysOf({ validators }: Pick<SetInForce, 'validators'>): ReadonlyMap<string, string> {
  return new Map(validators.map(({ id, publicKey }) => [id, publicKey]));
}

/** The set after a change; throws nothing: what may be changed is `changeProblem`'s to judge. */
export function changed(
  validators: readonly ValidatorKey[],
  { publicKey, validator }: Change['change'],
): ValidatorKey[] {
  const others = validators.filter(({ id }) => id !== validator);
  return publicKey === null ? others : [...others, { id: validator, publicKey }];
}

/** Why a change does not follow from the set before, or null: a quorum of it and enough operators approved it. */
export function changeProblem(
  genesis: Genesis,
  verify: Verify,
  validators: readonly ValidatorKey[],
  { approvals, change }: Change,
): string | null {
  if (change.validatorSet !== validatorSetHash(validators)) return 'it is not a change of the set before';
  const signed = approvalBytes(genesis.chain, change as JsonObject);
  const approvers = (keys: readonly ValidatorKey[]): number =>
    keys.filter(({ id, publicKey }) =>
      approvals.some(
        ({ signer, signature }) => signer === id && verify(fromBase64url(signature), signed, fromBase64url(publicKey)),
      ),
    ).length;
  if (approvers(validators) < consensusQuorum(validators.length)) return 'no quorum of the set before approved it';
  if (approvers(genesis.operators) < genesis.operatorThreshold) return 'too few operators approved it';
  return changed(validators, change).length === 0 ? 'it leaves no validator' : null;
}

export interface Following {
  readonly genesis: Genesis;
  readonly verify: Verify;
  readonly agreed: CheckCommits;
}

/**
 * The sets with one more change followed, the same sets if it is known already, or why it is not believed. Hostile input: any value.
 */
export function follow(
  sets: Sets,
  value: unknown,
  { genesis, verify, agreed }: Following,
): Sets | { readonly problem: string } {
  const parsed = certifiedSchema.safeParse(value);
  if (!parsed.success) return { problem: `not a change of the validators: ${wordsOf(parsed.error, value)}` };
  const { header, leaf } = parsed.data;
  if (leaf.kind !== 'verdict' || leaf.requestKind !== 'membership' || leaf.verdict !== 'recorded') {
    return { problem: 'it is no recorded change of the validators' };
  }
  const at = sets.findLastIndex(({ fromHeight }) => fromHeight <= header.height);
  const before = sets[at];
  if (before === undefined || validatorSetHash(before.validators) !== header.validatorSet) {
    return { problem: 'it does not follow the sets that are known' };
  }
  if (before.toHeight !== null) {
    return before.toHeight === header.height ? sets : { problem: 'another change followed this set' };
  }
  const body = membershipSchema.safeParse((parsed.data.request as { body?: unknown } | null)?.body);
  if (!body.success) return { problem: 'its request is no change of the validators' };
  const problem = changeProblem(genesis, verify, before.validators, body.data);
  if (problem !== null) return { problem };
  const validators = changed(before.validators, body.data.change);
  const proven = checkCertified(parsed.data, genesis.chain, keysOf({ validators }), agreed);
  if ('problem' in proven) return proven;
  const after = sets[at + 1];
  const isGapClosed = after !== undefined && validatorSetHash(after.validators) === validatorSetHash(validators);
  const next: SetInForce = {
    fromHeight: header.height + 1,
    toHeight: isGapClosed ? after.toHeight : null,
    validators,
  };
  const rest = sets.slice(at + (isGapClosed ? 2 : 1));
  return [...sets.slice(0, at), { ...before, toHeight: header.height }, next, ...rest].slice(-SETS_MAX);
}

/** Sets with one that the operators vouch for at a height; what lay between the sets before and it is not known. */
export function withCheckpoint(sets: Sets, height: number, validators: readonly ValidatorKey[]): Sets {
  const known = setAt(sets, height);
  if (known !== null && validatorSetHash(known.validators) === validatorSetHash(validators)) return sets;
  const before = sets.filter(({ fromHeight }) => fromHeight < height);
  return [...before, { fromHeight: height, toHeight: null, validators: [...validators] }].slice(-SETS_MAX);
}

/** Lowest height from which a change is wanted: where the first set whose end is not known begins. */
export function wantedFrom(sets: Sets): number {
  return sets.find(({ toHeight }) => toHeight === null)?.fromHeight ?? 0;
}

/** Recorded changes of the validators in blocks `[fromHeight, toHeight)`, oldest first: height and id of the request. */
export function changesIn(
  ledger: Pick<Ledger, 'memberships'>,
  fromHeight: number,
  toHeight: number,
): readonly { readonly height: number; readonly id: string; readonly body: RequestBody<'membership'> }[] {
  return ledger
    .memberships()
    .filter(({ height }) => height >= fromHeight && height < toHeight)
    .map(({ height, id, request }) => ({ height, id, body: membershipSchema.parse(request.body) }));
}

/** Changes recorded from a height on, certified, oldest first, at most so many. */
export type Changes = (fromHeight: number, max: number) => readonly Certified[];

/** Keeps what it has certified: there are few, they never change, and everybody who starts anew asks for them. */
export function createChanges(ledger: Ledger): Changes {
  const known = new Map<string, Certified>();
  function certified(id: string): Certified | null {
    const kept = known.get(id);
    if (kept !== undefined) return kept;
    const found = ledger.proofOf(id);
    if (found === null) return null;
    const made = certify(ledger, found);
    known.set(id, made);
    return made;
  }
  // The newest block is certified by the next one.
  return (fromHeight, max) =>
    changesIn(ledger, fromHeight, ledger.head().height)
      .slice(0, max)
      .flatMap(({ id }) => certified(id) ?? []);
}
