// Which load is placed when: each in turn at its own best (placement.ts), then some are taken up again together, and
// programs are tried at other times with the rest moving around them, for as long as that saves and work is left.

import { type Span, spanOf } from './equipment.ts';
import { mayGain, movesFreely, placeLoad, placeTogether, rebalance, WORTH_MOVE_UC } from './placement.ts';
import type { LoadPlan, PlanInput } from './plan-types.ts';
import { programFrom, programStarts } from './programs.ts';
import { SiteCost } from './site-cost.ts';
import type { CostToGo, Exchange, Only, Storage } from './value.ts';

/** Steps of dynamic programming after which no further improvement is begun. */
const WORK_MAX = 120_000;
/** Other starts of a program that are tried with the rest moving around it. */
const STARTS_TRIED = 6;

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

  constructor(input: PlanInput, cost: SiteCost) {
    this.#input = input;
    this.#cost = cost;
    this.#hours = input.intervalMs / 3_600_000;
    this.#spans = input.loads.map((load) => spanOf(load, input));
    this.#order = input.loads.map((_, l) => l).sort((a, b) => this.#mobility(a) - this.#mobility(b));
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
    // What finds most for its work comes first.
    const moves = [
      (l: number) => this.#yields(l),
      (l: number) => this.#shift(l),
      (l: number) => this.#neighbours(l).some((other) => other < l && this.#pair(l, other)),
      (l: number) => this.#ejects(l),
    ];
    for (let m = 0; m < moves.length && this.#mayGoOn(); m++) {
      let better = false;
      for (const l of this.#order) if (moves[m]!(l)) better = true;
      if (!better) continue;
      this.#cost.settleEither();
      m = -1;
    }
    this.#cost.settleEither();
  }

  #mayGoOn(): boolean {
    return this.#cost.work < WORK_MAX;
  }

  /** Each alone is taken out and placed again, until none gains by it. */
  #settle(loads: readonly number[] = this.#order): void {
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
    return this.#order.filter((o) => o !== l && this.#spans[o]!.first < end && first < this.#spans[o]!.end);
  }

  #mobility(l: number): number {
    const load = this.#input.loads[l]!;
    const { first, end } = this.#spans[l]!;
    const needed =
      load.kind === 'program' ? load.powersW.length : load.needWh / ((load.powersW.at(-1) ?? 1) * this.#hours);
    return (end - first) / Math.max(1, needed);
  }
}
