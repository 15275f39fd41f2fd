// A party's past in pages: its recorded requests, each certified, and which heights a page covers. Reads only.

import type { RequestKind } from '../protocol/requests.ts';
import { type Certified, certify } from './certified.ts';
import type { Ledger, RecordedRequest } from './types.ts';

/** Requests of one party looked at for a page. */
const LOOKED_AT_MAX = 500;
/** Blocks read for a page: their results are hashed for the proofs. */
const RECORDS_MAX = 48;
/** Size of a page's records as JSON; a single larger record still makes a page. */
const PAGE_BYTES_MAX = 96 * 1024;

export interface HistoryPage {
  readonly records: readonly Certified[];
  /** Heights `[max(fromHeight, keptFrom), untilHeight)` are covered: there is nothing else in them, and what was before is not kept. */
  readonly keptFrom: number;
  readonly untilHeight: number;
}

/** Recorded requests of these kinds from a height on. The newest block is not covered: the next one certifies it. */
export function historyPage(
  ledger: Ledger,
  party: string,
  fromHeight: number,
  kinds: readonly RequestKind[],
): HistoryPage {
  const head = ledger.head().height;
  const keptFrom = ledger.keptFrom();
  const from = Math.max(fromHeight, keptFrom);
  let untilHeight = Math.max(from, head);
  let found = ledger.requestsOf(party, from, head, LOOKED_AT_MAX);
  if (found.length === LOOKED_AT_MAX) {
    // The last block may be cut; one that is longer than a page is read in full.
    const last = (found.at(-1) as RecordedRequest).height;
    untilHeight = Math.max(last, from + 1);
    found = ledger.requestsOf(party, from, untilHeight, Number.MAX_SAFE_INTEGER);
  }
  const wanted = found.filter(({ kind }) => kinds.includes(kind));
  const records: Certified[] = [];
  let bytes = 0;
  for (const [i, { height, id, request }] of wanted.entries()) {
    const begins = wanted[i - 1]?.height !== height;
    if (begins && (records.length >= RECORDS_MAX || bytes > PAGE_BYTES_MAX)) {
      untilHeight = height;
      break;
    }
    const proof = ledger.proofOf(id);
    if (proof === null) continue;
    const record = certify(ledger, proof, request);
    bytes += JSON.stringify(record).length;
    records.push(record);
  }
  return { records, keptFrom, untilHeight };
}
