// What stands between a socket and the broker: no packet over its limit is ever buffered, and whoever sends faster than its
// rate is read more slowly (TCP then slows the sender). The broker's own parser would buffer a packet of 256 MB.
// Source: MQTT 3.1.1 section 2.2 (fixed header: one byte of type, then a length of one to four bytes).

import type { Socket } from 'node:net';
import type { Millis } from '../base/units.ts';
import type { ConnectionLimits } from './access.ts';
import { SocketStream } from './stream.ts';

/** Before a client is known: a CONNECT with a will and a login, and the first packets of a client that does not wait for the answer. */
export const STRANGER_LIMITS: ConnectionLimits = {
  packetBytesMax: 8 * 1024,
  messagesPerSecond: 1,
  messagesBurst: 8,
  bytesPerSecond: 8 * 1024,
  bytesBurst: 16 * 1024,
  backlogBytesMax: 64 * 1024,
};

/** A bucket that fills at a rate up to a burst; what is taken beyond it must be waited for. */
class Bucket {
  #level: number;
  #rate: number;
  #burst: number;
  #at: Millis;

  constructor(rate: number, burst: number, at: Millis) {
    this.#level = burst;
    this.#rate = rate;
    this.#burst = burst;
    this.#at = at;
  }

  /** Takes `amount`; returns how long to wait before taking more, ms. */
  take(amount: number, at: Millis): Millis {
    this.#level = Math.min(this.#burst, this.#level + ((at - this.#at) * this.#rate) / 1000) - amount;
    this.#at = at;
    return this.#level >= 0 ? 0 : (-this.#level * 1000) / this.#rate;
  }
}

/** Follows the packets of a byte stream without keeping them. */
class PacketScan {
  /** Bytes of the present packet still to come; -1 while its header is read. */
  #rest = -1;
  #header = 0;
  #length = 0;

  /**
   * Counts the packets whose header ends in the chunk, of every type (a ping of two bytes is as much work as a message); null = a packet is
   * malformed or longer than `packetBytesMax`.
   */
  packetsIn(chunk: Uint8Array, packetBytesMax: number): number | null {
    let packets = 0;
    for (let i = 0; i < chunk.length; ) {
      if (this.#rest > 0) {
        const skipped = Math.min(this.#rest, chunk.length - i);
        this.#rest -= skipped;
        i += skipped;
        if (this.#rest === 0) this.#rest = -1;
        continue;
      }
      const byte = chunk[i++] as number;
      if (this.#header === 0) {
        this.#length = 0;
        this.#header = 1;
        continue;
      }
      if (this.#header > 4) return null;
      this.#length += (byte & 0x7f) * 128 ** (this.#header - 1);
      this.#header += 1;
      if (this.#length > packetBytesMax) return null;
      if ((byte & 0x80) !== 0) continue;
      packets += 1;
      this.#header = 0;
      this.#rest = this.#length === 0 ? -1 : this.#length;
    }
    return packets;
  }
}

/** A socket as the broker sees it, held to its limits. */
export class GuardedStream extends SocketStream {
  /** `address:port` of the other end. */
  readonly peer: string;
  readonly #monotonicMs: () => Millis;
  readonly #scan = new PacketScan();
  #limits: ConnectionLimits;
  #messages: Bucket;
  #bytes: Bucket;
  #wait: NodeJS.Timeout | null = null;

  constructor(socket: Socket, monotonicMs: () => Millis, backlogBytesMax: number) {
    // Above every client's backlog limit: the broker must never wait for one client's socket to drain.
    super(socket, backlogBytesMax);
    this.peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#monotonicMs = monotonicMs;
    this.#limits = STRANGER_LIMITS;
    this.#messages = this.#bucket('messages');
    this.#bytes = this.#bucket('bytes');
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  /** From here on the client is known. */
  admit(limits: ConnectionLimits): void {
    this.#limits = limits;
    this.#messages = this.#bucket('messages');
    this.#bytes = this.#bucket('bytes');
  }

  #bucket(what: 'messages' | 'bytes'): Bucket {
    const { messagesPerSecond, messagesBurst, bytesPerSecond, bytesBurst } = this.#limits;
    const at = this.#monotonicMs();
    return what === 'messages'
      ? new Bucket(messagesPerSecond, messagesBurst, at)
      : new Bucket(bytesPerSecond, bytesBurst, at);
  }

  #take(chunk: Buffer): void {
    const { packetBytesMax } = this.#limits;
    const packets = this.#scan.packetsIn(chunk, packetBytesMax);
    if (packets === null) {
      this.destroy(new Error(`sent a malformed packet or one over ${packetBytesMax} bytes`));
      return;
    }
    const at = this.#monotonicMs();
    const waitMs = Math.max(this.#messages.take(packets, at), this.#bytes.take(chunk.length, at));
    if (waitMs > 0) {
      this.socket.pause();
      this.#wait = setTimeout(() => {
        this.#wait = null;
        this.socket.resume();
      }, waitMs);
    }
    if (!this.push(chunk)) this.socket.pause();
  }

  override _read(): void {
    if (this.#wait === null) this.socket.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (this.#wait !== null) clearTimeout(this.#wait);
    super._destroy(error, done);
  }
}
