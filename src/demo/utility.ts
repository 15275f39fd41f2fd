// The demo's utility: signs the tariff at the root and sees it recorded, like any other party.

import type { Clock } from '../base/clock.ts';
import { intervalAt } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import type { RandomBytes } from '../base/random.ts';
import { connectParty } from '../gateway/party.ts';
import type { Key } from '../keys/files.ts';
import type { Genesis } from '../protocol/genesis.ts';

/** One tariff for this many intervals: longer than any demo. */
const TARIFF_INTERVALS = 1_000;

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
  const { genesis, clock } = options;
  let recorded = false;
  const party = connectParty({
    ...options,
    party: options.utility,
    checkpoints: [],
    onReady: submit,
    onRequest({ phase }) {
      if (phase === 'recorded') recorded = true;
      // The gate closed while it was on its way: the same tariff, from a later interval on.
      if (phase === 'refused') submit();
    },
  });
  /** Signs the tariff from the next interval on whose gate is still open when it arrives. */
  function submit(): void {
    const fromInterval = intervalAt(clock.chainMs() + genesis.interval.requestMs, genesis.interval.lengthMs);
    const terms = { feeder: options.feeder, fromInterval, untilInterval: fromInterval + TARIFF_INTERVALS };
    party.submit('tariff', { ...options.tariff, ...terms });
  }
  return {
    get recorded() {
      return recorded;
    },
    stop: () => party.stop(),
  };
}
