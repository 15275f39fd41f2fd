// The tables of the replicated state: what each holds, under which key, and how long. History lives in blocks;
// here is only what future blocks need.

import type { Json } from '../base/canonical.ts';
import { floorDiv, mulDivFloor } from '../base/integers.ts';
import { intervalAt, intervalEndMs, intervalStartMs } from '../base/interval.ts';
import type { Lot } from '../market/settle.ts';
import type { Admission, Feeder, Genesis } from '../protocol/genesis.ts';
import type { OfferStep } from '../protocol/requests.ts';
import { type State, Table } from './state.ts';
import type { LedgerRole, TariffRecord } from './types.ts';

/** The only partition of tables that are not divided. */
export const ALL = 'all';

/** Days for which a settled interval can be corrected. */
const CORRECTION_MS = 30 * 24 * 3_600_000;

export type PartyRow = { readonly publicKey: string | null; readonly role: LedgerRole };
/** party/all/<id>: operators, utilities and gateways; for ever, so that an id is never given twice. */
export const parties = new Table<PartyRow>('party');

/** validator/all/<id>: public keys of the set in force for the next block. */
export const validators = new Table<string>('validator');

/** signer/<id>/last: highest ordered sequence and the salt of that request. */
export const signers = new Table<{ readonly salt: string; readonly sequence: number }>('signer');

/** account/all/<id>: balance in µ¤ as text. */
export const accounts = new Table<string>('account');

/** site/<gateway>/admission. */
export const sites = new Table<Admission>('site');

/** member/<feeder>/<gateway>: the interval of its first offer or delivery, or -1; from then on it is settled. */
export const members = new Table<number>('member');

/**
 * meter/<gateway>/last: where the counters stand. `interval` is the last delivered, -1 before the first. `carry...` is
 * what a replaced meter counted in the interval of its swap.
 */
export type MeterRow = {
  readonly carryExportWh: number;
  readonly carryImportWh: number;
  readonly ctRatio: { readonly primaryA: number; readonly secondaryA: number } | null;
  readonly exportWh: number;
  readonly importWh: number;
  readonly interval: number;
  readonly previousSerial: string;
  readonly serial: string;
};
export const meters = new Table<MeterRow>('meter');

/** history/<gateway>/<device>: how many intervals it has delivered, and its slowly fading peak. */
export const histories = new Table<{ readonly intervals: number; readonly peakWh: number }>('history');

export type GridRow = {
  readonly latitudeDeg10: number;
  readonly longitudeDeg10: number;
  readonly operator: string;
  readonly utility: string;
};
/** grid/all/<feeder>: the little of a feeder that every check needs. */
export const grids = new Table<GridRow>('grid');

/** feeder/<feeder>/<first interval>: versions of a feeder. */
export const feeders = new Table<Feeder>('feeder');

/** What an operator or a utility says of some intervals `[fromInterval, untilInterval)`; the newest that covers one holds. */
type Ranged = { readonly fromInterval: number; readonly untilInterval: number };
export type TariffRow = Ranged & TariffRecord;
export type LimitRow = Ranged & {
  readonly capacities: readonly { readonly bus: string; readonly capacityW: number }[];
};
export type BaselineRow = Ranged & {
  readonly netExports: readonly { readonly bus: string; readonly energyWh: number }[];
};
/** tariff|limit|baseline/<feeder>/<sequence>. */
export const tariffs = new Table<TariffRow>('tariff');
export const limits = new Table<LimitRow>('limit');
export const baselines = new Table<BaselineRow>('baseline');

/** latest/<signer>/<kind>.<subject>: highest sequence recorded of an operator's or utility's statements on a subject. */
export const latest = new Table<number>('latest');

/** offer/<feeder>.<interval>/<gateway>: until the clearing. Both sides empty = withdrawn. */
export type OfferRow = {
  readonly buy: readonly OfferStep[];
  readonly height: number;
  /** Its id. */
  readonly request: string;
  /** The first round it takes part in, from 1. */
  readonly round: number;
  readonly salt: string;
  readonly sell: readonly OfferStep[];
  readonly sequence: number;
};
export const offers = new Table<OfferRow>('offer');

/** record/<interval>/<kind>.<gateway>.<device or customer>: forecasts and demands, until the interval starts. */
export const records = new Table<{ readonly energyWh: number; readonly sequence: number }>('record');

/** What of a clearing its settlement needs: the utility's part, the lines' tariffs and the physical losses. */
export type ClearedRow = {
  readonly lineTariffsUc: string;
  readonly lossWh: number;
  readonly tariff: TariffRecord | null;
  /** What the utility receives for its cleared supply less its cleared demand. */
  readonly utilityUc: string;
};
/** market/<feeder>/<interval>: until the settlement. */
export const markets = new Table<ClearedRow>('market');

/** position/<feeder>.<interval>/<gateway>: of every site that the clearing found active; until the settlement. Void: no price. */
export type PositionRow = {
  /** Of rounds before the last. */
  readonly earlier: readonly Lot[];
  readonly positionWh: number;
  readonly priceUcPerWh: number | null;
  readonly salt: string;
};
export const positions = new Table<PositionRow>('position');

export type Counters = {
  readonly exportEndWh: number;
  readonly exportStartWh: number;
  readonly importEndWh: number;
  readonly importStartWh: number;
  readonly serial: string;
};
/** delivery/<feeder>.<interval>/<gateway>: until the settlement. */
export type DeliveryRow = {
  readonly counters: Counters;
  readonly deliveredWh: number;
  readonly salt: string;
  readonly uncertaintyWh: number;
};
export const deliveries = new Table<DeliveryRow>('delivery');

/** How one site came out of an interval. `counters` null = nothing was delivered (provisional). */
export type SettledSite = {
  readonly corrections: number;
  readonly counters: Counters | null;
  readonly deliveredWh: number;
  readonly earlier: readonly Lot[];
  readonly imbalanceUc: number;
  readonly positionWh: number;
  /** Nodal price of the clearing; null if there was none for this site. */
  readonly priceUcPerWh: number | null;
  readonly tradesUc: number;
  readonly uncertaintyWh: number;
};
export type SettledRow = {
  readonly market: ClearedRow;
  /** Who operated the feeder and who was its utility in that interval, and what each of them came out with. */
  readonly operator: string;
  readonly operatorUc: string;
  readonly sites: { readonly [gateway: string]: SettledSite };
  readonly utility: string;
  readonly utilityUc: string;
};
/** settled/<interval>/<feeder>: while corrections are taken. */
export const settlements = new Table<SettledRow>('settled');

/** id/<interval in which it ends>/<request>: requests already ordered, until `validUntil`. */
export const ids = new Table<1>('id');

/** due/all/<time>.<type>.<feeder>.<interval>: operations to come, in the order in which they are executed. */
export const dues = new Table<1>('due');

/** Name whose order as text is the order of the numbers. */
export function padded(value: number): string {
  return String(value).padStart(16, '0');
}

export function marketKey(feeder: string, interval: number): string {
  return `${feeder}.${interval}`;
}

export function startMs(genesis: Genesis, interval: number): number {
  return intervalStartMs(interval, genesis.interval.lengthMs);
}

export function gateMs(genesis: Genesis, interval: number): number {
  return startMs(genesis, interval) - genesis.interval.gateCloseMs;
}

export function settlementMs(genesis: Genesis, interval: number): number {
  return intervalEndMs(interval, genesis.interval.lengthMs) + genesis.interval.settlementMs;
}

/** Interval at whose start everything that ends by `instantMs` is forgotten: always after the instant. */
export function expiryInterval(genesis: Genesis, instantMs: number): number {
  return intervalAt(instantMs, genesis.interval.lengthMs) + 1;
}

/** Interval at whose start a settled interval can no longer be corrected. */
export function correctionEnd(genesis: Genesis, interval: number): number {
  return interval + floorDiv(CORRECTION_MS, genesis.interval.lengthMs);
}

/** Energy of a power over one interval, Wh, rounded down. */
export function energyWh(genesis: Genesis, powerW: number): number {
  return mulDivFloor(powerW, genesis.interval.lengthMs, 3_600_000);
}

/** The version of a feeder in force in an interval, or null. */
export function feederAt(state: State, feeder: string, interval: number): Feeder | null {
  const from = feeders.names(state, feeder).findLast((name) => name <= padded(interval));
  return from === undefined ? null : feeders.get(state, feeder, from);
}

/** The newest statement that covers an interval, or null. */
export function newestCovering<Row extends Ranged & Json>(
  state: State,
  table: Table<Row>,
  feeder: string,
  interval: number,
): Row | null {
  const names = table.names(state, feeder);
  for (let i = names.length - 1; i >= 0; i--) {
    const row = table.get(state, feeder, names[i] as string) as Row;
    if (row.fromInterval <= interval && interval < row.untilInterval) return row;
  }
  return null;
}

/** What one party gains (+) or loses (-), added to its account. */
export function credit(state: State, party: string, amountUc: bigint): void {
  const balance = BigInt(accounts.get(state, ALL, party) ?? '0');
  accounts.set(state, ALL, party, String(balance + amountUc));
}
