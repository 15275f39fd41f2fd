// The program of a validator: ledger, consensus, brokers and the door, wired together. Decides nothing itself.

import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { pbftTerms } from '../consensus/pbft/core/terms.ts';
import { createPbftEngine } from '../consensus/pbft/driver.ts';
import type { Transport } from '../consensus/pbft/ports.ts';
import type { Key } from '../keys/files.ts';
import { fastVerify } from '../keys/verify.ts';
import { createLedger } from '../ledger/ledger.ts';
import type { Applied, Ledger } from '../ledger/types.ts';
import { chainAccess } from '../messaging/access.ts';
import { createBroker, type EmbeddedBroker } from '../messaging/broker.ts';
import { connect, type Messaging } from '../messaging/client.ts';
import { MESSAGE_BYTES_MAX, messageId } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { faultsTolerated } from '../protocol/quorum.ts';
import { openLedgerStore } from '../store/ledger.ts';
import { openVoteLog } from '../store/votes.ts';
import { createApi } from '../web/api.ts';
import { type Gauge, serveMetrics } from '../web/metrics.ts';
import { createDirectory, type Directory } from './directory.ts';
import { createDoor } from './door.ts';
import type { ValidatorListener } from './events.ts';
import { keepEvidence } from './evidence.ts';
import { gaugesOf } from './gauges.ts';
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
  /** Where its figures are read; null: nowhere. */
  readonly metrics: { readonly host: string; readonly port: number } | null;
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

  const directory = createDirectory(ledger);
  const broker = options.listen === null ? null : await embeddedBroker(options, options.listen, directory);
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
    onEvent: (event) => emit({ type: 'consensus', event }),
  });
  const door = createDoor({
    ledger,
    speaker,
    verify: fastVerify,
    clock,
    log,
    submit: (request) => engine.submit(request),
    later: (turn) => void setImmediate(turn),
  });

  const endListening = ledger.onApplied((applied) => {
    speaker.onApplied(applied);
    if (directory.follow(applied.block)) broker?.recheck();
    tellBlock(applied, emit);
  });
  messaging.subscribe('request', ['+'], MESSAGE_BYTES_MAX, door.onRequest);
  messaging.subscribe('operator', ['+'], MESSAGE_BYTES_MAX, door.onOperator);
  const api =
    options.api === null
      ? null
      : await createApi({ ...options.api, self: id, ledger, sign: key.sign, verify: fastVerify, clock, log });
  const gauges = (): readonly Gauge[] => gaugesOf(engine.status(), messaging.status(), ledger.head().timeMs, clock);
  const metrics = options.metrics === null ? null : await serveMetrics({ ...options.metrics, gauges, log });
  engine.start();

  let lastStatusMs = clock.monotonicMs();
  const tellStatus = (): void => {
    lastStatusMs = clock.monotonicMs();
    const { state, why, view, primary, height, pending, evidence } = engine.status();
    keepEvidence(dir, chain, evidence);
    const { connected, brokers } = messaging.status();
    const { stateHash } = ledger.head();
    const links = { brokersConnected: connected, brokers: brokers.length };
    const accused = evidence.map((piece) => piece.accused);
    emit({ type: 'status', state, why, view, primary, height, stateHash, pending, accused, ...links });
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
      door.close();
      endListening();
      await api?.close();
      await metrics?.close();
      await messaging.stop();
      await broker?.close();
      store.close();
      votes.close();
      log.info({}, 'validator stopped');
    },
  };
}

function embeddedBroker(
  { genesis, id, clock, log }: ValidatorOptions,
  listen: { host: string; port: number },
  { partyOf }: Directory,
): Promise<EmbeddedBroker> {
  const access = chainAccess({ chain: genesis.chain, broker: id, partyOf, verify: fastVerify, clock });
  return createBroker({ ...listen, access, log, monotonicMs: () => clock.monotonicMs() });
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

function tellBlock({ block }: Applied, emit: ValidatorListener): void {
  const { chain } = block.header;
  const requests = block.batch.requests.map((request) => messageId(chain, request));
  emit({ type: 'block', header: block.header, requests, clearings: block.clearings });
}
