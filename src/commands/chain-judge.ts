// Judges what comes from a validator or out of a file with nothing but genesis at hand: proofs, clearings, accounts, shares of clearings.

import type { Json, JsonObject } from '../base/canonical.ts';
import { describeError } from '../base/errors.ts';
import { isoSeconds } from '../base/interval.ts';
import { wordsOf } from '../base/words.ts';
import { commitsAgree, contradicts } from '../consensus/certificates.ts';
import { fastVerify } from '../keys/verify.ts';
import { certifiedSchema, checkCertified } from '../ledger/certified.ts';
import { checkClearing } from '../ledger/clearing-file.ts';
import { checkProofFile } from '../ledger/prove.ts';
import { shareProblem, shareSchema } from '../ledger/share.ts';
import { checkStateProof } from '../ledger/state.ts';
import { keysOf, type Sets, setAt, setOf } from '../ledger/succession.ts';
import type { ClearingDocument } from '../ledger/types.ts';
import { parseEnvelope } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { checkAttestation, headerHash, headerSchema } from '../protocol/header.ts';
import type { Leaf } from '../protocol/replies.ts';
import { EVIDENCE_KIND, evidenceSchema } from '../validator/evidence.ts';
import { accountAnswerSchema, certifiedHeaderSchema } from '../web/api-routes.ts';

/** `holds` null: there is nothing in it that could be checked. */
export interface Judgement {
  readonly holds: boolean | null;
  /** For people. */
  readonly text: string;
  readonly detail: object;
}

const yes = (text: string, detail: object): Judgement => ({ holds: true, text, detail });
const no = (problem: string): Judgement => ({ holds: false, text: problem, detail: { problem } });

/** Any value. `notice`: the proof of the notice that a clearing or a share belongs to, if it is at hand. */
export function judge(value: Json, genesis: Genesis, sets: Sets, notice: Json | null): Judgement {
  const object = (typeof value === 'object' && value !== null ? value : {}) as JsonObject;
  if (Array.isArray(object.proofs)) return judgeAll(object.proofs as Json[], genesis, sets);
  if ('orders' in object && 'buses' in object) return judgeClearing(value, genesis, sets, notice);
  if ('steps' in object && 'clearing' in object) return judgeShare(value, genesis, sets, notice);
  if ('balanceUc' in object && 'attestation' in object) return judgeAccount(value, genesis, sets);
  if (Array.isArray(object.records) && 'untilHeight' in object) return judgePage(object, genesis, sets);
  if ('commits' in object && 'attestation' in object) return judgeHeader(value, genesis, sets);
  if (object.kind === EVIDENCE_KIND) return judgeEvidence(value, genesis, sets);
  if (object.kind !== 'wattpact.proof' && Object.keys(object).length > 0) {
    return { holds: null, text: 'it carries no proof', detail: {} };
  }
  const checked = checkProofFile(value, {
    genesis,
    verify: fastVerify,
    agreed: commitsAgree(genesis.chain, fastVerify),
  });
  if ('problem' in checked) return no(checked.problem);
  return yes(`${leafLine(checked.leaf)}, in block ${checked.height} of ${isoSeconds(checked.timeMs)}`, checked);
}

function judgeAll(proofs: readonly Json[], genesis: Genesis, sets: Sets): Judgement {
  const judged = proofs.map((proof) => judge(proof, genesis, sets, null));
  const wrong = judged.find(({ holds }) => holds !== true);
  if (wrong !== undefined) return no(wrong.text);
  return yes(judged.map(({ text }) => text).join('\n'), { proofs: judged.map(({ detail }) => detail) });
}

/** Records one by one; that there is no other between them is the validator's word. */
function judgePage({ records, keptFrom, untilHeight }: JsonObject, genesis: Genesis, sets: Sets): Judgement {
  const agreed = commitsAgree(genesis.chain, fastVerify);
  const lines: string[] = [];
  for (const [i, value] of (records as readonly Json[]).entries()) {
    const record = certifiedSchema.safeParse(value);
    if (!record.success) return no(`record ${i}: it is none: ${wordsOf(record.error, value)}`);
    const { height } = record.data.header;
    const set = setAt(sets, height + 1);
    const proven = checkCertified(record.data, genesis.chain, set === null ? null : keysOf(set), agreed);
    if ('problem' in proven) return no(`record ${i}, block ${height}: ${proven.problem}`);
    lines.push(`  block ${height}: ${leafLine(proven.leaf)}`);
  }
  const told = `${lines.length} records, each proven; by its word all there are from block ${String(keptFrom)} to below ${String(untilHeight)}`;
  return yes([told, ...lines].join('\n'), { records: lines.length, untilHeight });
}

function judgeHeader(value: Json, genesis: Genesis, sets: Sets): Judgement {
  const answer = certifiedHeaderSchema.safeParse(value);
  if (!answer.success) return no(`not a certified header: ${wordsOf(answer.error, value)}`);
  const { attestation, commits, engine } = answer.data;
  const header = headerSchema.safeParse(attestation.body);
  if (!header.success) return no(`not a header: ${wordsOf(header.error, attestation.body)}`);
  const { chain, height, timeMs } = header.data;
  const above = setAt(sets, height + 1);
  if (chain !== genesis.chain || above === null)
    return no('it is of another chain, or of validators that are not known');
  const line = `block ${height} of ${isoSeconds(timeMs)}, ${headerHash(header.data)}`;
  if (commits.length === 0)
    return { holds: null, text: `${line}: the newest, no block above certifies it yet`, detail: {} };
  try {
    const claim = { engine, height: height + 1, parent: headerHash(header.data) };
    const holds = commitsAgree(chain, fastVerify)(commits.map(parseEnvelope), claim, keysOf(above));
    return holds ? yes(line, { header: header.data }) : no('no quorum of the validators confirms the block');
  } catch (error) {
    return no(describeError(error));
  }
}

function judgeClearing(value: Json, genesis: Genesis, sets: Sets, notice: Json | null): Judgement {
  const checked = checkClearing(value);
  if ('problem' in checked) return no(checked.problem);
  const { document, digest } = checked;
  const tie = notice === null ? null : judge(notice, genesis, sets, null);
  if (tie !== null && tie.holds !== true) return no(`the notice beside it: ${tie.text}`);
  const leaf = tie === null ? null : (tie.detail as { leaf: Leaf }).leaf;
  if (leaf !== null && (!('clearing' in leaf) || leaf.clearing !== digest)) {
    return no(`its hash is ${digest}: that is not the clearing of the notice or summary`);
  }
  const bound = leaf === null ? ' (that the chain has just this one, only a notice or summary beside it can show)' : '';
  return yes(`${clearingLine(document)}, hash ${digest}${bound}`, {
    clearing: digest,
    feeder: document.feeder,
    interval: document.interval,
    onChain: leaf !== null,
    status: document.status,
    tradedWh: document.tradedWh,
    welfareUc: document.welfareUc,
  });
}

function clearingLine({ feeder, interval, orders, reason, status, tradedWh }: ClearingDocument): string {
  if (status === 'void') return `clearing of ${feeder} for interval ${interval}: void (${reason})`;
  return `clearing of ${feeder} for interval ${interval}: optimal for its ${orders.length} steps, ${tradedWh} Wh traded`;
}

function judgeShare(value: Json, genesis: Genesis, sets: Sets, notice: Json | null): Judgement {
  const share = shareSchema.safeParse(value);
  if (!share.success) return no(`not a share of a clearing: ${wordsOf(share.error, value)}`);
  if (notice === null) return { holds: null, text: 'a share is judged beside its notice', detail: {} };
  const tie = judge(notice, genesis, sets, null);
  if (tie.holds !== true) return no(`the notice beside it: ${tie.text}`);
  const { leaf } = tie.detail as { leaf: Leaf };
  if (leaf.kind !== 'notice' || leaf.gateway !== share.data.gateway) return no('the notice beside it is not its own');
  const problem = shareProblem(share.data, leaf);
  if (problem !== null) return no(problem);
  const { interval, steps } = share.data;
  return yes(`share of interval ${interval}: ${steps.length} steps filled as their prices say, ${leaf.positionWh} Wh`, {
    leaf,
  });
}

function judgeAccount(value: Json, genesis: Genesis, sets: Sets): Judgement {
  const account = accountAnswerSchema.safeParse(value);
  if (!account.success) return no(`not an account: ${wordsOf(account.error, value)}`);
  const { attestation, balanceUc, party, proof } = account.data;
  const named = headerSchema.safeParse(attestation.body);
  const set = named.success ? setOf(sets, named.data) : null;
  if (set === null) return no('its header is of validators that are not known');
  const header = checkAttestation(genesis.chain, parseEnvelope(attestation), keysOf(set), fastVerify);
  if (header === null) return no('its header is not attested by a validator');
  const entry = { key: `account/all/${party}`, value: JSON.stringify(balanceUc) };
  if (proof.key !== entry.key || proof.value !== entry.value) return no('its proof is of another entry');
  if (!checkStateProof(proof, header.stateHash)) return no('the account does not stand under the state hash');
  return yes(`account of ${party}: ${balanceUc} µ¤ after block ${header.height}, attested by ${attestation.signer}`, {
    balanceUc,
    header,
    validator: attestation.signer,
  });
}

/** By any key that the validator has had as far as is known: what was signed with it stays said. */
function judgeEvidence(value: Json, genesis: Genesis, sets: Sets): Judgement {
  const evidence = evidenceSchema.safeParse(value);
  if (!evidence.success) return no(`not evidence: ${wordsOf(evidence.error, value)}`);
  if (evidence.data.chain !== genesis.chain) return no(`it is of chain ${evidence.data.chain}, not ${genesis.chain}`);
  const { accused, first, second } = evidence.data;
  const keys = new Set(sets.flatMap((set) => keysOf(set).get(accused) ?? []));
  try {
    const [one, other] = [parseEnvelope(first), parseEnvelope(second)];
    const contradicted = contradicts(genesis.chain, fastVerify);
    if (one.signer !== accused || ![...keys].some((key) => contradicted(one, other, key)))
      return no(`${accused} did not sign two words that contradict each other, with a key that is known`);
    return yes(`${accused} signed two different ${one.kind} for one place: no honest validator does`, { accused });
  } catch (error) {
    return no(describeError(error));
  }
}

/** One leaf in one line. */
export function leafLine(leaf: Leaf, kinds?: ReadonlyMap<string, string>): string {
  switch (leaf.kind) {
    case 'verdict': {
      const what = kinds?.get(leaf.request) ?? leaf.requestKind;
      return `${leaf.verdict} ${what} of ${leaf.signer} ${leaf.request}${leaf.reason === '' ? '' : `: ${leaf.reason}`}`;
    }
    case 'notice':
      return `notice to ${leaf.gateway} for interval ${leaf.interval}: ${leaf.status}, position ${leaf.positionWh} Wh, ${leaf.trades.length} trades`;
    case 'settlement':
      return `settlement of ${leaf.gateway} for interval ${leaf.interval}: delivered ${leaf.deliveredWh} Wh, trades ${leaf.tradesUc}, imbalance ${leaf.imbalanceUc}${leaf.provisional ? ' (provisional)' : ''}`;
    case 'clearing':
      return `clearing of ${leaf.feeder} for interval ${leaf.interval}: ${leaf.status}`;
    default:
      return leaf satisfies never;
  }
}
