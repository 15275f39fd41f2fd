// Documents of clearings for tests: random feeders, offers, rounds and voltage bands; and every way to make one wrong.

import { seededRandom } from '../../src/base/random.ts';
import { clearInputs, documentOf } from '../../src/ledger/clearing-document.ts';
import type { ClearingInputs } from '../../src/ledger/clearing-rounds.ts';
import type { ClearingDocument } from '../../src/ledger/types.ts';
import { parentOf, SHAPES, type Shape } from '../market/instances.ts';

/** What a clearing is given: up to 12 buses and 30 steps, sometimes rounds, a baseline, a voltage band. */
export function randomInputs(seed: number): ClearingInputs {
  const next = seededRandom(seed);
  const below = (limit: number): number => Math.floor(next() * limit);
  const shape = SHAPES[below(SHAPES.length)] as Shape;
  const n = 2 + below(11);
  const rounds = next() < 0.4 ? 2 + below(2) : 1;
  const buy = below(12_000);
  return {
    buses: Array.from({ length: n }, (_, i) => ({
      capacityW: i === 0 || next() < 0.4 ? null : below(20_000),
      id: `b${i}`,
      lossPpm: below(20_000),
      nominalV: 400,
      parent: i === 0 ? null : `b${parentOf(shape, i, next)}`,
      reactanceUohm: below(100_000),
      resistanceUohm: below(200_000),
      tariffUcPerWh: below(500),
    })),
    feeder: 'f1',
    interval: 1000,
    lengthMs: 900_000,
    netExports: next() < 0.3 ? [{ bus: 'b1', energyWh: below(400) - 200 }] : [],
    orders: Array.from({ length: below(31) }, () => ({
      bus: below(n),
      energyWh: below(3000),
      gateway: `g${below(9)}`,
      priceUcPerWh: below(30) * 1000,
      round: 1 + below(rounds),
      side: next() < 0.5 ? 'supply' : 'demand',
    })),
    rounds,
    tariff: next() < 0.6 ? { buyUcPerWh: buy, buyWhMax: 50_000, sellUcPerWh: buy + 20_000, sellWhMax: 50_000 } : null,
    utility: 'utility',
    voltage:
      next() < 0.4
        ? { maxPpm: 1_010_000, minPpm: 990_000, repeatsMax: 16, rootPpm: 1_000_000, tanPhiPpm: 300_000 }
        : null,
  };
}

export function documentFrom(inputs: ClearingInputs): ClearingDocument {
  return documentOf(inputs, clearInputs(inputs));
}

/** Wrong copies of a document, by what was done; `next` picks the places. Only those that differ from it. */
export function wrongCopies(document: ClearingDocument, next: () => number): readonly (readonly [string, object])[] {
  const { certificates, fillsWh, flowsWh, orders, pricesUcPerWh, trades } = document;
  const bump = (values: readonly number[], by: number): number[] => {
    const at = Math.floor(next() * values.length);
    return values.map((value, i) => (i === at ? value + by : value));
  };
  const first = trades[0];
  const certificate = certificates[0];
  const lastFilled = fillsWh.findLastIndex((fill) => fill > 0);
  const copies: [string, object][] = [
    ['a fill raised', { fillsWh: bump(fillsWh, 1) }],
    ['a fill lowered', { fillsWh: bump(fillsWh, -1) }],
    ['a fill that is text', { fillsWh: fillsWh.map((fill, i) => (i === lastFilled ? `${fill} ` : fill)).concat(1) }],
    ['a fill too many', { fillsWh: [...fillsWh, 0] }],
    ['a flow changed', { flowsWh: bump(flowsWh, 1) }],
    ['a price raised', { pricesUcPerWh: bump(pricesUcPerWh, 1) }],
    ['a price lowered', { pricesUcPerWh: bump(pricesUcPerWh, -1) }],
    ['no prices', { pricesUcPerWh: [] }],
    ['more welfare', { welfareUc: `${document.welfareUc}1` }],
    ['more traded', { tradedWh: `${document.tradedWh}1` }],
    ['a limit tightened', { tightened: [...document.tightened, { bus: 1, downMaxWh: 0, upMaxWh: 0 }] }],
    ['a limit of no bus', { tightened: [...document.tightened, { bus: 99, downMaxWh: 0, upMaxWh: 0 }] }],
    ['a reason though cleared', { reason: 'late' }],
    ['another number of rounds', { rounds: document.rounds + 1 }],
    ['a bus twice', { buses: [...document.buses, document.buses[0]] }],
    ['an order of a bus that is not there', { orders: [{ ...orders[0], bus: 1e6 }, ...orders.slice(1)] }],
  ];
  if (first !== undefined) {
    copies.push(['a trade left out', { trades: trades.slice(1) }]);
    copies.push(['a trade of more', { trades: [{ ...first, energyWh: first.energyWh + 1 }, ...trades.slice(1)] }]);
    copies.push([
      'a trade dearer',
      { trades: [{ ...first, buyerUcPerWh: first.buyerUcPerWh + 1 }, ...trades.slice(1)] },
    ]);
    copies.push(['a trade of another', { trades: [{ ...first, seller: 'mallory' }, ...trades.slice(1)] }]);
  }
  if (certificate !== undefined) {
    copies.push(['certificates left out', { certificates: [] }]);
    copies.push([
      'a round fairer than it was',
      { certificates: [{ ...certificate, fillsWh: bump(certificate.fillsWh, 1) }, ...certificates.slice(1)] },
    ]);
  }
  return copies.map(([name, change]) => [name, { ...document, ...change }] as const);
}
