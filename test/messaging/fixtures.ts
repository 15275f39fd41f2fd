// Parties with keys, brokers and clients for the tests of messaging; everything is closed after each test.

import { afterEach } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { type Log, SILENT } from '../../src/base/log.ts';
import { type Key, newKey } from '../../src/keys/files.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { chainAccess } from '../../src/messaging/access.ts';
import { type BrokerOptions, createBroker, type EmbeddedBroker } from '../../src/messaging/broker.ts';
import { connect, type Messaging, type MessagingOptions } from '../../src/messaging/client.ts';
import type { Party } from '../../src/protocol/topics.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';

export const CHAIN = 'test-0123456789abcdef';
export const clock: Clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };

/** Each test cleans up what it opened, newest first. */
const cleanups: (() => Promise<unknown> | unknown)[] = [];
export function afterwards(cleanup: () => Promise<unknown> | unknown): void {
  cleanups.push(cleanup);
}
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export const keys: Record<string, Key> = {
  'gateway-farm': newKey(),
  'gateway-house': newKey(),
  'validator-1': newKey(),
  'validator-2': newKey(),
  'operator-grid': newKey(),
};

export class Registry {
  readonly parties = new Map<string, Party>();
  constructor() {
    for (const [id, { keyId }] of Object.entries(keys)) {
      this.parties.set(keyId, { id, role: id.split('-')[0] as Party['role'] });
    }
  }
  revoke(id: string): void {
    this.parties.delete((keys[id] as Key).keyId);
  }
}

export async function startBroker(
  options: Partial<BrokerOptions> & { id?: string; registry?: Registry } = {},
): Promise<EmbeddedBroker> {
  const { id = 'broker-1', registry = new Registry(), ...rest } = options;
  const access = chainAccess({
    chain: CHAIN,
    broker: id,
    partyOf: (keyId) => registry.parties.get(keyId) ?? null,
    verify: fastVerify,
    clock,
  });
  const broker = await createBroker({
    host: '127.0.0.1',
    port: 0,
    access,
    log: SILENT,
    monotonicMs: clock.monotonicMs,
    ...rest,
  });
  afterwards(() => broker.close());
  return broker;
}

export function startClient(
  self: string,
  brokers: readonly string[],
  options: Partial<MessagingOptions> = {},
): Messaging {
  const client = connect({
    chain: CHAIN,
    self,
    key: keys[self] as Key,
    brokers,
    brokersWanted: 1,
    outbox: openGatewayStore(':memory:').outbox,
    clock,
    log: SILENT,
    random: () => 0,
    ...options,
  });
  afterwards(() => client.stop());
  return client;
}

export async function connectedClient(
  self: string,
  brokers: readonly string[],
  options: Partial<MessagingOptions> = {},
): Promise<Messaging> {
  const client = startClient(self, brokers, options);
  await client.connected(brokers.length, 20_000);
  return client;
}

/** A log that keeps its lines: `[level, message, fields]`. */
export function recordingLog(): Log & { lines: [string, string, Record<string, unknown>][] } {
  const lines: [string, string, Record<string, unknown>][] = [];
  const at = (level: string) => (fields: object, message: string) => {
    lines.push([level, message, fields as Record<string, unknown>]);
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Waits for a condition; fails after 20 s with what was waited for. */
export async function until(what: string, condition: () => boolean, withinMs = 20_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${withinMs / 1000} s for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const text = (payload: Uint8Array): string => Buffer.from(payload).toString('utf8');
export const bytes = (content: string): Uint8Array => new Uint8Array(Buffer.from(content));
