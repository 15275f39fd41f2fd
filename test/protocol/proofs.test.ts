// Proofs from outside: what was encoded is read again; what was tampered with is what it says in canonical form, or refused.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { canonicalText, type Json } from '../../src/base/canonical.ts';
import { isWattpactError } from '../../src/base/errors.ts';
import { decodeProof, encodeProof, type Proof } from '../../src/protocol/replies.ts';

const hash = fc.integer({ min: 0, max: 15 }).map((digit) => digit.toString(16).repeat(64));
const attestation = fc.record({
  body: fc.constantFrom({ height: 3 }, { text: 'ends with ,"index":1' }, { nested: { index: 1, x: [] } }),
  kind: fc.constant('header'),
  signature: fc.constant(toBase64url(new Uint8Array(64))),
  signer: fc.constantFrom('v-1', 'v-2'),
});
const verdict = fc.record({
  kind: fc.constant('verdict' as const),
  reason: fc.constantFrom('', 'late: the gate closed', 'ü', 'a "quoted" word', '","verdict":"recorded"'),
  request: hash,
  requestKind: fc.constantFrom('offer', 'forecast', 'x"y'),
  signer: fc.constantFrom('g-1', 'g-2'),
  verdict: fc.constantFrom('recorded' as const, 'refused' as const),
});
const clearing = fc.record({
  clearing: hash,
  feeder: fc.constant('street'),
  interval: fc.nat(),
  kind: fc.constant('clearing' as const),
  status: fc.constant('void' as const),
  tradedWh: fc.constant(null),
});
const proofs = fc.record({
  attestation,
  index: fc.nat(1e15 - 1),
  kind: fc.constant('proof' as const),
  leaf: fc.oneof({ weight: 3, arbitrary: verdict }, { weight: 1, arbitrary: clearing }),
  path: fc.array(hash, { maxLength: 5 }),
  salt: fc.constant(toBase64url(new Uint8Array(16))),
  size: fc.integer({ min: 1, max: 1e15 - 1 }),
}) as unknown as fc.Arbitrary<Proof>;

test('a proof survives the way out and in', () => {
  fc.assert(
    fc.property(proofs, (proof) => {
      const decoded = decodeProof(encodeProof(proof));
      expect(decoded).toEqual(proof);
      expect(encodeProof(decoded)).toEqual(encodeProof(structuredClone(decoded)));
    }),
    { numRuns: 500 },
  );
});

test('a proof with characters changed, added or cut out is what it says, in canonical form, or refused', () => {
  const put = fc.constantFrom('', ' ', '"', '}', ']', ',', '0', 'a', 'A', '-', '"a":1,', ',"index":1');
  let read = 0;
  fc.assert(
    fc.property(proofs, fc.nat(), fc.nat(20), put, (proof, place, cut, added) => {
      const whole = Buffer.from(encodeProof(proof)).toString();
      const at = place % whole.length;
      const text = whole.slice(0, at) + added + whole.slice(at + cut);
      let decoded: Proof;
      try {
        decoded = decodeProof(Buffer.from(text));
      } catch (error) {
        expect(isWattpactError(error)).toBe(true);
        return;
      }
      read++;
      expect(decoded).toEqual(JSON.parse(text));
      expect(canonicalText(JSON.parse(text) as Json)).toBe(text);
    }),
    { numRuns: 4000 },
  );
  expect(read).toBeGreaterThan(20);
});

test('a path longer than any tree is refused, whichever way it is read', () => {
  const [proof] = fc.sample(
    proofs.filter(({ leaf }) => leaf.kind === 'verdict'),
    1,
  ) as [Proof];
  const path = Array.from({ length: 65 }, () => 'a'.repeat(64));
  expect(() => decodeProof(encodeProof({ ...proof, path }))).toThrow(/not a proof/);
});
