// From a feeder's record to the model a clearing runs on. Owns the checks of the tree and the rule that turns watts into
// energy an interval: floor(capacityW x minutes / 60). Knows nothing of orders.

import { WattpactError } from '../base/errors.ts';
import { floorDiv, mulDivFloor } from '../base/integers.ts';
import { ENERGY_WH_MAX, PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import type { FeederModel } from './types.ts';

/** Most buses of one feeder. */
export const BUSES_MAX = 1_000_000;
/** Largest capacity of a line, W. */
export const CAPACITY_W_MAX = 4_000_000_000;
const MINUTE_MS = 60_000;
const PPM = 1_000_000;

export interface BusRecord {
  readonly id: string;
  /** Null at the root. */
  readonly parent: string | null;
  /** Most power over the line to the parent, either way; null = no limit. */
  readonly capacityW: number | null;
  readonly tariffUcPerWh: number;
  readonly lossPpm: number;
  /** For the voltage check (voltage.ts): of the line to the parent, and the nominal voltage they refer to. */
  readonly resistanceUohm?: number | undefined;
  readonly reactanceUohm?: number | undefined;
  readonly nominalV?: number | undefined;
}

export interface IntervalConditions {
  /** A whole number of minutes. */
  readonly lengthMs: number;
  /** Operator's limits for this interval in place of the record's, by bus. */
  readonly capacitiesW?: ReadonlyMap<string, number>;
  /** Signed baseline by bus: net export of sites without an offer, Wh. */
  readonly netExportsWh?: ReadonlyMap<string, number>;
}

/** A feeder that cannot be used; `bus` is the index of the record at fault, -1 for the feeder as a whole. */
export class FeederError extends WattpactError {
  override readonly name = 'FeederError';
  readonly bus: number;

  constructor(bus: number, code: string, message: string, hint?: string) {
    super(code, message, hint === undefined ? {} : { hint });
    this.bus = bus;
  }
}

/**
 * Prepares a feeder for one interval. Throws `FeederError` for an empty feeder, a bus twice, an unknown parent, no or two
 * roots, a loop, and figures out of range. A line whose baseline is already at or over its limit lets nothing more pass
 * that way, and everything that relieves it.
 */
export function buildFeeder(buses: readonly BusRecord[], conditions: IntervalConditions): FeederModel {
  const n = buses.length;
  if (n === 0) throw new FeederError(-1, 'feeder.empty', 'the feeder has no bus');
  if (n > BUSES_MAX) throw new FeederError(-1, 'feeder.size', `the feeder has ${n} buses, the limit is ${BUSES_MAX}`);
  if (!isCount(conditions.lengthMs, 24 * 60 * MINUTE_MS) || conditions.lengthMs % MINUTE_MS !== 0) {
    throw new WattpactError(
      'feeder.interval',
      `an interval of ${conditions.lengthMs} ms is no whole number of minutes`,
    );
  }
  const index = indexOf(buses);
  const { parents, root } = parentsOf(buses, index);
  const topDown = orderTopDown(buses, parents, root);

  const upMaxWh = new Float64Array(n);
  const downMaxWh = new Float64Array(n);
  const tariffsUcPerWh = new Float64Array(n);
  const lossesPpm = new Float64Array(n);
  const baseFlowsWh = baseFlows(buses, index, parents, topDown, conditions.netExportsWh);
  for (const [id] of conditions.capacitiesW ?? []) {
    if (!index.has(id)) throw new FeederError(-1, 'feeder.limit', `a limit names bus ${id}, which the feeder lacks`);
  }
  for (let i = 0; i < n; i++) {
    const bus = buses[i] as BusRecord;
    const capacityW = conditions.capacitiesW?.get(bus.id) ?? bus.capacityW;
    if (capacityW !== null && !isCount(capacityW, CAPACITY_W_MAX)) {
      throw new FeederError(
        i,
        'feeder.capacity',
        `capacity of bus ${bus.id} is ${capacityW} W, not 0 to ${CAPACITY_W_MAX}`,
      );
    }
    if (!isCount(bus.tariffUcPerWh, PRICE_UC_PER_WH_MAX)) {
      throw new FeederError(
        i,
        'feeder.tariff',
        `tariff of bus ${bus.id} is ${bus.tariffUcPerWh} µ¤/Wh, not 0 to ${PRICE_UC_PER_WH_MAX}`,
      );
    }
    if (!isCount(bus.lossPpm, PPM)) {
      throw new FeederError(i, 'feeder.loss', `loss of bus ${bus.id} is ${bus.lossPpm} ppm, not 0 to ${PPM}`);
    }
    const capacityWh = capacityW === null || i === root ? Infinity : energyOfCapacity(capacityW, conditions.lengthMs);
    upMaxWh[i] = Math.max(0, capacityWh - baseFlowsWh[i]!);
    downMaxWh[i] = Math.max(0, capacityWh + baseFlowsWh[i]!);
    tariffsUcPerWh[i] = i === root ? 0 : bus.tariffUcPerWh;
    lossesPpm[i] = i === root ? 0 : bus.lossPpm;
  }
  return {
    ids: buses.map(({ id }) => id),
    parents,
    root,
    topDown,
    upMaxWh,
    downMaxWh,
    tariffsUcPerWh,
    lossesPpm,
    baseFlowsWh,
  };
}

/** Whole Wh that a power in watts carries in an interval: floor(W x minutes / 60). */
export function energyOfCapacity(capacityW: number, lengthMs: number): number {
  return mulDivFloor(capacityW, floorDiv(lengthMs, MINUTE_MS), 60);
}

/** Buses from `from` to `to`, both included, through `via`, which lies above both or is one of them. */
export function pathBetween(feeder: FeederModel, from: number, via: number, to: number): number[] {
  const climb = (bus: number): number[] => {
    const path: number[] = [];
    for (; bus !== via && bus !== -1; bus = feeder.parents[bus]!) path.push(bus);
    return path;
  };
  return [...climb(from), via, ...climb(to).reverse()];
}

/** Sums values at buses over each subtree: what flows over the line of each bus, Wh towards the root. */
export function flowsOf(parents: Int32Array, topDown: Int32Array, netExportsWh: Float64Array): Float64Array {
  const flows = Float64Array.from(netExportsWh);
  for (let k = topDown.length - 1; k > 0; k--) {
    const bus = topDown[k]!;
    flows[parents[bus]!]! += flows[bus]!;
  }
  return flows;
}

function indexOf(buses: readonly BusRecord[]): Map<string, number> {
  const index = new Map<string, number>();
  for (let i = 0; i < buses.length; i++) {
    const { id } = buses[i] as BusRecord;
    if (index.has(id)) throw new FeederError(i, 'feeder.twice', `bus ${id} appears twice`);
    index.set(id, i);
  }
  return index;
}

function parentsOf(
  buses: readonly BusRecord[],
  index: ReadonlyMap<string, number>,
): { parents: Int32Array; root: number } {
  const parents = new Int32Array(buses.length);
  let root = -1;
  for (let i = 0; i < buses.length; i++) {
    const { id, parent } = buses[i] as BusRecord;
    if (parent === null) {
      if (root !== -1)
        throw new FeederError(i, 'feeder.roots', `two roots: bus ${(buses[root] as BusRecord).id} and bus ${id}`);
      root = i;
      parents[i] = -1;
      continue;
    }
    const at = index.get(parent);
    if (at === undefined) throw new FeederError(i, 'feeder.parent', `bus ${id} hangs on unknown bus ${parent}`);
    parents[i] = at;
  }
  if (root === -1) throw new FeederError(-1, 'feeder.root', 'no bus is the root', 'Leave the parent of one bus empty.');
  return { parents, root };
}

/** Parents before children, children of one bus in the order of the records. */
function orderTopDown(buses: readonly BusRecord[], parents: Int32Array, root: number): Int32Array {
  const n = parents.length;
  const firstChild = new Int32Array(n).fill(-1);
  const nextSibling = new Int32Array(n).fill(-1);
  for (let i = n - 1; i >= 0; i--) {
    const parent = parents[i]!;
    if (parent < 0) continue;
    nextSibling[i] = firstChild[parent]!;
    firstChild[parent] = i;
  }
  const topDown = new Int32Array(n);
  topDown[0] = root;
  let filled = 1;
  for (let k = 0; k < filled; k++) {
    for (let child = firstChild[topDown[k]!]!; child !== -1; child = nextSibling[child]!) topDown[filled++] = child;
  }
  if (filled < n) {
    const reached = new Uint8Array(n);
    for (let k = 0; k < filled; k++) reached[topDown[k]!] = 1;
    const lost = reached.indexOf(0);
    throw new FeederError(
      lost,
      'feeder.loop',
      `bus ${(buses[lost] as BusRecord).id} does not lead to the root: a loop`,
    );
  }
  return topDown;
}

function baseFlows(
  buses: readonly BusRecord[],
  index: ReadonlyMap<string, number>,
  parents: Int32Array,
  topDown: Int32Array,
  netExportsWh: ReadonlyMap<string, number> | undefined,
): Float64Array {
  const netExports = new Float64Array(buses.length);
  for (const [id, energyWh] of netExportsWh ?? []) {
    const at = index.get(id);
    if (at === undefined)
      throw new FeederError(-1, 'feeder.baseline', `the baseline names bus ${id}, which the feeder lacks`);
    if (!isCount(Math.abs(energyWh), ENERGY_WH_MAX)) {
      throw new FeederError(at, 'feeder.baseline', `baseline of bus ${id} is ${energyWh} Wh, beyond ±${ENERGY_WH_MAX}`);
    }
    netExports[at] = energyWh;
  }
  return flowsOf(parents, topDown, netExports);
}

function isCount(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= max;
}
