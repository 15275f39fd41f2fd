import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CHUNKS, checkStateProof, State, stateFromChunks } from '../../src/ledger/state.ts';
import { leafHash, merkleRoot } from '../../src/protocol/merkle.ts';

const key = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 40 })).map(([t, n]) => `t${t}/p/${n}`);
const change = fc.tuple(key, fc.option(fc.integer().map(String)));

function apply(state: State, changes: readonly (readonly [string, string | null])[]): void {
  for (const [name, value] of changes) {
    if (value === null) state.delete(name);
    else state.set(name, value);
  }
}

test('the hash depends on the content alone, not on the way there', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 80 }), fc.array(fc.nat(79), { maxLength: 8 }), (changes, hashAt) => {
      const state = new State();
      for (const [i, one] of changes.entries()) {
        apply(state, [one]);
        if (hashAt.includes(i)) state.hash();
      }
      expect(new State([...state].reverse()).hash()).toBe(state.hash());
    }),
  );
});

test('rollback takes everything back, changes tell exactly what moved', () => {
  fc.assert(
    fc.property(fc.array(change), fc.array(change), (first, second) => {
      const state = new State();
      apply(state, first);
      state.commit();
      const before = { hash: state.hash(), entries: new Map(state) };
      apply(state, second);
      const replayed = new State(before.entries);
      apply(replayed, state.changes());
      expect(replayed.hash()).toBe(state.hash());
      state.rollback();
      expect(state.hash()).toBe(before.hash);
      expect(new Map(state)).toEqual(before.entries);
      expect(state.names('t0/p')).toEqual(replayedNames(before.entries));
    }),
  );
});

function replayedNames(entries: ReadonlyMap<string, string>): string[] {
  return [...entries.keys()]
    .filter((name) => name.startsWith('t0/p/'))
    .map((name) => name.slice(5))
    .sort();
}

test('a proof holds for its key and value only', () => {
  const state = new State(Array.from({ length: 3000 }, (_, i) => [`t/p/${i}`, `${i}`] as const));
  const proof = state.prove('t/p/77');
  if (proof === null) throw new Error('no proof');
  expect(checkStateProof(proof, state.hash())).toBe(true);
  expect(checkStateProof({ ...proof, value: '78' }, state.hash())).toBe(false);
  expect(checkStateProof({ ...proof, key: 't/p/78' }, state.hash())).toBe(false);
  expect(state.prove('t/p/none')).toBeNull();
  const old = state.hash();
  state.set('t/p/77', '0');
  expect(checkStateProof(proof, state.hash())).toBe(false);
  expect(checkStateProof(proof, old)).toBe(true);
});

test('chunks make the same state; one altered byte, one missing or doubled entry does not', () => {
  const state = new State(Array.from({ length: 500 }, (_, i) => [`t/p/${i}`, `${i}`] as const));
  const chunks = Array.from({ length: CHUNKS }, (_, i) => state.chunk(i));
  expect(stateFromChunks(chunks, state.hash()).hash()).toBe(state.hash());
  const altered = chunks.map((bytes, i) => (i === 3 ? Uint8Array.from(bytes, (b, j) => (j === 9 ? b ^ 1 : b)) : bytes));
  expect(() => stateFromChunks(altered, state.hash())).toThrow();
  expect(() => stateFromChunks(chunks.slice(1), state.hash())).toThrow(/do not make the state hash/);
  expect(() => stateFromChunks([...chunks, chunks[0] as Uint8Array], state.hash())).toThrow(/none/);
});

test('the hash is the plain Merkle tree that the comment says', () => {
  expect(new State().hash()).toBe(
    Buffer.from(merkleRoot(Array.from({ length: 65_536 }, () => merkleRoot([])))).toString('hex'),
  );
  const one = new State([['a/b/c', '1']]);
  const leaf = leafHash(Buffer.from('a/b/c\n1'));
  const bucket = one.prove('a/b/c')?.bucketIndex;
  const tree = Array.from({ length: 65_536 }, (_, i) => (i === bucket ? leaf : merkleRoot([])));
  expect(one.hash()).toBe(Buffer.from(merkleRoot(tree)).toString('hex'));
});
