// The demo's final document: what was requested, traded, delivered and settled, interval by interval, and whether the chain holds.

import { join } from 'node:path';
import { isoSeconds } from '../base/interval.ts';
import { isCertified } from '../consensus/certificates.ts';
import { fastVerify } from '../keys/verify.ts';
import { audit } from '../ledger/audit.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { deviceQuorum } from '../protocol/quorum.ts';
import { openLedgerStore } from '../store/ledger.ts';
import { LEDGER_FILE } from '../validator/validator.ts';
import type { Book } from './book.ts';

export interface DemoOutcome {
  readonly intervals: readonly {
    readonly start: string;
    readonly requests: readonly {
      readonly gateway: string;
      readonly kind: string;
      readonly energyWh: number | null;
      readonly confirmations: number;
      readonly validators: number;
    }[];
    readonly trades: readonly {
      readonly seller: string;
      readonly buyer: string;
      readonly energyWh: number;
      readonly sellerUcPerWh: number;
      readonly buyerUcPerWh: number;
    }[];
    readonly deliveries: readonly {
      readonly gateway: string;
      readonly deliveredWh: number;
      readonly positionWh: number;
    }[];
    readonly imbalanceWh: number;
    readonly moneyBalanced: boolean;
  }[];
  readonly chain: { readonly height: number; readonly verified: boolean; readonly problem: string | null };
}

/** Requests that belong to a market interval before its gate. */
const MARKET_KINDS = ['forecast', 'demand', 'offer'];

/** Verifies a validator's book from genesis and puts the document together. The validator must have ended. */
export function demoOutcome(
  book: Book,
  intervals: readonly number[],
  genesis: Genesis,
  ledgerDir: string,
): DemoOutcome {
  const store = openLedgerStore(join(ledgerDir, LEDGER_FILE), { readonly: true });
  /** Intervals whose settlement left the accounts summing to zero, and those that did not. */
  const balanced = new Map<number, boolean>();
  const audited = audit({
    genesis,
    verify: fastVerify,
    source: store,
    isCertified: isCertified(genesis.chain, fastVerify),
    onBlock: (height, _records, replica) => {
      const sum = replica.accounts().reduce((total, { balanceUc }) => total + BigInt(balanceUc), 0n);
      for (const { leaf } of store.block(height)?.results ?? []) {
        if (leaf.kind === 'settlement')
          balanced.set(leaf.interval, (balanced.get(leaf.interval) ?? true) && sum === 0n);
      }
    },
  });
  store.close();
  return {
    intervals: intervals.map((interval) => {
      const sites = book.gateways.map((gateway) => ({ gateway, ...book.site(gateway, interval) }));
      // Both sides are told of a trade: a site's sales, and its purchases of those who are no site.
      const trades = sites.flatMap(({ gateway, notice }) =>
        (notice?.trades ?? []).filter(({ seller }) => seller === gateway || !book.gateways.includes(seller)),
      );
      return {
        start: isoSeconds(interval * genesis.interval.lengthMs),
        requests: book
          .requests(interval)
          .filter(({ kind }) => MARKET_KINDS.includes(kind))
          .map(({ gateway, kind, energyWh, confirmations, validators }) => {
            return { gateway, kind, energyWh, confirmations, validators };
          }),
        trades: trades.map(({ seller, buyer, energyWh, sellerUcPerWh, buyerUcPerWh }) => {
          return { seller, buyer, energyWh, sellerUcPerWh, buyerUcPerWh };
        }),
        deliveries: sites.map(({ gateway, settlement }) => {
          return { gateway, deliveredWh: settlement?.deliveredWh ?? 0, positionWh: settlement?.positionWh ?? 0 };
        }),
        imbalanceWh: sites.reduce((sum, { settlement }) => sum + Math.abs(settlement?.deviationWh ?? 0), 0),
        moneyBalanced: balanced.get(interval) ?? false,
      };
    }),
    chain: { height: audited.height, verified: audited.problem === null, problem: audited.problem?.what ?? null },
  };
}

/**
 * What the outcome must show; the problems found, in words. `ended`: the process that the demo killed, if any. A gateway that was away may miss
 * the moment of one interval's requests, and no more.
 */
export function outcomeProblems(
  outcome: DemoOutcome,
  book: Book,
  wanted: number | null,
  ended: string | null,
): readonly string[] {
  const problems: string[] = [];
  if (wanted !== null && outcome.intervals.length < wanted) {
    problems.push(`${outcome.intervals.length} of ${wanted} intervals were settled`);
  }
  for (const gateway of book.gateways) {
    const silent = outcome.intervals.filter(({ requests }) => !requests.some((request) => request.gateway === gateway));
    for (const { start } of silent.slice(gateway === ended ? 1 : 0))
      problems.push(`${start}: no request of ${gateway}`);
  }
  for (const { start, requests, moneyBalanced } of outcome.intervals) {
    for (const { gateway, kind, confirmations, validators } of requests) {
      if (confirmations < deviceQuorum(validators)) {
        problems.push(`${start}: ${kind} of ${gateway} was confirmed by ${confirmations} of ${validators} only`);
      }
    }
    if (!moneyBalanced) problems.push(`${start}: money does not balance`);
  }
  const gateways = new Set(book.gateways);
  const trades = outcome.intervals.flatMap((interval) => interval.trades);
  if (!trades.some(({ seller, buyer }) => gateways.has(seller) && gateways.has(buyer))) {
    problems.push('no trade from site to site');
  }
  if (!outcome.chain.verified) problems.push(`the chain does not verify: ${outcome.chain.problem}`);
  return problems;
}
