// Validators that lie. Each runs the honest core and bends what leaves it, and says things of its own besides. All liars
// know each other's double proposals and vote for every one of them.

import { toBase64url } from '../../../src/base/bytes.ts';
import type { Batch } from '../../../src/consensus/engine.ts';
import type {
  Message,
  NewView,
  Packet,
  PrePrepare,
  ViewChange,
  Vote,
} from '../../../src/consensus/pbft/core/messages.ts';
import type { Replica } from '../../../src/consensus/pbft/core/state.ts';
import { type Envelope, sha256Hex } from '../../../src/protocol/envelope.ts';
import type { Behaviour } from './plan.ts';
import { CHAIN, type Signing } from './signing.ts';

/** What a liar can see and do. */
export interface Liar {
  readonly id: string;
  readonly publicKey: string;
  readonly replica: Replica;
  readonly behaviours: readonly Behaviour[];
  readonly others: readonly string[];
  readonly random: () => number;
  readonly signing: Signing;
  readonly digestOf: (batch: Batch) => string;
  readonly newRequest: (value: string) => Envelope;
  readonly send: (to: string, packet: Packet) => void;
  /** Tells the gateways that their open requests stand in a block that nobody has. */
  readonly replyFalsely: () => void;
  readonly plot: Plot;
}

/** What the liars of a run share. */
export interface Plot {
  readonly proposals: { readonly vote: Vote; readonly batch: Batch }[];
  readonly overheard: Packet[];
  readonly viewChanges: ViewChange[];
}
const PLOT_MAX = 30;
/** Whose requests a censor passes over, whenever it is the primary. */
const CENSORED = new Set(['gateway-1', 'gateway-2', 'gateway-3']);
/** What a liar hands out as a chunk of a state. */
const FALSE_CHUNK = new TextEncoder().encode('{"applied":[]');

export function newPlot(): Plot {
  return { proposals: [], overheard: [], viewChanges: [] };
}

export function overhear(plot: Plot, packet: Packet): void {
  plot.overheard.push(packet);
  if (plot.overheard.length > PLOT_MAX) plot.overheard.shift();
  if (packet.envelope.kind !== 'pbft.view-change') return;
  plot.viewChanges.push(packet.envelope);
  if (plot.viewChanges.length > PLOT_MAX) plot.viewChanges.shift();
}

const chance = (liar: Liar, share: number): boolean => liar.random() < share;
const among = <T>(liar: Liar, values: readonly T[]): T | undefined => values[Math.floor(liar.random() * values.length)];
const someOthers = (liar: Liar): string[] => liar.others.filter(() => liar.random() < 0.5);
const signed = (liar: Liar, kind: Message['kind'], body: unknown): Message =>
  liar.signing.sign(liar.publicKey, liar.id, kind, body);
const sendTo = (liar: Liar, to: readonly string[], envelope: Message, batch: Batch | null = null): void => {
  for (const other of to) liar.send(other, { batch, envelope });
};

/** A divider takes part in nothing that could end a change of view. */
const DIVIDERS_HOLD_BACK: ReadonlySet<string> = new Set([
  'pbft.pre-prepare',
  'pbft.prepare',
  'pbft.commit',
  'pbft.view-change',
  'pbft.new-view',
]);

/** Something honest is about to leave: to everybody as it is, or otherwise. */
export function bend(liar: Liar, packet: Packet): void {
  const { envelope, batch } = packet;
  const { behaviours, others } = liar;
  if (behaviours.includes('silent') && chance(liar, 0.8)) return;
  if (behaviours.includes('divides') && DIVIDERS_HOLD_BACK.has(envelope.kind)) return;
  if (envelope.kind === 'pbft.pre-prepare' && batch !== null) {
    if (behaviours.includes('proposes badly') && chance(liar, 0.5)) return proposeBadly(liar, envelope, batch);
    if (behaviours.includes('equivocates') && chance(liar, 0.7)) return equivocate(liar, envelope, batch);
    if (behaviours.includes('censors')) return censor(liar, envelope, batch);
  }
  if (envelope.kind === 'pbft.prepare' || envelope.kind === 'pbft.commit') {
    if (behaviours.includes('votes twice') && chance(liar, 0.6)) {
      const other = among(liar, liar.plot.proposals)?.vote.digest ?? envelope.body.parent;
      sendTo(liar, someOthers(liar), signed(liar, envelope.kind, { ...envelope.body, digest: other }));
    }
  }
  if (envelope.kind === 'pbft.view-change' && behaviours.includes('stale view-changes')) {
    // Hides what it prepared.
    const hidden = signed(liar, envelope.kind, { ...envelope.body, prepared: null });
    return sendTo(liar, chance(liar, 0.5) ? others : someOthers(liar), hidden);
  }
  if (envelope.kind === 'pbft.view-change' && batch !== null && behaviours.includes('forges') && chance(liar, 0.5)) {
    // A real certificate, and beside it another batch.
    return sendTo(liar, others, envelope, { requests: [liar.newRequest('lie')], timeMs: batch.timeMs });
  }
  if (
    envelope.kind === 'pbft.new-view' &&
    (behaviours.includes('forges') || behaviours.includes('stale view-changes'))
  ) {
    return usurp(liar, envelope);
  }
  if (envelope.kind === 'pbft.blocks' && behaviours.includes('forges') && chance(liar, 0.7))
    return forgeBlocks(liar, envelope);
  if (envelope.kind === 'pbft.snapshot' && behaviours.includes('lies') && chance(liar, 0.5)) {
    // Right header, right proof, and a state that is not its.
    const { manifest } = envelope.body;
    const chunks = manifest.chunks.map(() => sha256Hex(FALSE_CHUNK));
    return sendTo(liar, others, signed(liar, envelope.kind, { ...envelope.body, manifest: { ...manifest, chunks } }));
  }
  if (envelope.kind === 'pbft.chunk' && behaviours.includes('lies') && chance(liar, 0.7)) {
    return sendTo(liar, others, signed(liar, envelope.kind, { ...envelope.body, bytes: toBase64url(FALSE_CHUNK) }));
  }
  if (envelope.kind === 'pbft.checkpoint' && behaviours.includes('lies') && chance(liar, 0.5)) {
    return sendTo(
      liar,
      others,
      signed(liar, envelope.kind, { ...envelope.body, header: envelope.body.header.replace(/^../, 'ff') }),
    );
  }
  sendTo(liar, others, envelope, batch);
}

/** Two proposals for one place, one to each half. */
function equivocate(liar: Liar, first: PrePrepare, batch: Batch): void {
  const other: Batch = { requests: batch.requests.slice(0, -1), timeMs: batch.timeMs + 1 };
  if (other.requests.length === 0) Object.assign(other, { requests: [liar.newRequest('lie')] });
  const vote: Vote = { ...first.body, digest: liar.digestOf(other) };
  const second = signed(liar, 'pbft.pre-prepare', vote);
  remember(liar, { vote: first.body, batch }, { vote, batch: other });
  const half = new Set(someOthers(liar));
  for (const to of liar.others) {
    if (half.has(to)) liar.send(to, { batch, envelope: first });
    else liar.send(to, { batch: other, envelope: second });
  }
}

function remember(liar: Liar, ...proposals: Plot['proposals']): void {
  liar.plot.proposals.push(...proposals);
  while (liar.plot.proposals.length > PLOT_MAX) liar.plot.proposals.shift();
}

/** An honest proposal, but for the requests of some, who shall never have their turn. */
function censor(liar: Liar, honest: PrePrepare, batch: Batch): void {
  const requests = batch.requests.filter(({ signer }) => !CENSORED.has(signer));
  if (requests.length === 0 || requests.length === batch.requests.length)
    return sendTo(liar, liar.others, honest, batch);
  const censored = { ...batch, requests };
  const vote = { ...honest.body, digest: liar.digestOf(censored) };
  sendTo(liar, liar.others, signed(liar, 'pbft.pre-prepare', vote), censored);
}

function proposeBadly(liar: Liar, honest: PrePrepare, batch: Batch): void {
  if (chance(liar, 0.2)) {
    // The right words, and beside them for some another batch.
    const other: Batch = { requests: [liar.newRequest('lie')], timeMs: batch.timeMs };
    for (const to of liar.others) liar.send(to, { batch: chance(liar, 0.5) ? other : batch, envelope: honest });
    return;
  }
  let wrong = among<Batch>(liar, [
    { ...batch, timeMs: batch.timeMs + 60_000_000 },
    { ...batch, timeMs: liar.replica.headTimeMs },
    { ...batch, requests: [...batch.requests, ...batch.requests] },
    { ...batch, requests: [...batch.requests, liar.newRequest('bad')] },
    { requests: [], timeMs: batch.timeMs },
    batch,
  ]) as Batch;
  // What a new view carries is looked at for its digest and its parent alone.
  const isCarried = liar.replica.carried?.digest === honest.body.digest;
  if (isCarried && chance(liar, 0.5)) wrong = batch;
  const parent = wrong === batch ? 'ab'.repeat(32) : honest.body.parent;
  const vote = { ...honest.body, digest: liar.digestOf(wrong), parent };
  remember(liar, { vote, batch: wrong });
  sendTo(liar, liar.others, signed(liar, 'pbft.pre-prepare', vote), wrong);
}

/** Its turn to begin a view: with a new view that hides or invents what was prepared, and the proposal to go with it. */
function usurp(liar: Liar, honest: NewView): void {
  const { replica } = liar;
  const { view, viewChanges } = honest.body;
  const q = replica.members.quorum;
  const height = Math.max(...viewChanges.map(({ body }) => body.height));
  const parent = replica.recent.get(height) ?? replica.headHash;
  // What is carried is not looked at again: an invented certificate is worth a batch that nobody would prepare.
  const invents = chance(liar, 0.3);
  const batch: Batch = { requests: [liar.newRequest(invents ? 'bad' : 'lie')], timeMs: replica.headTimeMs + 1 };
  const vote: Vote = { digest: liar.digestOf(batch), height: height + 1, parent, view };
  const silentOnes = viewChanges.filter(({ body }) => body.prepared === null || body.height < height);
  const mine = signed(liar, 'pbft.view-change', { height, prepared: null, view }) as ViewChange;
  const claimed: Vote = { ...vote, view: view - 1 };
  const forgedPrepares = liar.others
    .slice(0, q - 1)
    .map((signer) => ({ ...signed(liar, 'pbft.prepare', claimed), signer, signature: liar.signing.forged() }));
  const prepared = { prePrepare: signed(liar, 'pbft.pre-prepare', claimed), prepares: forgedPrepares };
  const invented = signed(liar, 'pbft.view-change', { height, prepared, view }) as ViewChange;
  const others = viewChanges.filter(({ signer }) => signer !== liar.id);
  const older = liar.plot.viewChanges.filter(({ signer, body }) => signer !== liar.id && body.prepared === null);
  const distinct = [...new Map([...others, ...older].map((message) => [message.signer, message])).values()];
  const choices: ViewChange[][] = [
    [mine, ...silentOnes.filter(({ signer }) => signer !== liar.id)].slice(0, q - 1),
    [mine, ...distinct].slice(0, q),
    [mine, ...silentOnes.filter(({ signer }) => signer !== liar.id)].slice(0, q),
  ];
  const lie = signed(liar, 'pbft.new-view', {
    view,
    viewChanges: invents ? [invented, ...others].slice(0, q) : among(liar, choices),
  });
  const proposal = signed(liar, 'pbft.pre-prepare', vote);
  remember(liar, { vote, batch });
  if (chance(liar, 0.3)) sendTo(liar, liar.others, honest); // and then another for the same view
  sendTo(liar, liar.others, lie);
  sendTo(liar, liar.others, proposal, batch);
}

function forgeBlocks(liar: Liar, honest: Extract<Message, { kind: 'pbft.blocks' }>): void {
  const { replica } = liar;
  const block = honest.body.blocks[0];
  if (block === undefined) return;
  const batch: Batch = { requests: [liar.newRequest('lie')], timeMs: block.batch.timeMs };
  const parent = block.commits[0]?.body.parent ?? replica.headHash;
  const body = { ...(block.commits[0]?.body as Vote), digest: liar.digestOf(batch), parent };
  const own = signed(liar, 'pbft.commit', body);
  const forged = block.commits.map((commit) => ({ ...commit, body, signature: liar.signing.forged() }));
  const commits = among(liar, [
    block.commits.map(() => own),
    [own],
    forged,
    block.commits.slice(0, -1),
    [...block.commits.slice(0, -1), own],
  ]);
  const real = chance(liar, 0.5) ? block.batch : batch;
  const blocks = [{ batch: real, commits }];
  sendTo(liar, liar.others, signed(liar, 'pbft.blocks', { ...honest.body, blocks }));
}

/** From time to time a liar says something nobody asked for. */
export function act(liar: Liar): void {
  const { behaviours } = liar;
  if (behaviours.includes('equivocates') || behaviours.includes('votes twice') || behaviours.includes('forges'))
    abet(liar);
  if (behaviours.includes('forges')) forge(liar);
  if (behaviours.includes('stale view-changes') && chance(liar, 0.3)) complainForNothing(liar);
  if (behaviours.includes('divides')) divide(liar);
  if (behaviours.includes('garbage')) babble(liar);
  if (behaviours.includes('lies')) lie(liar);
}

/** Its key was replaced: it goes on voting with it, at once on every proposal, before those who lag know that the key is void. */
export function haunt(liar: Liar, { envelope }: Packet): void {
  if (envelope.kind !== 'pbft.pre-prepare' || liar.replica.members.keys.get(liar.id) === liar.publicKey) return;
  sendTo(liar, liar.others, signed(liar, 'pbft.prepare', envelope.body));
  sendTo(liar, liar.others, signed(liar, 'pbft.commit', envelope.body));
}

/** Votes for every double proposal of the liars, in every phase, to some. */
function abet(liar: Liar): void {
  for (const { vote, batch } of liar.plot.proposals) {
    if (vote.height <= liar.replica.height - 2 || !chance(liar, 0.5)) continue;
    sendTo(liar, someOthers(liar), signed(liar, 'pbft.prepare', vote));
    sendTo(liar, someOthers(liar), signed(liar, 'pbft.commit', vote));
    if (chance(liar, 0.2)) {
      const again = { ...vote, view: liar.replica.view };
      sendTo(liar, someOthers(liar), signed(liar, 'pbft.pre-prepare', again), batch);
    }
  }
}

/**
 * Follows those who are furthest ahead in giving up views, so that they think themselves a quorum and go on without the rest; but
 * tells the primary of that view nothing it could make a new view of.
 */
function divide(liar: Liar): void {
  const { replica } = liar;
  const view = Math.max(0, ...liar.plot.viewChanges.map(({ body }) => body.view));
  if (view === 0) return;
  const primary = replica.members.ids[view % replica.members.ids.length];
  const to = liar.others.filter((id) => id !== primary);
  sendTo(liar, to, signed(liar, 'pbft.view-change', { height: replica.height, prepared: null, view }));
}

function complainForNothing(liar: Liar): void {
  const { replica } = liar;
  const ahead = among(liar, [0, 0, 1, 1, 1000]) as number;
  const view = replica.view + ahead;
  if (view === 0) return;
  const height = Math.max(0, replica.height - Math.floor(liar.random() * 3));
  sendTo(liar, someOthers(liar), signed(liar, 'pbft.view-change', { height, prepared: null, view }));
}

/** Certificates that nobody gave. */
function forge(liar: Liar): void {
  const { replica } = liar;
  const batch: Batch = { requests: [liar.newRequest('lie')], timeMs: replica.headTimeMs + 1 };
  const height = Math.max(1, replica.height + (chance(liar, 0.8) ? 1 : 0));
  const parent = replica.recent.get(height - 1) ?? replica.headHash;
  const target = replica.view + 1;
  const n = replica.members.ids.length;
  const lyingView =
    liar.plot.proposals.at(-1)?.vote.view ?? Math.max(0, target - n + replica.members.ids.indexOf(liar.id));
  const vote: Vote = {
    digest: liar.digestOf(batch),
    height,
    parent,
    view: chance(liar, 0.5) ? Math.max(0, target - 1) : lyingView,
  };
  const prePrepare = signed(liar, 'pbft.pre-prepare', vote);
  const own = signed(liar, 'pbft.prepare', vote);
  const others = liar.others.map((signer) => ({ ...own, signer, signature: liar.signing.forged() }));
  const q = replica.members.quorum;
  // Real prepares, for something else.
  const heard = liar.plot.overheard.flatMap(({ envelope }) => (envelope.kind === 'pbft.prepare' ? [envelope] : []));
  const real = [...new Map(heard.map((prepare) => [prepare.signer, prepare])).values()];
  const prepares = among<Message[]>(liar, [
    real.filter(({ signer }) => signer !== liar.id).slice(0, q - 1),
    others,
    Array.from({ length: q }, () => own),
    [own],
    others.slice(0, q - 2),
    [],
  ]) as Message[];
  const prepared = { prePrepare, prepares };
  const body = { height: height - 1, prepared, view: target };
  const viewChange = signed(liar, 'pbft.view-change', body);
  sendTo(liar, someOthers(liar), viewChange, batch);

  // A new view of its own making: other people's words bent, its own word several times, or too few.
  const left = [...replica.viewChanges.values()].map((entry) => entry.viewChange);
  const plain = signed(liar, 'pbft.view-change', { height: replica.height, prepared: null, view: target });
  const bent = left.map((other) => ({ ...other, body: { ...other.body, prepared: null, view: target } }));
  const viewChanges = among<Message[]>(liar, [
    Array.from({ length: q }, () => plain),
    [plain, ...bent],
    Array.from({ length: q }, () => viewChange),
    left.slice(0, q - 1),
    left,
    [viewChange, ...left.filter(({ signer }) => signer !== liar.id).slice(0, q - 1)],
    [plain],
  ]) as Message[];
  const view = among(liar, [target, replica.view, viewWithPrimary(liar)]) as number;
  if (view > 0) sendTo(liar, liar.others, signed(liar, 'pbft.new-view', { view, viewChanges }));
}

/** The next view in which this liar is the primary. */
function viewWithPrimary({ replica, id }: Liar): number {
  const n = replica.members.ids.length;
  const index = Math.max(0, replica.members.ids.indexOf(id));
  return replica.view + ((index - (replica.view % n) + n) % n);
}

/** Old or foreign messages with something changed, under their old signature or the own. */
function babble(liar: Liar): void {
  const packet = among(liar, liar.plot.overheard);
  if (packet === undefined) return;
  const { envelope, batch } = packet;
  const body: Record<string, unknown> = { ...envelope.body };
  for (const field of ['height', 'view']) {
    if (typeof body[field] === 'number' && chance(liar, 0.5)) {
      body[field] = Math.max(1, (body[field] as number) + Math.floor(liar.random() * 7) - 3);
    }
  }
  if (typeof body.digest === 'string' && chance(liar, 0.3)) body.digest = 'ab'.repeat(32);
  const changed = { ...envelope, body } as Message;
  sendTo(liar, someOthers(liar), changed, batch);
  sendTo(liar, someOthers(liar), signed(liar, envelope.kind, body), batch);
  sendTo(liar, someOthers(liar), { ...envelope, signer: liar.id } as Message, batch);
  const stranger = `stranger-${Math.floor(liar.random() * 1000)}`;
  sendTo(liar, someOthers(liar), { ...envelope, signer: stranger } as Message, batch);
}

/** Heights it does not have, checkpoints that are none, questions for the sake of asking. */
function lie(liar: Liar): void {
  liar.replyFalsely();
  const { replica } = liar;
  const height = replica.height + Math.floor(liar.random() * 1000);
  const claim = { changing: chance(liar, 0.5), height, stable: 0, view: replica.view + Math.floor(liar.random() * 3) };
  sendTo(liar, someOthers(liar), signed(liar, 'pbft.status', claim));
  const header = 'cd'.repeat(32);
  const checkpoint = { header, height: Math.max(1, replica.height + Math.floor(liar.random() * 5) - 2) };
  sendTo(liar, someOthers(liar), signed(liar, 'pbft.checkpoint', checkpoint));
  // A snapshot of a state that nobody has, to whoever believed the height.
  const head = {
    chain: CHAIN,
    height: replica.height + 500,
    parent: header,
    resultsRoot: header,
    stateHash: header,
    timeMs: 0,
    validatorSet: header,
  };
  for (const peer of someOthers(liar)) {
    sendTo(liar, [peer], signed(liar, 'pbft.snapshot', { manifest: { chunks: [], header: head }, peer, proof: [] }));
  }
  const what = among(liar, ['blocks', 'snapshot', 'chunk', 'checkpoint']);
  for (const peer of someOthers(liar)) {
    sendTo(liar, [peer], signed(liar, 'pbft.ask', { height: replica.height, index: 0, peer, what }));
  }
}
