// A lost gateway's past out of several validators' answers: complete whatever one of them does, and nothing in it that the chain did not record.

import fc from 'fast-check';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import type { Json, JsonObject } from '../../src/base/canonical.ts';
import { SILENT } from '../../src/base/log.ts';
import { commitsAgree } from '../../src/consensus/certificates.ts';
import { countHistory, type HistoryCount } from '../../src/gateway/history.ts';
import { createTrust } from '../../src/gateway/trust.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import type { Certified } from '../../src/ledger/certified.ts';
import { historyPage } from '../../src/ledger/history.ts';
import type { SignedBody } from '../../src/protocol/replies.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';
import { metered, minutesAfter, saltOf, T, testGenesis, World } from '../ledger/world.ts';

const genesis = testGenesis();
const SALT = saltOf('ask');
const KINDS = ['delivery', 'correction'] as const;
const INTERVALS = 12;
let world: World;
let count: HistoryCount;
let nowMs: number;
let warnings: string[];
/** What a validator with the whole book says. */
let whole: Answer;
/** Deliveries of the house as they are recorded, by interval. */
const DELIVERED = Array.from({ length: INTERVALS }, (_, i) => T + i);

type Answer = Omit<SignedBody<'history'>, 'records'> & { records: Certified[] };

beforeAll(() => {
  world = new World(genesis, openLedgerStore(':memory:'), true);
  const delivery = (gateway: string, i: number) =>
    world.sign(
      gateway,
      'delivery',
      metered(gateway, T + i, 100 * (i + 1), 0, { exportStartWh: 100 * i, validUntilMs: minutesAfter(T + i, 60) }),
    );
  for (let i = 0; i < INTERVALS; i++) {
    // One that is refused stands in the chain as well: it is the house's, and signed by it.
    const wrong = metered('house', T + i, 5, 900, { exportStartWh: 1, validUntilMs: minutesAfter(T + i, 60) });
    world.block(
      minutesAfter(T + i, 16),
      delivery('house', i),
      delivery('farm', i),
      world.sign('house', 'delivery', wrong),
    );
  }
  world.block(minutesAfter(T + INTERVALS, 20));
  whole = answerOf(0);
});

function answerOf(from: number): Answer {
  const { keptFrom, records, untilHeight: until } = historyPage(world.ledger, 'house', from, KINDS);
  return JSON.parse(JSON.stringify({ from, keptFrom, records, salt: SALT, until })) as Answer;
}

beforeEach(() => {
  nowMs = 0;
  warnings = [];
  const clock = { chainMs: () => minutesAfter(T, 0), monotonicMs: () => nowMs };
  const agreed = commitsAgree(genesis.chain, fastVerify);
  const store = openGatewayStore(':memory:');
  const log = { ...SILENT, warn: (_fields: object, message: string) => warnings.push(message) };
  const trust = createTrust({ genesis, store, quorumAtLeast: 0, verify: fastVerify, agreed, clock, log });
  count = countHistory({ chain: genesis.chain, gateway: 'house', trust, agreed, clock, log });
  count.expect(SALT, 0);
});

const intervalsOf = (part: ReturnType<HistoryCount['take']>) =>
  part?.deliveries.map(({ body }) => (body as JsonObject).interval);

test('two that agree are enough of four: everything, in order, and nothing refused', () => {
  expect(count.take('v1', whole)).toBeNull();
  const part = count.take('v2', whole);
  expect(intervalsOf(part)).toEqual(DELIVERED);
  expect(part?.untilHeight).toBe(world.ledger.head().height);
  expect(warnings).toEqual([]);
});

test.each<[string, (answer: Answer) => Answer]>([
  ['says that there is nothing', (a) => ({ ...a, records: [] })],
  ['says that there is nothing for ever', (a) => ({ ...a, records: [], until: 9_999 })],
  ['stops early', (a) => ({ ...a, records: a.records.slice(0, 3), until: 4 })],
  ['leaves one out', (a) => ({ ...a, records: a.records.toSpliced(5, 1) })],
  ['lags behind', (a) => ({ ...a, records: a.records.slice(0, 2), until: 3 })],
  ['does not move', (a) => ({ ...a, records: [], until: 0 })],
  ['began at a snapshot', (a) => ({ ...a, records: a.records.slice(8), keptFrom: 9 })],
  [
    'sends garbage',
    (a) => ({ ...a, records: [null, 1, {}, { ...a.records[0], leaf: null }] as unknown as Certified[] }),
  ],
])('one that %s takes nothing away', (_name, lie) => {
  const answers: [string, Answer][] = [
    ['v1', lie(whole)],
    ['v2', whole],
    ['v3', whole],
  ];
  const found: Json[] = [];
  let from = 0;
  for (const [validator, answer] of answers) {
    const part = count.take(validator, answer);
    if (part === null) continue;
    found.push(...(intervalsOf(part) as Json[]));
    from = part.untilHeight;
    break;
  }
  if (from <= (DELIVERED.length as number)) {
    // It could only make the page shorter: the rest comes with the next question.
    count.expect(saltOf('next'), from);
    for (const validator of ['v2', 'v3']) {
      const part = count.take(validator, { ...answerOf(from), salt: saltOf('next') });
      if (part !== null) found.push(...(intervalsOf(part) as Json[]));
    }
  }
  expect(found).toEqual(DELIVERED);
});

const refusedOf = () => {
  const { results } = world.ledger.block(3) ?? { results: [] };
  const leaf = results.map((result) => result.leaf).find((one) => one.kind === 'verdict' && one.verdict === 'refused');
  return world.ledger.proofOf(leaf?.kind === 'verdict' ? leaf.request : '');
};

test.each<[string, () => unknown]>([
  [
    'a delivery that was refused',
    () => {
      const found = refusedOf();
      if (found === null) throw new Error('nothing was refused');
      const { index, leaf, path, salt, size } = found.proof;
      const [like] = whole.records.filter(({ header }) => header.height === 3);
      const request = world.ledger.block(3)?.batch.requests[2];
      return { ...like, leaf, place: { index, path, size }, salt, request };
    },
  ],
  [
    'a refused one that is called recorded',
    () => {
      const [like] = whole.records.filter(({ header }) => header.height === 3);
      return { ...like, request: world.ledger.block(3)?.batch.requests[2] };
    },
  ],
  ["another site's", () => JSON.parse(JSON.stringify(historyPage(world.ledger, 'farm', 0, KINDS).records[0]))],
  [
    'one with other counters',
    () => {
      const [record] = whole.records;
      const request = record?.request as { body: JsonObject };
      return { ...record, request: { ...request, body: { ...request.body, exportEndWh: 5 } } };
    },
  ],
  ['one in a block that nobody agreed on', () => ({ ...whole.records[0], commits: [] })],
  ['one in an altered block', () => ({ ...whole.records[0], header: { ...whole.records[0]?.header, timeMs: 7 } })],
])('nothing false slips in: %s', (_name, make) => {
  count.take('v1', { ...whole, records: [make()] as Certified[] });
  expect(intervalsOf(count.take('v2', { ...whole, records: [] }))).toEqual([]);
});

test('answers to another question, and a second word of the same validator, count for nothing', () => {
  expect(count.take('v1', { ...whole, salt: saltOf('other') })).toBeNull();
  expect(count.take('v2', { ...whole, from: 1 })).toBeNull();
  expect(count.take('v3', whole)).toBeNull();
  expect(count.take('v3', whole)).toBeNull();
  expect(intervalsOf(count.take('v4', whole))).toEqual(DELIVERED);
});

test('where the beginning is kept by too few, what is proven must do after a while, and it is said', () => {
  const late = { ...whole, keptFrom: 5, records: whole.records.slice(4) };
  for (const validator of ['v1', 'v2', 'v3']) expect(count.take(validator, late)).toBeNull();
  expect(count.take('v4', whole)).toBeNull();
  nowMs = 61_000;
  count.expect(saltOf('again'), 0);
  for (const validator of ['v1', 'v4']) {
    const part = count.take(validator, { ...(validator === 'v4' ? whole : late), salt: saltOf('again') });
    if (part !== null) expect(intervalsOf(part)).toEqual(DELIVERED);
  }
  expect(warnings).toContain('too few validators keep this part of the past: it may have gaps');
});

test('whatever one validator leaves out, shortens or claims, the past that is put together is whole', () => {
  const lies = fc.record({
    kept: fc.subarray(Array.from({ length: INTERVALS }, (_, i) => i)),
    until: fc.integer({ min: 0, max: 40 }),
    keptFrom: fc.integer({ min: 0, max: 20 }),
    place: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(lies, ({ kept, until, keptFrom, place }) => {
      const found: Json[] = [];
      const head = world.ledger.head().height;
      let from = 0;
      for (let page = 0; page < 20 && from < head; page++) {
        const salt = saltOf(`page ${page}`);
        count.expect(salt, from);
        const honest = { ...answerOf(from), salt };
        const lie = { ...honest, until, keptFrom, records: kept.flatMap((i) => whole.records[i] ?? []) };
        const answers = [honest, honest, honest].toSpliced(place, 0, lie);
        for (const [i, answer] of answers.entries()) {
          const part = count.take(`v${i + 1}`, answer);
          if (part === null) continue;
          found.push(...(intervalsOf(part) as Json[]));
          from = part.untilHeight;
          break;
        }
      }
      expect(found).toEqual(DELIVERED);
    }),
    { numRuns: 60 },
  );
});

test('a long past comes in pages that leave nothing out', () => {
  const long = new World(genesis, openLedgerStore(':memory:'), true);
  for (let i = 0; i < 130; i++) {
    const body = metered('house', T + i, i + 1, 0, { exportStartWh: i, validUntilMs: minutesAfter(T + i, 60) });
    long.block(minutesAfter(T + i, 16), long.sign('house', 'delivery', body));
  }
  const intervals: Json[] = [];
  let pages = 0;
  for (let from = 0; from < long.ledger.head().height; pages++) {
    const { records, untilHeight } = historyPage(long.ledger, 'house', from, KINDS);
    intervals.push(...records.map(({ request }) => (request as { body: JsonObject }).body.interval as Json));
    expect(untilHeight).toBeGreaterThan(from);
    expect(JSON.stringify(records).length).toBeLessThan(200_000);
    from = untilHeight;
  }
  expect(intervals).toEqual(Array.from({ length: 129 }, (_, i) => T + i));
  expect(pages).toBeGreaterThan(2);
});

test('a book that goes on from a snapshot says from where it is whole, also when it has older blocks', () => {
  const first = world.ledger.block(1);
  for (const hasOlder of [false, true]) {
    const other = new World(genesis, openLedgerStore(':memory:'), true);
    if (hasOlder && first !== null) other.ledger.apply(first.batch, first.certificate);
    expect(other.ledger.keptFrom()).toBe(1);
    const whole = new World(genesis, openLedgerStore(':memory:'), true);
    for (let height = 1; height <= 5; height++) {
      const block = world.ledger.block(height);
      if (block !== null) whole.ledger.apply(block.batch, block.certificate);
    }
    const manifest = whole.ledger.snapshot();
    other.ledger.restore(
      manifest,
      manifest.chunks.map((_, i) => whole.ledger.chunk(i)),
    );
    expect(other.ledger.keptFrom()).toBe(6);
    expect(historyPage(other.ledger, 'house', 0, KINDS)).toMatchObject({ keptFrom: 6, records: [], untilHeight: 6 });
    for (let height = 6; height <= 9; height++) {
      const block = world.ledger.block(height);
      if (block !== null) other.ledger.apply(block.batch, block.certificate);
    }
    const page = historyPage(other.ledger, 'house', 0, KINDS);
    expect([page.keptFrom, page.untilHeight, page.records.map(({ header }) => header.height)]).toEqual([
      6,
      9,
      [6, 7, 8],
    ]);
  }
});
