// Merkle trees as in RFC 6962 section 2.1: leaf = SHA-256(0x00 || data), node = SHA-256(0x01 || left || right),
// split at the largest power of two below the size. The root of nothing is SHA-256 of nothing.

import { concatBytes } from '../base/bytes.ts';
import { type Hashed, SHA256_BYTES, sha256, sha256Into } from '../base/hash.ts';

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export function leafHash(data: Hashed): Uint8Array {
  return sha256(typeof data === 'string' ? `\0${data}` : concatBytes(LEAF, data));
}

/** Filled anew for every node: a state has many, and the hash keeps nothing of it. */
const node = new Uint8Array(65);
node.set(NODE);

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  node.set(left, 1);
  node.set(right, 1 + SHA256_BYTES);
  return sha256(node);
}

/** The same for two hashes that stand side by side in `tree` from `from` on; the result goes to `to`. */
export function hashPair(tree: Uint8Array, from: number, to: number): void {
  for (let i = 0; i < 2 * SHA256_BYTES; i++) node[1 + i] = tree[from + i] as number;
  sha256Into(node, tree, to);
}

function split(size: number): number {
  let half = 1;
  while (half * 2 < size) half *= 2;
  return half;
}

/** Root over leaf hashes. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  return rootOf(leaves, 0, leaves.length);
}

function rootOf(leaves: readonly Uint8Array[], from: number, to: number): Uint8Array {
  const size = to - from;
  if (size === 0) return sha256(new Uint8Array(0));
  if (size === 1) return leaves[from] as Uint8Array;
  const middle = from + split(size);
  return nodeHash(rootOf(leaves, from, middle), rootOf(leaves, middle, to));
}

/** Sibling hashes from the leaf at `index` up to the root. */
export function merklePath(leaves: readonly Uint8Array[], index: number): Uint8Array[] {
  const path: Uint8Array[] = [];
  let from = 0;
  let to = leaves.length;
  while (to - from > 1) {
    const middle = from + split(to - from);
    if (index < middle) {
      path.push(rootOf(leaves, middle, to));
      to = middle;
    } else {
      path.push(rootOf(leaves, from, middle));
      from = middle;
    }
  }
  return path.reverse();
}

/** Root that a leaf hash, its index, the tree's size and a path lead to; null if the path's length does not fit. */
export function rootFromPath(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
): Uint8Array | null {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return null;
  const turns: boolean[] = [];
  let from = 0;
  let to = size;
  while (to - from > 1) {
    const middle = from + split(to - from);
    const left = index < middle;
    turns.push(left);
    if (left) to = middle;
    else from = middle;
  }
  if (turns.length !== path.length) return null;
  let hash = leaf;
  for (const sibling of path) hash = turns.pop() ? nodeHash(hash, sibling) : nodeHash(sibling, hash);
  return hash;
}

/** Root and the path of every leaf at once, in O(n log n). */
export function merklePaths(leaves: readonly Uint8Array[]): { root: Uint8Array; paths: Uint8Array[][] } {
  const paths: Uint8Array[][] = leaves.map(() => []);
  const visit = (from: number, to: number): Uint8Array => {
    if (to - from <= 1) return rootOf(leaves, from, to);
    const middle = from + split(to - from);
    const left = visit(from, middle);
    const right = visit(middle, to);
    for (let i = from; i < to; i++) (paths[i] as Uint8Array[]).push(i < middle ? right : left);
    return nodeHash(left, right);
  };
  return { root: visit(0, leaves.length), paths };
}
