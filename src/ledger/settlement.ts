// Settles a feeder's interval: positions against deliveries, accounts, a leaf for every site. Also what a correction does
// to an interval that is settled: the new amounts replace the old ones, and only the difference moves.

import { invariant } from '../base/errors.ts';
import { commonAmounts, type SiteInput, siteAmounts, worstDelivery } from '../market/settle.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { type Context, derivedSalt, PUBLIC_SALT, schedule, scheduleExpiry } from './context.ts';
import {
  ALL,
  accounts,
  type ClearedRow,
  correctionEnd,
  credit,
  type DeliveryRow,
  deliveries,
  energyWh,
  feederAt,
  marketKey,
  markets,
  members,
  newestCovering,
  positions,
  type SettledRow,
  type SettledSite,
  settlementMs,
  settlements,
  signers,
  sites,
  tariffs,
} from './tables.ts';

export function settleInterval(context: Context, feeder: string, interval: number): void {
  const { genesis, state } = context;
  const key = marketKey(feeder, interval);
  const market = markets.get(state, feeder, String(interval)) ?? notCleared(context, feeder, interval);
  const settled = new Map<string, SettledSite>();
  for (const gateway of toSettle(context, feeder, interval)) {
    settled.set(gateway, settleSite(context, market, gateway, key));
  }
  const version = feederAt(state, feeder, interval);
  invariant(version !== null, `feeder ${feeder} is settled but not known`);
  const row = settledRow(version, market, Object.fromEntries(settled));
  move(context, null, row);
  for (const [gateway, site] of settled) {
    const salt = deliveries.get(state, key, gateway)?.salt ?? positions.get(state, key, gateway)?.salt;
    publishSite(context, interval, gateway, site, salt ?? signers.get(state, gateway, 'last')?.salt ?? PUBLIC_SALT);
  }
  settlements.set(state, interval, feeder, row);
  scheduleExpiry(context, correctionEnd(genesis, interval));
  markets.delete(state, feeder, String(interval));
  positions.clear(state, key);
  deliveries.clear(state, key);
  // Active sites are settled in every interval, whether they say something or not.
  const next = interval + 1;
  if (toSettle(context, feeder, next).length > 0 && !settlements.has(state, next, feeder)) {
    schedule(state, { atMs: settlementMs(genesis, next), type: 'settlement', feeder, interval: next });
  }
}

/** A corrected delivery in place of what was settled; both leaves stay in the chain. */
export function settleAgain(
  context: Context,
  feeder: string,
  interval: number,
  gateway: string,
  delivery: DeliveryRow,
): void {
  const { genesis, state } = context;
  const old = settlements.get(state, interval, feeder) as SettledRow;
  const before = siteIn(old, gateway) as SettledSite;
  const { counters, deliveredWh, uncertaintyWh } = delivery;
  const input = { ...before, counters, deliveredWh, uncertaintyWh, corrections: before.corrections + 1 };
  const site: SettledSite = { ...input, ...amountsOf(input, old.market, genesis) };
  const row = settledRow(old, old.market, { ...old.sites, [gateway]: site });
  move(context, old, row);
  publishSite(context, interval, gateway, site, delivery.salt);
  settlements.set(state, interval, feeder, row);
}

/** Sites with a position or a delivery, and those that were active before. In order of their ids. */
function toSettle({ state }: Context, feeder: string, interval: number): string[] {
  const key = marketKey(feeder, interval);
  return members.names(state, feeder).filter((gateway) => {
    const since = members.get(state, feeder, gateway) as number;
    const active = since >= 0 && since <= interval;
    return active || positions.has(state, key, gateway) || deliveries.has(state, key, gateway);
  });
}

function settleSite({ genesis, state }: Context, market: ClearedRow, gateway: string, key: string): SettledSite {
  const position = positions.get(state, key, gateway);
  const delivery = deliveries.get(state, key, gateway);
  const { tariff } = market;
  const common = {
    corrections: 0,
    earlier: position?.earlier ?? [],
    positionWh: position?.positionWh ?? 0,
    priceUcPerWh: position?.priceUcPerWh ?? null,
    uncertaintyWh: delivery?.uncertaintyWh ?? 0,
  };
  const admission = sites.get(state, gateway, 'admission');
  invariant(admission !== null, `${gateway} is settled but not admitted`);
  const mostExportWh = energyWh(genesis, admission.exportLimitW);
  const mostImportWh = energyWh(genesis, admission.importLimitW);
  const deliveredWh =
    delivery?.deliveredWh ?? worstDelivery(common, mostExportWh, mostImportWh, tariff, genesis.settlement);
  const site = { ...common, counters: delivery?.counters ?? null, deliveredWh };
  return { ...site, ...amountsOf(site, market, genesis) };
}

function amountsOf(
  site: SiteInput,
  { tariff }: ClearedRow,
  genesis: Genesis,
): { imbalanceUc: number; tradesUc: number } {
  const { imbalanceUc, tradesUc } = siteAmounts(site, tariff, genesis.settlement);
  return { imbalanceUc, tradesUc };
}

function settledRow(
  { operator, utility }: Pick<SettledRow, 'operator' | 'utility'>,
  market: ClearedRow,
  settled: SettledRow['sites'],
): SettledRow {
  const { operatorUc, utilityUc } = commonAmounts(Object.values(settled), market);
  return { market, operator, operatorUc: String(operatorUc), sites: settled, utility, utilityUc: String(utilityUc) };
}

/** Moves the difference between two settlements of an interval; the sum over all parties is zero to the last µ¤. */
function move({ state }: Context, before: SettledRow | null, after: SettledRow): void {
  const moves: [party: string, amountUc: bigint][] = [
    [after.operator, BigInt(after.operatorUc) - BigInt(before?.operatorUc ?? '0')],
    [after.utility, BigInt(after.utilityUc) - BigInt(before?.utilityUc ?? '0')],
  ];
  for (const [gateway, site] of Object.entries(after.sites)) {
    const old = before === null ? null : siteIn(before, gateway);
    moves.push([gateway, totalUc(site) - (old === null ? 0n : totalUc(old))]);
  }
  const sum = moves.reduce((total, [, amountUc]) => total + amountUc, 0n);
  invariant(sum === 0n, `the settlement leaves ${sum} µ¤ unaccounted for`);
  for (const [party, amountUc] of moves) if (amountUc !== 0n) credit(state, party, amountUc);
}

function totalUc({ tradesUc, imbalanceUc }: SettledSite): bigint {
  return BigInt(tradesUc) + BigInt(imbalanceUc);
}

function publishSite(context: Context, interval: number, gateway: string, site: SettledSite, salt: string): void {
  context.results.push({
    leaf: {
      balanceUc: accounts.get(context.state, ALL, gateway) ?? '0',
      deliveredWh: site.deliveredWh,
      deviationWh: site.deliveredWh - site.positionWh,
      gateway,
      imbalanceUc: site.imbalanceUc,
      interval,
      kind: 'settlement',
      positionWh: site.positionWh,
      provisional: site.counters === null,
      tradesUc: site.tradesUc,
    },
    salt: derivedSalt('settlement', interval, gateway, salt),
  });
}

/** An interval without offers: nothing was cleared, the tariff alone prices what was delivered. */
function notCleared({ state }: Context, feeder: string, interval: number): ClearedRow {
  const tariff = newestCovering(state, tariffs, feeder, interval);
  return {
    lineTariffsUc: '0',
    lossWh: 0,
    tariff:
      tariff === null
        ? null
        : {
            buyUcPerWh: tariff.buyUcPerWh,
            buyWhMax: tariff.buyWhMax,
            sellUcPerWh: tariff.sellUcPerWh,
            sellWhMax: tariff.sellWhMax,
          },
    utilityUc: '0',
  };
}

/** What a site came out with in an interval that can still be corrected, or null. */
export function settledSite(
  { state }: Pick<Context, 'state'>,
  feeder: string,
  interval: number,
  gateway: string,
): SettledSite | null {
  const row = settlements.get(state, interval, feeder);
  return row === null ? null : siteIn(row, gateway);
}

/** Ids are free words: one may be the name of something every object has. */
function siteIn({ sites: settled }: SettledRow, gateway: string): SettledSite | null {
  return Object.hasOwn(settled, gateway) ? (settled[gateway] as SettledSite) : null;
}
