// Clears a feeder's interval when its gate has closed: offers become market orders, the market's result becomes positions,
// trades and notices. Every validator derives the same and checks the certificate before the block is attested.

import { isWattpactError } from '../base/errors.ts';
import { orderBook } from '../market/book.ts';
import { clear } from '../market/clear.ts';
import { buildFeeder, pathBetween } from '../market/feeder.ts';
import { type MarketAccount, marketAccount } from '../market/settle.ts';
import { pairTrades } from '../market/trades.ts';
import type { Clearing, FeederModel, OrderBook } from '../market/types.ts';
import { verifyClearing } from '../market/verify.ts';
import { hashOf } from '../protocol/envelope.ts';
import type { Feeder } from '../protocol/genesis.ts';
import type { Trade } from '../protocol/replies.ts';
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
import type { ClearingBus, ClearingDocument, ClearingOrder, OpenOffer, TariffRecord } from './types.ts';
import { AGGREGATE_MIN } from './visibility.ts';

/** Trades listed in one notice; the position counts all of them. */
export const NOTICE_TRADES_MAX = 256;

type Inputs = Pick<
  ClearingDocument,
  'buses' | 'feeder' | 'interval' | 'lengthMs' | 'netExports' | 'orders' | 'tariff' | 'utility'
>;

/** What the market made of the inputs, or why nothing. */
type Outcome =
  | {
      readonly status: 'cleared';
      readonly clearing: Clearing;
      readonly account: MarketAccount;
      readonly trades: readonly Trade[];
    }
  | { readonly status: 'void'; readonly reason: string };

export function clearInterval(context: Context, feederId: string, interval: number): void {
  const { genesis, state, timeMs } = context;
  const market = marketKey(feederId, interval);
  const standing = offersInOrder(state, feederId, interval);
  const feeder = feederAt(state, feederId, interval);
  if (feeder !== null && standing.length > 0) {
    const inputs = inputsOf(context, feeder, interval, standing);
    const late = timeMs >= startMs(genesis, interval);
    const outcome: Outcome = late ? { status: 'void', reason: 'late' } : clearInputs(inputs);
    const document = documentOf(inputs, outcome);
    const digest = hashOf(document);
    markets.set(state, feederId, String(interval), clearedRow(document, outcome));
    context.clearings.push(document);
    publish(context, document, digest, standing);
    positionsOfOthers(context, document);
    schedule(state, { atMs: settlementMs(genesis, interval), type: 'settlement', feeder: feederId, interval });
  }
  offers.clear(state, market);
}

/** Lines with the limits in force, baseline, tariff, and the steps of all offers in consensus order. */
function inputsOf(context: Context, feeder: Feeder, interval: number, standing: readonly OpenOffer[]): Inputs {
  const { genesis, state } = context;
  const limit = newestCovering(state, limits, feeder.id, interval);
  const limitsW = new Map(limit?.capacities.map(({ bus, capacityW }) => [bus, capacityW]));
  const index = new Map(feeder.buses.map(({ id }, i) => [id, i]));
  const tariff = newestCovering(state, tariffs, feeder.id, interval);
  return {
    buses: feeder.buses.map((bus): ClearingBus => ({ ...bus, capacityW: limitsW.get(bus.id) ?? bus.capacityW })),
    feeder: feeder.id,
    interval,
    lengthMs: genesis.interval.lengthMs,
    netExports:
      newestCovering(state, baselines, feeder.id, interval)?.netExports.filter(({ bus }) => index.has(bus)) ?? [],
    orders: standing.flatMap(({ gateway, buy, sell }): ClearingOrder[] => {
      const bus = index.get(sites.get(state, gateway, 'admission')?.bus ?? '');
      if (bus === undefined) return [];
      const order = (side: ClearingOrder['side']) => (step: { energyWh: number; priceUcPerWh: number }) => ({
        bus,
        energyWh: step.energyWh,
        gateway,
        priceUcPerWh: step.priceUcPerWh,
        side,
      });
      return [...sell.map(order('supply')), ...buy.map(order('demand'))];
    }),
    tariff: tariff === null ? null : terms(tariff),
    utility: feeder.utility,
  };
}

/** Clears and checks the certificate. Nothing is thrown: what cannot be cleared is void for everybody alike. */
export function clearInputs(inputs: Inputs): Outcome {
  try {
    const feeder = feederModel(inputs);
    const book = bookOf(feeder, inputs);
    const clearing = clear(feeder, book);
    const finding = verifyClearing(feeder, book, clearing)[0];
    if (finding !== undefined) return { status: 'void', reason: finding.message };
    const trades = tradesBetween(inputs, feeder, book, clearing);
    return { status: 'cleared', account: marketAccount(feeder, book, clearing), clearing, trades };
  } catch (error) {
    if (isWattpactError(error)) return { status: 'void', reason: error.message };
    throw error;
  }
}

/** Trades of one pair of parties are one trade: their prices are those of their two buses, whatever the steps. */
function tradesBetween(inputs: Inputs, feeder: FeederModel, book: OrderBook, clearing: Clearing): Trade[] {
  // The utility's two orders come last and have no gateway.
  const partyOf = (order: number): string => inputs.orders[order]?.gateway ?? inputs.utility;
  const busOf = (order: number): number => book.buses[order] as number;
  const byPair = new Map<string, Trade>();
  for (const { seller, buyer, via, ...trade } of pairTrades(feeder, book, clearing)) {
    const pair = `${partyOf(seller)} ${partyOf(buyer)}`;
    const known = byPair.get(pair);
    byPair.set(pair, {
      buyer: partyOf(buyer),
      buyerUcPerWh: trade.buyerUcPerWh,
      energyWh: trade.energyWh + (known?.energyWh ?? 0),
      lossWh: trade.lossWh + (known?.lossWh ?? 0),
      path:
        known?.path ?? pathBetween(feeder, busOf(seller), via, busOf(buyer)).map((bus) => feeder.ids[bus] as string),
      seller: partyOf(seller),
      sellerUcPerWh: trade.sellerUcPerWh,
    });
  }
  return [...byPair.values()];
}

export function feederModel({ buses, lengthMs, netExports }: Inputs): FeederModel {
  return buildFeeder(buses, {
    lengthMs,
    netExportsWh: new Map(netExports.map(({ bus, energyWh }) => [bus, energyWh])),
  });
}

export function bookOf(feeder: FeederModel, { orders, tariff }: Inputs): ReturnType<typeof orderBook> {
  return orderBook(feeder, orders, tariff ?? undefined);
}

function documentOf(inputs: Inputs, outcome: Outcome): ClearingDocument {
  if (outcome.status === 'void') {
    const nothing = { fillsWh: [], flowsWh: [], pricesUcPerWh: [], tradedWh: '0', trades: [], welfareUc: '0' };
    return { ...inputs, ...nothing, reason: outcome.reason, status: 'void' };
  }
  const { clearing, trades } = outcome;
  return {
    ...inputs,
    fillsWh: [...clearing.fillsWh],
    flowsWh: [...clearing.flowsWh],
    pricesUcPerWh: [...clearing.pricesUcPerWh],
    reason: '',
    status: 'cleared',
    tradedWh: String(clearing.tradedWh),
    trades,
    welfareUc: String(clearing.welfareUc),
  };
}

/** The public summary, then to every site with an offer its notice, 'no trade' included; positions for the settlement. */
function publish(context: Context, document: ClearingDocument, digest: string, standing: readonly OpenOffer[]): void {
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
  const fills = fillsBySite(document);
  const binding = new BindingLines(document);
  for (const { gateway } of standing) {
    const fill = fills.get(gateway) ?? NO_FILL;
    const salt = offers.get(state, market, gateway)?.salt ?? PUBLIC_SALT;
    const priceUcPerWh = document.pricesUcPerWh[fill.bus] ?? null;
    positions.set(state, market, gateway, { positionWh: fill.exportWh - fill.importWh, priceUcPerWh, salt });
    results.push({
      leaf: {
        bindingLine: fill.unfilled === null ? '' : binding.at(fill.bus, fill.unfilled),
        clearing: digest,
        feeder,
        gateway,
        interval,
        kind: 'notice',
        nodalPriceUcPerWh: priceUcPerWh ?? 0,
        positionWh: fill.exportWh - fill.importWh,
        status,
        trades: tradesOf.get(gateway) ?? [],
      },
      salt: derivedSalt('notice', interval, gateway, salt),
    });
  }
}

/** Active sites without an offer hold no position, but their deviation is priced at their bus. */
function positionsOfOthers({ state }: Context, document: ClearingDocument): void {
  const { feeder, interval, buses, pricesUcPerWh } = document;
  const market = marketKey(feeder, interval);
  const index = new Map(buses.map(({ id }, i) => [id, i]));
  for (const gateway of members.names(state, feeder)) {
    if ((members.get(state, feeder, gateway) as number) < 0 || positions.has(state, market, gateway)) continue;
    const bus = index.get(sites.get(state, gateway, 'admission')?.bus ?? '');
    const priceUcPerWh = bus === undefined ? undefined : pricesUcPerWh[bus];
    const salt = signers.get(state, gateway, 'last')?.salt;
    if (priceUcPerWh === undefined || salt === undefined) continue;
    positions.set(state, market, gateway, { positionWh: 0, priceUcPerWh, salt });
  }
}

/** What the settlement will need. Void = nothing traded, nothing lost. */
function clearedRow({ tariff }: ClearingDocument, outcome: Outcome): ClearedRow {
  if (outcome.status === 'void') {
    return { lineTariffsUc: '0', lossWh: 0, tariff, utilityPositionWh: 0, utilityUcPerWh: 0 };
  }
  const { lineTariffsUc, lossWh, utilityPositionWh, utilityUcPerWh } = outcome.account;
  return { lineTariffsUc: String(lineTariffsUc), lossWh, tariff, utilityPositionWh, utilityUcPerWh };
}

interface SiteFill {
  bus: number;
  exportWh: number;
  importWh: number;
  /** The side of an order that was not filled in full, or null. */
  unfilled: ClearingOrder['side'] | null;
}
const NO_FILL: SiteFill = { bus: -1, exportWh: 0, importWh: 0, unfilled: null };

function fillsBySite({ orders, fillsWh }: ClearingDocument): Map<string, SiteFill> {
  const bySite = new Map<string, SiteFill>();
  for (const [i, { gateway, bus, side, energyWh }] of orders.entries()) {
    const fill = bySite.get(gateway) ?? { ...NO_FILL, bus };
    const filledWh = fillsWh[i] ?? 0;
    if (side === 'supply') fill.exportWh += filledWh;
    else fill.importWh += filledWh;
    if (filledWh < energyWh) fill.unfilled ??= side;
    bySite.set(gateway, fill);
  }
  return bySite;
}

/** Finds which full line stood between a site and the rest of the market. */
class BindingLines {
  readonly #document: ClearingDocument;
  readonly #model: FeederModel | null;

  constructor(document: ClearingDocument) {
    this.#document = document;
    this.#model = document.status === 'cleared' ? feederModel(document) : null;
  }

  /** The first line from a bus to the root that is full in the direction a supply or demand there would use, or ''. */
  at(bus: number, side: ClearingOrder['side']): string {
    const model = this.#model;
    if (model === null) return '';
    const { flowsWh, buses } = this.#document;
    for (let at = bus; at >= 0; at = model.parents[at] as number) {
      const flowWh = flowsWh[at] as number;
      const full =
        side === 'supply' ? flowWh >= (model.upMaxWh[at] as number) : -flowWh >= (model.downMaxWh[at] as number);
      if (full && at !== model.root) return (buses[at] as ClearingBus).id;
    }
    return '';
  }
}

function terms({ buyUcPerWh, buyWhMax, sellUcPerWh, sellWhMax }: TariffRecord): TariffRecord {
  return { buyUcPerWh, buyWhMax, sellUcPerWh, sellWhMax };
}

/** True if a clearing's document holds: the same inputs give these results, and the certificate is optimal. For auditors. */
export function clearingHolds(document: ClearingDocument): boolean {
  const outcome = document.reason === 'late' ? ({ status: 'void', reason: 'late' } as const) : clearInputs(document);
  const { buses, feeder, interval, lengthMs, netExports, orders, tariff, utility } = document;
  const again = documentOf({ buses, feeder, interval, lengthMs, netExports, orders, tariff, utility }, outcome);
  return hashOf(again) === hashOf(document);
}
