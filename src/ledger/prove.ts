// A proof in a file: everything a stranger who holds nothing but genesis needs to see that a record stands in the chain.
//
//   leaf --path--> resultsRoot of a header --hash--> parent that a quorum named when it agreed on the next block
//   genesis' validators --each change approved by a quorum of the set before--> the validators of that quorum

import { z } from 'zod';
import { fromBase64url, fromHex, toHex } from '../base/bytes.ts';
import { canonicalBytes, type Json, type JsonObject } from '../base/canonical.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import {
  type Envelope,
  hashSchema,
  idSchema,
  messageId,
  parseEnvelope,
  saltSchema,
  type Verify,
} from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { headerHash, headerSchema, validatorSetHash } from '../protocol/header.ts';
import { leafHash, rootFromPath } from '../protocol/merkle.ts';
import { consensusQuorum } from '../protocol/quorum.ts';
import { type Leaf, leafBytes, leafSchema } from '../protocol/replies.ts';
import { approvalBytes, membershipSchema } from '../protocol/requests.ts';
import type { LeafProof, Ledger } from './types.ts';

/** Changes of the validator set that a proof may walk through. */
const CHANGES_MAX = 1000;
/** Longest way from a leaf to the root. */
const PATH_MAX = 64;

const fileSchema = z.strictObject({
  chain: idSchema,
  changes: z
    .array(z.strictObject({ approvals: membershipSchema.shape.approvals, change: membershipSchema.shape.change }))
    .max(CHANGES_MAX),
  commits: z.array(z.unknown()).max(128),
  engine: z.string().max(32),
  header: headerSchema,
  kind: z.literal('wattpact.proof'),
  leaf: leafSchema,
  place: z.strictObject({ index: z.int().min(0), path: z.array(hashSchema).max(PATH_MAX), size: z.int().min(1) }),
  /** The request that a verdict is on; null for other leaves. */
  request: z.unknown(),
  salt: saltSchema,
});
export type ProofFile = z.infer<typeof fileSchema>;

/** True if the commits show that these validators agreed on a block of this height above this parent. */
export type CheckCommits = (
  commits: readonly Envelope[],
  agreed: { readonly engine: string; readonly height: number; readonly parent: string },
  validators: ReadonlyMap<string, string>,
) => boolean;

/** The proof of a leaf. Throws `ledger.proof` while the block is the newest: the next one confirms it. */
export function proofFile(ledger: Ledger, { header, proof }: LeafProof): ProofFile {
  const next = ledger.block(header.height + 1);
  if (next === null) {
    throw new WattpactError('ledger.proof', `block ${header.height} is the newest: the block after it confirms it`, {
      hint: 'Try again after the next block',
    });
  }
  const { index, leaf, path, salt, size } = proof;
  return {
    chain: header.chain,
    changes: changesUntil(ledger, header.height),
    commits: [...next.certificate.commits],
    engine: next.certificate.engine,
    header,
    kind: 'wattpact.proof',
    leaf,
    place: { index, path, size },
    request: leaf.kind === 'verdict' ? requestOf(ledger, header.height, leaf.request) : null,
    salt,
  };
}

function requestOf(ledger: Ledger, height: number, id: string): Envelope | null {
  const requests = ledger.block(height)?.batch.requests ?? [];
  return requests.find((request) => messageId(ledger.genesis.chain, request) === id) ?? null;
}

/** Recorded changes of the validator set in blocks up to `height`, oldest first. */
function changesUntil(ledger: Ledger, height: number): ProofFile['changes'] {
  return ledger.genesis.operators
    .flatMap(({ id }) => ledger.requestsOf(id, 0, height + 1, Number.MAX_SAFE_INTEGER))
    .filter(({ kind }) => kind === 'membership')
    .sort((a, b) => a.height - b.height)
    .map(({ request }) => {
      const { approvals, change } = membershipSchema.parse(request.body);
      return { approvals, change };
    });
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
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) return { problem: `not a proof: ${z.prettifyError(parsed.error)}` };
  const file = parsed.data;
  const { header, leaf, place } = file;
  if (file.chain !== genesis.chain || header.chain !== genesis.chain) return { problem: 'it is of another chain' };
  let commits: Envelope[];
  let request: Envelope | null;
  try {
    commits = file.commits.map(parseEnvelope);
    request = file.request === null ? null : parseEnvelope(file.request);
  } catch (error) {
    return { problem: describeError(error) };
  }
  const root = rootFromPath(leafHash(leafBytes(file.salt, leaf)), place.index, place.size, place.path.map(fromHex));
  if (root === null || toHex(root) !== header.resultsRoot)
    return { problem: 'the path does not lead to the root of the results' };
  if ((leaf.kind === 'verdict') !== (request !== null))
    return { problem: 'a verdict comes with its request, nothing else does' };
  if (request !== null && leaf.kind === 'verdict' && messageId(genesis.chain, request) !== leaf.request) {
    return { problem: 'the request is not the one of the verdict' };
  }
  const validators = new Map(genesis.validators.map(({ id, publicKey }) => [id, publicKey]));
  for (const [i, link] of file.changes.entries()) {
    const problem = changeProblem(genesis, verify, validators, link);
    if (problem !== null) return { problem: `change ${i + 1} of the validators: ${problem}` };
    const { publicKey, validator } = link.change;
    if (publicKey === null) validators.delete(validator);
    else validators.set(validator, publicKey);
  }
  const claim = { engine: file.engine, height: header.height + 1, parent: headerHash(header) };
  if (!agreed(commits, claim, validators)) return { problem: 'no quorum of the validators confirms the block' };
  return { height: header.height, timeMs: header.timeMs, leaf, request };
}

function changeProblem(
  genesis: Genesis,
  verify: Verify,
  validators: ReadonlyMap<string, string>,
  { approvals, change }: ProofFile['changes'][number],
): string | null {
  const present = [...validators].map(([id, publicKey]) => ({ id, publicKey }));
  if (change.validatorSet !== validatorSetHash(present)) return 'it is not a change of the set before';
  const signed = approvalBytes(genesis.chain, change as JsonObject);
  const approvers = new Set(
    approvals
      .filter(({ signer, signature }) => {
        const publicKey = validators.get(signer);
        return publicKey !== undefined && verify(fromBase64url(signature), signed, fromBase64url(publicKey));
      })
      .map(({ signer }) => signer),
  );
  return approvers.size >= consensusQuorum(present.length) ? null : 'no quorum of the set before approved it';
}
