// A signed question to a validator's HTTP API: an envelope of kind `query` in the header `Authorization: Wattpact <base64url>`. It names the
// validator, the target and its end, so that it is worth nothing elsewhere, for anything else, or later; each is taken once.

import { fromBase64url, toBase64url } from '../base/bytes.ts';
import { decodeEnvelope, type Envelope, encodeEnvelope, type Sign, seal } from './envelope.ts';
import { bodyOf, type SignedBody } from './replies.ts';

/** Furthest ahead that a query may end, in ms of a clock of rate 1. */
export const QUERY_VALID_MS_MAX = 120_000;
/** Longest a query is as an envelope, bytes. */
const QUERY_BYTES_MAX = 2_048;
const SCHEME = 'Wattpact';

/** The header's value. `salt` is 16 fresh random bytes, `expiresMs` chain time. */
export function queryHeader(chain: string, signer: string, body: SignedBody<'query'>, sign: Sign): string {
  return `${SCHEME} ${toBase64url(encodeEnvelope(seal(chain, 'query', signer, body, sign)))}`;
}

/** The header's value as an envelope and its body; null if it is none. Nothing is verified yet. */
export function parseQueryHeader(value: string): { envelope: Envelope; body: SignedBody<'query'> } | null {
  const text = new RegExp(`^${SCHEME} ([\\w-]{1,${QUERY_BYTES_MAX * 2}})$`).exec(value)?.[1];
  if (text === undefined) return null;
  try {
    const envelope = decodeEnvelope(fromBase64url(text), QUERY_BYTES_MAX);
    const body = bodyOf('query', envelope);
    return body === null ? null : { envelope, body };
  } catch {
    return null;
  }
}
