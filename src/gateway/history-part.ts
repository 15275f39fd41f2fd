// What several validators' answers about a gateway's past decide together. Pure. Whatever one of them proves is taken, and the past is complete
// up to where f + 1 of them say that they have told everything: one of those is honest. So no single one can slip in, leave out or cut short.

import { z } from 'zod';
import type { Log } from '../base/log.ts';
import { type Certified, type CheckCommits, certifiedSchema, checkCertified } from '../ledger/certified.ts';
import type { Envelope } from '../protocol/envelope.ts';

/** One validator's word: the records of blocks `[max(from, keptFrom), until)`, as they came. */
export interface HistoryAnswer {
  readonly keptFrom: number;
  readonly records: readonly unknown[];
  readonly until: number;
}

/** What the answers to one question prove, and below which height nothing is missing. */
export interface HistoryPart {
  readonly deliveries: readonly Envelope[];
  readonly untilHeight: number;
}

export interface HistoryRules {
  readonly chain: string;
  readonly gateway: string;
  /** Public keys (by id) of the validators of a height's block, or null if they are not known. */
  readonly keysAt: (height: number) => ReadonlyMap<string, string> | null;
  /** How many validators may lie. */
  readonly f: number;
  readonly agreed: CheckCommits;
  readonly log: Log;
}

/**
 * The part of the past from `from` on, deliveries and corrections in the chain's order, or null while too few validators have answered.
 * While patient, who keeps only younger blocks does not count; later what is proven must do.
 */
export function historyPart(
  answers: readonly HistoryAnswer[],
  { from, isPatient }: { readonly from: number; readonly isPatient: boolean },
  rules: HistoryRules,
): HistoryPart | null {
  const covering = answers.filter(({ keptFrom }) => !isPatient || keptFrom <= Math.max(1, from));
  const ends = covering.map(({ until }) => until).sort((a, b) => b - a);
  const untilHeight = ends[rules.f] ?? from;
  if (untilHeight <= from) return null;
  if (!isPatient) {
    rules.log.warn({ from, untilHeight }, 'too few validators keep this part of the past: it may have gaps');
  }
  return { deliveries: provenDeliveries(answers, from, untilHeight, rules), untilHeight };
}

function provenDeliveries(
  answers: readonly HistoryAnswer[],
  from: number,
  untilHeight: number,
  rules: HistoryRules,
): Envelope[] {
  const proven = new Map<string, { readonly height: number; readonly index: number; readonly delivery: Envelope }>();
  for (const { records } of answers) {
    for (const value of records) {
      const { success, data: record } = z.safeParse(certifiedSchema, value);
      if (!success || record.leaf.kind !== 'verdict') continue;
      const { height } = record.header;
      if (height < from || height >= untilHeight || proven.has(record.leaf.request)) continue;
      const delivery = delivered(record, rules);
      if (delivery !== null) proven.set(record.leaf.request, { height, index: record.place.index, delivery });
    }
  }
  return [...proven.values()].sort((a, b) => a.height - b.height || a.index - b.index).map(({ delivery }) => delivery);
}

/** The delivery that a record proves, or null: only what the chain recorded of this gateway. */
function delivered(record: Certified, { agreed, chain, gateway, keysAt, log }: HistoryRules): Envelope | null {
  const { leaf, header } = record;
  if (leaf.kind !== 'verdict' || leaf.verdict !== 'recorded' || leaf.signer !== gateway) return null;
  const proven = checkCertified(record, chain, keysAt(header.height + 1), agreed);
  if ('problem' in proven) {
    log.warn({ height: header.height, reason: proven.problem }, 'record of the past dropped');
    return null;
  }
  const { request } = proven;
  return request?.kind === 'delivery' || request?.kind === 'correction' ? request : null;
}
