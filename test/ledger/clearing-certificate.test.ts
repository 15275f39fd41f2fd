// A clearing judged by its certificates alone: what was cleared holds, whatever is altered does not.

import { expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { certificateProblem } from '../../src/ledger/clearing-certificate.ts';
import type { ClearingDocument } from '../../src/ledger/types.ts';
import { documentFrom, randomInputs, wrongCopies } from './documents.ts';

const SEEDS = Array.from({ length: 400 }, (_, i) => i + 1);

test('what was cleared holds: rounds, baselines and voltage bands included', () => {
  const seen = { cleared: 0, rounds: 0, tightened: 0 };
  for (const seed of SEEDS) {
    const document = documentFrom(randomInputs(seed));
    if (document.status === 'void') {
      expect(certificateProblem(document), `seed ${seed}`).toContain('void');
      continue;
    }
    expect(certificateProblem(document), `seed ${seed}`).toBeNull();
    seen.cleared++;
    if (document.rounds > 1) seen.rounds++;
    if (document.tightened.length > 0) seen.tightened++;
  }
  // The cases that matter are among them.
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(10);
});

test('whatever is altered does not', () => {
  const found = new Map<string, number>();
  for (const seed of SEEDS) {
    const document = documentFrom(randomInputs(seed));
    if (document.status === 'void' || document.orders.length === 0) continue;
    for (const [name, wrong] of wrongCopies(document, seededRandom(seed))) {
      expect(certificateProblem(wrong as ClearingDocument), `seed ${seed}: ${name}`).not.toBeNull();
      found.set(name, (found.get(name) ?? 0) + 1);
    }
  }
  expect(found.size).toBeGreaterThanOrEqual(15);
});

test('a better price for one side is refused though it balances', () => {
  const inputs = randomInputs(1);
  const document = documentFrom({
    ...inputs,
    buses: inputs.buses.map((bus) => ({ ...bus, capacityW: null, tariffUcPerWh: 0 })),
    netExports: [],
    orders: [
      { bus: 1, energyWh: 100, gateway: 'seller', priceUcPerWh: 5000, round: 1, side: 'supply' },
      { bus: 0, energyWh: 100, gateway: 'buyer', priceUcPerWh: 9000, round: 1, side: 'demand' },
    ],
    rounds: 1,
    tariff: null,
    voltage: null,
  });
  expect(certificateProblem(document)).toBeNull();
  expect(document.tradedWh).toBe('100');
  const pricesUcPerWh = document.pricesUcPerWh.map(() => 9000);
  const trades = document.trades.map((trade) => ({ ...trade, buyerUcPerWh: 9000, sellerUcPerWh: 9000 }));
  expect(certificateProblem({ ...document, pricesUcPerWh, trades })).toMatch(/the canonical one is 7000/);
});
