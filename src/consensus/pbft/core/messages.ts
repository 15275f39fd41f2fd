// The messages validators exchange: their bodies, and the one door by which bytes become a typed packet.
// Owns form and bounds only; whether a message is signed, timely or true is judged by step.ts and certificate.ts.
// Source of the protocol: Castro and Liskov, Practical Byzantine Fault Tolerance (1999); docs/consensus.md says what differs.
//
// A packet is `{"batch": ..., "envelope": ...}`. The batch travels beside the signed envelope, not in it: the signature
// covers its digest, so that votes and certificates stay small.

import { z } from 'zod';
import {
  canonicalBytes,
  canonicalText,
  decodeText,
  type Json,
  parseCanonicalText,
  rememberText,
} from '../../../base/canonical.ts';
import { WattpactError } from '../../../base/errors.ts';
import { wordsOf } from '../../../base/words.ts';
import {
  type Envelope,
  hashOf,
  hashSchema,
  idSchema,
  MESSAGE_BYTES_MAX,
  signatureSchema,
} from '../../../protocol/envelope.ts';
import { headerSchema } from '../../../protocol/header.ts';
import type { Batch } from '../../engine.ts';

/** Most validators whose messages a certificate can hold (genesis allows as many). */
export const VALIDATORS_MAX = 128;
/** Most requests in a forward and in a batch. */
export const REQUESTS_MAX = 100_000;
/** Most blocks in one answer, and most chunks of a snapshot. */
export const BLOCKS_MAX = 64;
export const CHUNKS_MAX = 65_536;

const heightSchema = z.int().min(0);

function signedSchema<Kind extends string, Body extends z.ZodType>(kind: Kind, body: Body) {
  return z.strictObject({ body, kind: z.literal(kind), signature: signatureSchema, signer: idSchema });
}
const requestSchema = z.strictObject({
  body: z.record(z.string(), z.unknown()),
  kind: z.string().regex(/^[a-z][a-z0-9.-]{0,63}$/, 'must be 1 to 64 of a-z, 0-9, "." and -, a letter first'),
  signature: signatureSchema,
  signer: idSchema,
});
const batchSchema = z.strictObject({ requests: z.array(requestSchema).max(REQUESTS_MAX), timeMs: heightSchema });

/** What is voted on: this batch, as the block of this height on this parent, in this view. */
const voteSchema = z.strictObject({
  /** Digest of the batch. */
  digest: hashSchema,
  height: heightSchema.min(1),
  /** Hash of the application header of the height below: proposals stand on executed state. */
  parent: hashSchema,
  view: heightSchema,
});
export type Vote = z.infer<typeof voteSchema>;

/** A checkpoint: the signer executed this height and has this header. */
const checkpointSchema = z.strictObject({ header: hashSchema, height: heightSchema.min(1) });

const prePrepareSchema = signedSchema('pbft.pre-prepare', voteSchema);
const prepareSchema = signedSchema('pbft.prepare', voteSchema);
const commitSchema = signedSchema('pbft.commit', voteSchema);
const signedCheckpointSchema = signedSchema('pbft.checkpoint', checkpointSchema);
export type PrePrepare = z.infer<typeof prePrepareSchema>;
export type Prepare = z.infer<typeof prepareSchema>;
export type Commit = z.infer<typeof commitSchema>;
export type Checkpoint = z.infer<typeof signedCheckpointSchema>;

/** Proof that a batch was prepared: the primary's pre-prepare and prepares of q - 1 others, all for the same vote. */
const preparedSchema = z.strictObject({
  prePrepare: prePrepareSchema,
  prepares: z.array(prepareSchema).max(VALIDATORS_MAX),
});
export type Prepared = z.infer<typeof preparedSchema>;

/** `I leave every view below this one`: with the last executed height, and what was prepared above it. */
const viewChangeBodySchema = z.strictObject({
  height: heightSchema,
  prepared: preparedSchema.nullable(),
  view: heightSchema.min(1),
});
const viewChangeSchema = signedSchema('pbft.view-change', viewChangeBodySchema);
export type ViewChange = z.infer<typeof viewChangeSchema>;

/** The view-changes of a quorum; everybody computes from them what the new primary must propose. */
const newViewSchema = signedSchema(
  'pbft.new-view',
  z.strictObject({ view: heightSchema.min(1), viewChanges: z.array(viewChangeSchema).max(VALIDATORS_MAX) }),
);
export type NewView = z.infer<typeof newViewSchema>;

/** Where the signer stands: last executed height, last stable checkpoint, view. Sent when nothing else was for a while. Never counted, only a reason to ask or to repeat. */
const statusSchema = signedSchema(
  'pbft.status',
  z.strictObject({ changing: z.boolean(), height: heightSchema, stable: heightSchema, view: heightSchema }),
);
export type Status = z.infer<typeof statusSchema>;

/** Requests a validator has waited for too long, shown to everybody. */
const forwardSchema = signedSchema(
  'pbft.forward',
  z.strictObject({ requests: z.array(requestSchema).max(REQUESTS_MAX) }),
);
export type Forward = z.infer<typeof forwardSchema>;

/**
 * A validator that is behind asks one other (`peer`) for blocks, for a snapshot, or for a chunk of it. One that serves a
 * snapshot asks all others for their checkpoint of its height; `peer` is itself then.
 */
const askSchema = signedSchema(
  'pbft.ask',
  z.strictObject({
    /** First block wanted; or the height of the snapshot or checkpoint. */
    height: heightSchema,
    index: z.int().min(0).max(CHUNKS_MAX),
    peer: idSchema,
    what: z.enum(['blocks', 'snapshot', 'chunk', 'checkpoint']),
  }),
);
export type Ask = z.infer<typeof askSchema>;

const blocksSchema = signedSchema(
  'pbft.blocks',
  z.strictObject({
    /** In order of height. Empty: not kept any more, ask for a snapshot. */
    blocks: z
      .array(z.strictObject({ batch: batchSchema, commits: z.array(commitSchema).max(VALIDATORS_MAX) }))
      .max(BLOCKS_MAX),
    from: heightSchema,
    peer: idSchema,
  }),
);
export type Blocks = z.infer<typeof blocksSchema>;

const snapshotSchema = signedSchema(
  'pbft.snapshot',
  z.strictObject({
    manifest: z.strictObject({ chunks: z.array(hashSchema).max(CHUNKS_MAX), header: headerSchema }),
    peer: idSchema,
    /** Checkpoints of a quorum of the manifest's header. */
    proof: z.array(signedCheckpointSchema).max(VALIDATORS_MAX),
  }),
);
export type Snapshot = z.infer<typeof snapshotSchema>;

const chunkSchema = signedSchema(
  'pbft.chunk',
  z.strictObject({
    bytes: z.string().max(MESSAGE_BYTES_MAX),
    height: heightSchema,
    index: z.int().min(0).max(CHUNKS_MAX),
    peer: idSchema,
  }),
);
export type Chunk = z.infer<typeof chunkSchema>;

const messageSchema = z.discriminatedUnion('kind', [
  prePrepareSchema,
  prepareSchema,
  commitSchema,
  signedCheckpointSchema,
  viewChangeSchema,
  newViewSchema,
  statusSchema,
  forwardSchema,
  askSchema,
  blocksSchema,
  snapshotSchema,
  chunkSchema,
]);
export type Message = z.infer<typeof messageSchema>;
export type MessageKind = Message['kind'];
export type BodyOf<Kind extends MessageKind> = Extract<Message, { kind: Kind }>['body'];

export interface Packet {
  /** The batch that a pre-prepare or a view-change's prepared certificate names by digest; else null. */
  readonly batch: Batch | null;
  readonly envelope: Message;
}

const packetSchema = z.strictObject({ batch: batchSchema.nullable(), envelope: messageSchema });

/** Which topic a message travels on: state transfer has its own, so that it never delays votes. */
export type Channel = 'consensus' | 'sync';
export function channelOf(kind: MessageKind): Channel {
  return kind === 'pbft.ask' || kind === 'pbft.blocks' || kind === 'pbft.snapshot' || kind === 'pbft.chunk'
    ? 'sync'
    : 'consensus';
}

export function encodePacket(packet: Packet): Uint8Array {
  return canonicalBytes(packet as unknown as Json);
}

/**
 * Bytes from outside to a packet; throws `pbft.size`, `pbft.form` or `canonical.*`. Nothing is verified yet. `waiting` are requests that are
 * known here by their signature: a proposal that repeats one byte for byte holds that very object.
 */
export function decodePacket(bytes: Uint8Array, waiting: Waiting = NOTHING_WAITS): Packet {
  if (bytes.length > MESSAGE_BYTES_MAX) {
    throw new WattpactError('pbft.size', `consensus message of ${bytes.length} bytes is over ${MESSAGE_BYTES_MAX}`);
  }
  const text = decodeText(bytes);
  const quick = decodeVote(text) ?? decodeProposal(text, waiting);
  if (quick !== null) return quick;
  const value = parseCanonicalText(text);
  const parsed = packetSchema.safeParse(value);
  if (!parsed.success) throw new WattpactError('pbft.form', `not a consensus message: ${wordsOf(parsed.error, value)}`);
  return value as unknown as Packet;
}

export type Waiting = () => ReadonlyMap<string, Envelope>;
const NOTHING_WAITS: Waiting = () => new Map();

/** An envelope around a vote has one form: text that matches is canonical and well-formed as it stands. Numbers of 15 digits are safe. */
const votePattern = (kinds: string): string =>
  String.raw`\{"body":(\{"digest":"([0-9a-f]{64})","height":([1-9]\d{0,14}),"parent":"([0-9a-f]{64})","view":(0|[1-9]\d{0,14})\}),"kind":"pbft\.(${kinds})","signature":"([A-Za-z0-9_-]{85}[AQgw])","signer":"([a-z0-9-]{1,64})"\}`;
const VOTE_HEAD = '{"batch":null,"envelope":';
const VOTE = new RegExp(`^\\${VOTE_HEAD}${votePattern('prepare|commit')}\\}$`);

/** The way of nearly all messages: a vote without the general parser; null for whatever else (it may still be a vote). */
function decodeVote(text: string): Packet | null {
  const match = VOTE.exec(text);
  return match === null ? null : { batch: null, envelope: voteOf(match.slice(1), text.slice(VOTE_HEAD.length, -1)) };
}

function voteOf(groups: readonly string[], text: string): Prepare | Commit | PrePrepare {
  const [bodyText, digest, height, parent, view, kind, signature, signer] = groups;
  const body = { digest, height: Number(height), parent, view: Number(view) } as Vote;
  const envelope = { body, kind: `pbft.${kind}`, signature, signer } as Prepare | Commit | PrePrepare;
  rememberText(body, bodyText as string);
  rememberText(envelope, text);
  return envelope;
}

const PROPOSAL_HEAD = '{"batch":{"requests":[';
const BATCH_AT = '{"batch":'.length;
const SIGNATURE = '"signature":"';
const SIGNATURE_CHARACTERS = 86;
const REQUEST_TAIL = /","signer":"[a-z0-9-]{1,64}"\}/y;
const BATCH_TAIL = /\],"timeMs":(0|[1-9]\d{0,14})\}/y;
const PROPOSAL_TAIL = new RegExp(`^,"envelope":(${votePattern('pre-prepare')})\\}$`);

/**
 * A proposal, taken apart request by request: what waits here already is compared as text, the rest parsed piece by piece. Pieces that are
 * canonical values make a canonical whole, and a text has one reading. Null for whatever else, also where the pieces were cut wrongly.
 */
function decodeProposal(text: string, waiting: Waiting): Packet | null {
  if (!text.startsWith(PROPOSAL_HEAD)) return null;
  const known = waiting();
  const requests: Batch['requests'][number][] = [];
  let at = PROPOSAL_HEAD.length;
  while (text[at] !== ']') {
    if (requests.length > 0 && text[at++] !== ',') return null;
    const signatureAt = text.indexOf(SIGNATURE, at) + SIGNATURE.length;
    const request = known.get(text.slice(signatureAt, signatureAt + SIGNATURE_CHARACTERS));
    const requestText = request === undefined ? '' : canonicalText(request as unknown as Json);
    if (request !== undefined && text.startsWith(requestText, at)) {
      requests.push(request);
      at += requestText.length;
      continue;
    }
    REQUEST_TAIL.lastIndex = signatureAt + SIGNATURE_CHARACTERS;
    if (!REQUEST_TAIL.test(text)) return null;
    const parsed = parseRequestText(text.slice(at, REQUEST_TAIL.lastIndex));
    if (parsed === null || requests.length >= REQUESTS_MAX) return null;
    requests.push(parsed);
    at = REQUEST_TAIL.lastIndex;
  }
  BATCH_TAIL.lastIndex = at;
  const tail = BATCH_TAIL.exec(text);
  if (tail === null) return null;
  const batchEnd = BATCH_TAIL.lastIndex;
  const match = PROPOSAL_TAIL.exec(text.slice(batchEnd));
  if (match === null) return null;
  const batch: Batch = { requests, timeMs: Number(tail[1]) };
  rememberText(batch, text.slice(BATCH_AT, batchEnd));
  const [, envelopeText, ...vote] = match as unknown as [string, string, ...string[]];
  return { batch, envelope: voteOf(vote, envelopeText) };
}

/** A request of its own text, or null. */
function parseRequestText(text: string): Envelope | null {
  try {
    const value = parseCanonicalText(text);
    if (!requestSchema.safeParse(value).success) return null;
    rememberText(value as object, text);
    return value as unknown as Envelope;
  } catch {
    return null;
  }
}

/** Digest of a batch, over the requests with their signatures: one digest, one sequence of bytes. */
export function batchDigest(batch: Batch): string {
  return hashOf(batch as unknown as Json);
}
