// The results of a block as a Merkle tree of salted leaves, and the proofs that go to those they concern.

import { toHex } from '../base/bytes.ts';
import type { Header } from '../protocol/header.ts';
import { leafHash, merklePaths } from '../protocol/merkle.ts';
import { type Leaf, leafBytes } from '../protocol/replies.ts';
import type { AddressedProof, LeafProof, Result } from './types.ts';

export interface ResultTree {
  readonly root: string;
  readonly paths: readonly (readonly Uint8Array[])[];
}

export function resultTree(results: readonly Result[]): ResultTree {
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

/** Whom a leaf concerns: the signer of a request, a site; null = everybody. */
export function addressee(leaf: Leaf): string | null {
  switch (leaf.kind) {
    case 'verdict':
      return leaf.signer;
    case 'notice':
    case 'settlement':
      return leaf.gateway;
    case 'clearing':
      return null;
    default:
      return leaf satisfies never;
  }
}
