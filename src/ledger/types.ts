// What the ledger shows to the programs around it, and the port to its store. The ledger is the replicated application:
// requests in, verdicts, clearings and settlements out, the same on every validator.

import type { Application, Batch, Certificate } from '../consensus/engine.ts';
import type { Envelope } from '../protocol/envelope.ts';
import type { Admission, Bus, Feeder, Genesis } from '../protocol/genesis.ts';
import type { Header } from '../protocol/header.ts';
import type { Leaf, Proof, Trade } from '../protocol/replies.ts';
import type { RequestKind } from '../protocol/requests.ts';
import type { StateProof } from './state.ts';
import type { Subject } from './visibility.ts';

export type LedgerRole = 'validator' | 'gateway' | 'operator' | 'utility';

/** A party with a key. `publicKey` is base64url; null = revoked or removed, nothing of it is accepted any more. */
export interface PartyRecord {
  readonly id: string;
  readonly role: LedgerRole;
  readonly publicKey: string | null;
}

/** A proof without a validator's attestation: the validator adds its own of `header` before it sends. */
export interface LeafProof {
  readonly header: Header;
  readonly proof: Omit<Proof, 'attestation'>;
}

/** A leaf of a block's results, its salt, and what it is about. */
export interface Result {
  readonly leaf: Leaf;
  readonly salt: string;
}

/** A block as kept: what was agreed, what came of it, and who agreed. `results` are in the order of the results tree. */
export interface Block {
  readonly batch: Batch;
  readonly certificate: Certificate;
  readonly clearings: readonly ClearingDocument[];
  readonly header: Header;
  readonly results: readonly Result[];
}

/** What a listener hears after a block is durable. `gateway` of each proof is where it is to be published. */
export interface Applied {
  readonly block: Block;
  /** Verdicts for their signers (topic reply), notices and settlements for their gateways (topic notice). */
  readonly proofs: readonly AddressedProof[];
}

export interface AddressedProof extends LeafProof {
  /** Whom it concerns: the request's signer or the site; null for public summaries. */
  readonly to: string | null;
}

/**
 * Everything needed to check a clearing without trust: what it was given (lines with their limits in force, baseline,
 * orders in consensus order, tariff) and what came out (fills, the utility's two last, flows, nodal prices, trades).
 * With several rounds `certificates` has what each of them made; fills, flows and totals are then the sums, prices and
 * tightened limits the last round's. Its hash is the digest in notices.
 */
export type ClearingDocument = {
  readonly buses: readonly Bus[];
  /** Of each round, if there are several; else empty. */
  readonly certificates: readonly RoundCertificate[];
  readonly feeder: string;
  readonly fillsWh: readonly number[];
  /** By bus, Wh over its line towards the root, without the baseline. */
  readonly flowsWh: readonly number[];
  readonly interval: number;
  readonly lengthMs: number;
  readonly netExports: readonly { readonly bus: string; readonly energyWh: number }[];
  readonly orders: readonly ClearingOrder[];
  readonly pricesUcPerWh: readonly number[];
  /** Why it is void, or empty. */
  readonly reason: string;
  readonly rounds: number;
  readonly status: 'cleared' | 'void';
  readonly tariff: TariffRecord | null;
  readonly tightened: readonly TightenedLine[];
  /** Totals as text: they may exceed 2^53. */
  readonly tradedWh: string;
  readonly trades: readonly Trade[];
  readonly utility: string;
  /** The band that the clearing keeps, or null if the feeder states none. */
  readonly voltage: NonNullable<Feeder['voltage']> | null;
  readonly welfareUc: string;
};

/** A line that the voltage band made narrower; null = no limit in that direction. */
export type TightenedLine = {
  readonly bus: number;
  readonly downMaxWh: number | null;
  readonly upMaxWh: number | null;
};

/** What one of several rounds made of the energy and capacity that earlier ones left: figures as in the document. */
export type RoundCertificate = Pick<
  ClearingDocument,
  'fillsWh' | 'flowsWh' | 'pricesUcPerWh' | 'tightened' | 'tradedWh' | 'welfareUc'
>;

/** One step of a site's offer; `bus` is an index into the buses, `round` the first it takes part in, from 1. */
export type ClearingOrder = {
  readonly bus: number;
  readonly energyWh: number;
  readonly gateway: string;
  readonly priceUcPerWh: number;
  readonly round: number;
  readonly side: 'supply' | 'demand';
};

export interface OpenOffer {
  readonly gateway: string;
  /** Place in time: application height, then a hash of all standing offers of the market. */
  readonly place: { readonly height: number; readonly tie: string };
  /** The first round it takes part in, from 1. */
  readonly round: number;
  readonly buy: readonly { readonly energyWh: number; readonly priceUcPerWh: number }[];
  readonly sell: readonly { readonly energyWh: number; readonly priceUcPerWh: number }[];
}

export interface Account {
  readonly id: string;
  /** µ¤ as text: + the party is owed, - it owes. */
  readonly balanceUc: string;
}

/** A tariff in force: what the utility pays and asks at the root. */
export type TariffRecord = {
  readonly buyUcPerWh: number;
  readonly buyWhMax: number;
  readonly sellUcPerWh: number;
  readonly sellWhMax: number;
};

/** A recorded request as history shows it. */
export interface RecordedRequest {
  readonly height: number;
  readonly id: string;
  readonly kind: RequestKind;
  readonly request: Envelope;
}

/** A leaf and the height of its block. */
export interface KeptLeaf {
  readonly height: number;
  readonly leaf: Leaf;
}

export interface Ledger extends Application {
  readonly genesis: Genesis;
  /** Called after each durable block, in order; returns the function that ends it. A listener must not throw. */
  onApplied(listener: (applied: Applied) => void): () => void;

  /** A block by application height, or null if it is not kept here (before a restored snapshot, or not yet). */
  block(height: number): Block | null;
  /** Headers of the blocks kept here in `[fromHeight, toHeight)`, in order. */
  headers(fromHeight: number, toHeight: number): readonly Header[];
  /** Who agreed on a block kept here. */
  certificate(height: number): Certificate | null;
  /** In which block kept here a request was recorded or refused, or null. */
  heightOf(requestId: string): number | null;
  /** The verdict on a request with its proof, or null if it is in no block kept here. */
  proofOf(requestId: string): LeafProof | null;
  /** A site's notice of an interval. */
  noticeOf(gateway: string, interval: number): LeafProof | null;
  /** A site's settlements of an interval, the first and each that replaced it, in order. */
  settlementsOf(gateway: string, interval: number): readonly LeafProof[];
  /** The public summary of a clearing. */
  summaryOf(feeder: string, interval: number): LeafProof | null;
  /** Notices or settlements of a site, or summaries of a feeder, in intervals `[from, until)` with their blocks, in order of blocks; without proofs. */
  leavesOf(
    kind: 'notice' | 'settlement' | 'clearing',
    subject: string,
    fromInterval: number,
    untilInterval: number,
  ): readonly KeptLeaf[];
  /** The clearing of a feeder's interval with everything to check it. */
  clearing(feeder: string, interval: number): ClearingDocument | null;
  /** Recorded requests of a signer in blocks `[fromHeight, toHeight)`, at most `limit`. */
  requestsOf(signer: string, fromHeight: number, toHeight: number, limit: number): readonly RecordedRequest[];
  /** Recorded changes of the validators, oldest first. */
  memberships(): readonly RecordedRequest[];
  /** Height from which on every block up to the head is kept here: 1, or the one after a snapshot. */
  keptFrom(): number;

  /** True if the asker (a party's id; null = the public) may see the subject. */
  maySee(asker: string | null, subject: Subject): boolean;
  party(id: string): PartyRecord | null;
  parties(): readonly PartyRecord[];
  site(gateway: string): Admission | null;
  sites(feeder: string): readonly Admission[];
  feeder(id: string, interval: number): Feeder | null;
  feeders(): readonly string[];
  tariff(feeder: string, interval: number): TariffRecord | null;
  openOffers(feeder: string, interval: number): readonly OpenOffer[];
  account(id: string): Account | null;
  /** The account as an entry of the state under the head's `stateHash`; null if there is none. */
  accountProof(id: string): StateProof | null;
  accounts(): readonly Account[];
  /** Highest sequence of a signer in any block; 0 if none. */
  lastSequence(signer: string): number;
}

/** One change of the state: a key and its canonical value, null = deleted. */
export type StateChange = readonly [key: string, value: string | null];

/** Where a result stands: `index` is its place in the results of the block. */
export interface ResultPlace {
  readonly height: number;
  readonly index: number;
}

/** Persistence of the ledger. Every write is atomic and durable when the call returns, or throws and changes nothing. */
export interface LedgerStore {
  /** Header of the last block, or null in an empty store. */
  head(): Header | null;
  state(): Iterable<readonly [key: string, value: string]>;
  append(block: Block, changes: Iterable<StateChange>): void;
  /** Starts from a state proven elsewhere (genesis or a snapshot): replaces state and head; blocks above are dropped. */
  reset(header: Header, state: Iterable<readonly [key: string, value: string]>): void;
  block(height: number): Block | null;
  headers(fromHeight: number, toHeight: number): readonly Header[];
  certificate(height: number): Certificate | null;
  /** `subject` is a request id (verdict, interval null), a gateway (notice, settlement) or a feeder (clearing). */
  resultPlaces(kind: Leaf['kind'], subject: string, interval: number | null): readonly ResultPlace[];
  leavesOf(kind: Leaf['kind'], subject: string, fromInterval: number, untilInterval: number): readonly KeptLeaf[];
  /** Recorded requests of a signer in blocks `[fromHeight, toHeight)`, oldest first. */
  requestsOf(signer: string, fromHeight: number, toHeight: number, limit: number): readonly RecordedRequest[];
  clearing(feeder: string, interval: number): ClearingDocument | null;
  /** Lowest height of the unbroken run of blocks that ends with the highest kept; null: no block. */
  keptFrom(): number | null;
}
