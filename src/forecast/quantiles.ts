// Small statistics of quantiles: of weighted values, of sorted values, and in order.

import { QUANTILES } from './types.ts';

/** Quantiles at `QUANTILES` of weighted values, interpolated between the middles of their weights; null without weight. */
export function weightedQuantiles(values: readonly number[], weights: readonly number[]): number[] | null {
  const order = values
    .map((_, i) => i)
    .filter((i) => (weights[i] as number) > 0)
    .sort((a, b) => (values[a] as number) - (values[b] as number));
  if (order.length === 0) return null;
  const total = order.reduce((sum, i) => sum + (weights[i] as number), 0);
  const result: number[] = [];
  let place = 0;
  let below = 0;
  let previousMiddle = 0;
  let previousValue = values[order[0] as number] as number;
  for (const quantile of QUANTILES) {
    const wanted = quantile * total;
    for (;;) {
      const i = order[place];
      if (i === undefined) {
        result.push(previousValue);
        break;
      }
      const middle = below + (weights[i] as number) / 2;
      const value = values[i] as number;
      if (middle >= wanted) {
        const share = place === 0 ? 1 : (wanted - previousMiddle) / (middle - previousMiddle);
        result.push(previousValue + (value - previousValue) * share);
        break;
      }
      below += weights[i] as number;
      previousMiddle = middle;
      previousValue = value;
      place++;
    }
  }
  return result;
}

/** Loss of a quantile forecast: tau*(y-q) above, (1-tau)*(q-y) below. */
export function pinball(tau: number, forecast: number, actual: number): number {
  return actual >= forecast ? tau * (actual - forecast) : (1 - tau) * (forecast - actual);
}

/** Puts crossing quantiles in order, in place. */
export function sortQuantiles(values: number[]): number[] {
  for (let i = 1; i < values.length; i++) {
    for (let j = i; j > 0 && (values[j - 1] as number) > (values[j] as number); j--) {
      const swapped = values[j] as number;
      values[j] = values[j - 1] as number;
      values[j - 1] = swapped;
    }
  }
  return values;
}
