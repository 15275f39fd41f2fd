// Clearing: orders on a feeder to the allocation of greatest welfare and its certificate. The same result from the same
// feeder and consensus order on every machine; nobody has a choice among optima (ties: book.ts, prices: certificate.ts).

import { allocate } from './allocate.ts';
import { certify } from './certificate.ts';
import type { Clearing, FeederModel, OrderBook } from './types.ts';

/** The one clearing of a book on a feeder. Never fails on a checked feeder and book; without any gain nothing is filled. */
export function clear(feeder: FeederModel, book: OrderBook): Clearing {
  return certify(feeder, book, allocate(feeder, book));
}

/** One of several rounds: the book and feeder it was cleared on, for `verifyClearing`, and its result. */
export interface Round {
  readonly feeder: FeederModel;
  readonly book: OrderBook;
  readonly clearing: Clearing;
}

/**
 * Clears in rounds: order i takes part from round `joins[i]` (0 to rounds - 1) on, with what earlier rounds left of it, and
 * lines carry what earlier rounds left free. Who came in an earlier round is served before those of later ones, at the
 * price of welfare over all; each round is optimal for itself. With one round this is `clear`.
 */
export function clearRounds(feeder: FeederModel, book: OrderBook, joins: Uint8Array, rounds: number): Round[] {
  const results: Round[] = [];
  const leftWh = book.energiesWh.slice();
  let current = feeder;
  for (let round = 0; round < rounds; round++) {
    const open: OrderBook = { ...book, energiesWh: leftWh.map((energyWh, i) => (joins[i]! <= round ? energyWh : 0)) };
    const clearing = clear(current, open);
    results.push({ feeder: current, book: open, clearing });
    for (let i = 0; i < book.size; i++) leftWh[i]! -= clearing.fillsWh[i]!;
    current = afterFlows(current, clearing.flowsWh);
  }
  return results;
}

/** The feeder once these flows are taken: as baseline, and off the limits. */
function afterFlows(feeder: FeederModel, flowsWh: Float64Array): FeederModel {
  return {
    ...feeder,
    baseFlowsWh: feeder.baseFlowsWh.map((flow, bus) => flow + flowsWh[bus]!),
    upMaxWh: feeder.upMaxWh.map((limit, bus) => limit - flowsWh[bus]!),
    downMaxWh: feeder.downMaxWh.map((limit, bus) => limit + flowsWh[bus]!),
  };
}
