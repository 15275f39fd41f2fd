// Clearing: orders on a feeder to the allocation of greatest welfare and its certificate. The same result from the same
// feeder and consensus order on every machine; nobody has a choice among optima (ties: book.ts, prices: certificate.ts).

import { allocate } from './allocate.ts';
import { certify } from './certificate.ts';
import type { Clearing, FeederModel, OrderBook } from './types.ts';

/** The one clearing of a book on a feeder. Never fails on a checked feeder and book; without any gain nothing is filled. */
export function clear(feeder: FeederModel, book: OrderBook): Clearing {
  return certify(feeder, book, allocate(feeder, book));
}

/**
 * Walks through the rounds of a clearing: order i takes part from round `joins[i]` (0 to rounds - 1) on, with what earlier
 * rounds left of it, and lines carry what earlier rounds left free. Who came in an earlier round is served before those of
 * later ones, at the price of welfare over all; each round is optimal for itself. `visit` gets each round's feeder and book
 * and returns its clearing, made or already given and verified; null ends the walk.
 */
export function walkRounds(
  feeder: FeederModel,
  book: OrderBook,
  joins: Uint8Array,
  rounds: number,
  visit: (feeder: FeederModel, book: OrderBook, round: number) => Clearing | null,
): void {
  const leftWh = book.energiesWh.slice();
  let current = feeder;
  for (let round = 0; round < rounds; round++) {
    const energiesWh = leftWh.map((energyWh, i) => (joins[i]! <= round ? energyWh : 0));
    const clearing = visit(current, { ...book, energiesWh }, round);
    if (clearing === null) return;
    for (let i = 0; i < book.size; i++) leftWh[i]! -= clearing.fillsWh[i]!;
    current = afterFlows(current, clearing.flowsWh);
  }
}

/** What all rounds make together; the prices are the last round's. */
export function sumOfRounds(rounds: readonly Clearing[]): Clearing {
  return rounds.reduce((sum, round) => ({
    welfareUc: sum.welfareUc + round.welfareUc,
    tradedWh: sum.tradedWh + round.tradedWh,
    fillsWh: sum.fillsWh.map((fill, i) => fill + round.fillsWh[i]!),
    flowsWh: sum.flowsWh.map((flow, bus) => flow + round.flowsWh[bus]!),
    pricesUcPerWh: round.pricesUcPerWh,
  }));
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
