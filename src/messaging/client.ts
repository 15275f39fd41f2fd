// One node's voice on the brokers: typed channels in, typed channels out, over every broker of its list at once.
// Owns who hears what and what is still owed to which broker; the connections are connection.ts's, the disk is the store's.

import { canonicalBytes } from '../base/canonical.ts';
import type { Clock } from '../base/clock.ts';
import { BugError, describeError, WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import type { Key } from '../keys/files.ts';
import { type Channel, parseTopic, topic } from '../protocol/topics.ts';
import { parseBrokerUrl } from './address.ts';
import { Connection, type ConnectionPhase, GOODBYE_MS } from './connection.ts';
import { Duplicates } from './duplicates.ts';
import { makeLogin } from './login.ts';
import type { Outbox, OutboxEntry } from './outbox.ts';
import { encodePublish } from './stream.ts';

/**
 * Channels whose protocol repeats by itself what it misses, or asks for it again, at most once to each broker (QoS 0): an
 * acknowledgement would say that the broker has a vote or a proof, not that whom it is for does.
 */
const REPEATED: ReadonlySet<Channel> = new Set(['consensus', 'sync', 'reply', 'notice']);

/** Messages of the outbox on their way to one broker at a time after a reconnect. */
const FLUSH_AT_ONCE_MAX = 64;

/** PEM texts for `mqtts:` brokers; `cert` and `key` for mutual TLS. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface MessagingOptions {
  readonly chain: string;
  /** This node's id: gateway, validator or operator. */
  readonly self: string;
  readonly key: Key;
  /** `mqtt://host:port?broker=<its id>` (signed login), `mqtt://user:password@host:port` or `mqtt://host:port`; mqtts alike. */
  readonly brokers: readonly string[];
  /** Fewer connected brokers than this are reported: f + 1 of the parties that run them. */
  readonly brokersWanted: number;
  /** Where `send` keeps its messages; a node that only publishes (a validator) has none. */
  readonly outbox?: Outbox;
  readonly clock: Clock;
  readonly log: Log;
  /** Numbers in [0, 1) for the jitter of reconnects. */
  readonly random: () => number;
  readonly tls?: TlsOptions;
}

export interface Message {
  /** Levels of the topic after the channel, e.g. [gateway, validator] for a reply. */
  readonly path: readonly string[];
  readonly payload: Uint8Array;
  /** Name of the broker it came from first. */
  readonly broker: string;
}
export type MessageHandler = (message: Message) => void;

export interface BrokerState {
  /** URL without secrets. */
  readonly broker: string;
  readonly state: ConnectionPhase;
  /** Why it is not connected; null while it is. */
  readonly reason: string | null;
  /** Monotonic. */
  readonly connectedAtMs: Millis | null;
  readonly received: number;
  readonly sent: number;
  readonly dropped: number;
}

export interface MessagingStatus {
  readonly brokers: readonly BrokerState[];
  readonly connected: number;
  /** At least `brokersWanted` are connected. */
  readonly healthy: boolean;
  /** Messages not forgotten yet. */
  readonly outbox: number;
  /** Payloads dropped because they were over their limit or nobody listens. */
  readonly ignored: number;
}

export interface Messaging {
  /** Hears a channel; `path` levels may be `+`. Payloads over `bytesMax` are dropped and counted. Returns the function that ends it. */
  subscribe(channel: Channel, path: readonly string[], bytesMax: number, handler: MessageHandler): () => void;
  /** Says something once on every connected broker. Resolves to the brokers that acknowledged (channels of QoS 0: that it left for); never rejects. */
  publish(channel: Channel, path: readonly string[], payload: Uint8Array): Promise<readonly string[]>;
  /** Says something that must not get lost: throws at once (`store.*`, `outbox.full`) when it cannot be kept, else never rejects. Durable before it leaves, sent to each broker until that broker acknowledges. Again = byte for byte again. */
  send(id: string, channel: Channel, path: readonly string[], payload: Uint8Array): Promise<readonly string[]>;
  /** Ends the care for a message of `send`: it is decided. */
  forget(id: string): void;
  /** What `status/<self>` says, retained (`online` and the fields given); the will says `offline`. */
  announce(fields: Readonly<Record<string, string | number>>): void;
  status(): MessagingStatus;
  /** Resolves when at least `count` brokers are connected and subscribed; rejects with `messaging.unreachable` after `timeoutMs`. */
  connected(count: number, timeoutMs: Millis): Promise<void>;
  /** Says offline, flushes, closes. */
  stop(): Promise<void>;
}

interface Listener {
  readonly path: readonly string[];
  readonly bytesMax: number;
  readonly handler: MessageHandler;
}

/** Connects to every broker of the list at once and goes on trying. Throws `broker.url` for a list that cannot be used. */
export function connect(options: MessagingOptions): Messaging {
  return new Client(options);
}

class Client implements Messaging {
  readonly #options: MessagingOptions;
  readonly #connections: readonly Connection[];
  readonly #listeners = new Map<Channel, Set<Listener>>();
  readonly #duplicates = new Duplicates();
  readonly #waiting = new Set<() => void>();
  readonly #statusTopic: string;
  #announced: Uint8Array | null = null;
  #ignored = 0;

  constructor(options: MessagingOptions) {
    const { chain, self, key, brokers, clock, log, random, tls = {} } = options;
    if (brokers.length === 0) {
      throw new WattpactError('broker.url', 'the list of brokers is empty', { hint: 'Name at least one broker' });
    }
    this.#options = options;
    this.#statusTopic = topic(chain, 'status', self);
    this.#connections = brokers.map((url) => {
      const address = parseBrokerUrl(url);
      const connection: Connection = new Connection({
        address,
        clientId: key.keyId,
        login: (broker) => makeLogin(chain, broker, key, clock.chainMs()),
        presence: { topic: this.#statusTopic, offline: canonicalBytes({ state: 'offline' }) },
        tls,
        log,
        random,
        monotonicMs: clock.monotonicMs,
        onMessage: (name, payload) => this.#hear(address.url, name, payload),
        onUp: () => this.#up(connection),
        onDown: () => this.#reportHealth('down'),
      });
      return connection;
    });
    const urls = this.#connections.map(({ url }) => url);
    const twice = urls.find((url, i) => urls.indexOf(url) !== i);
    if (twice !== undefined) throw new WattpactError('broker.url', `broker ${twice} is in the list twice`);
    for (const connection of this.#connections) connection.start();
  }

  subscribe(channel: Channel, path: readonly string[], bytesMax: number, handler: MessageHandler): () => void {
    const filter = topic(this.#options.chain, channel, ...path);
    const listener: Listener = { path, bytesMax, handler };
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(listener));
    for (const connection of this.#connections) connection.subscribe(filter);
    return () => {
      listeners.delete(listener);
      if ([...listeners].some((other) => topic(this.#options.chain, channel, ...other.path) === filter)) return;
      for (const connection of this.#connections) connection.unsubscribe(filter);
    };
  }

  async publish(channel: Channel, path: readonly string[], payload: Uint8Array): Promise<readonly string[]> {
    const name = topic(this.#options.chain, channel, ...path);
    // Who listens where it speaks need not take its own words apart when a broker hands them back.
    if (this.#listeners.has(channel)) this.#duplicates.isDuplicate(name, payload, this.#options.clock.monotonicMs());
    if (REPEATED.has(channel)) {
      const packet = encodePublish(name, payload);
      return this.#connections.filter((connection) => connection.say(packet)).map(({ url }) => url);
    }
    return this.#toAll((connection) => connection.publish(name, payload));
  }

  send(id: string, channel: Channel, path: readonly string[], payload: Uint8Array): Promise<readonly string[]> {
    const message = { id, topic: topic(this.#options.chain, channel, ...path), payload };
    if (this.#options.outbox === undefined) throw new BugError('send needs an outbox');
    this.#options.outbox.put(message);
    return this.#toAll((connection) => this.#deliver(connection, message));
  }

  forget(id: string): void {
    this.#options.outbox?.remove(id);
  }

  announce(fields: Readonly<Record<string, string | number>>): void {
    this.#announced = canonicalBytes({ ...fields, state: 'online' });
    for (const connection of this.#connections) this.#announceAt(connection);
  }

  status(): MessagingStatus {
    const brokers = this.#connections.map(
      ({ url, phase, reason, connectedAtMs, received, sent, dropped }): BrokerState => ({
        broker: url,
        state: phase,
        reason,
        connectedAtMs,
        received,
        sent,
        dropped,
      }),
    );
    const connected = brokers.filter(({ state }) => state === 'connected').length;
    const { brokersWanted, outbox } = this.#options;
    return {
      brokers,
      connected,
      healthy: connected >= brokersWanted,
      outbox: outbox?.size() ?? 0,
      ignored: this.#ignored,
    };
  }

  connected(count: number, timeoutMs: Millis): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.status().connected < count) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        const states = this.#connections.map(({ url, phase, reason }) => `${url}: ${reason ?? phase}`);
        reject(
          new WattpactError(
            'messaging.unreachable',
            `${this.status().connected} of the ${count} brokers wanted answered in ${timeoutMs} ms (${states.join('; ')})`,
            { hint: 'Are the brokers running, and does the list of brokers name them rightly?' },
          ),
        );
      }, timeoutMs);
      this.#waiting.add(look);
      look();
    });
  }

  async stop(): Promise<void> {
    if (this.#announced !== null) {
      const offline = canonicalBytes({ state: 'offline' });
      const goodbyes = this.#connections.map((connection) => connection.publish(this.#statusTopic, offline, true));
      await Promise.race([Promise.all(goodbyes), new Promise((resolve) => setTimeout(resolve, GOODBYE_MS).unref())]);
    }
    await Promise.all(this.#connections.map((connection) => connection.stop()));
  }

  async #toAll(say: (connection: Connection) => Promise<boolean>): Promise<readonly string[]> {
    const said = await Promise.all(
      this.#connections.map(async (connection) => ((await say(connection)) ? connection.url : null)),
    );
    return said.filter((url) => url !== null);
  }

  async #deliver(
    connection: Connection,
    { id, topic: name, payload }: Omit<OutboxEntry, 'acknowledged'>,
  ): Promise<boolean> {
    const acknowledged = await connection.publish(name, payload);
    if (!acknowledged) return false;
    try {
      this.#options.outbox?.acknowledge(id, connection.url);
    } catch (error) {
      // Not noted is sent once more: harmless.
      this.#options.log.error({ broker: connection.url, reason: describeError(error) }, 'the outbox failed');
    }
    return true;
  }

  #hear(broker: string, name: string, payload: Uint8Array): void {
    const parsed = parseTopic(this.#options.chain, name);
    const listeners = parsed === null ? undefined : this.#listeners.get(parsed.channel);
    if (parsed === null || listeners === undefined) {
      this.#ignored += 1;
      return;
    }
    if (this.#duplicates.isDuplicate(name, payload, this.#options.clock.monotonicMs())) return;
    for (const { path, bytesMax, handler } of [...listeners]) {
      if (!path.every((level, i) => level === '+' || level === parsed.path[i])) continue;
      if (payload.length > bytesMax) {
        this.#ignored += 1;
        this.#options.log.warn(
          { broker, topic: name, bytes: payload.length, bytesMax },
          'message over its limit dropped',
        );
        continue;
      }
      try {
        handler({ path: parsed.path, payload, broker });
      } catch (error) {
        this.#options.log.error({ broker, topic: name, reason: describeError(error) }, 'handling a message failed');
      }
    }
  }

  #up(connection: Connection): void {
    this.#announceAt(connection);
    void this.#flush(connection);
    this.#reportHealth('up');
    for (const look of [...this.#waiting]) look();
  }

  /** What this broker has not acknowledged yet, oldest first. */
  async #flush(connection: Connection): Promise<void> {
    try {
      const all = this.#options.outbox?.all() ?? [];
      const owed = all.filter(({ acknowledged }) => !acknowledged.includes(connection.url));
      for (let i = 0; i < owed.length && connection.phase === 'connected'; i += FLUSH_AT_ONCE_MAX) {
        await Promise.all(owed.slice(i, i + FLUSH_AT_ONCE_MAX).map((entry) => this.#deliver(connection, entry)));
      }
    } catch (error) {
      this.#options.log.error({ broker: connection.url, reason: describeError(error) }, 'the outbox failed');
    }
  }

  #announceAt(connection: Connection): void {
    if (this.#announced !== null) void connection.publish(this.#statusTopic, this.#announced, true);
  }

  #reportHealth(change: 'up' | 'down'): void {
    const { connected, healthy } = this.status();
    const { brokersWanted, log } = this.#options;
    if (healthy) log.info({ connected, brokersWanted }, 'brokers connected');
    else log[change === 'up' ? 'debug' : 'warn']({ connected, brokersWanted }, 'fewer brokers connected than wanted');
  }
}
