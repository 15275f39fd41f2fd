// Which load is placed when: each in turn at its own best (placement.ts), then some are taken up again together, and
// programs are tried at other times with the rest moving around them, for as long as that saves and work is left.

import { seededRandom } from '../base/random.ts';
import { adaptFreely, adaptNoMore } from './adapting.ts';
import type { CostToGo } from './cost-to-go.ts';
import { type EnergyLoad, type ProgramLoad, type Span, spanOf } from './equipment.ts';
import type { Exchange } from './exchange.ts';
import { fillFreely } from './filling.ts';
import { mayGain, placeAnew, placeLoad, placeTogether, rebalance } from './placement.ts';
import { movesFreely, WORTH_MOVE_UC } from './placing.ts';
import type { LoadPlan, LoadSchedule, PlanInput } from './plan-types.ts';
import { programFrom, programStarts } from './programs.ts';
import { SiteCost } from './site-cost.ts';
import type { Sliced, Work } from './slices.ts';
import type { Storage } from './value.ts';

/** How much is done for a day, by how far its cost is from what it would be with loads that could be divided at will, as a share of it. */
interface Effort {
  readonly below: number;
  /** Steps of dynamic programming after which no further improvement is begun. */
  readonly work: number;
  /** The same where filling what the others leave may save more than a share of the whole cost. */
  readonly filled: number;
  readonly worthFilling: number;
  /** Ways to fill that are kept. */
  readonly kept: number;
  /** How much more than its least worth a Wh is that is still needed, one after the other. */
  readonly urgencies: readonly number[];
  /** Other places of a load that are tried with the rest moving around it. */
  readonly others: number;
  /** Whether loads are placed anew as long as work is left. */
  readonly shakes: boolean;
}

/** The least is for days on which next to nothing can be won; the most for those few on which the bound says little. */
const EFFORTS: readonly Effort[] = [
  {
    below: 0.004,
    work: 0,
    filled: 0,
    worthFilling: Number.POSITIVE_INFINITY,
    kept: 0,
    urgencies: [],
    others: 0,
    shakes: false,
  },
  {
    below: 0.07,
    work: 140_000,
    filled: 420_000,
    worthFilling: 0.005,
    kept: 64,
    urgencies: [1.05, 1.2],
    others: 6,
    shakes: false,
  },
  {
    below: Number.POSITIVE_INFINITY,
    work: 1_500_000,
    filled: 1_500_000,
    worthFilling: 0.003,
    kept: 256,
    urgencies: [1.02, 1.05, 1.1, 1.2],
    others: 15,
    shakes: true,
  },
];
/** Loads that are placed anew together at most. */
const ANEW_MAX = 4;

/** Powers of all loads together that an interval may have while they fill. */
const COMBINATIONS_MAX = 40;

/** Powers of each load in each interval of the plan, the battery used at best around them; `cost` holds them. */
export function* scheduleLoads(
  input: PlanInput,
  exchanges: readonly Exchange[],
  storage: Storage | null,
  storedWh: number,
  end: CostToGo,
  work: Work,
): Sliced<{ readonly schedule: LoadSchedule; readonly cost: SiteCost }> {
  const cost = new SiteCost(exchanges, storage, storedWh, end, work);
  yield* cost.settleEither();
  if (input.loads.length === 0) return { schedule: { loads: [], only: cost.only() }, cost };
  const schedule = new Schedule(input, cost);
  yield* schedule.run();
  return { schedule: { loads: schedule.plans, only: cost.only() }, cost };
}

class Schedule {
  readonly plans: LoadPlan[];
  readonly #input: PlanInput;
  readonly #cost: SiteCost;
  readonly #hours: number;
  readonly #spans: readonly Span[];
  /** The least movable first. */
  readonly #order: readonly number[];
  #effort = EFFORTS.at(-1)!;
  #workMax = EFFORTS.at(-1)!.work;
  /** No places of the loads cost less. */
  #boundUc = Number.NEGATIVE_INFINITY;
  readonly #workBefore: number;
  /** Those of them that are being placed. */
  #active: readonly number[];

  constructor(input: PlanInput, cost: SiteCost) {
    this.#input = input;
    this.#cost = cost;
    this.#workBefore = cost.work.done;
    this.#hours = input.intervalMs / 3_600_000;
    this.#spans = input.loads.map((load) => spanOf(load, input));
    this.#order = input.loads.map((_, l) => l).sort((a, b) => this.#mobility(a) - this.#mobility(b));
    this.#active = this.#order;
    this.plans = input.loads.map(({ id }) => ({ id, powersW: input.intervals.map(() => 0), met: false }));
  }

  *run(): Sliced<void> {
    const divided = this.#input.loads.map((load) => (load.kind === 'energy' ? load : this.#divided(load)));
    ({ boundUc: this.#boundUc } = yield* adaptFreely(divided, this.#input, this.#cost, 1));
    adaptNoMore(this.#input, this.#cost);
    yield* this.#start(this.#order);
    yield* this.#settle();
    this.#effort = EFFORTS.find(({ below }) => this.#room() < below)!;
    this.#workMax = this.#effort.work;
    for (const first of this.#order.slice(1)) {
      if (!this.#mayGoOn()) break;
      yield* this.#tried(this.#order, () => this.#startWith(first));
    }
    yield* this.#search();
    for (const urgency of this.#effort.urgencies) {
      if (!(yield* this.#fill(urgency))) break;
      yield* this.#search();
    }
    if (this.#effort.shakes) yield* this.#shake();
    // Whatever work was left: what filling took beyond a need is given back.
    for (const l of this.#order) {
      yield* this.#tried([l], () => this.#move(l));
      const load = this.#input.loads[l]!;
      if (movesFreely(load, this.#input))
        this.plans[l] = yield* placeAnew(load, this.plans[l]!, this.#input, this.#cost);
    }
  }

  /** Share of the cost that better places could save at most. */
  #room(): number {
    const nowUc = this.#cost.total();
    return (nowUc - this.#boundUc) / Math.max(1, Math.abs(nowUc));
  }

  /** A program's energy as if it could be taken whenever. */
  #divided({ id, powersW, earliestMs, deadlineMs }: ProgramLoad): EnergyLoad {
    const needWh = powersW.reduce((sum, powerW) => sum + powerW * this.#hours, 0);
    const whenever = { minOnMs: 0, minOffMs: 0, on: false, sinceMs: 0 };
    return { kind: 'energy', id, needWh, powersW: [Math.max(...powersW)], earliestMs, deadlineMs, ...whenever };
  }

  /** Some loads are taken out and placed anew in a drawn order, the first of them elsewhere than it would, for as long as work is left. */
  *#shake(): Sliced<void> {
    const random = seededRandom(1);
    const count = this.#order.length;
    while (count > 1 && this.#mayGoOn()) {
      const some = this.#order
        .map((l) => ({ l, place: random() }))
        .sort((a, b) => a.place - b.place)
        .map(({ l }) => l)
        .slice(0, 2 + Math.floor(random() * Math.min(ANEW_MAX - 1, count - 1)));
      const at = random();
      if (yield* this.#tried(this.#order, () => this.#anew(some, at))) yield* this.#search();
    }
  }

  *#anew(some: readonly number[], at: number): Sliced<void> {
    for (const l of some) this.#take(l);
    for (const [i, l] of some.entries()) {
      const load = this.#input.loads[l]!;
      if (i > 0) yield* this.#place(l);
      else if (load.kind === 'program') {
        const starts = yield* programStarts(load, this.#input, this.#cost, this.#effort.others);
        this.#put(l, programFrom(load, this.#input, starts[Math.floor(at * starts.length)]?.from ?? null));
      } else {
        const banned = Math.floor(at * this.#input.intervals.length);
        this.plans[l] = yield* placeLoad(load, this.#input, this.#cost, banned);
      }
    }
    yield* this.#settle();
  }

  *#start(order: readonly number[]): Sliced<void> {
    for (const l of order) yield* this.#place(l);
  }

  /** All anew, this one before the others. */
  *#startWith(first: number): Sliced<void> {
    for (const l of this.#order) this.#take(l);
    yield* this.#start([first, ...this.#order.filter((l) => l !== first)]);
    yield* this.#settle();
  }

  /**
   * Loads that move freely make room for the others while these are placed, and fill what is left between them: all together, for one
   * placement of the others after the other. False: too little is to be won by it.
   */
  *#fill(urgency: number): Sliced<boolean> {
    const freely = this.#fillable();
    const free = freely.map((l) => this.#input.loads[l] as EnergyLoad);
    const others = this.#order.filter((l) => !freely.includes(l));
    if (freely.length === 0) return false;
    let leastUc = this.#cost.total();
    let best = this.plans.slice();
    const seen = new Set<string>();
    const self = this;
    function* filled(): Sliced<boolean> {
      const key = others.map((l) => self.plans[l]!.powersW.join()).join(';');
      if (seen.has(key)) return false;
      seen.add(key);
      const plans = yield* fillFreely(
        free,
        adapted.worthsUcPerWh,
        self.#input,
        self.#cost,
        leastUc - WORTH_MOVE_UC,
        self.#effort.kept,
      );
      if (plans === null) return false;
      best = self.plans.slice();
      for (const [i, l] of freely.entries()) best[l] = plans.plans[i]!;
      leastUc = plans.costUc;
      return true;
    }
    for (const l of freely) this.#take(l);
    let adapted = yield* adaptFreely(free, this.#input, this.#cost, urgency);
    const isWorthIt = (): boolean => leastUc - adapted.boundUc > this.#effort.worthFilling * Math.abs(leastUc);
    let isFilled = isWorthIt();
    if (isFilled) {
      this.#workMax = this.#effort.filled;
      yield* filled();
    }
    // The others' best places with the rest moving around them at once: these may be far from where they are.
    this.#active = others;
    yield* isFilled ? this.#search() : this.#settle();
    if (isFilled || others.some((l) => this.plans[l] !== best[l])) {
      adapted = yield* adaptFreely(free, this.#input, this.#cost, urgency);
      isFilled ||= isWorthIt();
      if (isFilled) this.#workMax = this.#effort.filled;
      if (!isFilled || !(yield* filled())) for (const l of others) this.#replace(l, best[l]!);
    }
    for (let better = isFilled; better; ) {
      better = false;
      for (const l of others) {
        for (const plan of yield* this.#alternatives(l)) {
          if (!this.#mayGoOn()) break;
          const before = this.plans[l]!;
          this.#replace(l, plan);
          if (yield* filled()) better = true;
          else this.#replace(l, before);
        }
      }
    }
    adaptNoMore(this.#input, this.#cost);
    this.#active = this.#order;
    for (const l of others) this.#replace(l, best[l]!);
    for (const l of freely) this.#put(l, best[l]!);
    return isFilled;
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
  *#alternatives(l: number): Sliced<LoadPlan[]> {
    const load = this.#input.loads[l]!;
    const now = this.plans[l]!;
    this.#take(l);
    const found: { plan: LoadPlan; totalUc: number }[] = [];
    if (load.kind === 'program') {
      for (const { from, totalUc } of yield* programStarts(load, this.#input, this.#cost, this.#effort.others))
        found.push({ plan: programFrom(load, this.#input, from), totalUc });
    } else {
      const banned = [-1, ...now.powersW.flatMap((powerW, t) => (powerW > 0 ? [t] : []))];
      for (const t of banned) {
        if (!this.#mayGoOn()) break;
        const plan = yield* placeLoad(load, this.#input, this.#cost, t);
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

  *#search(): Sliced<void> {
    // What finds most for its work comes first.
    const moves = [
      (l: number) => this.#yields(l),
      (l: number) => this.#shift(l),
      (l: number) => this.#pairs(l),
      (l: number) => this.#ejects(l),
    ];
    for (let m = 0; m < moves.length && this.#mayGoOn(); m++) {
      let better = false;
      for (const l of this.#active) if (yield* moves[m]!(l)) better = true;
      if (!better) continue;
      yield* this.#cost.settleEither();
      m = -1;
    }
    yield* this.#cost.settleEither();
  }

  #mayGoOn(): boolean {
    return this.#cost.work.done - this.#workBefore < this.#workMax;
  }

  /** Each alone is taken out and placed again, until none gains by it. */
  *#settle(loads: readonly number[] = this.#active): Sliced<void> {
    let unsuccessful = 0;
    for (let i = 0; unsuccessful < loads.length && this.#mayGoOn(); i++) {
      const l = loads[i % loads.length]!;
      unsuccessful = (yield* this.#tried([l], () => this.#move(l))) ? 1 : unsuccessful + 1;
    }
  }

  /** A program at another time, the others moving around it. */
  *#shift(l: number): Sliced<boolean> {
    const load = this.#input.loads[l]!;
    const others = this.#neighbours(l);
    if (others.length === 0 || load.kind !== 'program' || !this.#mayGoOn()) return false;
    this.#take(l);
    const starts = yield* programStarts(load, this.#input, this.#cost, this.#effort.others);
    this.#put(l, this.plans[l]!);
    let better = false;
    for (const { from } of starts) {
      if (!this.#mayGoOn()) break;
      const shifted = (): Sliced<void> => {
        this.#take(l);
        this.#put(l, programFrom(load, this.#input, from));
        return this.#moveAll([...others, l]);
      };
      if (yield* this.#tried([l, ...others], shifted)) better = true;
    }
    return better;
  }

  /** The others are placed as if this load were not there, then it finds its place among them. */
  *#yields(l: number): Sliced<boolean> {
    const others = this.#neighbours(l);
    if (others.length === 0 || !this.#mayGoOn()) return false;
    return yield* this.#tried([l, ...others], () => this.#yielded(l, others));
  }

  *#yielded(l: number, others: readonly number[]): Sliced<void> {
    this.#take(l);
    yield* this.#moveAll(others);
    yield* this.#place(l);
    yield* this.#moveAll(others);
  }

  /** A step of a load gives way to the others, wherever one of them could use its time. */
  *#ejects(l: number): Sliced<boolean> {
    const load = this.#input.loads[l]!;
    const others = this.#neighbours(l);
    if (others.length === 0 || load.kind === 'program') return false;
    let better = false;
    for (let t = 0; t < this.#input.intervals.length && this.#mayGoOn(); t++) {
      if (this.plans[l]!.powersW[t]! === 0) continue;
      const wanting = others.filter((o) => this.#spans[o]!.first <= t && t < this.#spans[o]!.end);
      if (wanting.length === 0) continue;
      if (yield* this.#tried([l, ...wanting], () => this.#ejected(l, load, t, wanting))) better = true;
    }
    return better;
  }

  *#ejected(l: number, load: EnergyLoad, t: number, wanting: readonly number[]): Sliced<void> {
    if (movesFreely(load, this.#input)) {
      this.plans[l] = yield* rebalance(load, this.plans[l]!, this.#input, this.#cost, t);
    } else {
      this.#take(l);
      this.plans[l] = yield* placeLoad(load, this.#input, this.#cost, t);
    }
    yield* this.#moveAll([...wanting, l]);
  }

  /** With each of the loads before it that one stands in the way of. */
  *#pairs(l: number): Sliced<boolean> {
    for (const other of this.#neighbours(l)) if (other < l && (yield* this.#pair(l, other))) return true;
    return false;
  }

  /** Two loads that stand in each other's way: both out, and in again in either order or a step of each in turn. */
  *#pair(a: number, b: number): Sliced<boolean> {
    const [one, two] = [this.#input.loads[a]!, this.#input.loads[b]!];
    let better = false;
    if (this.#mayGoOn() && (yield* this.#tried([a, b], () => this.#again([a, b])))) better = true;
    if (this.#mayGoOn() && (yield* this.#tried([a, b], () => this.#again([b, a])))) better = true;
    if (one.kind === 'program' || two.kind === 'program' || !this.#mayGoOn()) return better;
    return (yield* this.#tried([a, b], () => this.#together(a, one, b, two))) || better;
  }

  *#together(a: number, one: EnergyLoad, b: number, two: EnergyLoad): Sliced<void> {
    this.#take(a);
    this.#take(b);
    const [first, second] = yield* placeTogether([one, two], this.#input, this.#cost);
    this.plans[a] = first!;
    this.plans[b] = second!;
    yield* this.#move(a);
  }

  /** Makes a change of some loads; true when it saves, otherwise everything is as before. */
  *#tried(which: readonly number[], change: () => Sliced<void>): Sliced<boolean> {
    const before = this.#cost.total();
    const old = which.map((l) => this.plans[l]!);
    const back = this.#cost.remember();
    yield* change();
    const met = which.every((l, i) => this.plans[l]!.met || !old[i]!.met);
    if (met && this.#cost.total() < before - WORTH_MOVE_UC) return true;
    back();
    for (const [i, l] of which.entries()) this.plans[l] = old[i]!;
    return false;
  }

  /** Moves one load to where it costs least now. */
  *#move(l: number): Sliced<void> {
    if (this.#cost.work.isPauseDue()) yield;
    const load = this.#input.loads[l]!;
    if (movesFreely(load, this.#input)) this.plans[l] = yield* rebalance(load, this.plans[l]!, this.#input, this.#cost);
    else if (mayGain(load, this.plans[l]!, this.#input, this.#cost)) yield* this.#again([l]);
  }

  *#moveAll(which: readonly number[]): Sliced<void> {
    for (const l of which) yield* this.#move(l);
  }

  /** Takes loads out and places them in this order. */
  *#again(which: readonly number[]): Sliced<void> {
    for (const l of which) this.#take(l);
    for (const l of which) yield* this.#place(l);
  }

  *#place(l: number): Sliced<void> {
    this.plans[l] = yield* placeLoad(this.#input.loads[l]!, this.#input, this.#cost);
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
