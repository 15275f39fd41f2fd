// How a node proves itself to a broker without a shared secret: the MQTT password is a signed word of the node's key.
//
//   client id  key id: first 32 hex digits of SHA-256(public key)
//   user name  the same
//   password   base64url of the canonical envelope {"body":{"broker","expiresMs","publicKey"},"kind":"login",
//              "signature","signer"}, signed for the chain like every message; signer = key id
//
// It names the broker, so one broker cannot use it at another, and expires (chain time), so an old one is worth nothing.

import { z } from 'zod';
import { fromBase64url, toBase64url } from '../base/bytes.ts';
import type { Millis } from '../base/units.ts';
import { type Key, keyIdOf } from '../keys/files.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  idSchema,
  isSignedBy,
  publicKeySchema,
  seal,
  type Verify,
} from '../protocol/envelope.ts';

export const LOGIN_KIND = 'login';
/** How long a login can be used, chain time (which may run faster than the wall's); clocks of a node and a broker may differ by as much. */
export const LOGIN_VALID_MS: Millis = 60 * 60_000;
const LOGIN_BYTES_MAX = 1024;

const loginSchema = z.strictObject({
  broker: idSchema,
  expiresMs: z.int().min(0),
  publicKey: publicKeySchema,
});

/** The password for one connection to the broker `broker`. */
export function makeLogin(chain: string, broker: string, key: Key, nowMs: Millis): string {
  const body = { broker, expiresMs: nowMs + LOGIN_VALID_MS, publicKey: key.publicKey };
  return toBase64url(encodeEnvelope(seal(chain, LOGIN_KIND, key.keyId, body, key.sign)));
}

export interface LoginCheck {
  readonly chain: string;
  /** Id of the broker that checks. */
  readonly broker: string;
  readonly clientId: string;
  readonly nowMs: Millis;
  readonly verify: Verify;
}

/** Why a password proves nothing, or null: then the client holds the key whose id is its client id. */
export function refuseLogin(password: string, { chain, broker, clientId, nowMs, verify }: LoginCheck): string | null {
  let envelope: ReturnType<typeof decodeEnvelope>;
  try {
    envelope = decodeEnvelope(fromBase64url(password), LOGIN_BYTES_MAX);
  } catch {
    return 'the password is no signed login';
  }
  const login = loginSchema.safeParse(envelope.body);
  if (envelope.kind !== LOGIN_KIND || !login.success) return 'the password is no signed login';
  const { broker: named, expiresMs, publicKey } = login.data;
  if (named !== broker) return `the login is for broker ${named}, not ${broker}`;
  if (envelope.signer !== clientId || keyIdOf(publicKey) !== clientId) return 'the client id is not the id of the key';
  if (expiresMs <= nowMs) return 'the login has expired: do the clocks agree?';
  if (expiresMs > nowMs + 2 * LOGIN_VALID_MS) return 'the login is valid for too long: do the clocks agree?';
  return isSignedBy(chain, envelope, publicKey, verify) ? null : 'the signature of the login does not hold';
}
