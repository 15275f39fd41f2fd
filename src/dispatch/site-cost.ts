// The cost of a site's whole plan with its battery used at best, kept so that a change of load in a few intervals is
// priced exactly by recomputing only those: cost up to each instant and cost from it on, by what is stored then.

import {
  type Choices,
  type CostToGo,
  choicesOf,
  type Exchange,
  leastTotal,
  type Storage,
  stepBack,
  stepForward,
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
};

export class SiteCost {
  readonly #storage: Storage;
  readonly #exchanges: Exchange[];
  readonly #choices: Choices[];
  /** Cost before interval t: up to it, and from it on. Entries from `#upToValid` on, and below `#fromValid`, are out of date. */
  readonly #upTo: CostToGo[];
  readonly #from: CostToGo[];
  #upToValid: number;
  #fromValid: number;

  constructor(exchanges: readonly Exchange[], storage: Storage | null, storedWh: number, end: CostToGo) {
    this.#storage = storage ?? NO_STORAGE;
    this.#exchanges = [...exchanges];
    this.#choices = exchanges.map((x) => choicesOf(this.#storage, x));
    const start = { lowWh: storage === null ? 0 : storedWh, costAtLowUc: 0, values: [], widthsWh: [] };
    this.#upTo = [start];
    this.#from = new Array<CostToGo>(exchanges.length + 1);
    this.#from[exchanges.length] = end;
    this.#upToValid = 0;
    this.#fromValid = exchanges.length;
  }

  /** Least cost as things stand. */
  total(): number {
    return leastTotal(this.#before(0), this.#after(0));
  }

  /** Least cost if consumption from interval `t` on were larger by these energies. */
  totalWith(t: number, moreWh: readonly number[]): number {
    let upTo = this.#before(t);
    for (const [i, more] of moreWh.entries()) {
      const x = this.#exchanges[t + i]!;
      const choices = more === 0 ? this.#choices[t + i]! : choicesOf(this.#storage, x, x.netWh + more);
      upTo = stepForward(upTo, choices, this.#storage);
    }
    return leastTotal(upTo, this.#after(t + moreWh.length));
  }

  /** Makes consumption larger from interval `t` on. */
  add(t: number, moreWh: readonly number[]): void {
    for (const [i, more] of moreWh.entries()) {
      if (more === 0) continue;
      const x = this.#exchanges[t + i]!;
      this.#exchanges[t + i] = { ...x, netWh: x.netWh + more };
      this.#choices[t + i] = choicesOf(this.#storage, this.#exchanges[t + i]!);
      this.#upToValid = Math.min(this.#upToValid, t + i);
      this.#fromValid = Math.max(this.#fromValid, t + i + 1);
    }
  }

  #before(t: number): CostToGo {
    while (this.#upToValid < t) {
      const i = this.#upToValid++;
      this.#upTo[i + 1] = stepForward(this.#upTo[i]!, this.#choices[i]!, this.#storage);
    }
    return this.#upTo[t]!;
  }

  #after(t: number): CostToGo {
    while (this.#fromValid > t) {
      const i = --this.#fromValid;
      this.#from[i] = stepBack(this.#from[i + 1]!, this.#choices[i]!, this.#storage);
    }
    return this.#from[t]!;
  }
}
