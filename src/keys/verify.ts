// Ed25519 verification by the rules of ZIP-215, fast. Owns the way to a verdict, not what is verified.
//
// node:crypto (OpenSSL) is an order of magnitude faster but stricter on edge cases. What it accepts, ZIP-215 accepts too;
// what it rejects, @noble/ed25519 decides. So the verdict is ZIP-215's everywhere, and only forgeries pay for the slow path.
// Sources: RFC 8032 section 5.1, https://zips.z.cash/zip-0215.

import { createPublicKey, type KeyObject, verify as nodeVerify } from 'node:crypto';
import { hashes, verify as nobleVerify } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { toHex } from '../base/bytes.ts';
import './hash.ts';
import type { Verify } from '../protocol/envelope.ts';

hashes.sha512 = sha512;

/** Parsed public keys kept ready; the least recently used falls out. Above the validators and gateways of a busy feeder. */
const KEYS_CACHED_MAX = 4096;

/** Head of an Ed25519 SubjectPublicKeyInfo (RFC 8410 section 4): the 32 key bytes follow. */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

const cache = new Map<string, KeyObject>();

/** Public key bytes as an object of node:crypto, from the cache where it is there. */
function keyObjectOf(publicKey: Uint8Array): KeyObject {
  const name = toHex(publicKey);
  const cached = cache.get(name);
  if (cached !== undefined) {
    cache.delete(name);
    cache.set(name, cached);
    return cached;
  }
  const key = createPublicKey({ key: Buffer.concat([SPKI_HEAD, publicKey]), format: 'der', type: 'spki' });
  if (cache.size >= KEYS_CACHED_MAX) cache.delete(cache.keys().next().value as string);
  cache.set(name, key);
  return key;
}

/** Checks a signature (64 bytes) by a public key (32 bytes): ZIP-215's verdict. Malformed input is a plain no. */
export const fastVerify: Verify = (signature, message, publicKey) => {
  if (signature.length !== 64 || publicKey.length !== 32) return false;
  try {
    if (nodeVerify(null, message, keyObjectOf(publicKey), signature)) return true;
  } catch {
    // OpenSSL refuses some encodings of keys that ZIP-215 allows: the slow path decides those as well.
  }
  try {
    return nobleVerify(signature, message, publicKey, { zip215: true });
  } catch {
    return false;
  }
};
