// When loads run: each in turn takes the time that costs the whole site least, its battery used at best around it,
// then all are taken up again while that saves anything. Every candidate is priced exactly (site-cost.ts); since a
// load's next Wh never becomes cheaper by more load elsewhere, an old price is a bound and few are asked twice.

import type { EnergyLoad, ProgramLoad } from './equipment.ts';
import type { LoadPlan, PlanInput } from './plan-types.ts';
import { bestRuns } from './runs.ts';
import { SiteCost } from './site-cost.ts';
import type { CostToGo, Exchange, Storage } from './value.ts';

/** Times that every load may be placed again. */
const ROUNDS_MAX = 4;

/** Less than this missing is enough. */
const ENOUGH_WH = 1e-6;
/** Runs of a load are taken out and placed anew this often, unless it has more runs than that. */
const RUN_TRIES_MAX = 3;
const RUNS_MOVED_MAX = 12;
const WORTH_MOVE_UC = 1;
/** Times that a load's runs are found anew from the prices that its last runs made. */
const REPRICE_TRIES_MAX = 6;

interface Span {
  readonly first: number;
  /** Exclusive. */
  readonly end: number;
}

/** Powers of each load in each interval of the plan. */
export function scheduleLoads(
  input: PlanInput,
  exchanges: readonly Exchange[],
  storage: Storage | null,
  storedWh: number,
  end: CostToGo,
): LoadPlan[] {
  if (input.loads.length === 0) return [];
  const hours = input.intervalMs / 3_600_000;
  const cost = new SiteCost(exchanges, storage, storedWh, end);
  const plans = input.loads.map(({ id }) => nowhere(input, id));
  const spans = input.loads.map((load) => spanOf(load, input));
  // The least movable first.
  const order = input.loads.map((_, l) => l).sort((a, b) => mobility(input, a) - mobility(input, b));
  const place = (l: number): LoadPlan => {
    const load = input.loads[l]!;
    return load.kind === 'program' ? placeProgram(load, input, cost) : placeEnergy(load, input, cost);
  };
  const put = (l: number, plan: LoadPlan): void => {
    cost.add(
      0,
      plan.powersW.map((powerW, t) => (powerW - plans[l]!.powersW[t]!) * hours),
    );
    plans[l] = plan;
  };
  /** Takes some loads out and places them again, in the given order; keeps the better of the two. */
  const again = (which: readonly number[]): boolean => {
    const before = cost.total();
    const old = which.map((l) => plans[l]!);
    for (const l of which) put(l, nowhere(input, input.loads[l]!.id));
    for (const l of which) put(l, place(l));
    const met = which.every((l, i) => plans[l]!.met || !old[i]!.met);
    if (met && cost.total() < before - WORTH_MOVE_UC) return true;
    for (const [i, l] of which.entries()) put(l, old[i]!);
    return false;
  };
  for (const l of order) put(l, place(l));
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let better = false;
    for (const l of order) if (again([l])) better = true;
    if (better) continue;
    // Two loads can stand in each other's way where neither gains by moving alone.
    for (const [i, l] of order.entries()) {
      for (const other of order.slice(0, i)) if (overlap(spans[l]!, spans[other]!) && again([l, other])) better = true;
    }
    if (!better) break;
  }
  return plans;
}

function overlap(a: Span, b: Span): boolean {
  return a.first < b.end && b.first < a.end;
}

function nowhere(input: PlanInput, id: string): LoadPlan {
  return { id, powersW: input.intervals.map(() => 0), met: false };
}

function mobility(input: PlanInput, l: number): number {
  const load = input.loads[l]!;
  const { first, end } = spanOf(load, input);
  const needed =
    load.kind === 'program'
      ? load.powersW.length
      : load.needWh / ((load.powersW.at(-1) ?? 1) * (input.intervalMs / 3_600_000));
  return (end - first) / Math.max(1, needed);
}

/** Intervals that lie wholly between a load's earliest start and its deadline. */
function spanOf(load: { readonly earliestMs: number; readonly deadlineMs: number }, input: PlanInput): Span {
  const startMs = input.intervals[0]!.startMs;
  const first = Math.max(0, Math.ceil((load.earliestMs - startMs) / input.intervalMs));
  const end = Math.min(input.intervals.length, Math.floor((load.deadlineMs - startMs) / input.intervalMs));
  return { first, end };
}

function placeProgram(load: ProgramLoad, input: PlanInput, cost: SiteCost): LoadPlan {
  const hours = input.intervalMs / 3_600_000;
  const { first, end } = spanOf(load, input);
  const energiesWh = load.powersW.map((powerW) => powerW * hours);
  const powersW = input.intervals.map(() => 0);
  let best = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let from = first; from + energiesWh.length <= end; from++) {
    const total = cost.totalWith(from, energiesWh);
    if (total < least) {
      least = total;
      best = from;
    }
  }
  if (best >= 0) for (const [i, powerW] of load.powersW.entries()) powersW[best + i] = powerW;
  return { id: load.id, powersW, met: best >= 0 };
}

/** One more step of a load: from interval `from`, each of `length` intervals one power higher. */
interface Candidate {
  readonly from: number;
  readonly length: number;
  /** Cost of each Wh as it was last asked: a bound from below afterwards. */
  priceUcPerWh: number;
}

/** Powers of one load while it is being placed, with what it still needs. */
class Placement {
  readonly #load: EnergyLoad;
  readonly #cost: SiteCost;
  readonly #hours: number;
  readonly #span: Span;
  readonly #block: number;
  readonly #pause: number;
  readonly #carriedOn: number;
  readonly #carriedOff: number;
  /** Power level in each interval: 0 is off, k the k-th power. */
  readonly levels: number[];
  leftWh: number;

  constructor(load: EnergyLoad, input: PlanInput, cost: SiteCost) {
    this.#load = load;
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
    for (let t = 0; t < this.#carriedOn; t++) this.#raise(t, 1);
  }

  /** Least times make single steps depend on each other; without them the cheapest steps are the best ones. */
  get hasRuns(): boolean {
    return this.#block > 1 || this.#pause > 1;
  }

  powerOf(level: number): number {
    return level === 0 ? 0 : this.#load.powersW[level - 1]!;
  }

  /** Takes the cheapest steps until the need is met or nothing more fits. */
  fill(): void {
    const known = new Map<number, Candidate>();
    while (this.leftWh > ENOUGH_WH) {
      const candidates: Candidate[] = [];
      for (let from = this.#span.first; from < this.#span.end; from++) {
        for (const length of this.#lengthsAt(from)) {
          // Which steps are possible changes with each step taken; prices of those that stay are kept as bounds.
          const key = from * this.levels.length + length;
          const candidate = known.get(key) ?? { from, length, priceUcPerWh: Number.NEGATIVE_INFINITY };
          known.set(key, candidate);
          candidates.push(candidate);
        }
      }
      candidates.sort((a, b) => a.priceUcPerWh - b.priceUcPerWh || a.from - b.from || b.length - a.length);
      const baseline = this.#cost.total();
      let best: Candidate | null = null;
      for (const candidate of candidates) {
        if (best !== null && candidate.priceUcPerWh >= best.priceUcPerWh) break;
        candidate.priceUcPerWh = this.#priceOf(candidate, baseline);
        if (best === null || candidate.priceUcPerWh < best.priceUcPerWh) best = candidate;
      }
      if (best === null) return;
      this.#raise(best.from, best.length);
      known.delete(best.from * this.levels.length + best.length);
    }
  }

  /** Takes each run out and places it anew, for as long as that saves. */
  improve(): void {
    for (let tries = 0; tries < RUN_TRIES_MAX; tries++) {
      let better = false;
      for (const run of this.#runs()) {
        const before = this.#cost.total();
        const levels = [...this.levels];
        const leftWh = this.leftWh;
        this.#set(this.levels.map((level, t) => (t >= run.first && t < run.end ? 0 : level)));
        this.fill();
        if (this.leftWh <= Math.max(leftWh, ENOUGH_WH) && this.#cost.total() < before - WORTH_MOVE_UC) better = true;
        else this.#set(levels);
      }
      if (!better) return;
    }
  }

  /** Loads with long runs: the best pattern of runs for the present price of each interval, for as long as that saves. */
  reprice(): void {
    if (this.#load.powersW.length > 1 || this.leftWh > ENOUGH_WH) return;
    const energyWh = this.powerOf(1) * this.#hours;
    for (let tries = 0; tries < REPRICE_TRIES_MAX; tries++) {
      const before = this.#cost.total();
      const levels = [...this.levels];
      const on = levels.filter((level) => level > 0).length;
      // With the whole load on, adding tells little: prices are taken as between one more and one less.
      const pricesUc = levels.map((level, t) =>
        level > 0 ? before - this.#cost.totalWith(t, [-energyWh]) : this.#cost.totalWith(t, [energyWh]) - before,
      );
      const pattern = bestRuns(pricesUc, on, {
        first: this.#span.first,
        end: this.#span.end,
        block: this.#block,
        pause: this.#pause,
        carriedOn: this.#carriedOn,
        carriedOff: this.#carriedOff,
        on: this.#load.on,
      });
      if (pattern === null) return;
      this.#set(pattern);
      if (this.#cost.total() < before - WORTH_MOVE_UC) continue;
      this.#set(levels);
      return;
    }
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

  #isOn(t: number): boolean {
    return t < 0 ? this.#load.on : t < this.levels.length && this.levels[t]! > 0;
  }

  /** How many intervals from `from` on may rise by one power: one more of a run, or a new run of its least or its whole length. */
  #lengthsAt(from: number): number[] {
    const level = this.levels[from]!;
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
    for (let t = from + 1; t < until; t++) if (this.#isOn(t)) return false;
    if (this.#isOn(until)) return true;
    for (let t = until; t < until + this.#pause; t++) if (this.#isOn(t)) return false;
    return true;
  }
}

function placeEnergy(load: EnergyLoad, input: PlanInput, cost: SiteCost): LoadPlan {
  const placement = new Placement(load, input, cost);
  placement.fill();
  if (placement.hasRuns) {
    placement.improve();
    placement.reprice();
  }
  const powersW = placement.levels.map((level) => placement.powerOf(level));
  // What was tried is taken back: the caller adds the plan it keeps.
  const hours = input.intervalMs / 3_600_000;
  cost.add(
    0,
    powersW.map((powerW) => -powerW * hours),
  );
  return { id: load.id, powersW, met: placement.leftWh <= ENOUGH_WH };
}
