// `wattpact chain ask` against open APIs of validators on one chain, one of which lies: what holds, what does not, and exit codes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { chainCommand } from '../../src/commands/chain.ts';
import { generateKey } from '../../src/keys/files.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { seal } from '../../src/protocol/envelope.ts';
import { type Api, createApi } from '../../src/web/api.ts';
import { ChangingWorld } from '../ledger/changing.ts';
import { signerOf, T, testGenesis } from '../ledger/world.ts';

const folder = mkdtempSync(join(tmpdir(), 'wattpact-ask-'));
const keyFile = join(folder, 'farm.pem');
const genesisFile = join(folder, 'genesis.json');
const farm = generateKey(keyFile);
const nowMs = Date.now();
const base = testGenesis();
// The command reads the wall's clock; chain time is what the test world's blocks have.
const genesis = testGenesis({
  clock: { originMs: base.clock.originMs, wallOriginMs: nowMs, rate: 1 },
  gateways: base.gateways.map((site) => (site.gateway === 'farm' ? { ...site, publicKey: farm.publicKey } : site)),
});
let apis: Api[];
/** Allowances are full again at every look. */
let monotonicMs = 0;
let liar: Server;
let urls: string[];

beforeAll(async () => {
  writeFileSync(genesisFile, JSON.stringify(genesis));
  const world = new ChangingWorld(genesis);
  const steps = (priceUcPerWh: number, energyWh: number) => [{ energyWh, priceUcPerWh }];
  const { sequence: _s, ...common } = world.offer('farm', T, [[1, 1]]).body as Record<string, never>;
  world.next(world.tariff());
  const sell = { ...common, buy: [], interval: T, sell: steps(8_000, 3_000), sequence: 1_000 };
  world.next(seal(genesis.chain, 'offer', 'farm', sell, farm.sign), world.offer('factory', T, [], [[25_000, 2_000]]));
  world.changed('v5', 'v5');
  world.changed('v1', null);
  // Until the gate has closed and above.
  for (let i = 0; i < 56; i++) world.idle();
  const clock = {
    chainMs: () => genesis.clock.originMs + (Date.now() - nowMs),
    monotonicMs: () => (monotonicMs += 1_000),
  };
  const { ledger } = world;
  apis = [];
  for (const self of ['v2', 'v5']) {
    const sign = signerOf(self);
    apis.push(
      await createApi({ host: '127.0.0.1', port: 0, self, ledger, sign, verify: fastVerify, clock, log: SILENT }),
    );
  }
  // Says what v2 says, with one figure changed.
  liar = createServer((request, response) => {
    const headers = request.headers.authorization === undefined ? {} : { authorization: request.headers.authorization };
    fetch(`${apis[0]?.url}${request.url}`, { headers }).then(async (answer) => {
      response
        .writeHead(answer.status)
        .end(
          (await answer.text())
            .replace(/"positionWh":2000|"balanceUc":"0"/, (found) => found.replace(/2000|0/, '2001'))
            .replace(/"resultsRoot":"../, (found) =>
              /records|headers/.test(request.url ?? '') ? '"resultsRoot":"00' : found,
            ),
        );
    });
  });
  await new Promise<void>((listening) => liar.listen(0, '127.0.0.1', listening));
  urls = [...apis.map(({ url }) => url), `http://127.0.0.1:${(liar.address() as AddressInfo).port}`];
});
afterAll(async () => {
  for (const api of apis) await api.close();
  liar.closeAllConnections();
  await new Promise((closed) => liar.close(closed));
  rmSync(folder, { recursive: true });
});

async function ask(
  target: string,
  api: readonly string[],
  more: readonly string[] = ['--as', 'farm', '--key', keyFile],
) {
  const said: string[] = [];
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => said.push(String(text)) > 0);
  process.exitCode = 0;
  try {
    await chainCommand().parseAsync(['ask', target, '--genesis', genesisFile, '--api', ...api, ...more], {
      from: 'user',
    });
    return { text: said.join(''), code: process.exitCode };
  } finally {
    write.mockRestore();
    process.exitCode = 0;
  }
}

test.each<[string, string, RegExp]>([
  ['records', '/v1/parties/farm/records', /^v2: true: 1 records, each proven; .*\n {2}block 2: recorded offer of farm/],
  ['a header', '/v1/headers/4', /^v2: true: block 4 of /],
  ['an account', '/v1/parties/farm/account', /^v2: true: account of farm: 0 µ¤ after block \d+, attested by v2/],
  ['a notice', `/v1/parties/farm/notices/${T}`, /^v2: true: notice to farm .* position 2000 Wh/],
  [
    'a share of a clearing',
    `/v1/parties/farm/clearings/${T}`,
    /^v2: true: share of interval \d+: 1 steps filled as their prices say, 2000 Wh/,
  ],
])('%s is checked, under validators that changed since genesis', async (_name, target, text) => {
  expect(await ask(target, urls.slice(0, 1))).toMatchObject({ code: 0, text: expect.stringMatching(text) });
  const two = await ask(target, urls.slice(0, 2), ['--as', 'farm', '--key', keyFile, '--json']);
  expect(
    JSON.parse(two.text).said.map(({ validator, holds }: { validator: string; holds: boolean }) => [validator, holds]),
  ).toEqual([
    ['v2', true],
    ['v5', true],
  ]);
});

test.each([
  '/v1/parties/farm/records',
  '/v1/headers/4',
  `/v1/parties/farm/account`,
  `/v1/parties/farm/notices/${T}`,
  `/v1/parties/farm/clearings/${T}`,
])('who lies about %s is found out', async (target) => {
  const { text, code } = await ask(target, urls.slice(2));
  expect([code, text]).toEqual([1, expect.stringMatching(/^v2: false: /)]);
});

test('what carries no proof is shown as it is; what is refused or unreachable is said', async () => {
  expect(await ask('/v1/feeders', urls.slice(0, 1), [])).toMatchObject({
    code: 0,
    text: expect.stringMatching(/^v2: it carries no proof\n\{/),
  });
  await expect(ask('/v1/parties/farm/account', urls.slice(0, 1), [])).rejects.toThrow('403: this takes a signed query');
  await expect(ask('/v1/chain', ['http://127.0.0.1:1'])).rejects.toThrow(/no answer/);
  const other = join(folder, 'other.pem');
  generateKey(other);
  await expect(ask('/v1/chain', urls.slice(0, 1), ['--as', 'farm', '--key', other])).rejects.toThrow(
    '401: the query is not signed by a party',
  );
  await expect(ask('/v1/chain', urls.slice(0, 1), ['--as', 'farm'])).rejects.toThrow('--as and --key go together');
});
