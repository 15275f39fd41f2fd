// Net power at the grid connection, + import, from its parts. Quantiles do not add: cloud and kettle err apart, rain and heating together.
// So two forecasts are made: the parts' medians moved by recent joint residuals of all parts, and a model of the net itself.
// Which one answers is settled by recent loss, for each class of leads. The parts forecast for themselves; this file only joins them.

import { WattpactError } from '../base/errors.ts';
import { clamp } from '../base/integers.ts';
import type { Millis, Watts } from '../base/units.ts';
import { DAY_MS } from './calendar.ts';
import { createForecaster, FORECASTS_A_PIECE } from './forecaster.ts';
import { pinball, sortQuantiles, weightedQuantiles } from './quantiles.ts';
import {
  type Forecaster,
  type ForecasterOptions,
  type IntervalForecast,
  MEDIAN,
  type PartialReading,
  QUANTILES,
  type Sample,
  type SampleMark,
} from './types.ts';
import { finish, type Work } from './work.ts';

/** Joint residuals kept for a class of leads, and the fewest that say something. */
const RESIDUALS_MAX = 300;
const RESIDUALS_MIN = 40;
/** A residual counts at most so many band widths. */
const RESIDUAL_MAX = 8;
/** Leads that are scored step by step, and the ends of the classes beyond, hours. */
const NEAR_STEPS = 2;
const FAR_HOURS = [6, 36] as const;
/** Long forecasts are scored this often, and of them one step an hour. */
const FAR_ISSUE_MS: Millis = 6 * 3_600_000;
const HOUR_MS: Millis = 3_600_000;
/** Days after which half of the record of losses is forgotten. */
const RECORD_HALF_LIFE_DAYS = 14;
/** Parts measured together for this share of the longest stretch among them are measured over the same one. */
const SAME_STRETCH = 0.8;
/** Places of 10 and 90 % in `QUANTILES`. */
const [LOW, HIGH] = [1, 5] as const;

/** A part of the net at the grid connection: +1 consumption, -1 generation. */
export interface NetPart {
  readonly sign: 1 | -1;
  readonly forecaster: Forecaster;
}

export interface NetForecaster {
  /**
   * The next finished step of every part, in the parts' order, all with the same start. Teaches the parts too. Returns their marks; where
   * one could not be learnt, the net of that step is unknown.
   */
  learn(samples: readonly Sample[]): readonly (SampleMark | null)[];
  /** The same in pieces, as `Forecaster.learning`. */
  learning(samples: readonly Sample[]): Work<readonly (SampleMark | null)[]>;
  /** As `Forecaster.forecast`, + import. `running`: what is measured of the running step, by part. */
  forecast(
    issuedMs: Millis,
    count: number,
    running?: readonly (readonly PartialReading[])[],
  ): readonly IntervalForecast[];
  /** After a restart: of the net's own model, as a `Forecaster`'s; the parts have theirs. */
  readonly refit: Work<void>;
  /** Which of the two answers for a step so many after the newest learnt one. */
  source(lead: number): 'joint' | 'model';
  /** JSON text, below 1 MiB, without the parts' own states. */
  state(): string;
}

/** What one part was expected to be: its median and the distances to 10 and 90 %. */
interface Expected {
  readonly median: Watts;
  readonly down: Watts;
  readonly up: Watts;
}

/** JSON: forecasts of a step that wait for its truth. */
interface Pending {
  readonly step: number;
  readonly lead: number;
  readonly parts: readonly Expected[];
  readonly joint: readonly Watts[];
  readonly model: readonly Watts[];
}

/** JSON: of a class of leads. */
interface LeadRecord {
  /** By outcome and part, in widths of the part's band; null where it had none (a night without sun). */
  residuals: (readonly (number | null)[])[];
  jointLoss: number;
  modelLoss: number;
}

interface State {
  readonly version: 1;
  readonly parts: number;
  newest: number | null;
  readonly records: LeadRecord[];
  pending: Pending[];
}

/**
 * Creates a net forecaster over parts that are new or restored with it. `earlier`: a `state()` over as many parts, as old as theirs.
 * Throws `forecast.state`, `forecast.options`, `usage.timezone`.
 */
export function createNetForecaster(
  options: Omit<ForecasterOptions, 'kind' | 'capacityW'>,
  parts: readonly NetPart[],
  earlier?: string,
): NetForecaster {
  const { stepMs } = options;
  const { state, modelState } = earlier === undefined ? fresh(parts.length) : restore(earlier, parts.length);
  const model = createForecaster({ ...options, kind: 'net' }, modelState);
  const memory = 0.5 ** (stepMs / DAY_MS / RECORD_HALF_LIFE_DAYS);
  const hourSteps = Math.max(1, Math.round(HOUR_MS / stepMs));
  const farSteps = Math.round(((FAR_HOURS.at(-1) as number) * HOUR_MS) / stepMs);

  const classOf = (lead: number): number => {
    if (lead <= NEAR_STEPS) return 0;
    const found = FAR_HOURS.findIndex((hours) => lead * stepMs <= hours * HOUR_MS);
    return found < 0 ? FAR_HOURS.length : found + 1;
  };
  const recordOf = (lead: number): LeadRecord => state.records[classOf(lead)] as LeadRecord;

  const source = (lead: number): 'joint' | 'model' => {
    const { jointLoss, modelLoss } = recordOf(lead);
    return modelLoss < jointLoss ? 'model' : 'joint';
  };

  function* learning(samples: readonly Sample[]): Work<readonly (SampleMark | null)[]> {
    const marks: (SampleMark | null)[] = [];
    for (const [i, { forecaster }] of parts.entries()) marks.push(yield* forecaster.learning(samples[i] as Sample));
    const startMs = samples[0]?.startMs ?? Number.NaN;
    const known = marks.every((mark) => mark === null);
    const powersW = samples.map(({ powerW }) => powerW ?? Number.NaN);
    const netW = parts.reduce((sum, { sign }, i) => sum + sign * (powersW[i] as Watts), 0);
    if ((yield* model.learning({ startMs, powerW: known ? netW : null })) === 'out-of-order') return marks;
    const step = startMs / stepMs;
    settle(step, known ? powersW : null, netW);
    state.newest = step;
    yield* expect(NEAR_STEPS, 1);
    if ((startMs + stepMs) % FAR_ISSUE_MS === 0) yield* expect(farSteps, hourSteps);
    return marks;
  }

  /** Notes what is forecast now for every `stride`-th of the next steps, to be scored when they are over. */
  function* expect(count: number, stride: number): Work<void> {
    const newest = state.newest as number;
    for (let from = 1; from <= count; from += FORECASTS_A_PIECE) {
      const length = Math.min(FORECASTS_A_PIECE, count - from + 1);
      const { byPart, modelW } = forecasts((newest + from) * stepMs, length, []);
      for (let lead = from; lead < from + length; lead++) {
        const far = stride > 1 || count > NEAR_STEPS;
        if (lead % stride !== 0 || (far && lead <= NEAR_STEPS)) continue;
        const expected = byPart.map((part) => expectedOf(part[lead - from] as IntervalForecast));
        const joint = jointW(recordOf(lead), expected);
        const given = modelW[lead - from] as IntervalForecast;
        state.pending.push({
          step: newest + lead,
          lead,
          parts: expected.map(({ median, down, up }) => ({ median: short(median), down: short(down), up: short(up) })),
          joint: joint.map(short),
          model: given.quantilesW.map(short),
        });
      }
      yield;
    }
  }

  const settle = (step: number, powersW: readonly Watts[] | null, netW: Watts): void => {
    for (const { step: due, lead, parts: expected, joint, model: given } of state.pending) {
      if (due !== step || powersW === null) continue;
      const record = recordOf(lead);
      record.jointLoss = memory * record.jointLoss + lossOf(joint, netW);
      record.modelLoss = memory * record.modelLoss + lossOf(given, netW);
      record.residuals.push(expected.map((part, i) => residualOf(part, powersW[i] as Watts)));
      if (record.residuals.length > RESIDUALS_MAX) record.residuals.shift();
    }
    state.pending = state.pending.filter(({ step: due }) => due > step);
  };

  /** The parts' quantiles by part and step, and the net model's by step. */
  const forecasts = (
    issuedMs: Millis,
    count: number,
    running: readonly (readonly PartialReading[])[],
  ): { byPart: (readonly IntervalForecast[])[]; modelW: readonly IntervalForecast[] } => ({
    byPart: parts.map(({ forecaster }, i) => forecaster.forecast(issuedMs, count, running[i] ?? [])),
    modelW: model.forecast(issuedMs, count, netReadings(running)),
  });

  /** What is measured of all parts over nearly the same stretches; nothing where they differ: meters are not read at one instant. */
  const netReadings = (running: readonly (readonly PartialReading[])[]): PartialReading[] => {
    const [first = [], ...others] = running;
    if (running.length !== parts.length) return [];
    return first.flatMap((reading) => {
      let { startMs, endMs } = reading;
      let longestMs = endMs - startMs;
      let netW = (parts[0] as NetPart).sign * reading.powerW;
      for (const [i, readings] of others.entries()) {
        const same = readings.find((other) => other.startMs < endMs && other.endMs > startMs);
        if (same === undefined) return [];
        startMs = Math.max(startMs, same.startMs);
        endMs = Math.min(endMs, same.endMs);
        longestMs = Math.max(longestMs, same.endMs - same.startMs);
        netW += (parts[i + 1] as NetPart).sign * same.powerW;
      }
      return endMs - startMs >= SAME_STRETCH * longestMs ? [{ startMs, endMs, powerW: netW }] : [];
    });
  };

  const jointW = ({ residuals }: LeadRecord, expected: readonly Expected[]): number[] => {
    const middle = parts.reduce((sum, { sign }, i) => sum + sign * (expected[i] as Expected).median, 0);
    // A residual of the night has nothing to say about a part that works now.
    const fitting = residuals.filter((residual) =>
      expected.every(({ down, up }, i) => residual[i] !== null || (down === 0 && up === 0)),
    );
    if (fitting.length < RESIDUALS_MIN) return independentW(middle, expected);
    const outcomes = fitting.map((residual) =>
      parts.reduce((sum, { sign }, i) => {
        const { median, down, up } = expected[i] as Expected;
        const z = residual[i] ?? 0;
        return sum + sign * (median + z * (z < 0 ? down : up));
      }, 0),
    );
    const found = weightedQuantiles(
      outcomes,
      outcomes.map(() => 1),
    ) as number[];
    return sortQuantiles(found);
  };

  /** Too few outcomes: errors that know nothing of each other, near enough to normal. */
  const independentW = (middle: Watts, expected: readonly Expected[]): number[] => {
    let [down, up] = [0, 0];
    expected.forEach((part, i) => {
      const consumed = (parts[i] as NetPart).sign === 1;
      down += (consumed ? part.down : part.up) ** 2;
      up += (consumed ? part.up : part.down) ** 2;
    });
    return NORMAL_SHARES.map((share) => middle + share * Math.sqrt(share < 0 ? down : up));
  };

  const forecast = (
    issuedMs: Millis,
    count: number,
    running: readonly (readonly PartialReading[])[] = [],
  ): IntervalForecast[] => {
    const { byPart, modelW } = forecasts(issuedMs, count, running);
    return modelW.map((given, i) => {
      const lead = state.newest === null ? 1 : given.startMs / stepMs - state.newest;
      if (source(lead) === 'model') return given;
      const expected = byPart.map((part) => expectedOf(part[i] as IntervalForecast));
      return { startMs: given.startMs, quantilesW: jointW(recordOf(lead), expected) };
    });
  };

  return {
    learn: (samples) => finish(learning(samples)),
    learning,
    refit: model.refit,
    forecast,
    source,
    state: () => JSON.stringify({ ...state, model: model.state() }),
  };
}

/** Quantiles of a normal error over its 90 % one. */
const NORMAL_SHARES = [-1.2834, -1, -0.5263, 0, 0.5263, 1, 1.2834] as const;

function expectedOf({ quantilesW }: IntervalForecast): Expected {
  const median = quantilesW[MEDIAN] as Watts;
  return { median, down: median - (quantilesW[LOW] as Watts), up: (quantilesW[HIGH] as Watts) - median };
}

function residualOf({ median, down, up }: Expected, powerW: Watts): number | null {
  if (down === 0 && up === 0) return null;
  const width = powerW < median ? down : up;
  if (width === 0) return 0;
  return Number(clamp((powerW - median) / width, -RESIDUAL_MAX, RESIDUAL_MAX).toPrecision(3));
}

function lossOf(quantilesW: readonly Watts[], powerW: Watts): number {
  return quantilesW.reduce((sum, value, q) => sum + pinball(QUANTILES[q] as number, value, powerW), 0);
}

function short(value: number): number {
  return Number(value.toPrecision(5));
}

function fresh(parts: number): { state: State; modelState: undefined } {
  const records = Array.from({ length: FAR_HOURS.length + 2 }, () => ({ residuals: [], jointLoss: 0, modelLoss: 0 }));
  return { state: { version: 1, parts, newest: null, records, pending: [] }, modelState: undefined };
}

function restore(text: string, parts: number): { state: State; modelState: string } {
  try {
    const { model, ...state } = JSON.parse(text) as State & { model: string };
    if (state.version !== 1) throw new Error(`unknown version ${state.version}`);
    if (state.parts !== parts) throw new Error(`over ${state.parts} parts instead of ${parts}`);
    return { state, modelState: model };
  } catch (cause) {
    throw new WattpactError('forecast.state', 'the state of a net forecaster cannot be read', {
      hint: 'Drop it and those of its parts: they are rebuilt from the history',
      cause,
    });
  }
}
