// Which line stood in the way of an order, and what a Wh more of it would be worth. A line is short where the prices of
// its ends differ by more than its tariff; the excess is its shadow price. Short lines cut the feeder into zones; what an
// order's owner is told is the dearest short line over which energy would have to leave (supply) or enter (demand)
// its zone. O(n), for all buses at once.

import type { Clearing, FeederModel } from './types.ts';

export interface Congestion {
  /** Shadow price of the line of each bus, µ¤ for a Wh more of its limit; 0 = not short. */
  readonly shadowsUcPerWh: Float64Array;
  /** For an unfilled supply at each bus: the bus whose line stood in its way, or -1. */
  readonly supplyLines: Int32Array;
  /** The same for an unfilled demand. */
  readonly demandLines: Int32Array;
}

export function congestionOf(feeder: FeederModel, clearing: Clearing): Congestion {
  const { parents, topDown, tariffsUcPerWh } = feeder;
  const { pricesUcPerWh } = clearing;
  const n = parents.length;
  const shadowsUcPerWh = new Float64Array(n);
  // A zone is known by its topmost bus.
  const zones = new Int32Array(n);
  const leaving = new Int32Array(n).fill(-1);
  const entering = new Int32Array(n).fill(-1);
  const offer = (best: Int32Array, zone: number, line: number): void => {
    const known = best[zone]!;
    if (known === -1 || shadowsUcPerWh[line]! > shadowsUcPerWh[known]!) best[zone] = line;
  };
  for (const bus of topDown) {
    const parent = parents[bus]!;
    if (parent < 0) {
      zones[bus] = bus;
      continue;
    }
    const rise = pricesUcPerWh[parent]! - pricesUcPerWh[bus]!;
    const shadow = Math.abs(rise) - tariffsUcPerWh[bus]!;
    if (shadow <= 0) {
      zones[bus] = zones[parent]!;
      continue;
    }
    shadowsUcPerWh[bus] = shadow;
    zones[bus] = bus;
    // Energy wants towards the higher price.
    offer(leaving, rise > 0 ? bus : zones[parent]!, bus);
    offer(entering, rise > 0 ? zones[parent]! : bus, bus);
  }
  return {
    shadowsUcPerWh,
    supplyLines: zones.map((zone) => leaving[zone]!),
    demandLines: zones.map((zone) => entering[zone]!),
  };
}
