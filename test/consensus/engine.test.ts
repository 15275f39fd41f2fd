// The engine as `validator/` uses it.

import { expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { canonicalBytes } from '../../src/base/canonical.ts';
import { contradicts } from '../../src/consensus/certificates.ts';
import type { Application } from '../../src/consensus/engine.ts';
import { encodePacket } from '../../src/consensus/pbft/core/messages.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { type Envelope, seal } from '../../src/protocol/envelope.ts';
import { CHAIN, house, TERMS } from './house.ts';
import { keyPair } from './keys.ts';

test('four validators order a request in the five phases and agree on the state', () => {
  const { ids, start, engines, runUntil, disks, events, request, requestId } = house(4);
  for (const id of ids) start(id);
  const wanted = request(1);
  for (const engine of engines.values()) expect(engine.submit(wanted)).toBeNull();
  runUntil(() => [...disks.values()].every((disk) => disk.state.header.height === 1));
  for (const disk of disks.values()) {
    expect(disk.state.applied).toEqual([requestId(wanted)]);
    expect(disk.state.header).toEqual(disks.get(ids[0]!)!.state.header);
  }
  const phases = events.filter(({ id }) => id === ids[1]).map(({ event }) => event.type);
  const order = ['request', 'pre-prepare', 'prepare', 'commit', 'executed'].map((phase) =>
    phases.indexOf(phase as never),
  );
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(order).not.toContain(-1);
  expect(engines.get(ids[0]!)!.submit(wanted)).toBe('applied already');
});

test('a dead primary is replaced and the request ordered, within 1.5 view timers', () => {
  const { ids, start, crash, engines, runUntil, heights, request, now } = house(4);
  for (const id of ids) start(id);
  runUntil(() => now() > 100);
  crash(ids[0]!);
  const from = now();
  for (const engine of engines.values()) engine.submit(request(1));
  runUntil(() =>
    heights()
      .slice(1)
      .every((height) => height === 1),
  );
  expect(now() - from).toBeLessThan(TERMS.viewMs * 1.5);
  expect(engines.get(ids[1]!)!.status().view).toBe(1);
});

test('a primary that lets a due operation pass is replaced, also when no request waits', () => {
  const { ids, start, crash, runUntil, heights, now } = house(4, 5000);
  for (const id of ids) start(id);
  runUntil(() => heights().every((height) => height === 1));
  crash(ids[0]!);
  runUntil(() =>
    heights()
      .slice(1)
      .every((height) => height === 2),
  );
  expect(now()).toBeGreaterThan(10_000);
  expect(now()).toBeLessThan(10_000 + TERMS.viewMs * 2);
});

test('a validator that was away fetches what it missed and takes part again', () => {
  const { ids, start, crash, engines, runUntil, heights, request, events } = house(4);
  for (const id of ids) start(id);
  crash(ids[3]!);
  for (let n = 1; n <= 20; n++) {
    for (const engine of engines.values()) engine.submit(request(n));
    runUntil(() =>
      heights()
        .slice(0, 3)
        .every((height) => height === n),
    );
  }
  start(ids[3]!);
  runUntil(() => heights().every((height) => height === 20));
  expect(events.some(({ id, event }) => id === ids[3] && event.type === 'asking')).toBe(true);
  crash(ids[2]!);
  for (const engine of engines.values()) engine.submit(request(21));
  runUntil(() => heights()[3] === 21);
});

test('a validator without its vote log follows and does not vote', () => {
  const { ids, start, crash, engines, runUntil, heights, request, logs, events } = house(4);
  for (const id of ids) start(id);
  crash(ids[3]!);
  logs.set(ids[3]!, null);
  start(ids[3]!);
  for (const engine of engines.values()) engine.submit(request(1));
  runUntil(() => heights().every((height) => height === 1));
  expect(engines.get(ids[3]!)!.status()).toMatchObject({ state: 'following', height: 1 });
  const own = events.filter(({ event }) => 'from' in event && event.from === ids[3]);
  expect(own).toEqual([]);
});

test('a validator whose log and ledger were rolled back stops voting when it sees its own words again', () => {
  const { ids, start, crash, engines, runUntil, heights, request, logs, disks, genesisDisk } = house(4);
  for (const id of ids) start(id);
  for (let n = 1; n <= 5; n++) {
    for (const engine of engines.values()) engine.submit(request(n));
    runUntil(() => heights().every((height) => height === n));
  }
  crash(ids[1]!);
  logs.set(ids[1]!, []);
  disks.set(ids[1]!, genesisDisk());
  start(ids[1]!);
  runUntil(() => heights().every((height) => height === 5));
  expect(engines.get(ids[1]!)!.status().state).toBe('following');
  expect(engines.get(ids[1]!)!.status().why).toMatch(/is not in its log/);
});

test('a validator stops rather than say in one place what differs from its log', () => {
  const { ids, start, engines, runUntil, heights, request, logs } = house(4);
  const said = { type: 'base', low: 0, view: 0, votes: [['pbft.prepare/1/0', 'another signature']] };
  logs.set(ids[1]!, [canonicalBytes(said as never)]);
  for (const id of ids) start(id);
  for (const engine of engines.values()) engine.submit(request(1));
  expect(() => runUntil(() => heights()[1] === 1)).toThrow('pbft.prepare/1/0 was said before, and differently');
  expect(engines.get(ids[1]!)!.status().state).toBe('stopped');
});

test('conflicting votes are kept as evidence, across a restart, and shown', () => {
  const { ids, keys, start, crash, engines, runUntil, events, say, now } = house(4);
  for (const id of ids) start(id);
  const vote = (digest: string) => ({ digest: digest.repeat(64), height: 1, parent: 'e'.repeat(64), view: 0 });
  for (const digest of ['a', 'b']) {
    const envelope = seal(CHAIN, 'pbft.prepare', ids[2]!, vote(digest), keys.get(ids[2]!)!.sign) as never;
    say(ids[2]!, encodePacket({ batch: null, envelope }));
  }
  runUntil(() => now() > 10);
  const evidence = events.flatMap(({ event }) => (event.type === 'evidence' ? [event] : []));
  expect(evidence.length).toBeGreaterThan(0);
  expect(evidence.every(({ accused }) => accused === ids[2])).toBe(true);
  crash(ids[0]!);
  start(ids[0]!);
  const [piece, ...more] = engines.get(ids[0]!)!.status().evidence;
  expect([piece?.accused, more]).toEqual([ids[2], []]);
  // A stranger is convinced by it, with the right key and by two different words for one place.
  const convicts = contradicts(CHAIN, fastVerify);
  const { first, second } = piece as { first: Envelope; second: Envelope };
  const publicKey = toBase64url(keys.get(ids[2]!)!.publicKey);
  expect(convicts(first, second, publicKey)).toBe(true);
  expect(convicts(first, second, toBase64url(keys.get(ids[1]!)!.publicKey))).toBe(false);
  expect(convicts(first, first, publicKey)).toBe(false);
  const elsewhere = seal(CHAIN, 'pbft.prepare', ids[2]!, { ...vote('b'), height: 2 }, keys.get(ids[2]!)!.sign);
  const asCommit = seal(CHAIN, 'pbft.commit', ids[2]!, vote('b'), keys.get(ids[2]!)!.sign);
  expect([elsewhere, asCommit].map((other) => convicts(first, other, publicKey))).toEqual([false, false]);
});

test('nobody is believed on the topic of another', () => {
  const { ids, keys, start, runUntil, events, say, now } = house(4);
  for (const id of ids) start(id);
  const body = { digest: 'a'.repeat(64), height: 1, parent: 'e'.repeat(64), view: 0 };
  const envelope = seal(CHAIN, 'pbft.prepare', ids[2]!, body, keys.get(ids[2]!)!.sign) as never;
  say(ids[3]!, encodePacket({ batch: null, envelope }));
  runUntil(() => now() > 10);
  expect(events.some(({ event }) => event.type === 'message refused' && event.from === ids[3])).toBe(true);
  expect(events.some(({ event }) => event.type === 'prepare')).toBe(false);
});

test('forgeries cost the connection they come by: after some it is not listened to for a second', () => {
  const { ids, start, runUntil, events, say, now } = house(4);
  for (const id of ids) start(id);
  for (let n = 1; n <= 60; n++) {
    const body = { digest: 'a'.repeat(64), height: 1, parent: 'e'.repeat(64), view: n };
    const envelope = seal(CHAIN, 'pbft.prepare', ids[2]!, body, () => new Uint8Array(64).fill(n)) as never;
    say(ids[2]!, encodePacket({ batch: null, envelope }));
  }
  runUntil(() => now() > 10);
  const refused = events.filter(({ id, event }) => id === ids[0] && event.type === 'message refused').length;
  expect(refused).toBeGreaterThan(0);
  expect(refused).toBeLessThan(60);
});

/** Applying a request takes the first validator so long. */
const slowly =
  (msPerRequest: number, spend: (ms: number) => void) =>
  (id: string, application: Application): Application =>
    id !== 'validator-0'
      ? application
      : {
          ...application,
          apply(batch, certificate) {
            spend(msPerRequest * batch.requests.length);
            return application.apply(batch, certificate);
          },
        };

test('requests that wait because there are many are not shown around', () => {
  const slow = slowly(50, (ms) => spend(ms));
  const { ids, start, engines, runUntil, heights, request, sent, spend, now } = house(
    4,
    null,
    { batchRequestsMax: 4 },
    slow,
  );
  for (const id of ids) start(id);
  for (let n = 0; n < 80; n++) for (const engine of engines.values()) engine.submit(request(n));
  runUntil(() => heights().every((height) => height === 20));
  expect(now()).toBeGreaterThan(10 * TERMS.forwardMs);
  expect([sent('pbft.forward'), engines.get(ids[1]!)!.status().view]).toEqual([0, 0]);
});

test('a request that only a backup has is shown to the primary, which orders it', () => {
  const { ids, start, engines, runUntil, heights, request, sent, now } = house(4);
  for (const id of ids) start(id);
  engines.get(ids[2]!)!.submit(request(1));
  runUntil(() => heights().every((height) => height === 1));
  expect(now()).toBeGreaterThanOrEqual(TERMS.forwardMs);
  expect(now()).toBeLessThan(TERMS.viewMs);
  expect([sent('pbft.forward'), engines.get(ids[2]!)!.status().view]).toEqual([1, 0]);
});

test('it is shown as well when blocks of other requests come all the time', () => {
  const { ids, start, engines, runUntil, disks, request, requestId, sent, now } = house(4);
  for (const id of ids) start(id);
  engines.get(ids[2]!)!.submit(request(1));
  const isIn = (): boolean => disks.get(ids[0]!)!.state.applied.includes(requestId(request(1)));
  for (let n = 2; n < 200 && !isIn(); n++) {
    for (const engine of engines.values()) engine.submit(request(n));
    const sinceMs = now();
    runUntil(() => isIn() || now() >= sinceMs + 20);
  }
  expect(isIn()).toBe(true);
  expect(now()).toBeLessThan(3 * TERMS.forwardMs);
  expect([sent('pbft.forward'), engines.get(ids[2]!)!.status().view]).toEqual([1, 0]);
});

test('batches that take half the first timer get smaller, and grow again when blocks are quick', () => {
  let msPerRequest = 1;
  const slow = (id: string, application: Application): Application =>
    slowly(1, (ms) => spend(ms * msPerRequest))(id, application);
  const terms = { batchRequestsMax: 600, batchBytesMax: 1_000_000, pendingMax: 5000, pendingPerSignerMax: 5000 };
  const { ids, start, engines, runUntil, events, heights, request, spend } = house(4, null, terms, slow);
  for (const id of ids) start(id);
  for (let n = 0; n < 1100; n++) for (const engine of engines.values()) engine.submit(request(n));
  runUntil(() => heights().every((height) => height === 3));
  msPerRequest = 0;
  for (let n = 1100; n < 2000; n++) for (const engine of engines.values()) engine.submit(request(n));
  const sizes = () =>
    events.flatMap(({ id, event }) => (id === ids[0] && event.type === 'executed' ? [event.requests] : []));
  runUntil(() => sizes().reduce((a, b) => a + b, 0) === 2000);
  expect(sizes()).toEqual([600, 300, 200, 600, 300]);
});

test.each([
  ['of what came to all', 4, null],
  ['of what came to it alone', 1, null],
  ['of due operations', 0, 50],
])('a primary that passes over a request is replaced although it makes blocks %s', (_, hearers, dueEveryMs) => {
  const censor = (id: string, application: Application): Application =>
    id !== 'validator-0'
      ? application
      : {
          ...application,
          check: (request, timeMs) => (request.body.n === 1 ? 'censored' : application.check(request, timeMs)),
        };
  const { ids, start, engines, runUntil, disks, request, requestId, now } = house(
    4,
    dueEveryMs,
    { forwardMs: 20, overtakenMax: 4 },
    censor,
  );
  for (const id of ids) start(id);
  for (const engine of engines.values()) engine.submit(request(1));
  const isIn = (): boolean => disks.get(ids[1]!)!.state.applied.includes(requestId(request(1)));
  for (let n = 2; n < 60 && !isIn(); n++) {
    for (const id of ids.slice(0, hearers)) engines.get(id)!.submit(request(n));
    const sinceMs = now();
    runUntil(() => isIn() || now() > sinceMs + 5);
  }
  expect(isIn()).toBe(true);
  expect(engines.get(ids[1]!)!.status().view).toBeGreaterThan(0);
});

test('a lost key is replaced by an ordered request, and the new one votes', () => {
  const { ids, start, crash, engines, runUntil, heights, request, logs, events } = house(4);
  for (const id of ids) start(id);
  crash(ids[3]!);
  const fresh = keyPair(77);
  const change = request(1, 'member', { id: ids[3]!, publicKey: toBase64url(fresh.publicKey) });
  for (const engine of engines.values()) engine.submit(change);
  runUntil(() =>
    heights()
      .slice(0, 3)
      .every((height) => height === 1),
  );
  logs.set(ids[3]!, []);
  start(ids[3]!, fresh);
  expect(engines.get(ids[3]!)!.status().state).toBe('following'); // it has not seen yet that it was let in
  runUntil(() => heights().every((height) => height === 1));
  crash(ids[1]!); // now its vote is needed
  for (const engine of engines.values()) engine.submit(request(2));
  runUntil(() => heights()[3] === 2 && heights()[0] === 2);
  expect(events.some(({ event }) => event.type === 'commit' && event.from === ids[3] && event.height === 2)).toBe(true);
});

test('one validator alone orders for a bench; two or three are refused', () => {
  const alone = house(1);
  alone.start(alone.ids[0]!);
  alone.engines.get(alone.ids[0]!)!.submit(alone.request(1));
  alone.runUntil(() => alone.heights()[0] === 1);
  const three = house(3);
  expect(() => three.start(three.ids[0]!)).toThrow(/tolerate no fault/);
});
