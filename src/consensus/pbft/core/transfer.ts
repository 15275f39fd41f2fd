// State transfer: a validator that is behind asks one other at a time, and believes only certificates. Blocks come with
// their commits; a snapshot with the checkpoints of a quorum, chunk by chunk. Blocks enter by the same door as decisions of
// its own (agree.ts `apply`), one at a time, so that state transfer and view change can never decide a height twice.

import { fromBase64url } from '../../../base/bytes.ts';
import { isWattpactError } from '../../../base/errors.ts';
import { sha256Hex } from '../../../protocol/envelope.ts';
import { headerHash } from '../../../protocol/header.ts';
import type { Batch, DecidedBlock } from '../../engine.ts';
import { apply, enterHeight } from './agree.ts';
import { checkpointsProve, commitsDecide } from './certificate.ts';
import { sendCheckpoint } from './checkpoints.ts';
import type { Input, Output } from './io.ts';
import { compact, recognise } from './log.ts';
import type { Ask, Blocks, Chunk, Commit, Snapshot } from './messages.ts';
import { type Replica, send, type Transfer, tell } from './state.ts';

/** Questions of one validator answered in a second. */
const ANSWERS_PER_SECOND_MAX = 200;
/** A snapshot taken for others is served for so long before another is taken. */
const SNAPSHOT_KEPT_MS = 60_000;
/** Between two snapshots taken for others, at least. */
const SNAPSHOT_REST_MS = 1_000;
/** How often the wait for an answer doubles at most. */
const ASK_DOUBLINGS_MAX = 5;
/** Largest snapshot that is fetched, in base64url characters of its chunks. */
const SNAPSHOT_TEXT_MAX = 2 ** 30;

/** The rule of the one that is behind: executes the next fetched block, or asks on. */
export function catchUp(r: Replica, out: Output): boolean {
  const transfer = r.transfer;
  if (transfer === null || transfer.what !== 'blocks') return false;
  while (transfer.blocks.length > 0) {
    const block = transfer.blocks.shift() as Blocks['body']['blocks'][number];
    const height = block.commits[0]?.body.height;
    if (height !== undefined && height <= r.height) continue;
    const batch = block.batch as Batch;
    const decision = { digest: r.env.digestOf(batch), height: r.height + 1, parent: r.headHash };
    if (!commitsDecide(block.commits, decision, r.members, r.env.isSigned)) {
      giveUpOn(r, transfer.peer);
      return true;
    }
    noteOwn(r, out, block.commits);
    apply(r, out, batch, block.commits, true);
    return true;
  }
  return false;
}

function noteOwn(r: Replica, out: Output, commits: readonly Commit[]): void {
  const own = commits.find(({ signer }) => signer === r.env.self);
  if (own !== undefined) recognise(r, out, own);
}

/** Starts, continues or redirects the asking. Called as time passes and after each answer. */
export function askOthers(r: Replica, out: Output): void {
  const nowMs = r.now.monotonicMs;
  const ahead = highestPeer(r) > r.height;
  if (!ahead) {
    r.behindSinceMs = null;
    if (r.transfer?.what !== 'chunk') r.transfer = null;
  } else r.behindSinceMs ??= nowMs;

  const transfer = r.transfer;
  if (transfer !== null) {
    if (transfer.blocks.length > 0) return;
    if (nowMs < transfer.askedMs + waitForAnswerMs(r)) return;
    // A snapshot may never be proven: it takes a quorum at its height, and this validator may be needed for one.
    if (transfer.what !== 'blocks') r.noSnapshots = true;
    giveUpOn(r, transfer.peer);
  }
  if (!ahead || r.behindSinceMs === null || nowMs < r.behindSinceMs + patienceOfLaggardMs(r)) return;
  if (nowMs < r.askAgainMs) return;
  const peer = nextPeer(r);
  if (peer === null) return;
  const gap = (r.peers.get(peer)?.height ?? 0) - r.height;
  const what = gap > r.env.terms.snapshotGap && !r.noSnapshots ? 'snapshot' : 'blocks';
  r.transfer = {
    peer,
    askedMs: nowMs,
    answered: false,
    what,
    blocks: [],
    manifest: null,
    proof: [],
    chunks: [],
    textLength: 0,
  };
  ask(r, out, r.transfer, r.height + 1, 0);
}

/** Twice as long each time that nobody answered, so that slow links carry an answer in the end. */
function patienceOfAskerMs(r: Replica): number {
  return r.env.terms.askMs * 2 ** r.asksInVain;
}

/** How long the open question may stay unanswered. Patience is for the last one left to ask: a liar who claims heights and is silent holds up nobody. */
export function waitForAnswerMs(r: Replica): number {
  const isLast = helpfulPeers(r).every((id) => id === r.transfer?.peer);
  return isLast ? patienceOfAskerMs(r) : r.env.terms.askMs;
}

/** An answer came: one that came fast makes the next wait shorter again. */
function noteAnswer(r: Replica, transfer: Transfer): void {
  const tookMs = r.now.monotonicMs - transfer.askedMs;
  if (r.asksInVain > 0 && 4 * tookMs <= patienceOfAskerMs(r)) r.asksInVain--;
}

/** A validator that is one message late is not behind: commits on their way get this long. */
export function patienceOfLaggardMs(r: Replica): number {
  return r.env.terms.resendMs / 4;
}

function highestPeer(r: Replica): number {
  let highest = 0;
  for (const [id, peer] of r.peers) if (r.members.keys.has(id)) highest = Math.max(highest, peer.height);
  return highest;
}

/** Those ahead in turn, after the one asked last, without those that just failed. */
function nextPeer(r: Replica): string | null {
  const helpful = helpfulPeers(r);
  if (helpful.length === 0) {
    // Nobody who claims to be ahead could show it: begin anew, but not at once, and with another one last.
    r.unhelpful.clear();
    r.lastAsked = after(helpfulPeers(r), r.lastAsked) ?? '';
    r.asksInVain = Math.min(r.asksInVain + 1, ASK_DOUBLINGS_MAX);
    r.askAgainMs = r.now.monotonicMs + r.env.terms.askMs;
    return null;
  }
  return after(helpful, r.lastAsked);
}

/** Those who say that they are ahead, and did not just fail to show it. */
function helpfulPeers(r: Replica): string[] {
  const isAhead = (id: string): boolean => (r.peers.get(id)?.height ?? 0) > r.height;
  return r.members.ids.filter((id) => id !== r.env.self && isAhead(id) && !r.unhelpful.has(id));
}

function after(ids: readonly string[], last: string): string | null {
  return ids.find((id) => id > last) ?? ids[0] ?? null;
}

function giveUpOn(r: Replica, peer: string): void {
  r.unhelpful.add(peer);
  r.transfer = null;
}

function ask(r: Replica, out: Output, transfer: Transfer, height: number, index: number): void {
  transfer.askedMs = r.now.monotonicMs;
  transfer.answered = false;
  r.lastAsked = transfer.peer;
  send(out, r.env.sign('pbft.ask', { height, index, peer: transfer.peer, what: transfer.what }));
  if (transfer.what !== 'chunk' || index === 0) {
    tell(out, { type: 'asking', height, peer: transfer.peer, what: transfer.what });
  }
}

export function receiveBlocks(r: Replica, out: Output, message: Blocks): void {
  const transfer = r.transfer;
  const { peer, from, blocks } = message.body;
  if (transfer === null || transfer.what !== 'blocks' || transfer.peer !== message.signer || peer !== r.env.self)
    return;
  noteAnswer(r, transfer);
  if (blocks.length === 0) {
    if (from !== r.height + 1) return;
    r.noSnapshots = false;
    transfer.what = 'snapshot';
    return ask(r, out, transfer, r.height + 1, 0);
  }
  transfer.answered = true;
  transfer.blocks.push(...blocks.slice(0, Math.max(0, BLOCKS_WAITING_MAX - transfer.blocks.length)));
}

/** After the fetched blocks are executed: more of the same at once. */
export function askOn(r: Replica, out: Output): void {
  const transfer = r.transfer;
  if (transfer === null || transfer.what !== 'blocks' || !transfer.answered || transfer.blocks.length > 0) return;
  if (highestPeer(r) > r.height) ask(r, out, transfer, r.height + 1, 0);
  else r.transfer = null;
}
const BLOCKS_WAITING_MAX = 128;

export function receiveSnapshot(r: Replica, out: Output, message: Snapshot): void {
  const transfer = r.transfer;
  const { peer, manifest, proof } = message.body;
  if (transfer === null || transfer.what !== 'snapshot' || transfer.peer !== message.signer || peer !== r.env.self)
    return;
  const { header } = manifest;
  const claim = { header: headerHash(header), height: header.height };
  // Believed on the word of a quorum of the validators known here: whoever changed the set since was let in by them.
  const known = proof.filter(({ signer }) => r.members.keys.has(signer));
  if (header.height <= r.height || !checkpointsProve(known, claim, r.members, r.env.isSigned)) {
    r.noSnapshots = true;
    return giveUpOn(r, transfer.peer);
  }
  noteAnswer(r, transfer);
  Object.assign(transfer, { what: 'chunk', manifest, proof, chunks: [] });
  nextChunk(r, out, transfer);
}

function nextChunk(r: Replica, out: Output, transfer: Transfer): void {
  const manifest = transfer.manifest;
  if (manifest === null) return;
  if (manifest.header.height <= r.height) {
    r.transfer = null; // it came there by agreement meanwhile: a snapshot never leads back
    return;
  }
  if (transfer.chunks.length < manifest.chunks.length) {
    return ask(r, out, transfer, manifest.header.height, transfer.chunks.length);
  }
  r.asked = 'restore';
  out.ask.push({ type: 'restore', manifest, chunks: transfer.chunks });
}

export function receiveChunk(r: Replica, out: Output, message: Chunk): void {
  const transfer = r.transfer;
  const { peer, height, index, bytes } = message.body;
  if (transfer === null || transfer.what !== 'chunk' || transfer.peer !== message.signer || peer !== r.env.self) return;
  const manifest = transfer.manifest;
  if (manifest === null || height !== manifest.header.height || index !== transfer.chunks.length) return;
  transfer.textLength += bytes.length;
  if (digestOfText(bytes) !== manifest.chunks[index] || transfer.textLength > SNAPSHOT_TEXT_MAX) {
    return giveUpOn(r, transfer.peer);
  }
  noteAnswer(r, transfer);
  transfer.chunks.push(bytes);
  nextChunk(r, out, transfer);
}

function digestOfText(text: string): string | null {
  try {
    return sha256Hex(fromBase64url(text));
  } catch (error) {
    if (isWattpactError(error)) return null;
    throw error;
  }
}

export function onRestored(r: Replica, out: Output, input: Extract<Input, { type: 'restored' }>): void {
  const transfer = r.transfer;
  r.transfer = null;
  if (transfer === null) return;
  if (input.head === null) {
    r.noSnapshots = true;
    r.unhelpful.add(transfer.peer);
    tell(out, { type: 'message refused', from: transfer.peer, kind: 'pbft.snapshot', reason: input.reason });
    return;
  }
  enterHeight(r, out, input.head);
  r.stable = { height: r.height, proof: transfer.proof };
  r.workSinceMs = null;
  tell(out, { type: 'restored', height: r.height });
  compact(r, out, r.height);
}

// The side that answers.

export function receiveAsk(r: Replica, out: Output, message: Ask): void {
  const { peer, what, height, index } = message.body;
  if (peer !== (what === 'checkpoint' ? message.signer : r.env.self) || !mayServe(r, message.signer)) return;
  switch (what) {
    case 'checkpoint':
      return sendCheckpoint(r, out, height);
    case 'blocks':
      out.ask.push({ type: 'read blocks', peer: message.signer, from: height });
      return;
    case 'chunk':
      if (r.serving?.manifest.header.height === height && index < r.serving.manifest.chunks.length) {
        out.ask.push({ type: 'read chunk', peer: message.signer, height, index });
      }
      return;
    case 'snapshot':
      return prepareSnapshot(r, out, message.signer, height);
    default:
      what satisfies never;
  }
}

/** Serves the snapshot at hand if it reaches the height that is wanted, else takes another, not too often. */
function prepareSnapshot(r: Replica, out: Output, asker: string, height: number): void {
  const serving = r.serving;
  const ageMs = serving === null ? Number.POSITIVE_INFINITY : r.now.monotonicMs - serving.takenMs;
  if (r.height < height) return;
  r.snapshotAskers.add(asker);
  if (
    serving === null ||
    ageMs > SNAPSHOT_KEPT_MS ||
    (serving.manifest.header.height < height && ageMs > SNAPSHOT_REST_MS)
  ) {
    out.ask.push({ type: 'take snapshot' });
  } else if (serving.manifest.header.height >= height) {
    if (serving.proof === null) askForProof(r, out, serving.manifest.header.height);
    offerSnapshot(r, out);
  }
}

function mayServe(r: Replica, signer: string): boolean {
  const peer = r.peers.get(signer);
  if (peer === undefined) return false;
  if (r.now.monotonicMs >= peer.servedSinceMs + 1000) {
    peer.servedSinceMs = r.now.monotonicMs;
    peer.served = 0;
  }
  peer.served++;
  return peer.served <= ANSWERS_PER_SECOND_MAX;
}

export function answerBlocks(
  r: Replica,
  out: Output,
  peer: string,
  from: number,
  blocks: readonly DecidedBlock[],
): void {
  const body = {
    blocks: blocks.map(({ batch, certificate }) => ({ batch, commits: certificate.commits })),
    from,
    peer,
  };
  send(out, r.env.sign('pbft.blocks', body));
}

export function answerChunk(r: Replica, out: Output, answer: Extract<Input, { type: 'chunk read' }>): void {
  const { peer, height, index, bytes } = answer;
  send(out, r.env.sign('pbft.chunk', { bytes, height, index, peer }));
}

export function onSnapshotTaken(
  r: Replica,
  out: Output,
  { manifest }: Extract<Input, { type: 'snapshot taken' }>,
): void {
  r.serving = { manifest, takenMs: r.now.monotonicMs, proof: null };
  if (manifest.header.height !== r.stable.height) askForProof(r, out, manifest.header.height);
  offerSnapshot(r, out);
}

/** A checkpoint outside the rhythm: the own word, and the question for everybody else's. */
function askForProof(r: Replica, out: Output, height: number): void {
  sendCheckpoint(r, out, height);
  send(out, r.env.sign('pbft.ask', { height, index: 0, peer: r.env.self, what: 'checkpoint' }));
}

/** Sends the snapshot to whoever asked, once a quorum's checkpoints prove its header. */
export function offerSnapshot(r: Replica, out: Output): void {
  const serving = r.serving;
  if (serving === null) return;
  if (serving.proof === null && r.stable.height === serving.manifest.header.height && r.stable.proof.length > 0) {
    serving.proof = r.stable.proof;
  }
  if (serving.proof === null) return;
  for (const peer of r.snapshotAskers) {
    send(out, r.env.sign('pbft.snapshot', { manifest: serving.manifest, peer, proof: serving.proof }));
  }
  r.snapshotAskers.clear();
}
