// Keys that anyone could sign for, or that have two encodings, are refused where a key is registered.

import { expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { newKey } from '../../src/keys/files.ts';
import { keyProblem } from '../../src/ledger/parties.ts';
import { SMALL_ORDER } from '../vectors/small-order.ts';

test.each(SMALL_ORDER.map((key) => [Buffer.from(key).toString('hex'), key] as const))('%s is refused', (_hex, key) => {
  expect(keyProblem(toBase64url(key))).toMatch(/small order|canonical/);
});

test('what is on no point of the curve, or of another length, is refused', () => {
  // y = 2 is on no point of the curve.
  expect(keyProblem(toBase64url(Uint8Array.of(2, ...new Uint8Array(31))))).toMatch(/canonical/);
  expect(keyProblem(toBase64url(new Uint8Array(31)))).toMatch(/canonical/);
});

test('an honest key is not', () => {
  expect(keyProblem(newKey().publicKey)).toBeNull();
});
