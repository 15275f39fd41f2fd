// The replicated state as an authenticated map. A key is `table/partition/name`, a value is canonical JSON text.
// Owns the map, its hash, proofs and chunks; knows nothing of what the values mean.
//
//   entry   leaf hash of  key + "\n" + value
//   bucket  first BUCKET_BITS bits of SHA-256(key); Merkle root over its entries in order of their keys
//   state   Merkle root over the buckets
//
// Only buckets that changed are hashed again, and only those that hold something take memory. Values are kept as text: what is read is a copy that nobody can alter.

import { fromHex, toHex } from '../base/bytes.ts';
import { canonicalBytes, canonicalText, type Json, parseCanonical } from '../base/canonical.ts';
import { invariant, WattpactError } from '../base/errors.ts';
import { SHA256_BYTES, sha256 } from '../base/hash.ts';
import { compareStrings } from '../base/integers.ts';
import { hashPair, leafHash, merklePath, merkleRoot, rootFromPath } from '../protocol/merkle.ts';
import type { StateChange } from './types.ts';

const BUCKET_BITS = 16;
const BUCKETS = 1 << BUCKET_BITS;
/** Buckets in one snapshot chunk. */
const CHUNK_BUCKETS = 1024;
export const CHUNKS = BUCKETS / CHUNK_BUCKETS;

/** Names in a set; their order is made when it is asked for after a change. */
class Names {
  readonly all = new Set<string>();
  #sorted: string[] | null = [];

  add(name: string): void {
    this.all.add(name);
    this.#sorted = null;
  }

  remove(name: string): void {
    this.all.delete(name);
    this.#sorted = null;
  }

  sorted(): readonly string[] {
    this.#sorted ??= [...this.all].sort(compareStrings);
    return this.#sorted;
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
  readonly #values = new Map<string, string>();
  /** `table/partition` -> names. */
  readonly #groups = new Map<string, Names>();
  /** Keys of each bucket in order; most buckets hold none or a few. */
  readonly #buckets = new Map<number, string[]>();
  /** Perfect binary tree over the buckets: node i has children 2i and 2i+1, bucket b is node BUCKETS + b. Hashes side by side, node by node. */
  readonly #tree = emptyTree();
  readonly #dirty = new Set<number>();
  /** Values before the present block, by key: what `rollback` restores. Null = there was none. */
  readonly #before = new Map<string, string | null>();

  constructor(entries: Iterable<readonly [key: string, value: string]> = []) {
    for (const [key, value] of entries) this.#put(key, value);
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): string | undefined {
    return this.#values.get(key);
  }

  /** Names of a partition in order. */
  names(group: string): readonly string[] {
    return this.#groups.get(group)?.sorted() ?? [];
  }

  set(key: string, value: string): void {
    const old = this.#values.get(key);
    if (old === value) return;
    if (!this.#before.has(key)) this.#before.set(key, old ?? null);
    this.#put(key, value);
  }

  delete(key: string): void {
    const old = this.#values.get(key);
    if (old === undefined) return;
    if (!this.#before.has(key)) this.#before.set(key, old);
    this.#remove(key);
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
      if (value !== null) this.#put(key, value);
      else if (this.#values.has(key)) this.#remove(key);
    }
    this.#before.clear();
  }

  /** Hex hash of the whole state. */
  hash(): string {
    const nodes = new Set<number>();
    for (const bucket of this.#dirty) {
      this.#tree.set(merkleRoot(this.#leaves(bucket)), (BUCKETS + bucket) * SHA256_BYTES);
      nodes.add((BUCKETS + bucket) >> 1);
    }
    this.#dirty.clear();
    // A set visits what is added while it is visited: children come before their parents, level by level.
    for (const node of nodes) {
      hashPair(this.#tree, 2 * node * SHA256_BYTES, node * SHA256_BYTES);
      if (node > 1) nodes.add(node >> 1);
    }
    return this.#nodeHex(1);
  }

  /** Proof of a key under `hash()`, or null if there is no such key. */
  prove(key: string): StateProof | null {
    const value = this.#values.get(key);
    if (value === undefined) return null;
    this.hash();
    const bucket = bucketOf(key);
    const keys = this.#buckets.get(bucket) as string[];
    const entryIndex = keys.indexOf(key);
    const bucketPath: string[] = [];
    for (let node = BUCKETS + bucket; node > 1; node >>= 1) bucketPath.push(this.#nodeHex(node ^ 1));
    return {
      bucketIndex: bucket,
      bucketPath,
      entries: keys.length,
      entryIndex,
      entryPath: merklePath(this.#leaves(bucket), entryIndex).map(toHex),
      key,
      value,
    };
  }

  [Symbol.iterator](): IterableIterator<readonly [key: string, value: string]> {
    return this.#values[Symbol.iterator]();
  }

  /** The entries of some neighbouring buckets as canonical bytes: `[[key, value], ...]` in order of buckets, then keys. */
  chunk(index: number): Uint8Array {
    invariant(index >= 0 && index < CHUNKS, `no chunk ${index}`);
    const pairs: Json[] = [];
    for (let bucket = index * CHUNK_BUCKETS; bucket < (index + 1) * CHUNK_BUCKETS; bucket++) {
      for (const key of this.#buckets.get(bucket) ?? []) pairs.push([key, this.get(key) as string]);
    }
    return canonicalBytes(pairs);
  }

  #nodeHex(node: number): string {
    return toHex(this.#tree.subarray(node * SHA256_BYTES, (node + 1) * SHA256_BYTES));
  }

  /** Made when they are wanted: a bucket holds little, and is hashed again only when something in it changed. */
  #leaves(bucket: number): Uint8Array[] {
    return this.#buckets.get(bucket)?.map((key) => entryLeaf(key, this.#values.get(key) as string)) ?? [];
  }

  #put(key: string, value: string): void {
    const bucket = bucketOf(key);
    this.#dirty.add(bucket);
    const isNew = !this.#values.has(key);
    this.#values.set(key, value);
    if (!isNew) return;
    const { group, name } = splitKey(key);
    let names = this.#groups.get(group);
    if (names === undefined) {
      names = new Names();
      this.#groups.set(group, names);
    }
    names.add(name);
    const keys = this.#buckets.get(bucket);
    if (keys === undefined) this.#buckets.set(bucket, [key]);
    else keys.splice(placeIn(keys, key), 0, key);
  }

  #remove(key: string): void {
    const bucket = bucketOf(key);
    this.#dirty.add(bucket);
    this.#values.delete(key);
    const { group, name } = splitKey(key);
    const names = this.#groups.get(group);
    names?.remove(name);
    if (names?.all.size === 0) this.#groups.delete(group);
    const keys = this.#buckets.get(bucket) as string[];
    if (keys.length === 1) this.#buckets.delete(bucket);
    else keys.splice(keys.indexOf(key), 1);
  }
}

/** Where a key belongs among sorted keys that do not have it. */
function placeIn(keys: readonly string[], key: string): number {
  const after = keys.findIndex((other) => other > key);
  return after < 0 ? keys.length : after;
}

/** The tree over buckets that are all empty: the nodes of a level are one and the same. */
function emptyTree(): Uint8Array {
  const tree = new Uint8Array(2 * BUCKETS * SHA256_BYTES);
  tree.set(merkleRoot([]), BUCKETS * SHA256_BYTES);
  for (let level = BUCKETS; level >= 1; level >>= 1) {
    // The first of a level is there; the rest is copied, twice as much each time. Then one pair makes the level above.
    const first = level * SHA256_BYTES;
    for (let done = SHA256_BYTES; done < first; done *= 2) tree.copyWithin(first + done, first, first + done);
    if (level > 1) hashPair(tree, first, first / 2);
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
  return leafHash(`${key}\n${value}`);
}

function bucketOf(key: string): number {
  const [first = 0, second = 0] = sha256(key);
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
