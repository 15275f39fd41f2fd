// The embedded broker: who is let in, what is refused, and that nobody can fill its memory or stall the others.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { describe, expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import { generateKey, type Key, newKey } from '../../src/keys/files.ts';
import { LIMITS_OF_ROLES, siteAccess } from '../../src/messaging/access.ts';
import { LOGIN_KIND, LOGIN_VALID_MS, makeLogin } from '../../src/messaging/login.ts';
import { encodeEnvelope, seal } from '../../src/protocol/envelope.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import {
  afterwards,
  bytes,
  CHAIN,
  connectedClient,
  keys,
  Registry,
  recordingLog,
  startBroker,
  startClient,
  text,
  until,
} from './fixtures.ts';

const farm = keys['gateway-farm'] as Key;
const validator = keys['validator-1'] as Key;

/** A client of mqtt.js by itself, with whatever it says of itself. */
function rawClient(url: string, options: IClientOptions): MqttClient {
  const client = mqtt.connect(url, { reconnectPeriod: 0, protocolVersion: 4, ...options });
  client.on('error', () => {});
  afterwards(() => client.end(true));
  return client;
}

function honest(key: Key, nowMs = Date.now(), broker = 'broker-1', chain = CHAIN): IClientOptions {
  return { clientId: key.keyId, username: key.keyId, password: makeLogin(chain, broker, key, nowMs) };
}

/** How a connection attempt ended: `in`, or why not. */
async function attempt(url: string, options: IClientOptions): Promise<string> {
  const client = rawClient(url, options);
  return new Promise((resolve) => {
    client.on('connect', () => resolve('in'));
    client.on('error', (error) => resolve(error.message));
    client.on('close', () => resolve('closed'));
  });
}

/** A login of the farm's key under another signer. */
function signedAs(signer: string): string {
  const body = { broker: 'broker-1', expiresMs: Date.now() + 60_000, publicKey: farm.publicKey };
  return toBase64url(encodeEnvelope(seal(CHAIN, LOGIN_KIND, signer, body, farm.sign)));
}

describe('a login', () => {
  const stranger = newKey();
  const cases: { name: string; options: IClientOptions; reason: string | null }[] = [
    { name: 'of a known key', options: honest(farm), reason: null },
    { name: 'without a password', options: { clientId: farm.keyId }, reason: 'the password is no signed login' },
    {
      name: 'that is rubbish',
      options: { ...honest(farm), password: 'rubbish' },
      reason: 'the password is no signed login',
    },
    { name: 'of an unknown key', options: honest(stranger), reason: 'no party of this chain has this key' },
    {
      name: 'of one key with the client id of another',
      options: { ...honest(farm), clientId: validator.keyId },
      reason: 'the client id is not the id of the key',
    },
    {
      name: 'made for another broker',
      options: honest(farm, Date.now(), 'broker-2'),
      reason: 'the login is for broker broker-2, not broker-1',
    },
    {
      name: 'made for another chain',
      options: honest(farm, Date.now(), 'broker-1', 'other-0123456789abcdef'),
      reason: 'the signature of the login does not hold',
    },
    {
      name: 'that has expired',
      options: honest(farm, Date.now() - LOGIN_VALID_MS),
      reason: 'the login has expired: do the clocks agree?',
    },
    {
      name: 'from the future',
      options: honest(farm, Date.now() + 1.1 * LOGIN_VALID_MS),
      reason: 'the login is valid for too long: do the clocks agree?',
    },
    {
      name: 'with a signature by another key',
      options: {
        ...honest(farm),
        password: makeLogin(CHAIN, 'broker-1', { ...farm, sign: stranger.sign }, Date.now()),
      },
      reason: 'the signature of the login does not hold',
    },
    {
      name: 'that another id signed with the right key',
      options: { ...honest(farm), password: signedAs('gateway-farm') },
      reason: 'the client id is not the id of the key',
    },
  ];
  for (const { name, options, reason } of cases) {
    test(`${name} is ${reason === null ? 'let in' : 'refused'}`, async () => {
      const log = recordingLog();
      const { url } = await startBroker({ log });
      const outcome = await attempt(url, options);
      const refusals = log.lines.filter(([, message]) => message === 'broker: client refused');
      if (reason === null) expect([outcome, refusals]).toEqual(['in', []]);
      else expect([outcome === 'in', refusals[0]?.[2].reason]).toEqual([false, reason]);
    });
  }

  test('that wants a session kept is refused: nothing may queue up for the absent', async () => {
    const { url } = await startBroker();
    expect(await attempt(url, { ...honest(farm), clean: false })).not.toBe('in');
  });
});

describe('what a client may not do', () => {
  test('publishing in the name of another closes the connection and reaches nobody', async () => {
    const log = recordingLog();
    const { url } = await startBroker({ log });
    const listener = startClient('validator-1', [`${url}?broker=broker-1`]);
    const heard: string[] = [];
    listener.subscribe('request', ['+'], 1_000, ({ payload }) => heard.push(text(payload)));
    await listener.connected(1, 20_000);
    for (const channel of ['gateway-house', 'validator-1']) {
      const client = rawClient(url, honest(farm));
      await new Promise((resolve) => client.once('connect', resolve));
      const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
      client.publish(`wattpact/1/${CHAIN}/request/${channel}`, 'forged', { qos: 1 });
      await closed;
    }
    const honestClient = await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
    await honestClient.publish('request', ['gateway-farm'], bytes('true'));
    await until('the honest one', () => heard.length > 0);
    expect(heard).toEqual(['true']);
    expect(log.lines.find(([, message]) => message.includes('publish on'))?.[2].reason).toBe(
      'gateway gateway-farm may not publish there',
    );
  });

  test('subscribing to what is not its own is refused; the connection stays', async () => {
    const { url } = await startBroker();
    const client = rawClient(url, honest(farm));
    await new Promise((resolve) => client.once('connect', resolve));
    for (const filter of [
      '#',
      '$SYS/#',
      `wattpact/1/${CHAIN}/#`,
      `wattpact/1/${CHAIN}/request/+`,
      `wattpact/1/${CHAIN}/reply/+/+`,
    ]) {
      await expect(client.subscribeAsync(filter, { qos: 1 }), filter).rejects.toThrow();
    }
    const own = await client.subscribeAsync(`wattpact/1/${CHAIN}/reply/gateway-farm/+`, { qos: 1 });
    expect(own[0]?.qos).toBe(1);
    expect(client.connected).toBe(true);
  });

  test('one packet with thousands of subscriptions that are not its own ends the connection, not the log', async () => {
    const log = recordingLog();
    const { url } = await startBroker({ log });
    const client = rawClient(url, honest(farm));
    await new Promise((resolve) => client.once('connect', resolve));
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    client.subscribe(Array.from({ length: 2_000 }, (_, i) => `x${i}`));
    await closed;
    const warnings = log.lines.filter(([level]) => level === 'warn').length;
    expect(warnings).toBeGreaterThan(0);
    expect(warnings).toBeLessThanOrEqual(64);
  });

  test('bad logins without end cost a few lines of the log, and the honest are let in meanwhile', async () => {
    const log = recordingLog();
    const { url } = await startBroker({ log });
    for (let i = 0; i < 60; i++)
      expect(await attempt(url, { clientId: `x${i}`, username: 'x', password: 'rubbish' })).not.toBe('in');
    const warnings = log.lines.filter(([level]) => level === 'warn').length;
    expect(warnings).toBeGreaterThanOrEqual(10);
    expect(warnings).toBeLessThan(40);
    expect(await attempt(url, honest(farm))).toBe('in');
  });

  test('retaining anything but its status is refused', async () => {
    const { url } = await startBroker();
    const client = rawClient(url, honest(farm));
    await new Promise((resolve) => client.once('connect', resolve));
    await client.publishAsync(`wattpact/1/${CHAIN}/status/gateway-farm`, '{}', { qos: 1, retain: true });
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    client.publish(`wattpact/1/${CHAIN}/request/gateway-farm`, 'kept', { qos: 1, retain: true });
    await closed;
  });

  test('QoS 2, which the broker would have to keep, is refused', async () => {
    const log = recordingLog();
    const { url } = await startBroker({ log });
    const client = rawClient(url, honest(farm));
    await new Promise((resolve) => client.once('connect', resolve));
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    client.publish(`wattpact/1/${CHAIN}/request/gateway-farm`, 'twice', { qos: 2 });
    await closed;
    expect(log.lines.find(([level]) => level === 'warn')?.[2].reason).toBe('QoS 2 is not used here');
  });

  test('a revoked key is put out at once, and cannot come back', async () => {
    const registry = new Registry();
    const broker = await startBroker({ registry });
    const client = rawClient(broker.url, honest(farm));
    await new Promise((resolve) => client.once('connect', resolve));
    expect(broker.clients()).toEqual(['gateway-farm']);
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    registry.revoke('gateway-farm');
    broker.recheck();
    await closed;
    expect(await attempt(broker.url, honest(farm))).not.toBe('in');
    await until('nobody', () => broker.clients().length === 0);
  });
});

describe('hostile bytes', () => {
  function tcp(url: string): Promise<Socket> {
    return new Promise((resolve) => {
      const socket = connectTcp(Number(new URL(url).port), '127.0.0.1', () => resolve(socket));
      socket.on('error', () => {});
      afterwards(() => socket.destroy());
    });
  }

  const cases = {
    'a CONNECT of 256 MB': Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]),
    'a length of five bytes': Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]),
    HTTP: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'a PUBLISH before CONNECT': Buffer.from([0x30, 0x05, 0, 1, 0x61, 0x62, 0x63]),
    noise: Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) % 251)),
  };
  for (const [name, chunk] of Object.entries(cases)) {
    test(`${name} closes that connection, and the broker goes on`, async () => {
      const { url } = await startBroker();
      const socket = await tcp(url);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.write(chunk);
      await closed;
      expect(await attempt(url, honest(farm))).toBe('in');
    });
  }

  test('a packet over the limit of its role is cut off by its length, before it is sent', async () => {
    const { url } = await startBroker();
    const client = rawClient(url, honest(farm));
    await new Promise((resolve) => client.once('connect', resolve));
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    const socket = client.stream as unknown as Socket;
    // Only the header of a PUBLISH of 1 MB.
    socket.write(Buffer.from([0x32, 0x80, 0x80, 0x40]));
    await closed;
  });

  test('a client that does not read is closed; the others hear everything meanwhile', async () => {
    const log = recordingLog();
    const { url } = await startBroker({ log });
    const deaf = rawClient(url, honest(farm));
    await new Promise((resolve) => deaf.once('connect', resolve));
    await deaf.subscribeAsync(`wattpact/1/${CHAIN}/header/+`, { qos: 1 });
    (deaf.stream as unknown as Socket).pause();
    const closed = () => log.lines.some(([, message]) => message === 'broker: client does not read, closed');

    const listener = startClient('validator-2', [`${url}?broker=broker-1`]);
    let heard = 0;
    listener.subscribe('header', ['+'], 4_000_000, () => {
      heard += 1;
    });
    await listener.connected(1, 20_000);
    const speaker = await connectedClient('validator-1', [`${url}?broker=broker-1`]);
    const MOST = 60;
    let said = 0;
    for (; said < MOST && !closed(); said++) {
      const payload = new Uint8Array(500_000).fill(said);
      expect(await speaker.publish('header', ['validator-1'], payload)).toEqual([url]);
    }
    expect(closed(), `closed after ${said} messages of 500 kB`).toBe(true);
    await until('everything', () => heard === said);
    let isGone = false;
    deaf.once('close', () => {
      isGone = true;
    });
    (deaf.stream as unknown as Socket).resume();
    await until('its end', () => isGone);
  });

  test('every role has room for its largest packet, at once and again each second', () => {
    for (const [role, limits] of Object.entries(LIMITS_OF_ROLES)) {
      expect(limits.bytesBurst, role).toBeGreaterThanOrEqual(limits.packetBytesMax);
      expect(limits.bytesPerSecond, role).toBeGreaterThanOrEqual(limits.packetBytesMax);
      expect(limits.backlogBytesMax, role).toBeGreaterThan(limits.packetBytesMax);
    }
  });

  test('who floods is read more slowly, not the others', async () => {
    const { url } = await startBroker();
    const listener = startClient('validator-1', [`${url}?broker=broker-1`]);
    const heard = { 'gateway-farm': 0, 'gateway-house': 0 } as Record<string, number>;
    listener.subscribe('request', ['+'], 1_000, ({ path }) => {
      heard[path[0] as string] = (heard[path[0] as string] as number) + 1;
    });
    await listener.connected(1, 20_000);
    const flooder = await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
    const quiet = await connectedClient('gateway-house', [`${url}?broker=broker-1`]);
    const FLOOD = 2_000;
    for (let i = 0; i < FLOOD; i++) void flooder.publish('request', ['gateway-farm'], bytes(`flood ${i}`));
    expect(await quiet.publish('request', ['gateway-house'], bytes('here'))).toEqual([url]);
    await until('the quiet one', () => heard['gateway-house'] === 1);
    // Burst of 500 and 50 a second: what is through by now is far from all of it.
    expect(heard['gateway-farm']).toBeLessThan(FLOOD);
    expect(flooder.status().connected).toBe(1);
  });

  test('hundreds of connections that say nothing keep nobody out', async () => {
    const { url } = await startBroker({ clientsMax: 1 });
    const { port, hostname } = new URL(url);
    const silent = Array.from({ length: 300 }, () => {
      const socket = connectTcp(Number(port), hostname);
      socket.on('error', () => {});
      afterwards(() => socket.destroy());
      return socket;
    });
    await until('all to be connected or closed', () => silent.every((socket) => !socket.connecting));
    expect(await attempt(url, honest(farm))).toBe('in');
    await until('the oldest to be closed', () => silent.filter((socket) => socket.closed).length >= 300 - 64);
  });

  test('more clients than the limit are turned away', async () => {
    const { url } = await startBroker({ clientsMax: 1 });
    await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
    expect(await attempt(url, honest(validator))).not.toBe('in');
  });
});

test('connections that never say who they are have a limit', async () => {
  const { url } = await startBroker({ clientsMax: 1 });
  const port = Number(new URL(url).port);
  let turnedAway = 0;
  const sockets = Array.from({ length: 80 }, () => connectTcp(port, '127.0.0.1'));
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.on('close', () => {
      turnedAway += 1;
    });
    afterwards(() => socket.destroy());
  }
  // 64 strangers may stand at the door.
  await until('the rest to be turned away', () => turnedAway >= 16);
});

test('a busy port is one plain line', async () => {
  const { port } = await startBroker();
  await expect(startBroker({ port })).rejects.toThrow(
    `the broker cannot listen on 127.0.0.1:${port}: the port is busy`,
  );
});

test('over TLS a certificate made from the node key is proof enough', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-tls-'));
  afterwards(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'node.pem');
  const key = generateKey(path);
  const certificate = (keyFile: string, out: string): void => {
    const args = ['req', '-x509', '-new', '-key', keyFile, '-out', out, '-days', '2', '-subj', '/CN=localhost'];
    execFileSync('openssl', [...args, '-addext', 'subjectAltName=IP:127.0.0.1'], { stdio: 'ignore' });
  };
  certificate(path, join(folder, 'node.crt'));
  writeFileSync(join(folder, 'server.key'), execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519']), {
    mode: 0o600,
  });
  certificate(join(folder, 'server.key'), join(folder, 'server.crt'));
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

  const registry = new Registry();
  registry.parties.set(key.keyId, { id: 'gateway-tls', role: 'gateway' });
  const broker = await startBroker({ registry, tls: { cert: read('server.crt'), key: read('server.key') } });
  expect(broker.url).toBe(`mqtts://127.0.0.1:${broker.port}`);
  const node = startClient('gateway-tls', [broker.url], {
    key,
    tls: { ca: read('server.crt'), cert: read('node.crt'), key: read('node.pem') },
  });
  await node.connected(1, 20_000);
  expect(broker.clients()).toEqual(['gateway-tls']);
  // Without the certificate and without a login: nothing is proven.
  const bare = { clientId: key.keyId, username: key.keyId, ca: read('server.crt') };
  expect(await attempt(broker.url, bare)).not.toBe('in');
});

describe("a site's own broker", () => {
  async function site() {
    const { customers } = openGatewayStore(':memory:');
    const token = customers.issue('factory-planning');
    const heard: string[] = [];
    const broker = await startBroker({
      access: siteAccess(customers.isToken),
      onMessage: (from, topic, payload) => {
        if (text(payload) === 'bad') throw new Error('no statement');
        heard.push(`${from} ${topic} ${text(payload)}`);
      },
    });
    return { broker, token, heard, customers };
  }
  const TOPIC = 'wattpact/1/site/demand/factory-planning';

  test('a customer states its demand with its token; heard before it is acknowledged', async () => {
    const { broker, token, heard } = await site();
    const client = rawClient(broker.url, { username: 'factory-planning', password: token });
    await new Promise((resolve) => client.once('connect', resolve));
    await client.publishAsync(TOPIC, '{}', { qos: 1 });
    expect(heard).toEqual([`factory-planning ${TOPIC} {}`]);
    await expect(client.subscribeAsync(TOPIC)).rejects.toThrow();
  });

  test("a wrong token, another customer's topic and a bad statement are refused", async () => {
    const { broker, token, heard, customers } = await site();
    expect(await attempt(broker.url, { username: 'factory-planning', password: 'guess' })).not.toBe('in');
    expect(await attempt(broker.url, { username: 'somebody', password: token })).not.toBe('in');
    for (const [topic, payload] of [
      ['wattpact/1/site/demand/other', '{}'],
      [`wattpact/1/${CHAIN}/request/gateway-farm`, '{}'],
      [TOPIC, 'bad'],
    ] as const) {
      const client = rawClient(broker.url, { username: 'factory-planning', password: token });
      await new Promise((resolve) => client.once('connect', resolve));
      const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
      client.publish(topic, payload, { qos: 1 });
      await closed;
    }
    customers.revoke('factory-planning');
    expect(await attempt(broker.url, { username: 'factory-planning', password: token })).not.toBe('in');
    expect(heard).toEqual([]);
  });
});
