import { expect, test } from 'vitest';
import { createClockGate } from '../../src/gateway/clockgate.ts';
import { type Header, NO_PARENT } from '../../src/protocol/header.ts';

const header = (timeMs: number): Header => ({
  chain: 'c-0',
  height: 1,
  parent: NO_PARENT,
  resultsRoot: NO_PARENT,
  stateHash: NO_PARENT,
  timeMs,
  validatorSet: NO_PARENT,
});
const clock = { chainMs: () => 100_000, monotonicMs: () => 0 };

test.each([
  ['the system says yes', 'system', null, null],
  ['the system says no', 'system', 'the clock is not synchronised', 'the clock is not synchronised'],
  ['somebody vouches', 'assumed', 'never asked', null],
] as const)('%s', (_name, trust, answer, expected) => {
  const gate = createClockGate({ trust, clock, skewMsMax: 5_000, askSystem: (done) => done(answer) });
  expect(gate.obstacle()).toBe(expected);
  gate.stop();
});

test('while the system has not answered, nothing is signed', () => {
  const gate = createClockGate({ trust: 'system', clock, skewMsMax: 5_000, askSystem: () => undefined });
  expect(gate.obstacle()).toMatch('not been checked');
  gate.stop();
});

test('a certified block in the future shows that this clock is behind; one that is not clears it', () => {
  const gate = createClockGate({ trust: 'assumed', clock, skewMsMax: 5_000, askSystem: () => undefined });
  gate.onHeader(header(105_001));
  expect(gate.obstacle()).toMatch('5 s behind');
  gate.onHeader(header(105_000));
  expect(gate.obstacle()).toBeNull();
  gate.stop();
});
