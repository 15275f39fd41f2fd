// Carries out what the core decides: persists, then sends, then tells, then asks the application and feeds the answer back
// before anything else. Knows no bytes, sockets or files: driver.ts gives it those, the simulator its own.

import { BugError, describeError, isWattpactError } from '../../base/errors.ts';
import type { Envelope } from '../../protocol/envelope.ts';
import { headerHash } from '../../protocol/header.ts';
import type { Application, Contradiction, DecidedBlock, EngineStatus } from '../engine.ts';
import type { ConsensusEvent, Environment, HeadState, Input, LogRecord, Now, Question } from './core/io.ts';
import { primaryOf } from './core/members.ts';
import { BLOCKS_MAX, type Packet } from './core/messages.ts';
import { poolRefuses } from './core/pool.ts';
import { newReplica, type Replica, recentHeights, recover, step, wakeAtMs } from './core/step.ts';
import type { PbftTerms } from './core/terms.ts';

/** Bytes of blocks in one answer of state transfer; at least one block is always given. */
const BLOCKS_BYTES_MAX = 1024 * 1024;
/** Inputs waiting to be taken. Only a program that stopped listening to its own loop gets there. */
const INPUTS_MAX = 100_000;

export interface HostPorts {
  readonly env: Environment;
  readonly application: Application;
  /** Durable when it returns: `compact` replaces the log (null: keep it), `records` are appended after it. */
  readonly persist: (records: readonly LogRecord[], compact: readonly LogRecord[] | null) => void;
  readonly send: (packet: Packet) => void;
  readonly tell: (event: ConsensusEvent) => void;
  readonly now: () => Now;
  /** Wanted next call of `tick`, monotonic ms. */
  readonly wakeAt: (atMs: number) => void;
  readonly requestId: (request: Envelope) => string;
  readonly requestBytes: (request: Envelope) => number;
  /** Bytes of a batch and its certificate, roughly: bounds answers of state transfer. */
  readonly blockBytes: (block: DecidedBlock) => number;
  readonly toText: (bytes: Uint8Array) => string;
  readonly fromText: (text: string) => Uint8Array;
}

export interface Host {
  readonly replica: Replica;
  submit(request: Envelope): string | null;
  receive(packet: Packet): void;
  /** Requests that wait here, by signature. */
  waiting(): ReadonlyMap<string, Envelope>;
  tick(): void;
  status(): EngineStatus;
}

/** `records` = the vote log as read, null if it is lost: then the validator follows without a vote. */
export function createHost(ports: HostPorts, records: readonly LogRecord[] | null): Host {
  const { application, env } = ports;
  const replica = newReplica(env, headState(application), recentHeaders(application, env.terms), ports.now());
  if (records === null) {
    replica.voting = false;
    replica.whyNotVoting = 'its vote log is missing or damaged; it needs a new key by ordered membership';
  } else recover(replica, records);

  const inputs: Input[] = [];
  let running = false;

  function feed(input: Input): void {
    if (inputs.length >= INPUTS_MAX) {
      return ports.tell({
        type: 'message refused',
        from: '',
        kind: input.type,
        reason: `${INPUTS_MAX} inputs wait already`,
      });
    }
    inputs.push(input);
    if (running) return;
    running = true;
    try {
      for (let next = inputs.shift(); next !== undefined; next = inputs.shift()) take(next);
      ports.wakeAt(wakeAtMs(replica));
    } finally {
      running = false;
    }
  }

  function take(input: Input): void {
    const out = step(replica, input, ports.now());
    // Without a log there is nothing to forget: a validator that only follows gives no votes.
    if (records !== null && (out.persist.length > 0 || out.compact !== null)) ports.persist(out.persist, out.compact);
    for (const packet of out.send) ports.send(packet);
    for (const event of out.events) ports.tell(event);
    inputs.unshift(...out.ask.flatMap(answersTo));
  }

  function answersTo(question: Question): Input[] {
    switch (question.type) {
      case 'propose':
        return [{ type: 'proposed', batch: application.propose(question.pending, question.timeMs) }];
      case 'verify':
        return [{ type: 'verified', reason: application.verify(question.batch) }];
      case 'apply': {
        application.apply(question.batch, question.certificate);
        const requestIds = question.batch.requests.map(ports.requestId);
        return [{ type: 'applied', head: headState(application), requestIds }];
      }
      case 'recheck':
        return [{ type: 'rechecked', refused: question.requests.flatMap(({ id, request }) => refusalOf(id, request)) }];
      case 'admit':
        return question.requests.flatMap(requestInput);
      case 'read blocks':
        return [{ type: 'blocks read', peer: question.peer, from: question.from, blocks: readBlocks(question.from) }];
      case 'take snapshot':
        return [{ type: 'snapshot taken', manifest: application.snapshot() }];
      case 'read chunk': {
        const bytes = ports.toText(application.chunk(question.index).bytes);
        return [{ ...question, type: 'chunk read', bytes }];
      }
      case 'restore':
        return [restore(question)];
      default:
        throw new BugError(`no answer to ${JSON.stringify(question satisfies never)}`);
    }
  }

  function refusalOf(id: string, request: Envelope): { id: string; reason: string }[] {
    const reason = application.check(request, ports.now().chainMs);
    return reason === null ? [] : [{ id, reason }];
  }

  function requestInput(request: Envelope): Input[] {
    const id = ports.requestId(request);
    if (replica.pool.has(id) || poolRefuses(replica, request.signer) !== null) return [];
    if (application.check(request, ports.now().chainMs) !== null) return [];
    return [{ type: 'request', id, request, bytes: ports.requestBytes(request) }];
  }

  /** Requests of a batch that wait here already are taken from there: what was worked out for them need not be again. */
  function withKnownRequests(packet: Packet): Packet {
    if (packet.batch === null || replica.pool.size === 0) return packet;
    const requests = packet.batch.requests.map((request) => {
      const known = replica.pool.get(ports.requestId(request))?.request;
      return known?.signature === request.signature ? known : request;
    });
    return { ...packet, batch: { requests, timeMs: packet.batch.timeMs } };
  }

  function readBlocks(from: number): DecidedBlock[] {
    const blocks: DecidedBlock[] = [];
    let bytes = 0;
    for (let height = from; height <= replica.height && blocks.length < BLOCKS_MAX; height++) {
      const block = application.block(height);
      if (block === null) break;
      bytes += ports.blockBytes(block);
      if (bytes > BLOCKS_BYTES_MAX && blocks.length > 0) break;
      blocks.push(block);
    }
    return blocks;
  }

  function restore(question: Extract<Question, { type: 'restore' }>): Input {
    try {
      const chunks = question.chunks.map((text, index) => ({ index, bytes: ports.fromText(text) }));
      application.restore(question.manifest, chunks);
    } catch (error) {
      if (!isWattpactError(error)) throw error;
      return { type: 'restored', head: null, reason: describeError(error) };
    }
    return { type: 'restored', head: headState(application), reason: '' };
  }

  return {
    replica,
    submit(request) {
      const id = ports.requestId(request);
      if (replica.pool.has(id)) return null;
      const reason = poolRefuses(replica, request.signer) ?? application.check(request, ports.now().chainMs);
      if (reason === null) feed({ type: 'request', id, request, bytes: ports.requestBytes(request) });
      return reason;
    },
    waiting: () => new Map([...replica.pool.values()].map(({ request }) => [request.signature, request])),
    receive: (packet) => feed({ type: 'message', packet: withKnownRequests(packet) }),
    tick: () => feed({ type: 'tick' }),
    status: () => statusOf(replica),
  };
}

function headState(application: Application): HeadState {
  const header = application.head();
  return {
    header,
    headerHash: headerHash(header),
    dueAtMs: application.dueAtMs(),
    validators: application.validators(),
  };
}

/** Headers that checkpoints and new views may still be about. */
function recentHeaders(application: Application, terms: PbftTerms): [number, string][] {
  const recent: [number, string][] = [];
  const { height } = application.head();
  for (let below = height - 1; below > height - recentHeights(terms); below--) {
    const block = application.block(below);
    if (block === null) break;
    recent.push([below, headerHash(block.header)]);
  }
  return recent;
}

function statusOf(r: Replica): EngineStatus {
  const member = r.members.keys.get(r.env.self) === r.env.publicKey;
  const why = r.voting && !member ? 'it is no validator with this key' : r.whyNotVoting;
  const state =
    !r.voting || !member ? 'following' : r.transfer !== null ? 'syncing' : r.changing ? 'changing' : 'voting';
  return {
    engine: 'pbft',
    height: r.height,
    view: r.view,
    primary: primaryOf(r.members, r.view),
    state,
    why,
    pending: r.pool.size,
    evidence: r.evidence as unknown as readonly Contradiction[],
  };
}
