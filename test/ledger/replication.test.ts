// Same blocks in, same state out: whatever the order of arrival, over restarts, over snapshots, over failing disks.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import type { Batch } from '../../src/consensus/engine.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { createLedger } from '../../src/ledger/ledger.ts';
import type { LedgerStore } from '../../src/ledger/types.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';
import { CERTIFICATE, MINUTE, minutesAfter, T, testGenesis, World } from './world.ts';

const GENESIS = testGenesis();
const NAMES = ['house', 'farm', 'factory', 'flat'] as const;
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'wattpact-ledger-'));
  folders.push(made);
  return made;
}

/** A day's part of random requests and times as batches, executed on a world. */
const story = fc.array(
  fc.record({
    stepMs: fc.integer({ min: 1, max: 12 * MINUTE }),
    says: fc.array(
      fc.record({
        who: fc.constantFrom(...NAMES),
        what: fc.constantFrom('offer', 'delivery', 'tariff'),
        ahead: fc.integer({ min: -3, max: 4 }),
        price: fc.integer({ min: 1, max: 30_000 }),
        wh: fc.integer({ min: 0, max: 6000 }),
        sells: fc.boolean(),
      }),
      { maxLength: 6 },
    ),
  }),
  { maxLength: 14 },
);
type Story = typeof story extends fc.Arbitrary<infer Value> ? Value : never;

function play(world: World, told: Story): Batch[] {
  const batches: Batch[] = [];
  let timeMs = minutesAfter(T, -30);
  for (const { stepMs, says } of told) {
    timeMs += stepMs;
    const present = Math.floor(timeMs / (15 * MINUTE));
    const requests = says.map(({ who, what, ahead, price, wh, sells }): Envelope => {
      const interval = present + ahead;
      const validUntilMs = timeMs + MINUTE;
      if (what === 'tariff') {
        return world.sign('utility1', 'tariff', {
          buyUcPerWh: 0,
          buyWhMax: wh,
          feeder: 'f1',
          fromInterval: interval,
          sellUcPerWh: price,
          sellWhMax: 100_000,
          untilInterval: interval + 4,
          validUntilMs,
        });
      }
      if (what === 'delivery') return world.delivery(who, interval, sells ? wh : 0, sells ? 0 : wh, { validUntilMs });
      const steps = wh === 0 ? [] : [{ energyWh: wh, priceUcPerWh: price }];
      return world.sign(who, 'offer', { buy: sells ? [] : steps, interval, sell: sells ? steps : [], validUntilMs });
    });
    const dueMs = world.ledger.dueAtMs();
    if (requests.length === 0 && (dueMs === null || dueMs > timeMs)) continue;
    const batch = world.ledger.propose(requests, timeMs);
    if (world.ledger.verify(batch) !== null) continue;
    world.ledger.apply(batch, CERTIFICATE);
    batches.push(batch);
  }
  return batches;
}

const ledgerOn = (store: LedgerStore) => createLedger({ genesis: GENESIS, verify: fastVerify, store, log: SILENT });
const wire = (batch: Batch): Batch => JSON.parse(JSON.stringify(batch)) as Batch;

test('the same blocks make the same headers elsewhere; accounts always sum to zero', () => {
  fc.assert(
    fc.property(story, (told) => {
      const world = new World(GENESIS);
      const batches = play(world, told);
      const other = ledgerOn(openLedgerStore(':memory:'));
      for (const [i, batch] of batches.entries()) {
        expect(other.verify(wire(batch))).toBeNull();
        expect(other.apply(wire(batch), CERTIFICATE)).toEqual(world.ledger.block(i + 1)?.header);
        expect(other.accounts().reduce((sum, { balanceUc }) => sum + BigInt(balanceUc), 0n)).toBe(0n);
      }
      expect(other.head()).toEqual(world.ledger.head());
    }),
    { numRuns: 40 },
  );
});

test('a snapshot anywhere, restored in an empty ledger, goes on like the original', () => {
  fc.assert(
    fc.property(story, fc.nat(), (told, cut) => {
      const world = new World(GENESIS);
      const batches = play(world, told);
      if (batches.length < 2) return;
      const at = 1 + (cut % (batches.length - 1));
      const first = ledgerOn(openLedgerStore(':memory:'));
      for (const batch of batches.slice(0, at)) first.apply(batch, CERTIFICATE);
      const manifest = first.snapshot();
      const chunks = manifest.chunks.map((_, index) => first.chunk(index));
      const store = openLedgerStore(':memory:');
      const second = ledgerOn(store);
      second.restore(manifest, chunks.reverse());
      expect(second.head()).toEqual(first.head());
      expect(second.block(at)).toBeNull();
      for (const batch of batches.slice(at)) second.apply(batch, CERTIFICATE);
      expect(second.head()).toEqual(world.ledger.head());
      expect(ledgerOn(store).head()).toEqual(world.ledger.head());
    }),
    { numRuns: 25 },
  );
});

test('a snapshot that is not what its header says is refused and changes nothing', () => {
  const world = new World(GENESIS);
  world.block(minutesAfter(T, -20), world.offer('house', T, [[1, 100]]));
  const manifest = world.ledger.snapshot();
  const chunks = manifest.chunks.map((_, index) => world.ledger.chunk(index));
  const store = openLedgerStore(':memory:');
  const other = ledgerOn(store);
  const before = other.head();
  const full = chunks.find(({ bytes }) => bytes.length > 2)?.index ?? -1;
  const emptied = chunks.map((chunk) => (chunk.index === full ? { ...chunk, bytes: Buffer.from('[]') } : chunk));
  expect(() => other.restore(manifest, emptied)).toThrow(`chunk ${full} is not the one announced`);
  expect(() => other.restore(manifest, chunks.slice(1))).toThrow(/each once/);
  expect(() =>
    other.restore({ ...manifest, header: { ...manifest.header, stateHash: '0'.repeat(64) } }, chunks),
  ).toThrow(/state hash/);
  expect(() => other.restore({ ...manifest, header: { ...manifest.header, chain: 'other' } }, chunks)).toThrow(/chain/);
  expect(() => world.ledger.restore(manifest, chunks)).toThrow(/the ledger is at 1/);
  expect(other.head()).toEqual(before);
  expect(store.head()).toEqual(before);
});

test('after a restart the ledger stands where its file ended; an altered file is not believed', () => {
  const path = join(folder(), 'ledger.db');
  const store = openLedgerStore(path);
  const world = new World(GENESIS, store);
  world.block(minutesAfter(T, -20), world.offer('house', T, [[1, 100]]));
  const head = world.ledger.head();
  store.close();
  const again = openLedgerStore(path);
  const ledger = ledgerOn(again);
  expect(ledger.head()).toEqual(head);
  expect(ledger.openOffers('f1', T)).toEqual(world.ledger.openOffers('f1', T));
  again.reset(head, [...again.state()].slice(1));
  expect(() => ledgerOn(again)).toThrow(/not that of its block 1/);
  again.close();
  const strange = openLedgerStore(path);
  expect(() =>
    createLedger({ genesis: testGenesis({ name: 'other' }), verify: fastVerify, store: strange, log: SILENT }),
  ).toThrow(/holds chain/);
  strange.close();
});

test('a disk that fails leaves the ledger at the last durable block, and the block can be applied again', () => {
  const inner = openLedgerStore(':memory:');
  let fails = false;
  const store: LedgerStore = {
    ...inner,
    append: (block, changes) => {
      if (fails) throw new Error('disk full');
      inner.append(block, changes);
    },
  };
  const world = new World(GENESIS, store);
  const batch = { requests: [world.offer('house', T, [[1, 100]])], timeMs: minutesAfter(T, -20) };
  const before = world.ledger.head();
  fails = true;
  expect(() => world.ledger.apply(batch, CERTIFICATE)).toThrow('disk full');
  expect(world.ledger.head()).toEqual(before);
  expect(world.ledger.openOffers('f1', T)).toEqual([]);
  fails = false;
  world.ledger.apply(batch, CERTIFICATE);
  const clean = ledgerOn(openLedgerStore(':memory:'));
  expect(clean.apply(batch, CERTIFICATE)).toEqual(world.ledger.head());
});

test("the order of requests in a batch moves nobody's place in time: the hash decides", () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([...NAMES], { minLength: 4 }), (order) => {
      const world = new World(GENESIS);
      const offers = new Map(NAMES.map((name) => [name, world.offer(name, T, [[8000, 100]])]));
      world.block(minutesAfter(T, -20), ...order.map((name) => offers.get(name) as Envelope));
      return (
        world.ledger
          .openOffers('f1', T)
          .map(({ gateway }) => gateway)
          .join() === expectedOrder()
      );
    }),
    { numRuns: 10 },
  );
});

function expectedOrder(): string {
  const world = new World(GENESIS);
  const offers = NAMES.map((name) => world.offer(name, T, [[8000, 100]]));
  world.block(minutesAfter(T, -20), ...offers);
  return world.ledger
    .openOffers('f1', T)
    .map(({ gateway }) => gateway)
    .join();
}

test('an earlier block comes before a later one, whatever the hash says', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([...NAMES], { minLength: 4 }), (order) => {
      const world = new World(GENESIS);
      for (const [i, name] of order.entries())
        world.block(minutesAfter(T, -20) + i, world.offer(name, T, [[8000, 100]]));
      expect(world.ledger.openOffers('f1', T).map(({ gateway }) => gateway)).toEqual(order);
    }),
    { numRuns: 8 },
  );
});

test('listeners hear every block after it is durable, with proofs for those concerned', () => {
  const world = new World(GENESIS);
  const heard: string[] = [];
  const stop = world.ledger.onApplied(({ block, proofs }) => {
    expect(world.store.head()).toEqual(block.header);
    heard.push(...proofs.map(({ proof, to }) => `${block.header.height} ${proof.leaf.kind} ${to}`));
  });
  world.block(minutesAfter(T, -20), world.offer('house', T, [[1, 100]]));
  world.block(minutesAfter(T, -5));
  stop();
  world.block(minutesAfter(T, -4), world.offer('house', T + 1, [[1, 100]]));
  expect(heard).toEqual(['1 verdict house', '2 clearing null', '2 notice house']);
});

test('at most K due operations a block; the rest waits for the next', () => {
  const genesis = testGenesis({ limits: { ...GENESIS.limits, dueOperationsMax: 1 } });
  const world = new World(genesis);
  world.block(minutesAfter(T, -20), world.offer('house', T, [[1, 100]]), world.offer('house', T + 1, [[1, 100]]));
  const late = minutesAfter(T + 1, -4);
  world.block(late);
  expect(world.ledger.noticeOf('house', T)).not.toBeNull();
  expect(world.ledger.noticeOf('house', T + 1)).toBeNull();
  expect(world.ledger.dueAtMs()).toBeLessThanOrEqual(late);
  world.block(late + 1);
  expect(world.ledger.noticeOf('house', T + 1)).not.toBeNull();
});

test('what nobody can need any more is forgotten', () => {
  const lengthMs = 60 * MINUTE;
  const genesis = testGenesis({ interval: { ...GENESIS.interval, lengthMs, gateOpenMs: 2 * lengthMs } });
  const world = new World(genesis);
  const first = Math.ceil(minutesAfter(T, 0) / lengthMs);
  const quantilesWh = Array(7).fill(100);
  world.block(
    first * lengthMs - 20 * MINUTE,
    world.offer('house', first, [[1, 100]]),
    world.sign('house', 'forecast', { device: 'wind1', energyWh: 100, interval: first, quantilesWh }),
  );
  const tables = (): Set<string | undefined> => new Set([...world.store.state()].map(([key]) => key.split('/')[0]));
  expect(tables()).toContain('record');
  for (let hour = 1; hour <= 31 * 24; hour += 24) {
    const timeMs = (first + hour) * lengthMs;
    for (let round = 0; (world.ledger.dueAtMs() ?? Number.POSITIVE_INFINITY) <= timeMs && round < 100; round++) {
      world.block(timeMs + round);
    }
  }
  for (const gone of ['id', 'offer', 'record', 'position', 'market', 'delivery']) expect(tables()).not.toContain(gone);
  const settled = [...world.store.state()].filter(([key]) => key.startsWith('settled/'));
  expect(settled.length).toBeGreaterThan(29 * 24);
  expect(settled.length).toBeLessThanOrEqual(30 * 24 + 1);
});
