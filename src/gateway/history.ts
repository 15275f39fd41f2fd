// A gateway that lost its store gets its past back from the chain: the deliveries that it signed itself become stored energies again.
// Owns as well what is still missing until then.

import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { type Certified, type CheckCommits, certifiedSchema, checkCertified } from '../ledger/certified.ts';
import type { Envelope } from '../protocol/envelope.ts';
import type { SignedBody } from '../protocol/replies.ts';
import type { RequestBody } from '../protocol/requests.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { SITE } from './metering.ts';
import type { Trust } from './trust.ts';

const REBUILDING = 'rebuilding';
/** Room above the last sequence the validators have seen, for requests that were signed and are still under way. */
const SEQUENCE_ROOM = 1_000;

/** What a store that began anew does not know yet. */
interface Missing {
  /** Block from which the past is asked for; null: all there is. */
  readonly historyFrom: number | null;
  readonly sequenceRoom: number;
  /** Up to this interval, offers may have been signed that are in no store any more. */
  readonly offersUntil: number;
}

export interface Rebuilding {
  /** Block from which the past is still missing; null: nothing is. */
  historyFrom(): number | null;
  /** That, once it is known up to where the past goes: the highest header verified when it is first asked for. */
  wanted(verifiedHeight: number | null): number | null;
  /** Deliveries below this height are all there. */
  onHistory(deliveries: readonly Envelope[], untilHeight: number): void;
  /** The last sequence that validators have seen, to the one to go on from. */
  onSequence(sequence: number): number;
  mayHaveForgotten(interval: number): boolean;
}

/**
 * Kept in the store itself, so that a crash in the middle of it, or a file that another command made first, changes nothing.
 * `lastInterval`: the last one that takes offers now.
 */
export function createRebuilding(store: Pick<GatewayStore, 'energies' | 'settings'>, lastInterval: number): Rebuilding {
  const kept = store.settings.get(REBUILDING) as Missing | null;
  let missing = kept ?? { historyFrom: 0, sequenceRoom: SEQUENCE_ROOM, offersUntil: lastInterval };
  if (kept === null) keep({});
  let target: number | null = null;

  function keep(changes: Partial<Missing>): void {
    missing = { ...missing, ...changes };
    store.settings.set(REBUILDING, missing);
  }

  return {
    historyFrom: () => missing.historyFrom,
    wanted(verifiedHeight) {
      if (missing.historyFrom === null || verifiedHeight === null) return null;
      target ??= verifiedHeight;
      // Genesis holds no deliveries.
      if (target === 0) keep({ historyFrom: null });
      return missing.historyFrom;
    },
    onHistory(deliveries, untilHeight) {
      rememberDeliveries(store, deliveries);
      keep({ historyFrom: target !== null && untilHeight > target ? null : untilHeight });
    },
    onSequence(sequence) {
      // Who never signed anything has nothing under way either.
      const isNew = sequence === 0 && missing.sequenceRoom > 0;
      const from = sequence === 0 ? 0 : sequence + missing.sequenceRoom;
      keep({ sequenceRoom: 0, ...(isNew ? { offersUntil: -1, historyFrom: null } : {}) });
      return from;
    },
    mayHaveForgotten: (interval) => interval <= missing.offersUntil,
  };
}

/** How long answers that cover too little are waited out, monotonic ms; then what is proven must do. */
const PATIENCE_MS = 60_000;

/** What the answers to one question prove, and below which height nothing is missing. */
export interface HistoryPart {
  readonly deliveries: readonly Envelope[];
  readonly untilHeight: number;
}

export interface HistoryCount {
  /** Begins to count answers to a question about blocks from `from` on; goes on when asked again with the same salt. */
  expect(salt: string, from: number): void;
  /** One validator's signed answer. Not null when the part is decided. */
  take(validator: string, answer: SignedBody<'history'>): HistoryPart | null;
}

/**
 * Counts several validators' answers about the past: whatever one of them proves is taken, and the past is complete up to where f + 1 of
 * them say that they have told everything: one of those is honest. So no single one can slip in, leave out or cut short.
 */
export function countHistory(options: {
  chain: string;
  gateway: string;
  trust: Trust;
  agreed: CheckCommits;
  clock: Clock;
  log: Log;
}): HistoryCount {
  const { chain, gateway, trust, agreed, clock, log } = options;
  let asked: { readonly salt: string; readonly from: number } | null = null;
  let waiting = { from: -1, sinceMs: 0 };
  const answers = new Map<string, SignedBody<'history'>>();

  /** The delivery that a record proves, or null: only what the chain recorded of this gateway. */
  function delivered(record: Certified): Envelope | null {
    const { leaf, header } = record;
    if (leaf.kind !== 'verdict' || leaf.verdict !== 'recorded' || leaf.signer !== gateway) return null;
    const proven = checkCertified(record, chain, trust.keysAt(header.height + 1), agreed);
    if ('problem' in proven) {
      log.warn({ height: header.height, reason: proven.problem }, 'record of the past dropped');
      return null;
    }
    const { request } = proven;
    return request?.kind === 'delivery' || request?.kind === 'correction' ? request : null;
  }

  function union(from: number, untilHeight: number): Envelope[] {
    const proven = new Map<string, { readonly height: number; readonly index: number; readonly delivery: Envelope }>();
    for (const { records } of answers.values()) {
      for (const value of records) {
        const { success, data: record } = z.safeParse(certifiedSchema, value);
        if (!success || record.leaf.kind !== 'verdict') continue;
        const { height } = record.header;
        if (height < from || height >= untilHeight || proven.has(record.leaf.request)) continue;
        const delivery = delivered(record);
        if (delivery !== null) proven.set(record.leaf.request, { height, index: record.place.index, delivery });
      }
    }
    return [...proven.values()]
      .sort((a, b) => a.height - b.height || a.index - b.index)
      .map(({ delivery }) => delivery);
  }

  return {
    expect(salt, from) {
      if (asked?.salt === salt && asked.from === from) return;
      asked = { salt, from };
      answers.clear();
      if (waiting.from !== from) waiting = { from, sinceMs: clock.monotonicMs() };
    },
    take(validator, answer) {
      if (asked === null || answer.salt !== asked.salt || answer.from !== asked.from) return null;
      const { from } = asked;
      answers.set(validator, answer);
      const impatient = clock.monotonicMs() - waiting.sinceMs > PATIENCE_MS;
      const covering = [...answers.values()].filter(({ keptFrom }) => impatient || keptFrom <= Math.max(1, from));
      const ends = covering.map(({ until }) => until).sort((a, b) => b - a);
      const untilHeight = ends[trust.current().f] ?? from;
      if (untilHeight <= from) return null;
      if (impatient) log.warn({ from, untilHeight }, 'too few validators keep this part of the past: it may have gaps');
      const deliveries = union(from, untilHeight);
      asked = null;
      return { deliveries, untilHeight };
    },
  };
}

/** Energies of intervals out of deliveries that this gateway signed itself: what forecasters learn from after a lost store. */
export function rememberDeliveries(store: Pick<GatewayStore, 'energies'>, deliveries: readonly Envelope[]): void {
  for (const { body } of deliveries) {
    const delivery = body as unknown as RequestBody<'delivery'>;
    const { interval, quality, uncertaintyWh } = delivery;
    const common = { interval, quality, uncertaintyWh };
    store.energies.save([
      {
        ...common,
        subject: SITE,
        quantity: 'import',
        energyWh: delivery.importEndWh - delivery.importStartWh,
        curtailed: false,
      },
      {
        ...common,
        subject: SITE,
        quantity: 'export',
        energyWh: delivery.exportEndWh - delivery.exportStartWh,
        curtailed: false,
      },
      ...delivery.devices.flatMap(({ device, energyWh, curtailed }) => [
        // A generator's energy is its generation; a battery's is net, + discharged.
        { ...common, subject: device, quantity: 'generation', energyWh: Math.max(0, energyWh), curtailed },
        { ...common, subject: device, quantity: 'discharge', energyWh: Math.max(0, energyWh), curtailed },
        { ...common, subject: device, quantity: 'charge', energyWh: Math.max(0, -energyWh), curtailed },
      ]),
    ]);
  }
}
