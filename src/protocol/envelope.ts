// The envelope every signed message travels in, its bytes to sign, its id, and the strict door it enters by.
//
//   {"body":{...},"kind":"offer","signature":"<base64url, 64 bytes>","signer":"gateway-farm"}
//   signed bytes  "wattpact/1/<kind>\n<chain>\n<signer>\n<canonical body>"
//   id            lowercase hex SHA-256 of the signed bytes; the signature enters no id, leaf or order

import { sha256 } from '@noble/hashes/sha2.js';
import { z } from 'zod';
import { concatBytes, fromBase64url, toBase64url, toHex, utf8 } from '../base/bytes.ts';
import { canonicalBytes, type Json, type JsonObject, parseCanonical } from '../base/canonical.ts';
import { WattpactError } from '../base/errors.ts';

export const PROTOCOL = 'wattpact/1';

/** Largest message accepted from anyone, bytes. Each kind may have a smaller limit of its own. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

export interface Envelope<Body extends JsonObject = JsonObject> {
  readonly body: Body;
  readonly kind: string;
  readonly signature: string;
  readonly signer: string;
}

/** Makes an Ed25519 signature (64 bytes) over the message. */
export type Sign = (message: Uint8Array) => Uint8Array;
/** Checks an Ed25519 signature by the rules of ZIP-215. */
export type Verify = (signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array) => boolean;

export const idSchema = z.string().regex(/^[a-z0-9-]{1,64}$/, 'must be 1 to 64 of a-z, 0-9 and -');
export const hashSchema = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits');

function base64urlOf(length: number): z.ZodString {
  return z.string().refine(
    (text) => {
      try {
        return fromBase64url(text).length === length;
      } catch {
        return false;
      }
    },
    { message: `must be ${length} bytes in base64url` },
  );
}
export const signatureSchema = base64urlOf(64);
export const publicKeySchema = base64urlOf(32);
export const saltSchema = base64urlOf(16);

const envelopeSchema = z.strictObject({
  body: z.record(z.string(), z.unknown()),
  kind: z.string().regex(/^[a-z][a-z0-9.-]{0,63}$/),
  signature: signatureSchema,
  signer: idSchema,
});

export function sha256Hex(bytes: Uint8Array): string {
  return toHex(sha256(bytes));
}

/** SHA-256 of a value's canonical bytes, hex. */
export function hashOf(value: Json): string {
  return sha256Hex(canonicalBytes(value));
}

export function signingBytes(chain: string, message: { kind: string; signer: string; body: JsonObject }): Uint8Array {
  const head = utf8(`${PROTOCOL}/${message.kind}\n${chain}\n${message.signer}\n`);
  return concatBytes(head, canonicalBytes(message.body));
}

/** The id of a message: hex SHA-256 of its signed bytes. */
export function messageId(chain: string, message: { kind: string; signer: string; body: JsonObject }): string {
  return sha256Hex(signingBytes(chain, message));
}

export function seal<Body extends JsonObject>(
  chain: string,
  kind: string,
  signer: string,
  body: Body,
  sign: Sign,
): Envelope<Body> {
  const signature = toBase64url(sign(signingBytes(chain, { kind, signer, body })));
  return { body, kind, signature, signer };
}

/** True if the envelope carries its signer's signature on this chain. `publicKey` is base64url, from a trusted registry. */
export function isSignedBy(chain: string, envelope: Envelope, publicKey: string, verify: Verify): boolean {
  return verify(fromBase64url(envelope.signature), signingBytes(chain, envelope), fromBase64url(publicKey));
}

/** Canonical bytes as they travel. */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  return canonicalBytes(envelope as unknown as Json);
}

/** Bytes from outside to an envelope: size, canonical form and shape; neither the body's schema nor the signature yet. */
export function decodeEnvelope(bytes: Uint8Array, bytesMax: number = MESSAGE_BYTES_MAX): Envelope {
  if (bytes.length > bytesMax) {
    throw new WattpactError('message.size', `message of ${bytes.length} bytes is over the limit of ${bytesMax}`);
  }
  return parseEnvelope(parseCanonical(bytes));
}

/** A decoded value to an envelope (for envelopes inside other messages). */
export function parseEnvelope(value: unknown): Envelope {
  const parsed = envelopeSchema.safeParse(value);
  if (!parsed.success) {
    throw new WattpactError('message.envelope', `not an envelope: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data as unknown as Envelope;
}
