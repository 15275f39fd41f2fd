// Shares a bus with other masters over Modbus TCP: devices that take one client only can so be read by several.
// Reads are answered from an answer just seen, or passed on behind our own; writes are refused unless the site file allows them.
// Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b; exceptions of MODBUS Application Protocol V1.1b3 section 7.

import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import type { NetworkBus, Table } from '../site/types.ts';
import type { BusOwner } from './bus.ts';
import { FieldbusError } from './errors.ts';

const CLIENTS_MAX = 16;
/** Requests of one client that wait for the bus; a client that sends more is dropped. */
const WAITING_MAX = 16;
/** An answer this young is given again to whoever asks the same. */
const FRESH_MS: Millis = 500;
const CACHE_MAX = 1_000;
const TIMEOUT_MS: Millis = 2_000;
const MBAP_BYTES = 7;
const LENGTH_MAX = 254;
const READS_MAX = { bits: 2_000, registers: 125 };
const TABLES: Readonly<Record<number, Table>> = { 1: 'coil', 2: 'discrete', 3: 'holding', 4: 'input' };
const ILLEGAL_FUNCTION = 1;
const ILLEGAL_ADDRESS = 2;
const ILLEGAL_VALUE = 3;
const TARGET_SILENT = 11;

export interface BusProxy {
  readonly port: number;
  close(): Promise<void>;
}

/** Errors: `fieldbus.share` when the port cannot be had. */
export async function shareBus(
  bus: BusOwner,
  share: NonNullable<NetworkBus['share']>,
  { clock, log }: { clock: Clock; log: Log },
): Promise<BusProxy> {
  const cache = new Map<string, { readonly atMs: Millis; readonly words: readonly number[] }>();
  const sockets = new Set<Socket>();

  async function read(unitId: number, table: Table, address: number, count: number): Promise<readonly number[]> {
    const key = `${unitId} ${table} ${address} ${count}`;
    const seen = cache.get(key);
    if (seen !== undefined && clock.monotonicMs() - seen.atMs < FRESH_MS) return seen.words;
    const words = await bus.request({ urgency: 'slow', unitId, gapMs: 0, afterMs: 0 }, (line) =>
      line.read(unitId, table, address, count, TIMEOUT_MS),
    );
    cache.delete(key);
    if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value ?? '');
    cache.set(key, { atMs: clock.monotonicMs(), words });
    return words;
  }

  async function answer(unitId: number, pdu: Buffer): Promise<Buffer> {
    const code = pdu[0] ?? 0;
    const table = TABLES[code];
    try {
      if (table !== undefined && pdu.length === 5) return await answerRead(unitId, table, pdu);
      const write = writeOf(pdu);
      if (write === null || !share.writes) return exception(code, ILLEGAL_FUNCTION);
      await bus.request({ urgency: 'slow', unitId, gapMs: 0, afterMs: 0 }, (line) =>
        line.write(unitId, write.table, write.address, write.words, write.single, TIMEOUT_MS),
      );
      cache.clear();
      return pdu.subarray(0, 5);
    } catch (error) {
      if (!(error instanceof FieldbusError)) throw error;
      return exception(code, error.exception ?? TARGET_SILENT);
    }
  }

  async function answerRead(unitId: number, table: Table, pdu: Buffer): Promise<Buffer> {
    const code = pdu[0] as number;
    const address = pdu.readUInt16BE(1);
    const count = pdu.readUInt16BE(3);
    const bits = code <= 2;
    if (count < 1 || count > (bits ? READS_MAX.bits : READS_MAX.registers)) return exception(code, ILLEGAL_VALUE);
    if (address + count > 0x1_0000) return exception(code, ILLEGAL_ADDRESS);
    const words = await read(unitId, table, address, count);
    const data = Buffer.alloc(bits ? (count + 7) >> 3 : 2 * count);
    for (const [i, word] of words.entries()) {
      if (!bits) data.writeUInt16BE(word, 2 * i);
      else if (word !== 0) data[i >> 3] = (data[i >> 3] as number) | (1 << (i & 7));
    }
    return Buffer.concat([Buffer.of(code, data.length), data]);
  }

  function serve(socket: Socket): void {
    if (sockets.size >= CLIENTS_MAX) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    let rest: Buffer = Buffer.alloc(0);
    let waiting = 0;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= MBAP_BYTES) {
        const length = rest.readUInt16BE(4);
        if (rest.readUInt16BE(2) !== 0 || length < 2 || length > LENGTH_MAX || waiting >= WAITING_MAX) {
          socket.destroy();
          return;
        }
        if (rest.length < 6 + length) return;
        const header = Buffer.from(rest.subarray(0, MBAP_BYTES));
        const pdu = Buffer.from(rest.subarray(MBAP_BYTES, 6 + length));
        rest = rest.subarray(6 + length);
        waiting += 1;
        answer(header[6] as number, pdu)
          .then((response) => {
            header.writeUInt16BE(response.length + 1, 4);
            if (socket.writable) socket.write(Buffer.concat([header, response]));
          })
          .catch((error) => {
            log.error({ error: String(error) }, 'the shared bus failed');
            socket.destroy();
          })
          .finally(() => {
            waiting -= 1;
          });
      }
    });
  }

  const server = createServer({ noDelay: true }, serve);
  await listen(server, share.host, share.port);
  const { port } = server.address() as { port: number };
  log.info({ port, writes: share.writes }, `a bus is shared on ${share.host}:${port}`);
  return {
    port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new WattpactError('fieldbus.share', `cannot share a bus on ${host}:${port}: ${cause.message}`, {
          hint: 'another program may have the port; change share.port in the site file',
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
}

function exception(code: number, exceptionCode: number): Buffer {
  return Buffer.of(code | 0x80, exceptionCode);
}

interface Write {
  readonly table: 'holding' | 'coil';
  readonly address: number;
  readonly words: number[];
  readonly single: boolean;
}

/** A write request, or null when it is none that we pass on. */
function writeOf(pdu: Buffer): Write | null {
  const code = pdu[0];
  if (pdu.length < 5) return null;
  const address = pdu.readUInt16BE(1);
  if ((code === 5 || code === 6) && pdu.length === 5) {
    const value = pdu.readUInt16BE(3);
    const word = code === 5 ? Number(value === 0xff00) : value;
    return { table: code === 5 ? 'coil' : 'holding', address, words: [word], single: true };
  }
  if ((code !== 15 && code !== 16) || pdu.length < 6) return null;
  const count = pdu.readUInt16BE(3);
  const bytes = code === 15 ? (count + 7) >> 3 : 2 * count;
  if (count < 1 || pdu[5] !== bytes || pdu.length !== 6 + bytes) return null;
  const words = Array.from({ length: count }, (_, i) =>
    code === 15 ? ((pdu[6 + (i >> 3)] as number) >> (i & 7)) & 1 : pdu.readUInt16BE(6 + 2 * i),
  );
  return { table: code === 15 ? 'coil' : 'holding', address, words, single: false };
}
