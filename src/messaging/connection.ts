// One node's connection to one broker: made again with jittered back-off for as long as it is wanted. Owns the socket and
// what is in flight on it; knows nothing of channels or the outbox.
//
// Each attempt is a client of its own (mqtt.js with its own reconnecting switched off): when a connection ends, everything
// in flight on it has failed, plainly, and nothing is replayed in an order that nobody chose.

// Before mqtt and aedes are loaded.
import './packets.ts';

import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type IClientOptions, MqttClient } from 'mqtt';
import { WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import { MESSAGE_BYTES_MAX } from '../protocol/envelope.ts';
import type { BrokerAddress } from './address.ts';
import { ClientStream } from './stream.ts';

const CONNECT_TIMEOUT_MS: Millis = 10_000;
const KEEPALIVE_S = 15;
const BACKOFF_FIRST_MS: Millis = 250;
const BACKOFF_MAX_MS: Millis = 30_000;
/** A connection that lasted so long was a good one: the next wait starts small again. */
const STABLE_MS: Millis = 5_000;
/** How long a goodbye may take when the program ends. */
export const GOODBYE_MS: Millis = 1_000;
/** Not acknowledged for so long although the connection stands: the broker is stuck, or refused and said nothing. */
export const ACKNOWLEDGE_TIMEOUT_MS: Millis = 10_000;
/** Messages and bytes in flight to one broker; beyond, a message is dropped there and counted. */
export const IN_FLIGHT_MAX = 4_096;
export const IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024;
/** Largest packet taken from a broker: the largest message, and room for its topic. */
const PACKET_BYTES_MAX = MESSAGE_BYTES_MAX + 64 * 1024;

/** What the retained status says while the node is there, and what the broker says for it when it is gone. */
export interface Presence {
  readonly topic: string;
  readonly offline: Uint8Array;
}

export interface ConnectionOptions {
  readonly address: BrokerAddress;
  readonly clientId: string;
  /** A fresh password for a broker that wants a signed login. */
  readonly login: (broker: string) => string;
  readonly presence: Presence;
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly log: Log;
  readonly random: () => number;
  readonly monotonicMs: () => Millis;
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
  /** Connected and subscribed. */
  readonly onUp: () => void;
  readonly onDown: () => void;
}

export type ConnectionPhase = 'connecting' | 'connected' | 'waiting' | 'stopped';

interface InFlight {
  readonly bytes: number;
  readonly sinceMs: Millis;
  readonly settle: (acknowledged: boolean) => void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #filters = new Set<string>();
  readonly #inFlight = new Set<InFlight>();
  #inFlightBytes = 0;
  #client: MqttClient | null = null;
  #stream: ClientStream | null = null;
  #phase: ConnectionPhase = 'stopped';
  #reason: string | null = null;
  #attempts = 0;
  #retry: NodeJS.Timeout | null = null;
  #watch: NodeJS.Timeout | null = null;
  #connectedAtMs: Millis | null = null;
  received = 0;
  sent = 0;
  dropped = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get url(): string {
    return this.#options.address.url;
  }
  get phase(): ConnectionPhase {
    return this.#phase;
  }
  get reason(): string | null {
    return this.#reason;
  }
  /** Monotonic. */
  get connectedAtMs(): Millis | null {
    return this.#connectedAtMs;
  }

  start(): void {
    this.#phase = 'connecting';
    const { address, clientId, presence, login } = this.#options;
    const options: IClientOptions = {
      clientId,
      clean: true,
      protocolVersion: 4,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      connectTimeout: CONNECT_TIMEOUT_MS,
      keepalive: KEEPALIVE_S,
      username: clientId,
      will: { topic: presence.topic, payload: Buffer.from(presence.offline), qos: 1, retain: true },
      log: () => {},
    };
    if (address.proof.type === 'login') options.password = login(address.proof.broker);
    if (address.proof.type === 'password') {
      options.username = address.proof.username;
      options.password = address.proof.password;
    }
    const stream = this.#open();
    this.#stream = stream;
    const client = new MqttClient(() => stream, options);
    this.#client = client;
    client.on('connect', () => void this.#established(client));
    client.on('message', (topic, payload) => this.#hear(client, topic, payload));
    client.on('error', (error) => this.#failed(client, reasonOf(error)));
    stream.on('error', (error) => this.#failed(client, reasonOf(error)));
    client.on('close', () => this.#failed(client, 'the broker closed the connection'));
  }

  /** The socket on its way to the broker; what is written before it is open waits. */
  #open(): ClientStream {
    const { protocol, hostname, port } = new URL(this.url);
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const place = { host, port: Number(port) };
    try {
      const socket =
        protocol === 'mqtts:'
          ? connectTls({ ...this.#options.tls, ...place, ...(isIP(host) === 0 ? { servername: host } : {}) })
          : connectTcp(place);
      const stream: ClientStream = new ClientStream(socket, PACKET_BYTES_MAX, (topic, payload) => {
        if (stream === this.#stream && this.#client !== null) this.#hear(this.#client, topic, payload);
      });
      return stream;
    } catch (cause) {
      throw new WattpactError('broker.tls', `cannot connect to ${this.url}: ${(cause as Error).message}`, {
        hint: 'Look at the files of the certificate and its key',
        cause,
      });
    }
  }

  #hear(client: MqttClient, topic: string, payload: Uint8Array): void {
    if (client !== this.#client) return;
    this.received += 1;
    this.#stream?.gather();
    this.#options.onMessage(topic, payload);
  }

  /** Adds a topic filter; it is subscribed now and after every reconnect. */
  subscribe(filter: string): void {
    if (this.#filters.has(filter)) return;
    this.#filters.add(filter);
    if (this.#client?.connected) void this.#subscribeAt(this.#client, [filter]);
  }

  unsubscribe(filter: string): void {
    if (this.#filters.delete(filter) && this.#phase === 'connected') this.#client?.unsubscribe(filter);
  }

  /** QoS 1. Resolves true when the broker has acknowledged, false when it did not or cannot. */
  publish(topic: string, payload: Uint8Array, retain = false): Promise<boolean> {
    const client = this.#client;
    if (this.#phase !== 'connected' || client === null) return Promise.resolve(false);
    if (this.#inFlight.size >= IN_FLIGHT_MAX || this.#inFlightBytes + payload.length > IN_FLIGHT_BYTES_MAX) {
      return Promise.resolve(this.#drop());
    }
    return new Promise((resolve) => {
      const flight: InFlight = {
        bytes: payload.length,
        sinceMs: this.#options.monotonicMs(),
        settle: (acknowledged) => {
          if (!this.#inFlight.delete(flight)) return;
          this.#inFlightBytes -= flight.bytes;
          if (acknowledged) this.sent += 1;
          resolve(acknowledged);
        },
      };
      this.#inFlight.add(flight);
      this.#watch ??= setTimeout(() => this.#lookAtOldest(client), ACKNOWLEDGE_TIMEOUT_MS);
      this.#inFlightBytes += flight.bytes;
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
      this.#stream?.gather();
      client.publish(topic, bytes, { qos: 1, retain }, (error) => flight.settle(error === undefined || error === null));
    });
  }

  /** A PUBLISH of QoS 0: said once, acknowledged by nobody. False if it did not even leave: not connected, or the broker does not read. */
  say(packet: Buffer): boolean {
    if (this.#phase !== 'connected' || this.#stream === null) return false;
    if (this.#stream.backlogBytes + packet.length > IN_FLIGHT_BYTES_MAX) return this.#drop();
    this.#stream.say(packet);
    this.sent += 1;
    return true;
  }

  /** One timer for all that is in flight: it looks at the oldest, and again when that one's time is up. */
  #lookAtOldest(client: MqttClient): void {
    this.#watch = null;
    const [oldest] = this.#inFlight;
    if (client !== this.#client || oldest === undefined) return;
    const leftMs = oldest.sinceMs + ACKNOWLEDGE_TIMEOUT_MS - this.#options.monotonicMs();
    if (leftMs > 0) this.#watch = setTimeout(() => this.#lookAtOldest(client), Math.ceil(leftMs));
    else this.#failed(client, `nothing acknowledged for ${ACKNOWLEDGE_TIMEOUT_MS} ms`);
  }

  #drop(): false {
    if (this.dropped++ === 0) this.#options.log.warn({ broker: this.url }, 'too much in flight: messages are dropped');
    return false;
  }

  /** Says goodbye properly: the will is not sent. */
  async stop(): Promise<void> {
    const client = this.#client;
    const open = this.#phase === 'connected';
    this.#phase = 'stopped';
    this.#reason = 'stopped';
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#settleAll();
    this.#client = null;
    if (client === null) return;
    await new Promise<void>((resolve) => {
      // A polite end waits for what is in flight; a broker that does not answer does not hold the program.
      const timer = setTimeout(() => client.end(true, {}, () => resolve()), GOODBYE_MS);
      client.end(!open, {}, () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async #established(client: MqttClient): Promise<void> {
    if (client !== this.#client) return;
    const reason = `subscriptions not acknowledged for ${ACKNOWLEDGE_TIMEOUT_MS} ms`;
    const timer = setTimeout(() => this.#failed(client, reason), ACKNOWLEDGE_TIMEOUT_MS);
    await this.#subscribeAt(client, [...this.#filters]);
    clearTimeout(timer);
    if (client !== this.#client || this.#phase !== 'connecting') return;
    this.#phase = 'connected';
    this.#reason = null;
    this.#connectedAtMs = this.#options.monotonicMs();
    this.#options.onUp();
  }

  /** QoS 0: sessions are clean, so a broker repeats nothing on a connection that stands or comes back (docs/adr/0009). */
  async #subscribeAt(client: MqttClient, filters: string[]): Promise<void> {
    if (filters.length === 0) return;
    try {
      await client.subscribeAsync(filters, { qos: 0 });
    } catch (error) {
      if (client !== this.#client || !client.connected) return;
      const reason = (error as Error).message;
      this.#options.log.error({ broker: this.url, filters, reason }, 'the broker refused a subscription');
    }
  }

  #failed(client: MqttClient, reason: string): void {
    if (client !== this.#client || this.#phase === 'stopped') return;
    const wasUp = this.#phase === 'connected';
    const lastedMs = this.#connectedAtMs === null ? 0 : this.#options.monotonicMs() - this.#connectedAtMs;
    if (lastedMs >= STABLE_MS) this.#attempts = 0;
    this.#client = null;
    this.#phase = 'waiting';
    this.#reason = reason;
    this.#connectedAtMs = null;
    client.end(true);
    this.#settleAll();
    const waitMs = this.#waitMs();
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.start(), waitMs);
    const level = wasUp || this.#attempts === 1 ? 'warn' : 'debug';
    this.#options.log[level]({ broker: this.url, reason, retryInMs: Math.round(waitMs) }, 'broker not connected');
    if (wasUp) this.#options.onDown();
  }

  /** Between half and the whole of a wait that doubles: a broker that comes back is not met by everybody at once. */
  #waitMs(): Millis {
    const fullMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.#attempts, 16));
    return fullMs * (0.5 + 0.5 * this.#options.random());
  }

  #settleAll(): void {
    if (this.#watch !== null) clearTimeout(this.#watch);
    this.#watch = null;
    for (const flight of [...this.#inFlight]) flight.settle(false);
  }
}

const BAD_CREDENTIALS = 4;
const NOT_AUTHORIZED = 5;

/** Why a connection failed, in words for people. */
function reasonOf(error: Error & { code?: unknown }): string {
  if (error.code === BAD_CREDENTIALS || error.code === NOT_AUTHORIZED) {
    return 'the broker refused the login: it does not know this key (or password), or the clocks differ';
  }
  // A refused TCP connection to a name with several addresses has no message of its own.
  return error.message || String(error.code ?? 'failed');
}
