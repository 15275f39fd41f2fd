// Settlement of one interval: delivered energy against positions, to lines of account that sum to exactly zero.
// Owns the rule; which delivery counts, and where accounts are kept, is the ledger's. Source: the design, "What is traded,
// and who owes what".
//
//   trade       a site gets (pays) the nodal price of its bus for its position, the utility that of the root for its own;
//   line-tariff, congestion   what buyers pay beyond what sellers get is the lines': tariff x flow, and the price
//               difference beyond the tariff where a line is full; both go to the operator, shown apart;
//   imbalance   deviation = delivered - position. A shortfall pays max(utility's sell price, nodal price), a surplus gets
//               min(utility's buy price, nodal price), from and to the utility, which is the last counterparty;
//   penalty     on what of a deviation exceeds the delivery's certified uncertainty, paid to the utility;
//   losses      the operator buys the modelled losses of the delivered flows at the utility's sell price.
//
// All amounts are µ¤: + the party receives, - it pays.

import { BugError } from '../base/errors.ts';
import { mulDivFloor } from '../base/integers.ts';
import { flowsOf } from './feeder.ts';
import type { Clearing, FeederModel, OrderBook } from './types.ts';

const PPM = 1_000_000;

/** What of a clearing its settlement needs beside the sites' positions. */
export interface MarketAccount {
  /** Utility's cleared sales - purchases, Wh. */
  readonly utilityPositionWh: number;
  readonly rootPriceUcPerWh: number;
  readonly lineTariffsUc: bigint;
  readonly congestionRentUc: bigint;
}

export interface SettlementSite {
  readonly party: string;
  readonly bus: number;
  /** Cleared export - cleared import; 0 without a trade. */
  readonly positionWh: number;
  /** Nodal price of the bus; null when the interval was not cleared. */
  readonly priceUcPerWh: number | null;
  /** Metered net export and its uncertainty; null while there is no delivery. */
  readonly delivery: { readonly deliveredWh: number; readonly uncertaintyWh: number } | null;
  /** Cap of the uncertainty that the operator certified. */
  readonly uncertaintyWhMax: number;
  /** Registered capacity over the interval, for a missing delivery. */
  readonly exportMaxWh: number;
  readonly importMaxWh: number;
}

export interface SettlementInput {
  readonly feeder: FeederModel;
  /** Null when the interval was not cleared: every position is 0. */
  readonly market: MarketAccount | null;
  /** The utility's tariff of the interval; null if it stated none. */
  readonly tariff: { readonly buyUcPerWh: number; readonly sellUcPerWh: number } | null;
  readonly shortfallPenaltyUcPerWh: number;
  readonly surplusPenaltyUcPerWh: number;
  readonly operator: string;
  readonly utility: string;
  readonly sites: readonly SettlementSite[];
}

export type LineReason = 'trade' | 'line-tariff' | 'congestion' | 'imbalance' | 'penalty' | 'losses';

export interface SettlementLine {
  readonly party: string;
  readonly reason: LineReason;
  /** Energy the line is about, Wh: + export, surplus; - import, shortfall. */
  readonly energyWh: number;
  readonly amountUc: bigint;
}

export interface SiteSettlement {
  readonly party: string;
  readonly positionWh: number;
  /** Metered, or assumed while `provisional`. */
  readonly deliveredWh: number;
  readonly deviationWh: number;
  readonly provisional: boolean;
  /** True if neither a nodal price nor a tariff says what the deviation is worth: nothing is charged. */
  readonly unpriced: boolean;
  readonly tradesUc: bigint;
  /** Price of the deviation and penalty. */
  readonly imbalanceUc: bigint;
  readonly balanceUc: bigint;
}

export interface IntervalSettlement {
  readonly sites: readonly SiteSettlement[];
  /** Of all parties; amounts sum to exactly 0. Lines of amount 0 are left out. */
  readonly lines: readonly SettlementLine[];
  /** Modelled losses of the delivered flows, Wh. */
  readonly lossesWh: number;
}

/** Totals of a verified clearing that its settlement needs. */
export function marketAccount(feeder: FeederModel, book: OrderBook, clearing: Clearing): MarketAccount {
  const { parents, tariffsUcPerWh, root } = feeder;
  const { flowsWh, pricesUcPerWh, fillsWh } = clearing;
  let lineTariffsUc = 0n;
  let congestionRentUc = 0n;
  for (let bus = 0; bus < parents.length; bus++) {
    const flowWh = flowsWh[bus]!;
    if (flowWh === 0) continue;
    const rise = pricesUcPerWh[parents[bus]!]! - pricesUcPerWh[bus]!;
    const tariff = BigInt(Math.abs(flowWh)) * BigInt(tariffsUcPerWh[bus]!);
    lineTariffsUc += tariff;
    congestionRentUc += BigInt(rise) * BigInt(flowWh) - tariff;
  }
  const utilityPositionWh = book.hasUtility ? fillsWh[book.size - 2]! - fillsWh[book.size - 1]! : 0;
  return { utilityPositionWh, rootPriceUcPerWh: pricesUcPerWh[root]!, lineTariffsUc, congestionRentUc };
}

/** Settles an interval. Throws a `BugError` if positions and market account do not belong together. */
export function settle(input: SettlementInput): IntervalSettlement {
  const { feeder, market, tariff, operator, utility } = input;
  const lines: SettlementLine[] = [];
  const line = (party: string, reason: LineReason, energyWh: number, amountUc: bigint): void => {
    if (amountUc !== 0n) lines.push({ party, reason, energyWh, amountUc });
  };

  const netExportsWh = new Float64Array(feeder.parents.length);
  const sites = input.sites.map((site): SiteSettlement => {
    const { deliveredWh, charge } = outcomeOf(site, input);
    const tradesUc = BigInt(site.positionWh) * BigInt(site.priceUcPerWh ?? 0);
    const deviationWh = deliveredWh - site.positionWh;
    netExportsWh[site.bus]! += site.delivery === null ? site.positionWh : deliveredWh;
    line(site.party, 'trade', site.positionWh, tradesUc);
    line(site.party, 'imbalance', deviationWh, charge.energyUc);
    line(site.party, 'penalty', deviationWh, charge.penaltyUc);
    line(utility, 'imbalance', 0 - deviationWh, -charge.energyUc);
    line(utility, 'penalty', 0 - deviationWh, -charge.penaltyUc);
    const imbalanceUc = charge.energyUc + charge.penaltyUc;
    return {
      party: site.party,
      positionWh: site.positionWh,
      deliveredWh,
      deviationWh,
      provisional: site.delivery === null,
      unpriced: charge.unpriced,
      tradesUc,
      imbalanceUc,
      balanceUc: tradesUc + imbalanceUc,
    };
  });

  if (market !== null) {
    const { utilityPositionWh, rootPriceUcPerWh } = market;
    line(utility, 'trade', utilityPositionWh, BigInt(utilityPositionWh) * BigInt(rootPriceUcPerWh));
    line(operator, 'line-tariff', 0, market.lineTariffsUc);
    line(operator, 'congestion', 0, market.congestionRentUc);
  }
  const lossesWh = modelledLosses(feeder, netExportsWh);
  if (tariff !== null) {
    const amountUc = BigInt(lossesWh) * BigInt(tariff.sellUcPerWh);
    line(operator, 'losses', 0 - lossesWh, -amountUc);
    line(utility, 'losses', lossesWh, amountUc);
  }

  const sum = lines.reduce((total, { amountUc }) => total + amountUc, 0n);
  if (sum !== 0n)
    throw new BugError(`settlement is out of balance by ${sum} µ¤: positions do not belong to the clearing`);
  return { sites, lines, lossesWh };
}

export interface Charge {
  readonly energyUc: bigint;
  readonly penaltyUc: bigint;
  readonly unpriced: boolean;
}

/** Delivered energy and what the deviation costs; a missing delivery takes whichever registered capacity is worse. */
function outcomeOf(site: SettlementSite, input: SettlementInput): { deliveredWh: number; charge: Charge } {
  const chargeOf = (deliveredWh: number, freeWh: number): Charge =>
    deviationCharge(deliveredWh - site.positionWh, freeWh, site.priceUcPerWh, input);
  if (site.delivery !== null) {
    const { deliveredWh, uncertaintyWh } = site.delivery;
    return { deliveredWh, charge: chargeOf(deliveredWh, Math.min(uncertaintyWh, site.uncertaintyWhMax)) };
  }
  const importing = { deliveredWh: 0 - site.importMaxWh, charge: chargeOf(0 - site.importMaxWh, 0) };
  const exporting = { deliveredWh: site.exportMaxWh, charge: chargeOf(site.exportMaxWh, 0) };
  return balance(exporting.charge) < balance(importing.charge) ? exporting : importing;
}

function balance({ energyUc, penaltyUc }: Charge): bigint {
  return energyUc + penaltyUc;
}

/** What a deviation brings (+) or costs (-); `freeWh` of it bear no penalty. */
export function deviationCharge(
  deviationWh: number,
  freeWh: number,
  nodalUcPerWh: number | null,
  terms: Pick<SettlementInput, 'tariff' | 'shortfallPenaltyUcPerWh' | 'surplusPenaltyUcPerWh'>,
): Charge {
  const { tariff } = terms;
  if (deviationWh === 0) return { energyUc: 0n, penaltyUc: 0n, unpriced: false };
  if (nodalUcPerWh === null && tariff === null) return { energyUc: 0n, penaltyUc: 0n, unpriced: true };
  const short = deviationWh < 0;
  const sides = [nodalUcPerWh, short ? tariff?.sellUcPerWh : tariff?.buyUcPerWh].filter((price) => price != null);
  const priceUcPerWh = short ? Math.max(...sides) : Math.min(...sides);
  const penaltyUcPerWh = short ? terms.shortfallPenaltyUcPerWh : terms.surplusPenaltyUcPerWh;
  const punishedWh = Math.max(0, Math.abs(deviationWh) - freeWh);
  return {
    energyUc: BigInt(deviationWh) * BigInt(priceUcPerWh),
    penaltyUc: -BigInt(punishedWh) * BigInt(penaltyUcPerWh),
    unpriced: false,
  };
}

/** Sum over the lines of floor(|flow| x loss). */
function modelledLosses(feeder: FeederModel, netExportsWh: Float64Array): number {
  const flowsWh = flowsOf(feeder.parents, feeder.topDown, netExportsWh);
  let lossesWh = 0;
  for (let bus = 0; bus < flowsWh.length; bus++) {
    if (bus !== feeder.root) lossesWh += mulDivFloor(Math.abs(flowsWh[bus]!), feeder.lossesPpm[bus]!, PPM);
  }
  return lossesWh;
}
