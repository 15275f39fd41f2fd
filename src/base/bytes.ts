// Bytes as text and back: UTF-8, lowercase hex (hashes, ids) and base64url without padding (keys, signatures, salts). Bytes come out of
// Node's pool where they are few: each message needs a dozen for a moment, and memory of their own would cost more than filling them.

import { WattpactError } from './errors.ts';

const HEX = /^(?:[0-9a-f]{2})*$/;

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** Decodes lowercase hex; throws `bytes.hex` for anything else. */
export function fromHex(text: string): Uint8Array {
  if (!HEX.test(text)) throw new WattpactError('bytes.hex', 'not lowercase hexadecimal');
  return Buffer.from(text, 'hex');
}

export function toBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

/** Decodes base64url that re-encodes to itself; throws `bytes.base64url` for anything else. */
export function fromBase64url(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text)
    throw new WattpactError('bytes.base64url', 'not canonical base64url without padding');
  return bytes;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = Buffer.allocUnsafe(length); // filled to its end below
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** UTF-8 of a text. In a browser, which checks clearings by these modules, there is no Buffer. */
export const utf8: (text: string) => Uint8Array =
  typeof Buffer === 'undefined' ? (text) => new TextEncoder().encode(text) : (text) => Buffer.from(text);
