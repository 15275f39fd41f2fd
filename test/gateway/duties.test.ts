// One duty that fails, at once or later, costs no other its turn.

import { expect, test } from 'vitest';
import { doAll } from '../../src/gateway/duties.ts';

test('what fails is told, and everything else is done in order', async () => {
  const done: string[] = [];
  const failed: string[] = [];
  const duty = (name: string) => [name, () => done.push(name)] as const;
  const throwing = [
    'throws',
    () => {
      throw new Error('no');
    },
  ] as const;
  const rejecting = ['rejects', () => Promise.reject(new Error('no'))] as const;
  const tell = (name: string): number => failed.push(name);
  expect(await doAll([duty('a'), throwing, duty('b'), rejecting, duty('c')], tell)).toBe(false);
  expect([done, failed]).toEqual([
    ['a', 'b', 'c'],
    ['throws', 'rejects'],
  ]);
  expect(await doAll([duty('d')], tell)).toBe(true);
});
