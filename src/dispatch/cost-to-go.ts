// A convex function of stored energy as its pieces of falling value: what planning hands from interval to interval.

import type { WattHours } from '../base/units.ts';

/** Cost of everything from here on, by energy stored: `costAtLowUc` at `lowWh`, then falling by `values[i]` a Wh over `widthsWh[i]`. Values fall. */
export interface CostToGo {
  readonly lowWh: WattHours;
  readonly costAtLowUc: number;
  readonly values: readonly number[];
  readonly widthsWh: readonly number[];
}

/** Cost-to-go at an energy stored. */
export function costAt(cost: CostToGo, storedWh: WattHours): number {
  let left = storedWh - cost.lowWh;
  let uc = cost.costAtLowUc;
  for (let i = 0; i < cost.values.length && left > 0; i++) {
    const width = Math.min(cost.widthsWh[i]!, left);
    uc -= width * cost.values[i]!;
    left -= width;
  }
  return uc;
}
