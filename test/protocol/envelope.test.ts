// What is no envelope: what stands where, and what is wanted there, in people's words.

import { expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { canonicalBytes, type Json } from '../../src/base/canonical.ts';
import { decodeEnvelope, parseEnvelope } from '../../src/protocol/envelope.ts';

const good = { body: { n: 1 }, kind: 'offer', signature: toBase64url(new Uint8Array(64)), signer: 'gateway-farm' };

test('one comes out as it went in', () => {
  expect(decodeEnvelope(canonicalBytes(good))).toEqual(good);
});

test.each<[string, unknown, string]>([
  ['nothing', null, 'a group of keys is wanted, not nothing (null)'],
  ['a list', [good], 'a group of keys is wanted, not a list'],
  ['a key too many', { ...good, more: 1 }, 'unknown key "more"'],
  ['a body that is a list', { ...good, body: [] }, 'body: a group of keys is wanted, not a list'],
  ['a kind in capitals', { ...good, kind: 'Offer' }, 'kind: must be 1 to 64 of a-z, 0-9, "." and -, a letter first'],
  ['a signature cut short', { ...good, signature: 'AA' }, 'signature: must be 64 bytes in base64url'],
  [
    'no signer and a number for a kind',
    { body: {}, kind: 5, signature: good.signature },
    'kind: a text is wanted, not the number 5: put it in quotes; signer: is missing (a text)',
  ],
])('%s is none', (_name, value, words) => {
  expect(() => parseEnvelope(value)).toThrow(`not an envelope: ${words}`);
  expect(() => decodeEnvelope(canonicalBytes(value as Json))).toThrow(`not an envelope: ${words}`);
});
