// Gateways that ask without end and count: a request is sent byte for byte again until k validators attest one verdict.

import { randomBytes } from 'node:crypto';
import { toBase64url } from '../../../src/base/bytes.ts';
import { chainClock } from '../../../src/base/clock.ts';
import { describeError } from '../../../src/base/errors.ts';
import { intervalAt } from '../../../src/base/interval.ts';
import { SILENT } from '../../../src/base/log.ts';
import type { Key } from '../../../src/keys/files.ts';
import { fastVerify } from '../../../src/keys/verify.ts';
import { connect, type Messaging } from '../../../src/messaging/client.ts';
import { type Envelope, encodeEnvelope, MESSAGE_BYTES_MAX, messageId, seal } from '../../../src/protocol/envelope.ts';
import { headerHash } from '../../../src/protocol/header.ts';
import { deviceQuorum } from '../../../src/protocol/quorum.ts';
import { checkProof, decodeProof } from '../../../src/protocol/replies.ts';
import type { Cluster } from './cluster.ts';

/** Between two requests of one gateway, and before one that is not counted is sent again, ms. */
const PAUSE_MS = 250;
const AGAIN_MS = 1_000;
/** Requests of one gateway under way at once. */
const OPEN_MAX = 8;
/** Wall time that requests stay live: longer than any run. */
const VALID_FOR_MS = 15 * 60_000;
/** Intervals ahead of those forecast (never closed in a run) and of those that offers are for (they clear in it). */
const FORECAST_AHEAD = 45;
const OFFER_AHEAD = 3;

/** What a gateway counted to 51 %. */
export interface Counted {
  readonly id: string;
  readonly height: number;
  readonly header: string;
  readonly verdict: string;
}

interface Open {
  readonly gateway: string;
  readonly bytes: Uint8Array;
  sentAtMs: number;
  readonly votes: Map<string, string>;
}

export class Gateways {
  readonly counted = new Map<string, Counted>();
  /** Counted verdicts that contradict each other, and proofs that do not hold. */
  readonly faults: string[] = [];
  readonly #cluster: Cluster;
  readonly #open = new Map<string, Open>();
  readonly #sequences = new Map<string, number>();
  readonly #voices = new Map<string, Messaging>();
  readonly #clock;
  readonly #quorum: number;
  readonly #validators: ReadonlyMap<string, string>;
  #timers: NodeJS.Timeout[] = [];

  constructor(cluster: Cluster, gateways: readonly string[]) {
    const { genesis, keys } = cluster;
    this.#cluster = cluster;
    this.#validators = new Map(genesis.validators.map(({ id, publicKey }) => [id, publicKey]));
    this.#quorum = deviceQuorum(this.#validators.size);
    this.#clock = chainClock(
      genesis.clock,
      () => Date.now(),
      () => performance.now(),
    );
    for (const gateway of gateways) {
      const voice = connect({
        chain: genesis.chain,
        self: gateway,
        key: keys.get(gateway) as Key,
        brokers: cluster.brokerUrls(gateway),
        brokersWanted: 1,
        clock: this.#clock,
        log: SILENT,
        random: Math.random,
      });
      voice.subscribe('reply', [gateway, '+'], MESSAGE_BYTES_MAX, ({ path, payload }) =>
        this.#onReply(path[1] ?? '', payload),
      );
      this.#voices.set(gateway, voice);
    }
  }

  get open(): number {
    return this.#open.size;
  }

  async connected(): Promise<void> {
    await Promise.all([...this.#voices.values()].map((voice) => voice.connected(1, 30_000)));
  }

  begin(): void {
    for (const gateway of this.#voices.keys()) {
      this.#timers.push(setInterval(() => this.#ask(gateway), PAUSE_MS));
    }
  }

  /** No new requests; those under way are sent on. */
  pause(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [setInterval(() => this.#repeat(), AGAIN_MS / 4)];
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([...this.#voices.values()].map((voice) => voice.stop()));
  }

  #ask(gateway: string): void {
    this.#repeat();
    if ([...this.#open.values()].filter((open) => open.gateway === gateway).length >= OPEN_MAX) return;
    const { chain } = this.#cluster.genesis;
    const sequence = (this.#sequences.get(gateway) ?? 0) + 1;
    this.#sequences.set(gateway, sequence);
    const request = this.#seal(gateway, sequence);
    const open: Open = { gateway, bytes: encodeEnvelope(request), sentAtMs: 0, votes: new Map() };
    this.#open.set(messageId(chain, request), open);
    this.#send(open);
  }

  #seal(gateway: string, sequence: number): Envelope {
    const { chain, clock, interval } = this.#cluster.genesis;
    const nowMs = this.#clock.chainMs();
    const now = intervalAt(nowMs, interval.lengthMs);
    const energyWh = 100 + (sequence % 100);
    const common = {
      salt: toBase64url(randomBytes(16)),
      sequence,
      validUntilMs: Math.min(
        nowMs + VALID_FOR_MS * clock.rate,
        nowMs + this.#cluster.genesis.limits.validForMsMax - 120_000,
      ),
    };
    const step = [{ energyWh, priceUcPerWh: 1_000 + (sequence % 7) }];
    const isSeller = gateway.endsWith('0') || gateway.endsWith('2');
    const offer = { ...common, interval: now + OFFER_AHEAD, buy: isSeller ? [] : step, sell: isSeller ? step : [] };
    const forecast = {
      ...common,
      device: `${gateway}-wind`,
      energyWh,
      interval: now + FORECAST_AHEAD,
      quantilesWh: Array.from({ length: 7 }, () => energyWh),
    };
    const { sign } = this.#cluster.keys.get(gateway) as Key;
    return sequence % 4 === 0
      ? seal(chain, 'offer', gateway, offer, sign)
      : seal(chain, 'forecast', gateway, forecast, sign);
  }

  #send(open: Open): void {
    open.sentAtMs = performance.now();
    void this.#voices.get(open.gateway)?.publish('request', [open.gateway], open.bytes);
  }

  #repeat(): void {
    const nowMs = performance.now();
    for (const open of this.#open.values()) if (nowMs >= open.sentAtMs + AGAIN_MS) this.#send(open);
  }

  #onReply(from: string, payload: Uint8Array): void {
    let proof: ReturnType<typeof decodeProof>;
    try {
      proof = decodeProof(payload);
    } catch {
      return; // a hint
    }
    if (proof.leaf.kind !== 'verdict') return;
    const id = proof.leaf.request;
    const open = this.#open.get(id);
    if (open === undefined) return;
    const { chain } = this.#cluster.genesis;
    try {
      const header = checkProof(chain, proof, this.#validators, fastVerify);
      if (header === null || proof.attestation.signer !== from) {
        this.faults.push(`${from} proves ${id} with what does not hold`);
        return;
      }
      const verdict = `${proof.leaf.verdict} ${proof.leaf.reason}`.trim();
      open.votes.set(from, JSON.stringify({ id, height: header.height, header: headerHash(header), verdict }));
    } catch (error) {
      this.faults.push(`${from} proves ${id} with what cannot be read: ${describeError(error)}`);
    }
    const equal = [...open.votes.values()].filter((vote) => vote === open.votes.get(from)).length;
    if (equal < this.#quorum) return;
    this.#open.delete(id);
    this.counted.set(id, JSON.parse(open.votes.get(from) as string) as Counted);
  }
}
