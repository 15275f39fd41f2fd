// The program of a validator: ledger, consensus, brokers and the door, wired together. Decides nothing itself.

import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { pbftTerms } from '../consensus/pbft/core/terms.ts';
import { createPbftEngine } from '../consensus/pbft/driver.ts';
import type { ConsensusEvent, Transport } from '../consensus/pbft/ports.ts';
import { type Key, keyIdOf } from '../keys/files.ts';
import { fastVerify } from '../keys/verify.ts';
import { createLedger } from '../ledger/ledger.ts';
import type { Applied, Ledger, PartyRecord } from '../ledger/types.ts';
import { chainAccess } from '../messaging/access.ts';
import { createBroker, type EmbeddedBroker } from '../messaging/broker.ts';
import { connect, type Messaging } from '../messaging/client.ts';
import { MESSAGE_BYTES_MAX, messageId } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { faultsTolerated } from '../protocol/quorum.ts';
import type { Party } from '../protocol/topics.ts';
import { openLedgerStore } from '../store/ledger.ts';
import { openVoteLog } from '../store/votes.ts';
import { createApi } from '../web/api.ts';
import { createDoor } from './door.ts';
import type { ValidatorListener } from './events.ts';
import { createSpeaker } from './speaker.ts';

/** How often the status is told and, on disk and network, looked after; ms. */
const STATUS_MS = 1_000;

export interface ValidatorOptions {
  readonly genesis: Genesis;
  /** This validator's id in genesis. */
  readonly id: string;
  readonly key: Key;
  /** Folder of its ledger and vote log. */
  readonly dir: string;
  /** URLs of the brokers it talks through. Its own embedded one is added when it listens. */
  readonly brokers: readonly string[];
  /** Where the embedded broker listens; null: none. */
  readonly listen: { readonly host: string; readonly port: number } | null;
  /** Where the open API listens; null: none. */
  readonly api: { readonly host: string; readonly port: number } | null;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly emit: ValidatorListener;
}

export interface Validator {
  readonly ledger: Ledger;
  readonly apiUrl: string | null;
  /** Monotonic time at which the program's own loop ran last: what a watchdog looks at. */
  lastStatusMs(): number;
  stop(): Promise<void>;
}

/** Files of a validator's folder. */
export const LEDGER_FILE = 'ledger.sqlite';
export const VOTES_FILE = 'votes.sqlite';

export async function startValidator(options: ValidatorOptions): Promise<Validator> {
  const { genesis, id, key, dir, clock, log, emit } = options;
  const { chain } = genesis;
  const store = openLedgerStore(join(dir, LEDGER_FILE));
  const votes = openVoteLog(join(dir, VOTES_FILE), key.publicKey);
  const ledger = createLedger({ genesis, verify: fastVerify, store, log });

  const broker = options.listen === null ? null : await embeddedBroker(options, options.listen, ledger);
  const own = broker === null ? [] : [`${broker.url}?broker=${id}`];
  const messaging = connect({
    chain,
    self: id,
    key,
    brokers: [...own, ...options.brokers],
    brokersWanted: faultsTolerated(genesis.validators.length) + 1,
    clock,
    log,
    random: options.random,
  });

  const speaker = createSpeaker({ id, key, ledger, messaging, clock, log });
  const engine = createPbftEngine({
    chain,
    self: id,
    publicKey: key.publicKey,
    application: ledger,
    sign: key.sign,
    verify: fastVerify,
    transport: transportOver(messaging, id),
    votes,
    clock,
    timers: {
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, delayMs);
        return () => clearTimeout(timer);
      },
    },
    terms: pbftTerms(genesis),
    log,
    onEvent: (event) => onConsensus(event, log, emit),
  });
  const door = createDoor({
    ledger,
    speaker,
    verify: fastVerify,
    clock,
    log,
    submit: (request) => {
      const refusal = engine.submit(request);
      if (refusal !== null) speaker.hint(messageId(chain, request), request.signer, refusal);
    },
  });

  const endListening = ledger.onApplied((applied) => {
    speaker.onApplied(applied);
    broker?.recheck();
    tellBlock(applied, emit);
  });
  messaging.subscribe('request', ['+'], MESSAGE_BYTES_MAX, door.onRequest);
  messaging.subscribe('operator', ['+'], MESSAGE_BYTES_MAX, door.onOperator);
  const api =
    options.api === null
      ? null
      : await createApi({ ...options.api, self: id, ledger, sign: key.sign, verify: fastVerify, clock, log });
  engine.start();

  let lastStatusMs = clock.monotonicMs();
  const tellStatus = (): void => {
    lastStatusMs = clock.monotonicMs();
    const { state, why, view, primary, height } = engine.status();
    const { connected, brokers } = messaging.status();
    const { stateHash } = ledger.head();
    const links = { brokersConnected: connected, brokers: brokers.length };
    emit({ type: 'status', state, why, view, primary, height, stateHash, ...links });
    messaging.announce({ height, view, state });
  };
  const timer = setInterval(tellStatus, STATUS_MS);
  log.info({ chain, height: ledger.head().height, votes: votes.lost ?? 'kept' }, 'validator started');
  emit({ type: 'ready', validator: id });

  return {
    ledger,
    apiUrl: api?.url ?? null,
    lastStatusMs: () => lastStatusMs,
    async stop() {
      clearInterval(timer);
      engine.stop();
      endListening();
      await api?.close();
      await messaging.stop();
      await broker?.close();
      store.close();
      votes.close();
      log.info({}, 'validator stopped');
    },
  };
}

/** Gateways and validators by the keys the ledger knows now; the utility at a root publishes like an operator. */
function embeddedBroker(
  options: ValidatorOptions,
  listen: { host: string; port: number },
  ledger: Ledger,
): Promise<EmbeddedBroker> {
  const { genesis, id, clock, log } = options;
  let known = new Map<string, Party>();
  let knownAt = -1;
  const partyOf = (keyId: string): Party | null => {
    const { height } = ledger.head();
    if (height !== knownAt) {
      known = partiesByKeyId(ledger.parties());
      knownAt = height;
    }
    return known.get(keyId) ?? null;
  };
  const access = chainAccess({ chain: genesis.chain, broker: id, partyOf, verify: fastVerify, clock });
  return createBroker({ ...listen, access, log, monotonicMs: () => clock.monotonicMs() });
}

function partiesByKeyId(parties: readonly PartyRecord[]): Map<string, Party> {
  const byKeyId = new Map<string, Party>();
  for (const { id, role, publicKey } of parties) {
    if (publicKey !== null) byKeyId.set(keyIdOf(publicKey), { id, role: role === 'utility' ? 'operator' : role });
  }
  return byKeyId;
}

/** Consensus over MQTT: one topic a validator and channel; lost messages are the core's own business. */
function transportOver(messaging: Messaging, self: string): Transport {
  return {
    publish: (channel, bytes) => void messaging.publish(channel, [self], bytes),
    onMessage: (listener) => {
      for (const channel of ['consensus', 'sync'] as const) {
        messaging.subscribe(channel, ['+'], MESSAGE_BYTES_MAX, ({ payload, path }) => listener(payload, path[0] ?? ''));
      }
    },
  };
}

/** The seed's phases in the log, one line each; trouble louder than routine. */
function onConsensus(event: ConsensusEvent, log: Log, emit: ValidatorListener): void {
  const { type, ...fields } = event;
  const loud = type === 'evidence' || type === 'vote lost' || type === 'view change' || type === 'proposal refused';
  (loud ? log.warn : log.debug)(fields, `consensus: ${type}`);
  emit({ type: 'consensus', event });
}

function tellBlock({ block }: Applied, emit: ValidatorListener): void {
  const { chain } = block.header;
  const requests = block.batch.requests.map((request) => messageId(chain, request));
  emit({ type: 'block', header: block.header, requests, clearings: block.clearings });
}
