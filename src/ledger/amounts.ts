// What one interval costs or brings each party, µ¤: + receives, - pays. Whatever is received is paid by another; the sum
// of all parties is zero to the last µ¤, because the operator takes the residual. Pure arithmetic on one interval.
//
//   site      position x nodal price, and its deviation:
//               the part within the certified uncertainty at the nodal price, without penalty;
//               beyond: shortfall pays max(utility sells, nodal) + penalty, surplus gets min(utility buys, nodal) - penalty
//   utility   its position at the root's price; the metered deviation of all sites and the losses at its tariff
//   operator  line tariffs and congestion rent, less the losses it buys; penalties and spreads of the imbalance; the rest

import { clamp } from '../base/integers.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { ClearedRow, SettledSite } from './tables.ts';
import type { TariffRecord } from './types.ts';

type Penalties = Genesis['settlement'];
type SiteInput = Pick<SettledSite, 'deliveredWh' | 'positionWh' | 'priceUcPerWh' | 'uncertaintyWh'>;

export function siteAmounts(
  { deliveredWh, positionWh, priceUcPerWh, uncertaintyWh }: SiteInput,
  tariff: TariffRecord | null,
  penalties: Penalties,
): { readonly tradesUc: number; readonly imbalanceUc: number } {
  // Without a clearing the tariff alone prices; without a tariff the nodal price alone.
  const utilitySells = tariff?.sellUcPerWh ?? priceUcPerWh ?? 0;
  const utilityBuys = tariff?.buyUcPerWh ?? priceUcPerWh ?? 0;
  const shortfallUcPerWh = Math.max(utilitySells, priceUcPerWh ?? utilitySells) + penalties.shortfallPenaltyUcPerWh;
  const surplusUcPerWh = Math.min(utilityBuys, priceUcPerWh ?? utilityBuys) - penalties.surplusPenaltyUcPerWh;
  const deviationWh = deliveredWh - positionWh;
  const freeWh = clamp(deviationWh, -uncertaintyWh, uncertaintyWh);
  const freeUcPerWh = priceUcPerWh ?? (freeWh < 0 ? utilitySells : utilityBuys);
  const restWh = deviationWh - freeWh;
  return {
    tradesUc: positionWh * (priceUcPerWh ?? 0) + 0,
    imbalanceUc: freeWh * freeUcPerWh + restWh * (restWh < 0 ? shortfallUcPerWh : surplusUcPerWh) + 0,
  };
}

/** The delivery that costs a silent site most: all it can import, or all it can export. */
export function worstDelivery(
  input: Omit<SiteInput, 'deliveredWh'>,
  mostExportWh: number,
  mostImportWh: number,
  tariff: TariffRecord | null,
  penalties: Penalties,
): number {
  const cost = (deliveredWh: number): number => siteAmounts({ ...input, deliveredWh }, tariff, penalties).imbalanceUc;
  const importing = 0 - mostImportWh;
  return cost(importing) <= cost(mostExportWh) ? importing : mostExportWh;
}

/** The utility's and the operator's side of an interval. Congestion rent is what trades leave beyond the lines' tariffs. */
export function commonAmounts(
  sites: readonly SettledSite[],
  market: ClearedRow,
): { readonly utilityUc: bigint; readonly operatorUc: bigint; readonly congestionUc: bigint } {
  let sitesUc = 0n;
  let tradesUc = BigInt(market.utilityPositionWh) * BigInt(market.utilityUcPerWh);
  let metered = 0n;
  for (const site of sites) {
    sitesUc += BigInt(site.tradesUc) + BigInt(site.imbalanceUc);
    tradesUc += BigInt(site.tradesUc);
    // A provisional figure moves money, not energy: the operator holds it until the counters are known.
    if (site.counters !== null) metered += BigInt(site.deliveredWh - site.positionWh);
  }
  const { tariff } = market;
  const deviationUc = tariff === null ? 0n : metered * BigInt(metered < 0n ? tariff.sellUcPerWh : tariff.buyUcPerWh);
  const lossesUc = BigInt(market.lossWh) * BigInt(tariff?.sellUcPerWh ?? 0);
  const utilityUc = BigInt(market.utilityPositionWh) * BigInt(market.utilityUcPerWh) - deviationUc + lossesUc;
  return { utilityUc, operatorUc: -sitesUc - utilityUc, congestionUc: -tradesUc - BigInt(market.lineTariffsUc) };
}
