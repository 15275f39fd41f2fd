// Planted bugs. Each is a piece of the product's source text exchanged as it is loaded, in a process of its own; the
// simulator must find every one. A mutant whose text is gone from the source is an error: the list follows the code.

import { spawn } from 'node:child_process';
import { registerHooks } from 'node:module';
import { join } from 'node:path';

interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const CORE = 'src/consensus/pbft/core';
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'quorum one too small',
    file: `${CORE}/members.ts`,
    find: 'quorum: consensusQuorum(ids.length)',
    replace: 'quorum: consensusQuorum(ids.length) - 1',
  },
  {
    name: 'quorum is a bare majority',
    file: `${CORE}/members.ts`,
    find: 'quorum: consensusQuorum(ids.length)',
    replace: 'quorum: Math.floor(ids.length / 2) + 1',
  },
  {
    name: 'prepared with one prepare too few',
    file: `${CORE}/agree.ts`,
    find: 'if (prepares.length < r.members.quorum - 1) return false;',
    replace: 'if (prepares.length < r.members.quorum - 2) return false;',
  },
  {
    name: 'vote sent before persisted',
    file: 'src/consensus/pbft/host.ts',
    find: '    if (records !== null && (',
    replace: '    for (const packet of out.send.splice(0)) ports.send(packet);\n    if (records !== null && (',
  },
  {
    name: 'prepare not persisted',
    file: `${CORE}/agree.ts`,
    find: "persist(out, { type: 'accepted', prePrepare: message, batch, prepare: own });",
    replace: '',
  },
  {
    name: 'proposal not persisted',
    file: `${CORE}/agree.ts`,
    find: "persist(out, { type: 'accepted', prePrepare: message, batch, prepare: null });",
    replace: '',
  },
  {
    name: 'prepared certificate not persisted',
    file: `${CORE}/agree.ts`,
    find: "persist(out, { type: 'committed', ...certificate, batch: null, commit: own });",
    replace: '',
  },
  {
    name: 'view-change not persisted',
    file: `${CORE}/views.ts`,
    find: "persist(out, { type: 'view change', viewChange });",
    replace: '',
  },
  {
    name: 'own proposal forgotten in a crash',
    file: `${CORE}/log.ts`,
    find: 'r.accepted = { prePrepare: record.prePrepare, batch: record.batch };',
    replace: 'if (record.prepare !== null) r.accepted = { prePrepare: record.prePrepare, batch: record.batch };',
  },
  {
    name: 'view-change hides what was prepared',
    file: `${CORE}/views.ts`,
    find: 'prepared: r.prepared?.certificate ?? null, view }',
    replace: 'prepared: null, view }',
  },
  {
    name: 'prepared certificate ignored',
    file: `${CORE}/certificate.ts`,
    find: 'digest: highest?.digest ?? null',
    replace: 'digest: null',
  },
  {
    name: 'lowest prepared view wins',
    file: `${CORE}/certificate.ts`,
    find: 'vote.view > highest.view',
    replace: 'vote.view < highest.view',
  },
  {
    name: 'prepared certificate believed unseen',
    file: `${CORE}/certificate.ts`,
    find: 'if (!isPrepared(body.prepared, { height, parent, belowView: view }, members, isSigned)) return null;',
    replace: '',
  },
  {
    name: 'new view obeyed by nobody',
    file: `${CORE}/agree.ts`,
    find: 'if (vote.digest !== carried || vote.parent !== r.headHash) {',
    replace: 'if (vote.parent !== r.headHash) {',
  },
  {
    name: 'new view with one view-change too few',
    file: `${CORE}/certificate.ts`,
    find: 'viewChanges.length < members.quorum) return null;',
    replace: 'viewChanges.length < members.quorum - 1) return null;',
  },
  {
    name: 'new view of old view-changes',
    file: `${CORE}/certificate.ts`,
    find: 'if (!viewChanges.every(({ body }) => body.view === view)) return null;',
    replace: '',
  },
  {
    name: 'senders not unique',
    file: `${CORE}/certificate.ts`,
    find: 'if (publicKey === undefined || signers.has(message.signer)) return false;',
    replace: 'if (publicKey === undefined) return false;',
  },
  {
    name: 'signatures inside certificates unchecked',
    file: `${CORE}/certificate.ts`,
    find: 'if (!isSigned(message, publicKey)) return false;',
    replace: '',
  },
  {
    name: 'signature of a message unchecked',
    file: `${CORE}/receive.ts`,
    find: "if (!r.env.isSigned(message, publicKey)) return refuse(out, message, 'wrong signature');",
    replace: '',
  },
  {
    name: 'votes of different views counted together',
    file: `${CORE}/certificate.ts`,
    find: ' && a.view === b.view;',
    replace: ';',
  },
  {
    name: 'votes for different batches counted together',
    file: `${CORE}/certificate.ts`,
    find: 'return a.digest === b.digest && a.height',
    replace: 'return a.height',
  },
  {
    name: 'votes on while changing the view',
    file: `${CORE}/agree.ts`,
    find: 'return mayVote(r) && !r.changing && r.height',
    replace: 'return mayVote(r) && r.height',
  },
  {
    name: 'watermark ignored',
    file: `${CORE}/agree.ts`,
    find: ' && r.height < highWatermark(r);',
    replace: ';',
  },
  {
    name: 'checkpoint without quorum',
    file: `${CORE}/checkpoints.ts`,
    find: 'if (equal.length < r.members.quorum) {',
    replace: 'if (equal.length < r.members.faults) {',
  },
  {
    name: 'checkpoint of another state counted',
    file: `${CORE}/checkpoints.ts`,
    find: 'votes.filter(({ body }) => body.header === own);',
    replace: 'votes;',
  },
  {
    name: 'snapshot believed without proof',
    file: `${CORE}/transfer.ts`,
    find: '|| !checkpointsProve(known, claim, r.members, r.env.isSigned)) {',
    replace: '|| known.length > claim.height) {',
  },
  {
    name: 'block time unbounded',
    file: `${CORE}/agree.ts`,
    find: 'Math.abs(batch.timeMs - r.now.chainMs) > r.env.terms.clockSkewMsMax',
    replace: 'batch.timeMs < 0',
  },
  {
    name: 'proposal prepared without analysis',
    file: `${CORE}/agree.ts`,
    find: '  if (reason === null) prepare(r, out, proposal.prePrepare, proposal.batch);',
    replace: "  if (reason !== '') prepare(r, out, proposal.prePrepare, proposal.batch);",
  },
  {
    name: 'any validator may propose',
    file: `${CORE}/agree.ts`,
    find: 'const proposal = r.inbox.get(r.height + 1)?.prePrepares.get(primary);',
    replace: 'const proposal = r.inbox.get(r.height + 1)?.prePrepares.values().next().value;',
  },
  {
    name: 'change of membership forgotten',
    file: `${CORE}/agree.ts`,
    find: 'rememberMembers(r, r.height + 1, members);',
    replace: '',
  },
  {
    name: 'due operation waited for by nobody',
    file: `${CORE}/timing.ts`,
    find: ' || isDue(r, r.now.chainMs)) return true;',
    replace: ') return true;',
  },
  {
    name: 'words of a replaced key kept',
    file: `${CORE}/agree.ts`,
    find: '    forgetKeysBefore(r, members);',
    replace: '',
  },
  {
    name: 'votes without its log',
    file: 'src/consensus/pbft/host.ts',
    find: '    replica.voting = false;',
    replace: '',
  },
  {
    name: 'quorum of 2f + 1 for every n',
    file: `${CORE}/members.ts`,
    find: 'quorum: consensusQuorum(ids.length)',
    replace: 'quorum: 2 * faultsTolerated(ids.length) + 1',
  },
  {
    name: 'half of the quorum rounded down',
    file: 'src/protocol/quorum.ts',
    find: 'return ceilDiv(n + faultsTolerated(n) + 1, 2);',
    replace: 'return floorDiv(n + faultsTolerated(n) + 1, 2);',
  },
  {
    name: 'view-changes never followed',
    file: `${CORE}/views.ts`,
    find: '  if (view === undefined) return false;',
    replace: '  if (view !== -1) return false;',
  },
  {
    name: 'f others followed',
    file: `${CORE}/views.ts`,
    find: 'const view = views[r.members.faults];',
    replace: 'const view = views[r.members.faults - 1];',
  },
  {
    name: 'new view of anybody',
    file: `${CORE}/certificate.ts`,
    find: 'if (newView.signer !== primaryOf(members, view) || viewChanges',
    replace: 'if (viewChanges',
  },
  {
    name: 'new primary proposes what it likes',
    file: `${CORE}/agree.ts`,
    find: '  const carried = carriedDigest(r);\n  if (carried !== null) {\n    const batch',
    replace: '  const carried = carriedDigest(r);\n  if (carried !== null && r.pool.size === 0) {\n    const batch',
  },
  {
    name: 'prepared certificate for another batch',
    file: `${CORE}/certificate.ts`,
    find: 'if (!prepares.every(({ body }) => sameVote(body, vote))) return false;\n  return areSignedByMembers([prePrepare',
    replace: 'return areSignedByMembers([prePrepare',
  },
  {
    name: 'new view not persisted',
    file: `${CORE}/views.ts`,
    find: "persist(out, { type: 'new view', newView, carried });",
    replace: '',
  },
  {
    name: 'log cut without the own votes',
    file: `${CORE}/log.ts`,
    find: 'votes: [...r.ownVotes] }',
    replace: 'votes: [] }',
  },
  {
    name: 'log cut without what was prepared',
    file: `${CORE}/log.ts`,
    find: '  if (r.prepared !== null) {\n    const { certificate, batch }',
    replace: '  if (r.prepared !== null && r.height < 0) {\n    const { certificate, batch }',
  },
  {
    name: 'log cut without the own view-change',
    file: `${CORE}/log.ts`,
    find: '  } else if (own !== undefined && r.changing) {',
    replace: '  } else if (own !== undefined && r.height < 0) {',
  },
  {
    name: 'log cut without the view',
    file: `${CORE}/log.ts`,
    find: 'low: r.low, view: r.view, votes',
    replace: 'low: r.low, view: 0, votes',
  },
  {
    name: 'questions never back off',
    file: `${CORE}/transfer.ts`,
    find: 'return r.env.terms.askMs * 2 ** r.asksInVain;',
    replace: 'return r.env.terms.askMs;',
  },
  {
    name: 'patience forgotten with each block',
    file: `${CORE}/views.ts`,
    find: 'if (2 * tookMs <= r.env.terms.viewMs) r.attempts = 0;',
    replace: 'if (tookMs >= 0) r.attempts = 0;',
  },
  {
    name: 'vote that was lost comes back when the log is cut',
    file: `${CORE}/log.ts`,
    find: "  if (!r.voting) records.push({ type: 'vote lost', reason: r.whyNotVoting });",
    replace: '',
  },
  {
    name: 'a gateway counts to f',
    file: 'src/protocol/quorum.ts',
    find: 'const base = Math.max(ceilDiv(DEVICE_QUORUM_PERCENT * n, 100), faultsTolerated(n) + 1);',
    replace: 'const base = Math.max(1, faultsTolerated(n));',
  },
  {
    name: 'proposal with any batch',
    file: `${CORE}/receive.ts`,
    find: 'if (packet.batch === null || r.env.digestOf(packet.batch) !== digest) {',
    replace: 'if (packet.batch === null) {',
  },
  {
    name: 'view-change with any batch',
    file: `${CORE}/receive.ts`,
    find: 'if (packet.batch === null || r.env.digestOf(packet.batch) !== prepared.prePrepare.body.digest) {',
    replace: 'if (packet.batch === null) {',
  },
  {
    name: 'strangers remembered',
    file: `${CORE}/receive.ts`,
    find: "if (publicKey === undefined) return refuse(out, message, 'not a validator');",
    replace: 'if (publicKey === undefined) return notePeer(r, message);',
  },
  {
    name: "primary's prepare counted",
    file: `${CORE}/agree.ts`,
    find: '({ signer, body }) => signer !== message.signer && r.members',
    replace: '({ signer, body }) => r.members',
  },
  {
    name: 'proposes a time in the past',
    file: `${CORE}/agree.ts`,
    find: 'timeMs: Math.max(r.now.chainMs, r.headTimeMs + 1)',
    replace: 'timeMs: r.now.chainMs',
  },
  {
    name: 'proposal of another view accepted',
    file: `${CORE}/agree.ts`,
    find: ' || proposal.prePrepare.body.view !== r.view) return false;',
    replace: ') return false;',
  },
  {
    name: 'view-change said anew',
    file: `${CORE}/timing.ts`,
    find: 'if (own !== undefined) send(out, own.viewChange, own.batch);',
    replace:
      "if (own !== undefined) send(out, r.env.sign('pbft.view-change', { ...own.viewChange.body, height: r.height }), own.batch);",
  },
  {
    name: 'timers never back off',
    file: `${CORE}/views.ts`,
    find: 'return Math.min(viewMs * 2 ** Math.max(0, r.attempts - 1), viewMsMax);',
    replace: 'return Math.min(viewMs, viewMsMax);',
  },
  {
    name: "a request passed over is nobody's business",
    file: `${CORE}/views.ts`,
    find: 'const overtaken = !r.changing && isPassedOver(r);',
    replace: 'const overtaken = r.changing && isPassedOver(r);',
  },
  {
    name: 'empty batch when nothing is due',
    file: `${CORE}/agree.ts`,
    find: "if (batch.requests.length === 0 && !isDue(r, batch.timeMs)) return 'empty, and nothing is due';",
    replace: '',
  },
  {
    name: 'block time may stand still',
    file: `${CORE}/agree.ts`,
    find: "if (batch.timeMs <= r.headTimeMs) return 'its time is not later than the last block';",
    replace: '',
  },
  {
    name: 'proposal on another parent',
    file: `${CORE}/agree.ts`,
    find: "if (vote.parent !== r.headHash) return 'stands on another parent';",
    replace: '',
  },
  {
    name: 'watermark one too high',
    file: `${CORE}/agree.ts`,
    find: ' && r.height < highWatermark(r);',
    replace: ' && r.height <= highWatermark(r);',
  },
  {
    name: 'told before it is applied',
    file: `${CORE}/agree.ts`,
    find: "  out.ask.push({ type: 'apply', batch, certificate });",
    replace:
      "  tell(out, { type: 'executed', ...place(vote), requests: batch.requests.length, timeMs: batch.timeMs, synced });\n  out.ask.push({ type: 'apply', batch, certificate });",
  },
  {
    name: 'fetched block believed unseen',
    file: `${CORE}/certificate.ts`,
    find: 'if (first === undefined || commits.length < members.quorum) return false;',
    replace: 'if (first === undefined) return false;',
  },
  {
    name: 'chunk of a snapshot believed unseen',
    file: `${CORE}/transfer.ts`,
    find: 'if (digestOfText(bytes) !== manifest.chunks[index] || ',
    replace: 'if (',
  },
  {
    name: 'snapshot of the past restored',
    file: `${CORE}/transfer.ts`,
    find: 'if (header.height <= r.height || !checkpointsProve',
    replace: 'if (!checkpointsProve',
  },
  {
    name: 'change of membership one height late',
    file: `${CORE}/agree.ts`,
    find: '  const members = membersOf(head.validators);',
    replace:
      '  const late = r as unknown as { next?: ReadonlyMap<string, string> };\n  const members = membersOf(late.next ?? head.validators);\n  late.next = head.validators;',
  },
  {
    name: 'evidence not kept',
    file: `${CORE}/evidence.ts`,
    find: '  r.evidence.push(piece);',
    replace: '',
  },
  {
    name: 'evidence forgotten in a crash',
    file: `${CORE}/evidence.ts`,
    find: "  persist(out, { type: 'evidence', ...piece });",
    replace: '',
  },
  {
    name: 'evidence cut from the log',
    file: `${CORE}/log.ts`,
    find: "  for (const piece of r.evidence) records.push({ type: 'evidence', ...piece });",
    replace: '',
  },
  {
    name: 'votes kept for any height',
    file: `${CORE}/receive.ts`,
    find: '  const { height, view, digest } = vote.body;\n  if (height > r.height + HEIGHTS_AHEAD_MAX) return;\n  const inbox = inboxAt(r, height);',
    replace:
      '  const { height, view, digest } = vote.body;\n  let inbox = r.inbox.get(height);\n  if (inbox === undefined) r.inbox.set(height, (inbox = { prePrepares: new Map(), prepares: new Map(), commits: new Map() }));',
  },
  {
    name: 'every view-change kept',
    file: `${CORE}/receive.ts`,
    find: '  r.viewChanges.set(viewChange.signer, { viewChange, batch: prepared === null ? null : packet.batch });',
    replace:
      '  r.viewChanges.set(viewChange.signer, { viewChange, batch: prepared === null ? null : packet.batch });\n  r.viewChanges.set(`${viewChange.signer} ${viewChange.body.view}`, { viewChange, batch: null });',
  },
  {
    name: 'lost log noticed by nobody',
    file: `${CORE}/log.ts`,
    find: '  if (known === message.signature || forgotten) return;',
    replace: '  if (known !== message.signature || forgotten) return;',
  },
  {
    name: 'view-change never repeated',
    file: `${CORE}/timing.ts`,
    find: 'if (own !== undefined) send(out, own.viewChange, own.batch);',
    replace: '',
  },
  {
    name: 'votes kept over a change of members',
    file: `${CORE}/agree.ts`,
    find: '    r.inbox.clear(); //',
    replace: '    //',
  },
  {
    name: 'carried batch on another parent',
    file: `${CORE}/agree.ts`,
    find: 'if (vote.digest !== carried || vote.parent !== r.headHash) {',
    replace: 'if (vote.digest !== carried) {',
  },
];

/** Changes that no check can tell from the original; docs/consensus.md (10) proves it. */
export const EQUIVALENT = [
  'new view never repeated',
  'votes never repeated',
  'requests never forwarded',
  'certificate of the view to come',
  'view of a block not followed',
  'own word not first in a new view',
  'commits of strangers counted',
  'later of two votes kept',
] as const;

/** Exchanges the mutant's text when its file is loaded. Call before the first import of the product. */
export function plant(name: string): void {
  const mutant = MUTANTS.find((candidate) => candidate.name === name);
  if (mutant === undefined) throw new Error(`no mutant is called ${name}`);
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(mutant.file)) return loaded;
      const source = String(loaded.source instanceof Uint8Array ? Buffer.from(loaded.source) : loaded.source);
      if (source.split(mutant.find).length !== 2)
        throw new Error(`${mutant.name}: its text is not once in ${mutant.file}`);
      return { ...loaded, source: source.replace(mutant.find, () => mutant.replace) };
    },
  });
}

interface Hunt {
  readonly mutant: string;
  readonly seed: number | null;
  readonly how: string;
}

/** Mutants hunted at the same time. */
const HUNTERS = 2;

/** Runs every mutant over up to so many seeds; true if each was found. */
export async function huntMutants(
  seeds: number,
  only: string | undefined,
  say: (line: string) => void,
  json: boolean,
): Promise<boolean> {
  const waiting = MUTANTS.filter(({ name }) => only === undefined || name === only);
  const hunts: Hunt[] = [];
  const hunter = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const hunt = await huntOne(mutant, seeds);
      hunts.push(hunt);
      if (!json) say(`${hunt.seed === null ? 'MISSED' : `seed ${hunt.seed}`.padEnd(9)} ${hunt.mutant}: ${hunt.how}`);
    }
  };
  await Promise.all(Array.from({ length: HUNTERS }, hunter));
  const missed = hunts.filter(({ seed }) => seed === null).map(({ mutant }) => mutant);
  say(JSON.stringify({ mutants: hunts.length, found: hunts.length - missed.length, missed, equivalent: EQUIVALENT }));
  return missed.length === 0;
}

function huntOne(mutant: Mutant, seeds: number): Promise<Hunt> {
  const entry = join(import.meta.dirname, '../simulate.ts');
  const args = [entry, '--mutant', mutant.name, '--seeds', String(seeds)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (text += data.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => {
      const found = /^seed (\d+) \([^)]*\): (.*)$/m.exec(text);
      if (found === null && !text.includes('"firstBad": null')) {
        reject(new Error(`${mutant.name} could not be run:\n${text.slice(0, 2000)}`));
      } else if (found === null) resolve({ mutant: mutant.name, seed: null, how: `not found in ${seeds} seeds` });
      else resolve({ mutant: mutant.name, seed: Number(found[1]), how: (found[2] ?? '').slice(0, 140) });
    });
  });
}
