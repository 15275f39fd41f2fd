// A party without a site, an operator or a utility, that wants statements of its own on the chain: learns its last sequence, signs, sends,
// and counts verdicts, with the gateway's means. Keeps nothing: whoever is cut short says it again, and the chain takes it once.

import { toBase64url } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { RandomBytes } from '../base/random.ts';
import { commitsAgree } from '../consensus/certificates.ts';
import type { Key } from '../keys/files.ts';
import { fastVerify } from '../keys/verify.ts';
import { connect } from '../messaging/client.ts';
import { type Envelope, encodeEnvelope, seal } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { RequestKind } from '../protocol/requests.ts';
import { openGatewayStore } from '../store/gateway.ts';
import { watchChain } from './chainwatch.ts';
import type { GatewayEvent } from './events.ts';
import { createRequester, type RequestDraft } from './requester.ts';
import { createTrust } from './trust.ts';

/** How often it looks after what is on its way, and asks for what it must know before it signs, wall ms. */
const TICK_MS = 500;
const ASK_MS = 2_000;

export type RequestProgress = Extract<GatewayEvent, { type: 'request' }>;

export interface Party {
  /** Signs and sends. Returns the request's id. Throws before `onReady`. Valid for half of what genesis allows. */
  submit<K extends RequestKind>(kind: K, draft: RequestDraft<K>): string;
  /** Why nothing can be signed yet, or null. */
  obstacle(): string | null;
  /** Brokers it is connected to now. */
  connected(): number;
  stop(): Promise<void>;
}

export function connectParty(options: {
  genesis: Genesis;
  party: string;
  key: Key;
  brokers: readonly string[];
  /** Operators' checkpoints, where genesis is older than the chain's trust period. */
  checkpoints: readonly Envelope[];
  clock: Clock;
  random: () => number;
  randomBytes: RandomBytes;
  log: Log;
  /** The validators have said what this party signed last: from now on it may sign. */
  onReady: () => void;
  onRequest: (progress: RequestProgress) => void;
}): Party {
  const { genesis, party, key, clock, log, onReady } = options;
  const { chain } = genesis;
  const store = openGatewayStore(':memory:');
  const messaging = connect({
    chain,
    self: party,
    key,
    brokers: options.brokers,
    brokersWanted: 1,
    outbox: store.outbox,
    clock,
    log,
    random: options.random,
  });
  const agreed = commitsAgree(chain, fastVerify);
  const trust = createTrust({ genesis, store, quorumAtLeast: 0, verify: fastVerify, agreed, clock, log });
  for (const checkpoint of options.checkpoints) trust.onCheckpoint(checkpoint);
  const salt = toBase64url(options.randomBytes(16));
  let sequenceKnown = false;
  const watch = watchChain({
    genesis,
    gateway: party,
    channels: ['reply', 'header'],
    orderSequences: new Map(),
    trust,
    history: null,
    verify: fastVerify,
    messaging,
    clock,
    log,
    listener: {
      onHeader: () => undefined,
      onVerdict: (proof, header) => requester.onVerdict(proof, header),
      onAbsent: (validator, body) => requester.onAbsent(validator, body),
      onHint: (validator, body) => requester.onHint(validator, body),
      onNotice: () => undefined,
      onSettlement: () => undefined,
      onOrder: () => undefined,
      onHistory: () => undefined,
      onSequence(sequence) {
        store.requests.raiseSequence(sequence);
        sequenceKnown = true;
        if (trust.obstacle() === null) onReady();
      },
    },
  });
  watch.expectSequence(salt);

  function obstacle(): string | null {
    if (sequenceKnown) return trust.obstacle();
    return trust.obstacle() ?? `the validators have not said yet what ${party} signed last`;
  }

  function ask(requests: readonly string[]): void {
    const sequence = !sequenceKnown;
    const setsFrom = trust.setsFrom();
    const body = { historyFrom: null, intervals: [], requests, salt, sequence, setsFrom, timeMs: clock.chainMs() };
    void messaging.publish('operator', [party], encodeEnvelope(seal(chain, 'ask', party, body, key.sign)));
  }

  const requester = createRequester({
    chain,
    gateway: party,
    channel: 'operator',
    sign: key.sign,
    store,
    messaging,
    clock,
    randomBytes: options.randomBytes,
    quorum: watch.quorum,
    mayNotSign: obstacle,
    ask,
    emit: (event) => {
      if (event.type === 'request') options.onRequest(event);
    },
    log,
  });

  let askedAtMs = Number.NEGATIVE_INFINITY;
  const timer = setInterval(() => {
    requester.tick();
    const wanted = !sequenceKnown || trust.isBehind();
    if (!wanted || messaging.status().connected === 0 || clock.monotonicMs() - askedAtMs < ASK_MS) return;
    askedAtMs = clock.monotonicMs();
    ask([]);
  }, TICK_MS);

  return {
    submit: (kind, draft) => requester.submit(kind, null, draft, clock.chainMs() + genesis.limits.validForMsMax / 2),
    obstacle,
    connected: () => messaging.status().connected,
    async stop() {
      clearInterval(timer);
      await messaging.stop();
      store.close();
    },
  };
}
