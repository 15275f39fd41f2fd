// The results of a block as a Merkle tree of salted leaves, and the proofs that go to those they concern.

import { toHex } from '../base/bytes.ts';
import { canonicalText, type Json, rememberText } from '../base/canonical.ts';
import type { Header } from '../protocol/header.ts';
import { leafHash, merklePaths } from '../protocol/merkle.ts';
import { leafBytes } from '../protocol/replies.ts';
import type { AddressedProof, LeafProof, Result } from './types.ts';
import { addressee } from './visibility.ts';

export interface ResultTree {
  readonly root: string;
  readonly paths: readonly (readonly Uint8Array[])[];
}

export function resultTree(results: readonly Result[]): ResultTree {
  // Each leaf's text is wanted again: by the store and by its proof.
  for (const { leaf } of results) rememberText(leaf, canonicalText(leaf as unknown as Json));
  const { root, paths } = merklePaths(results.map(({ salt, leaf }) => leafHash(leafBytes(salt, leaf))));
  return { root: toHex(root), paths };
}

export function proofAt(header: Header, results: readonly Result[], tree: ResultTree, index: number): LeafProof {
  const { leaf, salt } = results[index] as Result;
  const path = (tree.paths[index] as readonly Uint8Array[]).map(toHex);
  return { header, proof: { index, kind: 'proof', leaf, path, salt, size: results.length } };
}

/** Every leaf with its proof and whom it is for. */
export function addressedProofs(header: Header, results: readonly Result[], tree: ResultTree): AddressedProof[] {
  return results.map(({ leaf }, index) => ({ ...proofAt(header, results, tree, index), to: addressee(leaf) }));
}
