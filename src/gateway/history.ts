// A gateway that lost its store gets its past back from the chain: the deliveries that it signed itself become stored energies again.
// Owns as well what is still missing until then.

import type { Envelope } from '../protocol/envelope.ts';
import type { RequestBody } from '../protocol/requests.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { SITE } from './metering.ts';

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
  historyFrom(): number | null;
  onHistory(deliveries: readonly Envelope[], nextFrom: number | null): void;
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

  function keep(changes: Partial<Missing>): void {
    missing = { ...missing, ...changes };
    store.settings.set(REBUILDING, missing);
  }

  return {
    historyFrom: () => missing.historyFrom,
    onHistory(deliveries, nextFrom) {
      rememberDeliveries(store, deliveries);
      keep({ historyFrom: nextFrom });
    },
    onSequence(sequence) {
      // Who never signed anything has nothing under way either.
      const isNew = sequence === 0 && missing.sequenceRoom > 0;
      const from = sequence === 0 ? 0 : sequence + missing.sequenceRoom;
      keep({ sequenceRoom: 0, ...(isNew ? { offersUntil: -1 } : {}) });
      return from;
    },
    mayHaveForgotten: (interval) => interval <= missing.offersUntil,
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
