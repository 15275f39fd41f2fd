// `wattpact restore`: a lost store filled again from open APIs of validators, one of which leaves out, or lies.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { restoreCommand } from '../../src/commands/restore.ts';
import { STORE_FILE } from '../../src/gateway/gateway.ts';
import { createRebuilding } from '../../src/gateway/history.ts';
import { generateKey } from '../../src/keys/files.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { seal } from '../../src/protocol/envelope.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';
import { type Api, createApi } from '../../src/web/api.ts';
import { metered, minutesAfter, signerOf, T, testGenesis, World } from '../ledger/world.ts';

/** More than a page of the API holds. */
const INTERVALS = 60;
const folder = mkdtempSync(join(tmpdir(), 'wattpact-restore-'));
const keyFile = join(folder, 'house.pem');
const siteFile = join(folder, 'house.yaml');
const house = generateKey(keyFile);
const nowMs = Date.now();
const base = testGenesis();
const genesis = testGenesis({
  clock: { originMs: base.clock.originMs, wallOriginMs: nowMs, rate: 1 },
  gateways: base.gateways.map((site) => (site.gateway === 'house' ? { ...site, publicKey: house.publicKey } : site)),
});
let apis: Api[];
let liar: Server;
let liarUrl: string;
/** Allowances are full again at every look. */
let monotonicMs = 0;
/** What the liar makes of v2's answer. */
let lie: (text: string) => string;
let refusals: number;

beforeAll(async () => {
  const world = new World(genesis, openLedgerStore(':memory:'), true);
  for (let i = 0; i < INTERVALS; i++) {
    const delivery = metered('house', T + i, 100 * (i + 1), 0, {
      exportStartWh: 100 * i,
      validUntilMs: minutesAfter(T + i, 60),
    });
    const { body } = world.sign('house', 'delivery', delivery);
    world.block(minutesAfter(T + i, 16), seal(genesis.chain, 'delivery', 'house', body, house.sign));
  }
  world.block(minutesAfter(T + INTERVALS, 20));
  const clock = {
    chainMs: () => genesis.clock.originMs + (Date.now() - nowMs),
    monotonicMs: () => (monotonicMs += 1_000),
  };
  apis = [];
  for (const self of ['v1', 'v2']) {
    const sign = signerOf(self);
    const { ledger } = world;
    apis.push(
      await createApi({ host: '127.0.0.1', port: 0, self, ledger, sign, verify: fastVerify, clock, log: SILENT }),
    );
  }
  liar = createServer((request, response) => {
    if (refusals > 0 && request.url?.includes('records')) {
      refusals -= 1;
      response.writeHead(429, { 'Retry-After': '0' }).end('{"error":"too often"}');
      return;
    }
    const headers = request.headers.authorization === undefined ? {} : { authorization: request.headers.authorization };
    fetch(`${apis[1]?.url}${request.url}`, { headers }).then(async (answer) => {
      const text = await answer.text();
      response.writeHead(answer.status).end(request.url?.includes('records') ? lie(text) : text);
    });
  });
  await new Promise<void>((listening) => liar.listen(0, '127.0.0.1', listening));
  liarUrl = `http://127.0.0.1:${(liar.address() as AddressInfo).port}`;

  writeFileSync(join(folder, 'genesis.json'), JSON.stringify(genesis));
  const market = `market:\n  genesis: genesis.json\n  brokers: ["mqtt://127.0.0.1:1"]\n  key: house.pem\n  dataDir: data\n`;
  writeFileSync(siteFile, readFileSync('devices/demo/house.yaml', 'utf8').replace(/^market:[\s\S]*/m, '') + market);
});
afterAll(async () => {
  for (const api of apis) await api.close();
  liar.closeAllConnections();
  await new Promise((closed) => liar.close(closed));
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  rmSync(join(folder, 'data'), { recursive: true, force: true });
  lie = (text) => text;
  refusals = 0;
});

async function restore(...urls: (string | undefined)[]) {
  const said: string[] = [];
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => said.push(String(text)) > 0);
  const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    const api = urls.map((url) => url as string);
    await restoreCommand().parseAsync([siteFile, '--id', 'house', '--json', '--api', ...api], { from: 'user' });
    return JSON.parse(said.join(''));
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

/** Exported energy that the store knows, by interval. */
function kept(): unknown[] {
  const store = openGatewayStore(join(folder, 'data', STORE_FILE));
  try {
    return store.energies.range('site', 'export', T, T + INTERVALS).map(({ energyWh }) => energyWh);
  } finally {
    store.close();
  }
}
const ALL = Array.from({ length: INTERVALS }, () => 100);

test('two honest validators of four: all that was delivered, once; a gateway that starts then goes on from there', async () => {
  const height = INTERVALS + 1;
  expect(await restore(apis[0]?.url, apis[1]?.url)).toEqual({ deliveries: INTERVALS, untilHeight: height });
  expect(kept()).toEqual(ALL);
  expect(await restore(apis[0]?.url, apis[1]?.url)).toEqual({ deliveries: 0, untilHeight: height });
  const store = openGatewayStore(join(folder, 'data', STORE_FILE));
  expect(createRebuilding(store, T).historyFrom()).toBe(height);
  store.close();
});

type Page = { records: unknown; untilHeight: number; keptFrom: number };
test.each<[string, (page: Page) => Page]>([
  ['leaves one out', (page) => ({ ...page, records: (page.records as unknown[]).slice(1) })],
  ['tells nothing', (page) => ({ ...page, records: [] })],
  ['claims to have told all', (page) => ({ ...page, records: [], untilHeight: 9_999 })],
  [
    'alters what was delivered',
    ({ records, ...page }) => ({
      ...page,
      records: JSON.parse(JSON.stringify(records).replace(/"exportEndWh":\d+/g, '"exportEndWh":999')),
    }),
  ],
])('one of two that %s takes nothing away and adds nothing', async (_name, change) => {
  lie = (text) => JSON.stringify(change(JSON.parse(text)));
  await restore(apis[0]?.url, liarUrl);
  expect(kept()).toEqual(ALL);
});

test.each<[string, (page: Page) => Page]>([
  ['does not move', (page) => ({ ...page, records: [], untilHeight: 0 })],
  ['sends no page', (page) => ({ ...page, records: 'none' })],
])('one of two that %s is too few to go on with: said, and nothing believed', async (_name, change) => {
  lie = (text) => JSON.stringify(change(JSON.parse(text)));
  await expect(restore(apis[0]?.url, liarUrl)).rejects.toThrow('the validators tell nothing of blocks from 0 on');
  expect(kept()).toEqual([]);
});

test('who says "too often" is asked again', async () => {
  refusals = 1;
  expect(await restore(apis[0]?.url, liarUrl)).toMatchObject({ deliveries: INTERVALS });
});

test('one validator is not enough, also under two addresses', async () => {
  await expect(restore(apis[0]?.url)).rejects.toThrow('1 of 4 validators answer: it takes 2');
  await expect(restore(apis[1]?.url, liarUrl)).rejects.toThrow('1 of 4 validators answer: it takes 2');
  await expect(restore(apis[1]?.url, 'http://127.0.0.1:1')).rejects.toThrow('it takes 2');
});
