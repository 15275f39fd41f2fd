// Replies that must count, and replies that must never.

import { beforeEach, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { commitsAgree } from '../../src/consensus/certificates.ts';
import { confirmations, newRequest, type RequestLife, stepLife } from '../../src/contract/life.ts';
import { type ChainListener, type Chainwatch, watchChain } from '../../src/gateway/chainwatch.ts';
import { countHistory } from '../../src/gateway/history.ts';
import { createTrust } from '../../src/gateway/trust.ts';
import { headerHash } from '../../src/protocol/header.ts';
import type { Notice } from '../../src/protocol/replies.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import {
  chain,
  type Fed,
  fedMessaging,
  GENESIS,
  proofBytes,
  proofOf,
  signedBytes,
  T0_MS,
  verdictLeaf,
  verify,
} from './fixtures.ts';

const ID = 'a'.repeat(64);
const SELF = 'gateway-farm';
const SALT = 'AAECAwQFBgcICQoLDA0ODw';
let fed: Fed;
let life: RequestLife;
let watch: Chainwatch;
let heard: {
  notices: [Notice, number][];
  sequences: number[];
  orders: number[];
  headers: number[];
};

beforeEach(() => {
  fed = fedMessaging();
  life = newRequest(ID, T0_MS);
  heard = { notices: [], sequences: [], orders: [], headers: [] };
  const listener: ChainListener = {
    onHeader: ({ height }) => heard.headers.push(height),
    onVerdict({ leaf, attestation }, header) {
      if (leaf.kind !== 'verdict' || leaf.request !== ID) return;
      const { height, timeMs } = header;
      const decision = { verdict: leaf.verdict, reason: leaf.reason, height, header: headerHash(header), timeMs };
      life = stepLife(life, { type: 'reply', validator: attestation.signer, decision }, watch.quorum().k).life;
    },
    onAbsent(validator, { timeMs }) {
      life = stepLife(life, { type: 'absent', validator, timeMs }, watch.quorum().k).life;
    },
    onHint(validator, { reason }) {
      life = stepLife(life, { type: 'hint', validator, reason }, watch.quorum().k).life;
    },
    onNotice: (notice, k) => heard.notices.push([notice, k]),
    onSettlement: () => undefined,
    onOrder: ({ sequence }) => heard.orders.push(sequence),
    onHistory: () => undefined,
    onSequence: (sequence) => heard.sequences.push(sequence),
  };
  const clock = { chainMs: () => T0_MS, monotonicMs: () => 0 };
  const store = openGatewayStore(':memory:');
  const agreed = commitsAgree(chain, verify);
  const trust = createTrust({ genesis: GENESIS, store, quorumAtLeast: 0, verify, agreed, clock, log: SILENT });
  const history = countHistory({ chain, gateway: SELF, trust, agreed, clock, log: SILENT });
  watch = watchChain({
    genesis: GENESIS,
    gateway: SELF,
    trust,
    history,
    orderSequences: new Map(),
    verify,
    messaging: fed.messaging,
    clock,
    log: SILENT,
    listener,
  });
});

const reply = (payload: Uint8Array, validator: string): void => fed.feed('reply', [SELF, validator], payload);
const [v1, v2, v3, v4] = ['validator-1', 'validator-2', 'validator-3', 'validator-4'] as const;

test('three genuine replies of three validators record the request', () => {
  for (const v of [v1, v2, v3]) reply(proofBytes(v, verdictLeaf(ID)), v);
  expect([life.phase, confirmations(life)]).toEqual(['recorded', 3]);
  expect(heard.headers).toEqual([7]);
});

const never: [string, (() => void)[]][] = [
  ['three replies of one of them', [1, 2, 3].map(() => () => reply(proofBytes(v1, verdictLeaf(ID)), v1))],
  ['a duplicate of the second, byte for byte', [() => reply(proofBytes(v2, verdictLeaf(ID)), v2)]],
  ['a reply for another request', [() => reply(proofBytes(v3, verdictLeaf('b'.repeat(64))), v3)]],
  [
    'a reply under another header (another digest)',
    [() => reply(proofBytes(v3, verdictLeaf(ID), { stateHash: 'cd'.repeat(32) }), v3)],
  ],
  ['a reply at another height', [() => reply(proofBytes(v3, verdictLeaf(ID), { height: 8 }), v3)]],
  ['a refusal among records', [() => reply(proofBytes(v3, verdictLeaf(ID, 'refused', 'late')), v3)]],
  ['a forged reply: attested with another key', [() => reply(proofBytes(v3, verdictLeaf(ID), {}, 'mallory'), v3)]],
  ['a forged reply: the key of another validator', [() => reply(proofBytes(v3, verdictLeaf(ID), {}, v1), v3)]],
  [
    'a forged reply: the leaf changed after the proof was made',
    [
      () => {
        const proof = proofOf(v3, verdictLeaf('b'.repeat(64)));
        reply(new TextEncoder().encode(JSON.stringify(proof).replace('b'.repeat(64), ID)), v3);
      },
    ],
  ],
  ['a reply of somebody who is no validator', [() => reply(proofBytes('mallory', verdictLeaf(ID)), 'mallory')]],
  ["a reply published under another validator's topic", [() => reply(proofBytes(v1, verdictLeaf(ID)), v3)]],
  ['a reply of another chain', [() => reply(proofBytes(v3, verdictLeaf(ID), { chain: `${chain.slice(0, -1)}0` }), v3)]],
  [
    'a reply under a set of validators that it does not know',
    [() => reply(proofBytes(v3, verdictLeaf(ID), { validatorSet: 'cd'.repeat(32) }), v3)],
  ],
  [
    'hints',
    [1, 2, 3].map(
      (i) => () => reply(signedBytes('hint', `validator-${i}`, { reason: 'no', request: ID }), `validator-${i}`),
    ),
  ],
  [
    'noise',
    [() => reply(new Uint8Array([1, 2, 3]), v3), () => reply(new TextEncoder().encode('{"attestation":1}'), v3)],
  ],
  [
    'a claim of absence before the request has expired',
    [() => reply(signedBytes('absent', v3, { header: 'a'.repeat(64), height: 9, request: ID, timeMs: T0_MS }), v3)],
  ],
];
test.each(never)('two genuine replies and %s are not enough', (_name, feeds) => {
  for (const v of [v1, v2]) reply(proofBytes(v, verdictLeaf(ID)), v);
  for (const feed of feeds) feed();
  expect(life.phase).toBe('undecided');
  reply(proofBytes(v4, verdictLeaf(ID)), v4);
  expect(life.phase).toBe('recorded');
});

const notice = (gateway: string, positionWh: number, interval = 5): Notice => ({
  clearing: 'c'.repeat(64),
  bindingLine: '',
  bindingUcPerWh: 0,
  feeder: 'feeder-1',
  gateway,
  interval,
  kind: 'notice',
  nodalPriceUcPerWh: 9000,
  positionWh,
  status: 'cleared',
  trades: [],
});

test('a notice counts when three validators prove exactly the same, once, and only for this site', () => {
  const say = (v: string, gateway: string, positionWh: number): void =>
    fed.feed('notice', [gateway, v], proofBytes(v, notice(gateway, positionWh)));
  for (const v of [v1, v2, v3, v4]) say(v, 'gateway-flat', 1);
  say(v1, SELF, 100);
  say(v1, SELF, 100);
  say(v2, SELF, 999);
  say(v3, SELF, 100);
  expect(heard.notices).toEqual([]);
  say(v4, SELF, 100);
  say(v4, SELF, 100);
  expect(heard.notices.map(([{ positionWh }, k]) => [positionWh, k])).toEqual([[100, 3]]);
});

test.each([
  ['heard of again and again stays counted', [0, 100, 200], [100]],
  ['not heard of any more is forgotten, and needs three again', [0], []],
])('while one validator floods with notices of other intervals, one %s', (_name, repeated, expected) => {
  const say = (v: string, interval: number): void =>
    fed.feed('notice', [SELF, v], proofBytes(v, notice(SELF, 100, interval)));
  say(v1, 5);
  for (let i = 0; i < 300; i++) {
    if (repeated.includes(i)) say(v2, 5);
    say(v4, 1_000 + i);
  }
  say(v3, 5);
  expect(heard.notices.map(([{ positionWh }]) => positionWh)).toEqual(expected);
});

test('the last sequence needs n - f signed answers to this very ask, and one liar cannot raise it', () => {
  const say = (v: string, sequence: number, salt = SALT, keyOf = v): void =>
    reply(signedBytes('sequence', v, { gateway: SELF, header: 'a'.repeat(64), height: 3, salt, sequence }, keyOf), v);
  say(v1, 7);
  watch.expectSequence(SALT);
  say(v1, 9_000_000);
  say(v3, 8, 'BBECAwQFBgcICQoLDA0ODw');
  say(v2, 8, SALT, 'mallory');
  say(v2, 8);
  expect(heard.sequences).toEqual([]);
  say(v3, 7);
  expect(heard.sequences).toEqual([8]);
  // The slowest answer is no second one.
  say(v4, 9);
  expect(heard.sequences).toEqual([8]);
});

test('an order must be signed by an operator and newer than every order before', () => {
  const order = (sequence: number, signer = 'operator-1', keyOf = signer): void =>
    fed.feed(
      'order',
      [signer],
      signedBytes(
        'order',
        signer,
        { exportLimitW: 0, fromMs: 0, gateway: SELF, importLimitW: null, sequence, untilMs: T0_MS },
        keyOf,
      ),
    );
  order(5);
  order(5);
  order(4);
  order(9, 'operator-1', 'mallory');
  order(9, v1);
  order(6);
  expect(heard.orders).toEqual([5, 6]);
});

test('answers that are slower than asking again still count: the same salt goes on', () => {
  const say = (v: string): void =>
    reply(signedBytes('sequence', v, { gateway: SELF, header: 'a'.repeat(64), height: 3, salt: SALT, sequence: 8 }), v);
  for (const v of [v1, v2, v3]) {
    watch.expectSequence(SALT);
    say(v);
  }
  expect(heard.sequences).toEqual([8]);
});
