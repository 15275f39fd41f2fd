import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { leafHash, merklePath, merkleRoot, rootFromPath } from '../../src/protocol/merkle.ts';

test('known roots (certificate transparency test vectors: the empty tree, and one empty leaf)', () => {
  expect(toHex(merkleRoot([]))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  expect(toHex(merkleRoot([leafHash(new Uint8Array(0))]))).toBe(
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  );
});

test('property: every leaf proves itself, and no other leaf, index, size or shorter path does', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 70 }), fc.nat(), (size, pick) => {
      const leaves = Array.from({ length: size }, (_, i) => leafHash(utf8(`leaf ${i}`)));
      const index = pick % size;
      const path = merklePath(leaves, index);
      const root = toHex(merkleRoot(leaves));
      const from = (leaf: Uint8Array, at: number, of: number, along: Uint8Array[]): string => {
        const found = rootFromPath(leaf, at, of, along);
        return found === null ? 'none' : toHex(found);
      };
      const leaf = leaves[index] as Uint8Array;
      expect(from(leaf, index, size, path)).toBe(root);
      expect(from(leafHash(utf8('other')), index, size, path)).not.toBe(root);
      expect(from(leaf, size, size, path)).toBe('none');
      if (size > 1) {
        expect(from(leaf, (index + 1) % size, size, path)).not.toBe(root);
        expect(from(leaf, index, size, path.slice(1))).toBe('none');
      }
    }),
  );
});
