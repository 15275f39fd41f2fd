// The fast verdict is ZIP-215's verdict, and keys that anyone can sign for are refused.

import { hashes, verify as nobleVerify, Point } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBase64url, fromHex } from '../../src/base/bytes.ts';
import { newKey } from '../../src/keys/files.ts';
import { fastVerify, refuseWeakKey } from '../../src/keys/verify.ts';

hashes.sha512 = sha512;

/** All encodings of the eight points of small order, canonical or not. Source: ZIP-215, test vectors. */
const SMALL_ORDER = [
  `01${'00'.repeat(31)}`,
  `01${'00'.repeat(30)}80`,
  `${'00'.repeat(32)}`,
  `${'00'.repeat(31)}80`,
  `ec${'ff'.repeat(30)}7f`,
  `ec${'ff'.repeat(31)}`,
  `ed${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(31)}`,
  `ee${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
].map(fromHex);

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

describe('a weak key', () => {
  for (const key of SMALL_ORDER) {
    test(`${Buffer.from(key).toString('hex').slice(0, 8)}...${Buffer.from(key).toString('hex').slice(-2)} is refused`, () => {
      expect(() => refuseWeakKey(key)).toThrow(/small order|canonical/);
    });
  }
  test('of no point at all, or of a wrong length, is refused', () => {
    // y = 2 is on no point of the curve.
    expect(() => refuseWeakKey(Uint8Array.of(2, ...new Uint8Array(31)))).toThrow(/canonical/);
    expect(() => refuseWeakKey(new Uint8Array(31))).toThrow(/canonical/);
  });
  test('is not an honest one', () => {
    expect(() => refuseWeakKey(fromBase64url(newKey().publicKey))).not.toThrow();
    expect(() => refuseWeakKey(Point.BASE.toBytes())).not.toThrow();
  });
});

test('lengths that no key or signature has are a plain no', () => {
  const key = newKey();
  expect(fastVerify(new Uint8Array(63), message, fromBase64url(key.publicKey))).toBe(false);
  expect(fastVerify(key.sign(message), message, new Uint8Array(33))).toBe(false);
});
