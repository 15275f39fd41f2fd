// The PBFT driver: the host with bytes, signatures, a durable vote log and one timer. What `validator/` starts.

import { fromBase64url, toBase64url, utf8 } from '../../base/bytes.ts';
import {
  canonicalBytes,
  canonicalText,
  type Json,
  type JsonObject,
  parseCanonical,
  rememberText,
} from '../../base/canonical.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError, isWattpactError, WattpactError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import {
  envelopeLength,
  messageId,
  type Sign,
  seal,
  sha256Hex,
  signingText,
  type Verify,
} from '../../protocol/envelope.ts';
import type { Application, Batch, Engine } from '../engine.ts';
import type { Environment, LogRecord } from './core/io.ts';
import { batchDigest, channelOf, decodePacket, encodePacket, type Message, VALIDATORS_MAX } from './core/messages.ts';
import type { PbftTerms } from './core/terms.ts';
import { createHost, type Host } from './host.ts';
import type { ConsensusEvent, Timers, Transport, VoteLog } from './ports.ts';

/** Wrong signatures a connection may send in a second: each may cost the slow way to a verdict. */
const FORGERIES_PER_SECOND_MAX = 20;
/** Checked signatures remembered: certificates repeat votes that came before. */
const SIGNATURES_CACHED_MAX = 2048;
/** Characters from which a message is remembered by its hash: above every vote. */
const LONG = 512;

export interface PbftOptions {
  readonly chain: string;
  /** This validator's id, and its public key (base64url): it votes while the application lists it with this key. */
  readonly self: string;
  readonly publicKey: string;
  readonly application: Application;
  readonly sign: Sign;
  readonly verify: Verify;
  readonly transport: Transport;
  readonly votes: VoteLog;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly terms: PbftTerms;
  readonly log: Log;
  /** Hears every event as it happens; must not throw. */
  readonly onEvent?: (event: ConsensusEvent) => void;
}

export function createPbftEngine(options: PbftOptions): Engine {
  const { application, transport, votes, clock, timers, log } = options;
  let host: Host | null = null;
  let cancelTimer: (() => void) | null = null;
  let timerAtMs = Number.POSITIVE_INFINITY;

  const tell = (event: ConsensusEvent): void => {
    logEvent(log, event);
    options.onEvent?.(event);
  };

  /** A failure below (disk, application) ends the part of this validator: what it would say next might contradict what it said. */
  function guarded(work: (host: Host) => void): void {
    if (host === null) return;
    try {
      work(host);
    } catch (error) {
      stop();
      log.error({ error: describeError(error) }, 'consensus stopped');
      throw error;
    }
  }

  function stop(): void {
    host = null;
    cancelTimer?.();
    cancelTimer = null;
    timerAtMs = Number.POSITIVE_INFINITY;
  }

  const forgeries = forgeryBudget(clock);

  function onMessage(bytes: Uint8Array, from?: string): void {
    if (host === null || !forgeries.allows(from ?? '')) return;
    let packet: ReturnType<typeof decodePacket>;
    try {
      packet = decodePacket(bytes, host.waiting);
    } catch (error) {
      if (!isWattpactError(error)) throw error;
      tell({ type: 'message refused', from: '', kind: '', reason: describeError(error) });
      return;
    }
    const { kind, signer } = packet.envelope;
    if (from !== undefined && signer !== from && signer !== options.self) {
      tell({ type: 'message refused', from, kind, reason: `signed as ${signer}, sent by ${from}` });
      return;
    }
    guarded((running) => running.receive(packet));
  }

  /** A timer that is set for an earlier moment stays: a tick too many is harmless, a new timer for every message is not free. */
  function wakeAt(atMs: number): void {
    if (timerAtMs <= atMs) return;
    cancelTimer?.();
    timerAtMs = atMs;
    const delayMs = Math.max(0, Math.ceil(atMs - clock.monotonicMs()));
    cancelTimer = timers.after(delayMs, () => {
      timerAtMs = Number.POSITIVE_INFINITY;
      guarded((running) => running.tick());
    });
  }

  transport.onMessage(onMessage);
  return {
    start() {
      const validators = application.validators().size;
      if (validators === 2 || validators === 3) {
        throw new WattpactError('pbft.validators', `${validators} validators tolerate no fault`, {
          hint: 'Use at least 4 (or a single one for a bench).',
        });
      }
      if (validators === 1) log.warn({}, 'a chain of one validator tolerates no fault: for a bench only');
      const read = votes.read();
      host = createHost(
        {
          env: environment(options, () => forgeries.charge()),
          application,
          persist(records, compact) {
            if (compact !== null) votes.replace([...compact, ...records].map(encodeRecord));
            else votes.append(records.map(encodeRecord));
          },
          send: (packet) => transport.publish(channelOf(packet.envelope.kind), encodePacket(packet)),
          tell,
          now: () => ({ chainMs: clock.chainMs(), monotonicMs: clock.monotonicMs() }),
          wakeAt,
          requestId: (request) => messageId(options.chain, request),
          requestBytes: (request) => envelopeLength(request),
          blockBytes: (block) => canonicalBytes({ ...block } as unknown as Json).length,
          toText: toBase64url,
          fromText: fromBase64url,
        },
        read === null ? null : read.map(decodeRecord),
      );
      guarded((running) => running.tick());
    },
    stop,
    submit(request) {
      let refusal: string | null = 'this validator takes no part in consensus now';
      guarded((running) => {
        refusal = running.submit(request);
      });
      return refusal;
    },
    status() {
      if (host !== null) return host.status();
      const { height } = application.head();
      return { engine: 'pbft', height, view: 0, primary: '', state: 'stopped', why: '', pending: 0, evidence: [] };
    },
  };
}

/** Wrong signatures are charged to the connection they came by, never to the signer they claim. */
function forgeryBudget(clock: Clock): { allows(from: string): boolean; charge(): void } {
  const spent = new Map<string, { count: number; sinceMs: number }>();
  let current = '';
  return {
    allows(from) {
      current = from;
      const account = spent.get(from);
      if (account === undefined) return true;
      if (clock.monotonicMs() >= account.sinceMs + 1000) spent.delete(from);
      return account.count < FORGERIES_PER_SECOND_MAX || !spent.has(from);
    },
    charge() {
      const account = spent.get(current);
      if (account !== undefined) account.count++;
      else if (spent.size < VALIDATORS_MAX) spent.set(current, { count: 1, sinceMs: clock.monotonicMs() });
    },
  };
}

function encodeRecord(record: LogRecord): Uint8Array {
  return canonicalBytes(record as unknown as Json);
}

/** The log is this validator's own and complete or absent (the store checks): its form is trusted. */
function decodeRecord(bytes: Uint8Array): LogRecord {
  return parseCanonical(bytes) as unknown as LogRecord;
}

function environment({ chain, self, publicKey, terms, sign, verify }: PbftOptions, onForgery: () => void): Environment {
  /** By message, the key it holds for: an own one or one looked at before is not checked again. */
  const signed = new WeakMap<Message, string>();
  const known = new Set<string>();
  const digests = new WeakMap<Batch, string>();
  return {
    self,
    publicKey,
    terms,
    sign(kind, body) {
      rememberText(body as JsonObject, canonicalText(body as JsonObject));
      const message = seal(chain, kind, self, body as JsonObject, sign);
      rememberText(message, canonicalText(message as unknown as Json));
      signed.set(message as never, publicKey);
      return message as never;
    },
    isSigned(message, key) {
      if (signed.get(message) === key) return true;
      const text = signingText(chain, message as never);
      // The same words in another packet: votes in certificates.
      const name = `${message.signature}/${key}/${text.length > LONG ? sha256Hex(text) : text}`;
      if (!known.has(name)) {
        if (!verify(fromBase64url(message.signature), utf8(text), fromBase64url(key))) {
          onForgery();
          return false;
        }
        if (known.size >= SIGNATURES_CACHED_MAX) known.delete(known.values().next().value as string);
        known.add(name);
      }
      signed.set(message, key);
      return true;
    },
    digestOf(batch) {
      let digest = digests.get(batch);
      if (digest === undefined) {
        digest = batchDigest(batch);
        digests.set(batch, digest);
      }
      return digest;
    },
  };
}

/** One line an event; the phases of every request at debug, what an operator should see above. */
function logEvent(log: Log, event: ConsensusEvent): void {
  switch (event.type) {
    case 'evidence':
      return log.error({ accused: event.accused, kind: event.first.kind }, 'conflicting signed messages');
    case 'vote lost':
      return log.error({ reason: event.reason }, 'this validator does not vote any more');
    case 'proposal refused':
      return log.warn(event, 'proposal refused');
    case 'view change':
    case 'new view':
    case 'asking':
    case 'restored':
    case 'members':
      return log.info(event, event.type);
    default:
      log.debug(event, event.type);
  }
}
