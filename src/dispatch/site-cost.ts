// The cost of a site's whole plan with its battery used at best, kept so that a change of load in a few intervals is
// priced exactly by recomputing only those: cost up to each instant and cost from it on, by what is stored then.

import type { CostToGo } from './cost-to-go.ts';
import { type Adaptable, type Exchange, type Only, pricePerWhBelow } from './exchange.ts';
import { type Sliced, Work } from './slices.ts';
import { isAtLimit } from './taper.ts';
import {
  acWh,
  type Choices,
  choicesOf,
  decide,
  leastTotal,
  type Storage,
  stepBack,
  stepForward,
  valueAbove,
  valueBelow,
} from './value.ts';

/** A site without a battery: the same arithmetic over nothing stored. */
const NO_STORAGE: Storage = {
  lowWh: 0,
  highWh: 0,
  chargeAcWh: 0,
  dischargeAcWh: 0,
  chargeEfficiency: 1,
  dischargeEfficiency: 1,
  standingLossWh: 0,
  wearUcPerWh: 0,
  exports: true,
  chargesFromGrid: true,
  tapers: null,
};

const NOTHING_WH = 1e-6;
/** Energy by which a price is found where it follows from nothing simpler; whoever adds energy adds no less. */
const PROBED_WH = 1;
/** A smaller saving is none. */
const SAVING_UC = 1e-3;
/** A step within limits by what is stored takes as long as so many others. */
const TAPERED_WORK = 5;
/** Two functions with segments this close are the same but for a constant. */
const SAME_WH = 1e-7;

/**
 * Costs before each interval, kept in one direction. A change in one interval makes those behind it out of date; where the new
 * function is the old one but for a constant (a full or an empty store forgets), the rest only moves by that constant.
 */
class Chain {
  costs: CostToGo[];
  /** Entries up to this one are right; the next one follows from it by a step. */
  #valid = 0;
  /** Steps whose interval has changed since their result was made. */
  #changed: boolean[];
  /** What the results ahead that are not `changed` must be moved by; null: the function itself has changed. */
  #moveUc: number | null = 0;
  readonly #step: (from: CostToGo, i: number) => CostToGo;

  constructor(first: CostToGo, count: number, step: (from: CostToGo, i: number) => CostToGo) {
    this.costs = [first];
    this.#changed = new Array<boolean>(count).fill(true);
    this.#step = step;
  }

  /** The function after `count` steps. */
  at(count: number): CostToGo {
    while (this.#valid < count) {
      const i = this.#valid;
      const old = this.costs[i + 1];
      if (this.#changed[i] || this.#moveUc === null || old === undefined) {
        const next = this.#step(this.costs[i]!, i);
        this.costs[i + 1] = next;
        this.#changed[i] = false;
        this.#moveUc = old !== undefined && sameShape(old, next) ? next.costAtLowUc - old.costAtLowUc : null;
      } else if (this.#moveUc !== 0) {
        this.costs[i + 1] = { ...old, costAtLowUc: old.costAtLowUc + this.#moveUc };
      }
      this.#valid++;
    }
    return this.costs[count]!;
  }

  /** Gives back a way to what is known now. */
  remember(): () => void {
    const costs = this.costs.slice();
    const changed = this.#changed.slice();
    const [valid, moveUc] = [this.#valid, this.#moveUc];
    return () => {
      this.costs = costs;
      this.#changed = changed;
      this.#valid = valid;
      this.#moveUc = moveUc;
    };
  }

  /** Interval of step `i` has changed. */
  change(i: number): void {
    this.#changed[i] = true;
    if (this.#valid <= i) return;
    // What was still to be carried on is lost: it begins anew from there.
    if (this.#moveUc !== 0 && this.#valid < this.#changed.length) this.#changed[this.#valid] = true;
    this.#valid = i;
    this.#moveUc = 0;
  }
}

function sameShape(a: CostToGo, b: CostToGo): boolean {
  const n = a.values.length;
  if (n !== b.values.length || Math.abs(a.lowWh - b.lowWh) > SAME_WH) return false;
  for (let i = 0; i < n; i++) {
    if (a.values[i] !== b.values[i] || Math.abs(a.widthsWh[i]! - b.widthsWh[i]!) > SAME_WH) return false;
  }
  return true;
}

export class SiteCost {
  readonly #storage: Storage;
  readonly #storedWh: number;
  readonly #exchanges: Exchange[];
  /** Consumption less generation of each interval with what was added. */
  readonly #netWh: Float64Array;
  readonly #choices: Choices[];
  readonly #only: Only[];
  readonly #upTo: Chain;
  readonly #from: Chain;
  readonly #stepWork: number;
  /** Steps of dynamic programming made so far: how long planning takes, the same on every machine. */
  readonly work: Work;
  /** As they were last asked for; null when something has changed since. */
  #prices: Float64Array | null = null;

  constructor(
    exchanges: readonly Exchange[],
    storage: Storage | null,
    storedWh: number,
    end: CostToGo,
    work = new Work(),
  ) {
    this.work = work;
    // Tapers that cannot be followed in both directions count only when the battery is planned around the loads.
    const usable = storage?.tapers?.backwards === null ? { ...storage, tapers: null } : (storage ?? NO_STORAGE);
    const choices = exchanges.map((x) => choicesOf(usable, x));
    const n = exchanges.length;
    const start = { lowWh: storage === null ? 0 : storedWh, costAtLowUc: 0, values: [], widthsWh: [] };
    this.#storage = usable;
    this.#storedWh = start.lowWh;
    this.#exchanges = exchanges.slice();
    this.#netWh = Float64Array.from(exchanges, ({ netWh }) => netWh);
    this.#choices = choices;
    this.#only = exchanges.map(() => 'charge');
    this.#stepWork = usable.tapers === null ? 1 : TAPERED_WORK;
    this.#upTo = new Chain(start, n, (before, i) => this.#forward(before, choices[i]!));
    this.#from = new Chain(end, n, (after, i) => {
      work.add(this.#stepWork);
      return stepBack(after, choices[n - 1 - i]!, usable);
    });
  }

  #forward(before: CostToGo, choices: Choices): CostToGo {
    this.work.add(this.#stepWork);
    return stepForward(before, choices, this.#storage);
  }

  /** What the next Wh of consumption costs in each interval: no energy added there or elsewhere will ever cost less. */
  nextPrices(): Float64Array {
    this.#prices ??= this.#pricesNow();
    return this.#prices.slice();
  }

  #pricesNow(): Float64Array {
    const storage = this.#storage;
    const prices = new Float64Array(this.#exchanges.length);
    this.work.add(prices.length);
    let storedWh = this.#storedWh;
    for (let t = 0; t < prices.length; t++) {
      const x = this.#exchanges[t]!;
      const after = this.#after(t + 1);
      const choices = this.#choices[t]!;
      const { withdrawnWh, storedEndWh } = decide(after, choices, storage, storedWh);
      prices[t] = pricePerWhBelow(x, acWh(storage, withdrawnWh) - this.#netWh[t]!);
      const mayGive = !choices.either || withdrawnWh < -NOTHING_WH || this.#only[t] === 'discharge';
      if (mayGive && withdrawnWh < storage.dischargeAcWh / storage.dischargeEfficiency - NOTHING_WH) {
        // A Wh more from the store is one more from before or one less for later.
        const valueUcPerWh = Math.min(-valueAbove(this.#upTo.at(t), storedWh), valueBelow(after, storedEndWh));
        const discharging = withdrawnWh > -NOTHING_WH;
        const fromStore = discharging
          ? (valueUcPerWh + storage.wearUcPerWh) / storage.dischargeEfficiency
          : (valueUcPerWh - storage.wearUcPerWh) * storage.chargeEfficiency;
        prices[t] = Math.min(prices[t]!, fromStore);
      }
      // At such a limit the store gives more if it holds more, which its value on either side does not tell.
      if (storage.tapers !== null && isAtLimit(storage.tapers, storedWh, withdrawnWh))
        prices[t] = Math.min(prices[t]!, (this.totalWith(t, [PROBED_WH]) - this.total()) / PROBED_WH);
      storedWh = storedEndWh;
    }
    return prices;
  }

  /** Finds out where prices below zero whether charging or discharging is better: turns one after the other while that saves. */
  *settleEither(): Sliced<void> {
    for (let better = true; better; ) {
      better = false;
      for (let t = 0; t < this.#choices.length; t++) {
        if (!this.#choices[t]!.either) continue;
        if (this.work.isPauseDue()) yield;
        const only = this.#only[t] === 'discharge' ? 'charge' : 'discharge';
        const turned = choicesOf(this.#storage, this.#exchanges[t]!, this.#netWh[t], only);
        const before = this.total();
        if (leastTotal(this.#forward(this.#upTo.at(t), turned), this.#after(t + 1)) >= before - SAVING_UC) continue;
        this.#only[t] = only;
        this.#choices[t] = turned;
        this.#changed(t);
        better = true;
      }
    }
  }

  /** For each interval which of the two the battery may do, where it matters. */
  only(): readonly (Only | undefined)[] {
    return this.#choices.map(({ either }, t) => (either ? this.#only[t] : undefined));
  }

  #changed(t: number): void {
    this.#prices = null;
    this.#upTo.change(t);
    this.#from.change(this.#exchanges.length - 1 - t);
  }

  /** Least cost as things stand. */
  total(): number {
    return leastTotal(this.#upTo.at(0), this.#after(0));
  }

  /** Least cost if consumption from interval `t` on were larger by these energies. */
  totalWith(t: number, moreWh: readonly number[]): number {
    let upTo = this.#upTo.at(t);
    for (let i = 0; i < moreWh.length; i++) {
      const more = moreWh[i]!;
      const at = t + i;
      const choices =
        more === 0
          ? this.#choices[at]!
          : choicesOf(this.#storage, this.#exchanges[at]!, this.#netWh[at]! + more, this.#only[at]);
      upTo = this.#forward(upTo, choices);
    }
    return leastTotal(upTo, this.#after(t + moreWh.length));
  }

  /** Makes consumption larger from interval `t` on. */
  add(t: number, moreWh: readonly number[]): void {
    for (let i = 0; i < moreWh.length; i++) {
      const more = moreWh[i]!;
      if (more === 0) continue;
      const at = t + i;
      this.#netWh[at]! += more;
      this.#choices[at] = choicesOf(this.#storage, this.#exchanges[at]!, this.#netWh[at], this.#only[at]);
      this.#changed(at);
    }
  }

  /** Consumption that may be or not be in an interval, instead of what was told before. */
  adapt(t: number, adaptable: readonly Adaptable[]): void {
    const { adaptable: _before, ...x } = this.#exchanges[t]!;
    this.#exchanges[t] = adaptable.length === 0 ? x : { ...x, adaptable };
    this.#choices[t] = choicesOf(this.#storage, this.#exchanges[t]!, this.#netWh[t], this.#only[t]);
    this.#changed(t);
  }

  /** Least cost up to an instant, and from it on, by what is stored then. */
  upTo(t: number): CostToGo {
    return this.#upTo.at(t);
  }

  from(t: number): CostToGo {
    return this.#after(t);
  }

  /** Cost up to an interval's end from the cost up to its begin, with more consumption in it and none that may be or not be. */
  stepWith(t: number, moreWh: number): (before: CostToGo) => CostToGo {
    const { adaptable: _without, ...x } = this.#exchanges[t]!;
    const choices = choicesOf(this.#storage, x, this.#netWh[t]! + moreWh, this.#only[t]);
    return (before) => this.#forward(before, choices);
  }

  /** Gives back a way (to be gone once) to how things stand now, without computing them again. */
  remember(): () => void {
    const netWh = this.#netWh.slice();
    const exchanges = this.#exchanges.slice();
    const choices = this.#choices.slice();
    const only = this.#only.slice();
    const ways = [this.#upTo.remember(), this.#from.remember()];
    const prices = this.#prices;
    return () => {
      this.#prices = prices;
      this.#netWh.set(netWh);
      for (let t = 0; t < choices.length; t++) {
        this.#choices[t] = choices[t]!;
        this.#only[t] = only[t]!;
        this.#exchanges[t] = exchanges[t]!;
      }
      for (const back of ways) back();
    };
  }

  /** Cost from before interval `t` on. */
  #after(t: number): CostToGo {
    return this.#from.at(this.#exchanges.length - t);
  }
}
