// The door for bytes: what goes out comes in again; everything else is refused with an error for people.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { canonicalBytes, canonicalText, type Json } from '../../src/base/canonical.ts';
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

test.each<[string, object, RegExp]>([
  [
    'another kind',
    { batch: null, envelope: signed('pbft.comit', vote) },
    /^not a consensus message: envelope\.kind: must be pbft\.pre-prepare, .* not "pbft\.comit"; did you mean pbft\.commit\?$/,
  ],
  [
    'a view below 0 and no parent',
    { batch: null, envelope: signed('pbft.commit', { digest: HASH, height: 1, view: -1 }) },
    /^not a consensus message: envelope\.body\.parent: is missing \(a text\); envelope\.body\.view: must be at least 0, not -1$/,
  ],
])('%s is refused in people’s words', (_name, packet, words) => {
  expect(() => decodePacket(canonicalBytes(packet as unknown as Json))).toThrow(words);
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

const signature = fc.integer({ min: 0, max: 5 }).map((byte) => toBase64url(new Uint8Array(64).fill(byte)));
/** Bodies with what might be taken for the end of a request. */
const body = fc.oneof(
  fc.record({ n: fc.nat() }),
  fc.record({ approvals: fc.array(fc.record({ signature, signer: fc.constantFrom('a', 'b') }), { maxLength: 2 }) }),
  fc.constantFrom({ text: '"signature":"' }, { text: `","signer":"a"},` }, { text: '],"timeMs":7}' }, {}),
);
const requests = fc.array(
  fc.record({ body, kind: fc.constantFrom('offer', 'demand'), signature, signer: fc.constantFrom('g-1', 'g-2') }),
  { maxLength: 5 },
);

test('a proposal is read alike whatever waits here; what waits is the very object that waits', () => {
  fc.assert(
    fc.property(requests, requests, fc.nat(1e15 - 1), (some, others, timeMs) => {
      const waiting = new Map([...some, ...others].filter((_, i) => i % 2 === 0).map((each) => [each.signature, each]));
      const packet = { batch: { requests: some, timeMs }, envelope: signed('pbft.pre-prepare', vote) };
      const decoded = decodePacket(encodePacket(packet as unknown as Packet), () => waiting);
      expect(decoded).toEqual(packet);
      // Bodies with signatures of their own may be cut wrongly; then the whole is read by the general parser.
      const isPlain = some.every(({ body }) => !JSON.stringify(body).includes('signature'));
      for (const each of (isPlain && decoded.batch?.requests) || []) {
        const known = waiting.get(each.signature);
        if (known !== undefined && JSON.stringify(known) === JSON.stringify(each)) expect(each).toBe(known);
      }
      expect(encodePacket(decoded)).toEqual(encodePacket(structuredClone(decoded)));
    }),
    { numRuns: 500 },
  );
});

test('a proposal with characters changed, added or cut out is what it says, in canonical form, or refused', () => {
  const edit = fc.tuple(
    fc.nat(),
    fc.nat(30),
    fc.constantFrom('', ' ', '"', '}', ']', ',', '{', '0', 'a', '"signature":"', '"a":1,'),
  );
  let read = 0;
  fc.assert(
    fc.property(requests, edit, (some, [place, cut, put]) => {
      const waiting = new Map(some.filter((_, i) => i % 2 === 0).map((each) => [each.signature, each]));
      const whole = Buffer.from(
        encodePacket({
          batch: { requests: some, timeMs: 5 },
          envelope: signed('pbft.pre-prepare', vote),
        } as unknown as Packet),
      ).toString();
      const at = place % whole.length;
      const text = whole.slice(0, at) + put + whole.slice(at + cut);
      let decoded: Packet;
      try {
        decoded = decodePacket(Buffer.from(text), () => waiting);
      } catch (error) {
        expect(isWattpactError(error)).toBe(true);
        return;
      }
      read++;
      expect(decoded).toEqual(JSON.parse(text));
      expect(canonicalText(JSON.parse(text))).toBe(text);
    }),
    { numRuns: 3000 },
  );
  expect(read).toBeGreaterThan(20);
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
