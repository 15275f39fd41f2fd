// The fast verdict is ZIP-215's verdict.

import { hashes, verify as nobleVerify } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromBase64url } from '../../src/base/bytes.ts';
import { newKey } from '../../src/keys/files.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { SMALL_ORDER } from '../vectors/small-order.ts';

hashes.sha512 = sha512;

const message = new TextEncoder().encode('Zcash');

test('all 196 edge cases of ZIP-215 are accepted', () => {
  for (const key of SMALL_ORDER) {
    for (const r of SMALL_ORDER) {
      const signature = new Uint8Array(64);
      signature.set(r);
      expect(fastVerify(signature, message, key)).toBe(true);
    }
  }
});

test('honest signatures hold; any flipped bit of signature, message or key does not', () => {
  const key = newKey();
  const publicKey = fromBase64url(key.publicKey);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(), (text, where) => {
      const signature = key.sign(text);
      expect(fastVerify(signature, text, publicKey)).toBe(true);
      const parts = [signature, text, publicKey].map((part) => Uint8Array.from(part));
      const part = parts[where % 3] as Uint8Array;
      const bit = Math.floor(where / 3) % (part.length * 8);
      part[bit >> 3] = (part[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(fastVerify(parts[0] as Uint8Array, parts[1] as Uint8Array, parts[2] as Uint8Array)).toBe(false);
    }),
    { numRuns: 60 },
  );
});

test('the verdict is noble-ed25519 in its ZIP-215 mode, also on noise', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom(...SMALL_ORDER), fc.uint8Array({ minLength: 32, maxLength: 32 })),
      fc.oneof(fc.constantFrom(...SMALL_ORDER), fc.uint8Array({ minLength: 32, maxLength: 32 })),
      fc.constantFrom(new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31)), new Uint8Array(32).fill(255)),
      (publicKey, r, s) => {
        const signature = Uint8Array.of(...r, ...s);
        let expected = false;
        try {
          expected = nobleVerify(signature, message, publicKey, { zip215: true });
        } catch {
          expected = false;
        }
        expect(fastVerify(signature, message, publicKey)).toBe(expected);
      },
    ),
    { numRuns: 100 },
  );
});

test('lengths that no key or signature has are a plain no', () => {
  const key = newKey();
  expect(fastVerify(new Uint8Array(63), message, fromBase64url(key.publicKey))).toBe(false);
  expect(fastVerify(key.sign(message), message, new Uint8Array(33))).toBe(false);
});
