// A gateway follows the validators: online, after an absence, and not at all without an operator when it was too long.

import { beforeEach, describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { canonicalBytes, type Json, type JsonObject } from '../../src/base/canonical.ts';
import { SILENT } from '../../src/base/log.ts';
import { commitsAgree } from '../../src/consensus/certificates.ts';
import { type Chainwatch, watchChain } from '../../src/gateway/chainwatch.ts';
import { createTrust, type Trust } from '../../src/gateway/trust.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import type { Certified } from '../../src/ledger/certified.ts';
import { type Envelope, encodeEnvelope, seal } from '../../src/protocol/envelope.ts';
import { attest, type Header, type ValidatorKey, validatorSetHash } from '../../src/protocol/header.ts';
import { leafHash, merkleRoot } from '../../src/protocol/merkle.ts';
import { encodeProof, type Leaf, leafBytes } from '../../src/protocol/replies.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { ChangingWorld } from '../ledger/changing.ts';
import { minutesAfter, saltOf, signerOf, T, testGenesis } from '../ledger/world.ts';
import { type Fed, fedMessaging } from './fixtures.ts';

const genesis = testGenesis({ operatorThreshold: 2, trustPeriodMs: 10 * 24 * 3_600_000 });
const DAY_MS = 24 * 3_600_000;
const SELF = 'house';
let world: ChangingWorld;
let store: GatewayStore;
let fed: Fed;
let trust: Trust;
let watch: Chainwatch;
let nowMs: number;
let heard: { headers: number[]; positions: number[]; sequences: number[] };

/** A world whose changes two operators approve. */
class TwoOperators extends ChangingWorld {
  override change(validator: string, keyName: string | null): Envelope {
    return super.change(validator, keyName, [...this.names.keys(), 'operator1', 'operator2']);
  }
}

function start(): void {
  fed = fedMessaging();
  const clock = { chainMs: () => nowMs, monotonicMs: () => 0 };
  const agreed = commitsAgree(genesis.chain, fastVerify);
  trust = createTrust({ genesis, store, quorumAtLeast: 0, verify: fastVerify, agreed, clock, log: SILENT });
  heard = { headers: [], positions: [], sequences: [] };
  watch = watchChain({
    genesis,
    gateway: SELF,
    trust,
    history: null,
    orderSequences: new Map(),
    verify: fastVerify,
    messaging: fed.messaging,
    clock,
    log: SILENT,
    listener: {
      onHeader: ({ height }) => heard.headers.push(height),
      onVerdict: () => undefined,
      onAbsent: () => undefined,
      onHint: () => undefined,
      onNotice: ({ positionWh }) => heard.positions.push(positionWh),
      onSettlement: () => undefined,
      onOrder: () => undefined,
      onHistory: () => undefined,
      onSequence: (sequence) => heard.sequences.push(sequence),
    },
  });
}

beforeEach(() => {
  nowMs = minutesAfter(T, -30);
  world = new TwoOperators(genesis);
  world.idle();
  store = openGatewayStore(':memory:');
  start();
});

const head = (): Header => world.ledger.head();
/** Validators of the world publish a header, each with the key it has. */
function publish(header: Header, names: ReadonlyMap<string, string> = world.names): void {
  for (const [id, name] of names) fed.feed('header', [id], encodeEnvelope(attest(header, id, signerOf(name))));
}
const tell = (change: Certified, by = 'v1'): void =>
  fed.feed('reply', [SELF, by], canonicalBytes(change as unknown as Json));
const GENESIS_NAMES = new Map(genesis.validators.map(({ id }) => [id, id]));

/** A notice to this site under a header of the world's newest set. */
function notice(
  positionWh: number,
  names: ReadonlyMap<string, string>,
  height: number,
  set: readonly ValidatorKey[],
): void {
  const leaf: Leaf = {
    bindingLine: '',
    bindingUcPerWh: 0,
    clearing: 'c'.repeat(64),
    feeder: 'f1',
    gateway: SELF,
    interval: T,
    kind: 'notice',
    nodalPriceUcPerWh: 1,
    positionWh,
    status: 'cleared',
    trades: [],
  };
  const salt = saltOf('notice');
  const resultsRoot = toHex(merkleRoot([leafHash(leafBytes(salt, leaf))]));
  const header = { ...head(), height, resultsRoot, validatorSet: validatorSetHash(set) };
  for (const [id, name] of names) {
    const attestation = attest(header, id, signerOf(name));
    fed.feed(
      'notice',
      [SELF, id],
      encodeProof({ attestation, index: 0, kind: 'proof', leaf, path: [], salt, size: 1 }),
    );
  }
}

test.each<[string, string, string | null, number]>([
  ['one joins', 'v5', 'v5', 3],
  ['one leaves', 'v1', null, 2],
  ['one gets another key', 'v2', 'v2-new', 3],
])('online: %s', (_name, validator, keyName, k) => {
  publish(head());
  expect([heard.headers, trust.setsFrom()]).toEqual([[1], 0]);
  expect(trust.isBehind()).toBe(false);
  const change = world.changed(validator, keyName);
  publish(head());
  expect([heard.headers, trust.isBehind()]).toEqual([[1], true]);
  expect(trust.setsFrom()).toBe(0);
  // By whoever speaks: it proves itself.
  tell(change, 'mallory');
  publish(head());
  expect(heard.headers).toEqual([1, 3]);
  expect([watch.quorum().k, watch.quorum().n]).toEqual([k, world.names.size]);
  publish(world.ledger.block(2)?.header as Header, GENESIS_NAMES);
  expect(trust.isBehind()).toBe(false);
});

test.each<[string, string, string | null]>([
  ['who left the validators', 'v1', null],
  ['a key that was replaced', 'v1', 'v1-new'],
])('an answer about the last sequence does not count any more: of %s', (_name, validator, keyName) => {
  const salt = saltOf('ask');
  const say = (id: string, sequence: number): void => {
    const body = { gateway: SELF, header: 'a'.repeat(64), height: 3, salt, sequence };
    const envelope = seal(genesis.chain, 'sequence', id, body, signerOf(world.names.get(id) as string));
    fed.feed('reply', [SELF, id], encodeEnvelope(envelope));
  };
  publish(head());
  watch.expectSequence(salt);
  say('v1', 9);
  say('v2', 8);
  tell(world.changed(validator, keyName));
  publish(head());
  say('v3', 8);
  expect(heard.sequences).toEqual([]);
  say('v4', 8);
  expect(heard.sequences).toEqual([8]);
});

test('after an absence over several changes they are followed one by one, also out of order with repetition, and kept', () => {
  publish(head());
  const changes = [
    world.changed('v5', 'v5'),
    world.changed('v1', null),
    world.changed('v2', 'v2-new'),
    world.changed('v6', 'v6'),
  ];
  start();
  publish(head());
  expect([heard.headers, trust.highest()?.height]).toEqual([[], 1]);
  for (const change of [...changes.toReversed(), ...changes]) tell(change);
  publish(head());
  expect(heard.headers).toEqual([head().height]);
  expect(trust.current().n).toBe(5);
  start();
  expect([trust.current().n, trust.highest()?.height]).toEqual([5, head().height]);
  world.idle();
  publish(head());
  expect(heard.headers).toEqual([head().height]);
});

test('k is counted against the set in force at the height', () => {
  publish(head());
  tell(world.changed('v5', 'v5'));
  tell(world.changed('v6', 'v6'));
  tell(world.changed('v7', 'v7'));
  const set = world.set();
  const height = head().height + 1;
  // Seven validators: k = 4. Three of them are not enough any more; those of the set before do not add to it.
  notice(100, new Map([...world.names].slice(0, 3)), height, set);
  expect(heard.positions).toEqual([]);
  notice(100, new Map([...world.names].slice(3, 4)), height, set);
  expect(heard.positions).toEqual([100]);
});

describe('never believed', () => {
  const forgeries: [string, (change: Certified) => Certified][] = [
    [
      'a change without its approvals',
      (c) => {
        const request = c.request as unknown as { body: JsonObject };
        return { ...c, request: { ...request, body: { ...request.body, approvals: [] } } };
      },
    ],
    ['a change without its certificate', (c) => ({ ...c, commits: [] })],
    ['a change of another block', (c) => ({ ...c, header: { ...c.header, height: 1 } })],
  ];
  test.each(forgeries)('%s', (_name, forge) => {
    publish(head());
    tell(forge(world.changed('v5', 'v5')));
    publish(head());
    expect(heard.headers).toEqual([1]);
  });

  test('a change that one operator of two approved', () => {
    publish(head());
    tell(new ChangingWorld(genesis).changed('v5', 'v5'));
    expect(trust.current().n).toBe(4);
  });

  test('what retired validators sign later in the name of their old set', () => {
    publish(head());
    tell(world.changed('v5', 'v5'));
    publish(head());
    const late = { ...head(), height: 1_000, validatorSet: validatorSetHash(genesis.validators) };
    publish(late, GENESIS_NAMES);
    notice(9, GENESIS_NAMES, 50, genesis.validators);
    expect([heard.headers, heard.positions]).toEqual([[1, 3], []]);
  });
});

describe('after the trust period', () => {
  const checkpoint = (operator: string, header = head(), set = world.set(), keyName = operator): Envelope => {
    const body = { header, validators: set } as unknown as JsonObject;
    return seal(genesis.chain, 'checkpoint', operator, body, signerOf(keyName));
  };
  const give = (envelope: Envelope): void => fed.feed('order', [envelope.signer], encodeEnvelope(envelope));
  let fresh: Header;

  beforeEach(() => {
    publish(head());
    nowMs += 11 * DAY_MS;
    start();
    fresh = { ...head(), height: 400, timeMs: nowMs - 60_000 };
  });

  test('nothing is believed, and what helps is said', () => {
    expect(trust.obstacle()).toMatch(
      /^block 1, the highest verified, is of .*: get a fresh checkpoint from the operator/,
    );
    publish(fresh);
    expect([heard.headers, trust.highest()?.height]).toEqual([[], 1]);
  });

  test('checkpoints of enough operators begin it anew, also with other validators', () => {
    const set = [...world.set(), { id: 'v9', publicKey: world.set()[0]?.publicKey as string }].slice(1);
    const header = { ...fresh, validatorSet: validatorSetHash(set) };
    give(checkpoint('operator1', header, set));
    give(checkpoint('operator1', header, set));
    expect(trust.obstacle()).not.toBeNull();
    trust.setsFrom();
    give(checkpoint('operator2', header, set));
    // The validators may have changed since the checkpoint: it asks at once.
    expect(trust.isBehind()).toBe(true);
    expect([trust.obstacle(), trust.highest()?.height, [...trust.current().keys.keys()]]).toEqual([
      null,
      400,
      ['v2', 'v3', 'v4', 'v9'],
    ]);
    start();
    expect([trust.obstacle(), trust.current().keys.has('v9')]).toEqual([null, true]);
  });

  test('checkpoints by a clock that is ahead count, as far as genesis lets clocks differ', () => {
    const ahead = (ms: number): void => {
      const header = { ...fresh, timeMs: nowMs + genesis.limits.clockSkewMsMax + ms };
      for (const id of ['operator1', 'operator2']) give(checkpoint(id, header));
    };
    ahead(1);
    expect(trust.obstacle()).not.toBeNull();
    ahead(0);
    expect(trust.obstacle()).toBeNull();
  });

  test.each<[string, () => Envelope[]]>([
    ['of one operator twice', () => [checkpoint('operator1', fresh), checkpoint('operator1', fresh)]],
    ['forged', () => [checkpoint('operator1', fresh), checkpoint('operator2', fresh, world.set(), 'mallory')]],
    ['of a validator', () => [checkpoint('operator1', fresh), checkpoint('v1', fresh)]],
    [
      'that say different things',
      () => [checkpoint('operator1', fresh), checkpoint('operator2', { ...fresh, height: 401 })],
    ],
    ['that are old themselves', () => ['operator1', 'operator2'].map((id) => checkpoint(id))],
    [
      'from the future',
      () => ['operator1', 'operator2'].map((id) => checkpoint(id, { ...fresh, timeMs: nowMs + DAY_MS })),
    ],
    [
      'with other validators than their header',
      () => ['operator1', 'operator2'].map((id) => checkpoint(id, fresh, world.set().slice(1))),
    ],
    ['of another chain', () => ['operator1', 'operator2'].map((id) => checkpoint(id, { ...fresh, chain: 'x' }))],
  ])('checkpoints %s do not', (_name, make) => {
    for (const envelope of make()) give(envelope);
    expect(trust.obstacle()).not.toBeNull();
  });
});

test('a gateway that is installed long after genesis wants a checkpoint too', () => {
  nowMs = genesis.clock.originMs + 11 * DAY_MS;
  start();
  expect(trust.obstacle()).toMatch(/^genesis is from /);
});
