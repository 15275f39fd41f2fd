// Gradient boosting of all seven quantiles at once: each tree has one structure (split by the pinball gradients of three quantiles)
// and seven values a leaf (the quantiles of what is still missing there). Histograms of at most BINS bins, leaves grown best first.
// Deterministic: rows and features are drawn from a seed.

import { seededRandom } from '../base/random.ts';
import { QUANTILES } from './types.ts';
import type { Work } from './work.ts';

const BINS = 64;
const Q = QUANTILES.length;
/** Outer quantiles of a small leaf say little about the next value: they are followed more slowly. */
const CAUTION = [0.5, 0.7, 1, 1, 1, 0.7, 0.5] as const;
/**
 * Quantiles whose gradients choose the splits: 10, 50, 90 %. Between them a row is in one of four classes, and a histogram need only
 * count the rows of each class: the gradients' sums follow from the counts.
 */
const GUIDES = [1, 3, 5] as const;
const UNDRAWN = 255;
/** A bin of a histogram is two words, each with the counts of two classes: the first in its lower half, the second in its upper. */
const WORDS = 2;
const HALF = 16;
const LOWER = 0xffff;
/** A count must fit its half of a word. */
const ROWS_LIMIT = 0x7fff;
const FEATURE_WORDS = (BINS + 1) * WORDS;
/** Weight of each guide's gradient over its spread, so that equal weights weigh equally. */
const GUIDE_SCALES = [1 / 0.3, 1.8 / 0.5, 1 / 0.3] as const;

export interface BoostingOptions {
  readonly trees: number;
  readonly leaves: number;
  readonly rate: number;
  readonly minLeaf: number;
  readonly rowShare: number;
  readonly featureShare: number;
  readonly seed: number;
}

interface Tree {
  /** Inner node: feature, threshold (value <= threshold or unknown goes left), children; leaf: feature -1, left = place of its values. */
  readonly feature: Int16Array;
  readonly threshold: Float64Array;
  readonly left: Int16Array;
  readonly right: Int16Array;
  readonly values: Float64Array;
}

export interface Boosted {
  readonly start: readonly number[];
  readonly trees: readonly Tree[];
}

/** Rows of features in bins: made once for all that is fitted to them. */
export interface Binned {
  readonly rows: readonly Float64Array[];
  /** By feature, then row; 0: unknown. */
  readonly bins: readonly Uint8Array[];
  /** By feature: upper borders of bins 1.. */
  readonly borders: readonly Float64Array[];
}

/** Fits rows (at most ROWS_LIMIT) to values. A piece of the work is a tree. */
export function* fitBoosted(
  { rows, bins, borders }: Binned,
  values: readonly number[],
  options: BoostingOptions,
): Work<Boosted> {
  const n = rows.length;
  if (n > ROWS_LIMIT) throw new RangeError(`${n} rows to fit, at most ${ROWS_LIMIT}`);
  const width = bins.length;
  const random = seededRandom(options.seed);
  const target = Float64Array.from(values);
  const start = QUANTILES.map((quantile) => quantileOf(Float64Array.from(target), n, quantile));
  // Row after row, Q values each.
  const fitted = new Float64Array(n * Q);
  for (let i = 0; i < n; i++) fitted.set(start, i * Q);
  const trees: Tree[] = [];
  const all = Int32Array.from({ length: n }, (_, i) => i);
  const shop = new Workshop(n);
  for (let round = 0; round < options.trees; round++) {
    const drawn = options.rowShare < 1 ? all.filter(() => random() < options.rowShare) : all.slice();
    const features = draw(width, options.featureShare, random);
    const tree = grow(bins, borders, features, drawn, target, fitted, options, shop);
    trees.push(tree);
    // Rows that were not drawn learn from the tree too.
    for (let i = 0; drawn.length < n && i < n; i++) {
      if (shop.classes[i] === UNDRAWN) addTo(fitted, i, tree.values, leafIn(tree, rows[i] as Float64Array));
    }
    yield;
  }
  return { start, trees };
}

function addTo(fitted: Float64Array, row: number, values: Float64Array, leaf: number): void {
  for (let q = 0; q < Q; q++) {
    fitted[row * Q + q] = (fitted[row * Q + q] as number) + (values[leaf + q] as number);
  }
}

/** Quantiles for one row; may cross. */
export function predictBoosted(model: Boosted, row: Float64Array): number[] {
  const result = [...model.start];
  for (const tree of model.trees) {
    const place = leafIn(tree, row);
    for (let q = 0; q < Q; q++) result[q] = (result[q] as number) + (tree.values[place + q] as number);
  }
  return result;
}

function leafIn(tree: Tree, row: Float64Array): number {
  let node = 0;
  for (;;) {
    const feature = tree.feature[node] as number;
    if (feature < 0) return tree.left[node] as number;
    node = ((row[feature] as number) > (tree.threshold[node] as number) ? tree.right[node] : tree.left[node]) as number;
  }
}

/** Sorts rows of features (NaN: unknown; all of the same length) into bins. A piece of the work is a feature. */
export function* binRows(rows: readonly Float64Array[]): Work<Binned> {
  const n = rows.length;
  const width = rows[0]?.length ?? 0;
  const bins: Uint8Array[] = [];
  const borders: Float64Array[] = [];
  const values = new Float64Array(n);
  for (let f = 0; f < width; f++) {
    let known = 0;
    for (let i = 0; i < n; i++) {
      const value = (rows[i] as Float64Array)[f] as number;
      if (!Number.isNaN(value)) values[known++] = value;
    }
    const sorted = values.subarray(0, known).sort();
    const edges: number[] = [];
    for (let b = 1; b < BINS; b++) {
      const edge = sorted[Math.floor((b * known) / BINS)];
      if (edge !== undefined && edge !== edges.at(-1)) edges.push(edge);
    }
    const border = Float64Array.from(edges);
    const column = new Uint8Array(n);
    for (let i = 0; i < n; i++) {
      const value = (rows[i] as Float64Array)[f] as number;
      column[i] = Number.isNaN(value) ? 0 : 1 + placeIn(border, value);
    }
    borders.push(border);
    bins.push(column);
    yield;
  }
  return { rows, bins, borders };
}

/** How many borders are below the value. */
function placeIn(border: Float64Array, value: number): number {
  let low = 0;
  let high = border.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((border[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function draw(width: number, share: number, random: () => number): number[] {
  const features = Array.from({ length: width }, (_, i) => i);
  const count = Math.max(1, Math.round(width * share));
  for (let i = 0; i < count; i++) {
    const other = i + Math.floor(random() * (width - i));
    [features[i], features[other]] = [features[other] as number, features[i] as number];
  }
  return features.slice(0, count);
}

interface Split {
  readonly gain: number;
  readonly feature: number;
  readonly bin: number;
}

/** A leaf that may still be split: its rows are `order[from, to)`. */
interface Open {
  readonly node: number;
  readonly from: number;
  readonly to: number;
  readonly histogram: Int32Array;
  readonly split: Split | null;
}

/** What growing needs beyond a tree: made once for all trees. */
class Workshop {
  readonly classes: Uint8Array;
  readonly rest: Float64Array;
  /** Class of the row at each place of the order. */
  readonly placed: Uint8Array;
  readonly #scratch: Int32Array;
  readonly #scratchPlaced: Uint8Array;
  readonly #histograms: Int32Array[] = [];

  constructor(rows: number) {
    this.classes = new Uint8Array(rows);
    this.rest = new Float64Array(rows);
    this.placed = new Uint8Array(rows);
    this.#scratch = new Int32Array(rows);
    this.#scratchPlaced = new Uint8Array(rows);
  }

  takeHistogram(length: number): Int32Array {
    return this.#histograms.pop()?.fill(0) ?? new Int32Array(length);
  }

  giveHistogram(histogram: Int32Array): void {
    this.#histograms.push(histogram);
  }

  /** Puts the rows of `order[from, to)` that go left first, keeping their order; returns where the others begin. */
  part(order: Int32Array, from: number, to: number, column: Uint8Array, bin: number): number {
    const { placed } = this;
    const scratch = this.#scratch;
    const scratchPlaced = this.#scratchPlaced;
    let middle = from;
    let kept = 0;
    for (let k = from; k < to; k++) {
      const i = order[k] as number;
      if ((column[i] as number) <= bin) {
        placed[middle] = placed[k] as number;
        order[middle++] = i;
      } else {
        scratchPlaced[kept] = placed[k] as number;
        scratch[kept++] = i;
      }
    }
    for (let k = 0; k < kept; k++) {
      order[middle + k] = scratch[k] as number;
      placed[middle + k] = scratchPlaced[k] as number;
    }
    return middle;
  }
}

/** Grows a tree on the rows `order`, which it reorders, and adds its values to what is `fitted` for them. */
function grow(
  bins: readonly Uint8Array[],
  borders: readonly Float64Array[],
  features: readonly number[],
  order: Int32Array,
  target: Float64Array,
  fitted: Float64Array,
  options: BoostingOptions,
  shop: Workshop,
): Tree {
  const { classes, placed, rest } = shop;
  const [low, middle, high] = GUIDES;
  classes.fill(UNDRAWN);
  for (let k = 0; k < order.length; k++) {
    const i = order[k] as number;
    const y = target[i] as number;
    const at = i * Q;
    const of =
      (y >= (fitted[at + low] as number) ? 1 : 0) +
      (y >= (fitted[at + middle] as number) ? 1 : 0) +
      (y >= (fitted[at + high] as number) ? 1 : 0);
    classes[i] = of;
    placed[k] = of;
  }
  const most = options.leaves * 2;
  const feature = new Int16Array(most).fill(-1);
  const threshold = new Float64Array(most);
  const left = new Int16Array(most);
  const right = new Int16Array(most);
  const values = new Float64Array(options.leaves * Q);
  const size = features.length * FEATURE_WORDS;
  let nodes = 1;
  const opened = (node: number, from: number, to: number, histogram: Int32Array): Open => ({
    node,
    from,
    to,
    histogram,
    split: bestSplit(histogram, features, to - from, options.minLeaf),
  });
  const whole = shop.takeHistogram(size);
  count(whole, bins, features, order, 0, order.length, placed);
  const open = [opened(0, 0, order.length, whole)];
  while (open.length < options.leaves) {
    let best = -1;
    for (let i = 0; i < open.length; i++) {
      const gain = open[i]?.split?.gain;
      if (gain !== undefined && (best < 0 || gain > ((open[best] as Open).split as Split).gain)) best = i;
    }
    if (best < 0) break;
    const { node, from, to, histogram: parent, split } = open[best] as Open & { split: Split };
    const border = shop.part(order, from, to, bins[split.feature] as Uint8Array, split.bin);
    feature[node] = split.feature;
    threshold[node] =
      split.bin === 0 ? Number.NEGATIVE_INFINITY : ((borders[split.feature] as Float64Array)[split.bin - 1] as number);
    // The smaller half is counted, the larger one is what remains of the parent.
    const small = shop.takeHistogram(size);
    const leftIsSmall = border - from < to - border;
    if (leftIsSmall) count(small, bins, features, order, from, border, placed);
    else count(small, bins, features, order, border, to, placed);
    for (let i = 0; i < size; i++) parent[i] = (parent[i] as number) - (small[i] as number);
    left[node] = nodes++;
    right[node] = nodes++;
    open[best] = opened(left[node] as number, from, border, leftIsSmall ? small : parent);
    open.push(opened(right[node] as number, border, to, leftIsSmall ? parent : small));
  }
  open.forEach(({ node, from, to, histogram }, leaf) => {
    shop.giveHistogram(histogram);
    left[node] = leaf * Q;
    for (let q = 0; q < Q; q++) {
      for (let k = from; k < to; k++) {
        const i = order[k] as number;
        rest[k - from] = (target[i] as number) - (fitted[i * Q + q] as number);
      }
      values[leaf * Q + q] =
        options.rate * (CAUTION[q] as number) * quantileOf(rest, to - from, QUANTILES[q] as number);
    }
    for (let k = from; k < to; k++) addTo(fitted, order[k] as number, values, leaf * Q);
  });
  return { feature, threshold, left, right, values };
}

/** Counts the rows `order[from, to)` by feature, bin and class. */
function count(
  histogram: Int32Array,
  bins: readonly Uint8Array[],
  features: readonly number[],
  order: Int32Array,
  from: number,
  to: number,
  placed: Uint8Array,
): void {
  for (let f = 0; f < features.length; f++) {
    const column = bins[features[f] as number] as Uint8Array;
    const start = f * FEATURE_WORDS;
    for (let k = from; k < to; k++) {
      const of = placed[k] as number;
      const place = start + (column[order[k] as number] as number) * WORDS + (of >> 1);
      histogram[place] = (histogram[place] as number) + (1 << ((of & 1) * HALF));
    }
  }
}

function bestSplit(histogram: Int32Array, features: readonly number[], rows: number, minLeaf: number): Split | null {
  if (rows < 2 * minLeaf) return null;
  const [first, second, third] = GUIDE_SCALES;
  const [low, middle, high] = GUIDES.map((q) => QUANTILES[q] as number) as [number, number, number];
  // Rows below the first, second, third guide. Counts are added up two by two.
  let [word0, word1] = [0, 0];
  for (let place = 0; place < FEATURE_WORDS; place += WORDS) {
    word0 += histogram[place] as number;
    word1 += histogram[place + 1] as number;
  }
  const below0 = word0 & LOWER;
  const below1 = below0 + (word0 >> HALF);
  const below2 = below1 + (word1 & LOWER);
  const a = first * (low * rows - below0);
  const b = second * (middle * rows - below1);
  const c = third * (high * rows - below2);
  const whole = (a * a + b * b + c * c) / rows;
  let best: Split | null = null;
  let bestGain = 1e-3;
  for (let f = 0; f < features.length; f++) {
    word0 = 0;
    word1 = 0;
    for (let bin = 0, place = f * FEATURE_WORDS; bin < BINS; bin++, place += WORDS) {
      const here0 = histogram[place] as number;
      const here1 = histogram[place + 1] as number;
      if ((here0 | here1) === 0) continue;
      word0 += here0;
      word1 += here1;
      const n0 = word0 & LOWER;
      const n1 = n0 + (word0 >> HALF);
      const n2 = n1 + (word1 & LOWER);
      const n = n2 + (word1 >> HALF);
      if (n < minLeaf) continue;
      const others = rows - n;
      if (others < minLeaf) break;
      const x = first * (low * n - n0);
      const y = second * (middle * n - n1);
      const z = third * (high * n - n2);
      const gain = (x * x + y * y + z * z) / n + ((a - x) ** 2 + (b - y) ** 2 + (c - z) ** 2) / others - whole;
      if (gain > bestGain) {
        bestGain = gain;
        best = { gain, feature: features[f] as number, bin };
      }
    }
  }
  return best;
}

/** The quantile of the first `n` values, interpolated; reorders them. */
function quantileOf(values: Float64Array, n: number, quantile: number): number {
  if (n === 0) return 0;
  const place = quantile * (n - 1);
  const below = Math.floor(place);
  const low = select(values, n, below);
  if (below === place) return low;
  let high = Number.POSITIVE_INFINITY;
  for (let i = below + 1; i < n; i++) high = Math.min(high, values[i] as number);
  return low + (high - low) * (place - below);
}

/** The k-th smallest of the first `n` (Hoare's selection); what is smaller ends before it. */
function select(values: Float64Array, n: number, k: number): number {
  let from = 0;
  let to = n - 1;
  while (from < to) {
    const pivot = values[(from + to) >> 1] as number;
    let i = from;
    let j = to;
    while (i <= j) {
      while ((values[i] as number) < pivot) i++;
      while ((values[j] as number) > pivot) j--;
      if (i <= j) {
        const swapped = values[i] as number;
        values[i++] = values[j] as number;
        values[j--] = swapped;
      }
    }
    if (k <= j) to = j;
    else if (k >= i) from = i;
    else break;
  }
  return values[k] as number;
}
