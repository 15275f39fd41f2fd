// What must hold of the ledgers and vote logs that validators leave behind, read from their files alone.

import { join } from 'node:path';
import { parseCanonical } from '../../../src/base/canonical.ts';
import { isCertified } from '../../../src/consensus/certificates.ts';
import type { LogRecord } from '../../../src/consensus/pbft/core/io.ts';
import { fastVerify } from '../../../src/keys/verify.ts';
import { audit } from '../../../src/ledger/audit.ts';
import { messageId } from '../../../src/protocol/envelope.ts';
import type { Genesis } from '../../../src/protocol/genesis.ts';
import { headerHash } from '../../../src/protocol/header.ts';
import { openLedgerStore } from '../../../src/store/ledger.ts';
import { openVoteLog } from '../../../src/store/votes.ts';
import { LEDGER_FILE, VOTES_FILE } from '../../../src/validator/validator.ts';
import type { Counted } from './gateways.ts';

/** A validator's ledger as read: of each block its header's hash, its state hash, and the verdicts by request. */
export interface Book {
  readonly validator: string;
  readonly blocks: readonly BlockRead[];
}

export interface BlockRead {
  readonly height: number;
  readonly header: string;
  readonly stateHash: string;
  /** View in which it was agreed on, by the certificate this validator kept. */
  readonly view: number;
  readonly verdicts: readonly (readonly [request: string, verdict: string])[];
  readonly dueResults: number;
}

export function readBook(validator: string, dir: string, genesis: Genesis): Book {
  const store = openLedgerStore(join(dir, LEDGER_FILE), { readonly: true });
  try {
    const blocks: BlockRead[] = [];
    const top = store.head()?.height ?? 0;
    for (let height = 1; height <= top; height++) {
      const block = store.block(height);
      if (block === null) throw new Error(`${validator} has no block ${height} of ${top}`);
      const verdicts = block.results.flatMap(({ leaf }) =>
        leaf.kind === 'verdict' ? [[leaf.request, `${leaf.verdict} ${leaf.reason}`.trim()] as const] : [],
      );
      const ids = block.batch.requests.map((request) => messageId(genesis.chain, request));
      if (ids.join() !== verdicts.map(([id]) => id).join()) {
        throw new Error(`${validator} has other requests than verdicts in block ${height}`);
      }
      const { stateHash } = block.header;
      const { view } = block.certificate;
      const dueResults = block.results.length - verdicts.length;
      blocks.push({ height, header: headerHash(block.header), stateHash, view, verdicts, dueResults });
    }
    return { validator, blocks };
  } finally {
    store.close();
  }
}

/** Everything that is wrong between the books and with what gateways counted; empty if all holds. */
export function problemsOf(books: readonly Book[], counted: Iterable<Counted>): string[] {
  const problems: string[] = [];
  const top = Math.max(...books.map(({ blocks }) => blocks.length));
  for (let i = 0; i < top; i++) {
    const [first, ...others] = books.flatMap(({ validator, blocks }) => {
      const block = blocks[i];
      return block === undefined ? [] : [{ validator, block }];
    });
    for (const { validator, block } of others) {
      const pair = `${first?.validator} and ${validator}`;
      if (block.header !== first?.block.header) problems.push(`${pair} have different blocks at height ${i + 1}`);
      if (block.stateHash !== first?.block.stateHash) problems.push(`${pair} have different states at height ${i + 1}`);
    }
  }
  const asked = [...counted];
  for (const { validator, blocks } of books) {
    const places = new Map<string, { height: number; header: string; verdict: string }>();
    for (const { height, header, verdicts } of blocks) {
      for (const [id, verdict] of verdicts) {
        const earlier = places.get(id);
        if (earlier !== undefined)
          problems.push(`${validator} applied ${id} twice, at ${earlier.height} and ${height}`);
        places.set(id, { height, header, verdict });
      }
    }
    for (const { id, ...what } of asked) {
      const there = places.get(id);
      if (there === undefined) problems.push(`${validator} does not have ${id}, which was counted at ${what.height}`);
      else if (there.height !== what.height || there.header !== what.header || there.verdict !== what.verdict) {
        problems.push(`${validator} has ${id} as ${JSON.stringify(there)}, counted was ${JSON.stringify(what)}`);
      }
    }
  }
  return problems;
}

/** Executes the book again from genesis: certificates, results, states. Null if all of it holds. */
export function auditProblem(dir: string, genesis: Genesis): string | null {
  const source = openLedgerStore(join(dir, LEDGER_FILE), { readonly: true });
  try {
    const { problem } = audit({
      genesis,
      verify: fastVerify,
      source,
      isCertified: isCertified(genesis.chain, fastVerify),
    });
    return problem === null ? null : `block ${problem.height}: ${problem.what}`;
  } finally {
    source.close();
  }
}

/** Validators accused in the vote log, and why its owner may not vote, if so. */
export function readVotes(dir: string, publicKey: string): { accused: string[]; lost: string | null } {
  const log = openVoteLog(join(dir, VOTES_FILE), publicKey);
  try {
    const records = (log.read() ?? []).map((record) => parseCanonical(record) as unknown as LogRecord);
    const accused = records.flatMap((record) => (record.type === 'evidence' ? [record.accused] : []));
    const silent = records.find((record) => record.type === 'vote lost');
    return { accused, lost: log.lost ?? (silent?.type === 'vote lost' ? silent.reason : null) };
  } finally {
    log.close();
  }
}
