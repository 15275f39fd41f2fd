// One power for all batteries becomes one for each: by energy they hold or have room for, few at a time when the
// power is small (an inverter wastes at low load), within each one's own limits.

import { clamp } from '../base/integers.ts';

export interface Shareable {
  readonly id: string;
  /** Power it may be told, + discharging: minW <= 0 <= maxW unless it is forced. */
  readonly minW: number;
  readonly maxW: number;
  /** Energy it can still give, and still take. */
  readonly giveWh: number;
  readonly takeWh: number;
  readonly beforeW: number;
}

/** Below this share of its limit a battery is not worth running beside another. */
const WORTH_RUNNING = 0.3;
/** A running battery is preferred to a resting one unless it holds this much less. */
const STAY = 1.2;

/** Splits `totalW` (+ discharging); what no battery can take is left out. */
export function share(totalW: number, batteries: readonly Shareable[]): Map<string, number> {
  const discharging = totalW > 0;
  const weightOf = (b: Shareable): number => {
    const energy = discharging ? b.giveWh : b.takeWh;
    const running = discharging ? b.beforeW > 0 : b.beforeW < 0;
    return Math.max(energy, 1e-9) * (running ? STAY : 1);
  };
  const limitOf = (b: Shareable): number => (discharging ? Math.max(0, b.maxW) : Math.max(0, -b.minW));
  const result = new Map(batteries.map((b) => [b.id, clamp(0, b.minW, b.maxW)]));
  const wanted = Math.abs(totalW);
  const order = batteries.filter((b) => limitOf(b) > 0).sort((a, b) => weightOf(b) - weightOf(a));
  // As few batteries as run at a worthwhile power, at least enough to carry it.
  let count = 0;
  let capable = 0;
  while (count < order.length) {
    const next = order[count]!;
    const enough = capable >= wanted;
    if (enough && wanted / (count + 1) < WORTH_RUNNING * limitOf(next)) break;
    capable += limitOf(next);
    count++;
  }
  let open = order.slice(0, count);
  let left = wanted;
  while (open.length > 0 && left > 1e-6) {
    const weights = open.reduce((sum, b) => sum + weightOf(b), 0);
    const full = open.filter((b) => (left * weightOf(b)) / weights >= limitOf(b));
    if (full.length === 0) {
      for (const b of open) result.set(b.id, (discharging ? 1 : -1) * ((left * weightOf(b)) / weights));
      break;
    }
    for (const b of full) {
      result.set(b.id, (discharging ? 1 : -1) * limitOf(b));
      left -= limitOf(b);
    }
    open = open.filter((b) => !full.includes(b));
  }
  return result;
}
