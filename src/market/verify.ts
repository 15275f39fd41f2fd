// The certificate's check, in O(n + m) integers and without trust in whoever cleared: by each validator before it attests
// a block, by a gateway, an auditor or a browser. Owns the words for what is wrong; the mathematics is certificate.ts's.

import { orderKeys, SCALE } from './book.ts';
import { agreedRanges, canonicalPrices, orderFlows, ownRanges, totals } from './certificate.ts';
import type { Clearing, FeederModel, Finding, OrderBook } from './types.ts';

/** Most findings reported; one is enough to refuse. */
export const FINDINGS_MAX = 20;

/**
 * What is wrong with a clearing; empty = it is the one optimal and canonical clearing of this book on this feeder.
 * The feeder comes from `buildFeeder` and the book passed `checkBook`; the clearing may come from anybody.
 */
export function verifyClearing(feeder: FeederModel, book: OrderBook, clearing: Clearing): Finding[] {
  const findings: Finding[] = [];
  const report = (code: Finding['code'], at: number, message: string): boolean => {
    findings.push({ code, at, message });
    return findings.length >= FINDINGS_MAX;
  };
  const n = feeder.parents.length;
  const { fillsWh, flowsWh, pricesUcPerWh } = clearing;
  if (fillsWh.length !== book.size || flowsWh.length !== n || pricesUcPerWh.length !== n) {
    report(
      'shape',
      -1,
      `${fillsWh.length} fills, ${flowsWh.length} flows and ${pricesUcPerWh.length} prices for ${book.size} orders and ${n} buses`,
    );
    return findings;
  }

  for (let i = 0; i < book.size; i++) {
    const fill = fillsWh[i]!;
    if (fill >= 0 && fill <= book.energiesWh[i]! && Number.isInteger(fill)) continue;
    if (report('fill.range', i, `order ${i} is filled with ${fill} of ${book.energiesWh[i]} Wh`)) return findings;
  }
  if (findings.length > 0) return findings;

  const flows = orderFlows(feeder, book, fillsWh);
  const surplus = flows[feeder.root]!;
  if (surplus !== 0) {
    const more = surplus > 0 ? 'sold than bought' : 'bought than sold';
    report('flow.balance', feeder.root, `${Math.abs(surplus)} Wh more are ${more}`);
    return findings;
  }
  for (let bus = 0; bus < n; bus++) {
    const flow = flows[bus]!;
    const name = feeder.ids[bus];
    if (flowsWh[bus] !== flow) {
      if (report('flow.balance', bus, `line of bus ${name}: the fills make ${flow} Wh flow, not ${flowsWh[bus]}`)) {
        return findings;
      }
    }
    if (flow > feeder.upMaxWh[bus]! || -flow > feeder.downMaxWh[bus]!) {
      const limit = flow > 0 ? feeder.upMaxWh[bus] : feeder.downMaxWh[bus];
      if (report('flow.limit', bus, `line of bus ${name} carries ${Math.abs(flow)} Wh, its limit is ${limit}`)) {
        return findings;
      }
    }
  }
  if (findings.length > 0) return findings;

  const own = ownRanges(n, book, orderKeys(book), fillsWh);
  // A key is price x SCALE ± less than half a SCALE: rounding gives the price back.
  const price = (key: number): number => Math.round(key / SCALE);
  const plain = agreedRanges(feeder, { low: own.low.map(price), high: own.high.map(price) }, 1, flows);
  const keyed = agreedRanges(feeder, own, SCALE, flows);
  for (const bus of plain.disputed) {
    const message = `below bus ${feeder.ids[bus]} orders could be filled at more welfare: no price fits all of them`;
    if (report('fill.suboptimal', bus, message)) return findings;
  }
  if (findings.length > 0) return findings;
  for (const bus of keyed.disputed) {
    const message = `below bus ${feeder.ids[bus]} a tie was not decided for the earlier order`;
    if (report('fill.tie', bus, message)) return findings;
  }

  const prices = canonicalPrices(feeder, flows, plain);
  for (let bus = 0; bus < n; bus++) {
    if (pricesUcPerWh[bus] === prices[bus]) continue;
    const message = `price of bus ${feeder.ids[bus]} is ${pricesUcPerWh[bus]} µ¤/Wh, the canonical one is ${prices[bus]}`;
    if (report('price', bus, message)) return findings;
  }
  const sums = totals(feeder, book, fillsWh, flows);
  if (clearing.welfareUc !== sums.welfareUc) {
    report('welfare', -1, `welfare is stated as ${clearing.welfareUc} µ¤ and amounts to ${sums.welfareUc}`);
  }
  if (clearing.tradedWh !== sums.tradedWh) {
    report('traded', -1, `traded energy is stated as ${clearing.tradedWh} Wh and amounts to ${sums.tradedWh}`);
  }
  return findings;
}
