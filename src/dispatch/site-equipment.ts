// A site file's equipment as a plan wants it. Owns the translation, nothing else.

import { minuteOfDay } from '../base/interval.ts';
import type { Millis, WattHours } from '../base/units.ts';
import { createCalendar } from '../forecast/calendar.ts';
import type { Battery, Device, SiteFile, SiteLoad } from '../site/types.ts';
import type { PlanLoad } from './equipment.ts';
import type { BidTerms } from './plan-types.ts';

const GENERATORS: readonly Device['role'][] = ['pv', 'wind', 'hybrid'];

/** The batteries that can be driven. */
export function batteriesOf(site: SiteFile): Battery[] {
  return site.storage.filter(({ driven }) => driven);
}

/** Whether all of the site's generation may be held back. */
export function curtailableOf(site: SiteFile): boolean {
  const generators = site.devices.filter(({ role }) => GENERATORS.includes(role));
  return generators.length > 0 && generators.every(({ curtailable }) => curtailable);
}

/** The contract's bounds of offers, within the prices a request may carry. */
export function bidTermsOf(site: SiteFile, priceMaxUcPerWh: number): BidTerms {
  const { floorUcPerWh, ceilingUcPerWh, riskQuantile } = site.contract;
  const priceMinUcPerWh = -priceMaxUcPerWh;
  return { floorUcPerWh, ceilingUcPerWh, riskQuantile, priceMinUcPerWh, priceMaxUcPerWh };
}

/** What is known of a load when a plan is made. */
export interface LoadProgress {
  /** Energy it already got in the window that is open now (a program: any means that it has run). */
  readonly doneWh: WattHours;
  readonly on: boolean;
  /** Since when it is on or off. */
  readonly sinceMs: Millis;
}

/**
 * The needs of the site's loads that fall into a plan's intervals: one for each daily window that ends within it.
 * Windows are local time; a window still open at the plan's end is left to a later plan.
 */
export function planLoadsOf(
  site: SiteFile,
  startMs: Millis,
  intervalMs: Millis,
  count: number,
  progress: ReadonlyMap<string, LoadProgress>,
): PlanLoad[] {
  const calendar = createCalendar(site.timezone);
  const minutes = Array.from({ length: count }, (_, t) => calendar(startMs + t * intervalMs).minute);
  const loads: PlanLoad[] = [];
  for (const load of site.loads) {
    if (load.need === null) continue;
    const [from, until] = [minuteOfDay(load.need.from), minuteOfDay(load.need.until)];
    // Equal times mean the whole day, which ends at that time.
    const inside = (t: number): boolean => {
      const since = (minutes[t]! - from + 1440) % 1440;
      return since < ((until - from + 1440) % 1440 || 1440);
    };
    const begins = (t: number): boolean =>
      t === 0 || !inside(t - 1) || (minutes[t]! - from + 1440) % 1440 < (minutes[t - 1]! - from + 1440) % 1440;
    for (let t = 0; t < count; t++) {
      if (!inside(t) || !begins(t)) continue;
      let end = t + 1;
      while (end < count && inside(end) && !begins(end)) end++;
      if (end >= count) continue;
      const planned = planLoad(load, startMs + t * intervalMs, startMs + end * intervalMs, intervalMs, {
        progress: progress.get(load.id),
        open: t === 0,
        startMs,
      });
      if (planned !== null) loads.push(planned);
    }
  }
  return loads;
}

function planLoad(
  load: SiteLoad,
  earliestMs: Millis,
  deadlineMs: Millis,
  intervalMs: Millis,
  at: { progress: LoadProgress | undefined; open: boolean; startMs: Millis },
): PlanLoad | null {
  const doneWh = at.open ? (at.progress?.doneWh ?? 0) : 0;
  if (load.kind === 'program' || load.need?.energyWh == null) {
    if (doneWh > 0) return null;
    return { kind: 'program', id: load.id, powersW: programPowers(load, intervalMs), earliestMs, deadlineMs };
  }
  const needWh = load.need.energyWh - doneWh;
  if (needWh <= 0) return null;
  return {
    kind: 'energy',
    id: load.id,
    needWh,
    earliestMs,
    deadlineMs,
    powersW: load.powersW,
    minOnMs: load.minOnMs,
    minOffMs: load.minOffMs,
    on: at.progress?.on ?? false,
    sinceMs: at.progress?.sinceMs ?? Number.NEGATIVE_INFINITY,
  };
}

/** A program runs at its powers one after the other for its least time. */
function programPowers(load: SiteLoad, intervalMs: Millis): number[] {
  const length = Math.max(1, Math.ceil(load.minOnMs / intervalMs));
  return Array.from({ length }, (_, i) => load.powersW[Math.min(load.powersW.length - 1, i)] ?? load.ratedW);
}
