// The guard in front of the broker: bytes pass unchanged however they are cut, nothing over its limit passes, floods wait.

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ConnectionLimits } from '../../src/messaging/access.ts';
import { GuardedStream } from '../../src/messaging/guard.ts';
import { afterwards, until } from './fixtures.ts';

const LIMITS: ConnectionLimits = {
  packetBytesMax: 300,
  messagesPerSecond: 100,
  messagesBurst: 1_000_000,
  bytesPerSecond: 1_000_000,
  bytesBurst: 1_000_000_000,
  backlogBytesMax: 1_000_000,
};

/** Both ends of a TCP connection, the far one guarded. */
async function pair(
  limits: ConnectionLimits,
  monotonicMs = () => 0,
): Promise<{ near: Socket; guarded: GuardedStream }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const near = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [far] = (await once(server, 'connection')) as [Socket];
  const guarded = new GuardedStream(far, monotonicMs, 1_000_000);
  guarded.admit(limits);
  near.on('error', () => {});
  guarded.on('error', () => {});
  afterwards(() => {
    near.destroy();
    guarded.destroy();
    server.close();
  });
  return { near, guarded };
}

/** A packet of a type and a length of content. */
function packet(type: number, length: number): Buffer {
  const head = [type << 4];
  let rest = length;
  do {
    head.push((rest % 128) | (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from(head), Buffer.alloc(length, type)]);
}

test('packets within the limit pass as they are, however TCP cuts them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 14 }), fc.integer({ min: 0, max: LIMITS.packetBytesMax })), {
        minLength: 1,
        maxLength: 12,
      }),
      fc.infiniteStream(fc.integer({ min: 1, max: 90 })),
      async (packets, cuts) => {
        const { near, guarded } = await pair(LIMITS);
        near.setNoDelay(true);
        const sent = Buffer.concat(packets.map(([type, length]) => packet(type, length)));
        const received: Buffer[] = [];
        guarded.on('data', (chunk: Buffer) => received.push(chunk));
        const length = () => received.reduce((sum, { length }) => sum + length, 0);
        for (let at = 0; at < sent.length; ) {
          const end = Math.min(sent.length, at + (cuts.next().value as number));
          await new Promise((resolve) => near.write(sent.subarray(at, end), resolve));
          at = end;
        }
        await until('everything', () => length() === sent.length || guarded.destroyed);
        expect(Buffer.concat(received).equals(sent)).toBe(true);
        guarded.destroy();
      },
    ),
    { numRuns: 25 },
  );
});

test('a packet one byte over the limit ends the connection, wherever its header is cut', async () => {
  const good = packet(3, LIMITS.packetBytesMax);
  const bad = packet(3, LIMITS.packetBytesMax + 1);
  for (let cut = 0; cut <= 3; cut++) {
    const { near, guarded } = await pair(LIMITS);
    guarded.resume();
    near.write(Buffer.concat([good, bad.subarray(0, cut)]));
    await new Promise((resolve) => near.write(bad.subarray(cut), resolve));
    await until(`the end, cut at ${cut}`, () => guarded.destroyed);
    expect(guarded.errored?.message).toMatch(/over 300 bytes/);
  }
});

/** What arrives through a guard, and whether it had stopped reading when a byte count was reached. */
function watched(guarded: GuardedStream): { bytes: number; pausedAt: Map<number, boolean> } {
  const seen = { bytes: 0, pausedAt: new Map<number, boolean>() };
  guarded.on('data', (chunk: Buffer) => {
    seen.bytes += chunk.length;
    // Looked at here, not after waiting for the bytes: on a busy machine the pause can be over by then.
    seen.pausedAt.set(seen.bytes, guarded.socket.isPaused());
  });
  return seen;
}

test('beyond its burst a client is read no faster than its rate', async () => {
  const { near, guarded } = await pair({ ...LIMITS, messagesBurst: 10 });
  const seen = watched(guarded);
  const one = packet(3, 20);
  const readable = Buffer.concat(Array.from({ length: 11 }, () => one));
  near.write(readable);
  await until('the burst', () => seen.bytes === readable.length);
  expect(seen.pausedAt.get(readable.length)).toBe(true);
  near.write(one);
  // One message over the burst at 100 a second: read on after 10 ms of real waiting.
  await until('the one that waited', () => seen.bytes === readable.length + one.length);
  expect(seen.pausedAt.get(readable.length + one.length)).toBe(true);
});

test('packets that are no messages count as much: pings, subscriptions, acknowledgements', async () => {
  for (const [type, length] of [
    [12, 0],
    [8, 30],
    [10, 30],
    [4, 2],
  ] as const) {
    const { guarded, near } = await pair({ ...LIMITS, messagesBurst: 10 });
    const seen = watched(guarded);
    const flood = Buffer.concat(Array.from({ length: 11 }, () => packet(type, length)));
    near.write(flood);
    await until('the burst', () => seen.bytes === flood.length);
    expect(seen.pausedAt.get(flood.length), `type ${type}`).toBe(true);
  }
});

test('the end of either side ends the other', async () => {
  const first = await pair(LIMITS);
  first.guarded.resume();
  first.near.end();
  await until('the guarded end', () => first.guarded.destroyed);
  const second = await pair(LIMITS);
  const closed = once(second.near, 'close');
  second.near.resume();
  second.guarded.destroy();
  await closed;
});
