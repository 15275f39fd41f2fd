// Gateways that ask and count: each request is signed, sent over MQTT, and counted when k validators attest one verdict.

import { randomBytes } from 'node:crypto';
import { fromHex, toBase64url, toHex } from '../../../src/base/bytes.ts';
import { intervalAt } from '../../../src/base/interval.ts';
import { SILENT } from '../../../src/base/log.ts';
import type { Key } from '../../../src/keys/files.ts';
import { fastVerify } from '../../../src/keys/verify.ts';
import { connect, type Messaging } from '../../../src/messaging/client.ts';
import { type Envelope, encodeEnvelope, MESSAGE_BYTES_MAX, messageId, seal } from '../../../src/protocol/envelope.ts';
import type { Genesis } from '../../../src/protocol/genesis.ts';
import { checkAttestation, headerHash } from '../../../src/protocol/header.ts';
import { leafHash, rootFromPath } from '../../../src/protocol/merkle.ts';
import { deviceQuorum } from '../../../src/protocol/quorum.ts';
import { decodeProof, leafBytes } from '../../../src/protocol/replies.ts';
import type { Cluster } from './cluster.ts';

/** A request that was not ordered by then is asked anew; its id is remembered as long. */
const VALID_FOR_MS = 30_000;

/** A request without its 51 % is said again, byte for byte, as a gateway does; after its time the benchmark fails rather than waits. */
const REPEAT_MS = 2_000;

/** Attestations remembered as checked. */
const ATTESTED_MAX = 1_000;

export interface Load {
  /** Resolves when the request is counted: how long it took, and what the verdict was. */
  ask(gateway: string): Promise<{ readonly tookMs: number; readonly verdict: string }>;
  /** Monotonic times at which the first reply of each block came. */
  readonly blockTimes: readonly number[];
  readonly signatures: { made: number; checked: number };
  stop(): Promise<void>;
}

interface Waiting {
  readonly sinceMs: number;
  readonly votes: Map<string, string>;
  readonly done: (result: { tookMs: number; verdict: string }) => void;
}

export async function startLoad(cluster: Cluster): Promise<Load> {
  const { genesis, gateways, broker } = cluster;
  const { chain } = genesis;
  const validators = new Map(genesis.validators.map(({ id, publicKey }) => [id, publicKey]));
  const k = deviceQuorum(validators.size);
  const waiting = new Map<string, Waiting>();
  const attested = new Set<string>();
  const sequences = new Map<string, number>();
  const signatures = { made: 0, checked: 0 };
  const clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };
  let highest = 0;
  const blockTimes: number[] = [];

  function onReply(from: string, payload: Uint8Array): void {
    if (!waiting.has(requestIn(payload))) return; // counted already: one reply more says nothing new
    let proof: ReturnType<typeof decodeProof>;
    try {
      proof = decodeProof(payload);
    } catch {
      return; // a hint
    }
    if (proof.leaf.kind !== 'verdict') return;
    const entry = waiting.get(proof.leaf.request);
    const { signature, body } = proof.attestation as typeof proof.attestation & {
      body: { height: number; resultsRoot: string };
    };
    if (body.height > highest) {
      highest = body.height;
      blockTimes.push(performance.now());
    }
    if (entry === undefined) return;
    if (!attested.has(signature)) {
      signatures.checked++;
      if (checkAttestation(chain, proof.attestation, validators, fastVerify) === null)
        throw new Error(`bad reply of ${from}`);
      if (attested.size >= ATTESTED_MAX) attested.delete(attested.values().next().value as string);
      attested.add(signature);
    }
    const leaf = leafHash(leafBytes(proof.salt, proof.leaf));
    const root = rootFromPath(leaf, proof.index, proof.size, proof.path.map(fromHex));
    if (root === null || toHex(root) !== body.resultsRoot) throw new Error(`bad path in a reply of ${from}`);
    entry.votes.set(from, `${headerHash(body as never)} ${proof.leaf.verdict} ${proof.leaf.reason}`);
    const equal = [...entry.votes.values()].filter((vote) => vote === entry.votes.get(from)).length;
    if (equal < k) return;
    waiting.delete(proof.leaf.request);
    entry.done({
      tookMs: performance.now() - entry.sinceMs,
      verdict: `${proof.leaf.verdict} ${proof.leaf.reason}`.trim(),
    });
  }

  const voices = new Map<string, Messaging>();
  for (const [id, key] of gateways) {
    const voice = connect({
      chain,
      self: id,
      key,
      brokers: [broker],
      brokersWanted: 1,
      clock,
      log: SILENT,
      random: Math.random,
    });
    voice.subscribe('reply', [id, '+'], MESSAGE_BYTES_MAX, ({ path, payload }) => onReply(path[1] ?? '', payload));
    voices.set(id, voice);
  }
  await Promise.all([...voices.values()].map((voice) => voice.connected(1, 30_000)));

  return {
    signatures,
    blockTimes,
    ask(gateway) {
      const sequence = (sequences.get(gateway) ?? 0) + 1;
      sequences.set(gateway, sequence);
      signatures.made++;
      const request = forecastOf(genesis, gateways, gateway, sequence, VALID_FOR_MS);
      const bytes = encodeEnvelope(request);
      const id = messageId(chain, request);
      const sinceMs = performance.now();
      return new Promise((done, fail) => {
        const say = (): void => void voices.get(gateway)?.publish('request', [gateway], bytes);
        const repeat = setInterval(() => {
          if (performance.now() - sinceMs < VALID_FOR_MS) return say();
          clearInterval(repeat);
          fail(new Error(`a request of ${gateway} was not counted in ${VALID_FOR_MS} ms`));
        }, REPEAT_MS).unref();
        const counted: Waiting['done'] = (result) => {
          clearInterval(repeat);
          done(result);
        };
        waiting.set(id, { sinceMs, votes: new Map(), done: counted });
        say();
      });
    },
    async stop() {
      await Promise.all([...voices.values()].map((voice) => voice.stop()));
    },
  };
}

/** A gateway's signed forecast for the interval after the next that is open. */
export function forecastOf(
  genesis: Genesis,
  gateways: ReadonlyMap<string, Key>,
  gateway: string,
  sequence: number,
  validForMs: number,
): Envelope {
  const energyWh = 100 + (sequence % 100);
  const body = {
    device: `${gateway}-wind`,
    energyWh,
    interval: intervalAt(Date.now() + genesis.interval.gateCloseMs, genesis.interval.lengthMs) + 2,
    quantilesWh: Array.from({ length: 7 }, () => energyWh),
    salt: toBase64url(randomBytes(16)),
    sequence,
    validUntilMs: Date.now() + validForMs,
  };
  return seal(genesis.chain, 'forecast', gateway, body, (gateways.get(gateway) as Key).sign);
}

const REQUEST = '"request":"';

/** The id of the request that a reply is about, seen without taking the reply apart. */
function requestIn(payload: Uint8Array): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const at = bytes.indexOf(REQUEST);
  return at < 0 ? '' : bytes.toString('latin1', at + REQUEST.length, at + REQUEST.length + 64);
}
