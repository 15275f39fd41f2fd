// The application header: what a validator attests after it has durably applied a block. The same under every engine:
// engine height, view, proposer and certificates are not in it.

import { z } from 'zod';
import { type Envelope, hashOf, hashSchema, idSchema, isSignedBy, type Sign, seal, type Verify } from './envelope.ts';

export const headerSchema = z.strictObject({
  chain: idSchema,
  height: z.int().min(0),
  parent: hashSchema,
  resultsRoot: hashSchema,
  stateHash: hashSchema,
  timeMs: z.int().min(0),
  validatorSet: hashSchema,
});

/** `parent` of height 0 (genesis) is 64 zeros; `validatorSet` is the hash of the set in force for this block. */
export type Header = z.infer<typeof headerSchema>;

export const HEADER_KIND = 'header';
export const NO_PARENT = '0'.repeat(64);

export interface ValidatorKey {
  readonly id: string;
  readonly publicKey: string;
}

const hashes = new WeakMap<Header, string>();

/** Hash of a header; the `parent` of the next. */
export function headerHash(header: Header): string {
  let hash = hashes.get(header);
  if (hash === undefined) {
    hash = hashOf(header);
    hashes.set(header, hash);
  }
  return hash;
}

/** Hash of a validator set: of its members in order of their ids. */
export function validatorSetHash(validators: readonly ValidatorKey[]): string {
  const members = validators.map(({ id, publicKey }) => ({ id, publicKey }));
  return hashOf(members.sort((a, b) => (a.id < b.id ? -1 : 1)));
}

/** A validator's attestation: the header in an envelope. One signature a block and validator. */
export function attest(header: Header, validator: string, sign: Sign): Envelope<Header> {
  return seal(header.chain, HEADER_KIND, validator, header, sign);
}

/** The attested header, or null if it is not this chain's, not well-formed, or not signed by a member of the set. */
export function checkAttestation(
  chain: string,
  envelope: Envelope,
  validators: ReadonlyMap<string, string>,
  verify: Verify,
): Header | null {
  const publicKey = validators.get(envelope.signer);
  const header = headerSchema.safeParse(envelope.body);
  if (publicKey === undefined || envelope.kind !== HEADER_KIND || !header.success) return null;
  if (header.data.chain !== chain) return null;
  return isSignedBy(chain, envelope, publicKey, verify) ? header.data : null;
}
