// The page in a real browser (package chromium), over its debugging protocol: nothing overflows, nothing jumps, nothing breaks.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { createPage, type Page } from '../../src/web/page.ts';
import type { PageState } from '../../src/web/state.ts';
import { until } from '../messaging/fixtures.ts';
import { sampleState } from '../web/sample.ts';

type Reply = { result?: Record<string, unknown>; error?: { message: string } };

/** A tab of a headless browser. */
class Tab {
  readonly complaints: string[] = [];
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #last = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(data as string) as Reply & { id?: number; method?: string; params?: unknown };
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      else if (/^(Runtime.exceptionThrown|Log.entryAdded)$/.test(message.method ?? '')) {
        this.complaints.push(JSON.stringify(message.params));
      }
    });
  }

  call(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => (error ? reject(new Error(error.message)) : resolve(result ?? {})));
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** The JSON value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result } = await this.call('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    return (result as { value: T }).value;
  }
}

let browser: ChildProcess;
let profile: string;
let tab: Tab;
let page: Page;
let state: PageState = sampleState();

beforeAll(async () => {
  profile = mkdtempSync(join(tmpdir(), 'wattpact-browser-'));
  const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0'];
  browser = spawn('chromium', [...options, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const port = await new Promise<string>((resolve, reject) => {
    let said = '';
    browser.on('error', reject);
    browser.stderr?.on('data', (chunk) => {
      said += chunk;
      const found = /listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(said);
      if (found) resolve(found[1] as string);
    });
  });
  const target = (await (await fetch(`http://127.0.0.1:${port}/json/new?about:blank`, { method: 'PUT' })).json()) as {
    webSocketDebuggerUrl: string;
  };
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  tab = new Tab(socket);
  for (const domain of ['Page', 'Log', 'Runtime']) await tab.call(`${domain}.enable`);
  await tab.call('Page.addScriptToEvaluateOnNewDocument', {
    source: `window.shift = 0; new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });`,
  });
  page = await createPage({ host: '127.0.0.1', port: 0, snapshot: () => state, log: SILENT });
});

afterAll(async () => {
  const ended = new Promise((resolve) => browser.once('exit', resolve));
  browser.kill('SIGKILL');
  await ended;
  await page?.close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
});

async function open(width: number, scheme: 'light' | 'dark'): Promise<void> {
  tab.complaints.length = 0;
  state = sampleState();
  await tab.call('Emulation.setDeviceMetricsOverride', {
    width,
    height: 900,
    deviceScaleFactor: 1,
    mobile: width < 500,
  });
  await tab.call('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  await tab.call('Page.navigate', { url: page.url });
  await shows('4 sites', `document.querySelectorAll('.card').length === 4`);
}

/** Waits until an expression in the page is true. */
async function shows(what: string, expression: string): Promise<void> {
  let so = false;
  const look = async (): Promise<void> => {
    while (!so) so = await tab.evaluate<boolean>(`Boolean(${expression})`);
  };
  void look().catch(() => undefined);
  await until(what, () => so);
}

test.each([
  [360, 'light'],
  [360, 'dark'],
  [800, 'light'],
  [1400, 'dark'],
] as const)('at %i px, %s: fits its width, does not jump, and the console is silent', async (width, scheme) => {
  await open(width, scheme);
  state = {
    ...state,
    head: { height: 18, timeMs: 0, hash: 'f'.repeat(64) },
    requests: state.requests.slice(2),
    events: [],
  };
  page.refresh();
  await shows('the next block', `document.getElementById('height').textContent.startsWith('18')`);
  const fits = 'document.documentElement.scrollWidth <= window.innerWidth';
  const visible = "getComputedStyle(document.querySelector('main')).visibility";
  expect(await tab.evaluate(`[${fits}, window.shift < 0.05, ${visible}]`)).toEqual([true, true, 'visible']);
  expect(tab.complaints).toEqual([]);
});

test('names from outside are text, whatever they look like', async () => {
  await open(1400, 'light');
  const hostile = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>';
  const [first, ...rest] = state.sites;
  state = {
    ...state,
    sites: [{ ...(first as (typeof rest)[number]), id: 'new', name: hostile, trouble: hostile }, ...rest],
  };
  page.refresh();
  await shows('the new site', `document.querySelector('h3').textContent === ${JSON.stringify(hostile)}`);
  expect(await tab.evaluate('[window.broken === undefined, document.images.length]')).toEqual([true, 0]);
});

test('a page whose program has ended says so', async () => {
  await open(1400, 'light');
  await page.close();
  await shows('that the link is lost', `document.getElementById('link').textContent === 'lost, trying again'`);
});
