// A clearing's document judged by its certificates, in O(n + m) for each round and without a solver: what an owner or an auditor
// needs, in a browser too. Limits that a voltage band tightened are made again by their rule, since no certificate says that they are its.

import { canonicalText, type Json } from '../base/canonical.ts';
import { describeError } from '../base/errors.ts';
import { sumOfRounds, walkRounds } from '../market/clear.ts';
import type { Clearing, FeederModel, Finding, OrderBook } from '../market/types.ts';
import { verifyClearing } from '../market/verify.ts';
import { type TightenedLine, tighteningFindings, verifySecurely } from '../market/voltage.ts';
import { type ClearingInputs, type PreparedClearing, prepareClearing, tradesBetween } from './clearing-rounds.ts';
import type { ClearingDocument, RoundCertificate } from './types.ts';

/**
 * Why the results of a cleared document are not the one optimal and canonical outcome of its inputs, or null. Each round's fills,
 * flows and prices are verified on what earlier rounds left, and the pairing of trades is made again. Takes any value of the
 * document's form; figures may be anything. A void document states no results: its reason is returned.
 */
export function certificateProblem(document: ClearingDocument): string | null {
  if (document.status !== 'cleared') return `the market was void: ${document.reason}`;
  if (document.reason !== '') return `it is cleared, and yet gives a reason for being void: ${document.reason}`;
  try {
    return resultsProblem(document);
  } catch (error) {
    return describeError(error);
  }
}

function resultsProblem(document: ClearingDocument): string | null {
  const several = document.rounds > 1;
  const certificates = several ? document.certificates : [document];
  if (document.certificates.length !== (several ? document.rounds : 0)) {
    return `rounds: ${document.rounds}, certificates of rounds: ${document.certificates.length}`;
  }
  const inputs: ClearingInputs = document;
  const prepared = prepareClearing(inputs);
  const clearings: Clearing[] = [];
  const trades: unknown[] = [];
  let finding: Finding | undefined;
  walkRounds(prepared.feeder, prepared.book, prepared.joins, document.rounds, (feeder, book, round) => {
    const certificate = certificates[round] as RoundCertificate;
    const clearing = clearingOf(certificate);
    finding = findingsOf(prepared, feeder, book, clearing, certificate)[0];
    if (finding !== undefined) return null;
    clearings.push(clearing);
    trades.push(...tradesBetween(inputs, { within: feeder, book, clearing }));
    return clearing;
  });
  if (finding !== undefined) {
    return several ? `round ${clearings.length + 1}: ${finding.message}` : finding.message;
  }
  if (canonicalText(trades as Json) !== canonicalText(document.trades as unknown as Json)) {
    return 'the trades are not the pairs that these fills make';
  }
  const last = certificates[certificates.length - 1] as RoundCertificate;
  if (canonicalText(last.tightened as Json) !== canonicalText(document.tightened as Json)) {
    return 'the tightened limits are not those of the last round';
  }
  if (several && !sameResults(sumOfRounds(clearings), clearingOf(document))) {
    return 'the totals are not the sums of the rounds';
  }
  return null;
}

function findingsOf(
  { model, repeatsMax }: PreparedClearing,
  feeder: FeederModel,
  book: OrderBook,
  clearing: Clearing,
  { tightened }: RoundCertificate,
): Finding[] {
  const lines = tightened.map(({ bus, downMaxWh, upMaxWh }): TightenedLine => {
    return { bus, downMaxWh: downMaxWh ?? Infinity, upMaxWh: upMaxWh ?? Infinity };
  });
  const unknown = lines.find(({ bus }) => feeder.ids[bus] === undefined);
  if (unknown !== undefined) return [stray(`a tightened limit names bus ${unknown.bus} of ${feeder.ids.length}`)];
  if (model === null) {
    if (lines.length > 0) return [stray('limits are tightened, and the feeder states no voltage band')];
    return verifyClearing(feeder, book, clearing);
  }
  const findings = verifySecurely(feeder, book, model, clearing, lines);
  return findings.length > 0 ? findings : tighteningFindings(feeder, book, model, repeatsMax, lines);
}

function stray(message: string): Finding {
  return { code: 'flow.limit', at: -1, message };
}

function clearingOf({ fillsWh, flowsWh, pricesUcPerWh, tradedWh, welfareUc }: RoundCertificate): Clearing {
  return {
    fillsWh: Float64Array.from(fillsWh),
    flowsWh: Float64Array.from(flowsWh),
    pricesUcPerWh: Float64Array.from(pricesUcPerWh),
    tradedWh: BigInt(tradedWh),
    welfareUc: BigInt(welfareUc),
  };
}

function sameResults(a: Clearing, b: Clearing): boolean {
  const same = (x: ArrayLike<number>, y: ArrayLike<number>): boolean =>
    x.length === y.length && Array.from(x).every((value, i) => value === y[i]);
  return (
    a.tradedWh === b.tradedWh &&
    a.welfareUc === b.welfareUc &&
    same(a.fillsWh, b.fillsWh) &&
    same(a.flowsWh, b.flowsWh) &&
    same(a.pricesUcPerWh, b.pricesUcPerWh)
  );
}
