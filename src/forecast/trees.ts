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
/** Quantiles whose gradients choose the splits: 10, 50, 90 %. */
const GUIDES = [1, 3, 5] as const;
const GUIDE_WEIGHTS = [1, 1.8, 1] as const;
const STRIDE = GUIDES.length + 1;

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

/** Fits rows of features (NaN: unknown) to values; all rows have the same length. A piece of the work is a tree. */
export function* fitBoosted(
  rows: readonly Float64Array[],
  values: readonly number[],
  options: BoostingOptions,
): Work<Boosted> {
  const n = rows.length;
  const width = rows[0]?.length ?? 0;
  const random = seededRandom(options.seed);
  const { bins, borders } = binned(rows, width);
  const target = Float64Array.from(values);
  const start = QUANTILES.map((quantile) => quantileOf(Float64Array.from(target), n, quantile));
  const fitted = start.map((value) => new Float64Array(n).fill(value));
  const trees: Tree[] = [];
  const all = Int32Array.from({ length: n }, (_, i) => i);
  const leafOf = new Int16Array(n);
  for (let round = 0; round < options.trees; round++) {
    const drawn = options.rowShare < 1 ? all.filter(() => random() < options.rowShare) : all;
    const features = draw(width, options.featureShare, random);
    const tree = grow(bins, borders, features, drawn, target, fitted, options);
    trees.push(tree);
    for (let i = 0; i < n; i++) leafOf[i] = leafIn(tree, rows[i] as Float64Array);
    for (let q = 0; q < Q; q++) {
      const column = fitted[q] as Float64Array;
      for (let i = 0; i < n; i++)
        column[i] = (column[i] as number) + (tree.values[(leafOf[i] as number) + q] as number);
    }
    yield;
  }
  return { start, trees };
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

/** Bin numbers by feature (0: unknown) and the upper borders of bins 1.. */
function binned(rows: readonly Float64Array[], width: number): { bins: Uint8Array[]; borders: Float64Array[] } {
  const bins: Uint8Array[] = [];
  const borders: Float64Array[] = [];
  for (let f = 0; f < width; f++) {
    const column = Float64Array.from(rows, (row) => row[f] as number);
    const sorted = column.filter((value) => !Number.isNaN(value)).sort();
    const edges: number[] = [];
    for (let b = 1; b < BINS; b++) {
      const edge = sorted[Math.floor((b * sorted.length) / BINS)];
      if (edge !== undefined && edge !== edges.at(-1)) edges.push(edge);
    }
    const border = Float64Array.from(edges);
    borders.push(border);
    bins.push(Uint8Array.from(column, (value) => (Number.isNaN(value) ? 0 : 1 + placeIn(border, value))));
  }
  return { bins, borders };
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

interface Open {
  readonly node: number;
  readonly members: Int32Array;
  readonly histogram: Float64Array;
  readonly split: Split | null;
}

interface Split {
  readonly gain: number;
  readonly feature: number;
  readonly bin: number;
}

function grow(
  bins: readonly Uint8Array[],
  borders: readonly Float64Array[],
  features: readonly number[],
  members: Int32Array,
  target: Float64Array,
  fitted: readonly Float64Array[],
  options: BoostingOptions,
): Tree {
  const gradients = GUIDES.map((q, g) => {
    const column = fitted[q] as Float64Array;
    const tau = QUANTILES[q] as number;
    // Scaled by the spread of the gradient, so that equal weights weigh equally.
    const scale = (GUIDE_WEIGHTS[g] as number) / Math.sqrt(tau * (1 - tau));
    return Float64Array.from(target, (y, i) => (y < (column[i] as number) ? tau - 1 : tau) * scale);
  });
  const most = options.leaves * 2;
  const feature = new Int16Array(most).fill(-1);
  const threshold = new Float64Array(most);
  const left = new Int16Array(most);
  const right = new Int16Array(most);
  const values = new Float64Array(options.leaves * Q);
  let nodes = 1;
  const whole = histogramOf(bins, features, members, gradients);
  let open: Open[] = [
    { node: 0, members, histogram: whole, split: bestSplit(whole, features, members.length, options.minLeaf) },
  ];
  while (open.length < options.leaves) {
    let best: Open | null = null;
    for (const one of open) {
      if (one.split !== null && (best?.split == null || one.split.gain > best.split.gain)) best = one;
    }
    if (best?.split == null) break;
    const { split, node } = best;
    const column = bins[split.feature] as Uint8Array;
    const toLeft = best.members.filter((i) => (column[i] as number) <= split.bin);
    const toRight = best.members.filter((i) => (column[i] as number) > split.bin);
    feature[node] = split.feature;
    threshold[node] =
      split.bin === 0 ? Number.NEGATIVE_INFINITY : ((borders[split.feature] as Float64Array)[split.bin - 1] as number);
    const small = toLeft.length < toRight.length ? toLeft : toRight;
    const smallHistogram = histogramOf(bins, features, small, gradients);
    const parent = best.histogram;
    for (let i = 0; i < parent.length; i++) parent[i] = (parent[i] as number) - (smallHistogram[i] as number);
    const children = [toLeft, toRight].map((part): Open => {
      const histogram = part === small ? smallHistogram : parent;
      return {
        node: nodes++,
        members: part,
        histogram,
        split: bestSplit(histogram, features, part.length, options.minLeaf),
      };
    });
    left[node] = children[0]?.node as number;
    right[node] = children[1]?.node as number;
    open = [...open.filter((one) => one !== best), ...children];
  }
  open.forEach(({ node, members: inside }, leaf) => {
    left[node] = leaf * Q;
    const rest = new Float64Array(inside.length);
    for (let q = 0; q < Q; q++) {
      const column = fitted[q] as Float64Array;
      for (let i = 0; i < inside.length; i++)
        rest[i] = (target[inside[i] as number] as number) - (column[inside[i] as number] as number);
      values[leaf * Q + q] =
        options.rate * (CAUTION[q] as number) * quantileOf(rest, inside.length, QUANTILES[q] as number);
    }
  });
  return { feature, threshold, left, right, values };
}

/** Counts and sums of gradients by feature and bin. */
function histogramOf(
  bins: readonly Uint8Array[],
  features: readonly number[],
  members: Int32Array,
  gradients: readonly Float64Array[],
): Float64Array {
  const histogram = new Float64Array(features.length * (BINS + 1) * STRIDE);
  const [low, middle, high] = gradients as [Float64Array, Float64Array, Float64Array];
  for (let f = 0; f < features.length; f++) {
    const column = bins[features[f] as number] as Uint8Array;
    const from = f * (BINS + 1) * STRIDE;
    for (let k = 0; k < members.length; k++) {
      const i = members[k] as number;
      const place = from + (column[i] as number) * STRIDE;
      histogram[place] = (histogram[place] as number) + 1;
      histogram[place + 1] = (histogram[place + 1] as number) + (low[i] as number);
      histogram[place + 2] = (histogram[place + 2] as number) + (middle[i] as number);
      histogram[place + 3] = (histogram[place + 3] as number) + (high[i] as number);
    }
  }
  return histogram;
}

function bestSplit(histogram: Float64Array, features: readonly number[], count: number, minLeaf: number): Split | null {
  if (count < 2 * minLeaf) return null;
  const sums = [0, 0, 0];
  for (let b = 0; b <= BINS; b++)
    for (let g = 0; g < 3; g++) sums[g] = (sums[g] as number) + (histogram[b * STRIDE + 1 + g] as number);
  const [a, b, c] = sums as [number, number, number];
  const whole = (a * a + b * b + c * c) / count;
  let best: Split | null = null;
  let bestGain = 1e-3;
  for (let f = 0; f < features.length; f++) {
    let leftCount = 0;
    let x = 0;
    let y = 0;
    let z = 0;
    for (let bin = 0; bin < BINS; bin++) {
      const place = (f * (BINS + 1) + bin) * STRIDE;
      const here = histogram[place] as number;
      if (here === 0) continue;
      leftCount += here;
      x += histogram[place + 1] as number;
      y += histogram[place + 2] as number;
      z += histogram[place + 3] as number;
      if (leftCount < minLeaf) continue;
      const rightCount = count - leftCount;
      if (rightCount < minLeaf) break;
      const gain =
        (x * x + y * y + z * z) / leftCount + ((a - x) ** 2 + (b - y) ** 2 + (c - z) ** 2) / rightCount - whole;
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
