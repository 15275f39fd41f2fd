// The ledger: one deterministic state machine behind whichever engine orders its batches. Owns the life of a block: due
// operations, requests, results, header, durability. What the requests mean stands in the files of their rules.

import { describeError, invariant, WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Batch, Certificate, SnapshotChunk, SnapshotManifest } from '../consensus/engine.ts';
import { type Envelope, sha256Hex, type Verify } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { type Header, headerHash, validatorSetHash } from '../protocol/header.ts';
import { type Context, dueUntil, nextDueMs } from './context.ts';
import { executeDue } from './due.ts';
import { execute } from './execute.ts';
import { genesisHeader, genesisState } from './genesis.ts';
import { Intake } from './intake.ts';
import { validatorKeys } from './parties.ts';
import { type Queries, queries } from './queries.ts';
import { addressedProofs, type ResultTree, resultTree } from './results.ts';
import { CHUNKS, State, stateFromChunks } from './state.ts';
import { ALL, dues, parties } from './tables.ts';
import type { Applied, Block, Ledger, LedgerStore } from './types.ts';

export interface LedgerOptions {
  readonly genesis: Genesis;
  /** Ed25519 by ZIP-215. */
  readonly verify: Verify;
  readonly store: LedgerStore;
  readonly log: Log;
}

/**
 * Opens the ledger on its store: continues where the store ends, or starts from genesis in an empty one. Throws
 * `ledger.chain` if the store is of another chain, `ledger.store` if its state is not the one its last header names.
 */
export function createLedger({ genesis, verify, store, log }: LedgerOptions): Ledger {
  let { state, head } = open(genesis, store);
  const intake = new Intake(genesis, verify);
  const listeners = new Set<(applied: Applied) => void>();
  let chunks: readonly Uint8Array[] = [];

  function propose(pending: readonly Envelope[], nowMs: number): Batch {
    const timeMs = Math.max(nowMs, head.timeMs + 1);
    const { batchBytesMax, batchRequestsMax } = genesis.limits;
    const chosen = new Map<string, { envelope: Envelope; sequence: number }>();
    let bytes = 0;
    for (const envelope of pending) {
      if (chosen.size >= batchRequestsMax) break;
      if (intake.problem(state, envelope) !== null || intake.timeProblem(envelope, timeMs) !== null) continue;
      const opened = intake.open(envelope);
      if (chosen.has(opened.id) || bytes + opened.bytes > batchBytesMax) continue;
      bytes += opened.bytes;
      chosen.set(opened.id, { envelope, sequence: opened.request.body.sequence });
    }
    // Networks reorder: within a batch every signer's requests stand in the order in which they were signed.
    const ordered = [...chosen.values()].sort((a, b) => a.sequence - b.sequence);
    return { requests: ordered.map(({ envelope }) => envelope), timeMs };
  }

  function verifyBatch({ requests, timeMs }: Batch): string | null {
    const { batchBytesMax, batchRequestsMax } = genesis.limits;
    if (!Number.isSafeInteger(timeMs) || timeMs <= head.timeMs) return 'the block time is not later than the last';
    if (requests.length > batchRequestsMax) return `${requests.length} requests, the limit is ${batchRequestsMax}`;
    const dueMs = nextDueMs(state);
    if (requests.length === 0 && (dueMs === null || dueMs > timeMs)) return 'an empty batch with nothing due';
    const seen = new Set<string>();
    let bytes = 0;
    for (const envelope of requests) {
      const problem = intake.problem(state, envelope) ?? intake.timeProblem(envelope, timeMs);
      if (problem !== null) return `request of ${String(envelope.signer)}: ${problem}`;
      const opened = intake.open(envelope);
      if (seen.has(opened.id)) return `request ${opened.id} stands in the batch twice`;
      seen.add(opened.id);
      bytes += opened.bytes;
      if (bytes > batchBytesMax) return `requests of more than ${batchBytesMax} bytes`;
    }
    return null;
  }

  function apply(batch: Batch, certificate: Certificate): Header {
    invariant(batch.timeMs > head.timeMs, `block time ${batch.timeMs} is not later than ${head.timeMs}`);
    let block: Block;
    let tree: ResultTree;
    try {
      const made = run(batch);
      tree = made.tree;
      block = { batch, certificate, clearings: made.clearings, header: made.header, results: made.results };
      store.append(block, state.changes());
    } catch (error) {
      state.rollback();
      throw error;
    }
    state.commit();
    head = block.header;
    announce(block, tree);
    return head;
  }

  /** Executes a batch on the state; the caller keeps or takes back what changed. */
  function run(batch: Batch): Pick<Block, 'clearings' | 'header' | 'results'> & { tree: ResultTree } {
    const validatorSet = validatorSetHash(validatorKeys(state));
    const parent = headerHash(head);
    const height = head.height + 1;
    const context: Context = {
      genesis,
      state,
      verify,
      height,
      parent,
      timeMs: batch.timeMs,
      results: [],
      clearings: [],
    };
    const keys = batch.requests.map(({ signer }) => parties.get(state, ALL, signer)?.publicKey ?? '');
    for (const { name, due } of dueUntil(state, batch.timeMs, genesis.limits.dueOperationsMax)) {
      dues.delete(state, ALL, name);
      executeDue(context, due);
    }
    for (const [i, envelope] of batch.requests.entries()) {
      const { id, request } = intake.open(envelope);
      execute(context, id, request, keys[i] as string);
    }
    const tree = resultTree(context.results);
    const header: Header = {
      chain: genesis.chain,
      height,
      parent,
      resultsRoot: tree.root,
      stateHash: state.hash(),
      timeMs: batch.timeMs,
      validatorSet,
    };
    return { clearings: context.clearings, header, results: context.results, tree };
  }

  function announce(block: Block, tree: ResultTree): void {
    if (listeners.size === 0) return;
    const proofs = addressedProofs(block.header, block.results, tree);
    for (const listener of listeners) {
      try {
        listener({ block, proofs });
      } catch (error) {
        // The block stands whatever its listeners make of it.
        log.error({ height: block.header.height, error: describeError(error) }, 'a listener of the ledger failed');
      }
    }
  }

  function snapshot(): SnapshotManifest {
    chunks = Array.from({ length: CHUNKS }, (_, index) => state.chunk(index));
    return { header: head, chunks: chunks.map(sha256Hex) };
  }

  function chunk(index: number): SnapshotChunk {
    const bytes = chunks[index];
    if (bytes === undefined) throw new WattpactError('ledger.snapshot', `no chunk ${index} of a snapshot`);
    return { index, bytes };
  }

  function restore(manifest: SnapshotManifest, parts: readonly SnapshotChunk[]): void {
    if (manifest.header.chain !== genesis.chain) {
      throw new WattpactError(
        'ledger.snapshot',
        `the snapshot is of chain ${manifest.header.chain}, not ${genesis.chain}`,
      );
    }
    if (manifest.header.height <= head.height) {
      throw new WattpactError(
        'ledger.snapshot',
        `the snapshot is of height ${manifest.header.height}, the ledger is at ${head.height}`,
      );
    }
    const ordered = [...parts].sort((a, b) => a.index - b.index);
    if (ordered.length !== CHUNKS || ordered.some(({ index }, i) => index !== i)) {
      throw new WattpactError('ledger.snapshot', `a snapshot has ${CHUNKS} chunks, each once`);
    }
    const wrong = ordered.find(({ index, bytes }) => sha256Hex(bytes) !== manifest.chunks[index]);
    if (wrong !== undefined)
      throw new WattpactError('ledger.snapshot', `chunk ${wrong.index} is not the one announced`);
    const restored = stateFromChunks(
      ordered.map(({ bytes }) => bytes),
      manifest.header.stateHash,
    );
    store.reset(manifest.header, restored);
    state = restored;
    head = manifest.header;
    log.info({ height: head.height }, 'ledger restored from a snapshot');
  }

  const ask: Queries = queries({
    operators: genesis.operators.map(({ id }) => id),
    store,
    state: () => state,
    height: () => head.height,
  });
  return {
    ...ask,
    genesis,
    onApplied: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    head: () => head,
    check: (envelope, nowMs) =>
      intake.problem(state, envelope) ?? intake.timeProblem(envelope, Math.max(nowMs, head.timeMs + 1)),
    dueAtMs: () => nextDueMs(state),
    propose,
    verify: verifyBatch,
    apply,
    snapshot,
    chunk,
    restore,
    validators: () => new Map(validatorKeys(state).map(({ id, publicKey }) => [id, publicKey])),
  };
}

function open(genesis: Genesis, store: LedgerStore): { state: State; head: Header } {
  const head = store.head();
  if (head === null) {
    const state = genesisState(genesis);
    const header = genesisHeader(genesis, state);
    store.reset(header, state);
    return { state, head: header };
  }
  if (head.chain !== genesis.chain) {
    throw new WattpactError('ledger.chain', `the store holds chain ${head.chain}, genesis is ${genesis.chain}`, {
      hint: 'Use the genesis of that chain, or another folder for the data',
    });
  }
  const state = new State(store.state());
  if (state.hash() !== head.stateHash) {
    throw new WattpactError('ledger.store', `the state in the store is not that of its block ${head.height}`, {
      hint: 'The file was altered or damaged: move it away, the validators send the state again',
    });
  }
  return { state, head };
}
