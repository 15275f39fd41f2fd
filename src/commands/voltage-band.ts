// The option `--voltage-band PERCENT` of the commands that clear or publish a feeder.

import { WattpactError } from '../base/errors.ts';

/** Clearings repeated under tighter limits before the market is void. */
const REPEATS_MAX = 8;
/** Reactive over active power of consumption that the check assumes: power factor 0.95. */
const TAN_PHI_PPM = 328_684;

/** The band that far around nominal, the root at nominal; per unit in ppm. Throws `usage.voltage`. */
export function voltageBand(percent: string): {
  readonly rootPpm: number;
  readonly minPpm: number;
  readonly maxPpm: number;
  readonly repeatsMax: number;
  readonly tanPhiPpm: number;
} {
  if (!/^[1-9][0-9]?$/.test(percent)) {
    throw new WattpactError('usage.voltage', `voltage band "${percent}" is no whole number of percent below 100`);
  }
  const widthPpm = Number(percent) * 10_000;
  return {
    rootPpm: 1_000_000,
    minPpm: 1_000_000 - widthPpm,
    maxPpm: 1_000_000 + widthPpm,
    repeatsMax: REPEATS_MAX,
    tanPhiPpm: TAN_PHI_PPM,
  };
}
