// The door for bytes: what goes out comes in again; everything else is refused with an error for people.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { canonicalBytes, type Json } from '../../src/base/canonical.ts';
import { isWattpactError } from '../../src/base/errors.ts';
import { batchDigest, decodePacket, encodePacket, type Packet } from '../../src/consensus/pbft/core/messages.ts';
import { MESSAGE_BYTES_MAX } from '../../src/protocol/envelope.ts';

const HASH = 'a'.repeat(64);
const SIGNATURE = toBase64url(new Uint8Array(64));
const vote = { digest: HASH, height: 1, parent: HASH, view: 0 };
const signed = (kind: string, body: object) => ({ body, kind, signature: SIGNATURE, signer: 'validator-1' });
const request = { body: { n: 1 }, kind: 'offer', signature: SIGNATURE, signer: 'gateway-1' };
const batch = { requests: [request], timeMs: 5 };
const prepared = { prePrepare: signed('pbft.pre-prepare', vote), prepares: [signed('pbft.prepare', vote)] };
const viewChange = signed('pbft.view-change', { height: 0, prepared, view: 1 });

const PACKETS = [
  { batch, envelope: signed('pbft.pre-prepare', vote) },
  { batch: null, envelope: signed('pbft.prepare', vote) },
  { batch: null, envelope: signed('pbft.commit', vote) },
  { batch: null, envelope: signed('pbft.checkpoint', { header: HASH, height: 64 }) },
  { batch, envelope: viewChange },
  { batch: null, envelope: signed('pbft.new-view', { view: 1, viewChanges: [viewChange] }) },
  { batch: null, envelope: signed('pbft.status', { changing: false, height: 3, stable: 0, view: 0 }) },
  { batch: null, envelope: signed('pbft.forward', { requests: [request] }) },
  { batch: null, envelope: signed('pbft.ask', { height: 1, index: 0, peer: 'validator-2', what: 'blocks' }) },
  {
    batch: null,
    envelope: signed('pbft.blocks', {
      blocks: [{ batch, commits: [signed('pbft.commit', vote)] }],
      from: 1,
      peer: 'validator-2',
    }),
  },
] as unknown as Packet[];

test('every kind of message survives the way out and in', () => {
  for (const packet of PACKETS) expect(decodePacket(encodePacket(packet))).toEqual(packet);
});

test('a message with a field changed, added or missing is refused with a reason', () => {
  fc.assert(
    fc.property(fc.constantFrom(...PACKETS), fc.jsonValue({ maxDepth: 2 }), fc.nat(), (packet, value, at) => {
      const copy = structuredClone(packet) as unknown as { envelope: { body: Record<string, unknown> } };
      const fields = Object.keys(copy.envelope.body);
      const field = fields[at % fields.length] as string;
      const before = JSON.stringify(copy);
      if (at % 3 === 0) delete copy.envelope.body[field];
      else if (at % 3 === 1) copy.envelope.body[`${field}x`] = value;
      else copy.envelope.body[field] = value;
      if (JSON.stringify(copy) === before) return;
      try {
        const decoded = decodePacket(canonicalBytes(copy as unknown as Json));
        expect(decoded).toEqual(copy); // another value of the right form
      } catch (error) {
        expect(isWattpactError(error)).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});

test('bytes from anywhere never break the door', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(() => decodePacket(bytes)).toThrow();
    }),
    { numRuns: 1000 },
  );
  expect(() => decodePacket(new Uint8Array(MESSAGE_BYTES_MAX + 1))).toThrow(/over/);
});

test('the digest covers order, time and signatures of a batch', () => {
  const other = { ...request, body: { n: 2 } };
  const two = { requests: [request, other], timeMs: 5 };
  const digests = [
    batchDigest(two),
    batchDigest({ ...two, requests: [other, request] }),
    batchDigest({ ...two, timeMs: 6 }),
    batchDigest({ ...two, requests: [{ ...request, signature: toBase64url(new Uint8Array(64).fill(1)) }, other] }),
  ];
  expect(new Set(digests).size).toBe(digests.length);
});
