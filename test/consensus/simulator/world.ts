// One run: a network, disks, clocks, validators and gateways under one seed. Nothing in it reads a clock or draws a random
// number of its own, so that a seed replays exactly.

import { createHash } from 'node:crypto';
import { fromBase64url, toBase64url } from '../../../src/base/bytes.ts';
import { canonicalBytes, type Json, parseCanonical } from '../../../src/base/canonical.ts';
import type { Batch, DecidedBlock, SnapshotChunk, SnapshotManifest } from '../../../src/consensus/engine.ts';
import type { ConsensusEvent, Environment, LogRecord } from '../../../src/consensus/pbft/core/io.ts';
import { batchDigest, decodePacket, encodePacket, type Packet } from '../../../src/consensus/pbft/core/messages.ts';
import { createHost, type Host } from '../../../src/consensus/pbft/host.ts';
import type { Envelope } from '../../../src/protocol/envelope.ts';
import { headerHash } from '../../../src/protocol/header.ts';
import { deviceQuorum } from '../../../src/protocol/quorum.ts';
import { type ToyDisk, toyApplication, toyDisk } from '../toy.ts';
import { act, bend, haunt, type Liar, newPlot, overhear } from './byzantine.ts';
import { Checker } from './checker.ts';
import { faultyOf } from './counts.ts';
import { type Plan, planOf } from './plan.ts';
import { EventQueue } from './queue.ts';
import { CHAIN, realSigning, type Signing, tableSigning } from './signing.ts';

/** Steps after which a run counts as one that does not end. */
const STEPS_MAX = 400_000;
/** Simulated time after healing within which everything must be confirmed. */
const HEALED_MS = 60_000;
/** Share of the cuts of a vote log after which the machine dies, where machines die at writes. */
const CRASH_AFTER_CUT_SHARE = 0.15;
/** Links on which a kind of message is lost while it is singled out. */
const KIND_LOST_SHARE = 0.6;
/** After healing, how late a confirmation may be although blocks are made all the time; and how often requests are made then. */
const CONFIRMED_MS = 20_000;
const ASK_ON_MS = 250;
/** After healing, how late a due operation may be: a few view timers. */
const DUE_LATE_MS = 6_000;
/** On links slower than the first view timer, without liars: blocks to be made after healing, and the views they may cost: far fewer than one each. */
const SLOW_BLOCKS_MIN = 24;
const SLOW_VIEWS_MAX = 12;
/** View timers for which phases end half done. */
const HALF_DONE_VIEWS = 6;
/** How late, at most, one hears the others while a key changes. */
const LAGS_MS = 1_500;
/** View timers by which a disk is rolled back. */
const ROLLED_BACK_VIEWS = 3;
/** View timers that the validator that loses its disk hears of no block before. */
const LEFT_BEHIND_VIEWS = 3;
/** The height and header of a block that nobody has. */
const FALSE_REPLY = `1000000 ${'ef'.repeat(32)}`;
const GENESIS_MS = 1_700_000_000_000;
/** Commits and steps every run has at least; it goes on with more requests until it does. */
const COMMITS_MIN = 20;
const STEPS_MIN = 2000;

export interface Result {
  readonly seed: number;
  readonly nodes: number;
  readonly faults: readonly string[];
  readonly behaviours: readonly string[];
  readonly violations: readonly string[];
  readonly livenessFailures: readonly string[];
  readonly steps: number;
  readonly messages: number;
  readonly commits: number;
  readonly crashes: number;
  readonly byzantine: number;
  readonly viewChanges: number;
  readonly stateTransfers: number;
  readonly snapshots: number;
  readonly evidence: number;
  readonly membershipChanges: number;
}

/** The machine dies: at a write, or anywhere. */
class Crash extends Error {}

interface Node {
  readonly id: string;
  readonly index: number;
  /** Turns false for a while where a disk is rolled back: what such a validator says may contradict what it said. */
  honest: boolean;
  publicKey: string;
  readonly app: ToyDisk;
  log: LogRecord[] | null;
  /** The validator may stop voting without being at fault. */
  lost: boolean;
  /** Taken out of the set: it need not keep up. */
  removed: boolean;
  /** Whom it has shown evidence against. */
  readonly accused: Set<string>;
  readonly clock: { readonly rate: number; readonly offsetMs: number; readonly chainOffsetMs: number };
  host: Host | null;
  liar: Liar | null;
  wake: number;
}

type Happening =
  | { readonly type: 'deliver'; readonly to: Node; readonly packet: Packet }
  | { readonly type: 'wake'; readonly node: Node; readonly token: number }
  | { readonly type: 'reply'; readonly from: Node; readonly id: string; readonly content: string }
  | { readonly type: 'call'; readonly run: () => void };

interface Wanted {
  readonly request: Envelope;
  readonly id: string;
  readonly replies: Map<string, string>;
  readonly sinceMs: number;
  counted: string | null;
}

export function simulate(seed: number, nodeCount: number, trace: ((line: string) => void) | null = null): Result {
  return new World(planOf(seed, nodeCount), trace).run();
}

class World {
  private readonly plan: Plan;
  private readonly random: () => number;
  private readonly trace: ((line: string) => void) | null;
  private readonly queue = new EventQueue<Happening>();
  private readonly nodes: Node[] = [];
  private readonly signing: Signing;
  private readonly checker: Checker;
  private readonly plot = newPlot();
  private readonly late: string[] = [];
  private readonly wanted = new Map<string, Wanted>();
  private readonly blocked = new Set<string>();
  private readonly cloggedUntil = new Map<string, number>();
  private readonly digests = new WeakMap<Batch, string>();
  /** Kinds of message that do not get through on a link at the moment: phases end half done. */
  private readonly lostKinds = new Set<string>();
  private asksUntilMs = 0;
  /** Height and view that the furthest honest validator had at healing. */
  /** Whose old key may be accused rightly. */
  private readonly doubtful = new Set<string>();
  private atHealing = { height: 0, view: 0 };
  /** The last trial: a primary that is gone when nothing but a due operation asks for a block. */
  private epilogue: 'to come' | 'running' | 'over' = 'to come';
  private nowMs = 0;
  private healed = false;
  private steps = 0;
  private messages = 0;
  private crashes = 0;
  private viewChanges = 0;
  private stateTransfers = 0;
  private snapshots = 0;
  private evidence = 0;
  private membershipChanges = 0;
  private requestCount = 0;
  private keyCount = 0;

  constructor(plan: Plan, trace: ((line: string) => void) | null) {
    this.plan = plan;
    this.random = plan.random;
    this.trace = trace;
    this.signing = plan.realSignatures ? realSigning() : tableSigning();
    this.checker = new Checker(this.signing, requestId, (batch) => this.digestOf(batch), plan.terms.clockSkewMsMax);
    const ids = Array.from({ length: plan.nodes + (plan.joins ? 1 : 0) }, (_, i) => `v${String(i).padStart(2, '0')}`);
    const keys = ids.map(() => this.signing.newKey(++this.keyCount));
    const validators = new Map(ids.slice(0, plan.nodes).map((id, i) => [id, keys[i] as string]));
    const appOptions = { chain: CHAIN, validators, genesisMs: GENESIS_MS, dueEveryMs: plan.dueEveryMs };
    ids.forEach((id, index) => {
      const behaviours = plan.byzantine.get(index);
      const make = (honest: boolean): Node => ({
        id,
        index,
        honest,
        publicKey: keys[index] as string,
        app: toyDisk(appOptions),
        log: [],
        lost: false,
        removed: false,
        accused: new Set(),
        clock: this.drift(),
        host: null,
        liar: null,
        wake: 0,
      });
      this.nodes.push(make(behaviours === undefined));
      if (behaviours?.includes('twin')) this.nodes.push(make(false));
    });
  }

  private drift(): Node['clock'] {
    if (!this.plan.faults.has('clock drift')) return { rate: 1, offsetMs: 0, chainOffsetMs: 0 };
    return {
      rate: 0.97 + this.random() * 0.06,
      offsetMs: Math.floor(this.random() * 1e6),
      chainOffsetMs: Math.floor((this.random() - 0.5) * this.plan.terms.clockSkewMsMax * 0.4),
    };
  }

  run(): Result {
    const { plan } = this;
    for (const node of this.nodes) this.start(node);
    for (let i = 0; i < plan.requests; i++) this.at(this.random() * plan.faultyMs, () => this.submitNew('good'));
    this.scheduleFaults();
    this.at(plan.faultyMs, () => this.heal());
    const livenessFailures: string[] = [];
    for (;;) {
      const next = this.queue.pop();
      if (next === undefined) break;
      this.nowMs = next.atMs;
      this.happen(next.item);
      if (this.checker.violations.length > 0) break;
      if (this.healed && this.steps % 16 === 0 && this.isDone()) break;
      if (
        this.steps > STEPS_MAX ||
        this.nowMs > plan.faultyMs + (plan.healedLatencyMs > 1 ? 6 * HEALED_MS : HEALED_MS)
      ) {
        livenessFailures.push(...this.unfinished());
        break;
      }
    }
    livenessFailures.push(...this.late);
    this.checkCounted();
    return {
      seed: plan.seed,
      nodes: plan.nodes,
      faults: [...plan.faults],
      behaviours: [...new Set([...plan.byzantine.values()].flat())],
      violations: this.checker.violations,
      livenessFailures,
      steps: this.steps,
      messages: this.messages,
      commits: this.checker.decided.size,
      crashes: this.crashes,
      byzantine: plan.byzantine.size,
      viewChanges: this.viewChanges,
      stateTransfers: this.stateTransfers,
      snapshots: this.snapshots,
      evidence: this.evidence,
      membershipChanges: this.membershipChanges,
    };
  }

  // Time.

  private at(atMs: number, run: () => void): void {
    this.queue.push(atMs, { type: 'call', run });
  }

  private happen(item: Happening): void {
    switch (item.type) {
      case 'deliver':
        return this.deliver(item.to, item.packet);
      case 'wake':
        if (item.token === item.node.wake) this.step(item.node, (host) => host.tick());
        return;
      case 'reply':
        return this.count(item.from, item.id, item.content);
      case 'call':
        return item.run();
    }
  }

  private deliver(node: Node, packet: Packet): void {
    if (node.host === null) return;
    const accused = node.honest ? this.checker.contradiction(node.host.replica, packet.envelope) : null;
    this.step(node, (host) => host.receive(packet));
    if (node.liar !== null) haunt(node.liar, packet);
    if (accused !== null && node.host !== null) this.checker.accuses(node.host.replica, accused);
  }

  private monotonic(node: Node): number {
    return node.clock.offsetMs + this.nowMs * node.clock.rate;
  }

  private chainTime(node: Node): number {
    return GENESIS_MS + Math.floor(this.nowMs) + node.clock.chainOffsetMs;
  }

  /** One input to one validator; a crash in it ends the validator until its restart. */
  private step(node: Node, work: (host: Host) => void): void {
    const host = node.host;
    if (host === null) return;
    this.steps++;
    try {
      work(host);
    } catch (error) {
      if (error instanceof Crash) return this.crash(node, error.message);
      if (!node.honest) return this.crash(node, 'lied itself to death');
      this.checker.violation(`${node.id} broke: ${error instanceof Error ? error.stack : String(error)}`);
      return;
    }
    if (node.honest) this.checker.holds(host.replica);
  }

  // Validators.

  private start(node: Node): void {
    if (node.host !== null) return;
    const { plan } = this;
    const env: Environment = {
      self: node.id,
      publicKey: node.publicKey,
      terms: plan.terms,
      sign: (kind, body) => this.signing.sign(node.publicKey, node.id, kind, body) as never,
      isSigned: (message, publicKey) => this.signing.isSigned(message, publicKey),
      digestOf: (batch) => this.digestOf(batch),
    };
    const dueAtStart = node.app.state.header.height;
    const log = node.log === null ? null : node.log.map((record) => this.throughDisk(record));
    const app = toyApplication(
      {
        chain: CHAIN,
        validators: new Map(),
        genesisMs: GENESIS_MS,
        dueEveryMs: plan.dueEveryMs,
        disk: node.app,
        requestId,
        ...(plan.blocksKept === undefined ? {} : { blocksKept: plan.blocksKept }),
      },
      headerHash,
    );
    const apply = app.apply.bind(app);
    const restore = app.restore.bind(app);
    const watched = {
      ...app,
      apply: (batch: Batch, certificate: Parameters<typeof apply>[1]) => {
        this.mayCrash(node, 'before a block');
        const validators = app.validators();
        const before = { timeMs: app.head().timeMs, dueAtMs: app.dueAtMs() };
        const header = apply(batch, certificate);
        if (node.honest) {
          const latest = Math.max(...this.nodes.map((other) => (other.honest ? this.chainTime(other) : 0)));
          this.checker.applied(node.id, header, headerHash(header), batch, certificate, validators, latest, before);
        }
        this.mayCrash(node, 'after a block');
        return header;
      },
      restore: (...args: Parameters<typeof restore>) => {
        if (node.honest) this.checkSnapshot(node, app.head().height, ...args);
        restore(...args);
        if (node.honest) {
          const header = app.head();
          this.checker.atHeight(node.id, header.height, headerHash(header));
          this.snapshots++;
        }
      },
    };
    const created = (host: Host): void => {
      node.host = host;
      if (!node.honest && !node.lost) node.liar = this.liar(node, host);
    };
    try {
      created(
        createHost(
          {
            env,
            application: watched,
            persist: (records, compact) => this.persist(node, records, compact),
            send: (packet) => this.sendFrom(node, packet),
            tell: (event) => this.tell(node, event),
            now: () => ({ chainMs: this.chainTime(node), monotonicMs: this.monotonic(node) }),
            wakeAt: (atMs) => {
              const token = ++node.wake;
              const inMs = Math.max(0, (atMs - this.monotonic(node)) / node.clock.rate);
              this.queue.push(this.nowMs + inMs + 0.001, { type: 'wake', node, token });
            },
            requestId,
            requestBytes: () => 200,
            blockBytes: () => 1000,
            toText: toBase64url,
            fromText: fromBase64url,
          },
          log,
        ),
      );
    } catch (error) {
      this.checker.violation(`${node.id} does not start: ${error instanceof Error ? error.stack : String(error)}`);
      return;
    }
    this.checkRemembered(node);
    this.say(node, `starts at height ${dueAtStart}${log === null ? ' without its vote log' : ''}`);
    this.step(node, (host) => host.tick());
  }

  /** The core hands the application only what was announced, and never its past. */
  private checkSnapshot(
    node: Node,
    height: number,
    manifest: SnapshotManifest,
    chunks: readonly SnapshotChunk[],
  ): void {
    if (manifest.header.height <= height) this.checker.violation(`${node.id} restores its past from a snapshot`);
    if (this.checker.decided.get(manifest.header.height)?.headerHash !== headerHash(manifest.header))
      this.checker.violation(`${node.id} restores a state that nobody decided`);
    const digests = chunks.map(({ bytes }) => createHash('sha256').update(bytes).digest('hex'));
    if (digests.join() !== manifest.chunks.join())
      this.checker.violation(`${node.id} restores a chunk that is not the one announced`);
  }

  private throughDisk(record: LogRecord): LogRecord {
    if (!this.plan.realSignatures) return record;
    return parseCanonical(canonicalBytes(record as unknown as Json)) as unknown as LogRecord;
  }

  /** Evidence that was shown is on disk. */
  private checkRemembered(node: Node): void {
    if (!node.honest || node.log === null || node.lost || node.host === null) return;
    const kept = new Set(node.host.replica.evidence.map(({ accused }) => accused));
    for (const accused of node.accused)
      if (!kept.has(accused)) this.checker.violation(`${node.id} forgot its evidence against ${accused}`);
  }

  private liar(node: Node, host: Host): Liar {
    return {
      id: node.id,
      publicKey: node.publicKey,
      replica: host.replica,
      behaviours: this.plan.byzantine.get(node.index) ?? [],
      others: [...new Set(this.nodes.filter(({ id }) => id !== node.id).map(({ id }) => id))],
      random: this.random,
      signing: this.signing,
      digestOf: (batch) => this.digestOf(batch),
      newRequest: (value) => this.newRequest(value),
      send: (to, packet) => this.transmit(node, to, packet),
      replyFalsely: () => this.replyFalsely(node),
      plot: this.plot,
    };
  }

  private crash(node: Node, why: string): void {
    node.host = null;
    node.liar = null;
    node.wake++;
    this.crashes++;
    this.say(node, `crashes (${why})`);
    const downMs = this.healed ? 0 : 50 + this.random() * 2500;
    this.at(this.nowMs + downMs, () => this.start(node));
  }

  private mayBreak(node: Node): boolean {
    return !this.healed && node.honest && this.plan.crashAtWriteShare > 0;
  }

  private mayCrash(node: Node, where: string): void {
    if (!this.healed && node.honest && this.random() < this.plan.crashAtWriteShare) throw new Crash(where);
  }

  /** A write of several records: a crash keeps any number of the first, and what the last one left is recognised as torn. */
  private persist(node: Node, records: readonly LogRecord[], compact: readonly LogRecord[] | null): void {
    if (node.log === null) throw new Error('a validator without a vote log writes one');
    this.mayCrash(node, 'before a vote is on disk');
    if (compact !== null) {
      node.log = [...compact];
      if (this.mayBreak(node) && this.random() < CRASH_AFTER_CUT_SHARE) throw new Crash('after its vote log is cut');
    }
    const torn = !this.healed && node.honest && this.random() < this.plan.crashAtWriteShare;
    const kept = torn ? Math.floor(this.random() * records.length) : records.length;
    node.log.push(...records.slice(0, kept));
    if (torn) throw new Crash('in the middle of a write');
    this.mayCrash(node, 'after a vote is on disk');
  }

  private tell(node: Node, event: ConsensusEvent): void {
    if (this.trace !== null) {
      const block = event.type === 'executed' ? node.app.blocks.get(event.height) : undefined;
      const ids = (block?.batch.requests ?? []).map(requestId);
      this.say(node, `${describe(event)}${ids.length === 0 ? '' : `: ${ids.join(' ')}`}`);
    }
    if (event.type === 'vote lost') this.checker.losesVote(node.publicKey);
    if (!node.honest) return;
    switch (event.type) {
      case 'executed': {
        const block = node.app.blocks.get(event.height);
        if (node.app.state.header.height !== event.height)
          this.checker.violation(`${node.id} tells of block ${event.height} before it has applied it`);
        const content = headerHash(node.app.state.header);
        for (const request of block?.batch.requests ?? [])
          this.reply(node, requestId(request), `${event.height} ${content}`);
        return;
      }
      case 'view change':
        this.viewChanges++;
        if (event.reason.endsWith('others left the view') && node.host !== null)
          this.checker.follows(node.host.replica, event.view);
        return;
      case 'new view':
        if (node.host !== null) this.checker.enters(node.host.replica);
        return;
      case 'asking':
        this.stateTransfers++;
        return;
      case 'members':
        this.membershipChanges++;
        return;
      case 'vote lost':
        if (!node.lost) this.checker.violation(`${node.id} stopped voting for nothing: ${event.reason}`);
        return;
      case 'proposal refused':
        if (this.isHonest(event.from))
          this.checker.violation(`${node.id} refused ${event.from}, who is honest: ${event.reason}`);
        return;
      case 'evidence':
        this.evidence++;
        node.accused.add(event.accused);
        return this.checker.evidence(event, (id) => this.isHonest(id));
      default:
    }
  }

  /** An id of which no liar makes use. */
  private isHonest(id: string): boolean {
    if (this.doubtful.has(id)) return false;
    return this.nodes.every((other) => other.id !== id || other.honest);
  }

  // Network.

  private sendFrom(node: Node, packet: Packet): void {
    if (node.liar !== null) return bend(node.liar, packet);
    if (packet.envelope.signer === node.id) this.checker.mayVote(node.publicKey, packet.envelope);
    if (node.honest && node.host !== null && packet.envelope.signer === node.id)
      this.checker.sends(node.publicKey, packet.envelope, node.host.replica, node.log);
    if (this.plan.byzantine.size > 0) overhear(this.plot, packet);
    for (const other of this.nodes) if (other.id !== node.id) this.transmitTo(node, other, packet);
  }

  private transmit(from: Node, to: string, packet: Packet): void {
    for (const node of this.nodes) if (node.id === to) this.transmitTo(from, node, packet);
  }

  private transmitTo(from: Node, to: Node, packet: Packet): void {
    this.messages++;
    const { plan } = this;
    const link = `${from.id}>${to.id}`;
    if (!this.healed && (this.blocked.has(link) || this.random() < plan.lossShare)) return;
    if (this.lostKinds.has(`${link} ${packet.envelope.kind}`)) return;
    const carried = plan.realSignatures ? this.throughWire(from, packet) : packet;
    if (carried === null) return;
    const delivery: Happening = { type: 'deliver', to, packet: carried };
    if (!this.healed && this.random() < plan.repeatShare) this.queue.push(this.nowMs + this.random() * 3000, delivery);
    const latencyMs = this.healed ? plan.healedLatencyMs : plan.latencyMs + this.random() * plan.jitterMs;
    const freeAtMs = this.healed ? 0 : (this.cloggedUntil.get(link) ?? 0);
    this.queue.push(Math.max(this.nowMs, freeAtMs) + latencyMs, delivery);
  }

  /** As bytes and back. What a liar sends may have no bytes at all. */
  private throughWire(from: Node, packet: Packet): Packet | null {
    try {
      return decodePacket(encodePacket(packet));
    } catch (error) {
      if (from.honest) throw error;
      return null;
    }
  }

  // Gateways.

  private newRequest(value: string, kind = 'toy', body: object = {}): Envelope {
    const n = ++this.requestCount;
    const signature = this.plan.realSignatures ? this.signing.forged() : `request-${n}`;
    return { body: { n, value, ...body }, kind, signature, signer: `gateway-${n % 7}` };
  }

  private submitNew(value: string, kind = 'toy', body: object = {}): void {
    const request = this.newRequest(value, kind, body);
    const wanted: Wanted = { request, id: requestId(request), replies: new Map(), sinceMs: this.nowMs, counted: null };
    this.wanted.set(wanted.id, wanted);
    this.note(`${request.signer} signs ${wanted.id}`);
    const first =
      this.random() < 0.3 ? [this.nodes[Math.floor(this.random() * this.nodes.length)] as Node] : this.nodes;
    this.submit(wanted, first);
  }

  /** To the validators given; then to all, again and again, until enough replies are counted. */
  private submit(wanted: Wanted, to: readonly Node[]): void {
    for (const node of to) {
      if (node.host === null || (!this.healed && this.random() < this.plan.lossShare)) continue;
      this.step(node, (host) => {
        const refusal = host.submit(wanted.request);
        if (refusal === 'applied already' && node.honest) this.replyAgain(node, wanted.id);
      });
    }
    this.at(this.nowMs + 400 + this.random() * 400, () => {
      if (wanted.counted === null) this.submit(wanted, this.nodes);
    });
  }

  private reply(from: Node, id: string, content: string): void {
    if (!this.healed && this.random() < this.plan.lossShare) return;
    this.queue.push(this.nowMs + this.plan.latencyMs, { type: 'reply', from, id, content });
  }

  /** All liars say the same. */
  private replyFalsely(from: Node): void {
    for (const { id, counted } of this.wanted.values()) if (counted === null) this.reply(from, id, FALSE_REPLY);
  }

  /** The last-reply cache is the ledger itself, which proves what it applied also where the toy prunes its blocks. */
  private replyAgain(node: Node, id: string): void {
    const height = this.checker.appliedAt.get(id);
    const decision = height === undefined ? undefined : this.checker.decided.get(height);
    if (decision !== undefined) this.reply(node, id, `${height} ${decision.headerHash}`);
  }

  private count(from: Node, id: string, content: string): void {
    const wanted = this.wanted.get(id);
    if (wanted === undefined || wanted.counted !== null) return;
    wanted.replies.set(from.id, content);
    let equal = 0;
    for (const other of wanted.replies.values()) if (other === content) equal++;
    if (equal < deviceQuorum(this.plan.nodes)) return;
    wanted.counted = content;
    const [height, header] = content.split(' ') as [string, string];
    this.note(
      `${wanted.request.signer} counts ${wanted.id}: ${equal} of ${this.plan.nodes} say block ${height}, header ${header.slice(0, 8)}`,
    );
    const waitedMs = this.nowMs - Math.max(wanted.sinceMs, this.plan.faultyMs);
    if (this.asksUntilMs > 0 && waitedMs >= CONFIRMED_MS && this.late.length === 0)
      this.late.push(`${id} was confirmed only ${Math.round(waitedMs)} ms after healing`);
  }

  /** What a gateway counted stands in the chain that everybody has. */
  private checkCounted(): void {
    for (const { id, counted } of this.wanted.values()) {
      if (counted === null) continue;
      const [height, content] = counted.split(' ') as [string, string];
      const decided = this.checker.decided.get(Number(height));
      if (decided?.headerHash !== content) this.checker.violation(`${id} was counted at ${height} and is lost`);
    }
  }

  // Faults.

  private scheduleFaults(): void {
    const { plan, random } = this;
    const { faults, faultyMs } = plan;
    const times = (count: number, run: () => void): void => {
      for (let i = 0; i < count; i++) this.at(random() * faultyMs * 0.95, run);
    };
    if (faults.has('loss')) times(12, () => this.loseKind());
    if (faults.has('loss')) times(3, () => this.halfDone(HALF_DONE_VIEWS));
    if (faults.has('partition')) times(3, () => this.partition());
    if (faults.has('clogging')) times(10, () => this.clog());
    if (faults.has('crash at any time')) {
      times(2 + Math.floor(random() * 6), () => {
        const node = this.nodes[Math.floor(random() * this.nodes.length)] as Node;
        if (node.honest && node.host !== null) this.crash(node, 'power');
      });
    }
    for (const node of this.nodes) {
      if (node.honest) continue;
      const again = (): void => {
        if (node.liar !== null) act(node.liar);
        this.at(this.nowMs + 100 + random() * 300, again);
      };
      this.at(random() * 300, again);
    }
    if (plan.losesLog >= 0) {
      const atMs = faultyMs * (0.2 + random() * 0.3);
      if (plan.rollsBack) this.rollBackAt(atMs);
      else this.at(atMs, () => this.leaveBehind());
    }
    if (plan.leaves) this.at(faultyMs * (0.3 + random() * 0.4), () => this.removeOne());
    if (plan.rekeysLiar) {
      const [index] = plan.byzantine.keys();
      const id = (this.nodes.find((node) => node.index === index) as Node).id;
      const publicKey = this.signing.newKey(++this.keyCount);
      this.at(faultyMs * (0.2 + random() * 0.5), () => {
        this.submitNew('good', 'member', { id, publicKey });
        this.lagOne();
      });
    }
    if (plan.joins) {
      const node = this.nodes.at(-1) as Node;
      this.at(faultyMs * (0.2 + random() * 0.4), () =>
        this.submitNew('good', 'member', { id: node.id, publicKey: node.publicKey }),
      );
    }
  }

  /** One validator less. A faulty one, where the rest would not tolerate as many. */
  private removeOne(): void {
    const { plan } = this;
    const mustLie = plan.byzantine.size > faultyOf(plan.nodes - 1);
    const candidates = this.nodes.filter(({ index, honest }) => index < plan.nodes && (!mustLie || !honest));
    const chosen = candidates[Math.floor(this.random() * candidates.length)] as Node;
    for (const node of this.nodes) if (node.index === chosen.index) node.removed = true;
    this.submitNew('good', 'member', { id: chosen.id, publicKey: '' });
  }

  /** Some cannot be heard by some others; not always both ways. */
  private partition(): void {
    const { random } = this;
    const side = new Set(this.nodes.filter(() => random() < 0.4).map(({ id }) => id));
    const bothWays = random() < 0.5;
    const links: string[] = [];
    for (const a of this.nodes) {
      for (const b of this.nodes) {
        if (side.has(a.id) && !side.has(b.id)) links.push(`${a.id}>${b.id}`, ...(bothWays ? [`${b.id}>${a.id}`] : []));
      }
    }
    for (const link of links) this.blocked.add(link);
    this.note(`partition: ${[...side].join(' ')} ${bothWays ? 'apart' : 'unheard'}`);
    this.at(this.nowMs + 300 + random() * 3000, () => {
      for (const link of links) this.blocked.delete(link);
    });
  }

  private loseKind(): void {
    const { random } = this;
    const kinds = [
      'pbft.commit',
      'pbft.commit',
      'pbft.commit',
      'pbft.prepare',
      'pbft.new-view',
      'pbft.view-change',
      'pbft.checkpoint', // becomes stable late, in the middle of another height
      'pbft.checkpoint',
    ];
    const kind = kinds[Math.floor(random() * kinds.length)] as string;
    const lost: string[] = [];
    for (const a of this.nodes) {
      for (const b of this.nodes) if (random() < KIND_LOST_SHARE) lost.push(`${a.id}>${b.id} ${kind}`);
    }
    for (const each of lost) this.lostKinds.add(each);
    this.note(`some ${kind} do not get through`);
    this.at(this.nowMs + 300 + random() * 2000, () => {
      for (const each of lost) this.lostKinds.delete(each);
    });
  }

  /**
   * For some views on end no height is decided, few prepare, and few hear who prepared: each view may carry another batch than the
   * one before, and the highest is the one that counts.
   */
  private halfDone(views: number): void {
    if (this.healed || views === 0) return;
    const { random } = this;
    const shares = { 'pbft.commit': 1, 'pbft.prepare': 0.4, 'pbft.view-change': 0.25 };
    const lost: string[] = [];
    for (const a of this.nodes) {
      for (const b of this.nodes) {
        for (const [kind, share] of Object.entries(shares)) if (random() < share) lost.push(`${a.id}>${b.id} ${kind}`);
      }
    }
    for (const each of lost) this.lostKinds.add(each);
    if (views === HALF_DONE_VIEWS) this.note('phases end half done');
    this.at(this.nowMs + this.plan.terms.viewMs, () => {
      for (const each of lost) this.lostKinds.delete(each);
      this.halfDone(views - 1);
    });
  }

  private clog(): void {
    const from = this.nodes[Math.floor(this.random() * this.nodes.length)] as Node;
    for (const to of this.nodes) {
      if (this.random() < 0.5) this.cloggedUntil.set(`${from.id}>${to.id}`, this.nowMs + this.random() * 1500);
    }
    this.note(`clogged: from ${from.id}`);
  }

  /** One hears the honest others late for a while, and liars at once. */
  private lagOne(): void {
    const honest = this.nodes.filter((node) => node.honest);
    const late = honest[Math.floor(this.random() * honest.length)] as Node;
    for (const { id } of honest) this.cloggedUntil.set(`${id}>${late.id}`, this.nowMs + this.random() * LAGS_MS);
    this.note(`${late.id} hears the honest late`);
  }

  /** The one that will lose its disk hears of no block before, and gives its view up: words of a key that is replaced then. */
  private leaveBehind(): void {
    const node = this.nodes.find(({ index }) => index === this.plan.losesLog) as Node;
    const lost = this.nodes.flatMap(({ id }) =>
      ['pbft.pre-prepare', 'pbft.commit', 'pbft.blocks'].map((kind) => `${id}>${node.id} ${kind}`),
    );
    for (const each of lost) this.lostKinds.add(each);
    this.at(this.nowMs + LEFT_BEHIND_VIEWS * this.plan.terms.viewMs, () => {
      for (const each of lost) this.lostKinds.delete(each);
      this.loseLog();
    });
  }

  /** A disk is gone: the validator follows without a vote, gets a new key, and votes again once it is ordered. */
  private loseLog(): void {
    const node = this.nodes.find(({ index }) => index === this.plan.losesLog);
    if (node === undefined || !node.honest) return;
    node.lost = true;
    node.log = null;
    this.crash(node, 'its vote log is lost');
    this.newKeyFor(node);
  }

  /**
   * A disk comes back as it was some views ago, vote log and ledger. The validator counts as faulty with this key: until it meets its own
   * words it may contradict itself. Once it knows, it never votes with the key again, over crashes and cuts of its log.
   */
  private rollBackAt(atMs: number): void {
    const node = this.nodes.find(({ index }) => index === this.plan.losesLog) as Node;
    let log: LogRecord[] = [];
    let state = node.app.state;
    let blocks: [number, DecidedBlock][] = [];
    this.at(Math.max(0, atMs - ROLLED_BACK_VIEWS * this.plan.terms.viewMs), () => {
      log = [...(node.log ?? [])];
      state = node.app.state;
      blocks = [...node.app.blocks];
    });
    this.at(atMs, () => {
      node.lost = true;
      node.honest = false;
      this.doubtful.add(node.id);
      if (node.host !== null) this.crash(node, 'its disk is rolled back');
      node.log = log;
      node.app.state = state;
      node.app.blocks.clear();
      for (const [height, block] of blocks) node.app.blocks.set(height, block);
      for (const afterMs of [1000, 2000]) {
        this.at(this.nowMs + afterMs, () => {
          if (node.host !== null) this.crash(node, 'power');
        });
      }
      this.newKeyFor(node);
    });
  }

  private newKeyFor(node: Node): void {
    this.at(this.nowMs + 3000, () => {
      node.honest = true;
      const publicKey = this.signing.newKey(++this.keyCount);
      this.submitNew('good', 'member', { id: node.id, publicKey });
      if (node.host !== null) {
        node.host = null;
        node.wake++;
      }
      node.publicKey = publicKey;
      node.log = [];
      this.start(node);
    });
  }

  private heal(): void {
    this.healed = true;
    this.blocked.clear();
    this.lostKinds.clear();
    this.note('everything heals');
    for (const node of this.nodes) this.start(node);
    this.atHealing = this.furthest();
    if (this.nodes.some(({ liar }) => liar?.behaviours.includes('censors') === true)) {
      this.asksUntilMs = this.nowMs + CONFIRMED_MS;
      this.keepAsking(this.asksUntilMs);
    }
  }

  private furthest(): { height: number; view: number } {
    const replicas = this.nodes.flatMap(({ honest, host }) => (honest && host !== null ? [host.replica] : []));
    const highest = (values: readonly number[]): number => Math.max(0, ...values);
    return { height: highest(replicas.map(({ height }) => height)), view: highest(replicas.map(({ view }) => view)) };
  }

  /** Where links are slower than the first view timer: true once enough blocks were made, and they must not have cost a view each. */
  private slowLinksDone(): boolean {
    if (this.plan.healedLatencyMs <= 1 || this.plan.byzantine.size > 0) return true;
    const { height, view } = this.furthest();
    if (height < this.atHealing.height + SLOW_BLOCKS_MIN) {
      this.submitNew('good');
      return false;
    }
    const cost = view - this.atHealing.view;
    if (cost > SLOW_VIEWS_MAX && this.late.length === 0)
      this.late.push(`${height - this.atHealing.height} blocks over slow links cost ${cost} views`);
    return true;
  }

  /** Requests go on coming for a while, so that one may be passed over by blocks without end. */
  private keepAsking(untilMs: number): void {
    if (this.nowMs >= untilMs) return;
    this.submitNew('good');
    this.at(this.nowMs + ASK_ON_MS, () => this.keepAsking(untilMs));
  }

  private isDone(): boolean {
    if (this.nowMs < this.asksUntilMs) return false;
    for (const { counted } of this.wanted.values()) if (counted === null) return false;
    if (this.checker.decided.size < COMMITS_MIN || this.steps < STEPS_MIN) {
      this.submitNew('good');
      return false;
    }
    const honest = this.nodes.filter((node) => node.honest && !node.removed);
    const latestDueMs = GENESIS_MS + this.nowMs - DUE_LATE_MS;
    if (honest.some(({ app }) => app.state.dueAtMs !== null && app.state.dueAtMs < latestDueMs)) return false;
    const heights = honest.map(({ app }) => app.state.header.height);
    if (!this.slowLinksDone() || !this.epilogueDone(honest)) return false;
    return Math.min(...heights) >= Math.max(...heights) - 1;
  }

  /** Where the faults leave room for one more: the primary goes while nothing waits, and a due operation must still happen. */
  private epilogueDone(honest: readonly Node[]): boolean {
    if (this.epilogue !== 'to come') return this.epilogue === 'over';
    const { plan } = this;
    const faulty = plan.byzantine.size + (plan.losesLog >= 0 ? 1 : 0);
    const primary = honest.find(({ host, id }) => host?.status().primary === id && host.status().state === 'voting');
    if (plan.dueEveryMs === null || faulty >= faultyOf(plan.nodes) || primary === undefined) {
      this.epilogue = 'over';
      return true;
    }
    this.epilogue = 'running';
    primary.host = null;
    primary.wake++;
    this.say(primary, 'is switched off');
    this.at(this.nowMs + plan.dueEveryMs + DUE_LATE_MS, () => {
      const due = honest.filter((node) => node !== primary).map(({ app }) => app.state.dueAtMs ?? 0);
      if (Math.min(...due) > GENESIS_MS + this.nowMs - DUE_LATE_MS) this.epilogue = 'over';
      this.start(primary);
    });
    return false;
  }

  private unfinished(): string[] {
    const open = [...this.wanted.values()].filter(({ counted }) => counted === null).length;
    const heights = this.nodes.map((node) => {
      const r = node.host?.replica;
      const view =
        r === undefined ? 'down' : `view ${r.view}${r.changing ? ' changing' : ''}${r.voting ? '' : ' silent'}`;
      return `${node.id}${node.honest ? '' : '*'} at ${node.app.state.header.height} ${view}`;
    });
    return [`seed ${this.plan.seed}: ${open} requests unconfirmed after ${this.steps} steps; ${heights.join(', ')}`];
  }

  // Telling.

  private digestOf(batch: Batch): string {
    let digest = this.digests.get(batch);
    if (digest === undefined) {
      digest = this.plan.realSignatures ? batchDigest(batch) : quickDigest(batch);
      this.digests.set(batch, digest);
    }
    return digest;
  }

  private note(text: string): void {
    this.trace?.(`${this.nowMs.toFixed(1).padStart(9)}  ---  ${text}`);
  }

  private say(node: Node, text: string): void {
    this.trace?.(`${this.nowMs.toFixed(1).padStart(9)}  ${node.id}${node.honest ? ' ' : '*'} ${text}`);
  }
}

function requestId(request: Envelope): string {
  return `${request.signer}/${request.body.n}`;
}

function quickDigest(batch: Batch): string {
  const text = batch.requests.map((request) => `${requestId(request)} ${request.signature}`).join();
  return createHash('sha256').update(`${batch.timeMs} ${text}`).digest('hex');
}

function describe(event: ConsensusEvent): string {
  const { type, ...rest } = event;
  const fields = Object.entries(rest)
    .filter(([, value]) => typeof value !== 'object' || value === null)
    .map(([name, value]) => `${name} ${typeof value === 'string' && value.length === 64 ? value.slice(0, 8) : value}`);
  return `${type}: ${fields.join(', ')}`;
}
