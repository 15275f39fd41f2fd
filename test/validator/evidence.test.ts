// Evidence as files: written once, read back for people, judged by a stranger.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { judge } from '../../src/commands/chain-judge.ts';
import { genesisSets } from '../../src/ledger/succession.ts';
import { type Envelope, seal } from '../../src/protocol/envelope.ts';
import { keepEvidence, readEvidence } from '../../src/validator/evidence.ts';
import { signerOf, testGenesis } from '../ledger/world.ts';

const genesis = testGenesis();
const dir = mkdtempSync(join(tmpdir(), 'wattpact-evidence-'));
afterAll(() => rmSync(dir, { recursive: true }));

const commit = (digest: string, signer = 'v2'): Envelope =>
  seal(
    genesis.chain,
    'pbft.commit',
    signer,
    { digest: digest.repeat(64), height: 7, parent: 'e'.repeat(64), view: 3 },
    signerOf(signer),
  );
const file = join(dir, 'evidence', 'v2.json');
const judged = (change: object = {}): unknown => {
  const value = { ...JSON.parse(readFileSync(file, 'utf8')), ...change };
  return judge(value, genesis, genesisSets(genesis), null).holds;
};

test('is written once, shown with place and file, and convinces a stranger', () => {
  expect(readEvidence(dir)).toEqual([]);
  const piece = { accused: 'v2', first: commit('a'), second: commit('b') };
  keepEvidence(dir, genesis.chain, [piece]);
  const before = readFileSync(file, 'utf8');
  keepEvidence(dir, genesis.chain, [{ ...piece, second: commit('c') }]);
  expect(readFileSync(file, 'utf8')).toBe(before);
  expect(readEvidence(dir)).toEqual([{ accused: 'v2', what: 'two pbft.commit at height 7, view 3', file }]);
  expect(judged()).toBe(true);
});

test.each([
  ['the same words twice', { second: commit('a') }],
  ["another validator's words", { second: commit('b', 'v1') }],
  ['somebody else accused', { accused: 'v1' }],
  ['a signature that does not hold', { second: { ...commit('b'), signature: commit('c').signature } }],
  ['another chain', { chain: 'other' }],
  ['nothing signed', { first: {}, second: {} }],
])('does not convince: %s', (_what, change) => {
  expect(judged(change)).toBe(false);
});

test('a file that is no evidence is not shown', () => {
  writeFileSync(join(dir, 'evidence', 'note.json'), '{}');
  expect(readEvidence(dir).map(({ accused }) => accused)).toEqual(['v2']);
});
