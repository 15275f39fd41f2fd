// The envelope every signed message travels in, its bytes to sign, its id, and the strict door it enters by.
//
//   {"body":{...},"kind":"offer","signature":"<base64url, 64 bytes>","signer":"gateway-farm"}
//   signed bytes  "wattpact/1/<kind>\n<chain>\n<signer>\n<canonical body>"
//   id            lowercase hex SHA-256 of the signed bytes; the signature enters no id, leaf or order

import { z } from 'zod';
import { fromBase64url, toBase64url, utf8 } from '../base/bytes.ts';
import {
  canonicalBytes,
  canonicalText,
  decodeText,
  type Json,
  type JsonObject,
  parseCanonicalText,
  rememberText,
} from '../base/canonical.ts';
import { WattpactError } from '../base/errors.ts';
import { sha256Hex } from '../base/hash.ts';
import { wordsOf } from '../base/words.ts';

export { sha256Hex };

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

/** An id: of a party, a device, a chain. */
export const ID = /^[a-z0-9-]{1,64}$/;
export const idSchema = z.string().regex(ID, 'must be 1 to 64 of a-z, 0-9 and -');
export const hashSchema = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits');

/** Last characters that leave no stray bits, by how many bytes stand beyond a multiple of three. */
const LAST_CHARACTERS = ['[A-Za-z0-9_-]', '[AQgw]', '[AEIMQUYcgkosw048]'] as const;

/** Text of so many bytes in base64url that re-encodes to itself. */
function base64urlOf(length: number): z.ZodString {
  const characters = Math.ceil((length * 8) / 6);
  const pattern = new RegExp(`^[A-Za-z0-9_-]{${characters - 1}}${LAST_CHARACTERS[length % 3]}$`);
  return z.string().regex(pattern, `must be ${length} bytes in base64url`);
}
export const signatureSchema = base64urlOf(64);
export const publicKeySchema = base64urlOf(32);
export const saltSchema = base64urlOf(16);

const envelopeSchema = z.strictObject({
  body: z.record(z.string(), z.unknown()),
  kind: z.string().regex(/^[a-z][a-z0-9.-]{0,63}$/, 'must be 1 to 64 of a-z, 0-9, "." and -, a letter first'),
  signature: signatureSchema,
  signer: idSchema,
});

/** SHA-256 of a value's canonical bytes, hex. */
export function hashOf(value: Json): string {
  return sha256Hex(canonicalText(value));
}

/** What is signed, as text. */
export function signingText(chain: string, message: { kind: string; signer: string; body: JsonObject }): string {
  return `${PROTOCOL}/${message.kind}\n${chain}\n${message.signer}\n${canonicalText(message.body)}`;
}

export function signingBytes(chain: string, message: { kind: string; signer: string; body: JsonObject }): Uint8Array {
  return utf8(signingText(chain, message));
}

/** Ids that were worked out once: on its way to a block a request is asked for its id many times. */
const ids = new WeakMap<object, { readonly chain: string; readonly id: string }>();

/** The id of a message: hex SHA-256 of its signed bytes. */
export function messageId(chain: string, message: { kind: string; signer: string; body: JsonObject }): string {
  const known = ids.get(message);
  if (known?.chain === chain) return known.id;
  const id = sha256Hex(signingText(chain, message));
  ids.set(message, { chain, id });
  return id;
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

/** How many bytes it is on its way. */
export function envelopeLength(envelope: Envelope): number {
  return Buffer.byteLength(canonicalText(envelope as unknown as Json));
}

/** Bytes from outside to an envelope: size, canonical form and shape; neither the body's schema nor the signature yet. */
export function decodeEnvelope(bytes: Uint8Array, bytesMax: number = MESSAGE_BYTES_MAX): Envelope {
  if (bytes.length > bytesMax) {
    throw new WattpactError('message.size', `message of ${bytes.length} bytes is over the limit of ${bytesMax}`);
  }
  const text = decodeText(bytes);
  const envelope = parseEnvelope(parseCanonicalText(text));
  rememberText(envelope, text);
  return envelope;
}

/** Values whose form was looked at. */
const wellFormed = new WeakSet<object>();

/** A decoded value, which nobody changes from here on, to an envelope (for envelopes inside other messages). */
export function parseEnvelope(value: unknown): Envelope {
  if (typeof value === 'object' && value !== null && wellFormed.has(value)) return value as Envelope;
  const parsed = envelopeSchema.safeParse(value);
  if (!parsed.success) {
    throw new WattpactError('message.envelope', `not an envelope: ${wordsOf(parsed.error, value)}`);
  }
  wellFormed.add(value as Envelope);
  return value as Envelope;
}
