// SHA-256, the one hash of the whole protocol. Pure JavaScript as it stands; a program may put its machine's own in its place
// (keys/hash.ts), which is four times as fast on the short inputs of hash trees. Same function, same bytes.

import { sha256 as plainSha256 } from '@noble/hashes/sha2.js';
import { toHex, utf8 } from './bytes.ts';

/** What is hashed: bytes, or a text that stands for its UTF-8. */
export type Hashed = Uint8Array | string;
/** Digest as text: 64 hex digits, or 32 characters of one byte each. */
export type Sha256Text = (hashed: Hashed, encoding: 'hex' | 'latin1') => string;

export const SHA256_BYTES = 32;

let native: Sha256Text | null = null;

/** From here on all digests are made by this function. */
export function useSha256(made: Sha256Text): void {
  native = made;
}

export function sha256(hashed: Hashed): Uint8Array {
  const digest = new Uint8Array(SHA256_BYTES);
  sha256Into(hashed, digest, 0);
  return digest;
}

export function sha256Hex(hashed: Hashed): string {
  return native === null ? toHex(plain(hashed)) : native(hashed, 'hex');
}

/** Writes the digest into `target` from `at` on; the two may overlap. */
export function sha256Into(hashed: Hashed, target: Uint8Array, at: number): void {
  if (native === null) {
    target.set(plain(hashed), at);
    return;
  }
  const digest = native(hashed, 'latin1');
  for (let i = 0; i < SHA256_BYTES; i++) target[at + i] = digest.charCodeAt(i);
}

function plain(hashed: Hashed): Uint8Array {
  return plainSha256(typeof hashed === 'string' ? utf8(hashed) : hashed);
}
