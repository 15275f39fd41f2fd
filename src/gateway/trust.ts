// Whom this gateway believes: the validators in force at each height, followed from genesis; the highest header it has verified; and when
// that is too long ago, an operators' checkpoint. Owns what is kept of that; counting attestations is chainwatch.ts.

import { z } from 'zod';
import type { JsonObject } from '../base/canonical.ts';
import type { Clock } from '../base/clock.ts';
import { isoSeconds } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import type { CheckCommits } from '../ledger/certified.ts';
import {
  follow,
  genesisSets,
  keysOf,
  type Sets,
  setAt,
  setOf,
  setsSchema,
  wantedFrom,
  withCheckpoint,
} from '../ledger/succession.ts';
import { type Envelope, hashOf, isSignedBy, type Verify } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { type Header, validatorSetHash } from '../protocol/header.ts';
import { deviceQuorum, faultsTolerated } from '../protocol/quorum.ts';
import { bodyOf, type SignedBody } from '../protocol/replies.ts';
import type { GatewayStore } from '../store/gateway.ts';

const KEPT = 'trust';
const keptSchema = z.strictObject({ sets: setsSchema });
/** Checkpoints that wait for a further operator's signature. */
const CHECKPOINTS_MAX = 8;

/** Validators that count together. */
export interface Members {
  readonly keys: ReadonlyMap<string, string>;
  readonly n: number;
  /** Most faulty ones tolerated. */
  readonly f: number;
  /** Identical words that decide for this gateway. */
  readonly k: number;
}

export interface Trust {
  /** The validators in force now. */
  current(): Members;
  /** Those that agreed on a header, if they are known, the header names them, and trust has not run out. */
  of(header: Header): Members | null;
  /** Keys of those that agreed on the block of a height, or null if they are not known. */
  keysAt(height: number): ReadonlyMap<string, string> | null;
  /** k of them attested it. */
  onVerified(header: Header): void;
  highest(): Header | null;
  /** A change of the validators, from anybody: it proves itself or is dropped. True if something is known that was not before. */
  onChange(value: unknown): boolean;
  /** An operator's checkpoint; enough of them that say the same begin trust anew. Throws nothing. */
  onCheckpoint(envelope: Envelope): void;
  /** True if a change of the validators may have been missed. */
  isBehind(): boolean;
  /** Height from which changes are to be asked for now; null: none are missing as far as is known. */
  setsFrom(): number | null;
  /** Why nothing can be believed until an operator helps, or null. */
  obstacle(): string | null;
}

export function createTrust(options: {
  genesis: Genesis;
  store: Pick<GatewayStore, 'settings' | 'highestHeader' | 'saveHeader'>;
  /** Contract terms may ask for more than 51 %. */
  quorumAtLeast: number;
  verify: Verify;
  agreed: CheckCommits;
  clock: Clock;
  log: Log;
}): Trust {
  const { genesis, store, verify, agreed, clock, log } = options;
  const kept = store.settings.get(KEPT);
  let sets: Sets = kept === null ? genesisSets(genesis) : keptSchema.parse(kept).sets;
  let now = membersOf(sets.at(-1) as Sets[number]);
  let highest = store.highestHeader();
  /** A header named validators that are not known: a change was missed. At the start it may have been as well. */
  let missed = true;
  /** Operators that signed a checkpoint, by its hash. */
  const pending = new Map<string, Set<string>>();

  function membersOf(set: Sets[number]): Members {
    const n = set.validators.length;
    return { keys: keysOf(set), n, f: faultsTolerated(n), k: deviceQuorum(n, options.quorumAtLeast) };
  }

  function keep(changed: Sets): void {
    sets = changed;
    now = membersOf(sets.at(-1) as Sets[number]);
    store.settings.set(KEPT, { sets });
  }

  function saveHighest(header: Header): void {
    if (highest !== null && header.height <= highest.height) return;
    highest = header;
    store.saveHeader(header);
  }

  /** Keys of validators that left may be anybody's after a while: what they sign then must not be taken for news. */
  function isStale(): boolean {
    const trustedAtMs = Math.max(genesis.clock.originMs, highest?.timeMs ?? 0);
    return genesis.trustPeriodMs > 0 && clock.chainMs() - trustedAtMs > genesis.trustPeriodMs;
  }

  function checkpointProblem({ header, validators }: SignedBody<'checkpoint'>): string | null {
    const nowMs = clock.chainMs();
    if (header.chain !== genesis.chain) return 'it is of another chain';
    if (validatorSetHash(validators) !== header.validatorSet) return 'its validators are not those of its header';
    if (header.height < (highest?.height ?? 0)) return 'it is older than what is verified already';
    if (genesis.trustPeriodMs > 0 && nowMs - header.timeMs > genesis.trustPeriodMs) return 'it is too old itself';
    return header.timeMs > nowMs + genesis.limits.clockSkewMsMax ? 'it lies in the future' : null;
  }

  /** Validators before a checkpoint that nothing leads to it from. */
  const hasGap = (all: Sets): boolean => all.slice(0, -1).some(({ toHeight }) => toHeight === null);

  return {
    current: () => now,
    of(header) {
      const set = setOf(sets, header);
      if (set === null) missed = true;
      return set === null || isStale() ? null : membersOf(set);
    },
    keysAt(height) {
      const set = setAt(sets, height);
      if (set === null) missed = true;
      return set === null ? null : keysOf(set);
    },
    onVerified: saveHighest,
    highest: () => highest,
    onChange(value) {
      const followed = follow(sets, value, { genesis, verify, agreed });
      if ('problem' in followed) {
        log.warn({ reason: followed.problem }, 'change of the validators dropped');
        return false;
      }
      if (followed === sets) return false;
      keep(followed);
      log.info({ validators: [...now.keys.keys()], k: now.k, sets: sets.length }, 'change of the validators followed');
      return true;
    },
    onCheckpoint(envelope) {
      const publicKey = genesis.operators.find(({ id }) => id === envelope.signer)?.publicKey;
      const checkpoint = bodyOf('checkpoint', envelope);
      const problem =
        publicKey === undefined || checkpoint === null || !isSignedBy(genesis.chain, envelope, publicKey, verify)
          ? 'it is not signed by an operator'
          : checkpointProblem(checkpoint);
      if (problem !== null || checkpoint === null) {
        log.warn({ from: envelope.signer, reason: problem }, "operator's checkpoint dropped");
        return;
      }
      const said = hashOf(checkpoint as unknown as JsonObject);
      const signers = (pending.get(said) ?? new Set()).add(envelope.signer);
      pending.delete(said);
      pending.set(said, signers);
      if (pending.size > CHECKPOINTS_MAX) pending.delete(pending.keys().next().value as string);
      if (signers.size < genesis.operatorThreshold) return;
      pending.delete(said);
      keep(withCheckpoint(sets, checkpoint.header.height, checkpoint.validators));
      saveHighest(checkpoint.header);
      missed = true;
      log.info(
        { height: checkpoint.header.height, operators: [...signers] },
        "trust begins anew with the operators' checkpoint",
      );
    },
    isBehind: () => missed,
    setsFrom() {
      const wanted = missed || hasGap(sets) ? wantedFrom(sets) : null;
      missed = false;
      return wanted;
    },
    obstacle() {
      if (!isStale()) return null;
      const since = highest === null ? 'genesis is from' : `block ${highest.height}, the highest verified, is of`;
      return `${since} ${isoSeconds(highest?.timeMs ?? genesis.clock.originMs)}, too long ago: get a fresh checkpoint from the operator and start with --checkpoint FILE`;
    },
  };
}
