// Requests as files between the hands that sign them: what is wrong in one is said, and each hand's signature is the one the ledger wants.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import {
  approve,
  isMembership,
  lacksPossession,
  membershipFile,
  possess,
  type RequestFile,
  readRequestFile,
  writeRequestFile,
} from '../../src/commands/request-file.ts';
import { newKey } from '../../src/keys/files.ts';
import { minutesAfter, publicKeyOf, signerOf, T, testGenesis, World } from '../ledger/world.ts';

const genesis = testGenesis();
const dir = mkdtempSync(join(tmpdir(), 'wattpact-operator-'));
const path = join(dir, 'request.json');
afterAll(() => rmSync(dir, { recursive: true }));

const read = (value: unknown): RequestFile => {
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
  return readRequestFile(path, genesis);
};
const revoke = { body: { gateway: 'farm' }, chain: genesis.chain, kind: 'gateway.revoke' };

test.each([
  ['{"kind"', /not JSON/],
  [[], /is wanted/],
  [{ ...revoke, more: 1 }, /is wanted/],
  [{ ...revoke, kind: 'offer' }, /offer is no request of an operator.*gateway\.revoke/],
  [{ ...revoke, kind: 'toString' }, /is no request/],
  [{ ...revoke, chain: 'other' }, /is for chain other/],
  [{ ...revoke, body: { gateway: 'farm', sequence: 9 } }, null],
  [{ ...revoke, body: { gateway: 'FARM' } }, /gateway\.revoke: /],
  [{ ...revoke, body: { gateway: 'farm', why: 'x' } }, /gateway\.revoke: /],
  [{ ...revoke, kind: 'gateway.rekey', body: { gateway: 'farm', publicKey: 'x', possession: '' } }, /publicKey/],
])('a file that somebody wrote: %j', (value, problem) => {
  if (problem === null) expect(read(value).kind).toBe('gateway.revoke');
  else expect(() => read(value)).toThrow(problem);
});

test('a file that is there is not overwritten', () => {
  writeFileSync(path, 'mine');
  expect(() => writeRequestFile(path, revoke as RequestFile, true)).toThrow(/exists already/);
});

test('every hand adds what the ledger wants: it takes the change, and no other of the same set', () => {
  const world = new World(genesis);
  const key = newKey();
  let file = membershipFile(genesis.chain, genesis.validators, 'v9', key.publicKey) as RequestFile;
  expect(lacksPossession(file)).toBe(true);
  expect(() => possess(file, newKey())).toThrow(/is about the key/);
  file = possess(file, key);
  expect(lacksPossession(file)).toBe(false);
  for (const { id } of [...genesis.validators, ...genesis.operators]) {
    if (!isMembership(file)) throw new Error('it is one');
    file = approve(approve(file, id, newKey()), id, { keyId: '', publicKey: publicKeyOf(id), sign: signerOf(id) }); // the second replaces the first
  }
  const approved = read(JSON.parse(JSON.stringify(file)));
  world.block(minutesAfter(T, -21), world.sign('operator1', 'membership', approved.body as never));
  expect(world.ledger.validators().get('v9')).toBe(key.publicKey);
});
