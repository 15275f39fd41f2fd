// What a seed means: how many validators, which faults, when. Everything random about a run comes from here or from the
// generator it hands on.

import { seededRandom } from '../../../src/base/random.ts';
import type { PbftTerms } from '../../../src/consensus/pbft/core/terms.ts';
import { faultyOf } from './counts.ts';

/** The classes of fault; each is in at least a fifth of the seeds. */
export const FAULTS = [
  'loss',
  'repetition',
  'reordering',
  'delay',
  'clogging',
  'partition',
  'crash at a write',
  'crash at any time',
  'clock drift',
  'byzantine',
] as const;
export type Fault = (typeof FAULTS)[number];

export const BEHAVIOURS = [
  'silent',
  'equivocates',
  'votes twice',
  'stale view-changes',
  'forges',
  'garbage',
  'lies',
  'proposes badly',
  'censors',
  'divides',
  'twin',
] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

export interface Plan {
  readonly seed: number;
  readonly nodes: number;
  readonly random: () => number;
  readonly faults: ReadonlySet<Fault>;
  /** Behaviour of each faulty validator by its index; at most f. */
  readonly byzantine: ReadonlyMap<number, readonly Behaviour[]>;
  /** Index of a validator that loses its vote log and gets a new key, or -1. Counts as a fault. */
  readonly losesLog: number;
  /** It does not lose it: vote log and ledger come back as they were before, and nobody says so. */
  readonly rollsBack: boolean;
  /** A liar's key is replaced during the run. */
  readonly rekeysLiar: boolean;
  /** A validator joins during the run. */
  readonly joins: boolean;
  /** A validator is removed during the run. */
  readonly leaves: boolean;
  readonly realSignatures: boolean;
  readonly terms: PbftTerms;
  readonly dueEveryMs: number | null;
  readonly blocksKept: number | undefined;
  readonly lossShare: number;
  readonly repeatShare: number;
  readonly latencyMs: number;
  readonly jitterMs: number;
  /** Latency after healing: bounded, but in some runs so long that only timers that back off ever see a block. */
  readonly healedLatencyMs: number;
  readonly crashAtWriteShare: number;
  /** Simulated ms of faults; afterwards everything heals but the faulty validators. */
  readonly faultyMs: number;
  readonly requests: number;
}

export function planOf(seed: number, nodes: number): Plan {
  const random = seededRandom(seed * 2654435761 + nodes);
  for (let i = 0; i < 8; i++) random();
  const chance = (share: number): boolean => random() < share;
  const among = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;

  const faults = new Set<Fault>(FAULTS.filter((fault) => chance(fault === 'byzantine' ? 0.7 : 0.4)));
  const f = faultyOf(nodes);
  const losesLog = chance(0.15) ? Math.floor(random() * nodes) : -1;
  const byzantine = new Map<number, readonly Behaviour[]>();
  if (faults.has('byzantine')) {
    const room = f - (losesLog >= 0 ? 1 : 0);
    const count = room === 0 ? 0 : 1 + Math.floor(random() * room);
    while (byzantine.size < count) {
      // Low indices are primaries first: that is where a liar does harm.
      const index = chance(0.6) ? Math.floor(random() * Math.min(3, nodes)) : Math.floor(random() * nodes);
      if (index === losesLog || byzantine.has(index)) continue;
      byzantine.set(
        index,
        BEHAVIOURS.filter((behaviour) => chance(behaviour === 'twin' || behaviour === 'silent' ? 0.12 : 0.4)),
      );
    }
  }
  if (byzantine.size === 0) faults.delete('byzantine');
  const viewMs = among([200, 400]);
  // Who is censored is waited for under load, and slow links carry little.
  const isSlow = chance(0.15) && ![...byzantine.values()].flat().includes('censors');
  const checkpointEvery = among([2, 4, 8]);
  const terms: PbftTerms = {
    batchRequestsMax: isSlow ? 50 : among([2, 5, 50]),
    batchBytesMax: 100_000,
    batchMs: among([0, 5]),
    viewMs,
    viewMsMax: viewMs * 8,
    resendMs: viewMs / 4,
    heartbeatMs: viewMs,
    forwardMs: viewMs / 3,
    overtakenMax: 6,
    checkpointEvery,
    snapshotGap: among([3, 1000]),
    askMs: viewMs,
    pendingMax: 200,
    pendingPerSignerMax: 50,
    clockSkewMsMax: 2000,
    chainRate: 1,
  };
  const rollsBack = losesLog >= 0 && chance(0.4);
  const joins = chance(0.1);
  const leaves = nodes > 4 && losesLog < 0 && chance(0.15);
  const rekeysLiar = byzantine.size > 0 && losesLog < 0 && !joins && !leaves && chance(0.3);
  const latencyMs = faults.has('delay') ? among([20, 60]) : among([1, 5]);
  return {
    seed,
    nodes,
    random,
    faults,
    byzantine,
    losesLog,
    rollsBack,
    rekeysLiar,
    joins,
    leaves,
    realSignatures: seed % 20 === 0,
    terms,
    dueEveryMs: !isSlow && chance(0.5) ? among([700, 3000]) : null,
    // Who was away over a change of membership needs the blocks: a snapshot is proven by the validators it knows.
    blocksKept: chance(0.3) && losesLog < 0 && !joins && !leaves && !rekeysLiar ? 12 : undefined,
    lossShare: faults.has('loss') ? among([0.02, 0.1, 0.25]) : 0,
    repeatShare: faults.has('repetition') ? 0.1 : 0,
    latencyMs,
    jitterMs: faults.has('reordering') ? latencyMs * 4 : latencyMs / 4,
    healedLatencyMs: isSlow ? 0.7 * viewMs : 1,
    crashAtWriteShare: faults.has('crash at a write') ? among([0.002, 0.01, 0.03]) : 0,
    faultyMs: 12_000,
    requests: 60,
  };
}
