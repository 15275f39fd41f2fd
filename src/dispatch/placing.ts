// Powers of one load while it is being placed: which steps it takes next, which move, which are given back. Every candidate is
// priced exactly (site-cost.ts); since a load's next Wh never becomes cheaper by more load elsewhere, an old price is a bound and
// few are asked twice. What is done with a load as a whole is placement.ts.

import { type EnergyLoad, type PlanLoad, type Span, spanOf } from './equipment.ts';
import { cheapestLevels } from './knapsack.ts';
import type { LoadPlan, PlanInput } from './plan-types.ts';
import { bestRuns } from './runs.ts';
import type { SiteCost } from './site-cost.ts';
import type { Sliced } from './slices.ts';

/** Less than this missing is enough. */
export const ENOUGH_WH = 1e-6;
/** Runs of a load are taken out and placed anew this often, unless it has more runs than that. */
const RUN_TRIES_MAX = 3;
const RUNS_MOVED_MAX = 12;
/** Price of an interval in which a load shall not run. */
const BANNED_UC = 1e15;
/** Steps moved at most when a load is balanced anew. */
const STEPS_MOVED_MAX = 12;
/** A smaller saving is none. */
export const WORTH_MOVE_UC = 1;
/** Times that a load's runs are found anew from the prices that its last runs made. */
const REPRICE_TRIES_MAX = 6;

/** Without least times the cheapest steps are the best ones; least times make single steps depend on each other. */
export function movesFreely(load: PlanLoad, input: PlanInput): load is EnergyLoad {
  return load.kind === 'energy' && load.minOnMs <= input.intervalMs && load.minOffMs <= input.intervalMs;
}

/** One more step of a load: from interval `from`, each of `length` intervals one power higher. */
interface Candidate {
  readonly from: number;
  readonly length: number;
  /** Cost of each Wh as it was last asked: a bound from below afterwards. */
  priceUcPerWh: number;
}

/** Powers of one load while it is being placed, with what it still needs. */
export class Placement {
  readonly #load: EnergyLoad;
  readonly #free: boolean;
  readonly #cost: SiteCost;
  readonly #hours: number;
  readonly #span: Span;
  readonly #block: number;
  readonly #pause: number;
  readonly #carriedOn: number;
  readonly #carriedOff: number;
  /** Power level in each interval: 0 is off, k the k-th power. */
  levels: number[];
  leftWh: number;
  /** Prices of steps as they were last asked, and of a next Wh at any time when filling began: bounds from below. */
  readonly #known = new Map<number, Candidate>();
  #prices: Float64Array | null = null;
  /** Interval that takes no step now, and one that a load with least times has to take; -1: none. */
  banned = -1;
  wanted = -1;

  /** Nothing placed yet, or what `cost` holds of the load already. */
  constructor(load: EnergyLoad, input: PlanInput, cost: SiteCost, placed: LoadPlan | null = null) {
    this.#load = load;
    this.#free = movesFreely(load, input);
    this.#cost = cost;
    this.#hours = input.intervalMs / 3_600_000;
    this.#span = spanOf(load, input);
    this.#block = Math.max(1, Math.ceil(load.minOnMs / input.intervalMs));
    this.#pause = Math.max(1, Math.ceil(load.minOffMs / input.intervalMs));
    this.levels = input.intervals.map(() => 0);
    this.leftWh = load.needWh;
    // A load that is on stays on for the rest of its least time; one that is off stays off for the rest of its own.
    const stoodMs = input.intervals[0]!.startMs - load.sinceMs;
    const restOf = (leastMs: number): number => Math.max(0, Math.ceil((leastMs - stoodMs) / input.intervalMs));
    this.#carriedOn = load.on ? Math.min(restOf(load.minOnMs), this.#span.end) : 0;
    this.#carriedOff = load.on ? 0 : restOf(load.minOffMs);
    if (placed === null) for (let t = 0; t < this.#carriedOn; t++) this.#raise(t, 1);
    else {
      this.levels = placed.powersW.map((powerW) => 1 + load.powersW.indexOf(powerW));
      this.leftWh -= placed.powersW.reduce((sum, powerW) => sum + powerW * this.#hours, 0);
    }
  }

  powerOf(level: number): number {
    return level === 0 ? 0 : this.#load.powersW[level - 1]!;
  }

  /** Takes the cheapest step; false when the need is met or nothing more fits. */
  *next(): Sliced<boolean> {
    if (this.leftWh <= ENOUGH_WH) return false;
    if (this.#free) return yield* this.#nextStep();
    this.#prices ??= this.#cost.nextPrices();
    const known = this.#known;
    const width = this.levels.length + 1;
    const candidates: Candidate[] = [];
    for (let from = this.#span.first; from < this.#span.end; from++) {
      for (const length of this.#lengthsAt(from)) {
        // Which steps are possible changes with each step taken; prices of those that stay are kept as bounds.
        const key = from * width + length;
        let candidate = known.get(key);
        if (candidate === undefined) {
          candidate = { from, length, priceUcPerWh: this.#boundOf(from, length) };
          known.set(key, candidate);
        }
        candidates.push(candidate);
      }
    }
    const baseline = this.#cost.total();
    let best: Candidate | null = null;
    for (;;) {
      // The least bound that may still be below the best price: the steps asked already are not below it.
      let least: Candidate | null = best;
      for (const candidate of candidates)
        if (least === null || candidate.priceUcPerWh < least.priceUcPerWh) least = candidate;
      if (least === best || least === null) break;
      if (this.#cost.work.isPauseDue()) yield;
      const boundUcPerWh = least.priceUcPerWh;
      least.priceUcPerWh = Math.max(boundUcPerWh, this.#priceOf(least, baseline));
      if (best === null || least.priceUcPerWh < best.priceUcPerWh) best = least;
    }
    if (best === null) return false;
    this.#raise(best.from, best.length);
    known.delete(best.from * width + best.length);
    return true;
  }

  mayGain(prices: Float64Array): boolean {
    const powersW = this.#load.powersW;
    if (!this.#free) {
      if (powersW.length > 1 || this.leftWh > ENOUGH_WH) return true;
      const pattern = this.#patternAt(prices.map((price) => price * powersW[0]! * this.#hours));
      const costOf = (levels: readonly number[]): number =>
        levels.reduce((sum, level, t) => sum + level * prices[t]! * powersW[0]! * this.#hours, 0);
      return pattern === null || costOf(pattern) < costOf(this.levels) - WORTH_MOVE_UC;
    }
    let dearest = Number.NEGATIVE_INFINITY;
    let cheapest = Number.POSITIVE_INFINITY;
    for (let t = this.#carriedOn; t < this.levels.length; t++) {
      if (this.levels[t]! > 0) dearest = Math.max(dearest, prices[t]!);
      if (this.#isOpen(t)) cheapest = Math.min(cheapest, prices[t]!);
    }
    return (dearest - cheapest) * powersW[0]! * this.#hours > WORTH_MOVE_UC;
  }

  /** Whether an interval can take a step more; without least times. */
  #isOpen(t: number): boolean {
    const inSpan = t >= this.#span.first && t < this.#span.end && t >= this.#carriedOff;
    return inSpan && t !== this.banned && this.levels[t]! < this.#load.powersW.length;
  }

  /** The best pattern of runs of so many intervals for the price of each interval. */
  #patternAt(
    pricesUc: ArrayLike<number>,
    count = this.levels.reduce((sum, level) => sum + Math.min(1, level), 0),
    least = count,
  ): number[] | null {
    const rules = {
      first: this.#span.first,
      end: this.#span.end,
      block: this.#block,
      pause: this.#pause,
      carriedOn: this.#carriedOn,
      carriedOff: this.#carriedOff,
      on: this.#load.on,
    };
    return bestRuns(pricesUc, count, rules, least);
  }

  /** The step that saves most is taken out and put where it costs least, for as long as that saves. */
  *rebalance(): Sliced<void> {
    for (let tries = 0; tries < STEPS_MOVED_MAX; tries++) {
      if (this.#cost.work.isPauseDue()) yield;
      const prices = this.#cost.nextPrices();
      let cheapest = Number.POSITIVE_INFINITY;
      for (let t = this.#span.first; t < this.#span.end; t++) {
        if (this.#isOpen(t)) cheapest = Math.min(cheapest, prices[t]!);
      }
      const before = this.#cost.total();
      let from = -1;
      let mostUcPerWh = Number.NEGATIVE_INFINITY;
      for (let t = this.#carriedOn; t < this.levels.length; t++) {
        // Moving a step saves at most what the prices of the next Wh differ by.
        if (this.levels[t] === 0 || prices[t]! <= cheapest) continue;
        const energyWh = this.#lastStepWh(t);
        const savedUcPerWh = (before - this.#cost.totalWith(t, [-energyWh])) / energyWh;
        if (savedUcPerWh <= mostUcPerWh) continue;
        mostUcPerWh = savedUcPerWh;
        from = t;
      }
      if (from < 0) return;
      const back = this.#remember();
      this.#lower(from);
      while (yield* this.next()) {}
      if (this.#cost.total() < before - WORTH_MOVE_UC) continue;
      back();
      return;
    }
  }

  /** Takes a step out of an interval and puts it where else it costs least. */
  *moveAway(t: number): Sliced<void> {
    this.#lower(t);
    this.banned = t;
    while (yield* this.next()) {}
    this.banned = -1;
  }

  #lower(t: number): void {
    this.#set(this.levels.map((level, i) => (i === t ? level - 1 : level)));
    this.#forget();
  }

  /** The same without least times: one step in one interval, nothing depends on what is beside it. */
  *#nextStep(): Sliced<boolean> {
    this.#prices ??= this.#cost.nextPrices();
    const prices = this.#prices;
    const baseline = this.#cost.total();
    let best = -1;
    let bestPrice = Number.POSITIVE_INFINITY;
    for (;;) {
      let least = -1;
      let leastPrice = bestPrice;
      for (let t = this.#span.first; t < this.#span.end; t++) {
        if (!this.#isOpen(t)) continue;
        const energyWh = this.#stepWh(t);
        const price = (prices[t]! * energyWh) / Math.min(energyWh, this.leftWh);
        if (price >= leastPrice) continue;
        leastPrice = price;
        least = t;
      }
      if (least < 0) break;
      if (this.#cost.work.isPauseDue()) yield;
      const energyWh = this.#stepWh(least);
      const costUc = this.#cost.totalWith(least, [energyWh]) - baseline;
      // Never below its bound again: what was asked is not asked twice.
      prices[least] = Math.max(prices[least]!, costUc / energyWh);
      const price = (prices[least]! * energyWh) / Math.min(energyWh, this.leftWh);
      if (price >= bestPrice) continue;
      bestPrice = price;
      best = least;
    }
    if (best < 0) return false;
    this.#raise(best, 1);
    return true;
  }

  /** Energy of one power more in an interval. */
  #stepWh(t: number): number {
    const level = this.levels[t]!;
    return (this.powerOf(level + 1) - this.powerOf(level)) * this.#hours;
  }

  /** Energy of the power that would go first. */
  #lastStepWh(t: number): number {
    const level = this.levels[t]!;
    return (this.powerOf(level) - this.powerOf(level - 1)) * this.#hours;
  }

  /** What is placed, improved as far as this load alone allows. */
  *finish(): Sliced<LoadPlan> {
    if (!this.#free) {
      if (this.#load.powersW.length > 1) yield* this.improve();
      yield* this.reprice();
    } else while (this.leftWh < -ENOUGH_WH && (yield* this.#trim())) {}
    const powersW = this.levels.map((level) => this.powerOf(level));
    return { id: this.#load.id, powersW, met: this.leftWh <= ENOUGH_WH };
  }

  /** Without least times: all steps anew as if each interval had its own cost, for as long as that saves. */
  *again(): Sliced<void> {
    while (this.#allAnew()) if (this.#cost.work.isPauseDue()) yield;
  }

  #allAnew(): boolean {
    const before = this.#cost.total();
    const powersW = [0, ...this.#load.powersW];
    const energiesWh = powersW.map((powerW) => powerW * this.#hours);
    const costsUc = this.levels.map((level, t) =>
      energiesWh.map((energyWh, k) => {
        if (k === level) return 0;
        const mayChange = t >= Math.max(this.#span.first, this.#carriedOff) && t < this.#span.end && t !== this.banned;
        if (!mayChange || (k === 0 && t < this.#carriedOn)) return Number.POSITIVE_INFINITY;
        return this.#cost.totalWith(t, [energyWh - energiesWh[level]!]) - before;
      }),
    );
    const needWh = this.#load.needWh - Math.max(0, this.leftWh);
    // Prices below zero are no reason to run on.
    const mostWh = this.#load.needWh - Math.min(0, this.leftWh);
    const levels = cheapestLevels(costsUc, energiesWh, needWh, mostWh);
    if (levels === null) return false;
    const back = this.#remember();
    this.#set(levels);
    this.#forget();
    const isMore = this.leftWh < this.#load.needWh - mostWh - ENOUGH_WH;
    if (!isMore && this.#cost.total() < before - WORTH_MOVE_UC) return true;
    back();
    return false;
  }

  /** What is taken beyond the need, less: a step is left out, or a larger one for a smaller one elsewhere. False: nothing is saved by that. */
  *#trim(): Sliced<boolean> {
    if (this.#cost.work.isPauseDue()) yield;
    const before = this.#cost.total();
    const prices = this.#cost.nextPrices();
    /** By energy of a step: where it costs most now, and where a further one costs least. */
    const dearest = new Map<number, { readonly t: number; readonly savedUc: number }>();
    const cheapest = new Map<number, { readonly t: number; readonly priceUcPerWh: number }>([
      [0, { t: -1, priceUcPerWh: 0 }],
    ]);
    for (let t = this.#carriedOn; t < this.levels.length; t++) {
      if (this.levels[t]! > 0) {
        const energyWh = this.#lastStepWh(t);
        const savedUc = before - this.#cost.totalWith(t, [-energyWh]);
        if (savedUc > (dearest.get(energyWh)?.savedUc ?? Number.NEGATIVE_INFINITY))
          dearest.set(energyWh, { t, savedUc });
      }
      if (!this.#isOpen(t)) continue;
      const energyWh = this.#stepWh(t);
      if (prices[t]! < (cheapest.get(energyWh)?.priceUcPerWh ?? Number.POSITIVE_INFINITY))
        cheapest.set(energyWh, { t, priceUcPerWh: prices[t]! });
    }
    const swaps = [...dearest].flatMap(([lessWh, less]) =>
      [...cheapest].flatMap(([moreWh, more]) => {
        const fits = lessWh > moreWh && lessWh - moreWh <= ENOUGH_WH - this.leftWh && less.t !== more.t;
        return fits ? [{ from: less.t, to: more.t, savedUc: less.savedUc - moreWh * more.priceUcPerWh }] : [];
      }),
    );
    swaps.sort((a, b) => b.savedUc - a.savedUc);
    for (const { from, to } of swaps) {
      const back = this.#remember();
      this.#set(this.levels.map((level, t) => level + Number(t === to) - Number(t === from)));
      this.#forget();
      if (this.#cost.total() < before - WORTH_MOVE_UC) return true;
      back();
    }
    return false;
  }

  /** Takes each run out and places it anew, for as long as that saves. */
  *improve(): Sliced<void> {
    for (let tries = 0; tries < RUN_TRIES_MAX; tries++) {
      let better = false;
      for (const run of this.#runs()) {
        const before = this.#cost.total();
        const back = this.#remember();
        const leftWh = this.leftWh;
        this.#set(this.levels.map((level, t) => (t >= run.first && t < run.end ? 0 : level)));
        this.#forget();
        while (yield* this.next()) {}
        if (this.leftWh <= Math.max(leftWh, ENOUGH_WH) && this.#cost.total() < before - WORTH_MOVE_UC) better = true;
        else back();
      }
      if (!better) return;
    }
  }

  /** Loads with long runs: the best pattern of runs for the present price of each interval, for as long as that saves. */
  *reprice(): Sliced<void> {
    if (this.#load.powersW.length > 1 || this.leftWh > ENOUGH_WH) return;
    const energyWh = this.powerOf(1) * this.#hours;
    for (let tries = 0; tries < REPRICE_TRIES_MAX; tries++) {
      if (this.#cost.work.isPauseDue()) yield;
      if (this.banned < 0 && this.wanted < 0 && !this.mayGain(this.#cost.nextPrices())) return;
      const before = this.#cost.total();
      const levels = this.levels;
      // With the whole load on, adding tells little: prices are taken as between one more and one less. Outside its time none counts.
      const pricesUc = levels.map((level, t) => {
        if (level > 0) return before - this.#cost.totalWith(t, [-energyWh]);
        const isInside = t >= this.#span.first && t < this.#span.end;
        return isInside ? this.#cost.totalWith(t, [energyWh]) - before : BANNED_UC;
      });
      if (this.banned >= 0) pricesUc[this.banned] = BANNED_UC;
      if (this.wanted >= 0) pricesUc[this.wanted] = -BANNED_UC;
      const pattern = this.#patternAt(pricesUc);
      if (pattern === null) return;
      const back = this.#remember();
      this.#set(pattern);
      if (this.#cost.total() < before - WORTH_MOVE_UC) continue;
      back();
      return;
    }
  }

  /** A single power: as many intervals as are needed, in the runs that cost least at the prices of the next Wh. False: it does not fit so. */
  placeRuns(): boolean {
    if (this.#free || this.#load.powersW.length > 1) return false;
    const energyWh = this.powerOf(1) * this.#hours;
    const least = Math.max(this.#block, Math.ceil(this.#load.needWh / energyWh - 1e-9), this.#carriedOn);
    // A run that must go on for a while need not be the one that goes on until the need is met.
    const most = this.#carriedOn > 0 ? least + this.#block - 1 : least;
    const prices = this.#cost.nextPrices();
    if (this.banned >= 0) prices[this.banned] = BANNED_UC;
    if (this.wanted >= 0) prices[this.wanted] = -BANNED_UC;
    const pattern = this.#patternAt(prices, most, least);
    if (pattern === null) return false;
    this.#set(pattern);
    return true;
  }

  /** Gives back a way to how things stand now. */
  #remember(): () => void {
    const back = this.#cost.remember();
    const [levels, leftWh] = [this.levels.slice(), this.leftWh];
    return () => {
      back();
      this.levels = levels;
      this.leftWh = leftWh;
    };
  }

  #runs(): Span[] {
    const runs: Span[] = [];
    for (let t = this.#carriedOn; t < this.levels.length; t++) {
      if (this.levels[t] === 0) continue;
      const first = t;
      while (t < this.levels.length && this.levels[t]! > 0) t++;
      runs.push({ first, end: t });
    }
    return runs.length > RUNS_MOVED_MAX ? [] : runs;
  }

  #set(levels: readonly number[]): void {
    const moreWh = levels.map((level, t) => (this.powerOf(level) - this.powerOf(this.levels[t]!)) * this.#hours);
    this.#cost.add(0, moreWh);
    for (const [t, level] of levels.entries()) this.levels[t] = level;
    this.leftWh -= moreWh.reduce((sum, wh) => sum + wh, 0);
  }

  #energies(from: number, length: number): number[] {
    const moreWh: number[] = [];
    for (let t = from; t < from + length; t++) {
      moreWh.push((this.powerOf(this.levels[t]! + 1) - this.powerOf(this.levels[t]!)) * this.#hours);
    }
    return moreWh;
  }

  #raise(from: number, length: number): void {
    const moreWh = this.#energies(from, length);
    this.#cost.add(from, moreWh);
    for (let t = from; t < from + length; t++) this.levels[t]!++;
    this.leftWh -= moreWh.reduce((sum, wh) => sum + wh, 0);
  }

  #priceOf({ from, length }: Candidate, baseline: number): number {
    const moreWh = this.#energies(from, length);
    const energyWh = moreWh.reduce((sum, wh) => sum + wh, 0);
    return (this.#cost.totalWith(from, moreWh) - baseline) / Math.min(energyWh, this.leftWh);
  }

  #boundOf(from: number, length: number): number {
    const moreWh = this.#energies(from, length);
    let costUc = 0;
    for (let i = 0; i < length; i++) costUc += moreWh[i]! * this.#prices![from + i]!;
    const energyWh = moreWh.reduce((sum, wh) => sum + wh, 0);
    return costUc / Math.min(energyWh, this.leftWh);
  }

  /** Load has been taken away: what was known is no bound any more. */
  #forget(): void {
    this.#known.clear();
    this.#prices = null;
  }

  #isOn(t: number): boolean {
    return t < 0 ? this.#load.on : t < this.levels.length && this.levels[t]! > 0;
  }

  /** How many intervals from `from` on may rise by one power: one more of a run, or a new run of its least or its whole length. */
  #lengthsAt(from: number): number[] {
    const level = this.levels[from]!;
    if (from === this.banned) return [];
    if (level > 0) return level < this.#load.powersW.length ? [1] : [];
    if (from < this.#carriedOff) return [];
    const joinsBefore = this.#isOn(from - 1);
    if (!joinsBefore) for (let t = from - 1; t >= Math.max(-1, from - this.#pause); t--) if (this.#isOn(t)) return [];
    if (joinsBefore || this.#isOn(from + 1)) return this.#endsWell(from, from + 1) ? [1] : [];
    if (this.#block === 1) return this.#endsWell(from, from + 1) ? [1] : [];
    const whole = Math.ceil((this.leftWh - ENOUGH_WH) / (this.powerOf(1) * this.#hours));
    const lengths = whole > this.#block ? [this.#block, whole] : [this.#block];
    return lengths.filter((length) => this.#endsWell(from, from + length));
  }

  /** Whether a new stretch stays within the span and leaves the next run alone, or joins it. */
  #endsWell(from: number, until: number): boolean {
    if (until > this.#span.end) return false;
    if (from <= this.banned && this.banned < until) return false;
    for (let t = from + 1; t < until; t++) if (this.#isOn(t)) return false;
    if (this.#isOn(until)) return true;
    for (let t = until; t < until + this.#pause; t++) if (this.#isOn(t)) return false;
    return true;
  }
}
