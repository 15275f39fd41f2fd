// What the movable loads have had in their window of today, and whether they run. Owns that memory;
// the plan decides when they run, control drives them.

import type { Clock } from '../base/clock.ts';
import { clamp } from '../base/integers.ts';
import type { Millis } from '../base/units.ts';
import type { LoadProgress } from '../dispatch/site-equipment.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { nextWindow } from './localtime.ts';

/** Between two looks a load is taken to have gone on as it is; no longer than this, chain time. */
const UNSEEN_MS_MAX = 5 * 60_000;
/** What a load has had is kept this often while it goes on as it is, chain time: so much a crash may forget. */
const KEEP_MS = 5 * 60_000;

interface LoadMemory {
  /** The window this is about. */
  readonly untilMs: Millis;
  readonly doneWh: number;
  readonly on: boolean;
  /** Chain time since which it is on or off. */
  readonly sinceMs: Millis;
}

export interface LoadNeeds {
  /** What is known of each load now; energy counts for the window that is open. */
  progress(): ReadonlyMap<string, LoadProgress>;
  /** A load was seen on or off with this power, now. */
  onSeen(load: string, powerW: number): void;
}

export function createLoadNeeds(options: {
  site: SiteFile;
  store: Pick<GatewayStore, 'settings'>;
  clock: Clock;
}): LoadNeeds {
  const { site, store, clock } = options;
  const memories = new Map<string, LoadMemory>(
    Object.entries((store.settings.get('loads') as Record<string, LoadMemory> | null) ?? {}),
  );
  const seenAtMs = new Map<string, Millis>();
  const keptAtMs = new Map<string, Millis>();

  function windowOf(load: SiteFile['loads'][number], nowMs: Millis): { fromMs: Millis; untilMs: Millis } | null {
    return load.need === null ? null : nextWindow(nowMs, site.timezone, load.need.from, load.need.until);
  }

  return {
    progress() {
      const nowMs = clock.chainMs();
      return new Map(
        site.loads.flatMap((load) => {
          const memory = memories.get(load.id);
          if (memory === undefined) return [];
          const open = memory.untilMs === windowOf(load, nowMs)?.untilMs;
          return [[load.id, { doneWh: open ? memory.doneWh : 0, on: memory.on, sinceMs: memory.sinceMs }] as const];
        }),
      );
    },
    onSeen(id, powerW) {
      const load = site.loads.find((candidate) => candidate.id === id);
      const nowMs = clock.chainMs();
      const window = load === undefined ? null : windowOf(load, nowMs);
      if (load === undefined || window === null) return;
      const memory = memories.get(id);
      const sameWindow = memory?.untilMs === window.untilMs;
      const on = powerW > 0;
      // What it did while nobody looked is not known; a clock that is set back takes nothing away.
      const passedMs = clamp(nowMs - (seenAtMs.get(id) ?? nowMs), 0, UNSEEN_MS_MAX);
      seenAtMs.set(id, nowMs);
      memories.set(id, {
        untilMs: window.untilMs,
        doneWh: (sameWindow ? (memory?.doneWh ?? 0) : 0) + (powerW * passedMs) / 3_600_000,
        on,
        sinceMs: memory !== undefined && memory.on === on ? memory.sinceMs : nowMs,
      });
      const isSame = memory?.on === on && sameWindow;
      if (isSame && Math.abs(nowMs - (keptAtMs.get(id) ?? Number.NEGATIVE_INFINITY)) < KEEP_MS) return;
      keptAtMs.set(id, nowMs);
      store.settings.set('loads', Object.fromEntries(memories));
    },
  };
}
