// Ports for modbus-serial that carry RTU frames: bytes of a serial line or of a socket to whole, checked frames and back.
// Owns RTU framing. modbus-serial's own ports take any bytes of the right length for an answer; these check and find their way back.
// Source: MODBUS over Serial Line V1.02 section 2.5.

import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { SerialPort } from 'serialport';
import { openSocket } from './socket.ts';

const CRC_BYTES = 2;
const EXCEPTION_BYTES = 5;
/** Bytes without a whole frame in them: a hostile or mad peer. */
const BUFFER_BYTES_MAX = 64 * 1024;

type Done = (error?: Error | null) => void;

/** What modbus-serial asks of a port. Emits `data` (unit, PDU, checksum), `close`, `error`. */
export interface FramePort extends EventEmitter {
  readonly isOpen: boolean;
  _transactionIdRead: number;
  _transactionIdWrite: number;
  open(done: Done): void;
  close(done: Done): void;
  write(frame: Buffer): void;
}

/** RTU frames in a network stream. */
export class RtuOverTcpPort extends EventEmitter implements FramePort {
  _transactionIdRead = 1;
  _transactionIdWrite = 1;
  readonly #frames = rtuFrames((frame) => this.emit('data', frame));
  readonly #host: string;
  readonly #port: number;
  readonly #connectTimeoutMs: number;
  #socket: Socket | null = null;
  #open = false;

  constructor(host: string, port: number, connectTimeoutMs: number) {
    super();
    this.#host = host;
    this.#port = port;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  open(done: Done): void {
    const socket = openSocket(this.#host, this.#port, this.#connectTimeoutMs, (error) => {
      this.#open = error === null;
      done(error);
    });
    this.#socket = socket;
    socket.on('data', (chunk) => this.#frames.take(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const wasOpen = this.#open;
      this.#open = false;
      if (wasOpen) this.emit('close');
    });
  }

  close(done: Done): void {
    const socket = this.#socket;
    if (socket === null || socket.destroyed) return done();
    socket.once('close', () => done());
    socket.destroy();
  }

  write(frame: Buffer): void {
    this.#frames.expect(frame);
    this.#socket?.write(frame);
  }
}

/** RTU on a serial line. */
export class RtuPort extends EventEmitter implements FramePort {
  _transactionIdRead = 1;
  _transactionIdWrite = 1;
  readonly #frames = rtuFrames((frame) => this.emit('data', frame));
  readonly #serial: SerialPort;

  constructor(path: string, options: { baudRate: number; parity: 'none' | 'even' | 'odd'; stopBits: 1 | 2 }) {
    super();
    this.#serial = new SerialPort({ path, ...options, dataBits: 8, autoOpen: false });
    this.#serial.on('data', (chunk: Buffer) => this.#frames.take(chunk));
    this.#serial.on('error', (error) => this.emit('error', error));
    this.#serial.on('close', () => this.emit('close'));
  }

  get isOpen(): boolean {
    return this.#serial.isOpen;
  }

  open(done: Done): void {
    this.#serial.open(done);
  }

  close(done: Done): void {
    if (!this.#serial.isOpen) return done();
    this.#serial.close(done);
  }

  write(frame: Buffer): void {
    this.#frames.expect(frame);
    // After a hang-up the port still says that it is open; the write tells.
    this.#serial.write(frame, (error) => {
      if (error && this.#serial.isOpen) this.#serial.close(() => undefined);
    });
  }
}

/**
 * Finds the answer to the last request in a stream: right unit, right function, right length, right checksum. Anything else,
 * noise and late answers to others, is dropped byte by byte. Without a request everything is dropped.
 */
export function rtuFrames(found: (frame: Buffer) => void): {
  expect(request: Buffer): void;
  take(chunk: Buffer): void;
} {
  let rest: Buffer = Buffer.alloc(0);
  let unit = -1;
  let code = 0;
  let answerBytes = 0;
  return {
    expect(request) {
      rest = Buffer.alloc(0);
      unit = request[0] as number;
      code = request[1] as number;
      answerBytes = rtuAnswerBytes(request);
    },
    take(chunk) {
      if (unit < 0) return;
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      for (; at < bytes.length; at++) {
        if (bytes[at] !== unit) continue;
        if (at + 1 === bytes.length) break;
        const length = bytes[at + 1] === code ? answerBytes : bytes[at + 1] === (code | 0x80) ? EXCEPTION_BYTES : 0;
        if (length === 0) continue;
        if (bytes.length - at < length) break;
        if (crc16(bytes.subarray(at), length - CRC_BYTES) !== bytes.readUInt16LE(at + length - CRC_BYTES)) continue;
        unit = -1;
        rest = Buffer.alloc(0);
        found(bytes.subarray(at, at + length));
        return;
      }
      rest = bytes.length - at > BUFFER_BYTES_MAX ? Buffer.alloc(0) : bytes.subarray(at);
    },
  };
}

/** Bytes of the answer to an RTU request, checksum included. */
export function rtuAnswerBytes(request: Buffer): number {
  const count = request.readUInt16BE(4);
  switch (request[1]) {
    case 1:
    case 2:
      return 5 + Math.ceil(count / 8);
    case 3:
    case 4:
      return 5 + 2 * count;
    default:
      return 8;
  }
}

const CRC_TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  return crc;
});

/** CRC-16 of the first `length` bytes. */
export function crc16(bytes: Uint8Array, length = bytes.length): number {
  let crc = 0xffff;
  for (let i = 0; i < length; i++) crc = (crc >> 8) ^ (CRC_TABLE[(crc ^ (bytes[i] as number)) & 0xff] as number);
  return crc;
}
