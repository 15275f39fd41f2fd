// What a clearing takes and gives. Integers only: Wh an interval, µ¤/Wh, µ¤.
// Flows and net exports: + towards the root.

/** A radial feeder prepared for one interval length: bus i hangs on `parents[i]`, the root's parent is -1. Any order of buses. */
export interface FeederModel {
  readonly ids: readonly string[];
  readonly parents: Int32Array;
  /** Most energy an interval over the line from bus i to its parent, Wh either way; -1 = no limit. */
  readonly capacitiesWh: Float64Array;
  /** Tariff of that line, µ¤ for each Wh either way. */
  readonly tariffsUcPerWh: Float64Array;
  readonly lossesPpm: Float64Array;
  /** Flow that is there before any order (signed baseline), Wh towards the root. */
  readonly baseFlowsWh: Float64Array;
}

export type Side = 'supply' | 'demand';

/** One step of an offer. The place in the list is the consensus order: it decides ties. */
export interface Order {
  readonly id: string;
  readonly bus: number;
  readonly side: Side;
  readonly priceUcPerWh: number;
  readonly energyWh: number;
}

/** A seller's order matched with a buyer's; `path` are bus indices, seller's first. */
export interface OrderTrade {
  readonly seller: number;
  readonly buyer: number;
  readonly energyWh: number;
  readonly sellerUcPerWh: number;
  readonly buyerUcPerWh: number;
  readonly lossWh: number;
  readonly path: readonly number[];
}

export interface Clearing {
  readonly welfareUc: bigint;
  readonly tradedWh: bigint;
  /** Energy filled of each order, by its index. */
  readonly fillsWh: Float64Array;
  /** Flow over the line above each bus caused by the orders, without the baseline. */
  readonly flowsWh: Float64Array;
  /** Canonical nodal price of each bus. */
  readonly pricesUcPerWh: Float64Array;
}
