// The demo's utility: signs the tariff at the root and sees it recorded, like any other party, with the gateway's own requester.

import type { Clock } from '../base/clock.ts';
import { intervalAt } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import type { RandomBytes } from '../base/random.ts';
import { commitsAgree } from '../consensus/certificates.ts';
import { watchChain } from '../gateway/chainwatch.ts';
import { createRequester } from '../gateway/requester.ts';
import { createTrust } from '../gateway/trust.ts';
import type { Key } from '../keys/files.ts';
import { fastVerify } from '../keys/verify.ts';
import { connect } from '../messaging/client.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { openGatewayStore } from '../store/gateway.ts';

/** One tariff for this many intervals: longer than any demo. */
const TARIFF_INTERVALS = 1_000;
const TICK_MS = 500;

export interface Utility {
  /** True once the tariff stands on the chain. */
  readonly recorded: boolean;
  stop(): Promise<void>;
}

/** Signs `tariff` for one feeder from the running interval on. */
export function startUtility(options: {
  genesis: Genesis;
  utility: string;
  key: Key;
  brokers: readonly string[];
  feeder: string;
  tariff: { buyUcPerWh: number; sellUcPerWh: number; buyWhMax: number; sellWhMax: number };
  clock: Clock;
  random: () => number;
  randomBytes: RandomBytes;
  log: Log;
}): Utility {
  const { genesis, utility, key, clock, log } = options;
  const store = openGatewayStore(':memory:');
  const messaging = connect({
    chain: genesis.chain,
    self: utility,
    key,
    brokers: options.brokers,
    brokersWanted: 1,
    outbox: store.outbox,
    clock,
    log,
    random: options.random,
  });
  let recorded = false;
  const trust = createTrust({
    genesis,
    store,
    quorumAtLeast: 0,
    verify: fastVerify,
    agreed: commitsAgree(genesis.chain, fastVerify),
    clock,
    log,
  });
  const watch = watchChain({
    genesis,
    gateway: utility,
    channels: ['reply'],
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
      onSequence: () => undefined,
    },
  });
  const requester = createRequester({
    chain: genesis.chain,
    gateway: utility,
    channel: 'operator',
    sign: key.sign,
    store,
    messaging,
    clock,
    randomBytes: options.randomBytes,
    quorum: watch.quorum,
    mayNotSign: () => null,
    ask: () => undefined,
    emit: (event) => {
      if (event.type !== 'request') return;
      if (event.phase === 'recorded') recorded = true;
      // The gate closed while it was on its way: the same tariff, from a later interval on.
      if (event.phase === 'refused') submit();
    },
    log,
  });
  /** Signs the tariff from the next interval on whose gate is still open when it arrives. */
  function submit(): void {
    const fromInterval = intervalAt(clock.chainMs() + genesis.interval.requestMs, genesis.interval.lengthMs);
    const terms = { feeder: options.feeder, fromInterval, untilInterval: fromInterval + TARIFF_INTERVALS };
    requester.submit(
      'tariff',
      null,
      { ...options.tariff, ...terms },
      clock.chainMs() + genesis.limits.validForMsMax / 2,
    );
  }
  submit();
  const timer = setInterval(() => requester.tick(), TICK_MS);
  return {
    get recorded() {
      return recorded;
    },
    async stop() {
      clearInterval(timer);
      await messaging.stop();
      store.close();
    },
  };
}
