// The short way of PUBLISH packets: written and read as the library would, however TCP cuts them; everything else is left to the library.

import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ClientStream, encodePublish } from '../../src/messaging/stream.ts';
import { afterwards, until } from './fixtures.ts';

const { generate } = createRequire(createRequire(import.meta.url).resolve('mqtt'))('mqtt-packet') as {
  generate: (packet: object) => Buffer;
};

const PACKET_BYTES_MAX = 200_000;

interface Heard {
  readonly far: Socket;
  readonly stream: ClientStream;
  readonly publishes: { topic: string; payload: string }[];
  readonly rest: Buffer[];
}

/** A client's stream and the broker's end of it. */
async function pair(): Promise<Heard> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const near = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [far] = (await once(server, 'connection')) as [Socket];
  far.setNoDelay(true);
  const publishes: Heard['publishes'] = [];
  const rest: Buffer[] = [];
  const stream = new ClientStream(near, PACKET_BYTES_MAX, (topic, payload) =>
    publishes.push({ topic, payload: payload.toString('latin1') }),
  );
  stream.on('data', (chunk: Buffer) => rest.push(chunk));
  stream.on('error', () => {});
  far.on('error', () => {});
  afterwards(() => {
    far.destroy();
    stream.destroy();
    server.close();
  });
  return { far, stream, publishes, rest };
}

const publish = (topic: string, payload: Buffer, qos: 0 | 1, retain: boolean): object => ({
  cmd: 'publish',
  topic,
  payload,
  qos,
  retain,
  dup: false,
  messageId: 7,
});

const payloads = fc
  .oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(0, 120, 127, 128, 16_370, 16_384, 70_000))
  .map((length) => Buffer.alloc(length, length % 251));
const topics = fc.constantFrom('a', 'wattpact/1/chain/reply/gateway-1/validator-1', 'straße/1', 'x'.repeat(200));

test('a PUBLISH of QoS 0 is written as the library writes it', () => {
  fc.assert(
    fc.property(topics, payloads, (topic, payload) => {
      expect(encodePublish(topic, payload).equals(generate(publish(topic, payload, 0, false)))).toBe(true);
    }),
  );
});

test('each PUBLISH of QoS 0 is handed over, the rest passes as it is, however TCP cuts them', async () => {
  const others = [
    { cmd: 'pingresp' },
    { cmd: 'puback', messageId: 3 },
    { cmd: 'suback', messageId: 4, granted: [0, 128] },
  ];
  const packets = fc.oneof(
    fc.constantFrom(...others),
    fc.record({ topic: topics, payload: payloads, qos: fc.constantFrom(0 as const, 1 as const), retain: fc.boolean() }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(packets, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 40_000 }))),
      async (sent, cuts) => {
        const { far, stream, publishes, rest } = await pair();
        const wantedPublishes: Heard['publishes'] = [];
        const wantedRest: Buffer[] = [];
        const bytes = sent.map((each) => {
          if ('cmd' in each) {
            wantedRest.push(generate(each));
            return generate(each);
          }
          const packet = generate(publish(each.topic, each.payload, each.qos, each.retain));
          if (each.qos === 0) wantedPublishes.push({ topic: each.topic, payload: each.payload.toString('latin1') });
          else wantedRest.push(packet);
          return packet;
        });
        const all = Buffer.concat(bytes);
        for (let at = 0, cut = 0; at < all.length && !stream.destroyed; cut++) {
          // Many small cuts at the beginning, where the headers are, then the rest.
          const end = cut > 60 ? all.length : Math.min(all.length, at + (cuts.next().value as number));
          await new Promise((resolve) => far.write(all.subarray(at, end), resolve));
          at = end;
        }
        const wanted = Buffer.concat(wantedRest);
        const isThere = () =>
          publishes.length === wantedPublishes.length && Buffer.concat(rest).length === wanted.length;
        await until('everything', () => isThere() || stream.destroyed);
        expect(publishes).toEqual(wantedPublishes);
        expect(Buffer.concat(rest).equals(wanted)).toBe(true);
        stream.destroy();
      },
    ),
    { numRuns: 25 },
  );
});

test.each([
  ['a length of five bytes', [0x30, 0x80, 0x80, 0x80, 0x80, 0x01]],
  ['a packet over the limit', [0x30, 0xc1, 0x9a, 0x0c]], // 200,001 bytes
  ['a topic that is longer than its packet', [0x30, 0x03, 0x00, 0x02, 0x61]],
  ['a PUBLISH without a topic', [0x30, 0x01, 0x00]],
  ['an empty PUBLISH', [0x30, 0x00]],
])('%s ends the connection and is told to nobody', async (_what, bytes) => {
  const { far, stream, publishes, rest } = await pair();
  far.write(Buffer.from(bytes));
  await until('the end', () => stream.destroyed);
  expect(stream.errored?.message).toMatch(/malformed/);
  expect([...publishes, ...rest]).toEqual([]);
});

test('what is said in one turn arrives whole and in order, beside what the library writes', async () => {
  const { far, stream } = await pair();
  const received: Buffer[] = [];
  far.on('data', (chunk) => received.push(chunk));
  const ping = generate({ cmd: 'pingreq' });
  const said = encodePublish('topic', Buffer.from('said'));
  stream.cork(); // as the library does around each of its packets
  stream.write(ping.subarray(0, 1));
  stream.say(said);
  stream.write(ping.subarray(1));
  process.nextTick(() => stream.uncork());
  await until('both', () => Buffer.concat(received).length === said.length + ping.length);
  expect(Buffer.concat(received).equals(Buffer.concat([said, ping]))).toBe(true);
});
