// The site's duty after an interval: its metered energy goes to the chain, as a delivery until settlement, as a correction afterwards.
// Owns which intervals are still owed (kept over restarts) and what is said of them; how it is signed and counted is requester.ts.

import type { Clock } from '../base/clock.ts';
import { describeError, isWattpactError } from '../base/errors.ts';
import { intervalEndMs } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import { ENERGY_WH_MAX } from '../base/units.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { deliveredMostWh } from './believed.ts';
import { generatorsOf, gridMeterOf } from './equipment.ts';
import type { GatewayListener } from './events.ts';
import type { GridInterval, SiteMetering } from './metering.ts';
import type { Requester } from './requester.ts';

/** A delivery waits so long (wall ms) for the last of the site's other meters. */
const DEVICES_WAIT_WALL_MS = 3_000;
/** A delivery is not begun so close to settlement (wall ms): it would arrive late. A correction waits as long for the block that settles. */
const AROUND_SETTLEMENT_WALL_MS = 1_000;
/** Corrections are taken for 30 days (docs/ledger.md); what is older is not owed any more. */
const OWED_MS_MAX = 30 * 24 * 3_600_000;
/** Intervals on their way at one time: after a long outage they go out in portions. */
const UNDER_WAY_MAX = 32;
/** Corrections of one interval that the chain takes. */
const CORRECTIONS_MAX = 3;

const OWED = 'deliveries owed';
/** Errors of signing that pass: the interval stays owed. Any other means that what was metered cannot be said at all. */
const PASSING = ['clock.unsynchronised', 'store.undecided'];

interface Owed {
  readonly grid: GridInterval;
  /** The request that speaks of it, or null before the first. */
  readonly request: string | null;
  readonly corrections: number;
}

export interface SiteDelivering {
  /** Says what is due; a delivery that was not recorded is followed by a correction once the interval is settled. */
  tick(): void;
  /** On disk when it returns. */
  onMetered(interval: GridInterval): void;
}

export function createSiteDelivering(options: {
  site: SiteFile;
  genesis: Genesis;
  gateway: string;
  store: Pick<GatewayStore, 'settings'>;
  requester: Pick<Requester, 'submit' | 'life'>;
  metering: Pick<SiteMetering, 'energyOf' | 'finishedByAll'>;
  clock: Clock;
  emit: GatewayListener;
  log: Log;
}): SiteDelivering {
  const { site, genesis, gateway, store, requester, metering, clock, emit, log } = options;
  const { lengthMs, settlementMs } = genesis.interval;
  const { validForMsMax, clockSkewMsMax } = genesis.limits;
  const marginMs = AROUND_SETTLEMENT_WALL_MS * genesis.clock.rate;
  const meterSerial = gridMeterOf(site).meter?.serial ?? `${site.id}-meter`;
  const ctRatio = gridMeterOf(site).meter?.ctRatio ?? { primaryA: 1, secondaryA: 1 };
  /** By interval, oldest first. */
  let owed = (store.settings.get(OWED) as Owed[] | null) ?? [];

  function keep(next: readonly (Owed | null)[]): void {
    owed = next.filter((one) => one !== null);
    store.settings.set(OWED, owed);
  }

  function devicesOf(interval: number, uncertaintyWh: number) {
    return [
      ...generatorsOf(site).map(({ id }) => ({ id, made: metering.energyOf(id, 'generation', interval), taken: null })),
      ...site.storage.map(({ id }) => ({
        id,
        made: metering.energyOf(id, 'discharge', interval),
        taken: metering.energyOf(id, 'charge', interval),
      })),
    ].flatMap(({ id, made, taken }) => {
      if (made === null || made.energyWh === null) return [];
      const energyWh = whole(made.energyWh - (taken?.energyWh ?? 0));
      const most = deliveredMostWh(site, genesis, gateway, id, interval) + uncertaintyWh;
      if (Math.abs(energyWh) > most) {
        // A coarse or broken counter of one device must not cost the site its whole delivery.
        log.warn({ device: id, interval, energyWh, most }, 'left out of the delivery: more than the ledger believes');
        return [];
      }
      return [{ device: id, energyWh, curtailed: made.curtailed }];
    });
  }

  function say({ grid, corrections }: Owed, nowMs: number, settledMs: number): Owed {
    const { interval, quality } = grid.metered;
    const uncertaintyWh = Math.min(whole(grid.metered.uncertaintyWh), ENERGY_WH_MAX);
    const draft = {
      importStartWh: whole(grid.importStartWh),
      importEndWh: whole(grid.importEndWh),
      exportStartWh: whole(grid.exportStartWh),
      exportEndWh: whole(grid.exportEndWh),
      interval,
      quality,
      uncertaintyWh,
      devices: devicesOf(interval, uncertaintyWh),
      meterSerial,
      ctRatio,
    };
    const validUntilMs = nowMs + validForMsMax - clockSkewMsMax;
    if (nowMs >= settledMs) {
      const reason = 'no delivery was recorded before settlement';
      const request = requester.submit('correction', interval, { ...draft, reason }, validUntilMs);
      return { grid, request, corrections: corrections + 1 };
    }
    // At settlement it is void: then its absence can be proved at once, and a correction follows.
    const request = requester.submit('delivery', interval, draft, Math.min(validUntilMs, settledMs));
    const deliveredWh = draft.exportEndWh - draft.exportStartWh - (draft.importEndWh - draft.importStartWh);
    emit({ type: 'delivery', interval, deliveredWh, quality, uncertaintyWh });
    return { grid, request, corrections };
  }

  /** What becomes of an owed interval now: the same, spoken of, or null when it is owed no more. */
  function next(one: Owed, nowMs: number): Owed | null {
    const { interval } = one.grid.metered;
    const endMs = intervalEndMs(interval, lengthMs);
    const settledMs = endMs + settlementMs;
    const life = one.request === null ? null : requester.life(one.request);
    if (life?.phase === 'undecided') return one;
    if (life?.phase === 'recorded') return null;
    if (life?.phase === 'refused' && one.corrections > 0) return giveUp(one, life.decision.reason);
    if (one.corrections >= CORRECTIONS_MAX) return giveUp(one, `${CORRECTIONS_MAX} corrections were not recorded`);
    if (endMs - nowMs > clockSkewMsMax) return giveUp(one, 'it was metered by a clock that ran ahead');
    if (nowMs - endMs > OWED_MS_MAX) return giveUp(one, 'it is too old to be corrected');
    if (one.request === null && !metering.finishedByAll(interval)) {
      if (nowMs - endMs < DEVICES_WAIT_WALL_MS * genesis.clock.rate) return one;
    }
    const isOpen = one.request === null && nowMs < settledMs - marginMs;
    if (!isOpen && nowMs < settledMs + marginMs) return one;
    return say(one, nowMs, settledMs);
  }

  function giveUp({ grid }: Owed, reason: string): null {
    const { interval } = grid.metered;
    log.error({ interval, reason }, 'the energy of this interval stays undelivered');
    emit({ type: 'trouble', what: `interval ${interval} stays undelivered: ${reason}` });
    return null;
  }

  return {
    tick() {
      const nowMs = clock.chainMs();
      let underWay = 0;
      for (const one of owed) {
        let after: Owed | null;
        try {
          after = next(one, nowMs);
        } catch (error) {
          if (isWattpactError(error) && PASSING.includes(error.code)) return;
          after = giveUp(one, describeError(error));
        }
        if (after !== one) keep(owed.map((other) => (other === one ? after : other)));
        if (after !== null && after.request !== null) underWay++;
        if (underWay >= UNDER_WAY_MAX) return;
      }
    },
    onMetered(grid) {
      const { interval } = grid.metered;
      if (owed.every((other) => other.grid.metered.interval !== interval))
        keep([...owed, { grid, request: null, corrections: 0 }]);
    },
  };
}

/** Whole, and never the negative zero that cannot be signed. */
function whole(value: number): number {
  return Math.round(value) + 0;
}
