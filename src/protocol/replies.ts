// What validators say to gateways: leaves of a block with their proof, statements of absence, hints; and operators' orders.
// A proof needs no signature of its own: the validator's attestation of the header covers it through the results root.

import { z } from 'zod';
import { concatBytes, fromBase64url, fromHex, toHex } from '../base/bytes.ts';
import {
  canonicalBytes,
  decodeText,
  type Json,
  type JsonObject,
  parseCanonicalText,
  rememberText,
} from '../base/canonical.ts';
import { WattpactError } from '../base/errors.ts';
import { ENERGY_WH_MAX } from '../base/units.ts';
import { wordsOf } from '../base/words.ts';
import {
  type Envelope,
  hashSchema,
  idSchema,
  parseEnvelope,
  publicKeySchema,
  saltSchema,
  type Verify,
} from './envelope.ts';
import { checkAttestation, type Header, headerSchema } from './header.ts';
import { leafHash, rootFromPath } from './merkle.ts';

const energySchema = z.int().min(0).max(ENERGY_WH_MAX);
const signedEnergySchema = z.int().min(-ENERGY_WH_MAX).max(ENERGY_WH_MAX);
const intervalSchema = z.int().min(0);
const amountSchema = z.int();

/** Longest reason in a verdict or hint. */
export const REASON_LENGTH_MAX = 200;

/** What became of a request. `reason` is empty when recorded. */
export const verdictSchema = z.strictObject({
  kind: z.literal('verdict'),
  reason: z.string().max(REASON_LENGTH_MAX),
  request: hashSchema,
  requestKind: z.string(),
  signer: idSchema,
  verdict: z.enum(['recorded', 'refused']),
});

export const tradeSchema = z.strictObject({
  buyer: idSchema,
  buyerUcPerWh: z.int(),
  energyWh: energySchema.min(1),
  /** Physical loss on the path: information. */
  lossWh: energySchema,
  /** Buses along the way, seller's first. */
  path: z.array(idSchema),
  seller: idSchema,
  sellerUcPerWh: z.int(),
});
export type Trade = z.infer<typeof tradeSchema>;

/** The result of a clearing for one site: its position (cleared export - cleared import) and its trades. */
export const noticeSchema = z.strictObject({
  /** Digest of the whole clearing with its certificate. */
  clearing: hashSchema,
  /** Line whose limit kept an order of this site from clearing in full, or empty. */
  bindingLine: z.string(),
  /** Shadow price of that line: what a Wh more of its limit would be worth; 0 without one. */
  bindingUcPerWh: z.int().min(0),
  feeder: idSchema,
  gateway: idSchema,
  interval: intervalSchema,
  kind: z.literal('notice'),
  nodalPriceUcPerWh: z.int(),
  positionWh: signedEnergySchema,
  /** Void: the clearing could not run in time; nothing was traded. */
  status: z.enum(['cleared', 'void']),
  trades: z.array(tradeSchema),
});
export type Notice = z.infer<typeof noticeSchema>;

/** Settlement of one site and interval. Amounts: + the site receives, - it pays. */
export const settlementSchema = z.strictObject({
  balanceUc: z.string(),
  deliveredWh: signedEnergySchema,
  deviationWh: z.int(),
  gateway: idSchema,
  imbalanceUc: amountSchema,
  interval: intervalSchema,
  kind: z.literal('settlement'),
  positionWh: signedEnergySchema,
  provisional: z.boolean(),
  tradesUc: amountSchema,
});
export type Settlement = z.infer<typeof settlementSchema>;

/** Public summary of a clearing. */
export const clearingSchema = z.strictObject({
  clearing: hashSchema,
  feeder: idSchema,
  interval: intervalSchema,
  kind: z.literal('clearing'),
  status: z.enum(['cleared', 'void']),
  /** Totals over at least 5 gateways, else null. */
  tradedWh: z.int().min(0).nullable(),
});

export const leafSchema = z.discriminatedUnion('kind', [verdictSchema, noticeSchema, settlementSchema, clearingSchema]);
export type Leaf = z.infer<typeof leafSchema>;
export type Verdict = z.infer<typeof verdictSchema>;

const PATH_LENGTH_MAX = 64;

/** A leaf, its place in a block's results, and one validator's attestation of that block. */
export const proofSchema = z.strictObject({
  attestation: z.unknown(),
  index: z.int().min(0),
  kind: z.literal('proof'),
  leaf: leafSchema,
  path: z.array(hashSchema).max(PATH_LENGTH_MAX),
  salt: saltSchema,
  size: z.int().min(1),
});
export type Proof = Omit<z.infer<typeof proofSchema>, 'attestation'> & { readonly attestation: Envelope };

/** Bytes whose leaf hash stands in the results tree: salt, then the canonical leaf. */
export function leafBytes(salt: string, leaf: Leaf): Uint8Array {
  return concatBytes(fromBase64url(salt), canonicalBytes(leaf as unknown as Json));
}

/** Bytes from outside to a proof; throws `reply.form`. Nothing is verified yet. */
export function decodeProof(bytes: Uint8Array): Proof {
  const text = decodeText(bytes);
  const verdict = decodeVerdict(text);
  if (verdict !== null) return verdict;
  const value = parseCanonicalText(text);
  const parsed = proofSchema.safeParse(value);
  if (!parsed.success) throw new WattpactError('reply.form', `not a proof: ${wordsOf(parsed.error, value)}`);
  return { ...parsed.data, attestation: parseEnvelope(parsed.data.attestation) };
}

const PROOF_HEAD = '{"attestation":';
/** The proof of a verdict behind its attestation: text that matches is canonical and well-formed as it stands. */
const VERDICT_TAIL =
  /^,"index":(0|[1-9]\d{0,14}),"kind":"proof","leaf":(\{"kind":"verdict","reason":"([ !#-[\]-~]{0,200})","request":"([0-9a-f]{64})","requestKind":"([ !#-[\]-~]*)","signer":"([a-z0-9-]{1,64})","verdict":"(recorded|refused)"\}),"path":\[((?:"[0-9a-f]{64}"(?:,"[0-9a-f]{64}")*)?)\],"salt":"([A-Za-z0-9_-]{21}[AQgw])","size":([1-9]\d{0,14})\}$/;

/** The way of nearly all proofs, without the general parser; null for whatever else. */
function decodeVerdict(text: string): Proof | null {
  const attestationEnd = text.indexOf(',"index":');
  if (!text.startsWith(PROOF_HEAD) || attestationEnd < 0) return null;
  const match = VERDICT_TAIL.exec(text.slice(attestationEnd));
  if (match === null) return null;
  const [, index, leafText, reason, request, requestKind, signer, verdict, hashes, salt, size] =
    match as unknown as string[];
  const path = hashes === '' ? [] : (JSON.parse(`[${hashes}]`) as string[]);
  const attestation = attestationOf(text.slice(PROOF_HEAD.length, attestationEnd));
  if (attestation === null || path.length > PATH_LENGTH_MAX) return null;
  const leaf = { kind: 'verdict', reason, request, requestKind, signer, verdict } as Verdict;
  rememberText(leaf, leafText as string);
  return { attestation, index: Number(index), kind: 'proof', leaf, path, salt: salt as string, size: Number(size) };
}

/** Attestations by their text: the same one comes with every proof of its block. */
const attestations = new Map<string, Envelope>();
const ATTESTATIONS_KEPT_MAX = 256;

function attestationOf(text: string): Envelope | null {
  const known = attestations.get(text);
  if (known !== undefined) return known;
  let attestation: Envelope;
  try {
    attestation = parseEnvelope(parseCanonicalText(text));
  } catch {
    return null;
  }
  rememberText(attestation, text);
  if (attestations.size >= ATTESTATIONS_KEPT_MAX) attestations.delete(attestations.keys().next().value as string);
  attestations.set(text, attestation);
  return attestation;
}

export function encodeProof(proof: Proof): Uint8Array {
  return canonicalBytes(proof as unknown as Json);
}

/** The attested header under which the leaf stands, or null if the attestation or the path does not hold. */
export function checkProof(
  chain: string,
  proof: Proof,
  validators: ReadonlyMap<string, string>,
  verify: Verify,
): Header | null {
  const header = checkAttestation(chain, proof.attestation, validators, verify);
  if (header === null) return null;
  const leaf = leafHash(leafBytes(proof.salt, proof.leaf));
  const root = rootFromPath(leaf, proof.index, proof.size, proof.path.map(fromHex));
  return root !== null && toHex(root) === header.resultsRoot ? header : null;
}

/** `absent`: a validator's signed word that a request is in no block up to a certified one past its `validUntilMs`. */
export const absentSchema = z.strictObject({
  header: hashSchema,
  height: z.int().min(0),
  request: hashSchema,
  timeMs: z.int().min(0),
});

/** `hint`: why a validator will not even order a request. Never counted. */
export const hintSchema = z.strictObject({ reason: z.string().max(REASON_LENGTH_MAX), request: hashSchema });

/**
 * `ask`: a gateway asks again for proofs of its requests and for its notices and settlements, for its last sequence, for its past, and for
 * changes of the validators.
 */
export const askSchema = z.strictObject({
  /** Deliveries recorded from this block on are wanted back; null: none. */
  historyFrom: z.int().min(0).nullable(),
  intervals: z.array(intervalSchema).max(96),
  requests: z.array(hashSchema).max(256),
  salt: saltSchema,
  sequence: z.boolean(),
  /** Changes of the validators recorded from this block on are wanted; null: none. */
  setsFrom: z.int().min(0).nullable(),
  timeMs: z.int().min(0),
});

/** Records in one `history`. */
export const HISTORY_RECORDS_MAX = 256;

/**
 * `history`: what a gateway that lost its store gets back: its recorded deliveries and corrections in heights `[max(from, keptFrom), until)`,
 * each certified (ledger/certified.ts). The records prove themselves; the signature is on what the answer covers.
 */
export const historySchema = z.strictObject({
  from: z.int().min(0),
  keptFrom: z.int().min(0),
  records: z.array(z.unknown()).max(HISTORY_RECORDS_MAX),
  salt: saltSchema,
  until: z.int().min(0),
});

/** `sequence`: a validator's signed answer: the highest sequence recorded for that gateway at a height. */
export const sequenceSchema = z.strictObject({
  gateway: idSchema,
  header: hashSchema,
  height: z.int().min(0),
  salt: saltSchema,
  sequence: z.int().min(0),
});

/** `order`: an operator's restriction, in force at once; the highest sequence of an operator wins. */
export const orderSchema = z.strictObject({
  exportLimitW: z.int().min(0).nullable(),
  fromMs: z.int().min(0),
  /** Gateway the order is for. */
  gateway: idSchema,
  importLimitW: z.int().min(0).nullable(),
  sequence: z.int().min(1),
  untilMs: z.int().min(0),
});
export type Order = z.infer<typeof orderSchema>;

/** `checkpoint`: an operator's word that this header stands, with the validators that agreed on it: where trust begins anew. */
export const checkpointSchema = z.strictObject({
  header: headerSchema,
  validators: z
    .array(z.strictObject({ id: idSchema, publicKey: publicKeySchema }))
    .min(1)
    .max(128),
});

/** `query`: a signed question to one validator's HTTP API, good once and for a short time. */
export const querySchema = z.strictObject({
  /** Chain time. */
  expiresMs: z.int().min(0),
  salt: saltSchema,
  /** Path and query string of the request, byte for byte. */
  target: z.string().max(1024),
  validator: idSchema,
});

const SIGNED_SCHEMAS = {
  absent: absentSchema,
  ask: askSchema,
  checkpoint: checkpointSchema,
  hint: hintSchema,
  history: historySchema,
  order: orderSchema,
  query: querySchema,
  sequence: sequenceSchema,
};
export type SignedKind = keyof typeof SIGNED_SCHEMAS;
export type SignedBody<K extends SignedKind> = z.infer<(typeof SIGNED_SCHEMAS)[K]>;

/** The body of a signed message of the given kind, or null if it is another kind or malformed. */
export function bodyOf<K extends SignedKind>(kind: K, envelope: Envelope): SignedBody<K> | null {
  if (envelope.kind !== kind) return null;
  const parsed = SIGNED_SCHEMAS[kind].safeParse(envelope.body as JsonObject);
  return parsed.success ? (parsed.data as SignedBody<K>) : null;
}
