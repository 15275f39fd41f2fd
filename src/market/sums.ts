// Sums of blocks of 16, 256, 4096, ... values of a column, so that a run of k values is added up in O(log k) steps.
// A block is known only once `rebuild` has covered all of it; callers use blocks that lie within what they rebuilt.

const BITS = 4;

export class BlockSums {
  readonly #values: Float64Array;
  /** `levels[l][b]`: sum of the values [b x 16^(l + 1), (b + 1) x 16^(l + 1)). */
  readonly levels: readonly Float64Array[];

  constructor(values: Float64Array) {
    this.#values = values;
    const levels: Float64Array[] = [];
    for (let blocks = values.length >> BITS; blocks > 0; blocks >>= BITS) levels.push(new Float64Array(blocks));
    this.levels = levels;
  }

  /** Sums anew all blocks within [from, to). */
  rebuild(from: number, to: number): void {
    let below = this.#values;
    for (const level of this.levels) {
      from = (from + 15) >> BITS;
      to >>= BITS;
      if (from >= to) return;
      for (let block = from; block < to; block++) {
        let sum = 0;
        for (let i = block << BITS, end = i + 16; i < end; i++) sum += below[i]!;
        level[block] = sum;
      }
      below = level;
    }
  }

  /** Takes note that the value at `at` has grown by `change`. */
  add(at: number, change: number): void {
    for (const level of this.levels) {
      at >>= BITS;
      if (at >= level.length) return;
      level[at]! += change;
    }
  }
}

/** Size of the blocks of a level. */
export function blockSize(level: number): number {
  return 1 << (BITS * (level + 1));
}
