// Ridge regression on standardised inputs; what is unknown counts as the mean.

import type { Work } from './work.ts';

export interface Linear {
  readonly means: Float64Array;
  readonly scales: Float64Array;
  readonly coefficients: Float64Array;
  readonly intercept: number;
}

/** Products of two inputs that are added up in one piece of the work, and values that a mean is made of. */
const PRODUCTS_A_PIECE = 1_000_000;
const VALUES_A_PIECE = 100_000;

/** Fits rows (NaN: unknown) to values with weights. `ridge` is relative to the number of rows' weight. Null if nothing can be fitted. */
export function* fitLinear(
  rows: readonly Float64Array[],
  values: readonly number[],
  weights: readonly number[],
  ridge: number,
): Work<Linear | null> {
  const width = rows[0]?.length ?? 0;
  const means = new Float64Array(width);
  const scales = new Float64Array(width);
  const pieceInputs = Math.ceil(VALUES_A_PIECE / Math.max(1, rows.length));
  for (let f = 0; f < width; f++) {
    if (f % pieceInputs === pieceInputs - 1) yield;
    let [sum, square, total] = [0, 0, 0];
    for (let i = 0; i < rows.length; i++) {
      const value = (rows[i] as Float64Array)[f] as number;
      if (Number.isNaN(value)) continue;
      const weight = weights[i] as number;
      sum += weight * value;
      square += weight * value * value;
      total += weight;
    }
    if (total === 0) continue;
    means[f] = sum / total;
    const variance = square / total - (means[f] as number) ** 2;
    scales[f] = variance > 1e-12 * (1 + (means[f] as number) ** 2) ? 1 / Math.sqrt(variance) : 0;
  }
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!(total > 0)) return null;
  const intercept = values.reduce((sum, value, i) => sum + value * (weights[i] as number), 0) / total;
  const products = new Float64Array(width * width);
  const targets = new Float64Array(width);
  const standard = new Float64Array(width);
  const pieceRows = Math.ceil(PRODUCTS_A_PIECE / Math.max(1, (width * width) / 2));
  for (let i = 0; i < rows.length; i++) {
    if (i % pieceRows === 0) yield;
    standardise(rows[i] as Float64Array, means, scales, standard);
    const weight = weights[i] as number;
    const rest = weight * ((values[i] as number) - intercept);
    for (let a = 0; a < width; a++) {
      const x = standard[a] as number;
      if (x === 0) continue;
      targets[a] = (targets[a] as number) + x * rest;
      const from = a * width;
      const weighted = weight * x;
      for (let b = 0; b <= a; b++) {
        products[from + b] = (products[from + b] as number) + weighted * (standard[b] as number);
      }
    }
  }
  const coefficients = solve(products, targets, width, ridge * total);
  return coefficients === null ? null : { means, scales, coefficients, intercept };
}

export function predictLinear(model: Linear, row: Float64Array): number {
  let sum = model.intercept;
  for (let f = 0; f < row.length; f++) {
    const value = row[f] as number;
    if (Number.isNaN(value)) continue;
    const deviation = (value - (model.means[f] as number)) * (model.scales[f] as number);
    // Beyond what was seen, a straight line is a guess: five deviations are the end of it.
    sum += (model.coefficients[f] as number) * Math.max(-5, Math.min(5, deviation));
  }
  return sum;
}

function standardise(row: Float64Array, means: Float64Array, scales: Float64Array, into: Float64Array): void {
  for (let f = 0; f < row.length; f++) {
    const value = row[f] as number;
    into[f] = Number.isNaN(value) ? 0 : (value - (means[f] as number)) * (scales[f] as number);
  }
}

/** Solves by Cholesky of the lower half of `products` plus `ridge` on the diagonal; null if it is not positive. */
export function solve(
  products: Float64Array,
  targets: Float64Array,
  width: number,
  ridge: number,
): Float64Array | null {
  const lower = new Float64Array(width * width);
  for (let i = 0; i < width; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = products[i * width + j] as number;
      if (i === j) sum += ridge;
      for (let k = 0; k < j; k++) sum -= (lower[i * width + k] as number) * (lower[j * width + k] as number);
      if (i !== j) lower[i * width + j] = sum / (lower[j * width + j] as number);
      else if (!(sum > 0)) return null;
      else lower[i * width + i] = Math.sqrt(sum);
    }
  }
  const answer = new Float64Array(width);
  for (let i = 0; i < width; i++) {
    let sum = targets[i] as number;
    for (let k = 0; k < i; k++) sum -= (lower[i * width + k] as number) * (answer[k] as number);
    answer[i] = sum / (lower[i * width + i] as number);
  }
  for (let i = width - 1; i >= 0; i--) {
    let sum = answer[i] as number;
    for (let k = i + 1; k < width; k++) sum -= (lower[k * width + i] as number) * (answer[k] as number);
    answer[i] = sum / (lower[i * width + i] as number);
  }
  return answer;
}
