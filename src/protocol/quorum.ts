// The three counts of the system, each derived once.
// f: Castro and Liskov 1999; q: two quorums of that size overlap in at least f+1 validators for any n, not only n = 3f+1.

import { ceilDiv, floorDiv } from '../base/integers.ts';

/** Most faulty validators tolerated among n: floor((n - 1) / 3). */
export function faultsTolerated(n: number): number {
  return floorDiv(n - 1, 3);
}

/** Votes that decide inside consensus: ceil((n + f + 1) / 2). */
export function consensusQuorum(n: number): number {
  return ceilDiv(n + faultsTolerated(n) + 1, 2);
}

/** Share of the validators a device needs, percent (the seed's rule). */
export const DEVICE_QUORUM_PERCENT = 51;

/**
 * Identical attestations a device needs before it acts: ceil(51 n / 100), at least f + 1.
 * Contract terms may raise it (`atLeast`) up to n - f, never lower it.
 */
export function deviceQuorum(n: number, atLeast = 0): number {
  const base = Math.max(ceilDiv(DEVICE_QUORUM_PERCENT * n, 100), faultsTolerated(n) + 1);
  return Math.min(Math.max(base, atLeast), Math.max(base, n - faultsTolerated(n)));
}
