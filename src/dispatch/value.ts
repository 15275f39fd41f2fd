// The value of stored energy: convex cost-to-go as a function of what is stored, and one interval's step of it.
// Exact dynamic programming: each function is piecewise linear, held as segments of falling marginal value, so that
// an interval's choice (charge, idle, discharge) is a merge of two sorted lists. No grid, no rounding of energy.
// Owns the arithmetic of one battery in one interval; which prices and loads there are is plan.ts.

import type { UcPerWh, WattHours } from '../base/units.ts';
import { type CostToGo, costAt } from './cost-to-go.ts';
import { type Exchange, exportPrices, priceAround } from './exchange.ts';
import { mergedWithin, type Tapers, withinTapers } from './taper.ts';

/** Segments kept at most in an averaged value function; beyond it the least different neighbours are joined. */
export const SEGMENTS_MAX = 48;
/** Shorter pieces of an averaged function are left to their neighbours. */
const SHORTEST_WH = 1e-6;

/** One battery (or several planned as one) over one interval: energies an interval, not powers. */
export interface Storage {
  readonly lowWh: WattHours;
  readonly highWh: WattHours;
  /** Most AC energy an interval. */
  readonly chargeAcWh: WattHours;
  readonly dischargeAcWh: WattHours;
  readonly chargeEfficiency: number;
  readonly dischargeEfficiency: number;
  readonly standingLossWh: WattHours;
  /** Wear of a stored Wh, each way. */
  readonly wearUcPerWh: UcPerWh;
  readonly exports: boolean;
  readonly chargesFromGrid: boolean;
  /** Tighter limits by what is stored; null: none. */
  readonly tapers: Tapers | null;
}

/** What the battery can do in one interval, from full charge to full discharge: withdrawals of stored energy by falling value. */
export interface Choices {
  /** Stored energy added by full charge. */
  readonly chargeStoredWh: number;
  readonly costAtFullChargeUc: number;
  readonly values: readonly number[];
  readonly widthsWh: readonly number[];
  /** How many of the segments are charging (the first ones). */
  readonly charging: number;
  /** Charging and discharging at once would pay, and only one of them is among the choices. */
  readonly either: boolean;
  /** The same from full discharge on, as the cost up to the interval's end needs it. */
  readonly dischargeStoredWh: number;
  readonly costAtFullDischargeUc: number;
  readonly backwards: Pick<CostToGo, 'values' | 'widthsWh'>;
}

/** The battery's choices in an interval, with what each is worth for a stored Wh. */
export function choicesOf(storage: Storage, x: Exchange, netWh = x.netWh, only = x.only): Choices {
  let charge = storage.chargesFromGrid ? storage.chargeAcWh : Math.min(storage.chargeAcWh, Math.max(0, -netWh));
  let discharge = storage.exports ? storage.dischargeAcWh : Math.min(storage.dischargeAcWh, Math.max(0, netWh));
  const idle = -netWh;
  const { startWh, costAtStartUc, prices, widthsWh } = exportPrices(x, idle - charge, idle + discharge);
  // A Wh less charged and a Wh more discharged where the battery is idle: the first must be worth more, or one of them is left out.
  const { chargeEfficiency, dischargeEfficiency, wearUcPerWh } = storage;
  const lastCharged = charge > 0 ? priceAround(startWh, prices, widthsWh, idle, 'below') : Number.POSITIVE_INFINITY;
  const firstDischarged = priceAround(startWh, prices, widthsWh, idle, 'above');
  const either =
    discharge > 0 && lastCharged / chargeEfficiency + wearUcPerWh < firstDischarged * dischargeEfficiency - wearUcPerWh;
  if (either && only === 'discharge') charge = 0;
  else if (either) discharge = 0;
  const from = idle - charge;
  const until = idle + discharge;
  const values: number[] = [];
  const widths: number[] = [];
  let costAtFullChargeUc = costAtStartUc + charge * chargeEfficiency * wearUcPerWh;
  let charging = 0;
  let at = startWh;
  for (let i = 0; i < prices.length; i++) {
    const price = prices[i]!;
    const end = at + widthsWh[i]!;
    if (at < from) costAtFullChargeUc -= price * (Math.min(end, from) - at);
    const chargePart = Math.min(end, idle) - Math.max(at, from);
    if (chargePart > 0) {
      values.push(price / chargeEfficiency + wearUcPerWh);
      widths.push(chargePart * chargeEfficiency);
      charging = values.length;
    }
    const dischargePart = Math.min(end, until) - Math.max(at, idle);
    if (dischargePart > 0) {
      values.push(price * dischargeEfficiency - wearUcPerWh);
      widths.push(dischargePart / dischargeEfficiency);
    }
    at = end;
  }
  const chargeStoredWh = charge * storage.chargeEfficiency;
  const n = values.length;
  const backwards = { values: new Array<number>(n), widthsWh: new Array<number>(n) };
  let dischargeStoredWh = -chargeStoredWh;
  let costAtFullDischargeUc = costAtFullChargeUc;
  for (let i = 0; i < n; i++) {
    dischargeStoredWh += widths[i]!;
    costAtFullDischargeUc -= values[i]! * widths[i]!;
    backwards.values[n - 1 - i] = -values[i]!;
    backwards.widthsWh[n - 1 - i] = widths[i]!;
  }
  return {
    chargeStoredWh,
    costAtFullChargeUc,
    values,
    widthsWh: widths,
    charging,
    either,
    dischargeStoredWh,
    costAtFullDischargeUc,
    backwards,
  };
}

/**
 * Least cost of splitting an amount between two convex functions (infimal convolution), kept within [lowWh, highWh].
 * Merges the two lists of segments by falling value; `startWh` and `startCostUc` belong to the left ends of both together.
 */
function merged(
  a: Pick<CostToGo, 'values' | 'widthsWh'>,
  b: Pick<CostToGo, 'values' | 'widthsWh'>,
  startWh: number,
  startCostUc: number,
  lowWh: number,
  highWh: number,
): CostToGo {
  const n = a.values.length;
  const m = b.values.length;
  // Filled from the front and cut to length: this is the innermost loop of planning.
  const values = new Array<number>(n + m);
  const widths = new Array<number>(n + m);
  let costAtLowUc = startCostUc;
  let at = startWh;
  let last = -1;
  for (let i = 0, j = 0; (i < n || j < m) && at < highWh; ) {
    const fromB = i >= n || (j < m && b.values[j]! >= a.values[i]!);
    const value = fromB ? b.values[j]! : a.values[i]!;
    let width = fromB ? b.widthsWh[j++]! : a.widthsWh[i++]!;
    if (at < lowWh) {
      const dropped = Math.min(lowWh - at, width);
      costAtLowUc -= dropped * value;
      at += dropped;
      width -= dropped;
    }
    width = Math.min(width, highWh - at);
    if (width <= 0) continue;
    at += width;
    if (last >= 0 && values[last] === value) widths[last]! += width;
    else {
      last++;
      values[last] = value;
      widths[last] = width;
    }
  }
  values.length = last + 1;
  widths.length = last + 1;
  return { lowWh: Math.max(lowWh, startWh), costAtLowUc, values, widthsWh: widths };
}

/** Cost-to-go before the interval from the cost-to-go after it. */
export function stepBack(after: CostToGo, choices: Choices, storage: Storage): CostToGo {
  const { lowWh, highWh, standingLossWh: lossWh, tapers } = storage;
  const startWh = after.lowWh + lossWh - choices.chargeStoredWh;
  const startCostUc = after.costAtLowUc + choices.costAtFullChargeUc;
  const before =
    tapers === null
      ? merged(after, choices, startWh, startCostUc, lowWh, highWh)
      : mergedWithin(after, withdrawalsOf(choices), lossWh, lowWh, highWh, tapers);
  const missing = before.lowWh - lowWh;
  if (missing <= 0) return before;
  // Nothing can be charged against the standing loss: the lowest Wh count as the dearest ones, which keeps the function convex.
  const value = Math.max(before.values[0] ?? 0, 0);
  return {
    lowWh,
    costAtLowUc: before.costAtLowUc + missing * value,
    values: [value, ...before.values],
    widthsWh: [missing, ...before.widthsWh],
  };
}

/** The same forwards: least cost up to the end of the interval, by what is stored then. */
export function stepForward(before: CostToGo, choices: Choices, storage: Storage): CostToGo {
  const { lowWh, highWh, standingLossWh: lossWh } = storage;
  const startWh = before.lowWh - lossWh - choices.dischargeStoredWh;
  const startCostUc = before.costAtLowUc + choices.costAtFullDischargeUc;
  const limits = storage.tapers?.backwards ?? null;
  const after =
    limits === null
      ? merged(before, choices.backwards, startWh, startCostUc, lowWh, highWh)
      : mergedWithin(before, chargesOf(choices), -lossWh, lowWh, highWh, limits);
  // A store that cannot even cover its standing loss stays at its lowest.
  return after.values.length === 0 && after.lowWh < lowWh ? { ...after, lowWh } : after;
}

/** Cost of what is withdrawn in an interval, and of what is charged. */
function withdrawalsOf({ chargeStoredWh, costAtFullChargeUc, values, widthsWh }: Choices): CostToGo {
  return { lowWh: -chargeStoredWh, costAtLowUc: costAtFullChargeUc, values, widthsWh };
}

function chargesOf({ dischargeStoredWh, costAtFullDischargeUc, backwards }: Choices): CostToGo {
  return { lowWh: -dischargeStoredWh, costAtLowUc: costAtFullDischargeUc, ...backwards };
}

/** Least sum of the cost up to an instant and the cost from it on. */
export function leastTotal(upTo: CostToGo, from: CostToGo): number {
  let j = 0;
  let fromEnd = from.lowWh + (from.widthsWh[0] ?? Number.POSITIVE_INFINITY);
  let at = upTo.lowWh;
  while (fromEnd <= at && j + 1 < from.values.length) fromEnd += from.widthsWh[++j]!;
  let total = upTo.costAtLowUc + costAt(from, at);
  for (let i = 0; i < upTo.values.length; i++) {
    const end = at + upTo.widthsWh[i]!;
    while (at < end) {
      const value = upTo.values[i]! + (from.values[j] ?? 0);
      if (value <= 0) return total;
      const until = j + 1 < from.values.length ? Math.min(end, fromEnd) : end;
      total -= value * (until - at);
      at = until;
      while (fromEnd <= at && j + 1 < from.values.length) fromEnd += from.widthsWh[++j]!;
    }
  }
  return total;
}

/** The best choice from `storedWh`: energy taken from the store (- charging), and what is stored afterwards. Idles on ties. */
export function decide(
  after: CostToGo,
  choices: Choices,
  storage: Storage,
  storedWh: WattHours,
): { readonly withdrawnWh: WattHours; readonly storedEndWh: WattHours } {
  const free = freely(after, choices, storage, storedWh);
  const withdrawnWh = storage.tapers === null ? free : withinTapers(storage.tapers, storedWh, free);
  const storedEndWh = storedWh - storage.standingLossWh - withdrawnWh;
  return { withdrawnWh, storedEndWh: Math.min(storage.highWh, Math.max(storage.lowWh, storedEndWh)) };
}

/** The same without tapers. */
function freely(after: CostToGo, choices: Choices, storage: Storage, storedWh: WattHours): WattHours {
  let left = storedWh - storage.standingLossWh - storage.lowWh + choices.chargeStoredWh;
  let withdrawnWh = -choices.chargeStoredWh;
  let i = 0;
  let j = 0;
  const n = after.values.length;
  const m = choices.values.length;
  while (left > 0 && (i < n || j < m)) {
    const a = i < n ? after.values[i]! : Number.NEGATIVE_INFINITY;
    const c = j < m ? choices.values[j]! : Number.NEGATIVE_INFINITY;
    const fromChoices = j < choices.charging ? c >= a : c > a;
    if (fromChoices) {
      const width = Math.min(choices.widthsWh[j++]!, left);
      withdrawnWh += width;
      left -= width;
    } else {
      left -= Math.min(after.widthsWh[i++]!, left);
    }
  }
  return withdrawnWh;
}

/** AC energy of a withdrawal, + discharging. */
export function acWh(storage: Storage, withdrawnWh: WattHours): WattHours {
  return withdrawnWh > 0 ? withdrawnWh * storage.dischargeEfficiency : withdrawnWh / storage.chargeEfficiency;
}

/** Value of the next Wh above an energy stored; beyond the function's end no energy can be stored. */
export function valueAbove({ lowWh, values, widthsWh }: CostToGo, storedWh: WattHours): UcPerWh {
  let end = lowWh;
  for (let i = 0; i < values.length; i++) {
    end += widthsWh[i]!;
    if (end > storedWh + 1e-6) return values[i]!;
  }
  return Number.NEGATIVE_INFINITY;
}

/** Value of the last Wh below an energy stored; below the function's begin there is none to be had. */
export function valueBelow({ lowWh, values, widthsWh }: CostToGo, storedWh: WattHours): UcPerWh {
  if (storedWh <= lowWh + 1e-6) return Number.POSITIVE_INFINITY;
  let end = lowWh;
  for (let i = 0; i < values.length; i++) {
    end += widthsWh[i]!;
    if (end >= storedWh - 1e-6) return values[i]!;
  }
  return values.at(-1) ?? Number.POSITIVE_INFINITY;
}

/** Weighted mean of functions over the same range: what an uncertain interval costs before it is known. */
export function average(costs: readonly CostToGo[], weights: readonly number[]): CostToGo {
  const first = costs[0]!;
  const places = costs.map(() => 0);
  const ends = costs.map((cost) => cost.widthsWh[0] ?? Number.POSITIVE_INFINITY);
  const values: number[] = [];
  const widths: number[] = [];
  const totalWh = first.widthsWh.reduce((sum, width) => sum + width, 0);
  let value = 0;
  let costAtLowUc = 0;
  for (let k = 0; k < costs.length; k++) {
    value += weights[k]! * (costs[k]!.values[0] ?? 0);
    costAtLowUc += weights[k]! * costs[k]!.costAtLowUc;
  }
  let from = 0;
  while (from < totalWh) {
    let until = totalWh;
    for (let k = 0; k < costs.length; k++) until = Math.min(until, ends[k]!);
    if (until - from > SHORTEST_WH) {
      values.push(value);
      widths.push(until - from);
      from = until;
    }
    if (until >= totalWh - SHORTEST_WH) break;
    for (let k = 0; k < costs.length; k++) {
      const cost = costs[k]!;
      while (ends[k]! <= until + SHORTEST_WH) {
        const at = ++places[k]!;
        if (at >= cost.values.length) {
          ends[k] = Number.POSITIVE_INFINITY;
          break;
        }
        value += weights[k]! * (cost.values[at]! - cost.values[at - 1]!);
        ends[k]! += cost.widthsWh[at]!;
      }
    }
  }
  // What the shortest pieces left out belongs to the last one: the range stays what it was.
  if (widths.length > 0) widths[widths.length - 1]! += totalWh - from;
  return joined({ lowWh: first.lowWh, costAtLowUc, values, widthsWh: widths });
}

/** At most `SEGMENTS_MAX` segments: joins the neighbours whose join changes the function least. */
function joined(cost: CostToGo): CostToGo {
  let { values, widthsWh } = cost;
  while (values.length > SEGMENTS_MAX) {
    const surplus = values.length - SEGMENTS_MAX;
    const errors = new Float64Array(values.length - 1);
    for (let i = 0; i < errors.length; i++) {
      errors[i] = (values[i]! - values[i + 1]!) * Math.min(widthsWh[i]!, widthsWh[i + 1]!);
    }
    const limit = errors.slice().sort()[surplus - 1]!;
    const [fewer, wider]: [number[], number[]] = [[], []];
    let removed = 0;
    for (let i = 0; i < values.length; i++) {
      if (i < errors.length && removed < surplus && errors[i]! <= limit) {
        const width = widthsWh[i]! + widthsWh[i + 1]!;
        fewer.push((values[i]! * widthsWh[i]! + values[i + 1]! * widthsWh[i + 1]!) / width);
        wider.push(width);
        removed++;
        i++;
      } else {
        fewer.push(values[i]!);
        wider.push(widthsWh[i]!);
      }
    }
    [values, widthsWh] = [fewer, wider];
  }
  return { ...cost, values, widthsWh };
}
