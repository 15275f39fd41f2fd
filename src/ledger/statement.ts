// What a site sold, bought and owes for some intervals, from its notices and settlements: exact sums in integers, and a line
// for every interval with the record that proves it. Owns the arithmetic of a statement, not how it looks.

import { floorDiv } from '../base/integers.ts';
import type { Notice, Settlement } from '../protocol/replies.ts';
import type { RequestBody } from '../protocol/requests.ts';
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
  /** What of the line falls to each customer, in their order; null if nothing says how to part it. */
  readonly partsUc: readonly bigint[] | null;
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

/** How amounts are parted among customers: by stated shares, or by what their sub-meters counted in each interval. */
export type Parting =
  | { readonly by: 'share'; readonly customers: readonly { readonly customer: string; readonly sharePpm: number }[] }
  | { readonly by: 'meter'; readonly customers: readonly { readonly customer: string; readonly device: string }[] };

export interface CustomerPart {
  readonly customer: string;
  /** What says so, for people. */
  readonly basis: string;
  readonly balanceUc: bigint;
}

export interface Statement {
  readonly gateway: string;
  readonly fromInterval: number;
  readonly untilInterval: number;
  readonly lines: readonly StatementLine[];
  readonly totals: StatementTotals;
  readonly customers: readonly CustomerPart[];
  /** What could not be parted, because an interval lacks its sub-meters' readings. */
  readonly unpartedUc: bigint;
}

export function statementOf(
  ledger: Ledger,
  gateway: string,
  fromInterval: number,
  untilInterval: number,
  parting: Parting | null,
): Statement {
  const weigh = weights(ledger, gateway, parting);
  const lines = linesOf(ledger, gateway, fromInterval, untilInterval).map((line): StatementLine => {
    const weight = weigh(line.interval);
    return { ...line, partsUc: weight === null ? null : part(lineUc(line), weight) };
  });
  const totals = totalsOf(lines);
  const customers = (parting === null ? [] : names(parting)).map(({ customer, basis }, i): CustomerPart => {
    return { customer, basis, balanceUc: lines.reduce((sum, { partsUc }) => sum + (partsUc?.[i] ?? 0n), 0n) };
  });
  const unpartedUc = lines.reduce((sum, line) => sum + (line.partsUc === null ? lineUc(line) : 0n), 0n);
  return { gateway, fromInterval, untilInterval, lines, totals, customers, unpartedUc };
}

function lineUc({ tradesUc, imbalanceUc }: StatementLine): bigint {
  return BigInt(tradesUc) + BigInt(imbalanceUc);
}

function names(parting: Parting): { customer: string; basis: string }[] {
  return parting.by === 'share'
    ? parting.customers.map(({ customer, sharePpm }) => ({ customer, basis: `stated share of ${sharePpm / 10_000} %` }))
    : parting.customers.map(({ customer, device }) => ({ customer, basis: `sub-meter ${device}` }));
}

/** How heavily each customer counts in an interval; null where nobody knows. */
function weights(
  ledger: Ledger,
  gateway: string,
  parting: Parting | null,
): (interval: number) => readonly bigint[] | null {
  if (parting === null) return () => null;
  if (parting.by === 'share') return () => parting.customers.map(({ sharePpm }) => BigInt(sharePpm));
  // Corrections come later and replace what the delivery said.
  const metered = new Map<number, ReadonlyMap<string, number>>();
  for (const { kind, request } of ledger.requestsOf(gateway, 0, ledger.head().height + 1, Number.MAX_SAFE_INTEGER)) {
    if (kind !== 'delivery' && kind !== 'correction') continue;
    const { devices, interval } = request.body as unknown as RequestBody<'delivery'>;
    metered.set(interval, new Map(devices.map(({ device, energyWh }) => [device, energyWh])));
  }
  return (interval) => {
    const counted = parting.customers.map(({ device }) => metered.get(interval)?.get(device));
    const known = counted.filter((energyWh) => energyWh !== undefined);
    if (known.length < counted.length || known.every((energyWh) => energyWh === 0)) return null;
    return known.map((energyWh) => BigInt(Math.abs(energyWh)));
  };
}

/** Parts an amount by weights; the rounding goes to the last, so that the parts make the whole. */
function part(amountUc: bigint, weight: readonly bigint[]): bigint[] {
  const total = weight.reduce((sum, one) => sum + one, 0n);
  let restUc = amountUc;
  return weight.map((one, i) => {
    const partUc = i === weight.length - 1 ? restUc : (amountUc * one) / total;
    restUc -= partUc;
    return partUc;
  });
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
        partsUc: null,
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
