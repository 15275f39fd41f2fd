// What a clearing's document means to the market: its feeder, book and rounds, and the trades between parties. Shared by who
// clears (clearing-document.ts) and who only checks certificates (clearing-certificate.ts, also in a browser): no hash, no schema here.

import { orderBook } from '../market/book.ts';
import { buildFeeder, pathBetween } from '../market/feeder.ts';
import { pairTrades } from '../market/trades.ts';
import type { Clearing, FeederModel, OrderBook } from '../market/types.ts';
import { type TightenedLine, type VoltageModel, voltageModel } from '../market/voltage.ts';
import type { Trade } from '../protocol/replies.ts';
import type { ClearingDocument } from './types.ts';

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

/** What is the same for everybody before anything is cleared. */
export interface PreparedClearing {
  readonly feeder: FeederModel;
  readonly book: OrderBook;
  /** The round that each order of the book joins in, from 0; the utility's two in the first. */
  readonly joins: Uint8Array;
  /** Null if the feeder states no voltage band. */
  readonly model: VoltageModel | null;
  /** Clearings repeated under tighter limits before the market is void. */
  readonly repeatsMax: number;
}

/** Throws `FeederError`, `OrderError` and the like for inputs that cannot be cleared. */
export function prepareClearing(inputs: ClearingInputs): PreparedClearing {
  const { buses, lengthMs, netExports, orders, tariff, voltage } = inputs;
  const netExportsWh = new Map(netExports.map(({ bus, energyWh }) => [bus, energyWh]));
  const feeder = buildFeeder(buses, { lengthMs, netExportsWh });
  const book = orderBook(feeder, orders, tariff ?? undefined);
  const joins = new Uint8Array(book.size);
  for (const [i, { round }] of orders.entries()) joins[i] = round - 1;
  const model = voltage === null ? null : voltageModel(buses, voltage, lengthMs);
  return { feeder, book, joins, model, repeatsMax: voltage?.repeatsMax ?? 0 };
}

/** In a round, trades of one pair of parties are one: their prices are those of their two buses, whatever the steps. */
export function tradesBetween(
  inputs: ClearingInputs,
  { within: feeder, book, clearing }: Pick<Round, 'within' | 'book' | 'clearing'>,
): Trade[] {
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
