// The page's server: what it serves, to whom, and within which limits.

import { request } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { WattpactError } from '../../src/base/errors.ts';
import { SILENT } from '../../src/base/log.ts';
import { WRONG_TOKENS_MAX } from '../../src/web/bearer.ts';
import { createPage, type Page, type PageOwner, WATCHERS_MAX } from '../../src/web/page.ts';
import type { PageState } from '../../src/web/state.ts';
import { sampleState } from './sample.ts';

const pages: Page[] = [];
afterEach(async () => {
  for (const page of pages.splice(0)) await page.close();
});

async function page(snapshot: () => PageState = sampleState, port = 0, owner?: PageOwner): Promise<Page> {
  const made = await createPage({
    host: '127.0.0.1',
    port,
    snapshot,
    ...(owner === undefined ? {} : { owner }),
    log: SILENT,
  });
  pages.push(made);
  return made;
}

/** Raw HTTP: fetch would not let us choose the host header. */
function ask(url: string, options: { method?: string; host?: string } = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const headers = options.host === undefined ? {} : { host: options.host };
    const sent = request(url, { method: options.method ?? 'GET', headers }, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** The snapshots of an event stream, one `next()` each. */
async function* snapshots(url: string): AsyncGenerator<PageState> {
  const response = await fetch(`${url}/events`);
  if (response.status !== 200 || response.body === null) throw new Error(`status ${response.status}`);
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      yield JSON.parse(text.slice('data: '.length, end)) as PageState;
      text = text.slice(end + 2);
    }
  }
}

test('the page needs nothing but itself, and allows nothing else', async () => {
  const { url } = await page();
  const response = await fetch(url);
  const html = await response.text();
  const policy = response.headers.get('content-security-policy') ?? '';
  expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'/);
  expect(policy).not.toMatch(/unsafe/);
  const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string);
  expect(links.length).toBeGreaterThan(0);
  for (const link of links) expect((await fetch(url + link)).status, link).toBe(200);
  expect(html).not.toMatch(/ style=| on[a-z]+=|<script>|https?:\/\//);
  const script = await (await fetch(`${url}/page.js`)).text();
  expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write/);
});

test('a watcher gets the state at once, and again soon after something happened', async () => {
  let height = 1;
  const { url, refresh } = await page(() => ({ ...sampleState(), head: { height, timeMs: 0, hash: 'h' } }));
  const stream = snapshots(url);
  expect((await stream.next()).value.head.height).toBe(1);
  height = 2;
  refresh();
  refresh();
  expect((await stream.next()).value.head.height).toBe(2);
  await stream.return(undefined);
  expect(JSON.parse((await ask(`${url}/state`)).body)).toEqual({
    ...sampleState(),
    head: { height: 2, timeMs: 0, hash: 'h' },
  });
});

test('names that are not loopback, other methods and other paths are refused', async () => {
  const { url } = await page();
  expect((await ask(url, { host: 'evil.example' })).status).toBe(421);
  expect((await ask(`${url}/events`, { host: 'evil.example:80' })).status).toBe(421);
  expect((await ask(url, { host: 'localhost:1' })).status).toBe(200);
  expect((await ask(url, { method: 'POST' })).status).toBe(405);
  for (const path of ['/state.ts', '/../package.json', '/assets/page.js', '/constructor', '/__proto__']) {
    expect((await ask(url + path)).status, path).toBe(404);
  }
});

test('there is a limit to watchers', async () => {
  const { url } = await page();
  const streams = Array.from({ length: WATCHERS_MAX }, () => snapshots(url));
  await Promise.all(streams.map((stream) => stream.next()));
  expect((await fetch(`${url}/events`)).status).toBe(503);
  await Promise.all(streams.map((stream) => stream.return(undefined)));
});

test('a busy port is one plain line', async () => {
  const { url } = await page();
  const port = Number(new URL(url).port);
  await expect(page(sampleState, port)).rejects.toThrow(
    `the page cannot listen on 127.0.0.1:${port}: the port is busy`,
  );
});

/** A page whose owner's token is `secret`, and what it was told. */
async function owned(refuse: (payload: string) => Error | null = () => null) {
  const heard: string[] = [];
  let nowMs = 0;
  const { url } = await page(sampleState, 0, {
    isOwner: (token) => token === 'secret',
    override(site, payload) {
      const text = new TextDecoder().decode(payload);
      const error = refuse(text);
      if (error !== null) throw error;
      heard.push(`${site} ${text}`);
    },
    monotonicMs: () => nowMs,
  });
  const say = (changes: Record<string, string> = {}, body = '{}', host?: string): Promise<number> => {
    const headers = { authorization: 'Bearer secret', 'content-type': 'application/json', ...changes };
    return new Promise((resolve, reject) => {
      const all = { ...headers, ...(host === undefined ? {} : { host }) };
      const sent = request(`${url}/override?site=gateway-house`, { method: 'POST', headers: all }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  };
  return { url, say, heard, wait: (ms: number) => (nowMs += ms) };
}

test('the owner is heard', async () => {
  const { url, say, heard } = await owned();
  expect(await say()).toBe(202);
  expect(await say({ origin: url })).toBe(202);
  expect(heard).toEqual(['gateway-house {}', 'gateway-house {}']);
});

test("nobody else is: not without the token, not from another site's page, not under another name, not at length", async () => {
  const { say, heard } = await owned();
  expect(await say({ authorization: '' })).toBe(401);
  expect(await say({ authorization: 'Bearer wrong' })).toBe(401);
  expect(await say({ origin: 'http://evil.example' })).toBe(403);
  expect(await say({ 'content-type': 'text/plain' })).toBe(415);
  expect(await say({}, '{}', 'evil.example')).toBe(421);
  expect(await say({}, 'x'.repeat(5_000))).toBe(413);
  expect(heard).toEqual([]);
});

test('who guesses waits, also with the right token', async () => {
  const { say, wait } = await owned();
  for (let i = 0; i < WRONG_TOKENS_MAX; i++) await say({ authorization: 'Bearer wrong' });
  expect(await say()).toBe(429);
  wait(60_000);
  expect(await say()).toBe(202);
});

test('what cannot be used is said in words; what fails inside is not', async () => {
  const { say } = await owned((payload) =>
    payload === '{}' ? new WattpactError('override.time', 'the end is past') : new Error('disk full'),
  );
  expect(await say()).toBe(422);
  expect(await say({}, '[]')).toBe(500);
});

test('a page without an owner takes nothing', async () => {
  const { url } = await page();
  const response = await fetch(`${url}/override?site=x`, { method: 'POST', body: '{}' });
  expect(response.status).toBe(405);
});
