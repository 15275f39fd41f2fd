// Certificates against a dumb oracle, and new views as a table.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { carriedBy, commitsDecide, type IsSigned, isPrepared } from '../../src/consensus/pbft/core/certificate.ts';
import { membersOf, primaryOf } from '../../src/consensus/pbft/core/members.ts';
import type { Commit, NewView, Prepared, ViewChange, Vote } from '../../src/consensus/pbft/core/messages.ts';

const HASH = { a: 'a'.repeat(64), b: 'b'.repeat(64), parent: 'c'.repeat(64) };
const isSigned: IsSigned = (message, publicKey) => message.signature === `by ${publicKey}`;
const validators = (n: number): Map<string, string> =>
  new Map(Array.from({ length: n }, (_, i) => [`v${i}`, `key ${i}`]));
const members = membersOf(validators(4));
const vote = (view: number, digest = HASH.a, height = 6): Vote => ({ digest, height, parent: HASH.parent, view });
const signed = <Kind extends string, Body>(kind: Kind, i: number, body: Body) => ({
  body,
  kind,
  signature: `by key ${i}`,
  signer: `v${i}`,
});

test('commits decide exactly when q distinct members signed the same vote (oracle: count them)', () => {
  const commit = fc.record({
    signer: fc.integer({ min: 0, max: 5 }),
    view: fc.constantFrom(0, 0, 0, 1),
    digest: fc.constantFrom(HASH.a, HASH.a, HASH.a, HASH.b),
    wrongKey: fc.constantFrom(false, false, false, false, true),
  });
  fc.assert(
    fc.property(fc.constantFrom(4, 5, 7), fc.array(commit, { maxLength: 8 }), (n, given) => {
      const commits = given.map(({ signer, view, digest, wrongKey }) => ({
        ...signed('pbft.commit', signer, vote(view, digest)),
        ...(wrongKey ? { signature: 'nobody' } : {}),
      })) as Commit[];
      const set = membersOf(validators(n));
      const decision = { digest: HASH.a, height: 6, parent: HASH.parent };
      const quorum = Math.ceil((n + Math.floor((n - 1) / 3) + 1) / 2);
      const signers = given.map(({ signer }) => signer);
      const expected =
        commits.length >= quorum &&
        given.every(
          ({ signer, digest, view, wrongKey }) =>
            signer < n && digest === HASH.a && view === given[0]?.view && !wrongKey,
        ) &&
        new Set(signers).size === signers.length;
      expect(commitsDecide(commits, decision, set, isSigned)).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

test('two quorums of any number of validators share an honest one', () => {
  for (let n = 4; n <= 128; n++) {
    const { quorum, faults } = membersOf(validators(n));
    expect(2 * quorum - n).toBeGreaterThan(faults);
    expect(quorum).toBeLessThanOrEqual(n - faults);
  }
});

function prepared(view: number, digest = HASH.a, height = 6): Prepared {
  const primary = Number(primaryOf(members, view).slice(1));
  const others = [0, 1, 2, 3].filter((i) => i !== primary).slice(0, 2);
  const body = vote(view, digest, height);
  return {
    prePrepare: signed('pbft.pre-prepare', primary, body),
    prepares: others.map((i) => signed('pbft.prepare', i, body)),
  };
}
const viewChange = (i: number, certificate: Prepared | null = null, height = 5, view = 5): ViewChange =>
  signed('pbft.view-change', i, { height, prepared: certificate, view });
const newView = (viewChanges: ViewChange[], view = 5, by = 1): NewView =>
  signed('pbft.new-view', by, { view, viewChanges });

describe('what a new view obliges to', () => {
  const forgedPrepare = prepared(3);
  forgedPrepare.prepares[1] = { ...forgedPrepare.prepares[1]!, signature: 'nobody' };
  const twice = prepared(3);
  twice.prepares[1] = twice.prepares[0]!;
  const cases: readonly [string, NewView, string | null | 'does not hold'][] = [
    ['nothing prepared: free', newView([viewChange(0), viewChange(1), viewChange(2)]), null],
    ['the prepared batch', newView([viewChange(0), viewChange(1, prepared(2)), viewChange(2)]), HASH.a],
    [
      'of two prepared batches that of the highest view, whoever comes first',
      newView([viewChange(0, prepared(3, HASH.b)), viewChange(1, prepared(2)), viewChange(2)]),
      HASH.b,
    ],
    [
      'of two prepared batches that of the highest view, whoever comes last',
      newView([viewChange(0, prepared(2)), viewChange(1), viewChange(2, prepared(4, HASH.b))]),
      HASH.b,
    ],
    [
      'what was prepared below the highest executed height is decided',
      newView([viewChange(0, prepared(2, HASH.a, 5), 4), viewChange(1), viewChange(2)]),
      null,
    ],
    ['one view-change too few', newView([viewChange(0), viewChange(1)]), 'does not hold'],
    ['one sender twice', newView([viewChange(0), viewChange(1), viewChange(1)]), 'does not hold'],
    ['a stranger', newView([viewChange(0), viewChange(1), viewChange(7)]), 'does not hold'],
    [
      'a view-change to another view',
      newView([viewChange(0), viewChange(1), viewChange(2, null, 5, 4)]),
      'does not hold',
    ],
    ['not by the primary of the view', newView([viewChange(0), viewChange(1), viewChange(2)], 5, 2), 'does not hold'],
    ['a forged prepare', newView([viewChange(0), viewChange(1, forgedPrepare), viewChange(2)]), 'does not hold'],
    ['one prepare twice', newView([viewChange(0), viewChange(1, twice), viewChange(2)]), 'does not hold'],
    ['prepared in the future', newView([viewChange(0), viewChange(1, prepared(6)), viewChange(2)]), 'does not hold'],
  ];
  for (const [name, message, expected] of cases) {
    test(name, () => {
      const carried = carriedBy(message, HASH.parent, members, isSigned);
      if (expected === 'does not hold') expect(carried).toBeNull();
      else expect(carried).toEqual({ height: 6, digest: expected });
    });
  }
});

test('a prepared certificate is the pre-prepare of the right primary and q - 1 others', () => {
  const at = { height: 6, parent: HASH.parent, belowView: 5 };
  expect(isPrepared(prepared(2), at, members, isSigned)).toBe(true);
  const own = prepared(2);
  own.prepares[1] = signed('pbft.prepare', 2, vote(2)); // the primary counts once, by its pre-prepare
  expect(isPrepared(own, at, members, isSigned)).toBe(false);
  expect(isPrepared(prepared(2), { ...at, parent: HASH.a }, members, isSigned)).toBe(false);
  expect(isPrepared(prepared(2), { ...at, belowView: 2 }, members, isSigned)).toBe(false);
});
