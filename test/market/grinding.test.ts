// Order in time among offers of one height: SHA-256(hash of the ids of all offers of the market, own id). What a sender or a
// primary can do about it.

import { expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { seededBytes, seededRandom } from '../../src/base/random.ts';
import { tiesOf } from '../../src/ledger/context.ts';

const RIVALS = 9;
const MARKETS = 800;
const TRIES = 8;
const random = seededBytes(1);
const hash = (): string => toHex(random(32));
const hashes = (n: number): string[] => Array.from({ length: n }, hash);
const order = (ids: readonly string[]): string[] => {
  const ties = tiesOf(ids);
  return [...ids].sort((a, b) => ((ties.get(a) as string) < (ties.get(b) as string) ? -1 : 1));
};
/** The sender's best of many ids against the rivals it believes in (it can make ids at will: the salt is its own). */
const ground = (rivals: readonly string[]): string =>
  hashes(TRIES).reduce((best, id) => {
    const place = (own: string): number => order([own, ...rivals]).indexOf(own);
    return place(id) < place(best) ? id : best;
  });

function shareOfFirstPlaces(market: (rivals: string[]) => { own: string; rivals: string[] }): number {
  let first = 0;
  for (let i = 0; i < MARKETS; i++) {
    const { own, rivals } = market(hashes(RIVALS));
    if (order([own, ...rivals])[0] === own) first++;
  }
  return first / MARKETS;
}

// Standard deviation of a share of 0.1 over 800 markets is 0.011.
const FAIR = 1 / (RIVALS + 1);

test('a sender that knows the newest header and even all rivals but one gains nothing by trying many ids', () => {
  const share = shareOfFirstPlaces((rivals) => ({ own: ground([...rivals.slice(1), hash()]), rivals }));
  expect(Math.abs(share - FAIR)).toBeLessThan(0.04);
});

test('nor does who knew all rivals, if one more offer comes or is replaced after his', () => {
  const share = shareOfFirstPlaces((rivals) => ({ own: ground(rivals), rivals: [...rivals.slice(1), hash()] }));
  expect(Math.abs(share - FAIR)).toBeLessThan(0.04);
});

test('the bias that is left: whoever knows every rival and signs last can try ids', () => {
  // The first place in one of 8 independent draws among 10: 1 - 0.9^8 = 0.57
  const share = shareOfFirstPlaces((rivals) => ({ own: ground(rivals), rivals }));
  expect(share).toBeGreaterThan(0.5);
  expect(share).toBeLessThan(0.64);
});

test('a primary cannot steer it by time, order or header: only the offers themselves are in the hash', () => {
  const requests = hashes(20);
  const next = seededRandom(2);
  const right = order(requests);
  for (let i = 0; i < 50; i++) expect(order([...requests].sort(() => next() - 0.5))).toEqual(right);
});
