// Writes the vectors: what an implementation in another language must reproduce. `npm run vectors`; a test holds them current.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toBase64url, toHex, utf8 } from '../../src/base/bytes.ts';
import { canonicalText, type Json, type JsonObject } from '../../src/base/canonical.ts';
import { keyIdOf } from '../../src/keys/files.ts';
import { makeLogin } from '../../src/messaging/login.ts';
import { encodeEnvelope, messageId, seal, signingBytes } from '../../src/protocol/envelope.ts';
import { genesisHash } from '../../src/protocol/genesis.ts';
import { attest, type Header, headerHash, NO_PARENT, validatorSetHash } from '../../src/protocol/header.ts';
import { leafHash, merklePath, merkleRoot } from '../../src/protocol/merkle.ts';
import { consensusQuorum, deviceQuorum, faultsTolerated } from '../../src/protocol/quorum.ts';
import { encodeProof, type Leaf, leafBytes, type Proof } from '../../src/protocol/replies.ts';
import { CANONICAL, GENESIS, LEAVES, MESSAGES, REQUESTS, salt, T0_MS, testKey, VALIDATORS } from './examples.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const chain = GENESIS.chain;

function messageVectors(messages: Readonly<Record<string, { signer: string; body: JsonObject }>>): object[] {
  return Object.entries(messages).map(([kind, { signer, body }]) => {
    const key = testKey(signer);
    const message = { kind, signer, body };
    return {
      kind,
      signer,
      secretKeyHex: toHex(key.secret),
      publicKey: key.publicKey,
      canonicalBody: canonicalText(body),
      signedBytesHex: toHex(signingBytes(chain, message)),
      id: messageId(chain, message),
      envelope: text(encodeEnvelope(seal(chain, kind, signer, body, key.sign))),
    };
  });
}

function loginVector(): object {
  const { publicKey, sign, secret } = testKey('gateway-farm');
  const keyId = keyIdOf(publicKey);
  const password = makeLogin(chain, 'validator-1', { keyId, publicKey, sign }, T0_MS);
  return {
    secretKeyHex: toHex(secret),
    publicKey,
    keyId,
    broker: 'validator-1',
    nowMs: T0_MS,
    clientId: keyId,
    password,
  };
}

function proofVector(): object {
  const leaves: Leaf[] = Object.entries(REQUESTS).map(([kind, { signer, body }], i) => ({
    kind: 'verdict',
    reason: i === 1 ? 'late' : '',
    request: messageId(chain, { kind, signer, body }),
    requestKind: kind,
    signer,
    verdict: i === 1 ? 'refused' : 'recorded',
  }));
  const hashes = leaves.map((leaf) => leafHash(leafBytes(salt, leaf)));
  const header: Header = {
    chain,
    height: 7,
    parent: NO_PARENT,
    resultsRoot: toHex(merkleRoot(hashes)),
    stateHash: 'ab'.repeat(32),
    timeMs: T0_MS,
    validatorSet: validatorSetHash(GENESIS.validators),
  };
  const validator = VALIDATORS[0] as string;
  const index = 2;
  const proof: Proof = {
    attestation: attest(header, validator, testKey(validator).sign),
    index,
    kind: 'proof',
    leaf: leaves[index] as Leaf,
    path: merklePath(hashes, index).map(toHex),
    salt,
    size: leaves.length,
  };
  return { header, headerHash: headerHash(header), leafHashes: hashes.map(toHex), proof: text(encodeProof(proof)) };
}

function merkleVectors(): object[] {
  return [0, 1, 2, 3, 5, 8, 13].map((size) => {
    const leaves = Array.from({ length: size }, (_, i) => leafHash(utf8(`leaf ${i}`)));
    const paths = leaves.map((_, i) => merklePath(leaves, i).map(toHex));
    return { size, leafText: 'leaf <index>', root: toHex(merkleRoot(leaves)), paths };
  });
}

/** File name -> content. */
export function vectors(): Record<string, unknown> {
  const keys = Object.fromEntries(VALIDATORS.map((id) => [id, testKey(id).publicKey]));
  return {
    'canonical.json': {
      accepted: CANONICAL.accepted.map((accepted) => ({ text: accepted, bytesHex: toHex(utf8(accepted)) })),
      refused: CANONICAL.refused.map(({ rule, bytes }) => ({ rule, bytesHex: toHex(bytes) })),
    },
    'genesis.json': { genesis: canonicalText(GENESIS as unknown as Json), hash: genesisHash(GENESIS), chain },
    'leaves.json': LEAVES.map((leaf) => ({
      kind: leaf.kind,
      salt,
      canonicalLeaf: canonicalText(leaf as unknown as Json),
      leafHash: toHex(leafHash(leafBytes(salt, leaf))),
    })),
    'login.json': loginVector(),
    'merkle.json': merkleVectors(),
    'messages.json': messageVectors(MESSAGES),
    'proof.json': { validators: keys, ...proofVector() },
    'quorum.json': [1, 4, 5, 6, 7, 10, 16, 31, 100].map((n) => ({
      n,
      f: faultsTolerated(n),
      q: consensusQuorum(n),
      k: deviceQuorum(n),
    })),
    'requests.json': messageVectors(REQUESTS),
    'salt.json': {
      salt,
      bytesHex: toHex(Uint8Array.from({ length: 16 }, (_, i) => i)),
      base64urlOf255: toBase64url(Uint8Array.of(255)),
    },
  };
}

export function fileText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

if (import.meta.main) {
  for (const [name, value] of Object.entries(vectors()))
    writeFileSync(join(import.meta.dirname, name), fileText(value));
}
