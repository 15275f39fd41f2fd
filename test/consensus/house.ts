// Validators on one bus in memory, with bytes, real signatures and a clock that is driven by hand.

import { toBase64url } from '../../src/base/bytes.ts';
import { SILENT } from '../../src/base/log.ts';
import type { Application, Engine } from '../../src/consensus/engine.ts';
import { decodePacket } from '../../src/consensus/pbft/core/messages.ts';
import type { PbftTerms } from '../../src/consensus/pbft/core/terms.ts';
import { createPbftEngine } from '../../src/consensus/pbft/driver.ts';
import type { ConsensusEvent } from '../../src/consensus/pbft/ports.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { type Envelope, messageId, seal } from '../../src/protocol/envelope.ts';
import { type KeyPair, keyPair } from './keys.ts';
import { type ToyDisk, toyApplication, toyDisk } from './toy.ts';

export const CHAIN = 'toy-0000000000000000';
export const TERMS: PbftTerms = {
  batchRequestsMax: 100,
  batchBytesMax: 100_000,
  batchMs: 2,
  viewMs: 1000,
  viewMsMax: 16_000,
  resendMs: 250,
  heartbeatMs: 1000,
  forwardMs: 300,
  overtakenMax: 16,
  checkpointEvery: 8,
  snapshotGap: 1000,
  askMs: 500,
  pendingMax: 1000,
  pendingPerSignerMax: 100,
  clockSkewMsMax: 5000,
  chainRate: 1,
};

/** A house of validators whose time is driven by hand. */
export function house(
  count: number,
  dueEveryMs: number | null = null,
  terms: Partial<PbftTerms> = {},
  bend: (id: string, application: Application) => Application = (_id, application) => application,
) {
  let nowMs = 0;
  const timers = new Map<object, { atMs: number; callback: () => void }>();
  const bus: { from: string; bytes: Uint8Array }[] = [];
  /** Messages that were sent, by kind. */
  const sent = new Map<string, number>();
  const ids = Array.from({ length: count }, (_, i) => `validator-${i}`);
  const keys = new Map(ids.map((id, i) => [id, keyPair(i + 1)]));
  const validators = new Map(ids.map((id) => [id, toBase64url(keys.get(id)!.publicKey)]));
  const genesisMs = 1_000_000;
  const options = { chain: CHAIN, validators, genesisMs, dueEveryMs };
  const disks = new Map<string, ToyDisk>(ids.map((id) => [id, toyDisk(options)]));
  const logs = new Map<string, Uint8Array[] | null>(ids.map((id) => [id, []]));
  const listeners = new Map<string, (bytes: Uint8Array, from?: string) => void>();
  const events: { id: string; event: ConsensusEvent }[] = [];
  const engines = new Map<string, Engine>();
  const requestId = (request: Envelope): string => messageId(CHAIN, request);

  function start(id: string, key: KeyPair = keys.get(id)!): void {
    const engine = createPbftEngine({
      chain: CHAIN,
      self: id,
      publicKey: toBase64url(key.publicKey),
      application: bend(id, toyApplication({ ...options, disk: disks.get(id)!, requestId })),
      sign: key.sign,
      verify: fastVerify,
      transport: {
        publish(_channel, bytes) {
          const { kind } = decodePacket(bytes, () => new Map()).envelope;
          sent.set(kind, (sent.get(kind) ?? 0) + 1);
          bus.push({ from: id, bytes });
        },
        onMessage: (listener) => listeners.set(id, listener),
      },
      votes: {
        read: () => logs.get(id)!,
        append: (records) => logs.get(id)?.push(...records),
        replace: (records) => logs.set(id, [...records]),
      },
      clock: { chainMs: () => genesisMs + nowMs, monotonicMs: () => nowMs },
      timers: {
        after(delayMs, callback) {
          const token = {};
          timers.set(token, { atMs: nowMs + delayMs, callback });
          return () => timers.delete(token);
        },
      },
      terms: { ...TERMS, ...terms },
      log: SILENT,
      onEvent: (event) => events.push({ id, event }),
    });
    engines.set(id, engine);
    engine.start();
  }

  function crash(id: string): void {
    engines.get(id)?.stop();
    engines.delete(id);
    listeners.delete(id);
  }

  function deliver(): void {
    for (let message = bus.shift(); message !== undefined; message = bus.shift()) {
      for (const [id, listener] of listeners) if (id !== message.from) listener(message.bytes, message.from);
    }
  }

  /** Lets time pass until the condition holds; fails after `limitMs` of simulated time. */
  function runUntil(condition: () => boolean, limitMs = 60_000): void {
    const endMs = nowMs + limitMs;
    deliver();
    while (!condition()) {
      const [token, next] = [...timers].reduce((a, b) => (b[1].atMs < a[1].atMs ? b : a));
      if (next.atMs > endMs) throw new Error(`not within ${limitMs} ms`);
      timers.delete(token);
      nowMs = Math.max(nowMs, next.atMs);
      next.callback();
      deliver();
    }
  }

  const heights = (): number[] => [...disks.values()].map((disk) => disk.state.header.height);
  const request = (n: number, kind = 'toy', body: object = {}): Envelope =>
    seal(CHAIN, kind, 'gateway-1', { n, ...body }, keyPair(99).sign);
  const say = (from: string, bytes: Uint8Array): void => {
    bus.push({ from, bytes });
  };
  return {
    ...{ ids, keys, start, crash, runUntil, engines, disks, logs, events, heights, request, requestId, say },
    genesisDisk: () => toyDisk(options),
    sent: (kind: string): number => sent.get(kind) ?? 0,
    now: () => nowMs,
    /** Time in which nothing else happens: somebody's work. */
    spend(ms: number): void {
      nowMs += ms;
    },
  };
}
