// Which load is placed when: each in turn at its own best (placement.ts), then some are taken up again together, and
// programs are tried at other times with the rest moving around them, for as long as that saves and work is left.

import { adaptFreely, adaptNoMore } from './adapting.ts';
import { type EnergyLoad, type Span, spanOf } from './equipment.ts';
import type { Exchange, Only } from './exchange.ts';
import { fillFreely } from './filling.ts';
import { mayGain, movesFreely, placeLoad, placeTogether, rebalance, WORTH_MOVE_UC } from './placement.ts';
import type { LoadPlan, PlanInput } from './plan-types.ts';
import { programFrom, programStarts } from './programs.ts';
import { SiteCost } from './site-cost.ts';
import type { CostToGo, Storage } from './value.ts';

/** Steps of dynamic programming after which no further improvement is begun. */
const WORK_MAX = 100_000;
/** Other starts of a program that are tried with the rest moving around it. */
const STARTS_TRIED = 6;

/** The same where filling what the others leave may save more than a share of the whole cost. */
const WORK_MOST = 300_000;
const WORTH_FILLING = 0.008;
/** How much more than its least worth a Wh is that is still needed, one after the other. */
const URGENCIES = [1.05, 1.2];
/** Other places of a load that are tried with those that move freely filling what is left. */
const ALTERNATIVES = 5;
/** Powers of all loads together that an interval may have while they fill. */
const COMBINATIONS_MAX = 40;

export interface LoadSchedule {
  readonly loads: readonly LoadPlan[];
  /** Whether the battery may charge or discharge in an interval where prices below zero would pay for both at once. */
  readonly only: readonly (Only | undefined)[];
}

/** Powers of each load in each interval of the plan, the battery used at best around them. */
export function scheduleLoads(
  input: PlanInput,
  exchanges: readonly Exchange[],
  storage: Storage | null,
  storedWh: number,
  end: CostToGo,
): LoadSchedule {
  const cost = new SiteCost(exchanges, storage, storedWh, end);
  cost.settleEither();
  if (input.loads.length === 0) return { loads: [], only: cost.only() };
  const schedule = new Schedule(input, cost);
  schedule.improve();
  return { loads: schedule.plans, only: cost.only() };
}

class Schedule {
  readonly plans: LoadPlan[];
  readonly #input: PlanInput;
  readonly #cost: SiteCost;
  readonly #hours: number;
  readonly #spans: readonly Span[];
  /** The least movable first. */
  readonly #order: readonly number[];
  #workMax = WORK_MAX;
  /** Those of them that are being placed. */
  #active: readonly number[];

  constructor(input: PlanInput, cost: SiteCost) {
    this.#input = input;
    this.#cost = cost;
    this.#hours = input.intervalMs / 3_600_000;
    this.#spans = input.loads.map((load) => spanOf(load, input));
    this.#order = input.loads.map((_, l) => l).sort((a, b) => this.#mobility(a) - this.#mobility(b));
    this.#active = this.#order;
    this.plans = input.loads.map(({ id }) => ({ id, powersW: input.intervals.map(() => 0), met: false }));
    this.#start(this.#order);
    this.#settle();
    for (const first of this.#order.slice(1)) {
      if (!this.#mayGoOn()) break;
      this.#tried(this.#order, () => {
        for (const l of this.#order) this.#take(l);
        this.#start([first, ...this.#order.filter((l) => l !== first)]);
        this.#settle();
      });
    }
  }

  #start(order: readonly number[]): void {
    for (const l of order) this.#place(l);
  }

  improve(): void {
    this.#search();
    for (const urgency of URGENCIES) {
      if (!this.#fill(urgency)) return;
      this.#search();
    }
  }

  /**
   * Loads that move freely make room for the others while these are placed, and fill what is left between them: all together, for one
   * placement of the others after the other. False: too little is to be won by it.
   */
  #fill(urgency: number): boolean {
    const freely = this.#fillable();
    const free = freely.map((l) => this.#input.loads[l] as EnergyLoad);
    const others = this.#order.filter((l) => !freely.includes(l));
    if (freely.length === 0) return false;
    let leastUc = this.#cost.total();
    let best = this.plans.slice();
    const seen = new Set<string>();
    const filled = (): boolean => {
      const key = others.map((l) => this.plans[l]!.powersW.join()).join(';');
      if (seen.has(key)) return false;
      seen.add(key);
      const plans = fillFreely(free, adapted.worthsUcPerWh, this.#input, this.#cost, leastUc - WORTH_MOVE_UC);
      if (plans === null) return false;
      best = this.plans.slice();
      for (const [i, l] of freely.entries()) best[l] = plans.plans[i]!;
      leastUc = plans.costUc;
      return true;
    };
    for (const l of freely) this.#take(l);
    let adapted = adaptFreely(free, this.#input, this.#cost, urgency);
    const isWorthIt = leastUc - adapted.boundUc > WORTH_FILLING * Math.abs(leastUc);
    if (isWorthIt) {
      this.#workMax = WORK_MOST;
      filled();
      this.#active = others;
      this.#settle();
      adapted = adaptFreely(free, this.#input, this.#cost, urgency);
      if (!filled()) for (const l of others) this.#replace(l, best[l]!);
    }
    for (let better = isWorthIt; better; ) {
      better = false;
      for (const l of others) {
        for (const plan of this.#alternatives(l)) {
          if (!this.#mayGoOn()) break;
          const before = this.plans[l]!;
          this.#replace(l, plan);
          if (filled()) better = true;
          else this.#replace(l, before);
        }
      }
    }
    adaptNoMore(this.#input, this.#cost);
    this.#active = this.#order;
    for (const l of others) this.#replace(l, best[l]!);
    for (const l of freely) this.#put(l, best[l]!);
    return isWorthIt;
  }

  /** Loads that move freely and can be filled together. */
  #fillable(): number[] {
    let combinations = 1;
    return this.#order.filter((l) => {
      const load = this.#input.loads[l]!;
      if (!movesFreely(load, this.#input) || !this.plans[l]!.met) return false;
      if (combinations * (load.powersW.length + 1) > COMBINATIONS_MAX) return false;
      combinations *= load.powersW.length + 1;
      return true;
    });
  }

  /** Other places of a load, the cheapest first. */
  #alternatives(l: number): LoadPlan[] {
    const load = this.#input.loads[l]!;
    const now = this.plans[l]!;
    this.#take(l);
    const found: { plan: LoadPlan; totalUc: number }[] = [];
    if (load.kind === 'program') {
      for (const { from, totalUc } of programStarts(load, this.#input, this.#cost, ALTERNATIVES))
        found.push({ plan: programFrom(load, this.#input, from), totalUc });
    } else {
      const banned = [-1, ...now.powersW.flatMap((powerW, t) => (powerW > 0 ? [t] : []))];
      for (const t of banned) {
        if (!this.#mayGoOn()) break;
        const plan = placeLoad(load, this.#input, this.#cost, t);
        found.push({ plan, totalUc: this.#cost.total() });
        this.plans[l] = plan;
        this.#take(l);
      }
    }
    this.#put(l, now);
    found.sort((a, b) => a.totalUc - b.totalUc);
    return found.filter(({ plan }) => plan.met || !now.met).map(({ plan }) => plan);
  }

  #replace(l: number, plan: LoadPlan): void {
    if (plan === this.plans[l]) return;
    this.#take(l);
    this.#put(l, plan);
  }

  #search(): void {
    // What finds most for its work comes first.
    const moves = [
      (l: number) => this.#yields(l),
      (l: number) => this.#shift(l),
      (l: number) => this.#neighbours(l).some((other) => other < l && this.#pair(l, other)),
      (l: number) => this.#ejects(l),
    ];
    for (let m = 0; m < moves.length && this.#mayGoOn(); m++) {
      let better = false;
      for (const l of this.#active) if (moves[m]!(l)) better = true;
      if (!better) continue;
      this.#cost.settleEither();
      m = -1;
    }
    this.#cost.settleEither();
  }

  #mayGoOn(): boolean {
    return this.#cost.work < this.#workMax;
  }

  /** Each alone is taken out and placed again, until none gains by it. */
  #settle(loads: readonly number[] = this.#active): void {
    let unsuccessful = 0;
    for (let i = 0; unsuccessful < loads.length && this.#mayGoOn(); i++) {
      const l = loads[i % loads.length]!;
      unsuccessful = this.#tried([l], () => this.#move(l)) ? 1 : unsuccessful + 1;
    }
  }

  /** A program at another time, the others moving around it. */
  #shift(l: number): boolean {
    const load = this.#input.loads[l]!;
    const others = this.#neighbours(l);
    if (others.length === 0 || load.kind !== 'program' || !this.#mayGoOn()) return false;
    this.#take(l);
    const starts = programStarts(load, this.#input, this.#cost, STARTS_TRIED);
    this.#put(l, this.plans[l]!);
    let better = false;
    for (const { from } of starts) {
      if (!this.#mayGoOn()) break;
      const shifted = this.#tried([l, ...others], () => {
        this.#take(l);
        this.#put(l, programFrom(load, this.#input, from));
        for (const other of others) this.#move(other);
        this.#move(l);
      });
      if (shifted) better = true;
    }
    return better;
  }

  /** The others are placed as if this load were not there, then it finds its place among them. */
  #yields(l: number): boolean {
    const others = this.#neighbours(l);
    if (others.length === 0 || !this.#mayGoOn()) return false;
    return this.#tried([l, ...others], () => {
      this.#take(l);
      for (const other of others) this.#move(other);
      this.#place(l);
      for (const other of others) this.#move(other);
    });
  }

  /** A step of a load gives way to the others, wherever one of them could use its time. */
  #ejects(l: number): boolean {
    const load = this.#input.loads[l]!;
    const others = this.#neighbours(l);
    if (others.length === 0 || load.kind === 'program') return false;
    const free = movesFreely(load, this.#input);
    let better = false;
    for (let t = 0; t < this.#input.intervals.length && this.#mayGoOn(); t++) {
      if (this.plans[l]!.powersW[t]! === 0) continue;
      const wanting = others.filter((o) => this.#spans[o]!.first <= t && t < this.#spans[o]!.end);
      if (wanting.length === 0) continue;
      const ejected = this.#tried([l, ...wanting], () => {
        if (free) this.plans[l] = rebalance(load, this.plans[l]!, this.#input, this.#cost, t);
        else {
          this.#take(l);
          this.plans[l] = placeLoad(load, this.#input, this.#cost, t);
        }
        for (const other of wanting) this.#move(other);
        this.#move(l);
      });
      if (ejected) better = true;
    }
    return better;
  }

  /** Two loads that stand in each other's way: both out, and in again in either order or a step of each in turn. */
  #pair(a: number, b: number): boolean {
    const [one, two] = [this.#input.loads[a]!, this.#input.loads[b]!];
    let better = false;
    if (this.#mayGoOn() && this.#tried([a, b], () => this.#again([a, b]))) better = true;
    if (this.#mayGoOn() && this.#tried([a, b], () => this.#again([b, a]))) better = true;
    if (one.kind === 'program' || two.kind === 'program' || !this.#mayGoOn()) return better;
    const together = this.#tried([a, b], () => {
      this.#take(a);
      this.#take(b);
      const [first, second] = placeTogether([one, two], this.#input, this.#cost);
      this.plans[a] = first!;
      this.plans[b] = second!;
      this.#move(a);
    });
    return together || better;
  }

  /** Makes a change of some loads; true when it saves, otherwise everything is as before. */
  #tried(which: readonly number[], change: () => void): boolean {
    const before = this.#cost.total();
    const old = which.map((l) => this.plans[l]!);
    const back = this.#cost.remember();
    change();
    const met = which.every((l, i) => this.plans[l]!.met || !old[i]!.met);
    if (met && this.#cost.total() < before - WORTH_MOVE_UC) return true;
    back();
    for (const [i, l] of which.entries()) this.plans[l] = old[i]!;
    return false;
  }

  /** Moves one load to where it costs least now. */
  #move(l: number): void {
    const load = this.#input.loads[l]!;
    if (movesFreely(load, this.#input)) this.plans[l] = rebalance(load, this.plans[l]!, this.#input, this.#cost);
    else if (mayGain(load, this.plans[l]!, this.#input, this.#cost)) this.#again([l]);
  }

  /** Takes loads out and places them in this order. */
  #again(which: readonly number[]): void {
    for (const l of which) this.#take(l);
    for (const l of which) this.#place(l);
  }

  #place(l: number): void {
    this.plans[l] = placeLoad(this.#input.loads[l]!, this.#input, this.#cost);
  }

  #take(l: number): void {
    this.#cost.add(
      0,
      this.plans[l]!.powersW.map((powerW) => -powerW * this.#hours),
    );
  }

  #put(l: number, plan: LoadPlan): void {
    this.#cost.add(
      0,
      plan.powersW.map((powerW) => powerW * this.#hours),
    );
    this.plans[l] = plan;
  }

  #neighbours(l: number): number[] {
    const { first, end } = this.#spans[l]!;
    return this.#active.filter((o) => o !== l && this.#spans[o]!.first < end && first < this.#spans[o]!.end);
  }

  #mobility(l: number): number {
    const load = this.#input.loads[l]!;
    const { first, end } = this.#spans[l]!;
    const needed =
      load.kind === 'program' ? load.powersW.length : load.needWh / ((load.powersW.at(-1) ?? 1) * this.#hours);
    return (end - first) / Math.max(1, needed);
  }
}
