// The replicated state as an authenticated map. A key is `table/partition/name`, a value is canonical JSON text.
// Owns the map, its hash, proofs and chunks; knows nothing of what the values mean.
//
//   entry   leaf hash of  key + "\n" + value
//   bucket  first BUCKET_BITS bits of SHA-256(key); Merkle root over its entries in order of their keys
//   state   Merkle root over the buckets
//
// Only buckets that changed are hashed again, and only those that hold something take memory. Values are kept as text: what is read is a copy that nobody can alter.

import { sha256 } from '@noble/hashes/sha2.js';
import { fromHex, toHex, utf8 } from '../base/bytes.ts';
import { canonicalBytes, canonicalText, type Json, parseCanonical } from '../base/canonical.ts';
import { invariant, WattpactError } from '../base/errors.ts';
import { compareStrings } from '../base/integers.ts';
import { leafHash, merklePath, merkleRoot, nodeHash, rootFromPath } from '../protocol/merkle.ts';
import type { StateChange } from './types.ts';

const BUCKET_BITS = 16;
const BUCKETS = 1 << BUCKET_BITS;
/** Buckets in one snapshot chunk. */
const CHUNK_BUCKETS = 1024;
export const CHUNKS = BUCKETS / CHUNK_BUCKETS;

interface Entry {
  readonly bucket: number;
  value: string;
  leaf: Uint8Array;
}

/** Entries in order of their names; the order is made when it is asked for after a change. */
class Ordered {
  readonly entries = new Map<string, Entry>();
  #names: string[] | null = [];

  put(name: string, entry: Entry): void {
    if (!this.entries.has(name)) this.#names = null;
    this.entries.set(name, entry);
  }

  remove(name: string): void {
    if (this.entries.delete(name)) this.#names = null;
  }

  names(): readonly string[] {
    this.#names ??= [...this.entries.keys()].sort(compareStrings);
    return this.#names;
  }
}

/** What convinces a stranger who knows the state hash that a key has this value. */
export interface StateProof {
  readonly bucketIndex: number;
  readonly bucketPath: readonly string[];
  readonly entryIndex: number;
  readonly entryPath: readonly string[];
  readonly entries: number;
  readonly key: string;
  readonly value: string;
}

export class State {
  readonly #entries = new Map<string, Entry>();
  /** `table/partition` -> name -> entry. */
  readonly #groups = new Map<string, Ordered>();
  readonly #buckets = new Map<number, Ordered>();
  /** Perfect binary tree over the buckets: node i has children 2i and 2i+1, bucket b is node BUCKETS + b. */
  readonly #tree: Uint8Array[] = emptyTree();
  readonly #dirty = new Set<number>();
  /** Values before the present block, by key: what `rollback` restores. Null = there was none. */
  readonly #before = new Map<string, string | null>();

  constructor(entries: Iterable<readonly [key: string, value: string]> = []) {
    for (const [key, value] of entries) this.#put(key, value);
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): string | undefined {
    return this.#entries.get(key)?.value;
  }

  /** Names of a partition in order. */
  names(group: string): readonly string[] {
    return this.#groups.get(group)?.names() ?? [];
  }

  set(key: string, value: string): void {
    const old = this.#entries.get(key)?.value;
    if (old === value) return;
    if (!this.#before.has(key)) this.#before.set(key, old ?? null);
    this.#put(key, value);
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    if (!this.#before.has(key)) this.#before.set(key, entry.value);
    this.#remove(key, entry);
  }

  /** Changes since the last `commit`, in order of keys. */
  changes(): StateChange[] {
    const keys = [...this.#before.keys()].sort(compareStrings);
    return keys
      .map((key): StateChange => [key, this.get(key) ?? null])
      .filter(([key, value]) => value !== this.#before.get(key));
  }

  commit(): void {
    this.#before.clear();
  }

  /** Takes everything back to the last `commit`. */
  rollback(): void {
    for (const [key, value] of this.#before) {
      const entry = this.#entries.get(key);
      if (value !== null) this.#put(key, value);
      else if (entry !== undefined) this.#remove(key, entry);
    }
    this.#before.clear();
  }

  /** Hex hash of the whole state. */
  hash(): string {
    const nodes = new Set<number>();
    for (const bucket of this.#dirty) {
      this.#tree[BUCKETS + bucket] = merkleRoot(this.#leaves(bucket));
      nodes.add((BUCKETS + bucket) >> 1);
    }
    this.#dirty.clear();
    // A set visits what is added while it is visited: children come before their parents, level by level.
    for (const node of nodes) {
      this.#tree[node] = nodeHash(this.#tree[2 * node] as Uint8Array, this.#tree[2 * node + 1] as Uint8Array);
      if (node > 1) nodes.add(node >> 1);
    }
    return toHex(this.#tree[1] as Uint8Array);
  }

  /** Proof of a key under `hash()`, or null if there is no such key. */
  prove(key: string): StateProof | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    this.hash();
    const bucket = this.#buckets.get(entry.bucket) as Ordered;
    const entryIndex = bucket.names().indexOf(key);
    const bucketPath: string[] = [];
    for (let node = BUCKETS + entry.bucket; node > 1; node >>= 1) {
      bucketPath.push(toHex(this.#tree[node ^ 1] as Uint8Array));
    }
    return {
      bucketIndex: entry.bucket,
      bucketPath,
      entries: bucket.entries.size,
      entryIndex,
      entryPath: merklePath(this.#leaves(entry.bucket), entryIndex).map(toHex),
      key,
      value: entry.value,
    };
  }

  *[Symbol.iterator](): IterableIterator<readonly [key: string, value: string]> {
    for (const [key, { value }] of this.#entries) yield [key, value];
  }

  /** The entries of some neighbouring buckets as canonical bytes: `[[key, value], ...]` in order of buckets, then keys. */
  chunk(index: number): Uint8Array {
    invariant(index >= 0 && index < CHUNKS, `no chunk ${index}`);
    const pairs: Json[] = [];
    for (let bucket = index * CHUNK_BUCKETS; bucket < (index + 1) * CHUNK_BUCKETS; bucket++) {
      const ordered = this.#buckets.get(bucket);
      for (const key of ordered?.names() ?? []) pairs.push([key, this.get(key) as string]);
    }
    return canonicalBytes(pairs);
  }

  #leaves(bucket: number): Uint8Array[] {
    const ordered = this.#buckets.get(bucket);
    return ordered?.names().map((key) => (ordered.entries.get(key) as Entry).leaf) ?? [];
  }

  #put(key: string, value: string): void {
    const leaf = entryLeaf(key, value);
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.value = value;
      known.leaf = leaf;
      this.#dirty.add(known.bucket);
      return;
    }
    const entry: Entry = { bucket: bucketOf(key), value, leaf };
    const { group, name } = splitKey(key);
    this.#entries.set(key, entry);
    putIn(this.#groups, group, name, entry);
    putIn(this.#buckets, entry.bucket, key, entry);
    this.#dirty.add(entry.bucket);
  }

  #remove(key: string, entry: Entry): void {
    const { group, name } = splitKey(key);
    this.#entries.delete(key);
    removeFrom(this.#groups, group, name);
    removeFrom(this.#buckets, entry.bucket, key);
    this.#dirty.add(entry.bucket);
  }
}

function putIn<Key>(collections: Map<Key, Ordered>, key: Key, name: string, entry: Entry): void {
  let ordered = collections.get(key);
  if (ordered === undefined) {
    ordered = new Ordered();
    collections.set(key, ordered);
  }
  ordered.put(name, entry);
}

function removeFrom<Key>(collections: Map<Key, Ordered>, key: Key, name: string): void {
  const ordered = collections.get(key);
  ordered?.remove(name);
  if (ordered?.entries.size === 0) collections.delete(key);
}

/** The tree over buckets that are all empty: the nodes of a level are one and the same. */
function emptyTree(): Uint8Array[] {
  const tree = new Array<Uint8Array>(2 * BUCKETS);
  let hash = merkleRoot([]);
  for (let level = BUCKETS; level >= 1; level >>= 1) {
    tree.fill(hash, level, 2 * level);
    hash = nodeHash(hash, hash);
  }
  return tree;
}

/** State from snapshot chunks that must make `stateHash`; throws `ledger.snapshot`. */
export function stateFromChunks(chunks: readonly Uint8Array[], stateHash: string): State {
  const entries = new Map<string, string>();
  for (const [index, bytes] of chunks.entries()) {
    const pairs = parseCanonical(bytes);
    if (!Array.isArray(pairs)) throw new WattpactError('ledger.snapshot', `chunk ${index} is not a list of entries`);
    for (const pair of pairs as readonly Json[]) {
      const [key, value] = Array.isArray(pair) ? (pair as readonly Json[]) : [];
      if (typeof key !== 'string' || typeof value !== 'string' || !/^[^/]+\/[^/]+\/./.test(key) || entries.has(key)) {
        throw new WattpactError('ledger.snapshot', `chunk ${index} has an entry that is none`);
      }
      if (canonicalText(JSON.parse(value) as Json) !== value) {
        throw new WattpactError('ledger.snapshot', `chunk ${index}: the value of ${key} is not canonical`);
      }
      entries.set(key, value);
    }
  }
  const state = new State(entries);
  if (state.hash() !== stateHash) {
    throw new WattpactError('ledger.snapshot', 'the chunks do not make the state hash of the header');
  }
  return state;
}

/** True if the proof leads to this state hash. */
export function checkStateProof(proof: StateProof, stateHash: string): boolean {
  const leaf = entryLeaf(proof.key, proof.value);
  const bucket = rootFromPath(leaf, proof.entryIndex, proof.entries, proof.entryPath.map(fromHex));
  if (bucket === null) return false;
  const root = rootFromPath(bucket, proof.bucketIndex, BUCKETS, proof.bucketPath.map(fromHex));
  return root !== null && toHex(root) === stateHash;
}

function entryLeaf(key: string, value: string): Uint8Array {
  return leafHash(utf8(`${key}\n${value}`));
}

function bucketOf(key: string): number {
  const [first = 0, second = 0] = sha256(utf8(key));
  return ((first << 8) | second) >> (16 - BUCKET_BITS);
}

function splitKey(key: string): { group: string; name: string } {
  const slash = key.indexOf('/', key.indexOf('/') + 1);
  return { group: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** A typed view of one table of the state. */
export class Table<Value extends Json> {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  key(partition: string | number, name: string): string {
    return `${this.#name}/${partition}/${name}`;
  }

  get(state: State, partition: string | number, name: string): Value | null {
    const text = state.get(this.key(partition, name));
    return text === undefined ? null : (JSON.parse(text) as Value);
  }

  has(state: State, partition: string | number, name: string): boolean {
    return state.get(this.key(partition, name)) !== undefined;
  }

  set(state: State, partition: string | number, name: string, value: Value): void {
    state.set(this.key(partition, name), canonicalText(value));
  }

  delete(state: State, partition: string | number, name: string): void {
    state.delete(this.key(partition, name));
  }

  names(state: State, partition: string | number): readonly string[] {
    return state.names(`${this.#name}/${partition}`);
  }

  /** Entries of a partition in order of their names. */
  list(state: State, partition: string | number): { name: string; value: Value }[] {
    return this.names(state, partition).map((name) => ({ name, value: this.get(state, partition, name) as Value }));
  }

  clear(state: State, partition: string | number): void {
    for (const name of [...this.names(state, partition)]) this.delete(state, partition, name);
  }
}
