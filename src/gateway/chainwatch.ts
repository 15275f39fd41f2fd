// What the gateway hears from the validators, believed only when proved: attested headers, verdicts, notices and settlements counted to k,
// statements of absence, last sequences; and the operators' orders. Owns checking and counting; acts on nothing.

import { toHex } from '../base/bytes.ts';
import { parseCanonical } from '../base/canonical.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { addAttestation, agreedSequence, type HeaderView } from '../contract/headers.ts';
import { addVote, decidedWord, EMPTY_TALLY, supporters, type Tally } from '../contract/tally.ts';
import type { Message, Messaging } from '../messaging/client.ts';
import { decodeEnvelope, type Envelope, isSignedBy, type Verify } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { checkAttestation, type Header, headerHash, headerSchema } from '../protocol/header.ts';
import { leafHash } from '../protocol/merkle.ts';
import {
  bodyOf,
  checkProof,
  decodeProof,
  leafBytes,
  type Notice,
  type Order,
  type Proof,
  type Settlement,
  type SignedBody,
} from '../protocol/replies.ts';
import type { HistoryCount } from './history.ts';
import type { HistoryPart } from './history-part.ts';
import type { Members, Trust } from './trust.ts';

/** Largest reply or header accepted, bytes. A notice with many trades is the longest. */
const REPLY_BYTES_MAX = 256 * 1024;
/** Notices and settlements whose count is kept: a day of each. */
const SUBJECTS_MAX = 256;

export interface ChainListener {
  onHeader(header: Header): void;
  onVerdict(proof: Proof, header: Header): void;
  onAbsent(validator: string, body: SignedBody<'absent'>): void;
  onHint(validator: string, body: SignedBody<'hint'>): void;
  /** Counted to k: `confirmations` validators proved exactly this. Called once a subject and content. */
  onNotice(notice: Notice, confirmations: number): void;
  onSettlement(settlement: Settlement): void;
  /** Signed by an operator, newer than every order of his before. */
  onOrder(order: Order, operator: string): void;
  /** Deliveries of ours that the chain recorded, each proven, and below which height none is missing. */
  onHistory(part: HistoryPart): void;
  /** The validators agree on this last sequence of ours (salt = the ask's). */
  onSequence(sequence: number): void;
}

export interface Chainwatch {
  /** Of the validators in force now, or of those that agreed on a header. */
  quorum(header?: Header): { readonly k: number; readonly n: number };
  /** Monotonic time at which an attested header or proof came last; null before the first. */
  heardAtMs(): number | null;
  /** Begins to count answers to an ask for the last sequence, by its salt; goes on counting when asked again with the same. */
  expectSequence(salt: string): void;
}

export function watchChain(options: {
  genesis: Genesis;
  /** This party: a gateway, or an operator or utility that only waits for verdicts. */
  gateway: string;
  /** What it listens to; a gateway hears all. */
  channels?: readonly ('header' | 'reply' | 'notice' | 'order')[];
  trust: Trust;
  /** Counts answers about the past; null: none are asked for. */
  history: Pick<HistoryCount, 'take'> | null;
  /** Highest sequence of each operator's orders so far: kept over restarts, so that an old order never comes back. */
  orderSequences: Map<string, number>;
  verify: Verify;
  messaging: Pick<Messaging, 'subscribe'>;
  clock: Clock;
  log: Log;
  listener: ChainListener;
}): Chainwatch {
  const { genesis, gateway, trust, verify, messaging, clock, log, listener, orderSequences } = options;
  const { chain } = genesis;
  const operators = new Map(genesis.operators.map(({ id, publicKey }) => [id, publicKey]));

  let headers: HeaderView = { verified: trust.highest(), pending: new Map() };
  let heardAtMs: number | null = null;
  const subjects = new Map<string, Tally>();
  let sequenceSalt: string | null = null;
  let sequenceAnswers = new Map<string, { readonly sequence: number; readonly publicKey: string }>();

  function onAttestation(envelope: Envelope): void {
    const members = membersOf(envelope);
    if (members === null) return drop('header', envelope.signer, UNKNOWN_SET);
    const header = checkAttestation(chain, envelope, members.keys, verify);
    if (header === null) return drop('header', envelope.signer, 'not a genuine attestation');
    heardAtMs = clock.monotonicMs();
    believe(envelope.signer, header, members);
  }

  /** The validators whose word on a header counts, by what the attestation says of itself; null: not known, or no attestation. */
  function membersOf({ body }: Envelope): Members | null {
    const header = headerSchema.safeParse(body);
    return header.success ? trust.of(header.data) : null;
  }

  function believe(validator: string, header: Header, { k }: Members): void {
    const before = headers.verified;
    headers = addAttestation(headers, validator, header, k);
    if (headers.verified === null || headers.verified === before) return;
    trust.onVerified(headers.verified);
    listener.onHeader(headers.verified);
  }

  function onProof(message: Message): void {
    const proof = decodeProof(message.payload);
    const validator = proof.attestation.signer;
    if (message.path[1] !== validator) return drop('proof', validator, 'published under another name');
    const members = membersOf(proof.attestation);
    if (members === null) return drop('proof', validator, UNKNOWN_SET);
    const header = checkProof(chain, proof, members.keys, verify);
    if (header === null) return drop('proof', validator, 'attestation or path does not hold');
    heardAtMs = clock.monotonicMs();
    believe(validator, header, members);
    switch (proof.leaf.kind) {
      case 'verdict':
        return listener.onVerdict(proof, header);
      case 'notice':
      case 'settlement':
        if (proof.leaf.gateway === gateway) countSubject(proof, header, validator, members.k);
        return;
      case 'clearing':
        return;
      default:
        return proof.leaf satisfies never;
    }
  }

  /** A settlement may be replaced by a later block's: its height is part of what it is about. */
  function countSubject({ leaf, salt }: Proof, header: Header, validator: string, k: number): void {
    if (leaf.kind !== 'notice' && leaf.kind !== 'settlement') return;
    const subject = `${leaf.kind} ${leaf.interval}${leaf.kind === 'settlement' ? ` ${header.height}` : ''}`;
    const said = `${toHex(leafHash(leafBytes(salt, leaf)))} ${header.height} ${headerHash(header)}`;
    const before = subjects.get(subject) ?? EMPTY_TALLY;
    const after = addVote(before, { validator, said });
    subjects.delete(subject);
    subjects.set(subject, after);
    if (subjects.size > SUBJECTS_MAX) subjects.delete(subjects.keys().next().value as string);
    if (decidedWord(before, k) !== null || decidedWord(after, k) !== said) return;
    if (leaf.kind === 'notice') listener.onNotice(leaf, supporters(after, said).length);
    else listener.onSettlement(leaf);
  }

  function onSigned(message: Message): void {
    const envelope = decodeEnvelope(message.payload, REPLY_BYTES_MAX);
    const validator = envelope.signer;
    const publicKey = trust.current().keys.get(validator);
    if (publicKey === undefined || message.path[1] !== validator) {
      return drop('reply', validator, 'not published by a validator');
    }
    if (!isSignedBy(chain, envelope, publicKey, verify)) return drop('reply', validator, 'signature does not hold');
    const absent = bodyOf('absent', envelope);
    if (absent !== null) return listener.onAbsent(validator, absent);
    const hint = bodyOf('hint', envelope);
    if (hint !== null) return listener.onHint(validator, hint);
    const sequence = bodyOf('sequence', envelope);
    if (sequence !== null) return onSequence(validator, publicKey, sequence);
    const history = bodyOf('history', envelope);
    if (history !== null) return onHistory(validator, history);
    drop('reply', validator, `kind ${envelope.kind} is not expected here`);
  }

  function onSequence(validator: string, publicKey: string, body: SignedBody<'sequence'>): void {
    if (body.gateway !== gateway || body.salt !== sequenceSalt) return;
    sequenceAnswers.set(validator, { sequence: body.sequence, publicKey });
    const { keys, n, f } = trust.current();
    // Who left the validators since it answered does not count, nor what was signed with a key that has been replaced.
    const inForce = [...sequenceAnswers].filter(([id, answer]) => keys.get(id) === answer.publicKey);
    const agreed = agreedSequence(new Map(inForce.map(([id, { sequence }]) => [id, sequence])), n, f);
    if (agreed === null) return;
    sequenceSalt = null;
    listener.onSequence(agreed);
  }

  function onHistory(validator: string, answer: SignedBody<'history'>): void {
    const part = options.history?.take(validator, answer) ?? null;
    if (part !== null) listener.onHistory(part);
  }

  function onOrder(message: Message): void {
    const envelope = decodeEnvelope(message.payload, REPLY_BYTES_MAX);
    const publicKey = operators.get(envelope.signer);
    if (publicKey === undefined || !isSignedBy(chain, envelope, publicKey, verify)) {
      return drop('order', envelope.signer, 'not signed by an operator');
    }
    if (envelope.kind === 'checkpoint') return trust.onCheckpoint(envelope);
    const order = bodyOf('order', envelope);
    if (order === null || order.gateway !== gateway) return;
    if (order.sequence <= (orderSequences.get(envelope.signer) ?? 0)) return;
    orderSequences.set(envelope.signer, order.sequence);
    listener.onOrder(order, envelope.signer);
  }

  function drop(what: string, from: string, reason: string): void {
    log.warn({ from, reason }, `${what} dropped`);
  }

  /** A handler must not throw: what cannot be decoded is dropped, loudly. */
  function guarded(what: string, handle: (message: Message) => void): (message: Message) => void {
    return (message) => {
      try {
        handle(message);
      } catch (error) {
        drop(what, message.path.join('/'), describeError(error));
      }
    };
  }

  /** Replies come as proofs, as changes of the validators, or as envelopes; the first two say so in their first keys. */
  function onReply(message: Message): void {
    const head = new TextDecoder().decode(message.payload.subarray(0, PROOF_HEAD.length));
    if (head === PROOF_HEAD) onProof(message);
    else if (head.startsWith(CHANGE_HEAD)) trust.onChange(parseCanonical(message.payload));
    else onSigned(message);
  }

  const handlers = {
    header: [['+'], guarded('header', ({ payload }) => onAttestation(decodeEnvelope(payload, REPLY_BYTES_MAX)))],
    reply: [[gateway, '+'], guarded('reply', onReply)],
    notice: [[gateway, '+'], guarded('notice', onProof)],
    order: [['+'], guarded('order', onOrder)],
  } as const;
  for (const channel of options.channels ?? (['header', 'reply', 'notice', 'order'] as const)) {
    const [path, handler] = handlers[channel];
    messaging.subscribe(channel, path, REPLY_BYTES_MAX, handler);
  }

  return {
    quorum: (header) => (header === undefined ? null : trust.of(header)) ?? trust.current(),
    heardAtMs: () => heardAtMs,
    expectSequence(salt) {
      if (salt === sequenceSalt) return;
      sequenceSalt = salt;
      sequenceAnswers = new Map();
    },
  };
}

/** A set that this gateway does not know may count by other keys and another k: nothing of it is believed. */
const UNKNOWN_SET = 'it was made under validators that this gateway does not know or cannot trust now';
/** Canonical JSON sorts keys: a proof begins with its attestation. */
const PROOF_HEAD = '{"attestation"';
const CHANGE_HEAD = '{"commits"';
