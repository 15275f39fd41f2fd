// The open API: who sees what as a table of every route and every role, what a signed query is worth, and the limits.

import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Json } from '../../src/base/canonical.ts';
import { SILENT } from '../../src/base/log.ts';
import { commitsAgree } from '../../src/consensus/certificates.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { checkClearing } from '../../src/ledger/clearing-file.ts';
import { checkProofFile, type ProofFile } from '../../src/ledger/prove.ts';
import { type ClearingShare, shareProblem } from '../../src/ledger/share.ts';
import { checkStateProof } from '../../src/ledger/state.ts';
import { follow, genesisSets } from '../../src/ledger/succession.ts';
import { QUERY_VALID_MS_MAX, queryHeader } from '../../src/protocol/query.ts';
import type { Notice } from '../../src/protocol/replies.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';
import { type Api, createApi, networkOf } from '../../src/web/api.ts';
import { apiDocument } from '../../src/web/api-document.ts';
import { ANSWERS, ROUTES } from '../../src/web/api-routes.ts';
import { minutesAfter, publicKeyOf, saltOf, signerOf, T, testGenesis, World } from '../ledger/world.ts';

const base = testGenesis();
const [feeder] = base.feeders;
if (feeder === undefined) throw new Error('no feeder');
const genesis = testGenesis({
  feeders: [feeder, { ...feeder, id: 'f2', operator: 'operator2', utility: 'utility2' }],
  utilities: [...base.utilities, { id: 'utility2', publicKey: publicKeyOf('utility2') }],
});
const NOW_MS = minutesAfter(T, 30);
let world: World;
let api: Api;
let nowMs = 0;
let offerId = '';
let salts = 0;

beforeAll(async () => {
  world = new World(genesis, openLedgerStore(':memory:'), true);
  const offer = world.offer('farm', T, [[8000, 3000]]);
  offerId = world.idOf(offer);
  world.block(minutesAfter(T, -21), world.tariff());
  world.block(minutesAfter(T, -20), offer, world.offer('factory', T, [], [[25_000, 2000]]));
  world.block(minutesAfter(T, -5));
  world.block(minutesAfter(T, 15), world.delivery('farm', T, 2000, 0), world.delivery('flat', T, 0, 10));
  world.block(minutesAfter(T, 20), world.sign('operator1', 'gateway.revoke', { gateway: 'flat' }));
  world.block(minutesAfter(T, 21), world.offer('house', T + 3, []));
  const clock = { chainMs: () => NOW_MS, monotonicMs: () => nowMs };
  const { ledger } = world;
  const sign = signerOf('v1');
  api = await createApi({
    host: '127.0.0.1',
    port: 0,
    self: 'v1',
    ledger,
    sign,
    verify: fastVerify,
    clock,
    log: SILENT,
  });
});
afterAll(() => api.close());
// Every test with full allowances.
beforeEach(() => {
  nowMs += 3_600_000;
});

interface Options {
  readonly as?: string;
  readonly keyOf?: string;
  readonly chain?: string;
  readonly validator?: string;
  readonly signedTarget?: string;
  readonly expiresMs?: number;
  readonly authorization?: string;
  readonly method?: string;
  readonly body?: string;
}

function queryFor(target: string, { as = '', keyOf = as, chain = genesis.chain, ...more }: Options): string {
  const { validator = 'v1', signedTarget = target, expiresMs = NOW_MS + 60_000 } = more;
  salts += 1;
  return queryHeader(
    chain,
    as,
    { expiresMs, salt: saltOf(`query ${salts}`), target: signedTarget, validator },
    signerOf(keyOf),
  );
}

interface Got {
  readonly status: number;
  readonly body: Json;
  readonly headers: NodeJS.Dict<string | string[]>;
}

function get(target: string, options: Options = {}): Promise<Got> {
  const authorization = options.authorization ?? (options.as === undefined ? undefined : queryFor(target, options));
  return new Promise((resolve, reject) => {
    const sent = request(
      `${api.url}${target}`,
      {
        method: options.method ?? 'GET',
        headers: {
          ...(authorization === undefined ? {} : { authorization }),
          ...(options.body === undefined ? {} : { 'content-length': options.body.length }),
        },
        agent: false,
      },
      (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: text === '' ? null : (JSON.parse(text) as Json),
            headers: response.headers,
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(options.body);
  });
}

// ---------------------------------------------------------------------- who sees what

/** 200 to these, 403 to everybody else. `farm` is the owner of what is asked for. */
const ALL = ['public', 'farm', 'house', 'operator1', 'operator2', 'utility1', 'utility2', 'v2'];
const OWNER = ['farm', 'operator1', 'v2'];
const MARKET = ['operator1', 'utility1', 'v2'];
const SEES: Readonly<Record<string, { readonly target: () => string; readonly who: readonly string[] }>> = {
  '/v1/openapi.json': { target: () => '/v1/openapi.json', who: ALL },
  '/v1/chain': { target: () => '/v1/chain', who: ALL },
  '/v1/headers': { target: () => '/v1/headers?from=2&limit=2', who: ALL },
  '/v1/headers/{height}': { target: () => '/v1/headers/2', who: ALL },
  '/v1/changes': { target: () => '/v1/changes', who: ALL },
  '/v1/feeders': { target: () => '/v1/feeders', who: ALL },
  '/v1/feeders/{feeder}/summaries': { target: () => `/v1/feeders/f1/summaries?from=${T}`, who: ALL },
  '/v1/feeders/{feeder}/summaries/{interval}': { target: () => `/v1/feeders/f1/summaries/${T}`, who: ALL },
  '/v1/feeders/{feeder}/clearings/{interval}': { target: () => `/v1/feeders/f1/clearings/${T}`, who: MARKET },
  '/v1/feeders/{feeder}/grid/{interval}': { target: () => `/v1/feeders/f1/grid/${T + 1}`, who: MARKET },
  '/v1/feeders/{feeder}/sites': { target: () => '/v1/feeders/f1/sites', who: MARKET },
  '/v1/parties/{party}': { target: () => '/v1/parties/farm', who: OWNER },
  '/v1/parties/{party}/account': { target: () => '/v1/parties/farm/account', who: OWNER },
  '/v1/parties/{party}/records': { target: () => '/v1/parties/farm/records?kinds=offer,delivery', who: OWNER },
  '/v1/parties/{party}/records/{request}': { target: () => `/v1/parties/farm/records/${offerId}`, who: OWNER },
  '/v1/parties/{party}/outcomes': { target: () => `/v1/parties/farm/outcomes?from=${T}&until=${T + 5}`, who: OWNER },
  '/v1/parties/{party}/notices/{interval}': { target: () => `/v1/parties/farm/notices/${T}`, who: OWNER },
  '/v1/parties/{party}/settlements/{interval}': { target: () => `/v1/parties/farm/settlements/${T}`, who: OWNER },
  '/v1/parties/{party}/clearings/{interval}': { target: () => `/v1/parties/farm/clearings/${T}`, who: OWNER },
  '/v1/blocks/{height}': { target: () => '/v1/blocks/3', who: ['v2'] },
};

test('the table speaks of every route', () => {
  expect(Object.keys(SEES).sort()).toEqual(ROUTES.map(({ path }) => path).sort());
});

describe.each(ROUTES.map(({ path, answer }) => ({ path, answer })))('$path', ({ path, answer }) => {
  const { target, who } = SEES[path] as (typeof SEES)[string];

  test.each(ALL)('%s', async (role) => {
    const { status, body, headers } = await get(target(), role === 'public' ? {} : { as: role });
    expect(status).toBe(who.includes(role) ? 200 : 403);
    if (status === 200) expect(ANSWERS[answer].safeParse(body).error).toBeUndefined();
    else expect(Object.keys(body as object)).toEqual(['error']);
    expect(headers['access-control-allow-origin']).toBe(role === 'public' ? '*' : undefined);
    expect(headers['cache-control']).toBe('no-store');
  });

  const bad: [string, Options][] = [
    ['a wrong signature', { as: 'farm', keyOf: 'house' }],
    ['an expired query', { as: 'farm', expiresMs: NOW_MS }],
    ['a query that never ends', { as: 'farm', expiresMs: NOW_MS + QUERY_VALID_MS_MAX + 1 }],
    ['a query for another validator', { as: 'farm', validator: 'v2' }],
    ['a query for another target', { as: 'farm', signedTarget: '/v1/chain?x' }],
    ['a query for another chain', { as: 'farm', chain: `${genesis.chain}x` }],
    ['somebody unknown', { as: 'nobody' }],
    ['a revoked gateway', { as: 'flat' }],
    ['garbage', { authorization: 'Wattpact AAAA' }],
    ['another scheme', { authorization: 'Bearer abc' }],
  ];
  test.each(bad)('%s is refused, also where the public would be answered', async (_name, options) => {
    const { status, body } = await get(target(), options);
    expect([status, Object.keys(body as object)]).toEqual([401, ['error', 'timeMs']]);
  });

  test('a query that is sent again is refused', async () => {
    const authorization = queryFor(target(), { as: 'v2' });
    expect((await get(target(), { authorization })).status).toBe(200);
    expect((await get(target(), { authorization })).status).toBe(401);
  });
});

test("an operator sees the sites of its feeder, the utility beside it none; another's id tells nothing of who exists", async () => {
  const sites = async (as: string) => ((await get('/v1/feeders/f1/sites', { as })).body as { sites: unknown[] }).sites;
  expect((await sites('operator1')).length).toBe(4);
  expect(await sites('utility1')).toEqual([]);
  const answers = await Promise.all(['house', 'nobody'].map((id) => get(`/v1/parties/${id}/account`, { as: 'farm' })));
  expect(answers[0]?.body).toEqual(answers[1]?.body);
});

test('somebody else’s request is not found under one’s own name', async () => {
  expect((await get(`/v1/parties/factory/records/${offerId}`, { as: 'factory' })).status).toBe(404);
});

// ---------------------------------------------------------------------- what is answered can be checked

const rules = { genesis, verify: fastVerify, agreed: commitsAgree(genesis.chain, fastVerify) };

test('notices, settlements, records and public summaries come with proofs that hold with nothing but genesis', async () => {
  const proofs: Json[] = [];
  for (const path of [`notices/${T}`, `records/${offerId}`])
    proofs.push((await get(`/v1/parties/farm/${path}`, { as: 'farm' })).body);
  proofs.push(...((await get(`/v1/parties/farm/settlements/${T}`, { as: 'farm' })).body as { proofs: Json[] }).proofs);
  proofs.push((await get(`/v1/feeders/f1/summaries/${T}`)).body);
  const kinds = proofs.map((proof) => {
    const checked = checkProofFile(proof, rules);
    return 'problem' in checked ? checked.problem : checked.leaf.kind;
  });
  expect(kinds).toEqual(['notice', 'verdict', 'settlement', 'clearing']);
});

test('an account stands under the state hash of the attested header; an altered one does not', async () => {
  const { body } = await get('/v1/parties/farm/account', { as: 'farm' });
  const { attestation, balanceUc, proof } = ANSWERS.Account.parse(body);
  const { stateHash } = ANSWERS.Header.parse(attestation.body);
  expect(JSON.parse(proof.value)).toBe(balanceUc);
  expect(checkStateProof(proof, stateHash)).toBe(true);
  expect(checkStateProof({ ...proof, value: '"1"' }, stateHash)).toBe(false);
});

test('a clearing holds without trust; an owner’s share of it answers his offer, and a false one is seen through', async () => {
  const full = await get(`/v1/feeders/f1/clearings/${T}`, { as: 'operator1' });
  const checked = checkClearing(full.body);
  const share = (await get(`/v1/parties/farm/clearings/${T}`, { as: 'farm' })).body as unknown as ClearingShare;
  const notice = ((await get(`/v1/parties/farm/notices/${T}`, { as: 'farm' })).body as unknown as ProofFile)
    .leaf as Notice;
  expect('digest' in checked && checked.digest).toBe(notice.clearing);
  expect(shareProblem(share, notice)).toBeNull();
  expect(JSON.stringify(share)).not.toContain('factory');
  expect(shareProblem(share, { ...notice, positionWh: 1 })).toMatch(/the fills make 2000 Wh/);
  expect(shareProblem({ ...share, clearing: 'f'.repeat(64) }, notice)).toMatch(/not of the clearing/);
  const [step] = share.steps;
  if (step === undefined) throw new Error('no step');
  const with1 = (change: object): ClearingShare => ({ ...share, steps: [{ ...step, ...change }] });
  expect(shareProblem(with1({ priceUcPerWh: 26_000 }), notice)).toMatch(/filled at a loss/);
  expect(shareProblem(with1({ priceUcPerWh: 7_999 }), notice)).toMatch(/not filled, though it gains/);
  expect(shareProblem(with1({ energyWh: 1999 }), notice)).toMatch(/filled with more than was offered/);
  const altered = { ...(full.body as object), fillsWh: [1999, 1999, 0, 0] } as Json;
  expect(checkClearing(altered)).toHaveProperty('problem');
  expect(checkClearing({ nonsense: true })).toHaveProperty('problem');
});

test('the newest block is certified by the next one: until then its proofs are not there yet', async () => {
  const newest = world.ledger.block(world.ledger.head().height)?.results[0]?.leaf;
  if (newest?.kind !== 'verdict') throw new Error('no verdict');
  expect((await get(`/v1/parties/house/records/${newest.request}`, { as: 'house' })).status).toBe(409);
});

test('headers are certified by the commits of the block above', async () => {
  const { body } = await get('/v1/headers/3');
  const { attestation, commits, engine } = ANSWERS.CertifiedHeader.parse(body);
  const above = world.ledger.block(4);
  expect([attestation.signer, engine, commits]).toEqual(['v1', 'pbft', above?.certificate.commits]);
  expect((await get('/v1/changes')).body).toEqual({ changes: [] });
  expect(follow(genesisSets(genesis), {}, rules)).toHaveProperty('problem');
});

// ---------------------------------------------------------------------- limits and form

test.each<[string, string, number]>([
  ['an unknown route', '/v1/nothing', 404],
  ['a path that climbs', '/v1/../etc/passwd', 404],
  ['a height that is none', '/v1/headers/x', 400],
  ['a height that is negative', '/v1/headers/-1', 400],
  ['a height in another notation', '/v1/headers/1e0', 400],
  ['a block that is not there', '/v1/headers/999', 404],
  ['more than a page', '/v1/headers?limit=1000', 400],
  ['an unknown parameter', '/v1/headers?form=1', 400],
  ['an id with a slash in disguise', '/v1/feeders/f1%2f../summaries/1', 400],
  ['a target without end', `/v1/headers?from=${'1'.repeat(2_000)}`, 414],
])('%s', async (_name, target, status) => {
  expect((await get(target)).status).toBe(status);
});

test.each<[string, string]>([
  ['/v1/headers?from=1&from=2', 'from is given twice: which one is meant?'],
  ['/v1/headers?from=1&limit=2&from=1', 'from is given twice: which one is meant?'],
  ['/v1/headers?from=1?limit=2', 'from must be a whole number such as 42, not "1?limit=2"'],
  ['/v1/headers?from=', 'from must be a whole number such as 42, not ""'],
  ['/v1/headers?limit=0', 'limit: must be at least 1, not 0'],
  ['/v1/headers?form=1', 'form is no parameter here: there is from, limit'],
  ['/v1/chain?x=1', 'x is no parameter here: there is none'],
  ['/v1/feeders/f1/summaries?from=9&until=5', 'until must be above from (9), not 5'],
  ['/v1/headers/01', 'height must be a whole number such as 42, not "01"'],
  ['/v1/parties/UP/account', 'party: must be 1 to 64 of a-z, 0-9 and -'],
])('%s is answered with what is wrong', async (target, error) => {
  expect(await get(target)).toMatchObject({ status: 400, body: { error } });
});

test('intervals without `from` are the newest, with `until` those before it', async () => {
  const found = async (question: string): Promise<number[]> => {
    const { body } = await get(`/v1/feeders/f1/summaries${question}`);
    return (body as { summaries: { leaf: { interval: number } }[] }).summaries.map(({ leaf }) => leaf.interval);
  };
  const all = await found(`?from=${T - 10}`);
  expect(all).not.toEqual([]);
  expect(await found('')).toEqual(all);
  expect(await found(`?until=${(all.at(-1) as number) + 1}`)).toEqual(all);
  expect(await found(`?until=${all[0]}`)).toEqual([]);
});

test('read only: HEAD is GET without a body, anything else is refused, and so is a body', async () => {
  const [whole, head] = [await get('/v1/feeders'), await get('/v1/feeders', { method: 'HEAD' })];
  expect([head.status, head.body, head.headers['content-length']]).toEqual([
    200,
    null,
    whole.headers['content-length'],
  ]);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const { status, headers } = await get('/v1/chain', { method });
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
  }
  expect((await get('/v1/chain', { body: 'x' })).status).toBe(413);
});

test('an address that asks too often waits; a signer too, and nobody else can use up what is his', async () => {
  const statuses = async (times: number, options: () => Options) => {
    const found: number[] = [];
    for (let i = 0; i < times; i++) found.push((await get('/v1/chain', options())).status);
    return found;
  };
  // Forgeries in a signer's name cost the address alone.
  expect(new Set(await statuses(50, () => ({ as: 'farm', keyOf: 'house' })))).toEqual(new Set([401]));
  const signed = await statuses(101, () => ({ as: 'farm' }));
  expect([signed.filter((status) => status === 200).length, signed.at(-1)]).toEqual([100, 429]);
  expect((await get('/v1/chain', { as: 'house' })).status).toBe(200);
  const more = await statuses(60, () => ({}));
  expect(more.at(-1)).toBe(429);
  const { headers } = await get('/v1/chain');
  expect(Number(headers['retry-after'])).toBeGreaterThan(0);
  nowMs += 10_000;
  expect((await get('/v1/chain')).status).toBe(200);
});

test('one address holds so many connections and no more', async () => {
  const port = Number(new URL(api.url).port);
  const sockets = await Promise.all(
    Array.from(
      { length: 20 },
      () =>
        new Promise<{ open: () => boolean; end: () => void }>((resolve) => {
          const socket = connect(port, '127.0.0.1');
          let open = true;
          socket.on('error', () => undefined);
          socket.on('close', () => {
            open = false;
          });
          socket.on('connect', () => resolve({ open: () => open, end: () => socket.destroy() }));
        }),
    ),
  );
  await expect.poll(() => sockets.filter(({ open }) => open()).length).toBe(16);
  for (const { end } of sockets) end();
  await expect.poll(async () => (await get('/v1/chain').catch(() => ({ status: 0 }))).status).toBe(200);
});

/** What comes back on a connection until it ends. */
function sentRaw(text: string): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = connect(Number(new URL(api.url).port), '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk) => {
      got += chunk;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(got));
  });
}

test.each<[string, string, number, RegExp]>([
  ['what is no HTTP', 'EHLO here\r\n\r\n', 400, /no request of HTTP/],
  ['two lengths', 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400, /no request/],
  ['a head too long', `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, /head of this request is too long/],
  ['a head that never ends', 'GET / HTTP/1.1\r\n', 408, /took too long/],
])('%s is refused in JSON as what is refused later is', async (_name, text, status, words) => {
  const [head = '', body = ''] = (await sentRaw(text)).split('\r\n\r\n');
  expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} [A-Z]`));
  expect((JSON.parse(body) as { error: string }).error).toMatch(words);
  expect(head).toContain(`Content-Length: ${Buffer.byteLength(body)}`);
});

test('behind a whole answer, what is no request gets its own', async () => {
  const got = await sentRaw('GET /v1/chain HTTP/1.1\r\nHost: a\r\n\r\nEHLO here\r\n\r\n');
  expect(got.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400']);
});

test('noise in every part of a question is answered or refused, and the server lives', async () => {
  const word = fc.stringMatching(/^[ -~]{0,40}$/);
  const target = fc.tuple(
    fc.constantFrom('/v1/', '/v1/parties/', '/v1/headers/', '/v1/headers?', ''),
    fc.webPath(),
    word,
  );
  await fc.assert(
    fc.asyncProperty(
      target,
      fc.option(
        fc.oneof(
          word,
          fc.base64String().map((text) => `Wattpact ${text}`),
        ),
      ),
      async ([a, b, c], header) => {
        nowMs += 60_000;
        const path = `/${(a + b + encodeURI(c)).replace(/^\/+/, '')}`;
        const { status } = await get(path, header === null ? {} : { authorization: header });
        expect([200, 400, 401, 403, 404, 409, 414]).toContain(status);
      },
    ),
    { numRuns: 150 },
  );
  expect((await get('/v1/chain')).status).toBe(200);
});

test.each([
  ['127.0.0.1', '127.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
])('the network of %s is %s', (address, network) => expect(networkOf(address)).toBe(network));

test('docs/api.json is what the code says (`wattpact chain openapi > docs/api.json`)', async () => {
  expect(readFileSync('docs/api.json', 'utf8').trim()).toBe(apiDocument());
  expect((await get('/v1/openapi.json')).body).toEqual(JSON.parse(apiDocument()));
  const { openapi, paths, components } = JSON.parse(apiDocument());
  expect(openapi).toBe('3.1.0');
  const references = [...apiDocument().matchAll(/"\$ref": "#\/components\/schemas\/(\w+)"/g)].map((match) => match[1]);
  expect(references.filter((name) => components.schemas[name as string] === undefined)).toEqual([]);
  expect(Object.keys(paths).length).toBe(ROUTES.length);
});
