// What must hold after every step, whatever the faults. Sees everything; the validators see none of it.

import type { Batch, Certificate } from '../../../src/consensus/engine.ts';
import { commitsDecide } from '../../../src/consensus/pbft/core/certificate.ts';
import type { ConsensusEvent, LogRecord } from '../../../src/consensus/pbft/core/io.ts';
import { membersOf } from '../../../src/consensus/pbft/core/members.ts';
import type { Commit, Message } from '../../../src/consensus/pbft/core/messages.ts';
import type { Replica } from '../../../src/consensus/pbft/core/state.ts';
import type { Envelope } from '../../../src/protocol/envelope.ts';
import type { Header } from '../../../src/protocol/header.ts';
import { faultyOf, votesThatDecide } from './counts.ts';
import type { Signing } from './signing.ts';

// Limits of memory, written down a second time.
const HEIGHTS_AHEAD = 8;
const CHECKPOINTS_OF_SIGNER = 8;
const EVIDENCE = 64;
/** Members that came, left or changed their key within what a replica remembers of others. */
const FORMER_MEMBERS = 3;

export interface Decision {
  readonly headerHash: string;
  readonly by: string;
}

export class Checker {
  readonly violations: string[] = [];
  readonly decided = new Map<number, Decision>();
  /** Height at which each request was applied. */
  readonly appliedAt = new Map<string, number>();
  private readonly said = new Map<string, string>();
  /** By key: the highest view it spoke in; by key and height: the highest view in which it committed. */
  private readonly spokeIn = new Map<string, number>();
  private readonly committedIn = new Map<string, number>();
  /** Validator and view of every block applied: such a block proves its view. */
  private readonly lostVotes = new Set<string>();
  private readonly provenViews = new Set<string>();
  private readonly signing: Signing;
  private readonly requestId: (request: Envelope) => string;
  private readonly digestOf: (batch: Batch) => string;
  private readonly skewMs: number;

  constructor(
    signing: Signing,
    requestId: (request: Envelope) => string,
    digestOf: (batch: Batch) => string,
    skewMs: number,
  ) {
    this.signing = signing;
    this.requestId = requestId;
    this.digestOf = digestOf;
    this.skewMs = skewMs;
  }

  violation(text: string): void {
    if (this.violations.length < 20) this.violations.push(text);
  }

  /** An honest validator executed a block. `latestClockMs` = the furthest clock of any honest validator. */
  applied(
    id: string,
    header: Header,
    headerHash: string,
    batch: Batch,
    certificate: Certificate,
    validators: ReadonlyMap<string, string>,
    latestClockMs: number,
    before: { readonly timeMs: number; readonly dueAtMs: number | null },
  ): void {
    this.atHeight(id, header.height, headerHash);
    this.provenViews.add(`${id} ${certificate.view}`);
    if (header.timeMs <= before.timeMs) this.violation(`block ${header.height} is not later than the one below`);
    const isDue = before.dueAtMs !== null && before.dueAtMs <= header.timeMs;
    if (batch.requests.length === 0 && !isDue) this.violation(`block ${header.height} is empty, and nothing was due`);
    const ids = new Set<string>();
    for (const request of batch.requests) {
      const requestId = this.requestId(request);
      const earlier = this.appliedAt.get(requestId);
      if (ids.has(requestId) || (earlier !== undefined && earlier !== header.height)) {
        this.violation(`${requestId} was applied twice, at ${earlier} and ${header.height}`);
      }
      ids.add(requestId);
      this.appliedAt.set(requestId, header.height);
      if (request.body.value === 'bad') this.violation(`${id} applied a bad request at ${header.height}`);
    }
    if (header.timeMs > latestClockMs + this.skewMs)
      this.violation(`block ${header.height} is in the future of everybody`);
    const decision = { digest: this.digestOf(batch), height: header.height, parent: header.parent };
    const members = membersOf(validators);
    const quorum = votesThatDecide(members.ids.length);
    const commits = certificate.commits as unknown as Commit[];
    if (!commitsDecideDumbly(commits, decision, validators, quorum, this.signing)) {
      this.violation(`${id} applied block ${header.height} without a quorum of commits`);
    }
    if (!commitsDecide(commits, decision, { ...members, quorum }, (m, k) => this.signing.isSigned(m, k))) {
      this.violation(`the certificate of block ${header.height} does not convince a stranger`);
    }
  }

  atHeight(id: string, height: number, headerHash: string): void {
    const decision = this.decided.get(height);
    if (decision === undefined) this.decided.set(height, { headerHash, by: id });
    else if (decision.headerHash !== headerHash) {
      this.violation(`${id} and ${decision.by} have different blocks or states at height ${height}`);
    }
  }

  /**
   * An honest validator sends: it never says two different things of one place, nor votes beyond its watermark; what it says is on its
   * disk; its views never fall; it votes in views that a new view or a block of them proves; and who committed says in each later
   * view-change that it prepared.
   */
  sends(publicKey: string, message: Message, r: Replica, log: readonly LogRecord[] | null): void {
    const { kind, body } = message;
    this.keepsItsWord(publicKey, message, log);
    if (kind === 'pbft.pre-prepare' || kind === 'pbft.prepare' || kind === 'pbft.commit') {
      this.saysOnce(`${publicKey} ${kind} ${body.height} ${body.view}`, body.digest);
      if (body.height > r.stable.height + 2 * r.env.terms.checkpointEvery) {
        this.violation(`${message.signer} votes on ${body.height} beyond its watermark`);
      }
      if (
        body.view > 0 &&
        r.newView?.body.view !== body.view &&
        !this.provenViews.has(`${message.signer} ${body.view}`)
      ) {
        this.violation(`${message.signer} votes in view ${body.view}, which nothing it holds proves`);
      }
      if (r.height + 1 === body.height && body.parent !== r.headHash) {
        this.violation(`${message.signer} votes on a parent it does not have`);
      }
    } else if (kind === 'pbft.view-change' || kind === 'pbft.new-view') {
      this.saysOnce(`${publicKey} ${kind} ${body.view}`, message.signature);
    }
  }

  private keepsItsWord(publicKey: string, message: Message, log: readonly LogRecord[] | null): void {
    if (!isOwnWord(message)) return;
    const { signer, body } = message;
    if (!isOnDisk(log ?? [], message)) this.violation(`${signer} says what is not on its disk: ${message.kind}`);
    const before = this.spokeIn.get(publicKey) ?? 0;
    if (body.view < before) this.violation(`${signer} speaks in view ${body.view} after view ${before}`);
    this.spokeIn.set(publicKey, Math.max(before, body.view));
    if (message.kind === 'pbft.commit') {
      this.committedIn.set(`${publicKey} ${message.body.height}`, body.view);
    } else if (message.kind === 'pbft.view-change') {
      const committed = this.committedIn.get(`${publicKey} ${message.body.height + 1}`) ?? -1;
      if ((message.body.prepared?.prePrepare.body.view ?? -1) < committed)
        this.violation(`${signer} committed at ${message.body.height + 1} in view ${committed} and hides it`);
    }
  }

  losesVote(publicKey: string): void {
    this.lostVotes.add(publicKey);
  }

  /** A key that lost its vote does not come back to it. */
  mayVote(publicKey: string, message: Message): void {
    if (isOwnWord(message) && this.lostVotes.has(publicKey))
      this.violation(`${message.signer} votes with a key whose vote is lost: ${message.kind}`);
  }

  private saysOnce(place: string, what: string): void {
    const before = this.said.get(place);
    if (before === undefined) this.said.set(place, what);
    else if (before !== what) this.violation(`an honest validator said two things: ${place}`);
  }

  /** After a step of an honest validator: what it holds is bounded, and what it calls stable is proven. */
  holds(r: Replica): void {
    const others = r.members.ids.length + FORMER_MEMBERS;
    for (const [height, { prePrepares, prepares, commits }] of r.inbox) {
      if (height > r.height + HEIGHTS_AHEAD) this.violation(`${r.env.self} keeps votes of far height ${height}`);
      if (Math.max(prePrepares.size, prepares.size, commits.size) > others)
        this.violation(`${r.env.self} keeps more votes of height ${height} than there are validators`);
    }
    for (const held of [r.accepted, r.prepared]) {
      if (held === null) continue;
      const { digest } = 'certificate' in held ? held.certificate.prePrepare.body : held.prePrepare.body;
      if (this.digestOf(held.batch) !== digest) this.violation(`${r.env.self} holds another batch than it voted on`);
    }
    for (const { viewChange, batch } of r.viewChanges.values()) {
      const digest = viewChange.body.prepared?.prePrepare.body.digest;
      // The own one, read back from the log after the height it speaks of was decided, has lost its batch: nobody needs it any more.
      if (batch === null && viewChange.signer === r.env.self) continue;
      if (digest !== undefined && (batch === null || this.digestOf(batch) !== digest))
        this.violation(`${r.env.self} keeps a view-change of ${viewChange.signer} with another batch than it names`);
    }
    if (r.prepared !== null) {
      const { prePrepare, prepares } = r.prepared.certificate;
      const signers = new Set([prePrepare.signer, ...prepares.map(({ signer }) => signer)]);
      if (signers.size < votesThatDecide(r.members.ids.length))
        this.violation(`${r.env.self} calls prepared what ${signers.size} prepared`);
    }
    if (r.viewChanges.size > others || r.peers.size > others)
      this.violation(`${r.env.self} keeps more view-changes or peers than there are validators`);
    if (r.checkpoints.size > others * CHECKPOINTS_OF_SIGNER || r.evidence.length > EVIDENCE)
      this.violation(`${r.env.self} keeps checkpoints or evidence without end`);
    if (r.pool.size > r.env.terms.pendingMax) this.violation(`${r.env.self} keeps more requests than its limit`);
    if (r.stable.proof.length > 0) {
      const signers = new Set(r.stable.proof.map(({ signer }) => signer));
      if (signers.size < Math.min(r.members.quorum, r.stable.proof.length)) {
        this.violation(`${r.env.self} counts a signer twice in checkpoint ${r.stable.height}`);
      }
      const header = this.decided.get(r.stable.height)?.headerHash;
      if (r.stable.proof.some(({ body }) => body.header !== header)) {
        this.violation(`${r.env.self} calls checkpoint ${r.stable.height} stable with another state in its proof`);
      }
      // One member may have joined or left since.
      if (signers.size < votesThatDecide(r.members.ids.length - 1)) {
        this.violation(`${r.env.self} calls checkpoint ${r.stable.height} stable without a quorum`);
      }
    }
  }

  /** An honest validator entered a view: recomputed here, the long way. Only where it stands at the height in question. */
  enters(r: Replica): void {
    const { newView, carried } = r;
    if (newView === null || carried === null) return;
    const { view, viewChanges } = newView.body;
    const height = Math.max(...viewChanges.map(({ body }) => body.height));
    if (height !== r.height) return;
    const { ids, keys } = r.members;
    const quorum = votesThatDecide(ids.length);
    const isBy = (message: Message): boolean => this.signing.isSigned(message, keys.get(message.signer) ?? '');
    if (newView.signer !== ids[view % ids.length])
      this.violation(`${r.env.self} entered view ${view} on the word of one who is not its primary`);
    const promised = viewChanges.filter((message) => message.body.view === view && isBy(message));
    if (new Set(promised.map(({ signer }) => signer)).size < quorum) {
      this.violation(`${r.env.self} entered view ${view} without the promises of a quorum`);
    }
    let best: { view: number; digest: string } | null = null;
    for (const { body } of viewChanges) {
      if (body.prepared === null || body.height !== height) continue;
      const { prePrepare, prepares } = body.prepared;
      const votes: Message[] = [prePrepare, ...prepares];
      const equal = votes.filter(
        (message) => isBy(message) && JSON.stringify(message.body) === JSON.stringify(prePrepare.body),
      );
      const from = ids[prePrepare.body.view % ids.length];
      if (new Set(equal.map(({ signer }) => signer)).size < quorum || from !== prePrepare.signer) {
        this.violation(`${r.env.self} entered view ${view} on a certificate that nobody gave`);
      }
      if (best === null || prePrepare.body.view > best.view) best = prePrepare.body;
    }
    if ((best?.digest ?? null) !== carried.digest) {
      this.violation(`${r.env.self} entered view ${view} bound to another batch than was prepared last`);
    }
  }

  /** An honest validator left a view because others had: so many that one of them is honest. */
  follows(r: Replica, view: number): void {
    const ahead = [...r.viewChanges].filter(([signer, { viewChange }]) => {
      return signer !== r.env.self && r.members.keys.has(signer) && viewChange.body.view >= view;
    });
    if (ahead.length <= faultyOf(r.members.ids.length))
      this.violation(`${r.env.self} followed ${ahead.length} others to view ${view}`);
  }

  /** Before a message is taken: its signer, if it contradicts a vote that this replica holds. It must be accused then. */
  contradiction(r: Replica, message: Message): string | null {
    if (message.kind !== 'pbft.pre-prepare' && message.kind !== 'pbft.prepare' && message.kind !== 'pbft.commit')
      return null;
    const { body, signer } = message;
    const inbox = r.inbox.get(body.height);
    if (inbox === undefined || signer === r.env.self || body.height <= r.height) return null;
    const known =
      message.kind === 'pbft.pre-prepare'
        ? inbox.prePrepares.get(signer)?.prePrepare
        : (message.kind === 'pbft.prepare' ? inbox.prepares : inbox.commits).get(signer);
    if (known === undefined || known.body.view !== body.view || known.body.digest === body.digest) return null;
    if (message.kind === 'pbft.pre-prepare' && r.members.ids[body.view % r.members.ids.length] !== signer) return null;
    return this.signing.isSigned(message, r.members.keys.get(signer) ?? '') ? signer : null;
  }

  accuses(r: Replica, signer: string): void {
    if (!r.evidence.some(({ accused }) => accused === signer) && r.evidence.length < EVIDENCE)
      this.violation(`${r.env.self} saw two different votes of ${signer} and kept no evidence`);
  }

  /** Evidence must convict: two signed messages of one signer for one place that differ; and never an honest one. */
  evidence(event: Extract<ConsensusEvent, { type: 'evidence' }>, isHonest: (id: string) => boolean): void {
    if (isHonest(event.accused)) this.violation(`${event.accused} is honest and was framed by ${event.first.kind}`);
    if (event.first.signer !== event.second.signer) this.violation('evidence names two signers');
  }
}

type OwnWord = Extract<Message, { body: { view: number } }>;

function isOwnWord(message: Message): message is Exclude<OwnWord, { kind: 'pbft.status' }> {
  return 'view' in message.body && message.kind !== 'pbft.status';
}

/** A vote log from which a restart would know this message again. */
function isOnDisk(log: readonly LogRecord[], { signature }: Message): boolean {
  return log.some((record) => {
    switch (record.type) {
      case 'base':
        return record.votes.some(([, known]) => known === signature);
      case 'accepted':
        return record.prePrepare.signature === signature || record.prepare?.signature === signature;
      case 'committed':
        return record.commit?.signature === signature;
      case 'view change':
        return record.viewChange.signature === signature;
      case 'new view':
        return record.newView.signature === signature;
      default:
        return false;
    }
  });
}

/** The same check as the product's, written without it. */
function commitsDecideDumbly(
  commits: readonly Commit[],
  decision: { digest: string; height: number; parent: string },
  validators: ReadonlyMap<string, string>,
  quorum: number,
  signing: Signing,
): boolean {
  const good = new Set<string>();
  const view = commits[0]?.body.view;
  for (const commit of commits) {
    const publicKey = validators.get(commit.signer);
    const { body } = commit;
    if (publicKey === undefined || commit.kind !== 'pbft.commit' || !signing.isSigned(commit, publicKey)) continue;
    if (body.digest !== decision.digest || body.height !== decision.height) continue;
    if (body.parent !== decision.parent || body.view !== view) continue;
    good.add(commit.signer);
  }
  return good.size >= quorum;
}
