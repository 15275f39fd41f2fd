// Modbus TCP as a line of our own: many requests in flight on one connection, each answer checked against its question.
// modbus-serial stands in the way here: its transaction ids wrap at 256, it computes two checksums a frame that no one sends,
// and copies each chunk; measured, it is a third as fast (npm run bench -- fieldbus). Serial lines stay with it (line.ts).
// Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b section 3.1.

import type { Socket } from 'node:net';
import type { Table } from '../site/types.ts';
import { exceptionText, FieldbusError } from './errors.ts';
import type { Line } from './line.ts';
import { openSocket } from './socket.ts';

const MBAP_BYTES = 7;
const LENGTH_MAX = 254;
/** Half a frame that has not grown for so long when its answer is overdue will not become whole: what follows would be taken for its end. */
const HALF_FRAME_MS = 50;
/** Far more than a device bears: a bound against callers gone wild. */
const PENDING_MAX = 1_000;
const READ_CODES: Readonly<Record<Table, number>> = { coil: 1, discrete: 2, holding: 3, input: 4 };

interface Pending {
  readonly unitId: number;
  readonly code: number;
  /** Registers or bits of a read; -1 for a write, whose answer repeats `echo`. */
  readonly count: number;
  readonly echo: Buffer | null;
  readonly deadlineMs: number;
  readonly timeoutMs: number;
  readonly what: () => string;
  resolve(words: number[]): void;
  reject(error: FieldbusError): void;
}

export function createTcpLine(host: string, port: number, connectTimeoutMs: number): Line {
  const where = `${host}:${port}`;
  const pending = new Map<number, Pending>();
  let socket: Socket | null = null;
  let lost: () => void = () => undefined;
  let nextId = 0;
  let rest: Buffer = Buffer.alloc(0);
  let heardMs = 0;
  let outbox: Buffer[] = [];
  let timer: NodeJS.Timeout | null = null;

  function drop(error: FieldbusError): void {
    socket = null;
    rest = Buffer.alloc(0);
    outbox = [];
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const waiting = [...pending.values()];
    pending.clear();
    for (const request of waiting) request.reject(error);
  }

  /** Requests of one turn of the event loop leave in one write. */
  function flush(): void {
    if (socket === null || outbox.length === 0) return;
    socket.write(outbox.length === 1 ? (outbox[0] as Buffer) : Buffer.concat(outbox));
    outbox = [];
  }

  /** One timer a line: it looks for what is overdue, and sleeps until the next deadline. */
  function sweep(): void {
    timer = null;
    const nowMs = performance.now();
    let nextMs = Number.POSITIVE_INFINITY;
    let overdue = false;
    for (const [id, request] of pending) {
      if (request.deadlineMs > nowMs) {
        nextMs = Math.min(nextMs, request.deadlineMs);
        continue;
      }
      pending.delete(id);
      overdue = true;
      const what = `no answer to ${request.what()} within ${request.timeoutMs} ms`;
      request.reject(new FieldbusError('timeout', `${where}: ${what}`));
    }
    if (overdue && rest.length > 0 && nowMs - heardMs >= HALF_FRAME_MS) socket?.destroy();
    if (nextMs !== Number.POSITIVE_INFINITY) arm(nextMs);
  }

  let armedMs = 0;
  function arm(deadlineMs: number): void {
    if (timer !== null) {
      if (armedMs <= deadlineMs) return;
      clearTimeout(timer);
    }
    armedMs = deadlineMs;
    timer = setTimeout(sweep, Math.max(1, Math.ceil(deadlineMs - performance.now())));
  }

  function take(chunk: Buffer): void {
    heardMs = performance.now();
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (bytes.length - at >= MBAP_BYTES + 1) {
      const length = (bytes[at + 4]! << 8) | bytes[at + 5]!;
      if (bytes[at + 2] !== 0 || bytes[at + 3] !== 0 || length < 3 || length > LENGTH_MAX) {
        // Not Modbus: nothing behind it can be trusted.
        socket?.destroy();
        return;
      }
      const end = at + 6 + length;
      if (bytes.length < end) break;
      const id = (bytes[at]! << 8) | bytes[at + 1]!;
      const request = pending.get(id);
      // An unknown number is a late or doubled answer: nobody waits for it any more.
      if (request !== undefined) {
        pending.delete(id);
        settle(request, bytes, at + 6, end);
      }
      at = end;
    }
    rest = at === bytes.length ? Buffer.alloc(0) : bytes.subarray(at);
  }

  function settle(request: Pending, bytes: Buffer, at: number, end: number): void {
    const code = bytes[at + 1]!;
    const damaged = (how: string): void =>
      request.reject(new FieldbusError('damaged', `${where}: answer to ${request.what()} ${how}`));
    if (bytes[at] !== request.unitId) return damaged(`comes from unit ${bytes[at]}`);
    if (code === (request.code | 0x80) && end === at + 3) {
      const exception = bytes[at + 2]!;
      const text = `${where}: ${request.what()}: ${exceptionText(exception)}`;
      return request.reject(new FieldbusError('exception', text, { exception }));
    }
    if (code !== request.code) return damaged(`has function ${code}`);
    if (request.echo !== null) {
      return bytes.subarray(at + 2, end).equals(request.echo) ? request.resolve([]) : damaged('echoes something else');
    }
    const bits = code <= 2;
    const dataBytes = bits ? (request.count + 7) >> 3 : 2 * request.count;
    if (bytes[at + 2] !== dataBytes || end !== at + 3 + dataBytes) return damaged('has another length');
    const words = new Array<number>(request.count);
    for (let i = 0; i < request.count; i++) {
      const from = at + 3;
      words[i] = bits
        ? (bytes[from + (i >> 3)]! >> (i & 7)) & 1
        : (bytes[from + 2 * i]! << 8) | bytes[from + 2 * i + 1]!;
    }
    request.resolve(words);
  }

  function send(
    pdu: Buffer,
    unitId: number,
    count: number,
    echo: Buffer | null,
    timeoutMs: number,
    what: () => string,
  ): Promise<number[]> {
    return new Promise((resolve, reject) => {
      if (socket === null) {
        reject(new FieldbusError('disconnected', `${where}: not connected`));
        return;
      }
      if (pending.size >= PENDING_MAX) {
        reject(new FieldbusError('busy', `${where}: ${PENDING_MAX} requests are in flight already`));
        return;
      }
      do nextId = (nextId + 1) & 0xffff;
      while (pending.has(nextId));
      const message = Buffer.allocUnsafe(MBAP_BYTES + pdu.length);
      message.writeUInt16BE(nextId, 0);
      message.writeUInt16BE(0, 2);
      message.writeUInt16BE(pdu.length + 1, 4);
      message[6] = unitId;
      pdu.copy(message, MBAP_BYTES);
      const deadlineMs = performance.now() + timeoutMs;
      pending.set(nextId, { unitId, code: pdu[0]!, count, echo, deadlineMs, timeoutMs, what, resolve, reject });
      arm(deadlineMs);
      if (outbox.push(message) === 1) queueMicrotask(flush);
    });
  }

  return {
    where,
    get isOpen() {
      return socket !== null;
    },
    open() {
      return new Promise((resolve, reject) => {
        const fresh = openSocket(host, port, connectTimeoutMs, (error) => {
          if (error !== null) {
            reject(new FieldbusError('disconnected', `cannot open ${where}: ${error.message}`, { cause: error }));
            return;
          }
          socket = fresh;
          resolve();
        });
        fresh.on('data', take);
        fresh.on('error', () => undefined);
        fresh.on('close', () => {
          if (socket !== fresh) return;
          drop(new FieldbusError('disconnected', `${where}: the connection was lost`));
          lost();
        });
      });
    },
    close() {
      const open = socket;
      drop(new FieldbusError('closed', `${where}: closed`));
      return new Promise((resolve) => {
        if (open === null || open.destroyed) return resolve();
        open.once('close', () => resolve());
        open.destroy();
      });
    },
    onLost(callback) {
      lost = callback;
    },
    read(unitId, table, address, count, timeoutMs) {
      const pdu = Buffer.allocUnsafe(5);
      pdu[0] = READ_CODES[table];
      pdu.writeUInt16BE(address, 1);
      pdu.writeUInt16BE(count, 3);
      return send(
        pdu,
        unitId,
        count,
        null,
        timeoutMs,
        () => `read of ${table} ${address}+${count} from unit ${unitId}`,
      );
    },
    async write(unitId, table, address, words, single, timeoutMs) {
      const { pdu, echo } = writePdu(table, address, words, single && words.length === 1);
      await send(
        pdu,
        unitId,
        -1,
        echo,
        timeoutMs,
        () => `write of ${table} ${address}+${words.length} to unit ${unitId}`,
      );
    },
  };
}

/** The request of a write, and what a device repeats of it. Source: MODBUS Application Protocol V1.1b3 sections 6.5, 6.6, 6.11, 6.12. */
function writePdu(
  table: 'holding' | 'coil',
  address: number,
  words: readonly number[],
  alone: boolean,
): { pdu: Buffer; echo: Buffer } {
  if (alone) {
    const pdu = Buffer.alloc(5);
    pdu[0] = table === 'coil' ? 5 : 6;
    pdu.writeUInt16BE(address, 1);
    pdu.writeUInt16BE(table === 'coil' ? (words[0] === 0 ? 0 : 0xff00) : (words[0] ?? 0), 3);
    return { pdu, echo: pdu.subarray(1) };
  }
  const dataBytes = table === 'coil' ? (words.length + 7) >> 3 : 2 * words.length;
  const pdu = Buffer.alloc(6 + dataBytes);
  pdu[0] = table === 'coil' ? 15 : 16;
  pdu.writeUInt16BE(address, 1);
  pdu.writeUInt16BE(words.length, 3);
  pdu[5] = dataBytes;
  for (const [i, word] of words.entries()) {
    if (table === 'holding') pdu.writeUInt16BE(word, 6 + 2 * i);
    else if (word !== 0) pdu[6 + (i >> 3)] = pdu[6 + (i >> 3)]! | (1 << (i & 7));
  }
  return { pdu, echo: pdu.subarray(1, 5) };
}
