// A small application for tests and simulation: counts requests, has a due operation every so often, and lets validators be
// exchanged. Its state is the order of what was applied; the state hash commits to that order.

import { createHash } from 'node:crypto';
import { canonicalText, type Json } from '../../src/base/canonical.ts';
import { WattpactError } from '../../src/base/errors.ts';
import type {
  Application,
  Batch,
  Certificate,
  DecidedBlock,
  SnapshotChunk,
  SnapshotManifest,
} from '../../src/consensus/engine.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { type Header, NO_PARENT } from '../../src/protocol/header.ts';

/** What survives a crash of a toy validator's machine. */
export interface ToyDisk {
  readonly blocks: Map<number, DecidedBlock>;
  state: ToyState;
}

export interface ToyState {
  readonly header: Header;
  /** Ids of everything applied, in order. */
  readonly applied: readonly string[];
  readonly order: string;
  readonly dueAtMs: number | null;
  readonly validators: readonly (readonly [id: string, publicKey: string])[];
}

export interface ToyOptions {
  readonly chain: string;
  readonly validators: ReadonlyMap<string, string>;
  readonly genesisMs: number;
  /** Chain time between due operations; null: none. */
  readonly dueEveryMs: number | null;
  readonly disk: ToyDisk;
  /** Blocks kept below the head; older ones are pruned. */
  readonly blocksKept?: number;
  readonly requestId: (request: Envelope) => string;
}

const CHUNK_BYTES = 512;
const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
const setHash = (validators: ToyState['validators']): string => hash(validators.flat().join(','));

function stateHash(state: Omit<ToyState, 'header'>): string {
  return hash(`${state.order} ${state.applied.length} ${state.dueAtMs} ${setHash(state.validators)}`);
}

export function toyDisk(options: Omit<ToyOptions, 'disk' | 'requestId'>): ToyDisk {
  const body = {
    applied: [],
    order: hash(''),
    dueAtMs: options.dueEveryMs === null ? null : options.genesisMs + options.dueEveryMs,
    validators: [...options.validators].sort(([a], [b]) => (a < b ? -1 : 1)),
  };
  const header = {
    chain: options.chain,
    height: 0,
    parent: NO_PARENT,
    resultsRoot: hash(''),
    stateHash: stateHash(body),
    timeMs: options.genesisMs,
    validatorSet: setHash(body.validators),
  };
  return { blocks: new Map(), state: { ...body, header } };
}

/** Header hash without canonical JSON: the toy's headers all have the same form. */
export const toyHeaderHash = (header: Header): string => hash(canonicalText(header as unknown as Json));

export function toyApplication(options: ToyOptions, headerHash = toyHeaderHash): Application {
  const { disk, requestId, dueEveryMs } = options;
  const known = new Set(disk.state.applied);
  let knownOf = disk.state;
  let snapshot: string[] = [];

  const ids = (): Set<string> => {
    if (knownOf !== disk.state) {
      known.clear();
      for (const id of disk.state.applied) known.add(id);
      knownOf = disk.state;
    }
    return known;
  };
  // A request of value `bad` is refused by `check`, and spoils a batch: a stand-in for a wrong signature.
  const refusal = (request: Envelope): string | null => {
    if (request.body.value === 'bad') return 'a bad value';
    return ids().has(requestId(request)) ? 'applied already' : null;
  };

  return {
    head: () => disk.state.header,
    dueAtMs: () => disk.state.dueAtMs,
    validators: () => new Map(disk.state.validators),
    check: refusal,
    propose(pending, timeMs): Batch {
      return { requests: pending.filter((request) => refusal(request) === null), timeMs };
    },
    verify(batch) {
      const seen = new Set<string>();
      for (const request of batch.requests) {
        const id = requestId(request);
        if (seen.has(id)) return 'a request twice';
        seen.add(id);
        const reason = refusal(request);
        if (reason !== null) return reason;
      }
      return null;
    },
    apply(batch: Batch, certificate: Certificate): Header {
      const state = disk.state;
      const applied = batch.requests.map(requestId);
      let validators = state.validators;
      for (const { kind, body } of batch.requests) if (kind === 'member') validators = changed(validators, body);
      const isDue = state.dueAtMs !== null && state.dueAtMs <= batch.timeMs;
      const dueAtMs = isDue && dueEveryMs !== null ? batch.timeMs + dueEveryMs : state.dueAtMs;
      const order = hash(`${state.order}${isDue ? `due ${batch.timeMs}` : ''}${applied.join()}`);
      const body = { applied: [...state.applied, ...applied], order, dueAtMs, validators };
      const header = {
        chain: options.chain,
        height: state.header.height + 1,
        parent: headerHash(state.header),
        resultsRoot: hash(applied.join()),
        stateHash: stateHash(body),
        timeMs: batch.timeMs,
        validatorSet: setHash(state.validators),
      };
      const seen = ids();
      for (const id of applied) seen.add(id);
      disk.blocks.set(header.height, { batch, certificate, header });
      if (options.blocksKept !== undefined) disk.blocks.delete(header.height - options.blocksKept);
      disk.state = { ...body, header };
      knownOf = disk.state;
      return header;
    },
    block: (height) => disk.blocks.get(height) ?? null,
    snapshot(): SnapshotManifest {
      const { header, ...body } = disk.state;
      const text = JSON.stringify(body);
      snapshot = [];
      for (let at = 0; at < text.length; at += CHUNK_BYTES) snapshot.push(text.slice(at, at + CHUNK_BYTES));
      return { header, chunks: snapshot.map(hash) };
    },
    chunk: (index): SnapshotChunk => ({ index, bytes: new TextEncoder().encode(snapshot[index] as string) }),
    restore(manifest, chunks) {
      const text = chunks.map(({ bytes }) => new TextDecoder().decode(bytes)).join('');
      const body = parsed(text);
      if (stateHash(body) !== manifest.header.stateHash) throw new WattpactError('toy.snapshot', 'another state');
      disk.state = { ...body, header: manifest.header };
      disk.blocks.clear();
    },
  };
}

function parsed(text: string): Omit<ToyState, 'header'> {
  try {
    return JSON.parse(text) as Omit<ToyState, 'header'>;
  } catch (cause) {
    throw new WattpactError('toy.snapshot', 'not a state', { cause });
  }
}

/** A `member` request: `{id, publicKey}` adds or rekeys, an empty key removes. */
function changed(validators: ToyState['validators'], body: Envelope['body']): ToyState['validators'] {
  const { id, publicKey } = body as { id: string; publicKey: string };
  const others = validators.filter(([other]) => other !== id);
  const next = publicKey === '' ? others : [...others, [id, publicKey] as const];
  return next.length < 4 ? validators : next.sort(([a], [b]) => (a < b ? -1 : 1));
}
