import { expect, test } from 'vitest';
import { consensusQuorum, deviceQuorum, faultsTolerated } from '../../src/protocol/quorum.ts';

test.each([
  { n: 1, f: 0, q: 1, k: 1 },
  { n: 4, f: 1, q: 3, k: 3 },
  { n: 5, f: 1, q: 4, k: 3 },
  { n: 6, f: 1, q: 4, k: 4 },
  { n: 7, f: 2, q: 5, k: 4 },
  { n: 10, f: 3, q: 7, k: 6 },
  { n: 100, f: 33, q: 67, k: 51 },
])('n = $n: f = $f, q = $q, k = $k', ({ n, f, q, k }) => {
  expect([faultsTolerated(n), consensusQuorum(n), deviceQuorum(n)]).toEqual([f, q, k]);
});

test('for every n: two quorums share an honest validator, a quorum can form without the faulty, and so for the device', () => {
  for (let n = 1; n <= 200; n++) {
    const f = faultsTolerated(n);
    expect(2 * consensusQuorum(n) - n).toBeGreaterThan(f);
    expect(consensusQuorum(n)).toBeLessThanOrEqual(n - f);
    expect(deviceQuorum(n)).toBeGreaterThan(f);
    expect(deviceQuorum(n)).toBeLessThanOrEqual(n - f);
  }
});

test('contract terms raise k up to n - f and never lower it', () => {
  expect([deviceQuorum(7, 1), deviceQuorum(7, 5), deviceQuorum(7, 7)]).toEqual([4, 5, 5]);
});
