// A headless browser (Debian's package chromium) for tests, over its debugging protocol.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../messaging/fixtures.ts';

type Reply = { result?: Record<string, unknown>; error?: { message: string } };

/** A tab of a headless browser. */
export class Tab {
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

  /** Waits until an expression in the page is true, 20 s unless told: a browser on a busy machine. */
  async shows(what: string, expression: string, withinMs = 20_000): Promise<void> {
    let so = false;
    const look = async (): Promise<void> => {
      while (!so) so = await this.evaluate<boolean>(`Boolean(${expression})`);
    };
    void look().catch(() => undefined);
    await until(what, () => so, withinMs);
  }
}

export interface Browser {
  readonly tab: Tab;
  stop(): Promise<void>;
}

/** A browser with a profile of its own and one empty tab. */
export async function startBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'wattpact-browser-'));
  const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0'];
  const browser = spawn('chromium', [...options, `--user-data-dir=${profile}`, 'about:blank'], {
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
  const tab = new Tab(socket);
  for (const domain of ['Page', 'Log', 'Runtime']) await tab.call(`${domain}.enable`);
  return {
    tab,
    async stop() {
      const ended = new Promise((resolve) => browser.once('exit', resolve));
      browser.kill('SIGKILL');
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}
