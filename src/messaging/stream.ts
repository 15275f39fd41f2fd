// A socket as the MQTT libraries see it, with a short way beside them for nearly all of the traffic: a PUBLISH of QoS 0 is written as the
// bytes it is, and read out of the stream before the library sees it. Everything else is the library's.
// Source: MQTT 3.1.1 section 2.2 (fixed header), section 3.3 (PUBLISH).

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** Type 3, QoS 0, not a repetition, not retained. */
const PUBLISH_0 = 0x30;
/** The retained flag does not change how it is read. */
const RETAINED = 0x01;
const LENGTH_BYTES_MAX = 4;

/** A PUBLISH of QoS 0 as it travels. */
export function encodePublish(topic: string, payload: Uint8Array): Buffer {
  const topicBytes = Buffer.byteLength(topic);
  const length = 2 + topicBytes + payload.length;
  const lengthBytes = length < 2 ** 7 ? 1 : length < 2 ** 14 ? 2 : length < 2 ** 21 ? 3 : LENGTH_BYTES_MAX;
  const packet = Buffer.allocUnsafe(1 + lengthBytes + length);
  packet[0] = PUBLISH_0;
  let rest = length;
  for (let i = 1; i <= lengthBytes; i++) {
    packet[i] = (rest % 128) | (i < lengthBytes ? 128 : 0);
    rest = Math.floor(rest / 128);
  }
  const at = 1 + lengthBytes;
  packet.writeUInt16BE(topicBytes, at);
  packet.write(topic, at + 2);
  packet.set(payload, at + 2 + topicBytes);
  return packet;
}

/** Ends with its socket and the socket with it. What is written at about the same time leaves in one call of the system. */
export class SocketStream extends Duplex {
  readonly socket: Socket;

  constructor(socket: Socket, writableHighWaterMark: number) {
    super({ writableHighWaterMark, allowHalfOpen: false });
    this.socket = socket;
    // Nagle's algorithm with delayed ACKs makes a round of votes take 44 ms instead of 0.5.
    socket.setNoDelay(true);
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  /** Bytes waiting to be taken by the other end. */
  get backlogBytes(): number {
    return this.writableLength + this.socket.writableLength;
  }

  /** Writes whole packets, past whatever the library has not finished writing: it finishes each of its packets in one piece. */
  say(packets: Buffer): void {
    this.gather();
    this.socket.write(packets);
  }

  /**
   * From here on what is written waits for the end of the next turn of the loop, which takes in what came meanwhile: a call of the system
   * wakes a process at the other end, and that costs more than a packet.
   */
  gather(): void {
    if (this.socket.writableCorked > 0) return;
    this.socket.cork();
    setImmediate(() => setImmediate(() => this.socket.uncork()));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.say(chunk);
    done();
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.gather();
    for (const { chunk } of chunks) this.socket.write(chunk);
    done();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.socket.uncork(); // a refusal said in this turn still leaves
    this.socket.destroy();
    done(error);
  }
}

/** A client's end: hands over each PUBLISH of QoS 0, and the library gets what is left. */
export class ClientStream extends SocketStream {
  readonly #packetBytesMax: number;
  readonly #onPublish: (topic: string, payload: Buffer) => void;
  /** The beginning of a packet that is not there yet, and how many bytes it takes to look at it again. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #wanted = 0;

  constructor(socket: Socket, packetBytesMax: number, onPublish: (topic: string, payload: Buffer) => void) {
    super(socket, packetBytesMax);
    this.#packetBytesMax = packetBytesMax;
    this.#onPublish = onPublish;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  #take(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#heldBytes > 0) {
      this.#held.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes < this.#wanted) return;
      bytes = Buffer.concat(this.#held, this.#heldBytes);
      this.#held = [];
      this.#heldBytes = 0;
    }
    let at = 0;
    while (at < bytes.length && !this.destroyed) {
      const end = this.#endOf(bytes, at);
      if (end === null) return;
      if (end > bytes.length) {
        this.#held = [bytes.subarray(at)];
        this.#heldBytes = bytes.length - at;
        this.#wanted = end - at;
        return;
      }
      this.#packet(bytes, at, end);
      at = end;
    }
  }

  /** Where the packet that begins at `at` ends; beyond the bytes there are: so many are needed at least. Null: it is none. */
  #endOf(bytes: Buffer, at: number): number | null {
    let length = 0;
    for (let i = 1; i <= LENGTH_BYTES_MAX; i++) {
      if (at + i >= bytes.length) return at + i + 1;
      const digit = bytes[at + i] as number;
      length += (digit & 127) * 128 ** (i - 1);
      if (length > this.#packetBytesMax) break;
      if (digit < 128) return at + i + 1 + length;
    }
    this.destroy(new Error(`the broker sent a malformed packet or one over ${this.#packetBytesMax} bytes`));
    return null;
  }

  #packet(bytes: Buffer, at: number, end: number): void {
    if (((bytes[at] as number) & ~RETAINED) !== PUBLISH_0) {
      this.push(bytes.subarray(at, end));
      return;
    }
    let from = at + 1;
    while ((bytes[from++] as number) >= 128);
    const topicEnd = end - from < 2 ? end + 1 : from + 2 + bytes.readUInt16BE(from);
    if (topicEnd > end) {
      this.destroy(new Error('the broker sent a malformed packet'));
      return;
    }
    this.#onPublish(bytes.toString('utf8', from + 2, topicEnd), bytes.subarray(topicEnd, end));
  }

  override _read(): void {}
}
