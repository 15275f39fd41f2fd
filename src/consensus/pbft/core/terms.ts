// The figures PBFT runs by, named once. Durations ending in `Ms` are monotonic wall time, except the two marked chain time.

import { MESSAGE_BYTES_MAX } from '../../../protocol/envelope.ts';
import type { Genesis } from '../../../protocol/genesis.ts';

export interface PbftTerms {
  /** Most requests and bytes of requests shown to the application for one batch. */
  readonly batchRequestsMax: number;
  readonly batchBytesMax: number;
  /** Longest a primary waits for more requests after the first. 0 = not at all: the next batch fills while this one is agreed on. */
  readonly batchMs: number;
  /** Work waits this long without a new block: the primary is given up. Doubles with each view that fails, up to the maximum. */
  readonly viewMs: number;
  readonly viewMsMax: number;
  /** Own messages of an undecided height are repeated after this long. */
  readonly resendMs: number;
  /** Without anything else said for so long, a validator says where it stands. */
  readonly heartbeatMs: number;
  /** A request is shown to all validators if one that came so much later was ordered before it, or if nothing is proposed for so long. */
  readonly forwardMs: number;
  /** Blocks that pass over the longest waiting request before its validator gives the primary up. */
  readonly overtakenMax: number;
  /** A checkpoint every so many heights; a primary stops at twice that above the last stable one. */
  readonly checkpointEvery: number;
  /** So many blocks behind, a snapshot is asked for instead of blocks. */
  readonly snapshotGap: number;
  /** Unanswered questions of state transfer go to the next validator after this long. */
  readonly askMs: number;
  /** Requests waiting, in all and from one signer. */
  readonly pendingMax: number;
  readonly pendingPerSignerMax: number;
  /** Chain time: bound of a fresh proposal's block time to each validator's own clock. */
  readonly clockSkewMsMax: number;
  /** Chain milliseconds that pass in a millisecond of wall time. */
  readonly chainRate: number;
}

/** Room of a message that the requests of a batch may not take: keys, votes and certificates beside them. */
const MESSAGE_OVERHEAD_BYTES = 512 * 1024;

/** The terms a genesis implies; durations fit validators on one network and can be replaced. */
export function pbftTerms(genesis: Genesis, overrides: Partial<PbftTerms> = {}): PbftTerms {
  const viewMs = overrides.viewMs ?? 1000;
  return {
    batchRequestsMax: genesis.limits.batchRequestsMax,
    batchBytesMax: Math.min(genesis.limits.batchBytesMax, MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES),
    batchMs: 0,
    viewMs,
    viewMsMax: viewMs * 32,
    resendMs: Math.ceil(viewMs / 4),
    heartbeatMs: viewMs,
    forwardMs: Math.ceil(viewMs / 3),
    overtakenMax: 16,
    checkpointEvery: 64,
    snapshotGap: 4096,
    askMs: viewMs,
    pendingMax: 20_000,
    pendingPerSignerMax: 256,
    clockSkewMsMax: genesis.limits.clockSkewMsMax,
    chainRate: genesis.clock.rate,
    ...overrides,
  };
}
