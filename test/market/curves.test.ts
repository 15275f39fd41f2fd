// The curves of subtrees against a dumb model: one list of single Wh, sorted anew after every step.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { CurveStack } from '../../src/market/curves.ts';

/** Keys are multiples of this plus a number of their own, as in book.ts, so that shifts never make two equal. */
const STEP = 1 << 20;

class DumbCurve {
  items: { key: number; quantity: number }[] = [];
  left = 0;

  add(keys: readonly number[], quantities: readonly number[], left: number): void {
    for (const [i, key] of keys.entries()) this.items.push({ key, quantity: quantities[i]! });
    this.items.sort((a, b) => a.key - b.key);
    this.left += left;
  }

  around(): [left: number, right: number] {
    let before = 0;
    let leftKey = -Infinity;
    for (const { key, quantity } of this.items) {
      if (before + quantity > this.left) return [before < this.left ? key : leftKey, key];
      before += quantity;
      leftKey = key;
    }
    return [leftKey, Infinity];
  }

  shift(by: number): void {
    let before = 0;
    this.items = this.items.flatMap(({ key, quantity }) => {
      const low = Math.max(0, Math.min(quantity, this.left - before));
      before += quantity;
      return [
        { key: key - by, quantity: low },
        { key: key + by, quantity: quantity - low },
      ].filter((piece) => piece.quantity > 0);
    });
  }

  clip(end: 'low' | 'high', excess: number): number {
    let key = end === 'low' ? -Infinity : Infinity;
    if (end === 'low') this.left -= excess;
    while (excess > 0) {
      const item = end === 'low' ? this.items[0]! : this.items.at(-1)!;
      key = item.key;
      const amount = Math.min(excess, item.quantity);
      excess -= amount;
      item.quantity -= amount;
      if (item.quantity === 0) this.items.splice(end === 'low' ? 0 : this.items.length - 1, 1);
    }
    return key;
  }

  get total(): number {
    return this.items.reduce((sum, { quantity }) => sum + quantity, 0);
  }
}

test('any sequence of pushes, shifts and clips gives the keys of the dumb model', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e9 }), (seed) => {
      const next = seededRandom(seed);
      const below = (limit: number): number => Math.floor(next() * limit);
      const curve = new CurveStack(20_000, 200);
      const dumb = new DumbCurve();
      let own = 1;
      for (let step = 0; step < 25; step++) {
        const action = next();
        if (action < 0.5 || curve.count === 0) {
          // Long runs and heavy items make centering pass many items at once.
          const length = 1 + below(next() < 0.3 ? 700 : 8);
          const keys = Array.from({ length }, () => below(3000) * STEP + own++).sort((a, b) => a - b);
          const heavy = next() < 0.3 ? 5000 : 5;
          const quantities = keys.map(() => 1 + below(heavy));
          const total = quantities.reduce((sum, quantity) => sum + quantity, 0);
          const left = next() < 0.3 ? 0 : next() < 0.3 ? total : below(total);
          curve.push(Float64Array.from(keys), Float64Array.from(quantities), 0, length, left);
          dumb.add(keys, quantities, left);
          curve.center(0);
          curve.collapse(0);
          // Each run is at least twice as long as the next: few runs, whatever came before.
          expect(2 ** (curve.count - 1)).toBeLessThanOrEqual(dumb.items.length);
        } else if (action < 0.7) {
          const by = (1 + below(400)) * STEP;
          curve.shift(0, by);
          dumb.shift(by);
        } else if (action < 0.85) {
          const excess = below(Math.ceil(dumb.left / 3) + 1);
          expect(curve.clipLow(0, excess)).toBe(dumb.clip('low', excess));
        } else {
          const excess = below(Math.ceil((dumb.total - dumb.left) / 3) + 1);
          expect(curve.clipHigh(0, excess)).toBe(dumb.clip('high', excess));
        }
        curve.center(0);
        expect([curve.leftKey, curve.rightKey]).toEqual(dumb.around());
      }
    }),
    { numRuns: 150 },
  );
});

test('pruning drops exactly what lies beyond, and never beyond zero', () => {
  const curve = new CurveStack(10, 10);
  curve.push(Float64Array.of(1, 5, 9, 12), Float64Array.of(3, 4, 5, 6), 0, 4, 9);
  curve.center(0);
  expect([curve.pruneLow(0, 6), curve.pruneHigh(0, 10)]).toEqual([7, 6]);
  expect([curve.pruneLow(0, 100), curve.pruneHigh(0, -100)]).toEqual([2, 3]);
});
