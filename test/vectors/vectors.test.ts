import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { verify } from '@noble/ed25519';
import { expect, test } from 'vitest';
import { fromBase64url, fromHex, utf8 } from '../../src/base/bytes.ts';
import { parseCanonical } from '../../src/base/canonical.ts';
import { refuseLogin } from '../../src/messaging/login.ts';
import { decodeEnvelope, isSignedBy, type Verify } from '../../src/protocol/envelope.ts';
import { parseGenesis } from '../../src/protocol/genesis.ts';
import { bodyOf, checkProof, decodeProof, encodeProof, leafSchema } from '../../src/protocol/replies.ts';
import { approvalBytes, parseRequest, possessionBytes } from '../../src/protocol/requests.ts';
import { testKey } from './examples.ts';
import { fileText, vectors } from './make.ts';

const read = (name: string) => JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8'));
const zip215: Verify = (signature, message, key) => verify(signature, message, key, { zip215: true });

test.each(Object.entries(vectors()))('%s is what `npm run vectors` writes', (name, value) => {
  expect(readFileSync(join(import.meta.dirname, name), 'utf8')).toBe(fileText(value));
});

test('canonical form: every rule has bytes that break it', () => {
  const { accepted, refused } = read('canonical.json');
  for (const { bytesHex } of accepted) expect(() => parseCanonical(fromHex(bytesHex))).not.toThrow();
  for (const { rule, bytesHex } of refused) expect(() => parseCanonical(fromHex(bytesHex)), rule).toThrow();
});

test('every request is well-formed, signed by its signer, and by nobody else on no other chain', () => {
  const { chain } = parseGenesis(JSON.parse(read('genesis.json').genesis));
  const all = read('requests.json');
  for (const { envelope, publicKey, kind } of all) {
    const parsed = decodeEnvelope(utf8(envelope));
    expect(parseRequest(parsed).kind).toBe(kind);
    expect(isSignedBy(chain, parsed, publicKey, zip215)).toBe(true);
    expect(isSignedBy(`${chain}x`, parsed, publicKey, zip215)).toBe(false);
    expect(isSignedBy(chain, { ...parsed, kind: 'other' }, publicKey, zip215)).toBe(false);
    expect(isSignedBy(chain, { ...parsed, signer: 'other' }, publicKey, zip215)).toBe(false);
    expect(isSignedBy(chain, { ...parsed, body: { ...parsed.body, sequence: 2 } }, publicKey, zip215)).toBe(false);
  }
});

test('every other signed message is well-formed and signed', () => {
  const { chain } = read('genesis.json');
  for (const { envelope, publicKey, kind } of read('messages.json')) {
    const parsed = decodeEnvelope(utf8(envelope));
    expect(bodyOf(kind, parsed), kind).not.toBeNull();
    expect(isSignedBy(chain, parsed, publicKey, zip215)).toBe(true);
  }
});

test('a login proves its key to the broker it names, and to no other', () => {
  const { chain } = read('genesis.json');
  const { password, clientId, nowMs } = read('login.json');
  const check = { chain, broker: 'validator-1', clientId, nowMs, verify: zip215 };
  expect(refuseLogin(password, check)).toBeNull();
  expect(refuseLogin(password, { ...check, broker: 'validator-2' })).not.toBeNull();
  expect(refuseLogin(password, { ...check, clientId: '0'.repeat(32) })).not.toBeNull();
});

test('a proof holds for its leaf and the set, and for no other leaf, place, salt, header or key', () => {
  const { proof: text, validators } = read('proof.json');
  const { chain } = read('genesis.json');
  const proof = decodeProof(utf8(text));
  const set = new Map<string, string>(Object.entries(validators));
  const holds = (changed: object): boolean => checkProof(chain, { ...proof, ...changed }, set, zip215) !== null;
  expect(encodeProof(proof)).toEqual(utf8(text));
  expect(holds({})).toBe(true);
  expect(holds({ leaf: { ...proof.leaf, verdict: 'refused' } })).toBe(false);
  expect(holds({ index: proof.index + 1 })).toBe(false);
  expect(holds({ size: proof.index })).toBe(false);
  expect(holds({ salt: 'AAAAAAAAAAAAAAAAAAAAAA' })).toBe(false);
  expect(holds({ path: proof.path.slice(1) })).toBe(false);
  const body = { ...proof.attestation.body, height: 8 };
  expect(holds({ attestation: { ...proof.attestation, body } })).toBe(false);
  expect(holds({ attestation: { ...proof.attestation, signer: 'validator-2' } })).toBe(false);
  set.delete('validator-1');
  expect(holds({})).toBe(false);
});

test('every leaf is well-formed', () => {
  const all: { canonicalLeaf: string }[] = read('leaves.json');
  for (const { canonicalLeaf } of all)
    expect(leafSchema.safeParse(parseCanonical(utf8(canonicalLeaf))).success).toBe(true);
  expect(all).toHaveLength(leafSchema.options.length);
});

test('a change of the validators is approved and its key is held', () => {
  const { chain } = read('genesis.json');
  const { canonicalBody } = read('requests.json').find(({ kind }: { kind: string }) => kind === 'membership');
  const { approvals, change, possession } = JSON.parse(canonicalBody);
  const holds = (signature: string, bytes: Uint8Array, key: string): boolean =>
    zip215(fromBase64url(signature), bytes, fromBase64url(key));
  expect(holds(possession, possessionBytes(chain, change), change.publicKey)).toBe(true);
  expect(approvals).toHaveLength(4);
  for (const { signature, signer } of approvals) {
    expect(holds(signature, approvalBytes(chain, change), testKey(signer).publicKey), signer).toBe(true);
    expect(holds(signature, possessionBytes(chain, change), testKey(signer).publicKey), signer).toBe(false);
  }
});

test('a signature of another length is refused before any arithmetic', () => {
  const [{ envelope }] = read('requests.json');
  const value = JSON.parse(envelope);
  const cut = { ...value, signature: value.signature.slice(0, 84) };
  expect(fromBase64url(cut.signature).length).toBe(63);
  expect(() => decodeEnvelope(utf8(JSON.stringify(cut)))).toThrow('64 bytes');
});
