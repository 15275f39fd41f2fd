// What a clearing takes and gives. Integers only (in doubles, always below 2^53): Wh an interval, µ¤/Wh, µ¤.
// Flows and net exports: + towards the root. Buses and orders are known by their index.

/**
 * A radial feeder prepared for one interval: bus i hangs on `parents[i]` by "the line of bus i"; the root's parent is -1.
 * Made by `buildFeeder`, which refuses loops, second roots and figures out of range.
 */
export interface FeederModel {
  readonly ids: readonly string[];
  readonly parents: Int32Array;
  readonly root: number;
  /** All buses, each parent before its children. */
  readonly topDown: Int32Array;
  /** Most energy that orders may send over the line of a bus towards the root, Wh; Infinity = no limit. Baseline deducted, never < 0. */
  readonly upMaxWh: Float64Array;
  /** The same away from the root. */
  readonly downMaxWh: Float64Array;
  /** Tariff of the line of a bus, µ¤ for each Wh that orders send over it, either way. */
  readonly tariffsUcPerWh: Float64Array;
  /** Loss on the line of a bus, parts per million of what passes. */
  readonly lossesPpm: Float64Array;
  /** Flow that is there before any order (signed baseline), Wh towards the root. */
  readonly baseFlowsWh: Float64Array;
}

export type Side = 'supply' | 'demand';

/** One step of an offer. */
export interface Order {
  readonly bus: number;
  readonly side: Side;
  readonly priceUcPerWh: number;
  readonly energyWh: number;
}

/** The utility's word at the root: buys up to `buyWhMax`, sells up to `sellWhMax`; buy <= sell. */
export interface UtilityTariff {
  readonly buyUcPerWh: number;
  readonly buyWhMax: number;
  readonly sellUcPerWh: number;
  readonly sellWhMax: number;
}

/**
 * The orders of one clearing in consensus order (the index decides ties), as columns. Made by `orderBook`.
 * With a utility its sell order is the last but one and its buy order the last.
 */
export interface OrderBook {
  readonly size: number;
  readonly buses: Int32Array;
  /** 1 = supply, 0 = demand. */
  readonly supply: Uint8Array;
  readonly pricesUcPerWh: Int32Array;
  readonly energiesWh: Float64Array;
  readonly hasUtility: boolean;
}

/** A clearing and its certificate: fills, flows and nodal prices are all that `verifyClearing` needs. */
export interface Clearing {
  readonly welfareUc: bigint;
  readonly tradedWh: bigint;
  /** Energy filled of each order, by its index. */
  readonly fillsWh: Float64Array;
  /** Flow over the line of each bus caused by the orders, without the baseline; 0 at the root. */
  readonly flowsWh: Float64Array;
  /** Canonical nodal price of each bus. */
  readonly pricesUcPerWh: Float64Array;
}

/** Something wrong with a clearing; `at` is an order's or a bus's index, -1 for the whole. */
export interface Finding {
  readonly code:
    | 'shape'
    | 'fill.range'
    | 'flow.balance'
    | 'flow.limit'
    | 'fill.suboptimal'
    | 'fill.tie'
    | 'price'
    | 'welfare'
    | 'traded'
    | 'voltage';
  readonly at: number;
  readonly message: string;
}

/** A seller's order matched with a buyer's; they meet at bus `via`, the lowest bus above both. */
export interface OrderTrade {
  readonly seller: number;
  readonly buyer: number;
  readonly energyWh: number;
  readonly sellerUcPerWh: number;
  readonly buyerUcPerWh: number;
  /** Physical loss on the path: information. */
  readonly lossWh: number;
  readonly via: number;
}
