// Marginal curves of subtrees, the data structure below `allocate`. Owns sorting, merging, shifting and clipping of curves;
// knows nothing of buses or prices' meaning.
//
// A curve says what the next Wh of net export costs: items (key, quantity) by rising key, with a zero point: quantities
// left of it are withdrawn when the subtree imports, those right of it are used when it exports. Curves of sibling
// subtrees add up by merging items and zero points; a line lowers all keys left of zero and raises all right of it by its
// tariff, then clips the curve to its capacity at both ends.
//
// A curve is kept as up to log2(m) sorted runs, each at least twice as long as the next (as in merge sort), on one stack
// in one arena: the post-order of the tree puts every subtree's runs on top. A run stores the differences of its keys, and
// the keys at its zero point (the finger), so that the shift of a line is one addition a run. Merging moves an item O(log m)
// times. Blocks of differences and quantities are summed in levels of 16, so that a finger passes k items in
// O(log k) steps; `center` takes single steps first and bisects over keys when there are many: O(log^2 m) a line.

import { Merger } from './merge.ts';
import { BlockSums, blockSize } from './sums.ts';

const NONE_LEFT = Number.NEGATIVE_INFINITY;
const NONE_RIGHT = Number.POSITIVE_INFINITY;

/** Single steps of a centering before it bisects. */
const STEPS_MAX = 64;
/** Most runs on the stack at once: every curve on the stack has at most 2 x log2 of the arena, and a path of heavy children holds few curves. */
const RUNS_INITIAL = 1024;

export class CurveStack {
  /** Runs on the stack. */
  count = 0;
  /** Keys around zero, found by `center`: of the last item left of it and the first one right of it. */
  leftKey = NONE_LEFT;
  rightKey = NONE_RIGHT;

  readonly #gaps: Float64Array;
  readonly #quantities: Float64Array;
  readonly #gapSums: BlockSums;
  readonly #quantitySums: BlockSums;
  readonly #merger: Merger;
  // A run: items [start, end) of the arena; [start, zero) are left of zero, and so is `part` of the quantity of item zero.
  #start = new Int32Array(RUNS_INITIAL);
  #end = new Int32Array(RUNS_INITIAL);
  #zero = new Int32Array(RUNS_INITIAL);
  #part = new Float64Array(RUNS_INITIAL);
  #firstKey = new Float64Array(RUNS_INITIAL);
  #lastKey = new Float64Array(RUNS_INITIAL);
  /** Key of item zero - 1, or NONE_LEFT. */
  #before = new Float64Array(RUNS_INITIAL);
  /** Key of item zero, or NONE_RIGHT. */
  #after = new Float64Array(RUNS_INITIAL);

  /** `items`: most items ever pushed; each line may add one by splitting the item at zero. */
  constructor(items: number, lines: number) {
    this.#gaps = new Float64Array(items + lines);
    this.#quantities = new Float64Array(items + lines);
    this.#merger = new Merger(this.#gaps, this.#quantities);
    this.#gapSums = new BlockSums(this.#gaps);
    this.#quantitySums = new BlockSums(this.#quantities);
  }

  /** Pushes a run of items with rising keys, `left` of their quantity left of zero. Quantities > 0. */
  push(keys: Float64Array, quantities: Float64Array, from: number, to: number, left: number): void {
    const start = this.count === 0 ? 0 : this.#end[this.count - 1]!;
    const run = this.#newRun();
    const end = start + to - from;
    const gaps = this.#gaps;
    let previous = keys[from]!;
    for (let i = from, at = start; i < to; i++, at++) {
      const key = keys[i]!;
      gaps[at] = key - previous;
      previous = key;
      this.#quantities[at] = quantities[i]!;
    }
    let zero = start;
    while (zero < end && left >= this.#quantities[zero]!) left -= this.#quantities[zero++]!;
    this.#start[run] = start;
    this.#end[run] = end;
    this.#zero[run] = zero;
    this.#part[run] = left;
    this.#firstKey[run] = keys[from]!;
    this.#lastKey[run] = keys[to - 1]!;
    this.#before[run] = zero > start ? keys[from + zero - 1 - start]! : NONE_LEFT;
    this.#after[run] = zero < end ? keys[from + zero - start]! : NONE_RIGHT;
    this.#gapSums.rebuild(start, end);
    this.#quantitySums.rebuild(start, end);
  }

  /** Moves the fingers of the curve's runs (from `base` up) until no key left of zero exceeds one right of it. */
  center(base: number): void {
    const { count } = this;
    const before = this.#before;
    const after = this.#after;
    const part = this.#part;
    for (let steps = 0; ; ) {
      let left = -1;
      let right = -1;
      let leftKey = NONE_LEFT;
      let rightKey = NONE_RIGHT;
      let nextLeft = NONE_LEFT;
      let nextRight = NONE_RIGHT;
      for (let run = base; run < count; run++) {
        const a = part[run]! > 0 ? after[run]! : before[run]!;
        if (a > leftKey) {
          nextLeft = leftKey;
          leftKey = a;
          left = run;
        } else if (a > nextLeft) nextLeft = a;
        const b = after[run]!;
        if (b < rightKey) {
          nextRight = rightKey;
          rightKey = b;
          right = run;
        } else if (b < nextRight) nextRight = b;
      }
      if (leftKey <= rightKey) {
        this.leftKey = leftKey;
        this.rightKey = rightKey;
        return;
      }
      if (steps >= STEPS_MAX) {
        this.#bisect(base, rightKey, leftKey);
        continue;
      }
      do {
        this.#exchange(left, right);
        steps++;
        leftKey = part[left]! > 0 ? after[left]! : before[left]!;
        rightKey = after[right]!;
      } while (leftKey > rightKey && leftKey >= nextLeft && rightKey <= nextRight && steps < STEPS_MAX);
    }
  }

  /**
   * Centers by bisection over keys: the greatest key below which no more quantity lies than belongs left of zero is the
   * key at zero. It lies between the least key right of zero and the greatest left of it.
   */
  #bisect(base: number, least: number, greatest: number): void {
    let excess = 0;
    const seekAll = (key: number): void => {
      for (let run = base; run < this.count; run++) excess += this.#seek(run, key);
    };
    while (least < greatest) {
      const middle = least + Math.ceil((greatest - least) / 2);
      seekAll(middle);
      if (excess <= 0) least = middle;
      else greatest = middle - 1;
    }
    seekAll(least);
    if (excess === 0) return;
    for (let run = base; run < this.count; run++) {
      // Keys differ within a curve: one item at most is split at zero.
      if (this.#after[run] === least) this.#part[run] = -excess;
    }
  }

  /** Moves the finger of a run so that the items with keys below `key` are left of zero; returns the quantity gained there. */
  #seek(run: number, key: number): number {
    const gaps = this.#gaps;
    const quantities = this.#quantities;
    const gapLevels = this.#gapSums.levels;
    const quantityLevels = this.#quantitySums.levels;
    const start = this.#start[run]!;
    const end = this.#end[run]!;
    let zero = this.#zero[run]!;
    let before = this.#before[run]!;
    let after = this.#after[run]!;
    let gained = 0 - this.#part[run]!;
    this.#part[run] = 0;
    while (after < key) {
      gained += quantities[zero]!;
      before = after;
      zero++;
      // Whole blocks as long as their last key is below: larger ones where the finger stands at their edge.
      for (let level = 0; level < gapLevels.length && zero % blockSize(level) === 0; ) {
        const block = zero / blockSize(level);
        const last = before + gapLevels[level]![block]!;
        if (zero + blockSize(level) > end || !(last < key)) break;
        gained += quantityLevels[level]![block]!;
        before = last;
        zero += blockSize(level);
        if (zero % blockSize(level + 1) === 0) level++;
      }
      after = zero < end ? before + gaps[zero]! : NONE_RIGHT;
    }
    while (before >= key) {
      zero--;
      gained -= quantities[zero]!;
      after = before;
      before = zero > start ? before - gaps[zero]! : NONE_LEFT;
      for (let level = 0; level < gapLevels.length && zero % blockSize(level) === 0; ) {
        const block = zero / blockSize(level) - 1;
        const first = zero - blockSize(level);
        if (first <= start) break;
        const earlier = before - gapLevels[level]![block]!;
        if (!(earlier + gaps[first]! >= key)) break;
        gained -= quantityLevels[level]![block]!;
        after = earlier + gaps[first]!;
        before = earlier;
        zero = first;
        if (zero % blockSize(level + 1) === 0) level++;
      }
    }
    this.#zero[run] = zero;
    this.#before[run] = before;
    this.#after[run] = after;
    return gained;
  }

  /** One item's worth of quantity leaves the left side of run `a` and joins the left side of run `b`. */
  #exchange(a: number, b: number): void {
    const quantities = this.#quantities;
    const partA = this.#part[a]!;
    const partB = this.#part[b]!;
    const zeroA = this.#zero[a]!;
    const zeroB = this.#zero[b]!;
    const availableA = partA > 0 ? partA : quantities[zeroA - 1]!;
    const availableB = quantities[zeroB]! - partB;
    const amount = Math.min(availableA, availableB);
    if (partA > 0) {
      this.#part[a] = partA - amount;
    } else {
      const key = this.#before[a]!;
      const zero = zeroA - 1;
      this.#zero[a] = zero;
      this.#after[a] = key;
      this.#before[a] = zero > this.#start[a]! ? key - this.#gaps[zero]! : NONE_LEFT;
      this.#part[a] = availableA - amount;
    }
    if (amount === availableB) {
      const key = this.#after[b]!;
      const zero = zeroB + 1;
      this.#zero[b] = zero;
      this.#before[b] = key;
      this.#after[b] = zero < this.#end[b]! ? key + this.#gaps[zero]! : NONE_RIGHT;
      this.#part[b] = 0;
    } else {
      this.#part[b] = partB + amount;
    }
  }

  /** Merges runs until each is at least twice as long as the next. The curve must be centered. */
  collapse(base: number): void {
    let out = base;
    for (let run = base; run < this.count; run++) {
      if (this.#start[run] === this.#end[run]) continue;
      this.#moveRun(run, out);
      out++;
      for (;;) {
        const length = 2 * this.#length(out - 1);
        let lowest = out - 1;
        while (lowest > base && this.#length(lowest - 1) < length) lowest--;
        if (lowest === out - 1) break;
        for (; out - 2 > lowest; ) {
          // The shorter ones below the last run first, then that one.
          this.#merge(out - 3, out - 2);
          this.#moveRun(out - 1, out - 2);
          out--;
        }
        this.#merge(out - 2, out - 1);
        out--;
      }
    }
    this.count = out;
  }

  /** Lowers keys left of zero and raises those right of it by `shift` > 0. Splits the item at zero. Centered curves only. */
  shift(base: number, shift: number): void {
    const { count } = this;
    for (let run = base; run < count; run++) {
      if (this.#part[run]! > 0) this.#splitAtZero(run);
    }
    for (let run = base; run < this.count; run++) {
      const hasLeft = this.#zero[run]! > this.#start[run]!;
      const hasRight = this.#zero[run]! < this.#end[run]!;
      if (hasLeft) this.#before[run]! -= shift;
      if (hasRight) this.#after[run]! += shift;
      this.#firstKey[run]! += hasLeft ? -shift : shift;
      this.#lastKey[run]! += hasRight ? shift : -shift;
      if (hasLeft && hasRight) {
        this.#gaps[this.#zero[run]!]! += 2 * shift;
        this.#gapSums.add(this.#zero[run]!, 2 * shift);
      }
    }
  }

  /** Drops `excess` from the low end, never beyond zero; returns the key at the cut. */
  clipLow(base: number, excess: number): number {
    let key = NONE_LEFT;
    while (excess > 0) {
      const run = this.#lowest(base);
      key = this.#firstKey[run]!;
      excess -= this.#dropFirst(run, excess);
    }
    return key;
  }

  /** Drops `excess` from the high end, never beyond zero; returns the key at the cut. */
  clipHigh(base: number, excess: number): number {
    let key = NONE_RIGHT;
    while (excess > 0) {
      const run = this.#highest(base);
      key = this.#lastKey[run]!;
      excess -= this.#dropLast(run, excess);
    }
    return key;
  }

  /** Drops what is left of zero with a key below `limit`; returns the quantity. */
  pruneLow(base: number, limit: number): number {
    let dropped = 0;
    for (let run = base; run < this.count; run++) {
      while (this.#hasLeft(run) && this.#firstKey[run]! < limit)
        dropped += this.#dropFirst(run, Number.POSITIVE_INFINITY);
    }
    return dropped;
  }

  /** Drops what is right of zero with a key above `limit`; returns the quantity. */
  pruneHigh(base: number, limit: number): number {
    let dropped = 0;
    for (let run = base; run < this.count; run++) {
      while (this.#zero[run]! < this.#end[run]! && this.#lastKey[run]! > limit) {
        dropped += this.#dropLast(run, Number.POSITIVE_INFINITY);
      }
    }
    return dropped;
  }

  #length(run: number): number {
    return this.#end[run]! - this.#start[run]!;
  }

  #hasLeft(run: number): boolean {
    return this.#zero[run]! > this.#start[run]! || this.#part[run]! > 0;
  }

  #lowest(base: number): number {
    let best = -1;
    for (let run = base; run < this.count; run++) {
      if (this.#hasLeft(run) && (best < 0 || this.#firstKey[run]! < this.#firstKey[best]!)) best = run;
    }
    return best;
  }

  #highest(base: number): number {
    let best = -1;
    for (let run = base; run < this.count; run++) {
      if (this.#zero[run]! < this.#end[run]! && (best < 0 || this.#lastKey[run]! > this.#lastKey[best]!)) best = run;
    }
    return best;
  }

  /** Drops at most `limit` of the first item left of zero; returns how much. */
  #dropFirst(run: number, limit: number): number {
    const start = this.#start[run]!;
    const zero = this.#zero[run]!;
    const quantities = this.#quantities;
    if (start === zero) {
      const amount = Math.min(this.#part[run]!, limit);
      this.#part[run]! -= amount;
      this.#reduce(zero, amount);
      return amount;
    }
    const quantity = quantities[start]!;
    if (quantity > limit) {
      this.#reduce(start, limit);
      return limit;
    }
    this.#start[run] = start + 1;
    if (start + 1 < this.#end[run]!) this.#firstKey[run]! += this.#gaps[start + 1]!;
    if (start + 1 === zero) this.#before[run] = NONE_LEFT;
    return quantity;
  }

  /** Drops at most `limit` of the last item right of zero; returns how much. */
  #dropLast(run: number, limit: number): number {
    const last = this.#end[run]! - 1;
    const zero = this.#zero[run]!;
    const part = this.#part[run]!;
    const quantities = this.#quantities;
    const quantity = last === zero ? quantities[last]! - part : quantities[last]!;
    if (quantity > limit) {
      this.#reduce(last, limit);
      return limit;
    }
    if (last === zero && part > 0) {
      this.#reduce(last, quantity);
      this.#part[run] = 0;
      this.#zero[run] = last + 1;
      this.#before[run] = this.#after[run]!;
      this.#after[run] = NONE_RIGHT;
      return quantity;
    }
    this.#end[run] = last;
    if (last > this.#start[run]!) this.#lastKey[run]! -= this.#gaps[last]!;
    if (last === zero) this.#after[run] = NONE_RIGHT;
    return quantity;
  }

  #reduce(at: number, amount: number): void {
    this.#quantities[at]! -= amount;
    this.#quantitySums.add(at, 0 - amount);
  }

  /** The part left of zero becomes a run of its own. */
  #splitAtZero(run: number): void {
    const at = this.#end[this.count - 1]!;
    const piece = this.#newRun();
    const key = this.#after[run]!;
    this.#quantities[at] = this.#part[run]!;
    this.#gaps[at] = 0;
    this.#reduce(this.#zero[run]!, this.#part[run]!);
    this.#part[run] = 0;
    this.#start[piece] = at;
    this.#end[piece] = at + 1;
    this.#zero[piece] = at + 1;
    this.#part[piece] = 0;
    this.#firstKey[piece] = key;
    this.#lastKey[piece] = key;
    this.#before[piece] = key;
    this.#after[piece] = NONE_RIGHT;
  }

  /** Merges run `b` = `a` + 1 into `a`, where both lie next to each other in the arena. Both are centered on the same zero. */
  #merge(a: number, b: number): void {
    const startA = this.#start[a]!;
    const lengthA = this.#length(a);
    const startB = this.#start[b]!;
    const endB = this.#end[b]!;
    const zero = startA + (this.#zero[a]! - startA) + (this.#zero[b]! - startB);
    const at = this.#merger.merge(
      { start: startA, end: startA + lengthA, key: this.#firstKey[a]! },
      { start: startB, end: endB, key: this.#firstKey[b]! },
    );
    this.#gapSums.rebuild(startA, at);
    this.#quantitySums.rebuild(startA, at);
    this.#end[a] = at;
    this.#zero[a] = zero;
    this.#part[a]! += this.#part[b]!;
    this.#firstKey[a] = Math.min(this.#firstKey[a]!, this.#firstKey[b]!);
    this.#lastKey[a] = Math.max(this.#lastKey[a]!, this.#lastKey[b]!);
    this.#before[a] = Math.max(this.#before[a]!, this.#before[b]!);
    this.#after[a] = Math.min(this.#after[a]!, this.#after[b]!);
  }

  #moveRun(from: number, to: number): void {
    if (from === to) return;
    this.#start[to] = this.#start[from]!;
    this.#end[to] = this.#end[from]!;
    this.#zero[to] = this.#zero[from]!;
    this.#part[to] = this.#part[from]!;
    this.#firstKey[to] = this.#firstKey[from]!;
    this.#lastKey[to] = this.#lastKey[from]!;
    this.#before[to] = this.#before[from]!;
    this.#after[to] = this.#after[from]!;
  }

  #newRun(): number {
    const run = this.count++;
    if (run === this.#start.length) this.#growRuns();
    return run;
  }

  #growRuns(): void {
    const grown = <T extends Int32Array | Float64Array>(old: T, fresh: T): T => {
      fresh.set(old);
      return fresh;
    };
    const length = 2 * this.#start.length;
    this.#start = grown(this.#start, new Int32Array(length));
    this.#end = grown(this.#end, new Int32Array(length));
    this.#zero = grown(this.#zero, new Int32Array(length));
    this.#part = grown(this.#part, new Float64Array(length));
    this.#firstKey = grown(this.#firstKey, new Float64Array(length));
    this.#lastKey = grown(this.#lastKey, new Float64Array(length));
    this.#before = grown(this.#before, new Float64Array(length));
    this.#after = grown(this.#after, new Float64Array(length));
  }
}
