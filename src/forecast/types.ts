// What a forecaster takes and gives. Powers are means over a step, W; nothing here is signed or replicated, so floats are fine.

import type { Millis, Watts } from '../base/units.ts';
import type { WeatherArchive } from './weather.ts';
import type { Work } from './work.ts';

/** Probabilities of the quantiles of every forecast, rising. */
export const QUANTILES = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95] as const;
/** Place of the median in `QUANTILES`. */
export const MEDIAN = 3;

export type SeriesKind = 'pv' | 'wind' | 'load' | 'net';

export interface ForecasterOptions {
  readonly kind: SeriesKind;
  /** Length of a step; divides a day. */
  readonly stepMs: Millis;
  /** Degrees, + north and + east. PV needs them for the sun; without them the day's shape is learnt from the data alone. */
  readonly latitude?: number;
  readonly longitude?: number;
  /** IANA name; people live by local time. UTC when absent. */
  readonly timezone?: string;
  /** Rated AC power of a generator: forecasts stay below it. Learnt when absent. */
  readonly capacityW?: Watts;
  /** Local dates `YYYY-MM-DD` that are lived like a Sunday. */
  readonly holidays?: readonly string[];
  /** Weather forecasts as they were known; others add to it, in order of issue. None: the forecaster does without. */
  readonly weather?: WeatherArchive;
}

/** One finished step of history. */
export interface Sample {
  readonly startMs: Millis;
  /** Mean power; null when unknown. Generation and consumption >= 0, net + import. */
  readonly powerW: Watts | null;
  /** The device was held back: what it made is no sign of what it could. */
  readonly curtailed?: boolean;
}

/** Mean power over a stretch of the running step that is already measured. */
export interface PartialReading {
  readonly startMs: Millis;
  readonly endMs: Millis;
  readonly powerW: Watts;
}

export interface IntervalForecast {
  readonly startMs: Millis;
  /** At `QUANTILES`, rising. */
  readonly quantilesW: readonly Watts[];
}

/** Why a sample was not learnt from. */
export type SampleMark =
  | 'missing'
  | 'out-of-order'
  | 'curtailed'
  | 'implausible'
  | 'stuck'
  | 'zero-run'
  | 'night'
  | 'shifted';

export interface Forecaster {
  readonly options: ForecasterOptions;
  /** Takes the next finished step (in order; steps that are skipped are missing). Returns why it was not learnt from, or null. */
  learn(sample: Sample): SampleMark | null;
  /** The same in pieces of a few milliseconds. Until it is done, forecasts may be asked for, the state not. */
  learning(sample: Sample): Work<SampleMark | null>;
  /**
   * After a restart: fits the models that the kept state speaks of again, in pieces. Learning does what is left of it first; forecasts asked
   * for before it is done come from the models there are, at worst from season and memory.
   */
  readonly refit: Work<void>;
  /**
   * The `count` steps from the first one that starts at or after `issuedMs`, from what was learnt before. Never throws for lack of history.
   * `running`: finer readings of the step that runs, in any order: the newest step they speak of, when it comes after all that were learnt
   * (right after the newest, or after a gap); what lies before it is left out. An interval from T on, asked for ten minutes before: learnt up to T - 15 min, readings from T - 15 to T - 10 min,
   * `issuedMs` T - 10 min. Asking changes nothing of what is learnt.
   */
  forecast(issuedMs: Millis, count: number, running?: readonly PartialReading[]): readonly IntervalForecast[];
  /** JSON text of everything learnt, below 1 MiB. The same history gives the same state. */
  state(): string;
}
