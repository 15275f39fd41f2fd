// What a stranger can check: the whole book from genesis, and one record with nothing but genesis at hand.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import type { Json, JsonObject } from '../../src/base/canonical.ts';
import { chainCommand } from '../../src/commands/chain.ts';
import { commitsAgree, isCertified } from '../../src/consensus/certificates.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { type Audit, audit } from '../../src/ledger/audit.ts';
import { checkProofFile, type ProofFile, proofFile } from '../../src/ledger/prove.ts';
import { validatorSetHash } from '../../src/protocol/header.ts';
import { approvalBytes, possessionBytes } from '../../src/protocol/requests.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';
import { minutesAfter, publicKeyOf, signerOf, T, testGenesis, World } from './world.ts';

const folder = mkdtempSync(join(tmpdir(), 'wattpact-chain-'));
const book = join(folder, 'book.sqlite');
const genesis = testGenesis();
const forged = 'f'.repeat(64);
let requestId = '';

beforeAll(() => {
  const store = openLedgerStore(book);
  const world = new World(genesis, store, true);
  const offer = world.offer('farm', T, [[8000, 3000]]);
  requestId = world.idOf(offer);
  world.block(minutesAfter(T, -21), world.tariff());
  world.block(
    minutesAfter(T, -20),
    offer,
    world.offer('factory', T, [], [[25_000, 2000]]),
    world.offer('flat', T, [], [[1, 9000]]),
  );
  world.block(minutesAfter(T, -5));
  world.block(minutesAfter(T, 15), world.delivery('farm', T, 2000, 0));
  world.block(minutesAfter(T, 20));
  world.block(minutesAfter(T, 21), world.offer('flat', T + 3, []));
  store.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function auditOf(path: string): Audit {
  const source = openLedgerStore(path, { readonly: true });
  try {
    return audit({ genesis, verify: fastVerify, source, isCertified: isCertified(genesis.chain, fastVerify) });
  } finally {
    source.close();
  }
}

/** A copy of the book with some SQL run on it. */
function tampered(sql: string): string {
  const path = join(folder, `tampered-${Math.abs(sql.length * 7919) + sql.charCodeAt(20)}-${Date.now()}.sqlite`);
  const original = new Database(book);
  original.pragma('wal_checkpoint(TRUNCATE)');
  writeFileSync(path, original.serialize());
  original.close();
  const db = new Database(path);
  expect(db.prepare(sql).run().changes).toBeGreaterThan(0);
  db.close();
  return path;
}

test('an honest book holds from genesis to its head', () => {
  expect(auditOf(book)).toEqual({ height: 6, records: 6, problem: null });
});

describe('a tampered book is found out, and where', () => {
  const header = (field: string, value: string) =>
    `UPDATE blocks SET header = json_set(header, '$.${field}', ${value}) WHERE height = 3`;
  test.each([
    ['parent', header('parent', `'${forged}'`), 3, 'its parent is not the block below'],
    ['state hash', header('stateHash', `'${forged}'`), 3, /^its state hash is f+, execution gives/],
    ['results root', header('resultsRoot', `'${forged}'`), 3, /^its root of the results is f+/],
    ['validator set', header('validatorSet', `'${forged}'`), 3, /^its hash of the validator set/],
    ['chain', header('chain', `'other'`), 3, /^its chain is other/],
    ['height', header('height', '4'), 3, /^its height is 4, execution gives 3/],
    ['time', header('timeMs', '5'), 3, 'its certificate does not show that the validators agreed'],
    [
      'a commit fewer',
      `UPDATE blocks SET certificate = json_remove(certificate, '$.commits[0]') WHERE height = 2`,
      2,
      /certificate/,
    ],
    [
      'a commit twice',
      `UPDATE blocks SET certificate = json_set(certificate, '$.commits[0]', json_extract(certificate, '$.commits[1]')) WHERE height = 2`,
      2,
      /certificate/,
    ],
    [
      'a prepare for a commit',
      `UPDATE blocks SET certificate = replace(certificate, 'pbft.commit', 'pbft.prepare') WHERE height = 2`,
      2,
      /certificate/,
    ],
    ['a request', `UPDATE results SET request = replace(request, '3000', '3001') WHERE height = 2`, 2, /certificate/],
    ['a request that is gone', `DELETE FROM results WHERE height = 2 AND place = 2`, 2, /certificate/],
    [
      'a verdict',
      `UPDATE results SET leaf = replace(leaf, 'refused', 'recorded') WHERE height = 2 AND place = 2`,
      2,
      'its result 2 is not the one that execution gives',
    ],
    [
      'a notice',
      `UPDATE results SET leaf = replace(leaf, '2000', '2001') WHERE height = 3 AND kind = 'notice'`,
      3,
      /^its result 1 is not/,
    ],
    [
      'a salt',
      `UPDATE results SET salt = 'AAAAAAAAAAAAAAAAAAAAAA' WHERE height = 5 AND kind = 'settlement'`,
      5,
      /^its result 0 is not/,
    ],
    [
      'a clearing',
      `UPDATE clearings SET document = replace(document, '"welfareUc":"', '"welfareUc":"1')`,
      3,
      'a clearing is not the one that execution gives',
    ],
    ['a clearing that is gone', 'DELETE FROM clearings', 3, 'it has 0 clearings, execution gives 1'],
    ['the beginning', 'DELETE FROM blocks WHERE height = 1', 1, /^the book does not begin at genesis/],
    ['a block that is gone', 'DELETE FROM blocks WHERE height = 4', 4, 'the block is not in the book'],
    [
      'an account',
      `UPDATE state SET value = '"1"' WHERE key = 'account/all/farm'`,
      6,
      'the present state in the book is not the one its blocks make',
    ],
    [
      'the head',
      `UPDATE head SET header = json_set(header, '$.stateHash', '${forged}')`,
      6,
      'the head of the book is not its last block',
    ],
  ])('%s', (_name, sql, height, what) => {
    const { problem } = auditOf(tampered(sql));
    expect(problem?.height).toBe(height);
    if (typeof what === 'string') expect(problem?.what).toBe(what);
    else expect(problem?.what).toMatch(what);
  });
});

const check = (file: unknown) =>
  checkProofFile(file as Json, { genesis, verify: fastVerify, agreed: commitsAgree(genesis.chain, fastVerify) });

describe('the proof of one record', () => {
  let proof: ProofFile;
  beforeAll(() => {
    const store = openLedgerStore(book);
    const { ledger } = new World(genesis, store);
    const found = ledger.proofOf(requestId);
    if (found === null) throw new Error('no record');
    proof = JSON.parse(JSON.stringify(proofFile(ledger, found))) as ProofFile;
    const newest = ledger.block(ledger.head().height)?.results[0]?.leaf;
    if (newest?.kind !== 'verdict') throw new Error('no verdict');
    expect(() => proofFile(ledger, ledger.proofOf(newest.request) as never)).toThrow('block 6 is the newest');
    store.close();
  });

  test('holds with nothing but genesis', () => {
    expect(check(proof)).toMatchObject({
      height: 2,
      leaf: { verdict: 'recorded', request: requestId },
      request: { signer: 'farm' },
    });
  });

  test.each<[string, (file: ProofFile) => unknown, string | RegExp]>([
    [
      'another leaf',
      (f) => ({ ...f, leaf: { ...f.leaf, reason: 'x' } }),
      'the path does not lead to the root of the results',
    ],
    ['another place', (f) => ({ ...f, place: { ...f.place, index: f.place.index + 1 } }), /path/],
    [
      'another request',
      (f) => ({ ...f, request: { ...(f.request as object), signer: 'flat' } }),
      'the request is not the one of the verdict',
    ],
    ['no request', (f) => ({ ...f, request: null }), /^a verdict comes with its request/],
    [
      'another header',
      (f) => ({ ...f, header: { ...f.header, timeMs: 1 } }),
      'no quorum of the validators confirms the block',
    ],
    ['too few commits', (f) => ({ ...f, commits: f.commits.slice(1) }), /no quorum/],
    ['one commit thrice', (f) => ({ ...f, commits: [f.commits[0], f.commits[0], f.commits[0]] }), /no quorum/],
    ['no commits', (f) => ({ ...f, commits: [] }), /no quorum/],
    ['another chain', (f) => ({ ...f, chain: 'x' }), 'it is of another chain, x, not '],
    ['an unknown engine', (f) => ({ ...f, engine: 'x' }), /no quorum/],
    ['a field too many', (f) => ({ ...f, more: 1 }), /^not a proof: unknown key "more"$/],
    [
      'a height as text',
      (f) => ({ ...f, header: { ...f.header, height: '2' } }),
      /^not a proof: header\.height: a number is wanted, not the text "2": leave the quotes out$/,
    ],
    ['a number that is none', (f) => ({ ...f, salt: 0.5 }), /not a safe integer/],
    ['garbage for commits', (f) => ({ ...f, commits: [1, {}, null] }), /not an envelope/],
    ['nothing', () => null, /^not a proof: a group of keys is wanted, not nothing \(null\)$/],
  ])('%s proves nothing', (_name, change, problem) => {
    const found = check(change(proof));
    expect('problem' in found && found.problem).toMatch(typeof problem === 'string' ? new RegExp(problem) : problem);
  });
});

test('a proof walks through changes of the validators that the set before approved, and through no others', () => {
  const world = new World(genesis, openLedgerStore(':memory:'), true);
  const change = { publicKey: publicKeyOf('v5'), validator: 'v5', validatorSet: validatorSetHash(genesis.validators) };
  const approvals = ['v1', 'v2', 'v3', 'v4', 'operator1'].map((signer) => ({
    signature: toBase64url(signerOf(signer)(approvalBytes(genesis.chain, change))),
    signer,
  }));
  const possession = toBase64url(signerOf('v5')(possessionBytes(genesis.chain, change)));
  world.block(
    minutesAfter(T, -21),
    world.sign('operator1', 'membership', { approvals, change, possession } as unknown as JsonObject),
  );
  const offer = world.offer('farm', T, [[8000, 3000]]);
  const byNewSet = ['v2', 'v3', 'v4', 'v5'];
  for (const [minute, request] of [
    [-20, offer],
    [-19, world.offer('flat', T, [])],
  ] as const) {
    const batch = { requests: [request], timeMs: minutesAfter(T, minute) };
    world.ledger.apply(batch, world.certificate(batch, byNewSet));
  }
  const file = proofFile(world.ledger, world.ledger.proofOf(world.idOf(offer)) as never);
  expect(check(file)).toMatchObject({ height: 2, leaf: { verdict: 'recorded' } });
  expect(check({ ...file, changes: [] })).toEqual({ problem: 'no quorum of the validators confirms the block' });
  expect(check({ ...file, changes: [...file.changes, ...file.changes] })).toEqual({
    problem: 'change 2 of the validators: it is not a change of the set before',
  });
  const unapproved = file.changes.map((link) => ({ ...link, approvals: link.approvals.slice(2) }));
  expect(check({ ...file, changes: unapproved })).toEqual({
    problem: 'change 1 of the validators: no quorum of the set before approved it',
  });
});

test('the commands say the same, with exit codes', async () => {
  const genesisFile = join(folder, 'genesis.json');
  writeFileSync(genesisFile, JSON.stringify(genesis));
  const proof = join(folder, 'proof.json');
  const said: string[] = [];
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said.push(String(text));
    return true;
  });
  const run = async (...args: string[]): Promise<{ text: string; code: number }> => {
    said.length = 0;
    process.exitCode = 0;
    await chainCommand().parseAsync(args, { from: 'user' });
    const code = process.exitCode;
    process.exitCode = 0;
    return { text: said.join(''), code };
  };
  try {
    const files = ['--genesis', genesisFile, '--ledger', book];
    expect((await run('verify', ...files)).text).toMatch(/^verified: 6 blocks with 6 records in/);
    const bad = tampered('DELETE FROM clearings');
    expect(await run('verify', '--genesis', genesisFile, '--ledger', bad, '--json')).toMatchObject({
      code: 1,
      text: expect.stringContaining('"verified":false'),
    });
    expect((await run('show', '3', ...files)).text).toMatch(
      /notice to farm for interval \d+: cleared, position 2000 Wh, 1 trades/,
    );
    expect((await run('prove', requestId, ...files, '--out', proof)).text).toMatch(/recorded offer of farm/);
    expect(await run('check', proof, '--genesis', genesisFile)).toMatchObject({
      code: 0,
      text: expect.stringMatching(/^true: recorded offer of farm/),
    });
    expect((await run('prove', `settlement/farm/${T}`, ...files, '--out', proof)).text).toMatch(/settlement of farm/);
    const [notice, clearing] = ['notice.json', 'clearing.json'].map((name) => join(folder, name)) as [string, string];
    await run('prove', `notice/farm/${T}`, ...files, '--out', notice);
    expect((await run('prove', `clearing/f1/${T}`, ...files, '--out', clearing)).text).toMatch(/hash [0-9a-f]{64}/);
    const beside = ['--genesis', genesisFile, '--notice', notice];
    expect(await run('check', clearing, ...beside)).toMatchObject({
      code: 0,
      text: expect.stringMatching(
        /^true: clearing of f1 for interval \d+: optimal for its 2 steps, 2000 Wh traded, hash [0-9a-f]{64}$/m,
      ),
    });
    const text = readFileSync(clearing, 'utf8');
    writeFileSync(clearing, text.replace('"fillsWh":[2000', '"fillsWh":[1999'));
    expect(await run('check', clearing, ...beside)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/^false: 1 Wh more are bought than sold/),
    });
    // Another market, cleared rightly: it is not this chain's.
    writeFileSync(clearing, text.replaceAll(`"interval":${T}`, `"interval":${T + 1}`));
    expect(await run('check', clearing, ...beside)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/not the clearing of the notice/),
    });
    writeFileSync(proof, '{}');
    expect(await run('check', proof, '--genesis', genesisFile)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/^false: not a proof/),
    });
    await expect(run('prove', 'nothing', ...files)).rejects.toThrow('no record nothing in this book');
  } finally {
    write.mockRestore();
  }
});
