// Order in time among requests of one height: SHA-256(parent hash, request id). What a sender or a primary can do about it.

import { expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { seededBytes, seededRandom } from '../../src/base/random.ts';
import { tieOf } from '../../src/ledger/context.ts';

const RIVALS = 9;
const BLOCKS = 800;
const TRIES = 8;
const random = seededBytes(1);
const hash = (): string => toHex(random(32));
const isFirst = (parent: string, own: string, rivals: readonly string[]): boolean =>
  rivals.every((rival) => tieOf(parent, own) < tieOf(parent, rival));
/** The sender's best of many ids for a parent it believes in (it can make ids at will: the salt is its own). */
const ground = (parent: string): string =>
  Array.from({ length: TRIES }, hash).reduce((best, id) => (tieOf(parent, id) < tieOf(parent, best) ? id : best));

function shareOfFirstPlaces(own: (parent: string) => string): number {
  let first = 0;
  for (let block = 0; block < BLOCKS; block++) {
    const parent = hash();
    if (isFirst(parent, own(parent), Array.from({ length: RIVALS }, hash))) first++;
  }
  return first / BLOCKS;
}

// Standard deviation of a share of 0.1 over 800 blocks is 0.011.
const FAIR = 1 / (RIVALS + 1);

test('a sender that signs before the parent is final gains nothing by trying many ids', () => {
  expect(Math.abs(shareOfFirstPlaces(() => ground(hash())) - FAIR)).toBeLessThan(0.04);
});

test('the bias that is left: whoever knows the parent and still gets into the next block can try ids', () => {
  // 8 tries against 9 rivals: 8 / (8 + 9) = 0.47
  expect(shareOfFirstPlaces(ground)).toBeGreaterThan(0.4);
});

test('a primary cannot steer it: what it chooses (who is in, in which order, the time) is not in the hash', () => {
  const parent = hash();
  const requests = Array.from({ length: 20 }, hash);
  const next = seededRandom(2);
  const order = (batch: readonly string[]): string[] =>
    [...batch].sort((a, b) => (tieOf(parent, a) < tieOf(parent, b) ? -1 : 1));
  const right = order(requests);
  for (let i = 0; i < 50; i++) {
    const shuffled = [...requests].sort(() => next() - 0.5);
    expect(order(shuffled)).toEqual(right);
    const some = shuffled.slice(0, 10);
    expect(order(some)).toEqual(right.filter((id) => some.includes(id)));
  }
});
