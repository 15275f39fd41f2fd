// Who holds which key, followed block by block.

import { expect, test } from 'vitest';
import { keyIdOf } from '../../src/keys/files.ts';
import type { Block, PartyRecord } from '../../src/ledger/types.ts';
import { createDirectory } from '../../src/validator/directory.ts';
import { publicKeyOf } from '../ledger/world.ts';

const blockOf = (height: number, ...kinds: string[]): Block =>
  ({ batch: { requests: kinds.map((kind) => ({ kind })) }, header: { height } }) as unknown as Block;

test('a key that was revoked or replaced is unknown from its block on; blocks of gateways change nothing', () => {
  let parties: PartyRecord[] = [{ id: 'house', role: 'gateway', publicKey: publicKeyOf('house') }];
  let height = 7;
  const directory = createDirectory({ head: () => ({ height }) as never, parties: () => parties });
  const known = (name: string) => directory.partyOf(keyIdOf(publicKeyOf(name)))?.id ?? null;
  expect([known('house'), known('farm')]).toEqual(['house', null]);

  height = 8;
  expect(directory.follow(blockOf(8, 'forecast', 'offer'))).toBe(false);
  expect(known('house')).toBe('house');

  parties = [{ id: 'house', role: 'gateway', publicKey: publicKeyOf('farm') }];
  height = 9;
  expect(directory.follow(blockOf(9, 'offer', 'gateway.rekey'))).toBe(true);
  expect([known('house'), known('farm')]).toEqual([null, 'house']);
});

test('a snapshot that was taken over is seen without a block, and with the next one', () => {
  let parties: PartyRecord[] = [];
  let height = 3;
  const directory = createDirectory({ head: () => ({ height }) as never, parties: () => parties });
  parties = [{ id: 'root', role: 'utility', publicKey: publicKeyOf('root') }];
  height = 90;
  expect(directory.partyOf(keyIdOf(publicKeyOf('root')))).toEqual({ id: 'root', role: 'operator' });
  height = 200;
  parties = [];
  expect(directory.follow(blockOf(200, 'forecast'))).toBe(true);
  expect(directory.partyOf(keyIdOf(publicKeyOf('root')))).toBeNull();
});
