// Repeatable Ed25519 keys for tests.

import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { Sign } from '../../src/protocol/envelope.ts';

export interface KeyPair {
  readonly publicKey: Uint8Array;
  readonly sign: Sign;
}

export function keyPair(seed: number): KeyPair {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, seed)]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32));
  return { publicKey, sign: (message) => new Uint8Array(sign(null, message, key)) };
}
