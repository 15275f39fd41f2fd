// A leaf with everything that shows it stands in the chain, for somebody who knows the validators of its height: the path to the
// results root of its header, and the commits of a quorum on the block above, which name that header's hash as their parent.
// One form for proof files, for a gateway's history and for changes of the validators.

import { z } from 'zod';
import { fromHex, toHex } from '../base/bytes.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { type Envelope, hashSchema, messageId, parseEnvelope, saltSchema } from '../protocol/envelope.ts';
import { type Header, headerHash, headerSchema } from '../protocol/header.ts';
import { leafHash, rootFromPath } from '../protocol/merkle.ts';
import { type Leaf, leafBytes, leafSchema } from '../protocol/replies.ts';
import type { LeafProof, Ledger } from './types.ts';

/** Longest way from a leaf to the root. */
const PATH_MAX = 64;
/** Commits in one certificate: as many as a chain has validators at most. */
const COMMITS_MAX = 128;

export const certifiedSchema = z.strictObject({
  /** Of the block above. */
  commits: z.array(z.unknown()).max(COMMITS_MAX),
  engine: z.string().max(32),
  header: headerSchema,
  leaf: leafSchema,
  place: z.strictObject({ index: z.int().min(0), path: z.array(hashSchema).max(PATH_MAX), size: z.int().min(1) }),
  /** The request that a verdict is on; null for other leaves. */
  request: z.unknown(),
  salt: saltSchema,
});
export type Certified = z.infer<typeof certifiedSchema>;

/** True if the commits show that these validators agreed on a block of this height above this parent. */
export type CheckCommits = (
  commits: readonly Envelope[],
  agreed: { readonly engine: string; readonly height: number; readonly parent: string },
  validators: ReadonlyMap<string, string>,
) => boolean;

/**
 * A leaf of the book, certified; `known` is the request of a verdict where it is at hand. Throws `ledger.proof` while its block is the newest:
 * the next one confirms it.
 */
export function certify(ledger: Ledger, { header, proof }: LeafProof, known?: Envelope): Certified {
  const above = ledger.certificate(header.height + 1);
  if (above === null) {
    throw new WattpactError('ledger.proof', `block ${header.height} is the newest: the block after it confirms it`, {
      hint: 'Try again after the next block',
    });
  }
  const { index, leaf, path, salt, size } = proof;
  return {
    commits: [...above.commits],
    engine: above.engine,
    header,
    leaf,
    place: { index, path: [...path], size },
    request: leaf.kind === 'verdict' ? (known ?? requestOf(ledger, header.height, leaf.request)) : null,
    salt,
  };
}

function requestOf(ledger: Ledger, height: number, id: string): Envelope | null {
  const requests = ledger.block(height)?.batch.requests ?? [];
  return requests.find((request) => messageId(ledger.genesis.chain, request) === id) ?? null;
}

/** What a certified leaf says, once it is believed. */
export interface Proven {
  readonly header: Header;
  readonly leaf: Leaf;
  readonly request: Envelope | null;
}

/**
 * What it proves, or why nothing. `membersAbove` are the validators (id -> public key) of the block above the leaf's; null if they are not
 * known. Everything is checked but who they are, and whether the request itself is well signed: a quorum saw to that.
 */
export function checkCertified(
  certified: Certified,
  chain: string,
  membersAbove: ReadonlyMap<string, string> | null,
  agreed: CheckCommits,
): Proven | { readonly problem: string } {
  const { header, leaf, place } = certified;
  if (header.chain !== chain) return { problem: 'it is of another chain' };
  let commits: Envelope[];
  let request: Envelope | null;
  try {
    commits = certified.commits.map(parseEnvelope);
    request = certified.request === null ? null : parseEnvelope(certified.request);
  } catch (error) {
    return { problem: describeError(error) };
  }
  const hash = leafHash(leafBytes(certified.salt, leaf));
  const root = rootFromPath(hash, place.index, place.size, place.path.map(fromHex));
  if (root === null || toHex(root) !== header.resultsRoot)
    return { problem: 'the path does not lead to the root of the results' };
  if ((leaf.kind === 'verdict') !== (request !== null))
    return { problem: 'a verdict comes with its request, nothing else does' };
  if (request !== null && leaf.kind === 'verdict' && messageId(chain, request) !== leaf.request) {
    return { problem: 'the request is not the one of the verdict' };
  }
  const claim = { engine: certified.engine, height: header.height + 1, parent: headerHash(header) };
  if (membersAbove === null || !agreed(commits, claim, membersAbove)) {
    return { problem: 'no quorum of the validators confirms the block' };
  }
  return { header, leaf, request };
}
