// A node on its brokers: what it says arrives once, what it must not lose is sent until acknowledged, and brokers may come and go.

import { type AddressInfo, createServer, Socket } from 'node:net';
import { MqttClient } from 'mqtt';
import { expect, test, vi } from 'vitest';
import { ACKNOWLEDGE_TIMEOUT_MS } from '../../src/messaging/connection.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { afterwards, bytes, connectedClient, recordingLog, startBroker, startClient, text, until } from './fixtures.ts';

const BYTES_MAX = 1_000;

function listenTo(client: Awaited<ReturnType<typeof connectedClient>>, gateway = '+'): string[] {
  const heard: string[] = [];
  client.subscribe('request', [gateway], BYTES_MAX, ({ path, payload }) => heard.push(`${path[0]}: ${text(payload)}`));
  return heard;
}

test('a request published by a gateway reaches a validator, with its path', async () => {
  const { url } = await startBroker();
  const validator = startClient('validator-1', [`${url}?broker=broker-1`]);
  const heard = listenTo(validator);
  await validator.connected(1, 20_000);
  const gateway = await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
  expect(await gateway.publish('request', ['gateway-farm'], bytes('hello'))).toEqual([url]);
  await until('the request', () => heard.length > 0);
  expect(heard).toEqual(['gateway-farm: hello']);
});

test('over two brokers a message is heard once; with one of them down it still arrives', async () => {
  const [one, two] = [await startBroker({ id: 'one' }), await startBroker({ id: 'two' })];
  const brokers = [`${one.url}?broker=one`, `${two.url}?broker=two`];
  const validator = await connectedClient('validator-1', brokers);
  const heard = listenTo(validator);
  const gateway = await connectedClient('gateway-farm', brokers);

  expect(await gateway.publish('request', ['gateway-farm'], bytes('first'))).toEqual([one.url, two.url]);
  await until('both copies', () => validator.status().brokers.every(({ received }) => received === 1));
  expect(heard).toEqual(['gateway-farm: first']);

  await two.close();
  await until('the loss', () => gateway.status().connected === 1 && validator.status().connected === 1);
  expect(await gateway.publish('request', ['gateway-farm'], bytes('second'))).toEqual([one.url]);
  await until('the second', () => heard.length === 2);
  expect(heard).toEqual(['gateway-farm: first', 'gateway-farm: second']);
  expect(gateway.status().brokers[1]).toMatchObject({ broker: two.url, state: 'waiting', reason: expect.any(String) });
});

test('a deliberate repetition after the window of duplicates is heard again', async () => {
  const { url } = await startBroker();
  let nowMs = 0;
  const validator = startClient('validator-1', [`${url}?broker=broker-1`], {
    clock: { chainMs: () => Date.now(), monotonicMs: () => nowMs },
  });
  const heard = listenTo(validator);
  await validator.connected(1, 20_000);
  const gateway = await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
  const say = (what: string) => gateway.publish('request', ['gateway-farm'], bytes(what));
  await say('again');
  await say('again');
  await say('mark');
  await until('the mark', () => heard.includes('gateway-farm: mark'));
  expect(heard).toEqual(['gateway-farm: again', 'gateway-farm: mark']);
  nowMs = 1_000;
  await say('again');
  await until('the repetition', () => heard.length === 3);
  expect(heard[2]).toBe('gateway-farm: again');
});

test('no-delay is asked for on both ends of every connection', async () => {
  const asked = vi.spyOn(Socket.prototype, 'setNoDelay');
  afterwards(() => asked.mockRestore());
  const { url } = await startBroker();
  await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
  expect(asked.mock.calls.every(([on]) => on === true)).toBe(true);
  const brokerPort = Number(new URL(url).port);
  const sockets = asked.mock.contexts as Socket[];
  expect(
    sockets.some(({ remotePort }) => remotePort === brokerPort),
    'the client',
  ).toBe(true);
  expect(
    sockets.some(({ localPort }) => localPort === brokerPort),
    'the broker',
  ).toBe(true);
});

test('what is sent while no broker is there arrives when one comes, byte for byte', async () => {
  const first = await startBroker();
  const { port } = first;
  await first.close();
  const url = `mqtt://127.0.0.1:${port}`;
  const store = openGatewayStore(':memory:');
  const gateway = startClient('gateway-farm', [`${url}?broker=broker-1`], { outbox: store.outbox });
  expect(await gateway.send('id-1', 'request', ['gateway-farm'], bytes('kept'))).toEqual([]);
  expect(gateway.status()).toMatchObject({ connected: 0, healthy: false, outbox: 1 });

  const broker = await startBroker({ port });
  expect(broker.port).toBe(port);
  const validator = startClient('validator-1', [`${url}?broker=broker-1`]);
  const heard = listenTo(validator);
  await validator.connected(1, 20_000);
  await gateway.connected(1, 20_000);
  await until('the acknowledgement', () => store.outbox.all()[0]?.acknowledged.length === 1);
  // The gateway may have been there before the validator listened: the contract resends what is undecided.
  await until('the resent request', () => {
    void gateway.send('id-1', 'request', ['gateway-farm'], bytes('kept'));
    return heard.length > 0;
  });
  expect(heard[0]).toBe('gateway-farm: kept');
  gateway.forget('id-1');
  expect(store.outbox.size()).toBe(0);
});

test('what was just said still arrives when a node stops', async () => {
  const { url } = await startBroker();
  const validator = await connectedClient('validator-1', [`${url}?broker=broker-1`]);
  const heard = listenTo(validator);
  const gateway = await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
  for (let i = 0; i < 20; i++) void gateway.publish('request', ['gateway-farm'], bytes(`last ${i}`));
  await gateway.stop();
  await until('all of it', () => heard.length === 20);
});

test('the same id with other bytes is never sent', async () => {
  const { url } = await startBroker();
  const gateway = await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
  await gateway.send('id-1', 'request', ['gateway-farm'], bytes('one'));
  expect(() => gateway.send('id-1', 'request', ['gateway-farm'], bytes('two'))).toThrow(/other bytes/);
});

test('a broker that goes and comes back is subscribed again', async () => {
  const first = await startBroker();
  const { port } = first;
  const brokers = [`mqtt://127.0.0.1:${port}?broker=broker-1`];
  const validator = await connectedClient('validator-1', brokers);
  const heard = listenTo(validator);
  const gateway = await connectedClient('gateway-farm', brokers);
  await first.close();
  await until('the loss', () => validator.status().connected === 0 && gateway.status().connected === 0);
  await startBroker({ port });
  await Promise.all([validator.connected(1, 20_000), gateway.connected(1, 20_000)]);
  await gateway.publish('request', ['gateway-farm'], bytes('back'));
  await until('the message', () => heard.length > 0);
  expect(heard).toEqual(['gateway-farm: back']);
});

test('a message over its limit or from a handler that throws ends nothing', async () => {
  const { url } = await startBroker();
  const log = recordingLog();
  const validator = startClient('validator-1', [`${url}?broker=broker-1`], { log });
  const heard: string[] = [];
  validator.subscribe('request', ['+'], 10, ({ payload }) => {
    heard.push(text(payload));
    if (heard.length === 1) throw new Error('broken handler');
  });
  await validator.connected(1, 20_000);
  const gateway = await connectedClient('gateway-farm', [`${url}?broker=broker-1`]);
  for (const what of ['short', 'this is much too long', 'fine']) {
    await gateway.publish('request', ['gateway-farm'], bytes(what));
  }
  await until('the last', () => heard.includes('fine'));
  expect(heard).toEqual(['short', 'fine']);
  expect(validator.status().ignored).toBe(1);
  expect(log.lines.filter(([level]) => level === 'error').map(([, , { reason }]) => reason)).toEqual([
    'broken handler',
  ]);
});

test('status is retained, says offline by the will when a node dies and by itself when it stops', async () => {
  const { url } = await startBroker();
  const brokers = [`${url}?broker=broker-1`];
  const watcher = startClient('validator-1', brokers);
  const seen: string[] = [];
  watcher.subscribe('status', ['+'], BYTES_MAX, ({ path, payload }) => seen.push(`${path[0]} ${text(payload)}`));
  await watcher.connected(1, 20_000);
  const gateway = startClient('gateway-farm', brokers);
  gateway.announce({ version: '1' });
  await until('online', () => seen.includes('gateway-farm {"state":"online","version":"1"}'));
  await gateway.stop();
  await until('offline', () => seen.includes('gateway-farm {"state":"offline"}'));

  const late = startClient('operator-grid', brokers);
  const retained: string[] = [];
  late.subscribe('status', ['gateway-farm'], BYTES_MAX, ({ payload }) => retained.push(text(payload)));
  await until('the retained status', () => retained.length > 0);
  expect(retained).toEqual(['{"state":"offline"}']);
});

test('a list of brokers that cannot be used is refused with what is wrong', () => {
  for (const [brokers, message] of [
    [[], /empty/],
    [['http://x'], /mqtt:\/\//],
    [['mqtt://h:1', 'mqtt://h:1?broker=a'], /twice/],
    [['mqtt://user:secret@h:1/path'], /path/],
  ] as const) {
    expect(() => startClient('gateway-farm', brokers)).toThrow(message);
  }
  expect(() => startClient('gateway-farm', ['mqtt://user:secret@h:1/path'])).not.toThrow(/secret/);
});

test('when no broker answers, the wait ends with a line that names them', async () => {
  const { port, close } = await startBroker();
  await close();
  const gateway = startClient('gateway-farm', [`mqtt://127.0.0.1:${port}`]);
  await expect(gateway.connected(1, 300)).rejects.toThrow(new RegExp(`0 of the 1 brokers.*127.0.0.1:${port}`));
});

test('a broker that refuses the login is reported as that, and tried again', async () => {
  const { url } = await startBroker();
  const log = recordingLog();
  const gateway = startClient('gateway-farm', [`${url}?broker=another`], { log });
  await until('the refusal', () => gateway.status().brokers[0]?.state === 'waiting');
  expect(gateway.status().brokers[0]?.reason).toMatch(/^the broker refused the login/);
  expect(log.lines[0]).toMatchObject(['warn', 'broker not connected', { broker: url }]);
  await until('the next attempt', () => log.lines.length > 1);
});

test('what is subscribed between the connection and its first subscriptions is heard', async () => {
  const { url } = await startBroker();
  const brokers = [`${url}?broker=broker-1`];
  const gateway = await connectedClient('gateway-farm', brokers);
  const heard: string[] = [];
  const validator = startClient('validator-1', brokers);
  validator.subscribe('status', ['+'], BYTES_MAX, () => undefined);
  const { subscribeAsync } = MqttClient.prototype;
  const spy = vi.spyOn(MqttClient.prototype, 'subscribeAsync').mockImplementationOnce(function (
    this: MqttClient,
    what,
  ) {
    validator.subscribe('request', ['+'], BYTES_MAX, ({ payload }) => heard.push(text(payload)));
    return subscribeAsync.call(this, what as string[], { qos: 1 });
  });
  afterwards(() => spy.mockRestore());
  await validator.connected(1, 20_000);
  await until('the message', () => {
    void gateway.publish('request', ['gateway-farm'], bytes('x'));
    return heard.length > 0;
  });
});

test('a certificate that is none is one plain line', async () => {
  const tls = { cert: 'nonsense', key: 'nonsense' };
  expect(() => startClient('gateway-farm', ['mqtts://127.0.0.1:1'], { tls })).toThrow(/cannot connect to mqtts:.*127/);
});

/** A broker that takes what is published and acknowledges as many of the messages as it is told to. */
async function sparingBroker(acknowledging: () => boolean): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    let kept = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      kept = Buffer.concat([kept, chunk]);
      // Packets of this test: a remaining length of one or two bytes.
      for (;;) {
        const long = ((kept[1] ?? 0) & 0x80) !== 0;
        const length = long ? (kept[1]! & 0x7f) + 128 * (kept[2] ?? 0) : (kept[1] ?? Number.POSITIVE_INFINITY);
        const head = long ? 3 : 2;
        if (kept.length < head + length) return;
        const [packet, rest] = [kept.subarray(0, head + length), kept.subarray(head + length)];
        kept = rest;
        const type = packet[0]! >> 4;
        const topicBytes = type === 3 ? packet.readUInt16BE(head) + 2 : 0;
        const id = packet.subarray(head + topicBytes, head + topicBytes + 2);
        if (type === 1) socket.write(Buffer.of(0x20, 2, 0, 0));
        if (type === 8) socket.write(Buffer.of(0x90, 3, ...id, 1));
        if (type === 12) socket.write(Buffer.of(0xd0, 0));
        if (type === 3 && acknowledging()) socket.write(Buffer.of(0x40, 2, ...id));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterwards(() => server.close());
  return `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}?broker=sparing`;
}

test('a broker that takes messages and acknowledges none is left when the oldest has waited its time, not before', async () => {
  let nowMs = 0;
  let isSparing = false;
  const url = await sparingBroker(() => !isSparing);
  // The waits of messages in flight are driven by hand.
  const waits: { run: () => void; ms: number }[] = [];
  const { setTimeout: really } = globalThis;
  const spy = vi.spyOn(globalThis, 'setTimeout').mockImplementation(((run: () => void, ms: number) => {
    if (ms !== ACKNOWLEDGE_TIMEOUT_MS && ms !== 6_000) return really(run, ms);
    waits.push({ run, ms });
    return really(() => undefined, 0);
  }) as typeof setTimeout);
  afterwards(() => spy.mockRestore());
  const clock = { chainMs: () => Date.now(), monotonicMs: () => nowMs };
  const gateway = await connectedClient('gateway-farm', [url], { clock });
  const [broker] = gateway.status().brokers.map(({ broker }) => broker);
  waits.length = 0;

  expect(await gateway.publish('request', ['gateway-farm'], bytes('first'))).toEqual([broker]);
  nowMs = 6_000;
  isSparing = true;
  const second = gateway.publish('request', ['gateway-farm'], bytes('second'));
  nowMs = ACKNOWLEDGE_TIMEOUT_MS;
  expect(waits.map(({ ms }) => ms)).toEqual([ACKNOWLEDGE_TIMEOUT_MS]);
  waits.shift()?.run();
  expect(gateway.status().brokers[0]?.state).toBe('connected');
  expect(waits.map(({ ms }) => ms)).toEqual([6_000]);
  nowMs = 6_000 + ACKNOWLEDGE_TIMEOUT_MS;
  waits.shift()?.run();
  expect(await second).toEqual([]);
  expect(gateway.status().brokers[0]).toMatchObject({
    state: 'waiting',
    reason: expect.stringMatching(/^nothing acknowledged for 10000 ms/),
  });
});
