// A gateway that lost its store gets its past back from the chain: the deliveries that it signed itself become stored energies again.
// Owns as well what is still missing until then.

import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { CheckCommits } from '../ledger/certified.ts';
import type { Envelope } from '../protocol/envelope.ts';
import type { SignedBody } from '../protocol/replies.ts';
import type { RequestBody } from '../protocol/requests.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { type HistoryPart, historyPart } from './history-part.ts';
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

export interface HistoryCount {
  /** Begins to count answers to a question about blocks from `from` on; goes on when asked again with the same salt. */
  expect(salt: string, from: number): void;
  /** One validator's signed answer. Not null when the part is decided. */
  take(validator: string, answer: SignedBody<'history'>): HistoryPart | null;
}

/** Counts the answers that validators give over the broker, until they decide a part of the past (history-part.ts). */
export function countHistory(options: {
  chain: string;
  gateway: string;
  trust: Pick<Trust, 'keysAt' | 'current'>;
  agreed: CheckCommits;
  clock: Clock;
  log: Log;
}): HistoryCount {
  const { trust, clock } = options;
  let asked: { readonly salt: string; readonly from: number } | null = null;
  let waiting = { from: -1, sinceMs: 0 };
  const answers = new Map<string, SignedBody<'history'>>();

  return {
    expect(salt, from) {
      if (asked?.salt === salt && asked.from === from) return;
      asked = { salt, from };
      answers.clear();
      if (waiting.from !== from) waiting = { from, sinceMs: clock.monotonicMs() };
    },
    take(validator, answer) {
      if (asked === null || answer.salt !== asked.salt || answer.from !== asked.from) return null;
      answers.set(validator, answer);
      const isPatient = clock.monotonicMs() - waiting.sinceMs <= PATIENCE_MS;
      const rules = { ...options, keysAt: trust.keysAt, f: trust.current().f };
      const part = historyPart([...answers.values()], { from: asked.from, isPatient }, rules);
      if (part !== null) asked = null;
      return part;
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
