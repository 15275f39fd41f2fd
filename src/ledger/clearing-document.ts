// From the inputs of a clearing to its document: what the market makes of orders, lines and tariff, with the certificate
// checked. Knows nothing of the state: an auditor runs the same on a document alone.

import { isWattpactError } from '../base/errors.ts';
import { clear, sumOfRounds, walkRounds } from '../market/clear.ts';
import { type Congestion, congestionOf } from '../market/congestion.ts';
import { accountOfRounds, type MarketAccount, marketAccount } from '../market/settle.ts';
import type { FeederModel, Finding, OrderBook } from '../market/types.ts';
import { verifyClearing } from '../market/verify.ts';
import { clearSecurely, type VoltageModel, verifySecurely } from '../market/voltage.ts';
import { hashOf } from '../protocol/envelope.ts';
import type { Trade } from '../protocol/replies.ts';
import { certificateProblem } from './clearing-certificate.ts';
import { type ClearingInputs, prepareClearing, type Round, tradesBetween } from './clearing-rounds.ts';
import type { ClearingDocument, RoundCertificate } from './types.ts';

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
    const rounds = clearRounds(inputs);
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
function clearRounds(inputs: ClearingInputs): Round[] | { reason: string } {
  const { feeder, book, joins, model, repeatsMax } = prepareClearing(inputs);
  const done: Round[] = [];
  let problem: { reason: string } | null = null;
  walkRounds(feeder, book, joins, inputs.rounds, (left, open) => {
    const cleared = model === null ? clearRound(left, open) : clearInBand(left, open, model, repeatsMax);
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

/**
 * Why a document is not what its inputs give, or null: results are judged by their certificates, a void one is cleared anew.
 * For auditors; the document's form is checked (clearing-file.ts).
 */
export function clearingProblem(document: ClearingDocument): string | null {
  if (document.status === 'cleared') return certificateProblem(document);
  const { buses, feeder, interval, lengthMs, netExports, orders, rounds, tariff, utility, voltage } = document;
  const inputs = { buses, feeder, interval, lengthMs, netExports, orders, rounds, tariff, utility, voltage };
  const outcome = document.reason === LATE.reason ? LATE : clearInputs(inputs);
  return hashOf(documentOf(inputs, outcome)) === hashOf(document) ? null : 'these orders and lines give no such result';
}
