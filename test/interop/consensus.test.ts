// Consensus under faults of the real world: validators as processes over real brokers, killed, frozen and cut off while gateways
// go on asking; then the ledgers' files are compared. WATTPACT_FAULT_SEED chooses another schedule.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditProblem, type Book, problemsOf, readBook, readVotes } from './consensus/books.ts';
import { Cluster, VALIDATORS } from './consensus/cluster.ts';
import { type Counted, Gateways } from './consensus/gateways.ts';
import { describeFault, scheduleOf } from './consensus/schedule.ts';

const SEED = Number(process.env.WATTPACT_FAULT_SEED ?? 1);
const FAULTS_MS = 120_000;
/** After the last fault: brokers are found again with a delay that doubles, and views with timers that do. */
const HEALED_MS_MAX = 60_000;
const GATEWAYS = ['gateway-0', 'gateway-1', 'gateway-2', 'gateway-3'];

const pass = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function until(what: string, ms: number, isTrue: () => boolean): Promise<void> {
  const endMs = performance.now() + ms;
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`${what}: not within ${ms} ms`);
    await pass(50);
  }
}

const booksOf = (cluster: Cluster): Book[] => VALIDATORS.map((id) => readBook(id, cluster.dirOf(id), cluster.genesis));

describe(`two minutes of faults, seed ${SEED}`, () => {
  let cluster: Cluster;
  let books: Book[];
  let counted: Counted[];
  let gateways: Gateways;

  beforeAll(
    async () => {
      cluster = await Cluster.start({ gateways: GATEWAYS, embedding: ['validator-0', 'validator-1'], mosquitto: true });
      gateways = new Gateways(cluster, GATEWAYS);
      await gateways.connected();
      gateways.begin();
      const schedule = scheduleOf(SEED, FAULTS_MS, VALIDATORS, cluster.brokers);
      console.log([`schedule of seed ${SEED}:`, ...schedule.map(describeFault)].join('\n'));
      const startMs = performance.now();
      const ends: Promise<void>[] = [];
      for (const { atMs, lastsMs, fault } of schedule) {
        await pass(Math.max(0, startMs + atMs - performance.now()));
        const end = cluster.begin(fault);
        ends.push(pass(lastsMs).then(end));
      }
      await pass(Math.max(0, startMs + FAULTS_MS - performance.now()));
      await Promise.all(ends);
      gateways.pause();
      await cluster.heal();
      const healedMs = performance.now();
      await until('every request is confirmed', HEALED_MS_MAX, () => gateways.open === 0);
      const confirmedMs = performance.now() - healedMs;
      await gateways.stop();
      await cluster.level(HEALED_MS_MAX);
      await cluster.end();
      books = booksOf(cluster);
      counted = [...gateways.counted.values()];
      const longest = books.map(({ blocks }) => blocks).sort((a, b) => b.length - a.length)[0] ?? [];
      const views = new Set(longest.map(({ view }) => view)).size;
      const due = longest.reduce((sum, { dueResults }) => sum + dueResults, 0);
      console.log(
        `${schedule.length} faults; ${longest.length} blocks in ${views} views, ${counted.length} requests counted, ${due} results of clearings and settlements; all confirmed ${Math.round(confirmedMs)} ms after healing`,
      );
    },
    FAULTS_MS + 3 * HEALED_MS_MAX,
  );
  afterAll(() => cluster?.stop());

  test('something happened: views changed, requests were counted, markets cleared', () => {
    const blocks = books[0]?.blocks ?? [];
    expect(new Set(blocks.map(({ view }) => view)).size).toBeGreaterThan(3);
    expect(counted.length).toBeGreaterThan(200);
    expect(blocks.some(({ dueResults }) => dueResults > 0)).toBe(true);
  });

  test('one block and one state a height, no request twice, nothing that was counted is lost', () => {
    expect(problemsOf(books, counted)).toEqual([]);
    expect(gateways.faults).toEqual([]);
  });

  test.each(VALIDATORS)('the ledger of %s holds when it is executed again from genesis', (id) => {
    expect(auditProblem(cluster.dirOf(id), cluster.genesis)).toBeNull();
  });

  test('nobody is accused, nobody lost its vote, nobody ended by itself', () => {
    for (const { id, publicKey } of cluster.genesis.validators) {
      expect(readVotes(cluster.dirOf(id), publicKey), id).toEqual({ accused: [], lost: null });
    }
    expect(cluster.falls).toEqual([]);
  });

  test('the check sees a ledger that differs', () => {
    const doctored = (change: (blocks: Book['blocks'][number][]) => void): Book[] =>
      books.map((book, i) => {
        const blocks = book.blocks.map((block) => ({ ...block }));
        if (i === 2) change(blocks);
        return { ...book, blocks };
      });
    const place = (books[2]?.blocks ?? []).findIndex(({ verdicts }) => verdicts.length > 0);
    const [some] = books[2]?.blocks[place]?.verdicts ?? [];
    const replace = (blocks: Book['blocks'][number][], fields: Partial<Book['blocks'][number]>): void => {
      blocks[place] = { ...(blocks[place] as Book['blocks'][number]), ...fields };
    };
    const seen = (change: Parameters<typeof doctored>[0]): string => problemsOf(doctored(change), counted).join('\n');
    expect(seen((blocks) => replace(blocks, { header: 'ff' }))).toMatch(/different blocks/);
    expect(seen((blocks) => replace(blocks, { stateHash: 'ff' }))).toMatch(/different states/);
    expect(seen((blocks) => replace(blocks, { verdicts: [] }))).toMatch(/does not have/);
    expect(seen((blocks) => blocks.push({ ...(blocks[place] as Book['blocks'][number]) }))).toMatch(/twice/);
    expect(seen((blocks) => replace(blocks, { verdicts: [[some?.[0] ?? '', 'refused']] }))).toMatch(/counted was/);
  });
});

test('the same check finds a quorum that is too small', { timeout: 120_000 }, async () => {
  const cluster = await Cluster.start({
    gateways: GATEWAYS,
    embedding: ['validator-0', 'validator-2'],
    mosquitto: false,
    planted: 'quorum one too small',
  });
  const gateways = new Gateways(cluster, GATEWAYS);
  try {
    await gateways.connected();
    cluster.split(['validator-0', 'validator-1', 'gateway-0', 'gateway-1']);
    gateways.begin();
    await until('both halves decide alone', 60_000, () => {
      const heights = booksOf(cluster).map(({ blocks }) => blocks.length);
      return Math.min(...heights) > 0;
    });
    await gateways.stop();
    await cluster.end();
    expect(problemsOf(booksOf(cluster), []).join('\n')).toMatch(/different blocks at height 1/);
  } finally {
    await gateways.stop();
    await cluster.stop();
  }
});
