// Limits of charging and discharging that depend on what is stored: near full a battery takes less, near empty it gives less. As long as
// the limits are concave, the cost of everything to come stays convex and is worked out exactly; they count at the middle of an interval.

import type { WattHours, Watts } from '../base/units.ts';
import type { Battery, TaperPoint } from '../site/types.ts';
import { limitAtW } from './equipment.ts';

/** At most `atEmptyWh + perWh x stored` may be charged or withdrawn in an interval (energy in the store, `stored` at its begin). */
interface LimitLine {
  readonly atEmptyWh: WattHours;
  readonly perWh: number;
}

/** The least of its lines limits each way; no line is no limit. */
export interface Tapers {
  readonly charge: readonly LimitLine[];
  readonly discharge: readonly LimitLine[];
}

/** Knots closer than this are one; a value that differs by less is the same. */
const SAME_WH = 1e-2;
const SAME_UC_PER_WH = 1e-2;

/** Limits of batteries that are planned as one; null where none tapers. What is not concave counts as its concave hull. */
export function tapersOf(
  batteries: readonly { readonly battery: Battery }[],
  efficiencies: { readonly charge: number; readonly discharge: number },
  hours: number,
): Tapers | null {
  const all = batteries.map(({ battery }) => battery);
  if (all.every(({ chargeTaper, dischargeTaper }) => chargeTaper.length + dischargeTaper.length === 0)) return null;
  const capacityWh = all.reduce((sum, battery) => sum + battery.capacityWh, 0);
  const hull = (taperOf: (b: Battery) => readonly TaperPoint[], limitOf: (b: Battery) => Watts): Point[] => {
    const knots = new Set([0, 100, ...all.flatMap((b) => taperOf(b).map(({ percent }) => percent))]);
    // Where a taper meets the plain limit there is a knot too.
    for (const b of all) for (const percent of crossings(taperOf(b), limitOf(b))) knots.add(percent);
    const points = [...knots].sort((a, b) => a - b);
    return concaveHull(
      points.map((percent) => ({
        x: (percent * capacityWh) / 100,
        y: all.reduce((sum, b) => sum + limitAtW(limitOf(b), taperOf(b), percent), 0),
      })),
    );
  };
  const { charge, discharge } = efficiencies;
  return {
    charge: lines(
      hull(
        (b) => b.chargeTaper,
        (b) => b.chargeLimitW,
      ),
      charge * hours,
      1,
    ),
    discharge: lines(
      hull(
        (b) => b.dischargeTaper,
        (b) => b.dischargeLimitW,
      ),
      hours / discharge,
      -1,
    ),
  };
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function crossings(taper: readonly TaperPoint[], limitW: Watts): number[] {
  return taper.slice(1).flatMap((point, i) => {
    const before = taper[i]!;
    const share = (limitW - before.powerW) / (point.powerW - before.powerW);
    return share > 0 && share < 1 ? [before.percent + share * (point.percent - before.percent)] : [];
  });
}

function concaveHull(points: readonly Point[]): Point[] {
  const hull: Point[] = [];
  for (const point of points) {
    for (;;) {
      const [a, b] = hull.slice(-2);
      if (a === undefined || b === undefined) break;
      if ((b.y - a.y) * (point.x - b.x) > (point.y - b.y) * (b.x - a.x)) break;
      hull.pop();
    }
    hull.push(point);
  }
  return hull;
}

/** Power in the middle of an interval limits its energy: stored is then half of it more (charging) or less than at its begin. */
function lines(hull: readonly Point[], storedPerW: number, direction: 1 | -1): LimitLine[] {
  return hull.slice(1).flatMap((b, i): LimitLine[] => {
    const a = hull[i]!;
    const perWh = (b.y - a.y) / (b.x - a.x);
    const rest = 1 - (direction * storedPerW * perWh) / 2;
    if (rest <= 0) return [];
    const factor = storedPerW / rest;
    return [{ atEmptyWh: factor * (a.y - perWh * a.x), perWh: factor * perWh }];
  });
}

/** Most that may be charged into or withdrawn from the store in an interval that begins with so much stored. */
export function mostWh(limits: readonly LimitLine[], storedWh: WattHours): WattHours {
  let least = Number.POSITIVE_INFINITY;
  for (const { atEmptyWh, perWh } of limits) least = Math.min(least, atEmptyWh + perWh * storedWh);
  return Math.max(0, least);
}

/** What is withdrawn (- charged) when no more than the limits allow. */
export function withinTapers({ charge, discharge }: Tapers, storedWh: WattHours, withdrawnWh: WattHours): WattHours {
  return Math.min(Math.max(withdrawnWh, -mostWh(charge, storedWh)), mostWh(discharge, storedWh));
}

interface Lengths {
  readonly widthsWh: readonly number[];
}

/**
 * A function of what is stored within the limits from the one without them, `before`. `free` withdraws what is best without limits,
 * `costOf` is the cost of a withdrawal; `after` is what it leads to, `choices` what it is made of, both with their knots.
 */
export function tapered<T extends { lowWh: number; costAtLowUc: number; values: readonly number[] } & Lengths>(
  before: T,
  tapers: Tapers,
  about: {
    readonly after: { readonly lowWh: number } & Lengths;
    readonly choices: { readonly chargeStoredWh: number } & Lengths;
    readonly lossWh: number;
    readonly free: (storedWh: number) => number;
    readonly costOf: (storedWh: number, withdrawnWh: number) => number;
  },
): Pick<T, 'lowWh' | 'costAtLowUc' | 'values' | 'widthsWh'> {
  const { lowWh } = before;
  const ends = sums(lowWh, before.widthsWh);
  const highWh = ends.at(-1)!;
  // What is best is straight between these knots and limits are concave: none that is kept at every knot is broken between them.
  if (ends.every((at) => withinTapers(tapers, at, about.free(at)) === about.free(at))) return before;
  const binds = (limits: readonly LimitLine[], sign: number, at: number): boolean =>
    limits.length > 0 && about.free(at) * sign > mostWh(limits, at) - SAME_WH;
  const knots = [
    ...ends,
    ...limitKnots(tapers, about).filter(
      (at) => at > lowWh && at < highWh && (binds(tapers.charge, -1, at) || binds(tapers.discharge, 1, at)),
    ),
  ];
  knots.sort((a, b) => a - b);
  for (const [knot, next] of pairs([...knots])) {
    // Between two knots what is best without limits and the limits are straight: they meet at most once each.
    for (const [limits, sign] of [
      [tapers.charge, -1],
      [tapers.discharge, 1],
    ] as const) {
      if (limits.length === 0 || next - knot < SAME_WH) continue;
      const over = (at: number): number => about.free(at) * sign - mostWh(limits, at);
      const [a, b] = [over(knot), over(next)];
      if (a > 0 !== b > 0) knots.push(knot + (a / (a - b)) * (next - knot));
    }
  }
  knots.sort((a, b) => a - b);
  const costAt = (at: number): number => about.costOf(at, withinTapers(tapers, at, about.free(at)));
  const values: number[] = [];
  const widthsWh: number[] = [];
  const costAtLowUc = costAt(lowWh);
  let [from, fromUc] = [lowWh, costAtLowUc];
  for (const knot of knots) {
    const widthWh = knot - from;
    if (widthWh < SAME_WH) continue;
    const untilUc = costAt(knot);
    const value = (fromUc - untilUc) / widthWh;
    if (values.length > 0 && Math.abs(values.at(-1)! - value) < SAME_UC_PER_WH)
      widthsWh[widthsWh.length - 1]! += widthWh;
    else {
      values.push(value);
      widthsWh.push(widthWh);
    }
    [from, fromUc] = [knot, untilUc];
  }
  return { lowWh, costAtLowUc, values, widthsWh };
}

/** Where a limit turns, or where keeping to it comes to the next piece of what lies after it or of what it is made of. */
function limitKnots(
  { charge, discharge }: Tapers,
  {
    after,
    choices,
    lossWh,
  }: {
    readonly after: { readonly lowWh: number } & Lengths;
    readonly choices: { readonly chargeStoredWh: number } & Lengths;
    readonly lossWh: number;
  },
): number[] {
  const knots: number[] = [];
  const afterKnots = sums(after.lowWh, after.widthsWh);
  const choiceKnots = sums(-choices.chargeStoredWh, choices.widthsWh);
  for (const [limits, sign] of [
    [charge, -1],
    [discharge, 1],
  ] as const) {
    for (const [i, { atEmptyWh, perWh }] of limits.entries()) {
      for (const other of limits.slice(i + 1)) knots.push((other.atEmptyWh - atEmptyWh) / (perWh - other.perWh));
      // Withdrawn is sign x (atEmpty + perWh x stored).
      const slope = 1 - sign * perWh;
      for (const knot of afterKnots) knots.push((knot + lossWh + sign * atEmptyWh) / slope);
      for (const knot of choiceKnots) if (perWh !== 0) knots.push((sign * knot - atEmptyWh) / perWh);
    }
  }
  return knots.filter(Number.isFinite);
}

function sums(from: number, widthsWh: readonly number[]): number[] {
  let at = from;
  return [from, ...widthsWh.map((width) => (at += width))];
}

function pairs(values: readonly number[]): (readonly [number, number])[] {
  return values.slice(1).map((value, i) => [values[i]!, value] as const);
}
