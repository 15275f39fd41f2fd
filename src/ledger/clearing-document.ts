// From the inputs of a clearing to its document: what the market makes of orders, lines and tariff, with the certificate
// checked. Knows nothing of the state: an auditor runs the same on a document alone.

import { isWattpactError } from '../base/errors.ts';
import { orderBook } from '../market/book.ts';
import { clear } from '../market/clear.ts';
import { type Congestion, congestionOf } from '../market/congestion.ts';
import { buildFeeder, pathBetween } from '../market/feeder.ts';
import { type MarketAccount, marketAccount } from '../market/settle.ts';
import { pairTrades } from '../market/trades.ts';
import type { Clearing, FeederModel, Finding, OrderBook } from '../market/types.ts';
import { verifyClearing } from '../market/verify.ts';
import { clearSecurely, type TightenedLine, verifySecurely, voltageModel } from '../market/voltage.ts';
import { hashOf } from '../protocol/envelope.ts';
import type { Trade } from '../protocol/replies.ts';
import type { ClearingDocument } from './types.ts';

export type ClearingInputs = Pick<
  ClearingDocument,
  'buses' | 'feeder' | 'interval' | 'lengthMs' | 'netExports' | 'orders' | 'tariff' | 'utility' | 'voltage'
>;

/** What the market made of the inputs, or why nothing. */
export type Outcome =
  | {
      readonly status: 'cleared';
      readonly clearing: Clearing;
      readonly tightened: readonly TightenedLine[];
      readonly trades: readonly Trade[];
      readonly account: MarketAccount;
      readonly congestion: Congestion;
    }
  | { readonly status: 'void'; readonly reason: string };

/** The reason of a clearing that came at or past the start of its interval. */
export const LATE = { status: 'void', reason: 'late' } as const;

/** Clears and checks the certificate. Nothing is thrown: what cannot be cleared is void for everybody alike. */
export function clearInputs(inputs: ClearingInputs): Outcome {
  try {
    const { buses, lengthMs, netExports, orders, tariff } = inputs;
    const netExportsWh = new Map(netExports.map(({ bus, energyWh }) => [bus, energyWh]));
    const feeder = buildFeeder(buses, { lengthMs, netExportsWh });
    const book = orderBook(feeder, orders, tariff ?? undefined);
    const cleared = clearBook(inputs, feeder, book);
    if ('reason' in cleared) return { status: 'void', reason: cleared.reason };
    const { clearing, tightened, within } = cleared;
    return {
      status: 'cleared',
      clearing,
      tightened,
      trades: tradesBetween(inputs, within, book, clearing),
      account: marketAccount(within, book, clearing),
      congestion: congestionOf(within, clearing),
    };
  } catch (error) {
    if (isWattpactError(error)) return { status: 'void', reason: error.message };
    throw error;
  }
}

/** Within the lines' limits, and within the voltage band where the feeder states one; `within` has the limits that held. */
function clearBook(
  { buses, lengthMs, voltage }: ClearingInputs,
  feeder: FeederModel,
  book: OrderBook,
): { clearing: Clearing; tightened: readonly TightenedLine[]; within: FeederModel } | { reason: string } {
  const model = voltage === null ? null : voltageModel(buses, voltage, lengthMs);
  if (voltage === null || model === null) {
    const clearing = clear(feeder, book);
    return problemOf(verifyClearing(feeder, book, clearing)) ?? { clearing, tightened: [], within: feeder };
  }
  const secure = clearSecurely(feeder, book, model, voltage.repeatsMax);
  if (secure.status === 'void') return { reason: secure.message };
  const { clearing, tightened } = secure;
  const findings = verifySecurely(feeder, book, model, clearing, tightened);
  return problemOf(findings) ?? { clearing, tightened, within: secure.feeder };
}

function problemOf(findings: readonly Finding[]): { reason: string } | null {
  const first = findings[0];
  return first === undefined ? null : { reason: first.message };
}

/** Trades of one pair of parties are one trade: their prices are those of their two buses, whatever the steps. */
function tradesBetween(inputs: ClearingInputs, feeder: FeederModel, book: OrderBook, clearing: Clearing): Trade[] {
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

export function documentOf(inputs: ClearingInputs, outcome: Outcome): ClearingDocument {
  if (outcome.status === 'void') {
    const nothing = { fillsWh: [], flowsWh: [], pricesUcPerWh: [], tightened: [], trades: [] };
    return { ...inputs, ...nothing, reason: outcome.reason, status: 'void', tradedWh: '0', welfareUc: '0' };
  }
  const { clearing, tightened, trades } = outcome;
  const limit = (energyWh: number): number | null => (Number.isFinite(energyWh) ? energyWh : null);
  return {
    ...inputs,
    fillsWh: [...clearing.fillsWh],
    flowsWh: [...clearing.flowsWh],
    pricesUcPerWh: [...clearing.pricesUcPerWh],
    reason: '',
    status: 'cleared',
    tightened: tightened.map(({ bus, downMaxWh, upMaxWh }) => {
      return { bus, downMaxWh: limit(downMaxWh), upMaxWh: limit(upMaxWh) };
    }),
    tradedWh: String(clearing.tradedWh),
    trades,
    welfareUc: String(clearing.welfareUc),
  };
}

/** True if a document holds: the same inputs give these results, and the certificate is optimal. For auditors. */
export function clearingHolds(document: ClearingDocument): boolean {
  const { buses, feeder, interval, lengthMs, netExports, orders, tariff, utility, voltage } = document;
  const inputs = { buses, feeder, interval, lengthMs, netExports, orders, tariff, utility, voltage };
  const outcome = document.status === 'void' && document.reason === LATE.reason ? LATE : clearInputs(inputs);
  return hashOf(documentOf(inputs, outcome)) === hashOf(document);
}
