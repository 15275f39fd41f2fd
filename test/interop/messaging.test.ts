// The same client against mosquitto, with the rules generated for it (package mosquitto). Needs: mosquitto, mosquitto_pub.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { siteAccess } from '../../src/messaging/access.ts';
import { mosquittoRules } from '../../src/messaging/rules.ts';
import type { Role } from '../../src/protocol/topics.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import {
  afterwards,
  bytes,
  CHAIN,
  connectedClient,
  keys,
  startBroker,
  startClient,
  text,
  until,
} from '../messaging/fixtures.ts';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startMosquitto(port: number): Promise<ChildProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-mosquitto-'));
  afterwards(() => rmSync(folder, { recursive: true }));
  const users = Object.entries(keys).map(([id, { keyId }]) => ({
    user: keyId,
    party: { id, role: id.split('-')[0] as Role },
  }));
  writeFileSync(join(folder, 'acl'), mosquittoRules(CHAIN, users));
  const config = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    `acl_file ${join(folder, 'acl')}`,
    'set_tcp_nodelay true',
    'persistence false',
  ];
  writeFileSync(join(folder, 'mosquitto.conf'), `${config.join('\n')}\n`);
  for (const file of ['acl', 'mosquitto.conf']) chmodSync(join(folder, file), 0o644);
  chmodSync(folder, 0o755);
  const child = spawn('mosquitto', ['-c', join(folder, 'mosquitto.conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  afterwards(() => end(child));
  await until('mosquitto to run', () => {
    if (child.exitCode !== null) throw new Error(`mosquitto ended: ${said}`);
    return said.includes('running');
  });
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

test('mosquitto carries requests and status, and enforces the generated rules', async () => {
  const port = await freePort();
  await startMosquitto(port);
  const url = `mqtt://127.0.0.1:${port}`;
  const validator = startClient('validator-1', [url]);
  const heard: string[] = [];
  validator.subscribe('request', ['+'], 1_000, ({ path, payload }) => heard.push(`${path[0]} ${text(payload)}`));
  await validator.connected(1, 20_000);
  const farm = await connectedClient('gateway-farm', [url]);
  // In the name of another: dropped by the rules.
  await farm.publish('request', ['gateway-house'], bytes('forged'));
  await farm.publish('request', ['gateway-farm'], bytes('true'));
  await until('the request', () => heard.length > 0);
  expect(heard).toEqual(['gateway-farm true']);

  const replies: string[] = [];
  const house = startClient('gateway-house', [url]);
  house.subscribe('reply', ['gateway-farm', '+'], 1_000, ({ payload }) => replies.push(text(payload)));
  house.subscribe('reply', ['gateway-house', '+'], 1_000, ({ payload }) => replies.push(text(payload)));
  await house.connected(1, 20_000);
  await validator.publish('reply', ['gateway-farm', 'validator-1'], bytes('for the farm'));
  await validator.publish('reply', ['gateway-house', 'validator-1'], bytes('for the house'));
  await until('the reply', () => replies.length > 0);
  expect(replies).toEqual(['for the house']);
});

test('mosquitto killed and started again: what was sent meanwhile arrives', async () => {
  const port = await freePort();
  const first = await startMosquitto(port);
  const url = `mqtt://127.0.0.1:${port}`;
  const { outbox } = openGatewayStore(':memory:');
  const farm = await connectedClient('gateway-farm', [url], { outbox });
  await end(first);
  await until('the loss', () => farm.status().connected === 0);
  await farm.send('id-1', 'request', ['gateway-farm'], bytes('kept'));
  await startMosquitto(port);
  await until('the acknowledgement', () => outbox.all()[0]?.acknowledged.length === 1);
});

test('one client over an embedded broker and mosquitto at once hears each message once', async () => {
  const port = await freePort();
  await startMosquitto(port);
  const embedded = await startBroker();
  const brokers = [`mqtt://127.0.0.1:${port}`, `${embedded.url}?broker=broker-1`];
  const validator = startClient('validator-1', brokers);
  const heard: string[] = [];
  validator.subscribe('request', ['+'], 1_000, ({ payload }) => heard.push(text(payload)));
  await validator.connected(2, 20_000);
  const farm = await connectedClient('gateway-farm', brokers);
  for (const what of ['one', 'two', 'three']) await farm.publish('request', ['gateway-farm'], bytes(what));
  await until('both copies', () => validator.status().brokers.every(({ received }) => received === 3));
  expect(heard).toEqual(['one', 'two', 'three']);
});

test("mosquitto_pub states a customer's demand at a site's own broker", async () => {
  const { customers } = openGatewayStore(':memory:');
  const token = customers.issue('planning');
  const heard: string[] = [];
  const { port } = await startBroker({
    access: siteAccess(customers.isToken),
    onMessage: (from, _topic, payload) => heard.push(`${from} ${text(payload)}`),
  });
  const say = (password: string) =>
    promisify(execFile)('mosquitto_pub', [
      ...['-h', '127.0.0.1', '-p', String(port), '-V', 'mqttv311', '-q', '1'],
      ...['-u', 'planning', '-P', password, '-t', 'wattpact/1/site/demand/planning', '-m', '{"demands":[]}'],
    ]);
  await say(token);
  expect(heard).toEqual(['planning {"demands":[]}']);
  await expect(say('wrong')).rejects.toThrow();
});
