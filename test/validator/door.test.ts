// A validator's door and voice on a real ledger: who is heard, who is answered, and with what.

import { beforeEach, describe, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { decodeEnvelope, type Envelope, encodeEnvelope, seal } from '../../src/protocol/envelope.ts';
import { checkProof, decodeProof } from '../../src/protocol/replies.ts';
import { createDoor, type Door } from '../../src/validator/door.ts';
import { createSpeaker } from '../../src/validator/speaker.ts';
import { ChangingWorld } from '../ledger/changing.ts';
import { MINUTE, publicKeyOf, saltOf, signerOf, T, T0_MS, World } from '../ledger/world.ts';

interface Said {
  readonly channel: string;
  readonly path: readonly string[];
  readonly payload: Uint8Array;
}
let world: World;
let door: Door;
let said: Said[];
let submitted: Envelope[];
let warnings: string[];
let errors: string[];
let failing: boolean;
let nowMs: number;
/** Milliseconds that a request takes, and how the next turn is begun. */
let requestMs: number;
let later: (turn: () => void) => void;

beforeEach(() => {
  world = new World();
  said = [];
  submitted = [];
  warnings = [];
  errors = [];
  failing = false;
  nowMs = 0;
  requestMs = 0;
  later = (turn) => turn();
  const clock = { chainMs: () => T0_MS, monotonicMs: () => nowMs };
  const log = {
    ...SILENT,
    warn: (_fields: object, message: string) => warnings.push(message),
    error: (_fields: object, message: string) => errors.push(message),
  };
  const messaging = {
    async publish(channel: string, path: readonly string[], payload: Uint8Array) {
      said.push({ channel, path, payload });
      return [];
    },
  };
  const key = { keyId: 'v1', publicKey: publicKeyOf('v1'), sign: signerOf('v1') };
  const speaker = createSpeaker({ id: 'v1', key, ledger: world.ledger, messaging, clock, log });
  const { ledger } = world;
  const submit = (request: Envelope): string | null => {
    nowMs += requestMs;
    if (failing) throw new Error('the disk is full');
    const refusal = ledger.check(request, T0_MS);
    if (refusal === null) submitted.push(request);
    return refusal;
  };
  door = createDoor({ ledger, speaker, verify: fastVerify, clock, log, submit, later: (turn) => later(turn) });
  ledger.onApplied((applied) => speaker.onApplied(applied));
});

const enter = (envelope: Envelope, publisher = envelope.signer, broker = 'b1'): void =>
  door.onRequest({ path: [publisher], payload: encodeEnvelope(envelope), broker });
const validators = new Map(['v1', 'v2', 'v3', 'v4'].map((id) => [id, publicKeyOf(id)]));
const proofs = () =>
  said
    .filter(({ channel }) => channel === 'reply' || channel === 'notice')
    .flatMap(({ path, payload }) => {
      try {
        const proof = decodeProof(payload);
        return [
          {
            to: path[0],
            leaf: proof.leaf,
            holds: checkProof(world.genesis.chain, proof, validators, fastVerify) !== null,
          },
        ];
      } catch {
        return [];
      }
    });
const signedBodies = (kind: string) =>
  said
    .filter(({ channel }) => channel === 'reply')
    .flatMap(({ path, payload }) => {
      if (new TextDecoder().decode(payload).startsWith('{"attestation"')) return [];
      const envelope = decodeEnvelope(payload);
      return envelope.kind === kind ? [{ to: path[0], body: envelope.body }] : [];
    });
const ask = (signer: string, about: object, sign = signerOf(signer)): Envelope => {
  const body = {
    historyFrom: null,
    intervals: [],
    requests: [],
    salt: saltOf('ask'),
    sequence: false,
    setsFrom: null,
    timeMs: T0_MS,
    ...about,
  };
  return seal(world.genesis.chain, 'ask', signer, body, sign);
};

test('a sound request is submitted; after its block its signer, and nobody else, gets a proof that holds', () => {
  const offer = world.offer('house', T, [[9000, 500]]);
  enter(offer);
  expect(submitted).toEqual([offer]);
  world.block(T0_MS, offer);
  expect(proofs()).toEqual([
    { to: 'house', leaf: expect.objectContaining({ kind: 'verdict', verdict: 'recorded' }), holds: true },
  ]);
  expect(said.filter(({ channel }) => channel === 'header').length).toBe(1);
});

test('a request that comes again after it was recorded is answered from the book, not ordered again', () => {
  const offer = world.offer('house', T, [[9000, 500]]);
  world.block(T0_MS, offer);
  said.length = 0;
  enter(offer);
  expect(submitted).toEqual([]);
  expect(proofs().map(({ to, holds }) => [to, holds])).toEqual([['house', true]]);
});

describe('when many come at once', () => {
  let turns: (() => void)[];
  beforeEach(() => {
    turns = [];
    later = (turn) => void turns.push(turn);
  });
  const next = (): void => turns.shift()?.();

  test('they are taken in turns, in their order', () => {
    requestMs = 3;
    const offers = [0, 1, 2, 3, 4].map((n) => world.offer('house', T + n, [[9000, 500]]));
    for (const offer of offers) enter(offer);
    const counts = [submitted.length];
    for (let turn = 0; turn < 3; turn++) {
      next();
      counts.push(submitted.length);
    }
    expect(counts).toEqual([1, 3, 5, 5]);
    expect(submitted).toEqual(offers);
    expect(turns).toEqual([]);
  });

  test('one that fails does not keep the others waiting', () => {
    const offers = [0, 1].map((n) => world.offer('house', T + n, [[9000, 500]]));
    failing = true;
    enter(offers[0] as Envelope);
    failing = false;
    enter(offers[1] as Envelope);
    next();
    expect(submitted).toEqual([offers[1]]);
    expect(errors).toEqual(['handling a request failed']);
  });

  test('those beyond a limit are dropped', () => {
    const come = (i: number): void =>
      door.onRequest({ path: [`gateway-${i}`], payload: new Uint8Array([0x7b]), broker: 'b1' });
    for (let i = 0; i <= 20_000; i++) come(i);
    expect(warnings).toEqual(['request dropped']); // the first, which did not wait: noise
    come(20_001);
    expect(warnings).toEqual(['request dropped', 'request dropped: too many wait']);
  });

  test('those that would take too much memory are dropped', () => {
    const large = new Uint8Array(4 * 1024 * 1024);
    for (let i = 0; i <= 16; i++) door.onOperator({ path: [`operator-${i}`], payload: large, broker: 'b1' });
    expect(warnings).toEqual(['request dropped']);
    door.onOperator({ path: ['operator'], payload: large.subarray(1), broker: 'b1' });
    expect(warnings).toEqual(['request dropped', 'request dropped: too many wait']);
  });

  test('a door that is closed forgets them and takes in no more', () => {
    const offers = [0, 1, 2].map((n) => world.offer('house', T + n, [[9000, 500]]));
    enter(offers[0] as Envelope);
    enter(offers[1] as Envelope);
    door.close();
    enter(offers[2] as Envelope);
    next();
    expect([submitted, turns]).toEqual([[offers[0]], []]);
  });

  test('the verdict on one that was ordered while it waited is told once', () => {
    enter(world.offer('house', T + 1, [[9000, 500]]));
    const offer = world.offer('house', T, [[9000, 500]]);
    enter(offer);
    world.block(T0_MS, offer);
    next();
    expect(proofs().length).toBe(1);
    next();
    enter(offer);
    expect(proofs().length).toBe(2);
  });
});

test.each<[string, () => void]>([
  ['published by somebody else than its signer', () => enter(world.offer('house', T, [[9000, 500]]), 'farm')],
  ['noise', () => door.onRequest({ path: ['house'], payload: new Uint8Array([0x7b]), broker: 'b1' })],
  [
    'longer than a gateway may send',
    () => door.onRequest({ path: ['house'], payload: new Uint8Array(17_000), broker: 'b1' }),
  ],
])('a request %s is dropped without an answer', (_name, come) => {
  come();
  expect([submitted.length, said.length, warnings.length]).toEqual([0, 0, 1]);
});

test('a request that would not be ordered is answered with a hint', () => {
  const { body, kind, signer } = world.offer('house', T, [[9000, 500]]);
  enter(seal(world.genesis.chain, kind, signer, body, signerOf('farm')));
  expect(submitted).toEqual([]);
  expect(signedBodies('hint').map(({ to }) => to)).toEqual(['house']);
});

test('an ask is answered with verdicts, absences, the last sequence and the head', () => {
  const offer = world.offer('house', T, [[9000, 500]]);
  world.block(T0_MS, offer);
  said.length = 0;
  enter(ask('house', { requests: [world.idOf(offer), 'e'.repeat(64)], sequence: true }));
  expect(proofs().map(({ leaf }) => leaf.kind)).toEqual(['verdict']);
  expect(signedBodies('absent').map(({ body }) => [body.request, body.height])).toEqual([['e'.repeat(64), 1]]);
  expect(signedBodies('sequence').map(({ body }) => body.sequence)).toEqual([offer.body.sequence]);
  expect(said.filter(({ channel }) => channel === 'header').length).toBe(1);
});

test('asks without end cost a bounded number of signatures; others are answered meanwhile, and the asker again later', () => {
  const asking = (who: string, n: number): void => {
    const requests = Array.from({ length: 200 }, (_, i) => (n * 200 + i).toString(16).padStart(64, '0'));
    enter(ask(who, { requests, timeMs: T0_MS }), who, `b${n}`);
  };
  for (let n = 0; n < 20; n++) asking('house', n);
  expect(signedBodies('absent')).toHaveLength(1_024);
  asking('farm', 20);
  expect(signedBodies('absent')).toHaveLength(1_024 + 200);
  nowMs += 1_000;
  asking('house', 21);
  expect(signedBodies('absent')).toHaveLength(1_024 + 200 + 100);
});

test("the verdict on somebody else's request is not told", () => {
  const offer = world.offer('house', T, [[9000, 500]]);
  world.block(T0_MS, offer);
  said.length = 0;
  enter(ask('farm', { requests: [world.idOf(offer)] }));
  expect(proofs()).toEqual([]);
});

test('an ask that is forged or too old is not answered', () => {
  enter(ask('house', { sequence: true }, signerOf('farm')));
  enter(ask('house', { sequence: true, timeMs: T0_MS - 61 * MINUTE }));
  expect(said).toEqual([]);
});

test('a gateway that lost its store gets its own deliveries back, as it signed them', () => {
  world.block(T0_MS, world.tariff(), world.offer('house', T, [[9000, 500]]));
  const delivery = world.delivery('house', T, 480, 0);
  world.block(T0_MS + 46 * MINUTE, delivery);
  said.length = 0;
  enter(ask('house', { historyFrom: 0, timeMs: T0_MS }));
  const [early] = signedBodies('history');
  // The newest block is certified by the next one only.
  expect(early?.body).toEqual({ from: 0, keptFrom: 1, records: [], salt: saltOf('ask'), until: 2 });
  world.block(T0_MS + 47 * MINUTE, world.offer('flat', T + 2, []));
  enter(ask('house', { historyFrom: 0, timeMs: T0_MS }));
  const history = signedBodies('history').at(-1);
  expect(history?.body).toMatchObject({ until: 3, records: [{ header: { height: 2 }, request: delivery }] });
});

test('who asks for changes of the validators gets what proves them', () => {
  const changing = new ChangingWorld();
  const change = changing.changed('v5', 'v5');
  const voice = createSpeaker({
    id: 'v1',
    key: { keyId: 'v1', publicKey: publicKeyOf('v1'), sign: signerOf('v1') },
    ledger: changing.ledger,
    messaging: {
      async publish(channel: string, path: readonly string[], payload: Uint8Array) {
        said.push({ channel, path, payload });
        return [];
      },
    },
    clock: { chainMs: () => T0_MS, monotonicMs: () => nowMs },
    log: SILENT,
  });
  voice.onAsk(ask('house', { setsFrom: 0 }));
  expect(
    said.map(({ channel, path, payload }) => [channel, path, JSON.parse(new TextDecoder().decode(payload))]),
  ).toEqual([['reply', ['house', 'v1'], change]]);
  voice.onAsk(ask('house', { setsFrom: change.header.height + 1 }));
  expect(said.length).toBe(1);
});

test('a flood by one broker is dropped there and leaves the same gateway free elsewhere', () => {
  for (let i = 0; i < 500; i++) enter(ask('house', {}), 'house', 'bad');
  expect(warnings).toContain('requests dropped: too many at once from one publisher');
  const offer = world.offer('house', T, [[9000, 500]]);
  enter(offer, 'house', 'bad');
  expect(submitted).toEqual([]);
  enter(offer, 'house', 'good');
  expect(submitted).toEqual([offer]);
  nowMs += 1_000;
  enter(offer, 'house', 'bad');
  expect(submitted.length).toBe(2);
});
