// kill -9 between any two steps of a lease: on disk but not written, after each register written, and while it is taken back. The next run takes it
// back, whatever the first one got to.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadProfile } from '../../src/site/load.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { type Served, serve, served } from './served.ts';

const CHILD = join(import.meta.dirname, 'lease-crash-child.ts');
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'wattpact-lease-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const isWrite = (pdu: Uint8Array): boolean => pdu[0] === 6 || pdu[0] === 16;

/** Runs the child; `killAt`: it is killed when its so-manieth write has come. Returns the writes seen and how it ended. */
async function run(device: Served, args: readonly string[], killAt = Number.POSITIVE_INFINITY) {
  let writes = 0;
  const child = spawn(process.execPath, [CHILD, dir, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  device.intercept = (pdu) => {
    if (isWrite(pdu) && ++writes === killAt) child.kill('SIGKILL');
    return undefined;
  };
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  if (code !== 0 && signal === null) throw new Error(errors);
  return { writes, signal };
}

function kept(): number {
  const store = openGatewayStore(join(dir, 'gateway.sqlite'), { readonly: true });
  const { length } = store.leases.all();
  store.close();
  return length;
}

test('a device is taken back from wherever the first run got to', { timeout: 120_000 }, async () => {
  const [name, control] = ['solaredge/storedge', 'batterySetpointW'];
  const device = served(loadProfile(name), 5000);
  const server = await serve({ 1: device.answer, 2: served(loadProfile('eastron/sdm630')).answer });
  const args = (when: string) => [String(server.port), name, control, when];
  const left = () => ({ told: device.image.control(control), kept: kept() });
  try {
    expect((await run(device, args('saved'))).signal).toBe('SIGKILL');
    expect(left()).toEqual({ told: null, kept: 1 });
    await run(device, args('recover'));

    const whole = await run(device, args('drive'));
    expect(whole.writes).toBeGreaterThan(3);
    expect(left()).toEqual({ told: null, kept: 0 });

    for (let killAt = 1; killAt <= whole.writes; killAt++) {
      const killed = await run(device, args('drive'), killAt);
      expect({ killAt, ...killed, kept: kept() }).toEqual({ killAt, writes: killAt, signal: 'SIGKILL', kept: 1 });
      // Once the run that takes it back dies of it too.
      if (killAt === 2) expect((await run(device, args('recover'), 1)).signal).toBe('SIGKILL');
      await run(device, args('recover'));
      expect({ killAt, ...left() }).toEqual({ killAt, told: null, kept: 0 });
    }
  } finally {
    await server.close();
  }
});
