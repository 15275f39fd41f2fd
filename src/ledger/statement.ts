// What a site sold, bought and owes for some intervals, from its notices and settlements: exact sums in integers, and a line
// for every interval with the record that proves it. Owns the arithmetic of a statement, not how it looks.

import { floorDiv } from '../base/integers.ts';
import type { Notice, Settlement } from '../protocol/replies.ts';
import type { Ledger } from './types.ts';

/** One settled interval. Amounts in µ¤: + the site receives, - it pays. Energies in Wh, >= 0 where the name says the direction. */
export interface StatementLine {
  readonly interval: number;
  /** What `wattpact chain prove` takes, and the block it stands in. */
  readonly record: string;
  readonly height: number;
  readonly soldWh: number;
  readonly boughtWh: number;
  readonly deliveredWh: number;
  readonly deviationWh: number;
  /** Nodal price of the clearing; null when nothing was cleared. */
  readonly priceUcPerWh: number | null;
  readonly tradesUc: number;
  readonly imbalanceUc: number;
  /** Settled without a delivery: a correction may still replace it. */
  readonly provisional: boolean;
  readonly corrected: boolean;
}

export interface StatementTotals {
  readonly soldWh: number;
  readonly boughtWh: number;
  readonly soldUc: bigint;
  readonly boughtUc: bigint;
  readonly shortfallWh: number;
  readonly surplusWh: number;
  readonly imbalanceUc: bigint;
  readonly balanceUc: bigint;
}

/** A customer's part: `sharePpm` of every amount; the rounding goes to the last, so that the parts make the whole. */
export interface CustomerPart {
  readonly customer: string;
  readonly sharePpm: number;
  readonly balanceUc: bigint;
}

export interface Statement {
  readonly gateway: string;
  readonly fromInterval: number;
  readonly untilInterval: number;
  readonly lines: readonly StatementLine[];
  readonly totals: StatementTotals;
  readonly customers: readonly CustomerPart[];
}

const PPM = 1_000_000n;

export function statementOf(
  ledger: Ledger,
  gateway: string,
  fromInterval: number,
  untilInterval: number,
  shares: readonly { readonly customer: string; readonly sharePpm: number }[],
): Statement {
  const lines = linesOf(ledger, gateway, fromInterval, untilInterval);
  const totals = totalsOf(lines);
  return { gateway, fromInterval, untilInterval, lines, totals, customers: partsOf(totals.balanceUc, shares) };
}

function linesOf(ledger: Ledger, gateway: string, fromInterval: number, untilInterval: number): StatementLine[] {
  const notices = new Map<number, Notice>();
  for (const { leaf } of ledger.leavesOf('notice', gateway, fromInterval, untilInterval)) {
    if (leaf.kind === 'notice') notices.set(leaf.interval, leaf);
  }
  // Later ones replace earlier ones: what counts is the last correction.
  const settled = new Map<number, { leaf: Settlement; height: number; times: number }>();
  for (const { leaf, height } of ledger.leavesOf('settlement', gateway, fromInterval, untilInterval)) {
    if (leaf.kind !== 'settlement') continue;
    settled.set(leaf.interval, { leaf, height, times: (settled.get(leaf.interval)?.times ?? 0) + 1 });
  }
  return [...settled.values()]
    .sort((a, b) => a.leaf.interval - b.leaf.interval)
    .map(({ leaf, height, times }): StatementLine => {
      const notice = notices.get(leaf.interval);
      return {
        interval: leaf.interval,
        record: `settlement/${gateway}/${leaf.interval}`,
        height,
        soldWh: Math.max(0, leaf.positionWh),
        boughtWh: Math.max(0, 0 - leaf.positionWh),
        deliveredWh: leaf.deliveredWh,
        deviationWh: leaf.deviationWh,
        priceUcPerWh: notice?.status === 'cleared' ? notice.nodalPriceUcPerWh : null,
        tradesUc: leaf.tradesUc,
        imbalanceUc: leaf.imbalanceUc,
        provisional: leaf.provisional,
        corrected: times > 1,
      };
    });
}

function totalsOf(lines: readonly StatementLine[]): StatementTotals {
  const totals = {
    soldWh: 0,
    boughtWh: 0,
    soldUc: 0n,
    boughtUc: 0n,
    shortfallWh: 0,
    surplusWh: 0,
    imbalanceUc: 0n,
    balanceUc: 0n,
  };
  for (const line of lines) {
    totals.soldWh += line.soldWh;
    totals.boughtWh += line.boughtWh;
    if (line.boughtWh > 0) totals.boughtUc += BigInt(line.tradesUc);
    else totals.soldUc += BigInt(line.tradesUc);
    if (line.deviationWh < 0) totals.shortfallWh -= line.deviationWh;
    else totals.surplusWh += line.deviationWh;
    totals.imbalanceUc += BigInt(line.imbalanceUc);
  }
  totals.balanceUc = totals.soldUc + totals.boughtUc + totals.imbalanceUc;
  return totals;
}

function partsOf(balanceUc: bigint, shares: readonly { customer: string; sharePpm: number }[]): CustomerPart[] {
  let restUc = balanceUc;
  return shares.map(({ customer, sharePpm }, i) => {
    const partUc = i === shares.length - 1 ? restUc : (balanceUc * BigInt(sharePpm)) / PPM;
    restUc -= partUc;
    return { customer, sharePpm, balanceUc: partUc };
  });
}

/** Lines of one UTC day summed up, in order of days (days since the epoch). */
export function byDay(
  lines: readonly StatementLine[],
  lengthMs: number,
): readonly { readonly day: number; readonly totals: StatementTotals }[] {
  const days = new Map<number, StatementLine[]>();
  for (const line of lines) {
    const day = floorDiv(line.interval * lengthMs, 24 * 3_600_000);
    const list = days.get(day);
    if (list === undefined) days.set(day, [line]);
    else list.push(line);
  }
  return [...days].map(([day, of]) => ({ day, totals: totalsOf(of) }));
}
