// Limits of charging and discharging that depend on what is stored: near full a battery takes less, near empty it gives less. As long as
// the limits are concave, the cost of everything to come stays convex and is worked out exactly; they count at the middle of an interval.

import type { WattHours, Watts } from '../base/units.ts';
import type { Battery, TaperPoint } from '../site/types.ts';
import { type CostToGo, costAt } from './cost-to-go.ts';
import { limitAtW } from './equipment.ts';

/** At most `atEmptyWh + perWh x stored` may be charged or withdrawn in an interval (energy in the store, `stored` at its begin). */
interface LimitLine {
  readonly atEmptyWh: WattHours;
  readonly perWh: number;
}

/** Limits of what goes in and out of the store, by what is stored; the least of its lines limits each way, no line is no limit. */
export interface Limits {
  readonly charge: readonly LimitLine[];
  readonly discharge: readonly LimitLine[];
  /** Where one of them turns, rising. */
  readonly corners: readonly WattHours[];
}

/** By what is stored at an interval's begin. */
export interface Tapers extends Limits {
  /** The same by what is stored at its end, seen from there: what was charged goes out, what was discharged comes in. Null: too steep to be seen so. */
  readonly backwards: Limits | null;
}

/** What lies closer together is one place. */
const SAME_PLACE_WH = 1e-7;
/** Pieces of a function that are shorter go to their neighbour; those whose values differ by less are one. */
const SHORTEST_WH = 1e-3;
const SAME_UC_PER_WH = 1e-4;
/** A limit under which what is stored at the end rises by less for each Wh at the begin is not told by its end. */
const FLATTEST = 0.05;

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
  const limits = limitsOf(
    lines(
      hull(
        (b) => b.chargeTaper,
        (b) => b.chargeLimitW,
      ),
      efficiencies.charge * hours,
      1,
    ),
    lines(
      hull(
        (b) => b.dischargeTaper,
        (b) => b.dischargeLimitW,
      ),
      hours / efficiencies.discharge,
      -1,
    ),
  );
  const lossWh = hours * all.reduce((sum, battery) => sum + battery.standingLossW, 0);
  const [charge, discharge] = [byEnd(limits.discharge, -1, lossWh), byEnd(limits.charge, 1, lossWh)];
  return { ...limits, backwards: charge === null || discharge === null ? null : limitsOf(charge, discharge) };
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

function limitsOf(charge: readonly LimitLine[], discharge: readonly LimitLine[]): Limits {
  return { charge, discharge, corners: [...cornersOf(charge), ...cornersOf(discharge)].sort((a, b) => a - b) };
}

/** Limits by what is stored at an interval's end: its begin is `lossWh` and what was withdrawn more, or what was charged less. */
function byEnd(limits: readonly LimitLine[], direction: 1 | -1, lossWh: WattHours): LimitLine[] | null {
  const byEnds: LimitLine[] = [];
  for (const { atEmptyWh, perWh } of limits) {
    const rest = 1 + direction * perWh;
    if (rest < FLATTEST) return null;
    byEnds.push({ atEmptyWh: (atEmptyWh + perWh * lossWh) / rest, perWh: perWh / rest });
  }
  return byEnds;
}

/** Most that may be charged into or withdrawn from the store in an interval that begins with so much stored. */
export function mostWh(limits: readonly LimitLine[], storedWh: WattHours): WattHours {
  let least = Number.POSITIVE_INFINITY;
  for (const { atEmptyWh, perWh } of limits) least = Math.min(least, atEmptyWh + perWh * storedWh);
  return Math.max(0, least);
}

/** What is withdrawn (- charged) when no more than the limits allow. */
export function withinTapers({ charge, discharge }: Limits, storedWh: WattHours, withdrawnWh: WattHours): WattHours {
  return Math.min(Math.max(withdrawnWh, -mostWh(charge, storedWh)), mostWh(discharge, storedWh));
}

/** Whether a withdrawal (- charging) is all that a limit allows. */
export function isAtLimit({ charge, discharge }: Limits, storedWh: WattHours, withdrawnWh: WattHours): boolean {
  const atCharge = charge.length > 0 && -withdrawnWh > mostWh(charge, storedWh) - SAME_PLACE_WH;
  return atCharge || (discharge.length > 0 && withdrawnWh > mostWh(discharge, storedWh) - SAME_PLACE_WH);
}

/**
 * Least cost by x in [lowWh, highWh] of `known` at y and of withdrawing w among `choices`, x being y + lossWh + w, and w within limits by x. For each x that
 * is the best w without limits, or the limit: cost is convex in w.
 */
export function mergedWithin(
  known: CostToGo,
  choices: CostToGo,
  lossWh: WattHours,
  lowWh: WattHours,
  highWh: WattHours,
  limits: Limits,
): CostToGo {
  const result = new Collected(known, choices, lossWh);
  const [n, m] = [known.values.length, choices.values.length];
  let withdrawnWh = choices.lowWh;
  let at = known.lowWh + lossWh + withdrawnWh;
  let wasWithin = isWithin(limits, at, withdrawnWh);
  for (let i = 0, j = 0; (i < n || j < m) && at < highWh; ) {
    const fromChoices = i >= n || (j < m && choices.values[j]! >= known.values[i]!);
    const value = fromChoices ? choices.values[j]! : known.values[i]!;
    const widthWh = fromChoices ? choices.widthsWh[j++]! : known.widthsWh[i++]!;
    const rises = fromChoices ? 1 : 0;
    const isNowWithin = isWithin(limits, at + widthWh, withdrawnWh + rises * widthWh);
    const from = Math.max(at, lowWh);
    const until = Math.min(at + widthWh, highWh);
    const free = { atEmptyWh: withdrawnWh - rises * at, perWh: rises };
    if (until > from) {
      // What is best is straight between these places and limits are concave: none that is kept at both is broken between them.
      if (wasWithin && isNowWithin) result.free(from, until, free, value);
      else limited(from, until, free, limits, result);
    }
    withdrawnWh += rises * widthWh;
    at += widthWh;
    wasWithin = isNowWithin;
  }
  return result.function();
}

function isWithin({ charge, discharge }: Limits, at: WattHours, withdrawnWh: WattHours): boolean {
  return withdrawnWh < 0
    ? -withdrawnWh <= mostWh(charge, at) + SAME_PLACE_WH
    : withdrawnWh <= mostWh(discharge, at) + SAME_PLACE_WH;
}

/** A straight stretch of what is best without limits, where these count. */
function limited(from: number, until: number, free: LimitLine, limits: Limits, result: Collected): void {
  let at = from;
  for (const corner of limits.corners) {
    if (corner <= at || corner >= until) continue;
    stretch(at, corner, free, limits, result);
    at = corner;
  }
  stretch(at, until, free, limits, result);
}

/** Between two places without a corner each limit is one line and crosses what is best without it at most once. */
function stretch(from: number, until: number, free: LimitLine, limits: Limits, result: Collected): void {
  const middle = (from + until) / 2;
  const charge = leastLine(limits.charge, middle, -1);
  const discharge = leastLine(limits.discharge, middle, 1);
  const [one, two] = [crossing(charge, free, from, until), crossing(discharge, free, from, until)];
  const [first, second] = [Math.min(one, two), Math.max(one, two)];
  for (let at = from; at < until; ) {
    const next = at < first ? first : at < second ? second : until;
    const middle = (at + next) / 2;
    const freeWh = free.atEmptyWh + free.perWh * middle;
    let best = free;
    if (charge !== null && charge.atEmptyWh + charge.perWh * middle > freeWh) best = charge;
    if (discharge !== null && discharge.atEmptyWh + discharge.perWh * middle < freeWh) best = discharge;
    result.add(at, next, best);
    at = next;
  }
}

/** Where a limit crosses what is best without it; the end if it does not. */
function crossing(line: LimitLine | null, free: LimitLine, from: number, until: number): number {
  if (line === null || line.perWh === free.perWh) return until;
  const at = (line.atEmptyWh - free.atEmptyWh) / (free.perWh - line.perWh);
  return at > from && at < until ? at : until;
}

/** Withdrawal at the limit that counts at a place. */
function leastLine(limits: readonly LimitLine[], at: number, sign: 1 | -1): LimitLine | null {
  let [least, leastWh] = [null as LimitLine | null, Number.POSITIVE_INFINITY];
  for (const line of limits) {
    const wh = line.atEmptyWh + line.perWh * at;
    if (wh < leastWh) [least, leastWh] = [line, wh];
  }
  if (least === null) return null;
  return leastWh <= 0 ? { atEmptyWh: 0, perWh: 0 } : { atEmptyWh: sign * least.atEmptyWh, perWh: sign * least.perWh };
}

/** Where a limit turns. */
function cornersOf(limits: readonly LimitLine[]): number[] {
  return limits.slice(1).flatMap(({ atEmptyWh, perWh }, i) => {
    const before = limits[i]!;
    return perWh === before.perWh ? [] : [(atEmptyWh - before.atEmptyWh) / (before.perWh - perWh)];
  });
}

/** A place among the pieces of a function, moved along as it is asked for. */
class Place {
  readonly #of: CostToGo;
  #i = 0;
  #startWh: number;

  constructor(of: CostToGo) {
    this.#of = of;
    this.#startWh = of.lowWh;
  }

  /** Moves to the piece at a place, seen in a direction: at a knot the one that lies ahead. */
  seek(atWh: number, rises: boolean): void {
    const { widthsWh } = this.#of;
    const last = widthsWh.length - 1;
    const back = rises ? SAME_PLACE_WH : -SAME_PLACE_WH;
    while (this.#i < last && this.#startWh + widthsWh[this.#i]! <= atWh + back) this.#startWh += widthsWh[this.#i++]!;
    while (this.#i > 0 && this.#startWh > atWh + back) this.#startWh -= widthsWh[--this.#i]!;
  }

  get value(): number {
    return this.#of.values[this.#i] ?? 0;
  }

  /** From a place to the piece's end in a direction; the first and the last piece have no end. */
  restWh(atWh: number, rises: boolean): number {
    const { widthsWh } = this.#of;
    if (rises)
      return this.#i < widthsWh.length - 1 ? this.#startWh + widthsWh[this.#i]! - atWh : Number.POSITIVE_INFINITY;
    return this.#i > 0 ? atWh - this.#startWh : Number.POSITIVE_INFINITY;
  }
}

/** Pieces of the least cost, as they come. */
class Collected {
  readonly #known: CostToGo;
  readonly #choices: CostToGo;
  readonly #lossWh: number;
  readonly #inKnown: Place;
  readonly #inChoices: Place;
  readonly #knownHighWh: number;
  #lowWh: number | null = null;
  #costAtLowUc = 0;
  readonly #values: number[] = [];
  readonly #widthsWh: number[] = [];

  constructor(known: CostToGo, choices: CostToGo, lossWh: number) {
    this.#known = known;
    this.#choices = choices;
    this.#lossWh = lossWh;
    this.#inKnown = new Place(known);
    this.#inChoices = new Place(choices);
    this.#knownHighWh = known.widthsWh.reduce((sum, width) => sum + width, known.lowWh);
  }

  /** From one place to another w is what is best, and each Wh has one value. */
  free(from: number, until: number, { atEmptyWh, perWh }: LimitLine, value: number): void {
    if (this.#lowWh === null) this.#begin(from, atEmptyWh + perWh * from);
    this.#push(value, until - from);
  }

  #begin(x: number, w: number): void {
    this.#lowWh = x;
    this.#costAtLowUc = costAt(this.#known, x - this.#lossWh - w) + costAt(this.#choices, w);
  }

  /** From one place to another w is on a line. Where y would be none that is known, x cannot be. */
  add(from: number, until: number, { atEmptyWh, perWh }: LimitLine): void {
    const rise = 1 - perWh;
    let x = from;
    while (x < until - SAME_PLACE_WH / 10) {
      const w = atEmptyWh + perWh * x;
      const y = x - this.#lossWh - w;
      const missingWh = this.#known.lowWh - y;
      if (missingWh > SAME_PLACE_WH) {
        if (rise <= 0) return;
        x += missingWh / rise;
        continue;
      }
      if (y > this.#knownHighWh + SAME_PLACE_WH) return;
      this.#inKnown.seek(y, rise > 0);
      this.#inChoices.seek(w, perWh > 0);
      let restWh = until - x;
      if (rise !== 0) restWh = Math.min(restWh, this.#inKnown.restWh(y, rise > 0) / Math.abs(rise));
      if (rise > 0 && y < this.#knownHighWh)
        restWh = Math.min(restWh, Math.max((this.#knownHighWh - y) / rise, SAME_PLACE_WH));
      if (perWh !== 0) restWh = Math.min(restWh, this.#inChoices.restWh(w, perWh > 0) / Math.abs(perWh));
      if (this.#lowWh === null) this.#begin(x, w);
      this.#push(perWh * this.#inChoices.value + rise * this.#inKnown.value, restWh);
      x += restWh;
    }
  }

  #push(value: number, widthWh: number): void {
    const last = this.#values.length - 1;
    const lastWh = last < 0 ? 0 : this.#widthsWh[last]!;
    const isSame =
      last >= 0 &&
      (lastWh < SHORTEST_WH || widthWh < SHORTEST_WH || Math.abs(this.#values[last]! - value) < SAME_UC_PER_WH);
    if (!isSame) {
      this.#values.push(value);
      this.#widthsWh.push(widthWh);
      return;
    }
    this.#values[last] = (this.#values[last]! * lastWh + value * widthWh) / (lastWh + widthWh);
    this.#widthsWh[last] = lastWh + widthWh;
  }

  function(): CostToGo {
    const lowWh = this.#lowWh ?? this.#known.lowWh + this.#lossWh;
    return { lowWh, costAtLowUc: this.#costAtLowUc, values: this.#values, widthsWh: this.#widthsWh };
  }
}
