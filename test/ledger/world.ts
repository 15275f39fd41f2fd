// A small chain for the ledger's tests: parties with repeatable keys, a genesis, and hands to sign and to make blocks.

import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { sha256 } from '@noble/hashes/sha2.js';
import { toBase64url, utf8 } from '../../src/base/bytes.ts';
import type { JsonObject } from '../../src/base/canonical.ts';
import { SILENT } from '../../src/base/log.ts';
import type { Batch, Certificate } from '../../src/consensus/engine.ts';
import { batchDigest } from '../../src/consensus/pbft/core/messages.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { createLedger } from '../../src/ledger/ledger.ts';
import type { Ledger, LedgerStore } from '../../src/ledger/types.ts';
import { type Envelope, messageId, type Sign, seal } from '../../src/protocol/envelope.ts';
import { chainId, type Genesis, parseGenesis } from '../../src/protocol/genesis.ts';
import { headerHash } from '../../src/protocol/header.ts';
import type { Verdict } from '../../src/protocol/replies.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';

export const MINUTE = 60_000;
export const LENGTH_MS = 15 * MINUTE;
/** 2026-06-21T10:00Z: noon in summer, the sun is high. */
export const T0_MS = Date.UTC(2026, 5, 21, 10);
/** The first interval whose gate is open at T0 and stays so for some minutes. */
export const T = T0_MS / LENGTH_MS + 2;

/** PKCS #8 in DER up to the 32 bytes of an Ed25519 secret (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const known = new Map<string, { publicKey: string; sign: Sign }>();

/** A party's key follows from its id. */
function keyOf(id: string): { publicKey: string; sign: Sign } {
  const found = known.get(id);
  if (found !== undefined) return found;
  const secret = sha256(utf8(`test key of ${id}`));
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8, secret]), format: 'der', type: 'pkcs8' });
  const { x: publicKey } = createPublicKey(privateKey).export({ format: 'jwk' }) as { x: string };
  const made = { publicKey, sign: (message: Uint8Array) => new Uint8Array(sign(null, message, privateKey)) };
  known.set(id, made);
  return made;
}
export const publicKeyOf = (id: string): string => keyOf(id).publicKey;
export const signerOf = (id: string): Sign => keyOf(id).sign;
export const saltOf = (text: string): string => toBase64url(sha256(utf8(text)).slice(0, 16));
const key = (id: string) => ({ id, publicKey: publicKeyOf(id) });

export const CERTIFICATE: Certificate = { engine: 'test', engineHeight: 0, view: 0, proposer: 'v1', commits: [] };

/** Sites on a feeder `root - a - b`, `root - c`: house at a, farm at b, factory at c, flat at c. */
export function testGenesis(change: Partial<Omit<Genesis, 'chain'>> = {}): Genesis {
  const site = (gateway: string, bus: string, more: Partial<Genesis['gateways'][number]> = {}) => ({
    bus,
    customers: [`${gateway}-customer`],
    devices: [
      { capacityW: 8000, id: 'pv1', kind: 'pv' as const },
      { capacityW: 20000, id: 'wind1', kind: 'wind' as const },
      { capacityW: 5000, id: 'battery1', kind: 'battery' as const },
    ],
    exportLimitW: 20000,
    feeder: 'f1',
    gateway,
    importLimitW: 20000,
    meterSerial: `${gateway}-meter`,
    publicKey: publicKeyOf(gateway),
    uncertaintyWhMax: 10,
    ...more,
  });
  const line = { capacityW: 40000, lossPpm: 10000, tariffUcPerWh: 100 };
  const rest: Omit<Genesis, 'chain'> = {
    clock: { originMs: T0_MS - 60 * MINUTE, wallOriginMs: T0_MS - 60 * MINUTE, rate: 1 },
    currency: { code: 'EUR', unit: 'cent' },
    feeders: [
      {
        buses: [
          { capacityW: null, id: 'root', lossPpm: 0, parent: null, tariffUcPerWh: 0 },
          { ...line, id: 'a', parent: 'root' },
          { ...line, id: 'b', parent: 'a' },
          { ...line, id: 'c', parent: 'root' },
        ],
        id: 'f1',
        latitudeDeg10: 520,
        longitudeDeg10: 130,
        operator: 'operator1',
        utility: 'utility1',
      },
    ],
    gateways: [site('house', 'a'), site('farm', 'b'), site('factory', 'c'), site('flat', 'c')],
    interval: {
      lengthMs: LENGTH_MS,
      gateOpenMs: 60 * MINUTE,
      requestMs: 10 * MINUTE,
      gateCloseMs: 5 * MINUTE,
      settlementMs: 5 * MINUTE,
    },
    limits: {
      batchRequestsMax: 500,
      batchBytesMax: 1024 * 1024,
      dueOperationsMax: 100,
      validForMsMax: 120 * MINUTE,
      clockSkewMsMax: 5000,
    },
    name: 'test',
    operators: [key('operator1'), key('operator2')],
    operatorThreshold: 1,
    rounds: 1,
    settlement: { shortfallPenaltyUcPerWh: 2000, surplusPenaltyUcPerWh: 1000 },
    tariffRule: { distanceUcPerWhKm: 50, energyUcPerWh: 25_000, loadingPercent: 100 },
    trustPeriodMs: 30 * 24 * 60 * MINUTE,
    utilities: [key('utility1')],
    validators: ['v1', 'v2', 'v3', 'v4'].map(key),
    ...change,
  };
  return parseGenesis({ ...rest, chain: chainId(rest) });
}

/** A ledger with hands: `sign` makes requests, `block` orders them at a time and returns the verdicts by request id. */
export class World {
  readonly genesis: Genesis;
  readonly ledger: Ledger;
  readonly store: LedgerStore;
  readonly #certified: boolean;
  #sequence = 0;

  /** `certified`: blocks carry real commits of a quorum. */
  constructor(genesis = testGenesis(), store: LedgerStore = openLedgerStore(':memory:'), certified = false) {
    this.#certified = certified;
    this.genesis = genesis;
    this.store = store;
    this.ledger = createLedger({ genesis, verify: fastVerify, store, log: SILENT });
  }

  /** A request with the common fields filled in. */
  sign(signer: string, kind: string, body: JsonObject): Envelope {
    this.#sequence += 1;
    const common = { salt: saltOf(`${this.#sequence}`), sequence: this.#sequence, validUntilMs: T0_MS + 90 * MINUTE };
    return seal(this.genesis.chain, kind, signer, { ...common, ...body }, signerOf(signer));
  }

  idOf(envelope: Envelope): string {
    return messageId(this.genesis.chain, envelope);
  }

  /** Orders the requests in a block of this time: verified first, as validators do. */
  block(timeMs: number, ...requests: Envelope[]): Verdict[] {
    const batch = { requests, timeMs };
    const problem = this.ledger.verify(batch);
    if (problem !== null) throw new Error(`batch refused: ${problem}`);
    const header = this.ledger.apply(batch, this.#certified ? this.certificate(batch) : CERTIFICATE);
    const results = this.ledger.block(header.height)?.results ?? [];
    return results.flatMap(({ leaf }) => (leaf.kind === 'verdict' ? [leaf] : []));
  }

  /** Reason of the only request's refusal; '' if it was recorded. */
  tell(timeMs: number, request: Envelope): string {
    return this.block(timeMs, request)[0]?.reason ?? 'no verdict';
  }

  /** What PBFT would keep beside the block: commits of a quorum. */
  certificate(batch: Batch, signers: readonly string[] = ['v1', 'v2', 'v3']): Certificate {
    const head = this.ledger.head();
    const height = head.height + 1;
    const vote = { digest: batchDigest(batch), height, parent: headerHash(head), view: 0 };
    const commits = signers.map((id) => seal(this.genesis.chain, 'pbft.commit', id, vote, signerOf(id)));
    return { engine: 'pbft', engineHeight: height, view: 0, proposer: 'v1', commits };
  }

  offer(gateway: string, interval: number, sell: [number, number][], buy: [number, number][] = []): Envelope {
    const steps = (pairs: [number, number][]) => pairs.map(([priceUcPerWh, energyWh]) => ({ energyWh, priceUcPerWh }));
    return this.sign(gateway, 'offer', { buy: steps(buy), interval, sell: steps(sell) });
  }

  tariff(sellUcPerWh = 30_000, buyUcPerWh = 5_000): Envelope {
    return this.sign('utility1', 'tariff', {
      buyUcPerWh,
      buyWhMax: 1_000_000,
      feeder: 'f1',
      fromInterval: T,
      sellUcPerWh,
      sellWhMax: 1_000_000,
      untilInterval: T + 100,
    });
  }

  /** A delivery from counters that start at 0 in interval T and moved evenly. */
  delivery(gateway: string, interval: number, exportWh: number, importWh: number, more: JsonObject = {}): Envelope {
    return this.sign(gateway, 'delivery', metered(gateway, interval, exportWh, importWh, more));
  }
}

export function metered(
  gateway: string,
  interval: number,
  exportWh: number,
  importWh: number,
  more: JsonObject = {},
): JsonObject {
  return {
    ctRatio: { primaryA: 5, secondaryA: 5 },
    devices: [],
    exportEndWh: exportWh,
    exportStartWh: 0,
    importEndWh: importWh,
    importStartWh: 0,
    interval,
    meterSerial: `${gateway}-meter`,
    quality: 'measured',
    uncertaintyWh: 1,
    ...more,
  };
}

export const minutesAfter = (interval: number, minutes: number): number => interval * LENGTH_MS + minutes * MINUTE;
