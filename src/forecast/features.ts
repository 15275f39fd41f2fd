// What the models look at: a row of numbers for (the newest finished step, the step to forecast), from the history alone, so that
// the same row can be made for any past pair. NaN where something is not known. Also the base that models correct.

import type { Watts } from '../base/units.ts';
import { type Calendar, DAY_MS, type LocalTime } from './calendar.ts';
import type { History } from './history.ts';
import { type Range, scanRange } from './range.ts';
import { clearSky, sunCosine } from './sun.ts';
import type { ForecasterOptions } from './types.ts';

/** Days looked back for what is usual, and for what a clear sky gave. */
const USUAL_DAYS = 21;
const ENVELOPE_DAYS = 21;
/** Blocks of steps whose sums are remembered. */
const BLOCKS_A_DAY = 6;
/** Days of a range, and ranges remembered. */
const RANGE_DAYS = 30;
const RANGES_MAX = 1_000;
/** How long the last known value stands for the present. */
const LAST_KNOWN_MS = 2 * 3_600_000;
/** Below this the sun is too low to tell from one step to the next (W/m2); above, it grows at most by this factor. */
const LOW_SKY = 40;
const SKY_GROWTH_MAX = 3;
/** A step is dark when the sun gives less than this, W/m2, or when nothing above this part of the most was seen at its time of day. */
const DARK_SKY = 1e-6;
const DARK_SHARE = 0.002;
/** Half-lives of what is usual: a level that follows, and one that remembers. */
const USUAL_DECAY = [0.8, 0.95] as const;

/** What a time of day usually brings, as far as one knew at a step. */
export interface Usual {
  /** Follows within days. */
  readonly quick: Watts;
  /** Days of the same type (working or free) alone. */
  readonly sameType: Watts;
  /** Of the values that went into it. */
  readonly spread: Watts;
}

/** What is the same for every step forecast at one time. */
interface Present {
  readonly now: number;
  readonly last: Watts;
  readonly usual: Usual;
  /** Over an hour or so, a few hours, a day, a week. */
  readonly means: readonly [Watts, Watts, Watts, Watts];
  /** Spread, least and most of the last eight steps. */
  readonly shape: readonly [Watts, Watts, Watts];
  /** Shares of the clear sky: the last steps, the last hours, the last day. */
  readonly clearIndex: readonly [number, number, number];
}

export class Features {
  readonly perDay: number;
  readonly #options: ForecasterOptions;
  readonly #calendar: Calendar;
  readonly #history: History;
  readonly #locals: (LocalTime | undefined)[];
  readonly #localSteps: Float64Array;
  readonly #skies: Float64Array;
  readonly #skySteps: Float64Array;
  readonly #clears: Float64Array;
  readonly #clearSteps: Float64Array;
  readonly #located: boolean;
  /** Known values of blocks of steps (by block number): their sum and how many they are. */
  readonly #blockSteps: number;
  readonly #blocks: Float64Array;
  readonly #blockSums: Float64Array;
  readonly #blockCounts: Float64Array;
  #present: Present | null = null;
  readonly #ranges = new Map<number, Range>();

  constructor(options: ForecasterOptions, calendar: Calendar, history: History) {
    this.#options = options;
    this.#calendar = calendar;
    this.#history = history;
    this.perDay = DAY_MS / options.stepMs;
    const kept = history.capacity + 4 * this.perDay;
    this.#locals = new Array(kept);
    this.#localSteps = new Float64Array(kept).fill(-1);
    this.#skies = new Float64Array(kept);
    this.#skySteps = new Float64Array(kept).fill(-1);
    this.#clears = new Float64Array(kept);
    this.#clearSteps = new Float64Array(kept).fill(-1);
    this.#blockSteps = Math.max(1, Math.floor(this.perDay / BLOCKS_A_DAY));
    const blocks = Math.ceil(kept / this.#blockSteps);
    this.#blocks = new Float64Array(blocks).fill(-1);
    this.#blockSums = new Float64Array(blocks);
    this.#blockCounts = new Float64Array(blocks);
    this.#located = options.latitude !== undefined && options.longitude !== undefined;
  }

  /** Forgets what was worked out from the steps `[from, to]`: their values were provisional. */
  forget(from: number, to: number): void {
    if (this.#present !== null && this.#present.now >= from) this.#present = null;
    for (const quarter of this.#ranges.keys()) {
      if ((quarter * this.perDay) / 4 >= from) this.#ranges.delete(quarter);
    }
    for (let step = from; step <= to; step++) {
      const block = Math.floor(step / this.#blockSteps);
      const place = block % this.#blocks.length;
      if (this.#blocks[place] === block) this.#blocks[place] = -1;
      this.#clearSteps[step % this.#clearSteps.length] = -1;
    }
  }

  local(step: number): LocalTime {
    const place = step % this.#localSteps.length;
    if (this.#localSteps[place] !== step) {
      this.#locals[place] = this.#calendar(step * this.#options.stepMs);
      this.#localSteps[place] = step;
    }
    return this.#locals[place] as LocalTime;
  }

  /** Clear sky in the middle of a step, W/m2; NaN where the site's place is not known. */
  sky(step: number): number {
    if (!this.#located) return Number.NaN;
    const place = step % this.#skySteps.length;
    if (this.#skySteps[place] !== step) {
      const { stepMs, latitude, longitude } = this.#options;
      const partMs = stepMs / 4;
      let sum = 0;
      for (const part of [0.5, 1.5, 2.5, 3.5]) {
        sum += clearSky(step * stepMs + part * partMs, latitude as number, longitude as number);
      }
      this.#skies[place] = sum / 4;
      this.#skySteps[place] = step;
    }
    return this.#skies[place] as number;
  }

  /** Cosine of the sun's zenith angle in the middle of a step; NaN where the site's place is not known. */
  sunHeight(step: number): number {
    if (!this.#located) return Number.NaN;
    const { stepMs, latitude, longitude } = this.#options;
    return sunCosine((step + 0.5) * stepMs, latitude as number, longitude as number);
  }

  /** The same local time `days` before, also over a change of the clock. */
  daysBefore(step: number, days: number): number {
    const back = step - days * this.perDay;
    const minutes = this.local(step).minute - this.local(back).minute;
    if (minutes === 0) return back;
    const shift = Math.round((minutes * 60_000) / this.#options.stepMs);
    return Math.abs(shift) < this.perDay / 2 ? back + shift : back;
  }

  usual(now: number, step: number): Usual {
    const history = this.#history;
    const { free } = this.local(step);
    const people = this.#options.kind === 'load' || this.#options.kind === 'net';
    const sums = [0, 0, 0, 0, 0];
    let square = 0;
    let [quickWeight, typeWeight] = [1, 1];
    for (let day = 1; day <= USUAL_DAYS; day++) {
      const then = people ? this.daysBefore(step, day) : step - day * this.perDay;
      if (then > now) continue;
      if (then < history.oldest) break;
      const value = smooth(history, then, now);
      if (Number.isNaN(value)) continue;
      sums[0] = (sums[0] as number) + quickWeight * value;
      sums[1] = (sums[1] as number) + quickWeight;
      square += quickWeight * value * value;
      quickWeight *= USUAL_DECAY[0];
      if (this.local(then).free !== free) continue;
      sums[2] = (sums[2] as number) + typeWeight * value;
      sums[3] = (sums[3] as number) + typeWeight;
      typeWeight *= USUAL_DECAY[1];
    }
    const [sum, weight, typeSum, typeTotal] = sums as [number, number, number, number, number];
    const quick = weight > 0 ? sum / weight : Number.NaN;
    return {
      quick,
      sameType: typeTotal > 0 ? typeSum / typeTotal : quick,
      spread: weight > 0 ? Math.sqrt(Math.max(0, square / weight - quick * quick)) : Number.NaN,
    };
  }

  /** What a clear sky would give at a step: the third best of the last days at this time of day, moved on with the sun. */
  envelope(now: number, step: number): Watts {
    const history = this.#history;
    const skyHere = this.sky(step);
    const best = [0, 0, 0];
    let known = 0;
    for (let day = 1; day <= ENVELOPE_DAYS; day++) {
      const then = step - day * this.perDay;
      if (then > now) continue;
      if (then < history.oldest) break;
      let value = history.at(then);
      if (Number.isNaN(value)) continue;
      known++;
      if (skyHere >= 0) {
        const skyThen = this.sky(then);
        value *= skyThen > 20 ? Math.min(2, skyHere / skyThen) : skyHere > 20 ? 1 : 0;
      }
      if (value > (best[0] as number)) best.splice(0, 3, value, best[0] as number, best[1] as number);
      else if (value > (best[1] as number)) best.splice(1, 2, value, best[1] as number);
      else if (value > (best[2] as number)) best[2] = value;
    }
    return known === 0 ? Number.NaN : (best[Math.min(2, known - 1)] as number);
  }

  /** What a generator of the sun would give at a step under a clear sky; NaN for others. */
  clearSkyPower(now: number, step: number): Watts {
    return this.#options.kind === 'pv' ? this.envelope(now, step) : Number.NaN;
  }

  /** The last known value at or before `now`, unless it is too old; NaN then. */
  lastKnown(now: number): Watts {
    const oldest = now - Math.max(1, LAST_KNOWN_MS / this.#options.stepMs);
    for (let step = now; step > oldest; step--) {
      const value = this.#history.at(step);
      if (!Number.isNaN(value)) return value;
    }
    return Number.NaN;
  }

  /** Where the next steps start from: the last value, for PV as the sun goes on (smart persistence); the usual without either. */
  base(now: number, step: number): Watts {
    const last = this.lastKnown(now);
    if (this.#options.kind !== 'pv') {
      if (!Number.isNaN(last)) return last;
      const { sameType } = this.usual(now, step);
      return Number.isNaN(sameType) ? 0 : sameType;
    }
    if (!Number.isNaN(last)) {
      const [skyNow, skyThen] = [this.sky(now), this.sky(step)];
      if (skyNow > LOW_SKY) return last * Math.min(SKY_GROWTH_MAX, skyThen / skyNow);
      const [clearNow, clearThen] = [this.#clear(now), this.envelope(now, step)];
      if (Number.isNaN(skyNow) && clearNow > 0.05 * this.range(now).most) {
        return last * Math.min(SKY_GROWTH_MAX, clearThen / clearNow);
      }
    }
    const { quick } = this.usual(now, step);
    return Number.isNaN(quick) ? 0 : quick;
  }

  /** Whether a generator of the sun has nothing to do at a step. */
  dark(now: number, step: number): boolean {
    if (this.#options.kind !== 'pv') return false;
    if (this.#located) return this.sky(step) < DARK_SKY;
    let known = 0;
    for (let day = 1; day <= ENVELOPE_DAYS; day++) {
      for (const near of [-1, 0, 1]) {
        const then = step - day * this.perDay + near;
        const value = then > now ? Number.NaN : this.#history.at(then);
        if (Number.isNaN(value)) continue;
        if (value > DARK_SHARE * this.range(now).most) return false;
        known++;
      }
    }
    return known > 0;
  }

  /** The month before `now`; the same for every `now` of a quarter of a day, so that it can be had again for any past one. */
  range(now: number): Range {
    const quarter = Math.floor((4 * now) / this.perDay);
    let range = this.#ranges.get(quarter);
    if (range === undefined || range.known === 0) {
      const end = Math.floor((quarter * this.perDay) / 4);
      range = this.#scan(end);
      // The very first quarter of a day: what there is of it.
      if (range.known === 0) return this.#scan(now);
      if (this.#ranges.size >= RANGES_MAX) this.#ranges.delete(this.#ranges.keys().next().value as number);
      this.#ranges.set(quarter, range);
    }
    return range;
  }

  #scan(end: number): Range {
    return scanRange(this.#history, end - RANGE_DAYS * this.perDay, end, this.#options.stepMs);
  }

  /** Row for the steps right after `now` (one model a lead). */
  nearRow(now: number, step: number, base: Watts): Float64Array {
    const history = this.#history;
    const { last, usual: usualNow, means, shape, clearIndex } = this.#at(now);
    const usual = this.usual(now, step);
    const local = this.local(step);
    const row: number[] = [last, base];
    for (const back of [1, 2, 3, 4, 6]) row.push(last - history.at(now - back));
    row.push(means[0], means[1], means[2], ...shape);
    for (const near of [-1, 0, 1]) row.push(history.at(this.daysBefore(step, 1) + near));
    row.push(history.at(this.daysBefore(step, 2)), history.at(this.daysBefore(step, 7)));
    row.push(last - history.at(now - this.perDay));
    row.push(usual.quick, usual.sameType, usual.spread, usual.sameType - usualNow.sameType, last - usualNow.sameType);
    row.push(local.minute, local.weekday);
    if (this.#options.kind === 'pv') {
      const [clearThen, clearNow] = [this.envelope(now, step), this.#clear(now)];
      row.push(clearThen, clearNow, this.sky(step), last / Math.max(clearNow, 1e-9));
      row.push(clearIndex[0], clearIndex[1], base - clearThen, last * Math.min(2, clearThen / clearNow) - base);
    } else if (this.#located) row.push(this.sky(step));
    return Float64Array.from(row);
  }

  /** Row for any step up to days ahead. */
  farRow(now: number, step: number, usual: Usual): Float64Array {
    const history = this.#history;
    const { last, usual: usualNow, means, clearIndex } = this.#at(now);
    const lead = step - now;
    const local = this.local(step);
    const before = Math.ceil(lead / this.perDay);
    const row: number[] = [lead, last, last - usualNow.sameType, ...means];
    for (const days of [before, before + 1, 7]) {
      const then = this.daysBefore(step, days);
      row.push(then > now ? Number.NaN : smooth(history, then, now));
    }
    row.push(usual.quick, usual.sameType, usual.spread, local.minute, local.weekday);
    if (this.#options.kind === 'pv') {
      row.push(this.envelope(now, step), this.sky(step), clearIndex[0], clearIndex[2]);
    } else if (this.#located) row.push(this.sky(step));
    return Float64Array.from(row);
  }

  /**
   * How the present passes into the usual, for a regression: what is unusual in the last step, the last hours and the last day, each
   * fading in its own time, beside the levels that remain. `base`: what the regression corrects.
   */
  fadingRow(now: number, step: number, usual: Usual, base: Watts): Float64Array {
    const { last, usual: usualNow, means, clearIndex } = this.#at(now);
    const [, hoursMean, dayMean, weekMean] = means;
    const hours = ((step - now) * 24) / this.perDay;
    const left = (hoursLong: number): number => Math.exp(-hours / hoursLong);
    const yesterday = this.daysBefore(step, Math.ceil((step - now) / this.perDay));
    const lastWeek = this.daysBefore(step, 7);
    const row = [base, usual.quick, usual.sameType, weekMean];
    for (const then of [yesterday, lastWeek]) row.push(then > now ? Number.NaN : smooth(this.#history, then, now));
    for (const hoursLong of [1.5, 4, 12]) {
      row.push(left(hoursLong) * known(last - weekMean), left(hoursLong) * known(last - usualNow.sameType));
    }
    row.push(left(4) * known(hoursMean - weekMean), left(24) * known(dayMean - weekMean));
    row.push(left(4) * (base - weekMean), left(12) * (base - weekMean), hours / 24);
    if (this.#options.kind === 'pv') {
      const clear = this.envelope(now, step);
      const [recent, , day] = clearIndex;
      row.push(clear, clear * known(day), left(4) * clear * known(recent), left(12) * clear * known(day));
    }
    return Float64Array.from(row);
  }

  #at(now: number): Present {
    if (this.#present?.now === now) return this.#present;
    const { perDay } = this;
    const pv = this.#options.kind === 'pv';
    this.#present = {
      now,
      last: this.lastKnown(now),
      usual: this.usual(now, now),
      means: [
        this.#mean(now, 4),
        this.#mean(now, Math.max(6, perDay / 6)),
        this.#mean(now, perDay),
        this.#mean(now, perDay * 7),
      ],
      shape: this.#recentShape(now),
      clearIndex: pv
        ? [this.#clearIndex(now, 4), this.#clearIndex(now, perDay / 4), this.#clearIndex(now, perDay)]
        : [Number.NaN, Number.NaN, Number.NaN],
    };
    return this.#present;
  }

  /** The clear sky's power at a finished step, as known before it. */
  #clear(step: number): Watts {
    const place = step % this.#clearSteps.length;
    if (this.#clearSteps[place] !== step) {
      this.#clears[place] = this.envelope(step - 1, step);
      this.#clearSteps[place] = step;
    }
    return this.#clears[place] as number;
  }

  /** Of the last steps; whole blocks of them are added up once. */
  #mean(now: number, steps: number): Watts {
    const history = this.#history;
    const block = this.#blockSteps;
    let [sum, count] = [0, 0];
    for (let step = now; step > now - steps; ) {
      if ((step + 1) % block === 0 && step - block >= now - steps) {
        const place = this.#block((step + 1) / block - 1);
        sum += this.#blockSums[place] as number;
        count += this.#blockCounts[place] as number;
        step -= block;
        continue;
      }
      const value = history.at(step--);
      if (Number.isNaN(value)) continue;
      sum += value;
      count++;
    }
    return count === 0 ? Number.NaN : sum / count;
  }

  /** Where the sum of a finished block of steps is. */
  #block(block: number): number {
    const place = block % this.#blocks.length;
    if (this.#blocks[place] !== block) {
      let [sum, count] = [0, 0];
      for (let step = block * this.#blockSteps; step < (block + 1) * this.#blockSteps; step++) {
        const value = this.#history.at(step);
        if (Number.isNaN(value)) continue;
        sum += value;
        count++;
      }
      this.#blocks[place] = block;
      this.#blockSums[place] = sum;
      this.#blockCounts[place] = count;
    }
    return place;
  }

  /** Spread, least and most of the last eight steps. */
  #recentShape(now: number): [number, number, number] {
    let [sum, square, count, least, most] = [0, 0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let step = now; step > now - 8; step--) {
      const value = this.#history.at(step);
      if (Number.isNaN(value)) continue;
      sum += value;
      square += value * value;
      count++;
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
    if (count === 0) return [Number.NaN, Number.NaN, Number.NaN];
    return [Math.sqrt(Math.max(0, square / count - (sum / count) ** 2)), least, most];
  }

  /** Mean share of the clear sky over the last steps. */
  #clearIndex(now: number, steps: number): number {
    let [made, possible] = [0, 0];
    for (let step = now; step > now - steps; step--) {
      const value = this.#history.at(step);
      if (Number.isNaN(value)) continue;
      const clear = this.#clear(step);
      if (!(clear > 0)) continue;
      made += value;
      possible += clear;
    }
    return possible > 0 ? made / possible : Number.NaN;
  }
}

/** A value with its neighbours, none later than `now`. */
function smooth(history: History, step: number, now: number): Watts {
  let [sum, weight] = [0, 0];
  for (const near of [-1, 0, 1]) {
    if (step + near > now) continue;
    const value = history.at(step + near);
    if (Number.isNaN(value)) continue;
    const share = near === 0 ? 2 : 1;
    sum += share * value;
    weight += share;
  }
  return weight === 0 ? Number.NaN : sum / weight;
}

/** Nothing unusual where nothing is known. */
function known(value: number): number {
  return Number.isNaN(value) ? 0 : value;
}
