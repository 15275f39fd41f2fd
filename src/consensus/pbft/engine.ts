// The PBFT driver: carries out what the core decides. Persists before it sends, calls the application, keeps one timer.

import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Sign, Verify } from '../../protocol/envelope.ts';
import type { Application, Engine } from '../engine.ts';
import type { PbftTerms } from './core/terms.ts';
import type { ConsensusEvent, Timers, Transport, VoteLog } from './ports.ts';

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

export function createPbftEngine(_options: PbftOptions): Engine {
  throw new Error('not yet');
}
