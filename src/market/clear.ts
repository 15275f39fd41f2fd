// Clearing: orders on a feeder to the allocation of greatest welfare and its certificate. The same result from the same
// feeder and consensus order on every machine; nobody has a choice among optima (ties: book.ts, prices: certificate.ts).

import { allocate } from './allocate.ts';
import { certify } from './certificate.ts';
import type { Clearing, FeederModel, OrderBook } from './types.ts';

/** The one clearing of a book on a feeder. Never fails on a checked feeder and book; without any gain nothing is filled. */
export function clear(feeder: FeederModel, book: OrderBook): Clearing {
  return certify(feeder, book, allocate(feeder, book));
}
