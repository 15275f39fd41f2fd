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
    name: 'votes without its log',
    file: 'src/consensus/pbft/host.ts',
    find: '    replica.voting = false;',
    replace: '',
  },
];

/**
 * Mutants that nothing observable tells from the original, and why. They are repairs beside another repair: they cost time,
 * never safety, and after healing the other repair ends every wait.
 *
 * - f + 1 view-changes are not followed (`join` never fires): gateways send an unconfirmed request to all, and what is due is
 *   due to all, so every honest validator has work and its own timer; timers double alike, so that for one view a quorum waits
 *   at the same time. The view is left later, never not at all.
 * - A new view is not repeated: whoever misses it waits in `changing` until its timer sends it on, or executes a block that
 *   state transfer brings; a block decided in a view is as good as its new view (`onApplied`).
 * - Votes are not repeated: a height that lost too many of them ends in a view change, whose new view carries what was
 *   prepared; a validator that only missed the end fetches the block.
 */
export const EQUIVALENT = ['view-changes never followed', 'new view never repeated', 'votes never repeated'] as const;

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
