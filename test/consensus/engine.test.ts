// The driver as `validator/` uses it: bytes, real signatures, durable logs; four validators on one bus in memory.

import { expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { SILENT } from '../../src/base/log.ts';
import type { Engine } from '../../src/consensus/engine.ts';
import type { PbftTerms } from '../../src/consensus/pbft/core/terms.ts';
import { createPbftEngine } from '../../src/consensus/pbft/driver.ts';
import type { ConsensusEvent } from '../../src/consensus/pbft/ports.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { type Envelope, messageId, seal } from '../../src/protocol/envelope.ts';
import { keyPair } from './keys.ts';
import { type ToyDisk, toyApplication, toyDisk } from './toy.ts';

const CHAIN = 'toy-0000000000000000';
const TERMS: PbftTerms = {
  batchRequestsMax: 100,
  batchBytesMax: 100_000,
  batchMs: 2,
  viewMs: 1000,
  viewMsMax: 16_000,
  resendMs: 250,
  heartbeatMs: 1000,
  forwardMs: 300,
  overtakenMax: 16,
  checkpointEvery: 8,
  snapshotGap: 1000,
  askMs: 500,
  pendingMax: 1000,
  pendingPerSignerMax: 100,
  clockSkewMsMax: 5000,
  chainRate: 1,
};

/** A house of validators whose time is driven by hand. */
function house(count: number, dueEveryMs: number | null = null) {
  let nowMs = 0;
  const timers = new Map<object, { atMs: number; callback: () => void }>();
  const bus: { from: string; bytes: Uint8Array }[] = [];
  const ids = Array.from({ length: count }, (_, i) => `validator-${i}`);
  const keys = new Map(ids.map((id, i) => [id, keyPair(i + 1)]));
  const validators = new Map(ids.map((id) => [id, toBase64url(keys.get(id)!.publicKey)]));
  const genesisMs = 1_000_000;
  const options = { chain: CHAIN, validators, genesisMs, dueEveryMs };
  const disks = new Map<string, ToyDisk>(ids.map((id) => [id, toyDisk(options)]));
  const logs = new Map<string, Uint8Array[] | null>(ids.map((id) => [id, []]));
  const listeners = new Map<string, (bytes: Uint8Array) => void>();
  const events: { id: string; event: ConsensusEvent }[] = [];
  const engines = new Map<string, Engine>();
  const requestId = (request: Envelope): string => messageId(CHAIN, request);

  function start(id: string): void {
    const key = keys.get(id)!;
    const engine = createPbftEngine({
      chain: CHAIN,
      self: id,
      publicKey: validators.get(id)!,
      application: toyApplication({ ...options, disk: disks.get(id)!, requestId }),
      sign: key.sign,
      verify: fastVerify,
      transport: {
        publish: (_channel, bytes) => bus.push({ from: id, bytes }),
        onMessage: (listener) => listeners.set(id, listener),
      },
      votes: {
        read: () => logs.get(id)!,
        append: (records) => logs.get(id)?.push(...records),
        replace: (records) => logs.set(id, [...records]),
      },
      clock: { chainMs: () => genesisMs + nowMs, monotonicMs: () => nowMs },
      timers: {
        after(delayMs, callback) {
          const token = {};
          timers.set(token, { atMs: nowMs + delayMs, callback });
          return () => timers.delete(token);
        },
      },
      terms: TERMS,
      log: SILENT,
      onEvent: (event) => events.push({ id, event }),
    });
    engines.set(id, engine);
    engine.start();
  }

  function crash(id: string): void {
    engines.get(id)?.stop();
    engines.delete(id);
    listeners.delete(id);
  }

  function deliver(): void {
    for (let message = bus.shift(); message !== undefined; message = bus.shift()) {
      for (const [id, listener] of listeners) if (id !== message.from) listener(message.bytes);
    }
  }

  /** Lets time pass until the condition holds; fails after `limitMs` of simulated time. */
  function runUntil(condition: () => boolean, limitMs = 60_000): void {
    const endMs = nowMs + limitMs;
    deliver();
    while (!condition()) {
      const [token, next] = [...timers].reduce((a, b) => (b[1].atMs < a[1].atMs ? b : a));
      if (next.atMs > endMs) throw new Error(`not within ${limitMs} ms`);
      timers.delete(token);
      nowMs = Math.max(nowMs, next.atMs);
      next.callback();
      deliver();
    }
  }

  const heights = (): number[] => [...disks.values()].map((disk) => disk.state.header.height);
  const request = (n: number, kind = 'toy', body: object = {}): Envelope =>
    seal(CHAIN, kind, 'gateway-1', { n, ...body }, keyPair(99).sign);
  return { ids, start, crash, runUntil, engines, disks, logs, events, heights, request, requestId, now: () => nowMs };
}

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
