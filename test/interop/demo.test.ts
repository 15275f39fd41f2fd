// The whole of it, as a user runs it: over a broker that is not ours, and with each part killed in the middle.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const DEMO_MS_MAX = 240_000;

interface Ran {
  readonly status: number | null;
  readonly story: string;
  readonly outcome: {
    intervals: {
      requests: { gateway: string; confirmations: number; validators: number }[];
      trades: unknown[];
      moneyBalanced: boolean;
    }[];
    chain: { height: number; verified: boolean };
  };
}

/** Runs the demo for some intervals; its story is on standard error, the document on standard output. */
function demo(...args: string[]): Promise<Ran> {
  const child = spawn(process.execPath, [join(ROOT, 'src/cli.ts'), 'demo', '--json', ...args], { cwd: ROOT });
  const text = { out: '', err: '' };
  child.stdout.on('data', (chunk) => {
    text.out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    text.err += chunk;
  });
  return new Promise((done, failed) => {
    child.on('error', failed);
    child.on('exit', (status) => {
      if (text.out === '') failed(new Error(`the demo printed no document:\n${text.err}`));
      else done({ status, story: text.err, outcome: JSON.parse(text.out) });
    });
  });
}

function expectWhole({ outcome }: Ran, intervals: number): void {
  expect(outcome.intervals.length).toBe(intervals);
  expect(outcome.chain.verified).toBe(true);
  for (const { requests, moneyBalanced } of outcome.intervals) {
    expect(moneyBalanced).toBe(true);
    for (const { confirmations } of requests) expect(confirmations).toBeGreaterThanOrEqual(3);
  }
}

function freePort(): Promise<number> {
  return new Promise((found) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => found(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** Resolves when something listens on the port. */
async function listening(port: number): Promise<void> {
  const open = await new Promise<boolean>((tried) => {
    const socket = dial(port, '127.0.0.1');
    socket.once('connect', () => tried(true));
    socket.once('error', () => tried(false));
    socket.once('close', () => socket.destroy());
  });
  if (!open) return listening(port);
}

test('over mosquitto: the same programs, one option', { timeout: DEMO_MS_MAX }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-mosquitto-'));
  const port = await freePort();
  writeFileSync(
    join(dir, 'mosquitto.conf'),
    `listener ${port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n`,
  );
  const broker: ChildProcess = spawn('mosquitto', ['-c', join(dir, 'mosquitto.conf')], { stdio: 'ignore' });
  try {
    await listening(port);
    const ran = await demo('--intervals', '2', '--broker', `mqtt://127.0.0.1:${port}`);
    expectWhole(ran, 2);
    expect(ran.status).toBe(0);
  } finally {
    broker.kill();
    rmSync(dir, { recursive: true, force: true });
  }
});

test.each([
  {
    part: 'primary',
    story: [
      /killed \(SIGKILL\): validator-\d, the primary/,
      /follows validator-\d as primary in view [1-9]/,
      /runs again/,
    ],
  },
  { part: 'validator', story: [/killed \(SIGKILL\): validator-\d/, /validator-\d runs again/] },
  { part: 'broker', story: [/with it the broker in its process/, /runs again/] },
  { part: 'gateway', story: [/killed \(SIGKILL\): gateway-house/, /gateway-house runs again/] },
])('with --kill $part: says what happened and goes on', { timeout: DEMO_MS_MAX }, async ({ part, story }) => {
  const ran = await demo('--intervals', '2', '--kill', part);
  for (const line of story) expect(ran.story).toMatch(line);
  expectWhole(ran, 2);
});
