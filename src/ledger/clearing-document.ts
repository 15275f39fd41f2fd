// From the inputs of a clearing to its document: what the market makes of orders, lines and tariff, with the certificate
// checked. Knows nothing of the state: an auditor runs the same on a document alone.

import { isWattpactError } from '../base/errors.ts';
import { orderBook } from '../market/book.ts';
import { clear, sumOfRounds, walkRounds } from '../market/clear.ts';
import { type Congestion, congestionOf } from '../market/congestion.ts';
import { buildFeeder, pathBetween } from '../market/feeder.ts';
import { accountOfRounds, type MarketAccount, marketAccount } from '../market/settle.ts';
import { pairTrades } from '../market/trades.ts';
import type { Clearing, FeederModel, Finding, OrderBook } from '../market/types.ts';
import { verifyClearing } from '../market/verify.ts';
import {
  clearSecurely,
  type TightenedLine,
  type VoltageModel,
  verifySecurely,
  voltageModel,
} from '../market/voltage.ts';
import { hashOf } from '../protocol/envelope.ts';
import type { Trade } from '../protocol/replies.ts';
import type { ClearingDocument, RoundCertificate } from './types.ts';

export type ClearingInputs = Pick<
  ClearingDocument,
  'buses' | 'feeder' | 'interval' | 'lengthMs' | 'netExports' | 'orders' | 'rounds' | 'tariff' | 'utility' | 'voltage'
>;

/** A round with the feeder it was optimal on (tightened limits included) and the orders that took part. */
export interface Round {
  readonly book: OrderBook;
  readonly clearing: Clearing;
  readonly tightened: readonly TightenedLine[];
  readonly within: FeederModel;
}

/** What the market made of the inputs, or why nothing. */
export type Outcome =
  | {
      readonly status: 'cleared';
      /** At least one. */
      readonly rounds: readonly Round[];
      readonly trades: readonly Trade[];
      readonly account: MarketAccount;
      /** Of the last round. */
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
    const rounds = clearBook(inputs, feeder, book);
    if ('reason' in rounds) return { status: 'void', reason: rounds.reason };
    const last = rounds[rounds.length - 1] as Round;
    return {
      status: 'cleared',
      rounds,
      trades: rounds.flatMap((round) => tradesBetween(inputs, round)),
      account: accountOfRounds(rounds.map(({ within, book: open, clearing }) => marketAccount(within, open, clearing))),
      congestion: congestionOf(last.within, last.clearing),
    };
  } catch (error) {
    if (isWattpactError(error)) return { status: 'void', reason: error.message };
    throw error;
  }
}

/** Round by round within the lines' limits, and within the voltage band where the feeder states one. */
function clearBook(
  { buses, lengthMs, orders, rounds, voltage }: ClearingInputs,
  feeder: FeederModel,
  book: OrderBook,
): Round[] | { reason: string } {
  const model = voltage === null ? null : voltageModel(buses, voltage, lengthMs);
  const joins = new Uint8Array(book.size);
  for (const [i, { round }] of orders.entries()) joins[i] = round - 1;
  const done: Round[] = [];
  let problem: { reason: string } | null = null;
  walkRounds(feeder, book, joins, rounds, (left, open) => {
    const cleared =
      voltage === null || model === null ? clearRound(left, open) : clearInBand(left, open, model, voltage.repeatsMax);
    if ('reason' in cleared) {
      problem = cleared;
      return null;
    }
    done.push(cleared);
    return cleared.clearing;
  });
  return problem ?? done;
}

function clearRound(feeder: FeederModel, book: OrderBook): Round | { reason: string } {
  const clearing = clear(feeder, book);
  return problemOf(verifyClearing(feeder, book, clearing)) ?? { book, clearing, tightened: [], within: feeder };
}

function clearInBand(
  feeder: FeederModel,
  book: OrderBook,
  model: VoltageModel,
  repeatsMax: number,
): Round | { reason: string } {
  const secure = clearSecurely(feeder, book, model, repeatsMax);
  if (secure.status === 'void') return { reason: secure.message };
  const { clearing, tightened, feeder: within } = secure;
  const findings = verifySecurely(feeder, book, model, clearing, tightened);
  return problemOf(findings) ?? { book, clearing, tightened, within };
}

function problemOf(findings: readonly Finding[]): { reason: string } | null {
  const first = findings[0];
  return first === undefined ? null : { reason: first.message };
}

/** In a round, trades of one pair of parties are one: their prices are those of their two buses, whatever the steps. */
function tradesBetween(inputs: ClearingInputs, { within: feeder, book, clearing }: Round): Trade[] {
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
    const nothing = { certificates: [], fillsWh: [], flowsWh: [], pricesUcPerWh: [], tightened: [], trades: [] };
    return { ...inputs, ...nothing, reason: outcome.reason, status: 'void', tradedWh: '0', welfareUc: '0' };
  }
  const { rounds, trades } = outcome;
  const { tightened } = rounds[rounds.length - 1] as Round;
  return {
    ...inputs,
    ...certificateOf({ clearing: sumOfRounds(rounds.map(({ clearing }) => clearing)), tightened }),
    certificates: rounds.length === 1 ? [] : rounds.map(certificateOf),
    reason: '',
    status: 'cleared',
    trades,
  };
}

function certificateOf({ clearing, tightened }: Pick<Round, 'clearing' | 'tightened'>): RoundCertificate {
  const limit = (energyWh: number): number | null => (Number.isFinite(energyWh) ? energyWh : null);
  return {
    fillsWh: [...clearing.fillsWh],
    flowsWh: [...clearing.flowsWh],
    pricesUcPerWh: [...clearing.pricesUcPerWh],
    tightened: tightened.map(({ bus, downMaxWh, upMaxWh }) => {
      return { bus, downMaxWh: limit(downMaxWh), upMaxWh: limit(upMaxWh) };
    }),
    tradedWh: String(clearing.tradedWh),
    welfareUc: String(clearing.welfareUc),
  };
}

/** True if a document holds: the same inputs give these results, and the certificate is optimal. For auditors. */
export function clearingHolds(document: ClearingDocument): boolean {
  const { buses, feeder, interval, lengthMs, netExports, orders, rounds, tariff, utility, voltage } = document;
  const inputs = { buses, feeder, interval, lengthMs, netExports, orders, rounds, tariff, utility, voltage };
  const outcome = document.status === 'void' && document.reason === LATE.reason ? LATE : clearInputs(inputs);
  return hashOf(documentOf(inputs, outcome)) === hashOf(document);
}
