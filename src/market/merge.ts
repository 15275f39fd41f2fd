// Merges two sorted runs of a curve that lie one after the other in the arena, in place. Owns the order of items and the
// spare room it takes; knows nothing of zero points. A run is (key of its first item, differences of the next ones, quantities).

export interface SortedRun {
  readonly start: number;
  readonly end: number;
  /** Key of the item at `start`. */
  readonly key: number;
}

const SPARE_INITIAL = 1024;
/** Up to so many items one by one: a view of an array costs more than they do. */
const COPIED_ONE_BY_ONE_MAX = 64;

/** Downwards or to another array. */
function copy(from: Float64Array, at: number, length: number, into: Float64Array, to: number): void {
  if (length > COPIED_ONE_BY_ONE_MAX) into.set(from.subarray(at, at + length), to);
  else for (let i = 0; i < length; i++) into[to + i] = from[at + i]!;
}

export class Merger {
  readonly #gaps: Float64Array;
  readonly #quantities: Float64Array;
  #spareGaps = new Float64Array(SPARE_INITIAL);
  #spareQuantities = new Float64Array(SPARE_INITIAL);

  constructor(gaps: Float64Array, quantities: Float64Array) {
    this.#gaps = gaps;
    this.#quantities = quantities;
  }

  /** Items of `b` (which lies above `a`) join `a`; returns the end of the merged run, which begins where `a` did. Neither is empty. */
  merge(a: SortedRun, b: SortedRun): number {
    const gaps = this.#gaps;
    const quantities = this.#quantities;
    const lengthA = a.end - a.start;
    this.#reserve(lengthA);
    const spareGaps = this.#spareGaps;
    const spareQuantities = this.#spareQuantities;
    copy(gaps, a.start, lengthA, spareGaps, 0);
    copy(quantities, a.start, lengthA, spareQuantities, 0);
    const endB = b.end;
    let keyA = a.key;
    let keyB = b.key;
    let i = 0;
    let j = b.start;
    let at = a.start;
    let previous = Math.min(keyA, keyB);
    for (;;) {
      if (keyA < keyB) {
        gaps[at] = keyA - previous;
        quantities[at++] = spareQuantities[i]!;
        previous = keyA;
        if (++i === lengthA) break;
        keyA += spareGaps[i]!;
      } else {
        gaps[at] = keyB - previous;
        quantities[at++] = quantities[j]!;
        previous = keyB;
        if (++j === endB) break;
        keyB += gaps[j]!;
      }
    }
    if (i < lengthA) {
      gaps[at] = keyA - previous;
      quantities[at++] = spareQuantities[i++]!;
      copy(spareGaps, i, lengthA - i, gaps, at);
      copy(spareQuantities, i, lengthA - i, quantities, at);
      return at + lengthA - i;
    }
    gaps[at] = keyB - previous;
    quantities[at++] = quantities[j++]!;
    if (at < j) {
      copy(gaps, j, endB - j, gaps, at);
      copy(quantities, j, endB - j, quantities, at);
    }
    return at + endB - j;
  }

  #reserve(length: number): void {
    if (this.#spareGaps.length >= length) return;
    this.#spareGaps = new Float64Array(2 * length);
    this.#spareQuantities = new Float64Array(2 * length);
  }
}
