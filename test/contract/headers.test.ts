import { expect, test } from 'vitest';
import {
  addAttestation,
  agreedSequence,
  type HeaderView,
  NO_HEADERS,
  PENDING_HEIGHTS_MAX,
} from '../../src/contract/headers.ts';
import { type Header, NO_PARENT } from '../../src/protocol/header.ts';

const header = (height: number, stateHash = 'a'): Header => ({
  chain: 'c-0',
  height,
  parent: NO_PARENT,
  resultsRoot: NO_PARENT,
  stateHash: stateHash.repeat(64),
  timeMs: height * 1000,
  validatorSet: NO_PARENT,
});
const after = (...said: [string, Header][]): HeaderView =>
  said.reduce((view, [validator, attested]) => addAttestation(view, validator, attested, 3), NO_HEADERS);

test('a header is believed when three of four attest exactly it', () => {
  expect(after(['v1', header(5)], ['v2', header(5)]).verified).toBeNull();
  expect(after(['v1', header(5)], ['v1', header(5)], ['v1', header(5)]).verified).toBeNull();
  expect(after(['v1', header(5)], ['v2', header(5, 'b')], ['v3', header(5)]).verified).toBeNull();
  expect(after(['v1', header(5)], ['v2', header(5, 'b')], ['v3', header(5)], ['v4', header(5)]).verified).toEqual(
    header(5),
  );
});

test('it never goes back, and skips heights it did not hear of', () => {
  const view = after(['v1', header(9)], ['v2', header(9)], ['v3', header(9)]);
  expect(['v1', 'v2', 'v3'].reduce((v, id) => addAttestation(v, id, header(8), 3), view).verified?.height).toBe(9);
});

test('a liar that attests endless heights keeps neither memory nor the next header', () => {
  let view = NO_HEADERS;
  for (let height = 1_000; height < 1_500; height++) view = addAttestation(view, 'v4', header(height), 3);
  expect(view.pending.size).toBeLessThanOrEqual(PENDING_HEIGHTS_MAX);
  for (const id of ['v1', 'v2', 'v3']) view = addAttestation(view, id, header(1), 3);
  expect(view.verified?.height).toBe(1);
});

test.each([
  ['too few answers', { v1: 9, v2: 9 }, null],
  ['all agree', { v1: 9, v2: 9, v3: 9, v4: 9 }, 9],
  ['a liar far above', { v1: 9, v2: 9, v3: 10_000_000, v4: 8 }, 9],
  ['a liar below, one lagging', { v1: 9, v2: 0, v3: 9 }, 9],
])('last sequence: %s', (_name, answers, expected) => {
  expect(agreedSequence(new Map(Object.entries(answers)), 4, 1)).toBe(expected);
});
