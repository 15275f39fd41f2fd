// Clears a feeder's interval when its gate has closed: offers become market orders, the market's result becomes positions,
// trades and notices. Every validator derives the same and checks the certificate before the block is attested.

import type { Lot } from '../market/settle.ts';
import { hashOf } from '../protocol/envelope.ts';
import type { Bus, Feeder } from '../protocol/genesis.ts';
import type { Trade } from '../protocol/replies.ts';
import { clearInputs, documentOf, LATE, type Outcome } from './clearing-document.ts';
import type { ClearingInputs } from './clearing-rounds.ts';
import { type Context, derivedSalt, PUBLIC_SALT, schedule } from './context.ts';
import { offersInOrder } from './queries.ts';
import {
  baselines,
  type ClearedRow,
  feederAt,
  limits,
  marketKey,
  markets,
  members,
  newestCovering,
  offers,
  positions,
  settlementMs,
  signers,
  sites,
  startMs,
  tariffs,
} from './tables.ts';
import type { ClearingDocument, ClearingOrder, OpenOffer, TariffRecord } from './types.ts';
import { AGGREGATE_MIN } from './visibility.ts';

/** Trades listed in one notice; the position counts all of them. */
export const NOTICE_TRADES_MAX = 256;

export function clearInterval(context: Context, feederId: string, interval: number): void {
  const { genesis, state, timeMs } = context;
  const market = marketKey(feederId, interval);
  const standing = offersInOrder(state, feederId, interval);
  const feeder = feederAt(state, feederId, interval);
  if (feeder !== null && standing.length > 0) {
    const inputs = inputsOf(context, feeder, interval, standing);
    const late = timeMs >= startMs(genesis, interval);
    const outcome = late ? LATE : clearInputs(inputs);
    const document = documentOf(inputs, outcome);
    const digest = hashOf(document);
    markets.set(state, feederId, String(interval), clearedRow(document, outcome));
    context.clearings.push(document);
    publish(context, document, outcome, digest, standing);
    positionsOfOthers(context, document, outcome);
    schedule(state, { atMs: settlementMs(genesis, interval), type: 'settlement', feeder: feederId, interval });
  }
  offers.clear(state, market);
}

/** Lines with the limits in force, baseline, tariff, and the steps of all offers in consensus order. */
function inputsOf(context: Context, feeder: Feeder, interval: number, standing: readonly OpenOffer[]): ClearingInputs {
  const { genesis, state } = context;
  const limit = newestCovering(state, limits, feeder.id, interval);
  const limitsW = new Map(limit?.capacities.map(({ bus, capacityW }) => [bus, capacityW]));
  const index = new Map(feeder.buses.map(({ id }, i) => [id, i]));
  const tariff = newestCovering(state, tariffs, feeder.id, interval);
  return {
    buses: feeder.buses.map((bus): Bus => ({ ...bus, capacityW: limitsW.get(bus.id) ?? bus.capacityW })),
    feeder: feeder.id,
    interval,
    lengthMs: genesis.interval.lengthMs,
    netExports:
      newestCovering(state, baselines, feeder.id, interval)?.netExports.filter(({ bus }) => index.has(bus)) ?? [],
    orders: standing.flatMap(({ gateway, round, buy, sell }): ClearingOrder[] => {
      const bus = index.get(sites.get(state, gateway, 'admission')?.bus ?? '');
      if (bus === undefined) return [];
      const order = (side: ClearingOrder['side']) => (step: { energyWh: number; priceUcPerWh: number }) => ({
        bus,
        energyWh: step.energyWh,
        gateway,
        priceUcPerWh: step.priceUcPerWh,
        round,
        side,
      });
      return [...sell.map(order('supply')), ...buy.map(order('demand'))];
    }),
    rounds: genesis.rounds,
    tariff: tariff === null ? null : terms(tariff),
    utility: feeder.utility,
    voltage: feeder.voltage ?? null,
  };
}

/** The public summary, then to every site with an offer its notice, 'no trade' included; positions for the settlement. */
function publish(
  context: Context,
  document: ClearingDocument,
  outcome: Outcome,
  digest: string,
  standing: readonly OpenOffer[],
): void {
  const { state, results } = context;
  const { feeder, interval, status } = document;
  const tradedWh = status === 'cleared' && standing.length >= AGGREGATE_MIN ? Number(document.tradedWh) : null;
  results.push({ leaf: { clearing: digest, feeder, interval, kind: 'clearing', status, tradedWh }, salt: PUBLIC_SALT });
  const market = marketKey(feeder, interval);
  const tradesOf = new Map<string, Trade[]>();
  for (const trade of document.trades) {
    for (const party of [trade.seller, trade.buyer]) {
      const list = tradesOf.get(party);
      if (list === undefined) tradesOf.set(party, [trade]);
      else if (list.length < NOTICE_TRADES_MAX) list.push(trade);
    }
  }
  const fills = fillsBySite(document.orders, document.fillsWh);
  const earlier = earlierRounds(document, outcome);
  for (const { gateway } of standing) {
    const fill = fills.get(gateway) ?? NO_FILL;
    const salt = offers.get(state, market, gateway)?.salt ?? PUBLIC_SALT;
    const priceUcPerWh = document.pricesUcPerWh[fill.bus] ?? null;
    const positionWh = fill.exportWh - fill.importWh;
    positions.set(state, market, gateway, {
      earlier: earlier.map((lotOf) => lotOf(gateway, fill.bus)),
      positionWh,
      priceUcPerWh,
      salt,
    });
    results.push({
      leaf: {
        ...bindingOf(document, outcome, fill),
        clearing: digest,
        feeder,
        gateway,
        interval,
        kind: 'notice',
        nodalPriceUcPerWh: priceUcPerWh ?? 0,
        positionWh,
        status,
        trades: tradesOf.get(gateway) ?? [],
      },
      salt: derivedSalt('notice', interval, gateway, salt),
    });
  }
}

/** Active sites without an offer hold no position, but their deviation is priced at their bus. */
function positionsOfOthers({ state }: Context, document: ClearingDocument, outcome: Outcome): void {
  const { feeder, interval, buses, pricesUcPerWh } = document;
  const market = marketKey(feeder, interval);
  const index = new Map(buses.map(({ id }, i) => [id, i]));
  const earlier = earlierRounds(document, outcome);
  for (const gateway of members.names(state, feeder)) {
    if ((members.get(state, feeder, gateway) as number) < 0 || positions.has(state, market, gateway)) continue;
    const bus = index.get(sites.get(state, gateway, 'admission')?.bus ?? '');
    const priceUcPerWh = bus === undefined ? undefined : pricesUcPerWh[bus];
    const salt = signers.get(state, gateway, 'last')?.salt;
    if (bus === undefined || priceUcPerWh === undefined || salt === undefined) continue;
    const lots = earlier.map((lotOf) => lotOf(gateway, bus));
    positions.set(state, market, gateway, { earlier: lots, positionWh: 0, priceUcPerWh, salt });
  }
}

/** Of each round before the last: a site's part of its position and the price at its bus. */
function earlierRounds({ orders }: ClearingDocument, outcome: Outcome): ((gateway: string, bus: number) => Lot)[] {
  if (outcome.status === 'void') return [];
  return outcome.rounds.slice(0, -1).map(({ clearing }) => {
    const fills = fillsBySite(orders, clearing.fillsWh);
    return (gateway, bus) => {
      const { exportWh, importWh } = fills.get(gateway) ?? NO_FILL;
      return { positionWh: exportWh - importWh, priceUcPerWh: clearing.pricesUcPerWh[bus] as number };
    };
  });
}

/** What the settlement will need. Void = nothing traded, nothing lost. */
function clearedRow({ tariff }: ClearingDocument, outcome: Outcome): ClearedRow {
  if (outcome.status === 'void') {
    return { lineTariffsUc: '0', lossWh: 0, tariff, utilityUc: '0' };
  }
  const { lineTariffsUc, lossWh, utilityUc } = outcome.account;
  return { lineTariffsUc: String(lineTariffsUc), lossWh, tariff, utilityUc: String(utilityUc) };
}

interface SiteFill {
  bus: number;
  exportWh: number;
  importWh: number;
  /** The first step that was not filled in full, or null. */
  unfilled: ClearingOrder | null;
}
const NO_FILL: SiteFill = { bus: -1, exportWh: 0, importWh: 0, unfilled: null };

function fillsBySite(orders: readonly ClearingOrder[], fillsWh: ArrayLike<number>): Map<string, SiteFill> {
  const bySite = new Map<string, SiteFill>();
  for (const [i, order] of orders.entries()) {
    const { gateway, bus, side, energyWh } = order;
    const fill = bySite.get(gateway) ?? { ...NO_FILL, bus };
    const filledWh = fillsWh[i] ?? 0;
    if (side === 'supply') fill.exportWh += filledWh;
    else fill.importWh += filledWh;
    if (filledWh < energyWh) fill.unfilled ??= order;
    bySite.set(gateway, fill);
  }
  return bySite;
}

/** The line whose limit kept a site's step from its market, and its shadow price; a step too dear for it was kept by none. */
function bindingOf(
  { buses, pricesUcPerWh }: ClearingDocument,
  outcome: Outcome,
  { bus, unfilled }: SiteFill,
): { readonly bindingLine: string; readonly bindingUcPerWh: number } {
  const none = { bindingLine: '', bindingUcPerWh: 0 };
  if (outcome.status === 'void' || unfilled === null) return none;
  const { shadowsUcPerWh, supplyLines, demandLines } = outcome.congestion;
  const sells = unfilled.side === 'supply';
  const line = (sells ? supplyLines[bus] : demandLines[bus]) ?? -1;
  const shadowUcPerWh = shadowsUcPerWh[line] ?? 0;
  const nodalUcPerWh = pricesUcPerWh[bus] as number;
  const beyond = sells
    ? unfilled.priceUcPerWh > nodalUcPerWh + shadowUcPerWh
    : unfilled.priceUcPerWh < nodalUcPerWh - shadowUcPerWh;
  return line < 0 || beyond ? none : { bindingLine: (buses[line] as Bus).id, bindingUcPerWh: shadowUcPerWh };
}

function terms({ buyUcPerWh, buyWhMax, sellUcPerWh, sellWhMax }: TariffRecord): TariffRecord {
  return { buyUcPerWh, buyWhMax, sellUcPerWh, sellWhMax };
}
