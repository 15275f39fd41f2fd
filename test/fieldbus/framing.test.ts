// Hostile and broken peers: a typed error and the right next read, never a wrong value, never a hang.

import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { FieldbusError } from '../../src/fieldbus/errors.ts';
import { createLine, type Line } from '../../src/fieldbus/line.ts';
import { crc16, RtuOverTcpPort, rtuFrames } from '../../src/fieldbus/ports.ts';
import { createTcpLine } from '../../src/fieldbus/tcp-line.ts';

const TIMEOUT_MS = 60;
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A server that answers each request as told. */
async function peer(answer: (request: Buffer, socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (request) => answer(request, socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

async function tcpLine(answer: (request: Buffer, socket: Socket) => void): Promise<Line> {
  const port = await peer(answer);
  return opened(createTcpLine('127.0.0.1', port, 1000));
}

async function rtuLine(answer: (request: Buffer, socket: Socket) => void): Promise<Line> {
  const port = await peer(answer);
  return opened(createLine('peer', async () => new RtuOverTcpPort('127.0.0.1', port, 1000)));
}

async function opened(line: Line): Promise<Line> {
  await line.open();
  ends.push(() => line.close());
  return line;
}

/** The right answer to a read: each register holds its address. */
function right(
  request: Buffer,
  over: { transaction?: number; unit?: number; code?: number; shift?: number } = {},
): Buffer {
  const address = request.readUInt16BE(8) + (over.shift ?? 0);
  const count = request.readUInt16BE(10);
  const answer = Buffer.alloc(9 + 2 * count);
  answer.writeUInt16BE(over.transaction ?? request.readUInt16BE(0), 0);
  answer.writeUInt16BE(3 + 2 * count, 4);
  answer[6] = over.unit ?? (request[6] as number);
  answer[7] = over.code ?? (request[7] as number);
  answer[8] = 2 * count;
  for (let i = 0; i < count; i++) answer.writeUInt16BE((address + i) & 0xffff, 9 + 2 * i);
  return answer;
}

const rtuOf = (pdu: readonly number[]): Buffer => {
  const body = Buffer.from(pdu);
  const crc = crc16(body);
  return Buffer.concat([body, Buffer.of(crc & 0xff, crc >> 8)]);
};

async function faultOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FieldbusError);
  return (error as FieldbusError).fault;
}

/** One register more than was asked for, consistent in itself. */
function long(request: Buffer): Buffer {
  const more = Buffer.from(request);
  more.writeUInt16BE(request.readUInt16BE(10) + 1, 10);
  return right(more);
}

describe('TCP', () => {
  const bad: readonly [string, (request: Buffer, socket: Socket) => void, string][] = [
    ['silence', () => undefined, 'timeout'],
    ['wrong transaction', (r, s) => s.write(right(r, { transaction: 999 })), 'timeout'],
    ['wrong unit', (r, s) => s.write(right(r, { unit: 77 })), 'damaged'],
    ['wrong function', (r, s) => s.write(right(r, { code: 4 })), 'damaged'],
    ['too short', (r, s) => s.write(Buffer.concat([r.subarray(0, 4), Buffer.from([0, 5, 1, 3, 2, 0, 1])])), 'damaged'],
    [
      'a byte count that lies',
      (r, s) => {
        const a = right(r);
        a[8] = 2;
        s.write(a);
      },
      'damaged',
    ],
    ['half a frame', (r, s) => s.write(right(r).subarray(0, 10)), 'timeout'],
    ['exception', (r, s) => s.write(Buffer.from([r[0]!, r[1]!, 0, 0, 0, 3, r[6]!, 0x83, 2])), 'exception'],
    ['no Modbus at all', (_r, s) => s.write('HTTP/1.1 400 Bad Request\r\n\r\n'), 'disconnected'],
    ['too long', (r, s) => s.write(long(r)), 'damaged'],
    ['answered twice', (r, s) => s.write(Buffer.concat([right(r, { unit: 9 }), right(r)])), 'damaged'],
    ['hangs up', (_r, s) => s.destroy(), 'disconnected'],
  ];
  for (const [name, answer, fault] of bad) {
    test(`${name}: ${fault}, and the next read is right`, async () => {
      let first = true;
      const line = await tcpLine((request, socket) => {
        if (first) answer(request, socket);
        else socket.write(right(request));
        first = false;
      });
      expect(await faultOf(line.read(1, 'holding', 100, 3, TIMEOUT_MS))).toBe(fault);
      // A stream that stopped in the middle of a frame is begun anew, like one that is no Modbus at all.
      if (name === 'half a frame') await vi.waitFor(() => expect(line.isOpen).toBe(false), { timeout: 20_000 });
      if (fault === 'disconnected' || name === 'half a frame') await line.open();
      expect(await line.read(1, 'holding', 200, 3, 1000)).toEqual([200, 201, 202]);
    });
  }

  test('late and doubled answers never answer another question', async () => {
    const held: Buffer[] = [];
    const line = await tcpLine((request, socket) => {
      held.push(right(request));
      if (held.length === 1) return;
      // The answer to the first question comes late, doubled, before the one to the second.
      socket.write(Buffer.concat([held[0]!, held[0]!, held.at(-1)!, held.at(-1)!]));
    });
    expect(await faultOf(line.read(1, 'holding', 10, 2, TIMEOUT_MS))).toBe('timeout');
    for (let address = 500; address < 520; address++) {
      expect(await line.read(1, 'holding', address, 2, 1000)).toEqual([address, address + 1]);
    }
  });

  test('many in flight, answered in any order and in any pieces', async () => {
    let waiting: Buffer[] = [];
    const line = await tcpLine((requests, socket) => {
      for (let at = 0; at < requests.length; at += 12) waiting.push(right(requests.subarray(at, at + 12)));
      if (waiting.length < 16) return;
      const bytes = Buffer.concat(waiting.reverse());
      waiting = [];
      for (let at = 0; at < bytes.length; at += 7) socket.write(bytes.subarray(at, at + 7));
    });
    for (let round = 0; round < 3; round++) {
      const addresses = Array.from({ length: 16 }, (_, i) => 1000 * round + 10 * i);
      const answers = await Promise.all(addresses.map((address) => line.read(1, 'holding', address, 4, 2000)));
      expect(answers).toEqual(addresses.map((address) => [address, address + 1, address + 2, address + 3]));
    }
  });

  test('a write must be echoed', async () => {
    const line = await tcpLine((request, socket) => {
      const answer = Buffer.from(request);
      answer.writeUInt16BE(5, 8);
      socket.write(answer);
    });
    expect(await faultOf(line.write(1, 'holding', 4, [7], true, 200))).toBe('damaged');
  });

  test('noise never becomes a value', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 60 }), async (noise) => {
        const line = await tcpLine((_request, socket) => socket.write(noise));
        const fault = await faultOf(line.read(1, 'holding', 0, 2, 15));
        expect(['timeout', 'damaged', 'disconnected', 'exception']).toContain(fault);
        for (const end of ends.splice(0).reverse()) await end();
      }),
      { numRuns: 40 },
    );
  });
});

describe('RTU', () => {
  const good = (request: Buffer): Buffer => {
    const count = request.readUInt16BE(4);
    const words = Array.from({ length: count }, (_, i) => request.readUInt16BE(2) + i);
    return rtuOf([request[0]!, request[1]!, 2 * count, ...words.flatMap((word) => [word >> 8, word & 0xff])]);
  };

  const bad: readonly [string, (request: Buffer) => Buffer, string][] = [
    ['silence', () => Buffer.alloc(0), 'timeout'],
    [
      'bad checksum',
      (r) => {
        const a = good(r);
        a[4] = (a[4]! ^ 1) & 0xff;
        return a;
      },
      'timeout',
    ],
    ['another unit', (r) => rtuOf([9, 3, 2, 0, 1].concat([...r.subarray(0, 0)])), 'timeout'],
    ['half a frame', (r) => good(r).subarray(0, 5), 'timeout'],
    ['too short, with a right checksum', (r) => rtuOf([r[0]!, 3, 2, 0, 1]), 'timeout'],
    ['too long, with a right checksum', (r) => rtuOf([r[0]!, 3, 8, 0, 1, 0, 2, 0, 3, 0, 4]), 'timeout'],
    ['another function', (r) => rtuOf([r[0]!, 4, 6, 0, 1, 0, 2, 0, 3]), 'timeout'],
    ['noise without end', () => Buffer.alloc(200_000, 1), 'timeout'],
    ['exception', (r) => rtuOf([r[0]!, 0x83, 3]), 'exception'],
  ];
  for (const [name, answer, fault] of bad) {
    test(`${name}: ${fault}, and the next read is right`, async () => {
      let first = true;
      const line = await rtuLine((request, socket) => {
        socket.write(first ? answer(request) : good(request));
        first = false;
      });
      expect(await faultOf(line.read(1, 'holding', 100, 3, TIMEOUT_MS))).toBe(fault);
      expect(await line.read(1, 'holding', 200, 3, 1000)).toEqual([200, 201, 202]);
    });
  }

  test('noise before the answer, and the answer twice: one value, and the next read is right', async () => {
    const line = await rtuLine((request, socket) => {
      socket.write(Buffer.concat([Buffer.from([0xff, 1, 0, 1, 3]), good(request), good(request)]));
    });
    for (let address = 100; address < 110; address++) {
      expect(await line.read(1, 'holding', address, 2, 1000)).toEqual([address, address + 1]);
    }
  });

  test('a late answer to another question of the same length is caught by nothing but time, and the bus waits for it', () => {
    // RTU has no transaction id: bus.ts leaves the unit alone until a late answer must have come (LATE_ANSWER_MS).
    const found: Buffer[] = [];
    const frames = rtuFrames((frame) => found.push(Buffer.from(frame)));
    const first = rtuOf([1, 3, 0, 50, 0, 2]);
    frames.expect(first);
    frames.expect(rtuOf([2, 3, 0, 60, 0, 2]));
    frames.take(good(first));
    expect(found).toEqual([]);
  });

  test('an answer is found in noise, and only a whole one', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.uint8Array({ maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 }),
        (before, after, pieces) => {
          const request = rtuOf([1, 3, 0, 50, 0, 2]);
          const answer = good(request);
          const found: Buffer[] = [];
          const frames = rtuFrames((frame) => found.push(Buffer.from(frame)));
          const bytes = Buffer.concat([Buffer.from(before), answer, Buffer.from(after)]);
          frames.expect(request);
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = pieces[i % pieces.length]!;
            frames.take(bytes.subarray(at, at + size));
            at += size;
          }
          // Noise that looks like the start of a frame may swallow it; it never yields another.
          for (const frame of found) expect(crc16(frame, frame.length - 2)).toBe(frame.readUInt16LE(frame.length - 2));
          if (before.length === 0) expect(found[0]).toEqual(answer);
          expect(found.length).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  test('checksum as the standard has it', () => {
    // MODBUS over Serial Line V1.02, appendix B: 02 07 -> 41 12.
    expect(crc16(Uint8Array.of(0x02, 0x07)).toString(16)).toBe('1241');
  });
});

describe('a hostile device', () => {
  test('sends what it likes for as long as it likes: every read ends typed or right, and memory stays bounded', async () => {
    const random = seededRandom(4711);
    const bytes = (length: number): Buffer =>
      Buffer.from(Uint8Array.from({ length }, () => Math.floor(random() * 256)));
    const mischief: ((request: Buffer, socket: Socket) => void)[] = [
      (_request, socket) => socket.write(bytes(1 + Math.floor(random() * 300))),
      (request, socket) => socket.write(Buffer.concat([right(request).subarray(0, 1 + Math.floor(random() * 12))])),
      (request, socket) =>
        socket.write(Buffer.concat([right(request, { transaction: Math.floor(random() * 65_536) })])),
      (_request, socket) => socket.write(Buffer.alloc(1_000_000, Math.floor(random() * 4))),
      (request, socket) => socket.write(right(request)),
      (_request, socket) => socket.destroy(),
      () => undefined,
    ];
    const line = await tcpLine((request, socket) => {
      (mischief[Math.floor(random() * mischief.length)] as (typeof mischief)[number])(request, socket);
    });
    const before = process.memoryUsage().arrayBuffers;
    let rightOnes = 0;
    for (let i = 0; i < 150; i++) {
      if (!line.isOpen) await line.open();
      const address = 3 * i;
      const answer = await line.read(1, 'holding', address, 3, 15).catch((error: unknown) => error);
      if (Array.isArray(answer)) {
        expect(answer).toEqual([address, address + 1, address + 2]);
        rightOnes += 1;
      } else expect(answer).toBeInstanceOf(FieldbusError);
    }
    expect(rightOnes).toBeGreaterThan(5);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
  });
});
