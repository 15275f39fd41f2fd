// What executing a block hands to each rule: the state, the block's place in the chain and its time, and where results go.
// Also the schedule of due operations.

import { concatBytes, fromHex, toBase64url } from '../base/bytes.ts';
import { sha256 } from '../base/hash.ts';
import { compareStrings, floorDiv } from '../base/integers.ts';
import { isoSeconds } from '../base/interval.ts';
import { sha256Hex, type Verify } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Leaf } from '../protocol/replies.ts';
import type { State } from './state.ts';
import { ALL, dues, gateMs, padded, startMs } from './tables.ts';
import type { ClearingDocument, Result } from './types.ts';

export interface Context {
  readonly genesis: Genesis;
  readonly state: State;
  readonly verify: Verify;
  readonly height: number;
  readonly parent: string;
  readonly timeMs: number;
  readonly results: Result[];
  readonly clearings: ClearingDocument[];
}

/** Salt of leaves that are public. */
export const PUBLIC_SALT = toBase64url(new Uint8Array(16));

/** Salt of a leaf about a site that follows from a salt only that site and the validators know. */
export function derivedSalt(kind: Leaf['kind'], interval: number, gateway: string, salt: string): string {
  return toBase64url(sha256(`wattpact/1/salt\n${kind}\n${interval}\n${gateway}\n${salt}`).slice(0, 16));
}

/**
 * Decides between offers of one height: SHA-256(seed, request id), the seed being SHA-256 of the ids of all offers of the
 * market in ascending order. Nobody who does not know every other offer can tell what a salt of his own would bring.
 */
export function tiesOf(requests: readonly string[]): Map<string, string> {
  const seed = sha256(concatBytes(...[...requests].sort(compareStrings).map(fromHex)));
  return new Map(requests.map((request) => [request, sha256Hex(concatBytes(seed, fromHex(request)))]));
}

/** Why an interval takes no requests now, or null while its gate is open. */
export function gateProblem({ genesis, timeMs }: Context, interval: number): string | null {
  const closesMs = gateMs(genesis, interval);
  if (timeMs >= closesMs) return `late: the gate of interval ${interval} closed at ${isoSeconds(closesMs)}`;
  const opensMs = startMs(genesis, interval) - genesis.interval.gateOpenMs;
  if (timeMs < opensMs) return `early: the gate of interval ${interval} opens at ${isoSeconds(opensMs)}`;
  return null;
}

/** The round that an offer of this block joins, from 1: the time the gate is open is cut into equal parts. */
export function roundAt({ genesis, timeMs }: Context, interval: number): number {
  const { gateOpenMs, gateCloseMs } = genesis.interval;
  const openForMs = timeMs - (startMs(genesis, interval) - gateOpenMs);
  return 1 + floorDiv(openForMs * genesis.rounds, gateOpenMs - gateCloseMs);
}

export type DueType = 'clearing' | 'expiry' | 'settlement';
export interface Due {
  readonly atMs: number;
  readonly type: DueType;
  readonly feeder: string;
  readonly interval: number;
}

/** Notes an operation to come; once is enough. */
export function schedule(state: State, { atMs, type, feeder, interval }: Due): void {
  dues.set(state, ALL, `${padded(atMs)}.${type}.${feeder}.${interval}`, 1);
}

/** Notes that what ends with the start of `interval` is forgotten then. */
export function scheduleExpiry(context: Pick<Context, 'genesis' | 'state'>, interval: number): void {
  schedule(context.state, { atMs: startMs(context.genesis, interval), type: 'expiry', feeder: '', interval });
}

/** Operations due at an instant, at most `max`, in order of (due time, type, feeder). */
export function dueUntil(state: State, timeMs: number, max: number): { name: string; due: Due }[] {
  const found: { name: string; due: Due }[] = [];
  for (const name of dues.names(state, ALL)) {
    const due = parseDue(name);
    if (due.atMs > timeMs || found.length === max) break;
    found.push({ name, due });
  }
  return found;
}

/** Chain time of the next due operation, or null. */
export function nextDueMs(state: State): number | null {
  const first = dues.names(state, ALL)[0];
  return first === undefined ? null : parseDue(first).atMs;
}

function parseDue(name: string): Due {
  const [at, type, feeder, interval] = name.split('.') as [string, DueType, string, string];
  return { atMs: Number(at), type, feeder, interval: Number(interval) };
}
