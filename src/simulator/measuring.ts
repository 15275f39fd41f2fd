// What a meter adds to the truth: delay, noise, and counters that count in steps. Repeatable from a seed.

import { BugError } from '../base/errors.ts';
import { seededRandom } from '../base/random.ts';
import type { Millis } from '../base/units.ts';
import type { MeasuringErrors, SiteTruth } from './types.ts';

export const EXACT: MeasuringErrors = { meterDelayMs: 0, powerNoise: 0, counterResolutionWh: 0 };

/** Most samples kept over the delay: those that come closer together replace each other. */
const SAMPLES_MAX = 500;

/** The grid connection as its meter shows it. */
export type ShownGrid = Pick<
  SiteTruth,
  'gridPowerW' | 'gridPhaseW' | 'importEnergyWh' | 'exportEnergyWh' | 'importEachPhaseWh' | 'exportEachPhaseWh'
>;

export interface Meter {
  /** Takes a sample of the truth. */
  sample(truth: SiteTruth, monotonicMs: Millis): void;
  /** What it shows: the youngest sample that is at least the delay old (the oldest when none is). */
  shown(monotonicMs: Millis): ShownGrid;
}

export function createMeter(errors: MeasuringErrors, seed: number): Meter {
  const random = seededRandom(seed);
  const samples: { atMs: Millis; grid: ShownGrid }[] = [];

  /** A normal deviate by Box and Muller. */
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const counted = (energyWh: number) =>
    errors.counterResolutionWh > 0
      ? Math.floor(energyWh / errors.counterResolutionWh) * errors.counterResolutionWh
      : energyWh;

  return {
    sample(truth, atMs) {
      const newest = samples.at(-1);
      const close = newest !== undefined && atMs - newest.atMs < errors.meterDelayMs / SAMPLES_MAX;
      if (close) samples.pop();
      const factor = errors.powerNoise > 0 ? 1 + errors.powerNoise * normal() : 1;
      samples.push({
        atMs: close ? newest.atMs : atMs,
        grid: {
          gridPowerW: truth.gridPowerW * factor,
          gridPhaseW: truth.gridPhaseW.map((powerW) => powerW * factor),
          importEnergyWh: counted(truth.importEnergyWh),
          exportEnergyWh: counted(truth.exportEnergyWh),
          importEachPhaseWh: counted(truth.importEachPhaseWh),
          exportEachPhaseWh: counted(truth.exportEachPhaseWh),
        },
      });
      // Everything older than the one that is shown is done with.
      const shown = samples.findLastIndex((sample) => sample.atMs <= atMs - errors.meterDelayMs);
      if (shown > 0) samples.splice(0, shown);
    },
    shown(nowMs) {
      const sample = samples.findLast(({ atMs }) => atMs <= nowMs - errors.meterDelayMs) ?? samples[0];
      if (sample === undefined) throw new BugError('a meter shows something only after its first sample');
      return sample.grid;
    },
  };
}
