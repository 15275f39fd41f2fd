// What is not as it should be at the site, and what the gateway does about it, in words: told when it begins and when it ends, kept for
// `wattpact status`, shown on the page. Owns the telling; each behaviour is that of the part that the words name.

import type { Clock } from '../base/clock.ts';
import type { Millis } from '../base/units.ts';
import type { GatewayStore } from '../store/gateway.ts';
import type { Doubt } from './doubts.ts';

/** What lasts shorter is not told, wall time: a start, one lost answer. */
const TOLD_AFTER_MS: Millis = 5_000;
/** A device that gave no good value for so long is lost, wall time. */
export const DEVICE_LOST_MS: Millis = 30_000;
/** So many intervals of a day that are not believed are told: one may be a slip. */
const DOUBTED_MIN = 4;
const CONDITIONS = 'conditions';

export interface Condition {
  /** Stable name: `meter-stale`, `device-lost pv`, ... */
  readonly code: string;
  /** What is wrong and what is done about it. */
  readonly text: string;
  /** Chain time. */
  readonly sinceMs: Millis;
}

/** What the gateway can tell of itself now. */
export interface SiteSigns {
  /** Whether the power at the connection is known. */
  readonly meterFresh: boolean;
  /** Devices that gave no good value lately, with their role. */
  readonly lostDevices: readonly { readonly id: string; readonly role: string }[];
  readonly brokersConnected: number;
  readonly operatorReachable: boolean;
  /** Why the clock is not trusted, or null. */
  readonly clockObstacle: string | null;
  /** Why the site is believed to be off the grid, or null. */
  readonly offGrid: string | null;
  /** Position of the running interval; null while it is not known. */
  readonly positionWh: number | null;
  /** Whether it is known what flowed since the running interval began. */
  readonly countedSinceStart: boolean;
  readonly unmeteredLoads: readonly string[];
  /** Batteries that are left to themselves, since nothing in the device would end a set-point. */
  readonly undrivenBatteries: readonly string[];
  /** Why there is no news of the weather where a source is named, or null. */
  readonly weatherTrouble: string | null;
  /** What was metered in the last day and is not believed. */
  readonly doubts: readonly Doubt[];
  /** Controls that do not take what they are told, with the reason. */
  readonly refusals: ReadonlyMap<string, string>;
}

const WITHOUT: Readonly<Record<string, string>> = {
  battery: 'it gets no set-points and goes back to its own automatic mode; the others go on',
  pv: 'it is taken to generate its rated power when limits are held',
  wind: 'it is taken to generate its rated power when limits are held',
  hybrid: 'it gets no set-points, and is taken to generate its rated power when limits are held',
  relay: 'its loads stay as they are',
  load: 'it stays as it is',
};

/** Every condition that the signs show, the gravest first; `sinceMs` is not theirs to say. */
export function conditionsOf(signs: SiteSigns): readonly Omit<Condition, 'sinceMs'>[] {
  const found: Omit<Condition, 'sinceMs'>[] = [];
  const add = (code: string, text: string): void => {
    found.push({ code, text });
  };
  if (signs.offGrid !== null) {
    add(
      'off-grid',
      `off the grid (${signs.offGrid}): every device is left to its own automatic mode, nothing is traded`,
    );
  }
  if (!signs.meterFresh) {
    add(
      'meter-stale',
      'the meter at the connection does not answer: batteries rest, generation is held as if nothing were consumed, nothing new is traded',
    );
  }
  if (signs.clockObstacle !== null) {
    add('clock-lost', `${signs.clockObstacle}: nothing is signed, batteries serve the site itself`);
  }
  for (const { id, role } of signs.lostDevices) {
    add(`device-lost ${id}`, `${id} does not answer${WITHOUT[role] === undefined ? '' : `: ${WITHOUT[role]}`}`);
  }
  if (signs.brokersConnected === 0) {
    add('brokers-lost', 'no broker can be reached: what was traded is kept to, what is to be said waits on disk');
  }
  if (!signs.operatorReachable) {
    add('operator-silent', 'the operator cannot be heard: the default limits of the site file hold');
  }
  if (signs.positionWh === null && signs.clockObstacle === null) {
    add('position-unknown', 'what was traded for this interval is not proved yet: batteries serve the site itself');
  }
  if (signs.meterFresh && !signs.countedSinceStart) {
    add(
      'interval-begun',
      'it is not known what flowed since this interval began: only the rest of it is kept to the trade',
    );
  }
  for (const [control, reason] of signs.refusals)
    add(`refused ${control}`, `${control} does not take its set-point: ${reason}`);
  if (signs.weatherTrouble !== null) {
    add('weather-silent', `no news of the weather (${signs.weatherTrouble}): forecasts go on with what is known`);
  }
  for (const { subject, intervals, why } of signs.doubts) {
    if (intervals < DOUBTED_MIN) continue;
    add(
      `doubted ${subject}`,
      `what is metered of ${subject} looks wrong (${why}): ${intervals} intervals of the last day are not learnt from, forecasts go on with what was known before`,
    );
  }
  for (const battery of signs.undrivenBatteries) {
    add(
      `undriven ${battery}`,
      `${battery} has no watchdog and goes on by itself: it is neither planned nor offered, its flow counts as consumption`,
    );
  }
  for (const load of signs.unmeteredLoads) {
    add(
      `unmetered ${load}`,
      `${load} has no meter and its state cannot be read: what it takes is forecast with the rest`,
    );
  }
  return found;
}

export interface Conditions {
  /** Looks at the signs now; returns what began to be told and what ended. */
  follow(signs: SiteSigns): readonly { readonly what: 'began' | 'ended'; readonly condition: Condition }[];
  /** Those that are told. */
  standing(): readonly Condition[];
}

export function createConditions(store: Pick<GatewayStore, 'settings'>, clock: Clock): Conditions {
  const seen = new Map<string, { atMs: Millis; condition: Condition; isTold: boolean }>();
  const standing = (): readonly Condition[] =>
    [...seen.values()].filter(({ isTold }) => isTold).map(({ condition }) => condition);
  // What an earlier run left is not of this one.
  store.settings.set(CONDITIONS, []);

  return {
    follow(signs) {
      const nowMs = clock.monotonicMs();
      const changes: { what: 'began' | 'ended'; condition: Condition }[] = [];
      const now = conditionsOf(signs);
      for (const [code, { condition, isTold }] of seen) {
        if (now.some((each) => each.code === code)) continue;
        seen.delete(code);
        if (isTold) changes.push({ what: 'ended', condition });
      }
      for (const { code, text } of now) {
        const known = seen.get(code) ?? {
          atMs: nowMs,
          condition: { code, text, sinceMs: clock.chainMs() },
          isTold: false,
        };
        const isTold = known.isTold || nowMs - known.atMs >= TOLD_AFTER_MS || code === 'off-grid';
        const condition = { ...known.condition, text };
        seen.set(code, { ...known, condition, isTold });
        if (isTold && !known.isTold) changes.push({ what: 'began', condition });
      }
      if (changes.length > 0) store.settings.set(CONDITIONS, standing());
      return changes;
    },
    standing,
  };
}

/** As the running gateway, or the last one, told them. */
export function keptConditions(store: Pick<GatewayStore, 'settings'>): readonly Condition[] {
  return (store.settings.get(CONDITIONS) as Condition[] | null) ?? [];
}
