// A request on its way: on disk before it leaves, the same bytes until it is decided, counted over a restart, told in words.

import { beforeEach, describe, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { RESEND_FIRST_MS } from '../../src/contract/life.ts';
import type { GatewayEvent } from '../../src/gateway/events.ts';
import { createRequester, type Requester } from '../../src/gateway/requester.ts';
import type { Header } from '../../src/protocol/header.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { INTERVAL } from '../vectors/examples.ts';
import { chain, proofOf, T0_MS, testKey, verdictLeaf } from './fixtures.ts';

const GATEWAY = 'gateway-farm';
const VALID_UNTIL_MS = T0_MS + 600_000;
const OFFER = {
  interval: INTERVAL,
  sell: [
    { energyWh: 300, priceUcPerWh: 9_000 },
    { energyWh: 200, priceUcPerWh: 12_000 },
  ],
  buy: [{ energyWh: 40, priceUcPerWh: 5_000 }],
};

let store: GatewayStore;
let nowMs: number;
let obstacle: string | null;
let sent: { id: string; bytes: Uint8Array; onDisk: boolean }[];
let forgotten: string[];
let asked: string[];
let events: Extract<GatewayEvent, { type: 'request' }>[];

beforeEach(() => {
  store = openGatewayStore(':memory:');
  nowMs = 0;
  obstacle = null;
  [sent, forgotten, asked, events] = [[], [], [], []];
});

function requester(): Requester {
  return createRequester({
    chain,
    gateway: GATEWAY,
    sign: testKey(GATEWAY).sign,
    store,
    messaging: {
      async send(id, _channel, _path, bytes) {
        sent.push({ id, bytes, onDisk: store.requests.get(id) !== null });
        return [];
      },
      forget: (id) => void forgotten.push(id),
    },
    clock: { chainMs: () => T0_MS + nowMs, monotonicMs: () => nowMs },
    randomBytes: (length) => new Uint8Array(length),
    quorum: () => ({ k: 3, n: 4 }),
    mayNotSign: () => obstacle,
    ask: (ids) => void asked.push(...ids),
    emit: (event) => void (event.type === 'request' && events.push(event)),
    log: SILENT,
  });
}

const offered = (by: Requester): string => by.submit('offer', INTERVAL, OFFER, VALID_UNTIL_MS);
function reply(to: Requester, validator: string, leaf: ReturnType<typeof verdictLeaf>): void {
  const proof = proofOf(validator, leaf);
  to.onVerdict(proof, proof.attestation.body as unknown as Header);
}

test('it is on disk before it leaves, and goes again byte for byte until it is decided', () => {
  const by = requester();
  const id = offered(by);
  by.tick();
  expect(sent).toMatchObject([{ id, onDisk: true }]);
  nowMs += RESEND_FIRST_MS * 2;
  by.tick();
  expect(sent).toHaveLength(2);
  expect(sent[1]?.bytes).toEqual(sent[0]?.bytes);
  for (const validator of ['v1', 'v2', 'v3']) reply(by, validator, verdictLeaf(id));
  nowMs += 60_000;
  by.tick();
  expect(sent).toHaveLength(2);
  expect(forgotten).toEqual([id]);
});

test('nothing is signed while the clock is not proven', () => {
  obstacle = 'the clock is 9 s behind';
  const by = requester();
  expect(() => offered(by)).toThrow(/not signed: the clock is 9 s behind/);
  expect([sent, store.requests.of(INTERVAL)]).toEqual([[], []]);
});

test('words that came before a restart count after it', () => {
  const before = requester();
  const id = offered(before);
  reply(before, 'v1', verdictLeaf(id));
  reply(before, 'v2', verdictLeaf(id));
  expect(before.life(id)?.phase).toBe('undecided');
  const after = requester();
  reply(after, 'v2', verdictLeaf(id));
  expect(after.life(id)?.phase).toBe('undecided');
  reply(after, 'v3', verdictLeaf(id));
  expect(after.life(id)?.phase).toBe('recorded');
  expect(requester().life(id)?.phase).toBe('recorded');
});

test('a word that comes later raises the count that is shown, and decides nothing twice', () => {
  const by = requester();
  const id = offered(by);
  for (const validator of ['v1', 'v2', 'v3', 'v4', 'v4']) reply(by, validator, verdictLeaf(id));
  expect(
    events.map(({ phase, confirmations, needed, validators }) => [phase, confirmations, needed, validators]),
  ).toEqual([
    ['undecided', 0, 3, 4],
    ['undecided', 1, 3, 4],
    ['undecided', 2, 3, 4],
    ['recorded', 3, 3, 4],
    ['recorded', 4, 3, 4],
  ]);
  expect(forgotten).toEqual([id]);
});

test('why it was refused is told; a validator’s hint is told too, and decides nothing', () => {
  const by = requester();
  const id = offered(by);
  by.onHint('v1', { reason: 'the queue is full', request: id });
  nowMs += RESEND_FIRST_MS * 2;
  by.tick();
  expect(events.at(-1)).toMatchObject({ phase: 'undecided', reason: 'v1: the queue is full' });
  for (const validator of ['v1', 'v2', 'v3']) reply(by, validator, verdictLeaf(id, 'refused', 'late'));
  expect(events.at(-1)).toMatchObject({ phase: 'refused', reason: 'late' });
});

test('a verdict on another party’s request is none', () => {
  const by = requester();
  const id = offered(by);
  const other = { ...verdictLeaf(id), signer: 'gateway-other' };
  for (const validator of ['v1', 'v2', 'v3']) reply(by, validator, other);
  expect(by.life(id)?.phase).toBe('undecided');
});

test('past its validity it is asked for; blocks without it end it', () => {
  const by = requester();
  const id = offered(by);
  nowMs = 600_001;
  by.tick();
  expect(asked).toEqual([id]);
  const absent = (validator: string, timeMs: number) =>
    by.onAbsent(validator, { request: id, timeMs } as Parameters<Requester['onAbsent']>[1]);
  for (const validator of ['v1', 'v2', 'v3']) absent(validator, VALID_UNTIL_MS - 1);
  expect(by.life(id)?.phase).toBe('undecided');
  for (const validator of ['v1', 'v2', 'v3']) absent(validator, VALID_UNTIL_MS + 1);
  expect(by.life(id)?.phase).toBe('expired');
});

describe('energy told of a request: what leaves the site is positive', () => {
  const draft = { importStartWh: 10, importEndWh: 110, exportStartWh: 5, exportEndWh: 35 };
  test.each([
    ['offer', OFFER, 460],
    ['forecast', { device: 'pv', interval: INTERVAL, energyWh: 70, quantilesWh: [] }, 70],
    ['demand', { customer: 'household', interval: INTERVAL, energyWh: 90 }, 90],
    ['delivery', draft, -70],
    ['correction', draft, -70],
  ] as const)('%s', (kind, body, expected) => {
    requester().submit(kind, INTERVAL, body as never, VALID_UNTIL_MS);
    expect(events[0]).toMatchObject({ kind, interval: INTERVAL, energyWh: expected });
  });
});
