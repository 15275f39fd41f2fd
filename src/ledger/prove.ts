// A proof in a file: everything a stranger who holds nothing but genesis needs to see that a record stands in the chain.
//
//   leaf --path--> resultsRoot of a header --hash--> parent that a quorum named when it agreed on the next block
//   genesis' validators --each change approved by a quorum of the set before--> the validators of that quorum

import { z } from 'zod';
import { canonicalBytes, type Json } from '../base/canonical.ts';
import { describeError } from '../base/errors.ts';
import { wordsOf } from '../base/words.ts';
import { type Envelope, idSchema, type Verify } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Leaf } from '../protocol/replies.ts';
import { membershipSchema } from '../protocol/requests.ts';
import { type CheckCommits, certifiedSchema, certify, checkCertified } from './certified.ts';
import { changed, changeProblem, changesIn } from './succession.ts';
import type { LeafProof, Ledger } from './types.ts';

/** Changes of the validator set that a proof may walk through. */
const CHANGES_MAX = 1000;

export const proofFileSchema = z.strictObject({
  ...certifiedSchema.shape,
  chain: idSchema,
  changes: z
    .array(z.strictObject({ approvals: membershipSchema.shape.approvals, change: membershipSchema.shape.change }))
    .max(CHANGES_MAX),
  kind: z.literal('wattpact.proof'),
});
export type ProofFile = z.infer<typeof proofFileSchema>;

/** The proof of a leaf. Throws `ledger.proof` while the block is the newest: the next one confirms it. */
export function proofFile(ledger: Ledger, found: LeafProof): ProofFile {
  const { chain, height } = found.header;
  const changes = changesIn(ledger, 0, height + 1).map(({ body: { approvals, change } }) => ({ approvals, change }));
  return { ...certify(ledger, found), chain, changes, kind: 'wattpact.proof' };
}

export interface CheckedProof {
  readonly height: number;
  readonly timeMs: number;
  readonly leaf: Leaf;
  readonly request: Envelope | null;
}

/** What the file proves, or why it proves nothing. Hostile input: any value. */
export function checkProofFile(
  value: Json,
  { genesis, verify, agreed }: { genesis: Genesis; verify: Verify; agreed: CheckCommits },
): CheckedProof | { readonly problem: string } {
  try {
    // What has no canonical form has no hash either.
    canonicalBytes(value);
  } catch (error) {
    return { problem: describeError(error) };
  }
  const parsed = proofFileSchema.safeParse(value);
  if (!parsed.success) return { problem: `not a proof: ${wordsOf(parsed.error, value)}` };
  const { chain, changes, kind: _kind, ...certified } = parsed.data;
  if (chain !== genesis.chain) return { problem: `it is of another chain, ${chain}, not ${genesis.chain}` };
  let validators: Genesis['validators'] = genesis.validators;
  for (const [i, link] of changes.entries()) {
    const problem = changeProblem(genesis, verify, validators, link);
    if (problem !== null) return { problem: `change ${i + 1} of the validators: ${problem}` };
    validators = changed(validators, link.change);
  }
  const members = new Map(validators.map(({ id, publicKey }) => [id, publicKey]));
  const proven = checkCertified(certified, genesis.chain, members, agreed);
  if ('problem' in proven) return proven;
  const { header, leaf, request } = proven;
  return { height: header.height, timeMs: header.timeMs, leaf, request };
}
