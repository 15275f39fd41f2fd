import { sha256 as plain } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { sha256, sha256Hex, sha256Into } from '../../src/base/hash.ts';

const alike = (): void =>
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(8), (bytes, at) => {
      const hex = toHex(plain(bytes));
      const target = new Uint8Array(40).fill(7);
      sha256Into(bytes, target, at);
      const around = [...target.subarray(0, at), ...target.subarray(at + 32)];
      expect([sha256Hex(bytes), toHex(sha256(bytes)), toHex(target.subarray(at, at + 32))]).toEqual([hex, hex, hex]);
      expect(around.every((byte) => byte === 7)).toBe(true);
    }),
  );

test("the pure hash and the machine's own are one function", async () => {
  alike();
  await import('../../src/keys/hash.ts');
  alike();
});
