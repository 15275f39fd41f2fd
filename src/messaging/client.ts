// One node's voice on the brokers: typed channels in, typed channels out, over every broker of its list at once.

import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import type { Key } from '../keys/files.ts';
import type { Channel } from '../protocol/topics.ts';
import type { Outbox } from './outbox.ts';

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
  readonly outbox: Outbox;
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
  readonly state: 'connecting' | 'connected' | 'waiting' | 'stopped';
  /** Why it is not connected; null while it is. */
  readonly reason: string | null;
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
  readonly outbox: number;
}

export interface Messaging {
  /** Hears a channel; `path` levels may be `+`. Payloads over `bytesMax` are dropped and counted. Returns the function that ends it. */
  subscribe(channel: Channel, path: readonly string[], bytesMax: number, handler: MessageHandler): () => void;
  /** Says something once on every connected broker. Resolves to the brokers that acknowledged; never rejects. */
  publish(channel: Channel, path: readonly string[], payload: Uint8Array): Promise<readonly string[]>;
  /** Says something that must not get lost: durable before it leaves, sent to each broker until that broker acknowledges. Again = byte for byte again. */
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
