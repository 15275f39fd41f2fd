// Checks a book from genesis on, trusting nothing in it: every block is executed again and everything that was written
// down is compared with what comes out. Reads block by block; keeps the state only.

import { describeError } from '../base/errors.ts';
import { compareStrings } from '../base/integers.ts';
import { SILENT } from '../base/log.ts';
import type { Batch, Certificate } from '../consensus/engine.ts';
import { hashOf, type Verify } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { type Header, headerHash } from '../protocol/header.ts';
import { createLedger } from './ledger.ts';
import { resultTree } from './results.ts';
import { State } from './state.ts';
import type { Block, Ledger, LedgerStore } from './types.ts';

/** True if the certificate convinces a stranger that these validators agreed on the batch as the block above `parent`. */
export type CheckCertificate = (
  decided: {
    readonly batch: Batch;
    readonly certificate: Certificate;
    readonly height: number;
    readonly parent: string;
  },
  validators: ReadonlyMap<string, string>,
) => boolean;

export interface AuditOptions {
  readonly genesis: Genesis;
  readonly verify: Verify;
  readonly source: LedgerStore;
  readonly isCertified: CheckCertificate;
  /** Called after each block that was found right, with the ledger as it stands then. */
  readonly onBlock?: (height: number, records: number, ledger: Ledger) => void;
}

export interface Audit {
  /** Blocks and records (verdicts) found right. */
  readonly height: number;
  readonly records: number;
  /** Null if everything holds; else the first thing that does not. */
  readonly problem: { readonly height: number; readonly what: string } | null;
}

/** A validator that was restored from a snapshot keeps the blocks after it only. */
const NO_BEGINNING = 'the book does not begin at genesis: it was started from a snapshot';

export function audit({ genesis, verify, source, isCertified, onBlock }: AuditOptions): Audit {
  const replica = createReplica(genesis, verify);
  const head = source.head();
  let records = 0;
  const found = (height: number, what: string): Audit => ({ height: height - 1, records, problem: { height, what } });
  if (head === null) return found(0, 'the book is empty');
  if (head.chain !== genesis.chain) return found(0, `the book is of chain ${head.chain}, genesis is ${genesis.chain}`);
  for (let height = 1; height <= head.height; height++) {
    const stored = source.block(height);
    if (stored === null) return found(height, height === 1 ? NO_BEGINNING : 'the block is not in the book');
    const problem = blockProblem(replica, stored, height, isCertified);
    if (problem !== null) return found(height, problem);
    records += stored.batch.requests.length;
    onBlock?.(height, records, replica.ledger);
  }
  const last = replica.ledger.head();
  if (headerHash(last) !== headerHash(head)) return found(head.height, 'the head of the book is not its last block');
  if (new State(source.state()).hash() !== last.stateHash) {
    return found(head.height, 'the present state in the book is not the one its blocks make');
  }
  return { height: head.height, records, problem: null };
}

function blockProblem(replica: Replica, stored: Block, height: number, isCertified: CheckCertificate): string | null {
  const { ledger } = replica;
  const parent = headerHash(ledger.head());
  if (stored.header.parent !== parent) return 'its parent is not the block below';
  const { batch, certificate } = stored;
  if (!isCertified({ batch, certificate, height, parent }, ledger.validators())) {
    return 'its certificate does not show that the validators agreed';
  }
  try {
    const refused = ledger.verify(batch);
    if (refused !== null) return refused;
    ledger.apply(batch, certificate);
  } catch (error) {
    return `it cannot be executed: ${describeError(error)}`;
  }
  const executed = replica.last() as Block;
  return (
    headerProblem(stored.header, executed.header) ??
    resultsProblem(stored, executed) ??
    clearingsProblem(stored, executed)
  );
}

const HEADER_FIELDS: readonly { readonly field: keyof Header; readonly what: string }[] = [
  { field: 'chain', what: 'chain' },
  { field: 'height', what: 'height' },
  { field: 'timeMs', what: 'time' },
  { field: 'validatorSet', what: 'hash of the validator set' },
  { field: 'resultsRoot', what: 'root of the results' },
  { field: 'stateHash', what: 'state hash' },
];

function headerProblem(stored: Header, executed: Header): string | null {
  const wrong = HEADER_FIELDS.find(({ field }) => stored[field] !== executed[field]);
  if (wrong === undefined) return null;
  return `its ${wrong.what} is ${stored[wrong.field]}, execution gives ${executed[wrong.field]}`;
}

function resultsProblem(stored: Block, executed: Block): string | null {
  if (resultTree(stored.results).root === executed.header.resultsRoot) return null;
  const wrong = executed.results.findIndex((result, i) => {
    const other = stored.results[i];
    return other === undefined || other.salt !== result.salt || hashOf(other.leaf) !== hashOf(result.leaf);
  });
  return wrong < 0
    ? 'it has more results than execution gives'
    : `its result ${wrong} is not the one that execution gives`;
}

function clearingsProblem(stored: Block, executed: Block): string | null {
  const digests = (block: Block): string[] => block.clearings.map(hashOf).sort(compareStrings);
  const expected = digests(executed);
  const kept = digests(stored);
  if (kept.length !== expected.length) return `it has ${kept.length} clearings, execution gives ${expected.length}`;
  return kept.every((digest, i) => digest === expected[i]) ? null : 'a clearing is not the one that execution gives';
}

interface Replica {
  readonly ledger: Ledger;
  /** The block applied last. */
  last(): Block | null;
}

/** A ledger that keeps its state and nothing else. */
function createReplica(genesis: Genesis, verify: Verify): Replica {
  let last: Block | null = null;
  const store: LedgerStore = {
    head: () => null,
    state: () => [],
    append: (block) => {
      last = block;
    },
    reset: () => undefined,
    block: () => null,
    headers: () => [],
    certificate: () => null,
    resultPlaces: () => [],
    leavesOf: () => [],
    requestsOf: () => [],
    clearing: () => null,
    keptFrom: () => null,
  };
  return { ledger: createLedger({ genesis, verify, store, log: SILENT }), last: () => last };
}
