// What stored energy is for at this moment: its planned value against what a Wh costs and brings right now.
// The same comparison serves a site with a trade (prices of deviating from it) and one without (its tariff).

import type { UcPerWh, WattHours } from '../base/units.ts';
import type { Economy } from './control-types.ts';
import type { StoredValue } from './plan-types.ts';

/** A decision is given up only when prices speak against it by this share of the dearest of them. */
const HYSTERESIS = 0.02;

/** Own use: the battery serves the site and nothing else. */
export const OWN_USE: Economy = { cover: true, absorb: true, charge: false, discharge: false };

export interface EconomyInput {
  readonly storedValue: readonly StoredValue[];
  readonly storedWh: WattHours;
  readonly shortfallUcPerWh: UcPerWh;
  readonly surplusUcPerWh: UcPerWh;
  readonly chargeEfficiency: number;
  readonly dischargeEfficiency: number;
  readonly wearUcPerWh: UcPerWh;
}

/** Weighs the four uses of a battery; `before` is kept where prices are close. Without a plan: own use. */
export function economyOf(input: EconomyInput, before: Economy): Economy {
  const { storedValue, storedWh, shortfallUcPerWh: buy, surplusUcPerWh: sell } = input;
  if (storedValue.length === 0) return OWN_USE;
  const margin = HYSTERESIS * Math.max(Math.abs(buy), Math.abs(sell), 1);
  const better = (gain: number, was: boolean): boolean => gain > (was ? -margin : margin);
  const next = valueAt(storedValue, storedWh, 'above');
  const last = valueAt(storedValue, storedWh, 'below');
  const toStore = (price: number): number => price / input.chargeEfficiency + input.wearUcPerWh;
  const fromStore = (price: number): number => price * input.dischargeEfficiency - input.wearUcPerWh;
  return {
    cover: better(fromStore(buy) - last, before.cover),
    discharge: better(fromStore(sell) - last, before.discharge),
    absorb: better(next - toStore(sell), before.absorb),
    charge: better(next - toStore(buy), before.charge),
  };
}

/** Value of the next Wh above, or the last one below, an energy stored. */
export function valueAt(storedValue: readonly StoredValue[], storedWh: WattHours, side: 'above' | 'below'): UcPerWh {
  const found = storedValue.find(({ upToWh }) => (side === 'above' ? upToWh > storedWh : upToWh >= storedWh));
  return (found ?? storedValue.at(-1))?.valueUcPerWh ?? 0;
}
