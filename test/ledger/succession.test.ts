// Following the validators: what is followed, and what never is.

import { beforeAll, expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { commitsAgree } from '../../src/consensus/certificates.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import type { Certified } from '../../src/ledger/certified.ts';
import {
  follow,
  genesisSets,
  type Sets,
  setAt,
  setOf,
  wantedFrom,
  withCheckpoint,
} from '../../src/ledger/succession.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { approvalBytes } from '../../src/protocol/requests.ts';
import { ChangingWorld } from './changing.ts';
import { signerOf, testGenesis } from './world.ts';

const genesis = testGenesis({ operatorThreshold: 1 });
const rules = { genesis, verify: fastVerify, agreed: commitsAgree(genesis.chain, fastVerify) };
let world: ChangingWorld;
/** v5 joins, v1 leaves, v2 gets another key. */
let changes: Certified[];
let refused: Certified;

beforeAll(() => {
  world = new ChangingWorld(genesis);
  world.idle();
  const vain = world.change('v9', 'v9', ['v1', 'operator1']);
  world.next(vain);
  changes = [world.changed('v5', 'v5'), world.changed('v1', null), world.changed('v2', 'v2-new')];
  refused = world.proofOf(vain);
});

const followed = (sets: Sets, value: unknown): Sets => {
  const next = follow(sets, value, rules);
  if ('problem' in next) throw new Error(next.problem);
  return next;
};
const ids = (sets: Sets, height: number) => setAt(sets, height)?.validators.map(({ id }) => id);

test('changes are followed one after the other; each set has its heights', () => {
  const sets = changes.reduce(followed, genesisSets(genesis));
  expect(sets.map(({ fromHeight, toHeight }) => [fromHeight, toHeight])).toEqual([
    [0, 3],
    [4, 5],
    [6, 7],
    [8, null],
  ]);
  expect([3, 4, 6].map((height) => ids(sets, height)?.join())).toEqual([
    'v1,v2,v3,v4',
    'v1,v2,v3,v4,v5',
    'v2,v3,v4,v5',
  ]);
  for (let height = 1; height <= world.ledger.head().height; height++) {
    const header = world.ledger.block(height)?.header;
    expect(header && setOf(sets, header), `block ${height}`).not.toBeNull();
  }
  // Known already: nothing new.
  expect(follow(sets, changes[1], rules)).toBe(sets);
});

const first = (change: (certified: Certified) => unknown) =>
  change(JSON.parse(JSON.stringify(changes[0])) as Certified);
/** The first change with something else in its request. */
const withBody = (change: (body: { approvals: unknown[]; change: object }) => object) =>
  first((certified) => {
    const request = certified.request as unknown as { body: { approvals: unknown[]; change: object } };
    return { ...certified, request: { ...request, body: { ...request.body, ...change(request.body) } } };
  });

test.each<[string, () => unknown, RegExp]>([
  ['one that skips the change before it', () => changes[1], /does not follow the sets/],
  ['one that the validators refused', () => refused, /no recorded change/],
  [
    'a record of another kind',
    () => world.proofOf(world.ledger.block(1)?.batch.requests[0] as Envelope),
    /no recorded change/,
  ],
  [
    'too few approvals of the set before',
    () => withBody(({ approvals }) => ({ approvals: approvals.slice(2) })),
    /no quorum of the set before/,
  ],
  [
    'no operator among those who approve',
    () => withBody(({ approvals }) => ({ approvals: approvals.slice(0, 4) })),
    /too few operators/,
  ],
  [
    'one validator that approves four times',
    () => withBody(({ approvals: [one, , , , operator] }) => ({ approvals: [one, one, one, one, operator] })),
    /no quorum of the set before/,
  ],
  [
    'another key than was approved',
    () => withBody(({ change }) => ({ change: { ...change, publicKey: genesis.operators[0]?.publicKey } })),
    /no quorum of the set before/,
  ],
  [
    'a change that was approved for another set',
    () =>
      withBody(({ change }) => {
        const other = { ...change, validatorSet: 'cd'.repeat(32) };
        const bytes = approvalBytes(genesis.chain, other);
        const approvals = ['v1', 'v2', 'v3', 'v4', 'operator1'].map((signer) => ({
          signature: toBase64url(signerOf(signer)(bytes)),
          signer,
        }));
        return { approvals, change: other };
      }),
    /not a change of the set before/,
  ],
  ['another request under the proof', () => withBody(() => ({ sequence: 77 })), /not the one of the verdict/],
  [
    'too few commits above',
    () => first((c) => ({ ...c, commits: c.commits.slice(1) })),
    /no quorum of the validators confirms/,
  ],
  ['commits of another block', () => first((c) => ({ ...c, commits: changes[1]?.commits })), /no quorum/],
  ['an altered header', () => first((c) => ({ ...c, header: { ...c.header, timeMs: 1 } })), /no quorum/],
  ['another place', () => first((c) => ({ ...c, place: { ...c.place, index: c.place.size } })), /path/],
  ['nothing', () => null, /not a change of the validators: a group of keys is wanted, not nothing \(null\)$/],
  [
    'a salt that is missing',
    () => first(({ salt: _salt, ...c }) => c as never),
    /not a change of the validators: salt: is missing \(a text\)$/,
  ],
  ['garbage', () => ({ ...changes[0], commits: [1] }), /not an envelope/],
])('never followed: %s', (_name, make, problem) => {
  const found = follow(genesisSets(genesis), make(), rules);
  expect('problem' in found ? found.problem : 'followed').toMatch(problem);
});

test('a set that was followed by one change is followed by no other', () => {
  const other = new ChangingWorld(genesis);
  other.idle();
  const fork = other.changed('v6', 'v6');
  const sets = followed(genesisSets(genesis), changes[0]);
  expect(follow(sets, fork, rules)).toEqual({ problem: 'another change followed this set' });
});

test('a checkpoint leaves a gap that changes close again', () => {
  const set = world.set();
  const jumped = withCheckpoint(genesisSets(genesis), 9, set);
  expect([ids(jumped, 2), ids(jumped, 8), ids(jumped, 9)?.length, wantedFrom(jumped)]).toEqual([
    undefined,
    undefined,
    4,
    0,
  ]);
  const closed = changes.reduce(followed, jumped);
  expect(closed).toHaveLength(4);
  expect(closed).toEqual(changes.reduce(followed, genesisSets(genesis)));
  expect(withCheckpoint(closed, 9, set)).toBe(closed);
  expect(wantedFrom(closed)).toBe(8);
});
