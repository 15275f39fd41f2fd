// What one interval costs or brings each party, µ¤: + receives, - pays. Pure arithmetic; which delivery counts, and where
// accounts are kept, is the ledger's. Source: the design, "What is traded, and who owes what".
//
//   site      position x nodal price of its bus (each round's at its price), and its deviation = delivered - position:
//               what lies within the certified uncertainty at the nodal price, without penalty;
//               beyond: a shortfall pays max(utility's sell price, nodal price) + penalty,
//               a surplus gets min(utility's buy price, nodal price) - penalty
//   utility   its position at the root's price; the metered deviation of all sites and the losses at its tariff
//   operator  line tariffs and congestion rent, less the losses it buys; penalties and spreads of the imbalance: the rest
//
// Whatever is received is paid by another: the sum of all parties is zero to the last µ¤, because the operator's amount is
// the residual. Congestion rent is shown apart.

import { clamp, mulDivFloor } from '../base/integers.ts';
import { ENERGY_WH_MAX } from '../base/units.ts';
import type { Clearing, FeederModel, OrderBook } from './types.ts';

const PPM = 1_000_000;

export interface Penalties {
  readonly shortfallPenaltyUcPerWh: number;
  readonly surplusPenaltyUcPerWh: number;
}

export interface RootTariff {
  readonly buyUcPerWh: number;
  readonly sellUcPerWh: number;
}

/** A round's part of a position at the round's nodal price. */
export type Lot = { readonly positionWh: number; readonly priceUcPerWh: number };

export interface SiteInput {
  /** Cleared export - cleared import; 0 without a trade. */
  readonly positionWh: number;
  /** Metered export - import. */
  readonly deliveredWh: number;
  /** Nodal price of the bus, of the last round if there were several; null when the interval was not cleared. */
  readonly priceUcPerWh: number | null;
  /** What of the position earlier rounds made, and the bus's price in each. */
  readonly earlier?: readonly Lot[];
  /** The delivery's own, not above the cap that the operator certified. */
  readonly uncertaintyWh: number;
}

export interface SiteAmounts {
  readonly tradesUc: number;
  /** Price of the deviation, penalty included. */
  readonly imbalanceUc: number;
  /** The penalty's part of `imbalanceUc`, <= 0. */
  readonly penaltyUc: number;
}

/** |energies| <= ENERGY_WH_MAX keeps every product below 2^53. Without a clearing the tariff alone prices, without a tariff the nodal price. */
export function siteAmounts(site: SiteInput, tariff: RootTariff | null, penalties: Penalties): SiteAmounts {
  const { positionWh, deliveredWh, priceUcPerWh, uncertaintyWh, earlier = [] } = site;
  const utilitySells = tariff?.sellUcPerWh ?? priceUcPerWh ?? 0;
  const utilityBuys = tariff?.buyUcPerWh ?? priceUcPerWh ?? 0;
  const deviationWh = deliveredWh - positionWh;
  const freeWh = clamp(deviationWh, 0 - uncertaintyWh, uncertaintyWh);
  const restWh = deviationWh - freeWh;
  // Of several rounds the price that is worse for the site: nobody gains by not delivering what an earlier round paid better.
  const ofRounds = [...(priceUcPerWh === null ? [] : [priceUcPerWh]), ...earlier.map((lot) => lot.priceUcPerWh)];
  const nodalUcPerWh = ofRounds.length === 0 ? null : deviationWh < 0 ? Math.max(...ofRounds) : Math.min(...ofRounds);
  const freeUcPerWh = nodalUcPerWh ?? (freeWh < 0 ? utilitySells : utilityBuys);
  const restUcPerWh =
    restWh < 0
      ? Math.max(utilitySells, nodalUcPerWh ?? utilitySells)
      : Math.min(utilityBuys, nodalUcPerWh ?? utilityBuys);
  const penaltyUcPerWh = restWh < 0 ? penalties.shortfallPenaltyUcPerWh : penalties.surplusPenaltyUcPerWh;
  const penaltyUc = 0 - Math.abs(restWh) * penaltyUcPerWh;
  const lastWh = earlier.reduce((leftWh, lot) => leftWh - lot.positionWh, positionWh);
  const earlierUc = earlier.reduce((sum, lot) => sum + lot.positionWh * lot.priceUcPerWh, 0);
  return {
    // Adding 0 turns a negative zero into zero.
    tradesUc: lastWh * (priceUcPerWh ?? 0) + earlierUc + 0,
    imbalanceUc: freeWh * freeUcPerWh + restWh * restUcPerWh + penaltyUc + 0,
    penaltyUc,
  };
}

/** What a silent site is settled for until it delivers: all it may import or all it may export, whichever costs it more. */
export function worstDelivery(
  site: Omit<SiteInput, 'deliveredWh'>,
  exportMaxWh: number,
  importMaxWh: number,
  tariff: RootTariff | null,
  penalties: Penalties,
): number {
  const costAt = (deliveredWh: number): number => siteAmounts({ ...site, deliveredWh }, tariff, penalties).imbalanceUc;
  const importing = 0 - Math.min(importMaxWh, ENERGY_WH_MAX);
  const exporting = Math.min(exportMaxWh, ENERGY_WH_MAX);
  return costAt(importing) <= costAt(exporting) ? importing : exporting;
}

/** What of a clearing its settlement needs beside the sites' positions. */
export interface MarketAccount {
  readonly lineTariffsUc: bigint;
  /** Price differences beyond the tariffs on full lines, >= 0. */
  readonly congestionUc: bigint;
  /** Modelled losses of all flows, baseline included: the sum of floor(|flow| x loss). */
  readonly lossWh: number;
  /** What the utility receives for its cleared sales less its purchases, at the root's price. */
  readonly utilityUc: bigint;
}

export function marketAccount(feeder: FeederModel, book: OrderBook, clearing: Clearing): MarketAccount {
  const { parents, tariffsUcPerWh, lossesPpm, baseFlowsWh, root } = feeder;
  const { flowsWh, pricesUcPerWh, fillsWh } = clearing;
  let lineTariffsUc = 0n;
  let congestionUc = 0n;
  let lossWh = 0;
  for (let bus = 0; bus < parents.length; bus++) {
    if (bus === root) continue;
    const flowWh = flowsWh[bus]!;
    lossWh += mulDivFloor(Math.abs(flowWh + baseFlowsWh[bus]!), lossesPpm[bus]!, PPM);
    if (flowWh === 0) continue;
    const tariffUc = BigInt(Math.abs(flowWh)) * BigInt(tariffsUcPerWh[bus]!);
    lineTariffsUc += tariffUc;
    congestionUc += BigInt(pricesUcPerWh[parents[bus]!]! - pricesUcPerWh[bus]!) * BigInt(flowWh) - tariffUc;
  }
  const utilityPositionWh = book.hasUtility ? fillsWh[book.size - 2]! - fillsWh[book.size - 1]! : 0;
  const utilityUc = BigInt(utilityPositionWh) * BigInt(pricesUcPerWh[root]!);
  return { lineTariffsUc, congestionUc, lossWh, utilityUc };
}

/** The account of all rounds. The last one's flows have those before as baseline: its losses are the losses. */
export function accountOfRounds(rounds: readonly MarketAccount[]): MarketAccount {
  return rounds.reduce((sum, round) => ({
    lineTariffsUc: sum.lineTariffsUc + round.lineTariffsUc,
    congestionUc: sum.congestionUc + round.congestionUc,
    lossWh: round.lossWh,
    utilityUc: sum.utilityUc + round.utilityUc,
  }));
}

export interface SettledSite {
  readonly positionWh: number;
  readonly deliveredWh: number;
  readonly tradesUc: number;
  readonly imbalanceUc: number;
  /** Null while the delivery is only assumed. */
  readonly counters: unknown;
}

export interface CommonAmounts {
  readonly utilityUc: bigint;
  readonly operatorUc: bigint;
  /** The operator's congestion rent, shown apart; part of `operatorUc`. */
  readonly congestionUc: bigint;
}

/** The utility's and the operator's side of an interval, from all its settled sites. */
export function commonAmounts(
  sites: readonly SettledSite[],
  market: Pick<MarketAccount, 'lossWh'> & {
    readonly lineTariffsUc: bigint | string;
    readonly utilityUc: bigint | string;
    readonly tariff: RootTariff | null;
  },
): CommonAmounts {
  const { tariff } = market;
  const positionUc = BigInt(market.utilityUc);
  let sitesUc = 0n;
  let tradesUc = positionUc;
  let meteredWh = 0n;
  for (const site of sites) {
    sitesUc += BigInt(site.tradesUc) + BigInt(site.imbalanceUc);
    tradesUc += BigInt(site.tradesUc);
    // An assumed delivery moves money, not energy: the operator holds it until the counters are known.
    if (site.counters !== null) meteredWh += BigInt(site.deliveredWh - site.positionWh);
  }
  const deviationUc =
    tariff === null ? 0n : meteredWh * BigInt(meteredWh < 0n ? tariff.sellUcPerWh : tariff.buyUcPerWh);
  const lossesUc = BigInt(market.lossWh) * BigInt(tariff?.sellUcPerWh ?? 0);
  const utilityUc = positionUc - deviationUc + lossesUc;
  return { utilityUc, operatorUc: -sitesUc - utilityUc, congestionUc: -tradesUc - BigInt(market.lineTariffsUc) };
}
