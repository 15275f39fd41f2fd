// kill -9 of a sender at the worst instants: the request arrives after the restart, always the same bytes, never another one.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { generateKey, type Key } from '../../src/keys/files.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { afterwards, CHAIN, Registry, startBroker, startClient, until } from './fixtures.ts';

const src = (path: string): string => JSON.stringify(resolve(import.meta.dirname, '../../src', path));

/** A sender as the gateway is one: resends what is undecided, else signs something new. Dies by its own hand where told. */
const SENDER = `
  import { randomBytes } from 'node:crypto';
  import { SILENT } from ${src('base/log.ts')};
  import { newRequest } from ${src('contract/life.ts')};
  import { loadKey } from ${src('keys/files.ts')};
  import { connect } from ${src('messaging/client.ts')};
  import { openGatewayStore } from ${src('store/gateway.ts')};
  const [folder, url, dieAt] = process.argv.slice(1);
  const die = (at) => { if (at === dieAt) process.kill(process.pid, 'SIGKILL'); };
  const store = openGatewayStore(folder + '/gateway.db');
  const clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };
  const messaging = connect({
    chain: ${JSON.stringify(CHAIN)}, self: 'gateway-farm', key: loadKey(folder + '/key.pem'), brokers: [url],
    brokersWanted: 1, outbox: store.outbox, clock, log: SILENT, random: Math.random,
  });
  await messaging.connected(1, 10000);
  const request = store.requests.undecided()[0] ?? store.requests.create((sequence) => ({
    id: 'id-' + sequence, kind: 'offer', interval: 1, createdAtMs: 1, life: newRequest('id-' + sequence, 5000),
    bytes: randomBytes(40),
  }));
  die('persisted');
  const sending = messaging.send(request.id, 'request', ['gateway-farm'], request.bytes);
  die('handed over');
  await sending;
  die('acknowledged');
  await messaging.stop();
`;

test.each(['persisted', 'handed over', 'acknowledged'])('killed when the request was %s', async (dieAt) => {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-kill-'));
  afterwards(() => rmSync(folder, { recursive: true }));
  const key: Key = generateKey(join(folder, 'key.pem'));
  const registry = new Registry();
  registry.revoke('gateway-farm');
  registry.parties.set(key.keyId, { id: 'gateway-farm', role: 'gateway' });
  const { url } = await startBroker({ registry });
  const validator = startClient('validator-1', [`${url}?broker=broker-1`]);
  const heard: string[] = [];
  validator.subscribe('request', ['+'], 1_000, ({ payload }) => heard.push(Buffer.from(payload).toString('hex')));
  await validator.connected(1, 20_000);

  const run = (at: string): Promise<string | null> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', SENDER, folder, `${url}?broker=broker-1`, at], {
      stdio: 'inherit',
    });
    return new Promise((ended) => child.once('close', (_code, signal) => ended(signal)));
  };
  expect(await run(dieAt)).toBe('SIGKILL');
  expect(await run('never')).toBeNull();
  await until('the request', () => heard.length > 0);

  const store = openGatewayStore(join(folder, 'gateway.db'));
  afterwards(() => store.close());
  const signed = store.requests.undecided().map(({ bytes }) => Buffer.from(bytes).toString('hex'));
  expect(signed.length).toBe(1);
  expect([...new Set(heard)]).toEqual(signed);
  expect(store.outbox.all().map(({ acknowledged }) => acknowledged)).toEqual([[url]]);
});
