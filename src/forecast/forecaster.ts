// A forecaster of one series: learns finished steps in order, forecasts quantiles of the next ones. Puts the parts together: what is
// learnt at all (clean.ts), models fitted every few days (models.ts), what is usual (seasonal.ts), and their mixture (combine.ts).

import { WattpactError } from '../base/errors.ts';
import { clamp } from '../base/integers.ts';
import type { Millis, Watts } from '../base/units.ts';
import { createCalendar, DAY_MS } from './calendar.ts';
import { type CleanerState, judge, newCleaner } from './clean.ts';
import {
  type CombinationState,
  calibrate,
  learnCombination,
  mix,
  newCombination,
  type Spread,
  type Trust,
} from './combine.ts';
import { Features } from './features.ts';
import { History } from './history.ts';
import {
  type FarModels,
  farRow,
  farRows,
  fitFar,
  fitNear,
  type NearModels,
  nearRow,
  predictFar,
  predictNear,
  ROWS_MAX,
} from './models.ts';
import { sortQuantiles } from './quantiles.ts';
import { memoryQuantiles, seasonalQuantiles } from './seasonal.ts';
import { newShift, type ShiftState, watchShift } from './shift.ts';
import { learnStack, newStack, type StackState, stackShift } from './stack.ts';
import {
  type Forecaster,
  type ForecasterOptions,
  type IntervalForecast,
  MEDIAN,
  type PartialReading,
  type Sample,
  type SampleMark,
} from './types.ts';
import { WeatherView } from './weather.ts';
import { fitWeather, predictWeather, type WeatherModels, weatherRow } from './weather-models.ts';
import { finish, type Work } from './work.ts';

/** Days that models are fitted to, at most this many steps of them. */
const WINDOW_DAYS = 112;
const WINDOW_STEPS_MAX = 16_000;
/** Rows that may be fitted for each step that passes: far models are made of fewer and smaller trees. */
const ROWS_A_STEP = { near: 30, far: 40 } as const;
/** Pieces of a fit (models.ts) done in a day: all of them in a few hours, and no loop of the gateway waits. */
const FIT_PIECES_A_DAY = 2_000;
/** Steps that are forecast in one piece of learning. */
export const FORECASTS_A_PIECE = 24;
/** Steps kept beyond the window: what a fit takes, and what features look back. */
const BEYOND_DAYS = 48;
/** Most steps of one forecast. */
export const FORECAST_STEPS_MAX = 1_000;
/** How far the far models look, and how often they are scored: with many short steps less often, for a small state. */
const FAR_MS: Millis = 36 * 3_600_000;
const FAR_ISSUE_MS = { usual: 6 * 3_600_000, shortSteps: 12 * 3_600_000 } as const;
/** Ends of the classes of leads that are mixed and calibrated apart, hours. */
const LEAD_HOURS = [2, 6, 12, 24, 36] as const;
/** Leads with a model of their own. */
const NEAR_LEADS: readonly number[] = [1, 2];
/** Stand for all other leads, without and with the weather's forecast. */
const FAR_SET = 0;
const WEATHER_SET = -1;
/** Weight of experts before anything is known: trees of the change, of the value, on the regression; regression, base, memory, season. */
const NEAR_TRUST: Trust = { priors: [1, 0.7, 0.7, 0.3, 0.5, 0.06, 0.04], kept: 0.005 };
/** Trees, regression, fading regression, base, last value, memory, season; trees and corrected regression that know the weather's forecast. */
const FAR_TRUST: Trust = { priors: [1, 1, 1, 0.3, 0.3, 0.3, 0.3, 1, 1], kept: 0.03 };
/** How long the steps of a far forecast err as one. */
const TOGETHER_MS: Millis = 3 * 3_600_000;
/** How much the rest of a running step is like its measured part. */
const RUNNING_TRUST = 0.8;
/**
 * The measured share of a running step to this power is what the forecasts that follow from it weigh: a third of a step says nearly all of
 * what wind will do next, and no more than a third of what a house will.
 */
const RUNNING_POWER = { wind: 0.15, pv: 0.35, net: 0.5, load: 1 } as const;
/** Marks of values that were read all the same, and tell the time. */
const READINGS = ['night', 'stuck', 'zero-run'] as const;
/** Days after which half of a record of losses is forgotten. */
const RECORD_HALF_LIFE_DAYS = 14;

type Opinions = readonly (readonly number[] | null)[];

/** Forecasts that wait for their truth: of the steps after `now`, the opinions and what was made of them. */
interface Pending {
  readonly now: number;
  readonly opinions: readonly Opinions[];
  readonly issued: readonly (readonly number[])[];
}

/** The models of one near lead, or of all far ones. */
type Models = NearModels | FarModels | WeatherModels | null;

/** JSON: what is known of one set of models, but for the models. */
interface Fit {
  /** The models in force know the steps before this; null before the first. */
  until: number | null;
}

/** JSON: who was right, and how far off. */
interface Records {
  near: CombinationState[];
  far: CombinationState[];
  nearSpreads: Spread[];
  nearStacks: StackState[];
  farSpread: Spread;
}

/** JSON, but for the history. */
interface State {
  readonly version: 8;
  /** By near lead, then far, then far with weather. */
  readonly fits: Fit[];
  /** The fit that is under way: which set, the steps it knows, and how much of it is done. */
  fitting: { readonly set: number; readonly until: number; pieces: number } | null;
  firstStep: number | null;
  records: Records;
  /** As they were before the day that runs, or before the first day that may be an hour off. */
  recordsBefore: Records | null;
  pendingNear: Pending[];
  pendingFar: Pending[];
  readonly cleaner: CleanerState;
  readonly shift: ShiftState;
}

/**
 * Creates a forecaster, new or from the `state()` of one with the same options. `leadMax`: steps it will ever be asked for (36 h);
 * 1 saves the work for the longer ones. Throws `forecast.options`, `forecast.state`, `usage.timezone`.
 */
export function createForecaster(
  options: ForecasterOptions,
  earlier?: string,
  leadMax: number = Math.round(FAR_MS / options.stepMs),
): Forecaster {
  const { stepMs, kind } = options;
  if (!Number.isInteger(stepMs) || stepMs < 60_000 || DAY_MS % stepMs !== 0) {
    throw new WattpactError('forecast.options', `a step of ${stepMs} ms does not divide a day`);
  }
  const perDay = DAY_MS / stepMs;
  const windowSteps = Math.min(WINDOW_DAYS * perDay, WINDOW_STEPS_MAX);
  const capacity = windowSteps + BEYOND_DAYS * perDay;
  const { history, state } = earlier === undefined ? fresh(capacity) : restore(earlier, capacity);
  const features = new Features(options, createCalendar(options.timezone, options.holidays), history);
  const memory = 0.5 ** (1 / (RECORD_HALF_LIFE_DAYS * perDay));
  const together = Math.max(1, TOGETHER_MS / stepMs);
  const farIssueMs = perDay > 96 ? FAR_ISSUE_MS.shortSteps : FAR_ISSUE_MS.usual;
  const far = leadMax > NEAR_LEADS.length;
  const piecesAStep = Math.ceil(FIT_PIECES_A_DAY / perDay);
  const view = far && options.weather !== undefined ? new WeatherView(options.weather, options) : null;
  const sets = far ? [...NEAR_LEADS, FAR_SET, ...(view === null ? [] : [WEATHER_SET])] : NEAR_LEADS.slice(0, leadMax);
  const models: Models[] = sets.map(() => null);
  let job: Work<Models> | null = null;

  /** The models of a set as of `until`: from the steps before it alone, however much later the work is done. */
  const fitted = (set: number, until: number): Work<Models> => {
    const from = Math.max(history.oldest, until - windowSteps);
    const lead = sets[set] as number;
    if (lead === WEATHER_SET) return fitWeather(features, view as WeatherView, history, from, until, leadMax);
    return lead === FAR_SET
      ? fitFar(features, history, from, until, leadMax)
      : fitNear(features, history, from, until, lead);
  };

  /** The models that the kept state speaks of, and the fit that was under way. */
  function* refitting(): Work<void> {
    for (const [set, { until }] of state.fits.entries()) {
      if (until !== null) models[set] = yield* fitted(set, until);
    }
    if (state.fitting === null) return;
    job = fitted(state.fitting.set, state.fitting.until);
    for (let piece = 0; piece < state.fitting.pieces && job.next().done !== true; piece++) yield;
  }

  /** Steps between two fits of a set: a day, or as many as its rows cost. */
  const interval = (set: number, until: number): number => {
    const steps = until - (state.firstStep as number);
    const lead = sets[set] as number;
    if (lead <= FAR_SET) {
      const rows = Math.min(ROWS_MAX, farRows(steps, perDay, leadMax));
      return Math.max(2 * perDay, Math.ceil(rows / ROWS_A_STEP.far));
    }
    const least = Math.max(perDay, Math.ceil(Math.min(ROWS_MAX, steps) / ROWS_A_STEP.near));
    // With far models beside it, lead 2 is one of many.
    return lead > 1 && far ? 2 * least : least;
  };

  /** Begins the fit that is most overdue, if one is, and does this step's part of it. */
  function* work(until: number): Work<void> {
    if (state.fitting === null) {
      const waits = state.fits.map(
        (fit, set) => (until - (fit.until ?? (state.firstStep as number))) / interval(set, until),
      );
      const set = waits.indexOf(Math.max(...waits));
      if ((waits[set] as number) < 1) return;
      state.fitting = { set, until, pieces: 0 };
      job = fitted(set, until);
    }
    const { set } = state.fitting;
    // The first models are small and awaited.
    const pieces = models[set] === null ? Number.POSITIVE_INFINITY : piecesAStep;
    state.fitting.pieces += piecesAStep;
    for (let piece = 0; piece < pieces; piece++) {
      const { done, value } = (job as Work<Models>).next();
      if (done === true) {
        models[set] = value;
        (state.fits[set] as Fit).until = state.fitting.until;
        state.fitting = null;
        job = null;
        return;
      }
      yield;
    }
  }

  /** Takes back the steps from `step` on: their values go, records too, and every model is fitted again. */
  const unlearn = (step: number): void => {
    const newest = history.newest as number;
    history.erase(step);
    features.forget(step, newest);
    state.records = state.recordsBefore ?? state.records;
    state.recordsBefore = null;
    models.fill(null);
    for (const fit of state.fits) fit.until = null;
    state.fitting = null;
    job = null;
  };

  function* learning(sample: Sample): Work<SampleMark | null> {
    yield* refit;
    const step = sample.startMs / stepMs;
    if (!Number.isInteger(step) || (history.newest !== null && step <= history.newest)) return 'out-of-order';
    const fault = judge(options, features, state.cleaner, sample, step);
    const isReading = fault === null || (READINGS as readonly SampleMark[]).includes(fault);
    const shiftedFrom = watchShift(options, features, state.shift, isReading ? sample.powerW : null, step);
    if (shiftedFrom !== null) unlearn(shiftedFrom);
    const { today, suspect, shifted } = state.shift;
    if (today?.firstStep === step && suspect === null && shifted === null) {
      state.recordsBefore = structuredClone(state.records);
    }
    const mark = fault ?? (state.shift.shifted === null ? null : 'shifted');
    const value = mark === null ? Number((sample.powerW as Watts).toPrecision(6)) : Number.NaN;
    history.push(step, value);
    state.firstStep ??= step;
    settle(step, value);
    yield* work(step + 1);
    const nearLeads = NEAR_LEADS.slice(0, leadMax);
    state.pendingNear.push(
      pending(
        step,
        nearLeads.map((lead) => nearOpinions(step, lead)),
        true,
      ),
    );
    if (far && ((step + 1) * stepMs) % farIssueMs === 0) {
      const opinions: Opinions[] = [];
      for (let lead = 1; lead <= leadMax; lead++) {
        if (lead % FORECASTS_A_PIECE === 0) yield;
        opinions.push(farOpinions(step, step + lead).map(rounded));
      }
      state.pendingFar.push(pending(step, opinions, false));
    }
    return mark;
  }

  const pending = (now: number, opinions: readonly Opinions[], near: boolean): Pending => ({
    now,
    opinions,
    issued: opinions.map((given, i) => rounded(mixture(given, i + 1, near)) as number[]),
  });

  /** Scores the forecasts of a step that is now known, and drops what can no longer be scored. */
  const settle = (step: number, value: Watts): void => {
    if (!Number.isNaN(value) && !features.dark(step - 1, step)) {
      for (const { now, opinions, issued } of state.pendingNear) {
        const lead = step - now;
        const given = opinions[lead - 1];
        const then = issued[lead - 1] as number[];
        if (given == null) continue;
        learnStack(nearStack(lead), given, mix(nearState(lead), given, NEAR_TRUST), value, memory);
        learnCombination(nearState(lead), nearSpread(lead), given, NEAR_TRUST, then, value, memory, 1);
      }
      for (const { now, opinions, issued } of state.pendingFar) {
        const lead = step - now;
        const given = opinions[lead - 1];
        const then = issued[lead - 1] as number[];
        if (given != null)
          learnCombination(farState(lead), state.records.farSpread, given, FAR_TRUST, then, value, memory, together);
      }
    }
    state.pendingNear = state.pendingNear.filter(({ now }) => now + NEAR_LEADS.length > step);
    state.pendingFar = state.pendingFar.filter(({ now }) => now + leadMax > step);
  };

  const nearState = (lead: number): CombinationState => {
    state.records.near[lead - 1] ??= newCombination(NEAR_TRUST.priors.length);
    return state.records.near[lead - 1] as CombinationState;
  };

  const nearSpread = (lead: number): Spread => {
    state.records.nearSpreads[lead - 1] ??= { log: 0 };
    return state.records.nearSpreads[lead - 1] as Spread;
  };

  const nearStack = (lead: number): StackState => {
    state.records.nearStacks[lead - 1] ??= newStack(NEAR_TRUST.priors.length);
    return state.records.nearStacks[lead - 1] as StackState;
  };

  const farState = (lead: number): CombinationState => {
    const hours = (lead * stepMs) / 3_600_000;
    const place = LEAD_HOURS.findIndex((end) => hours <= end);
    return state.records.far[place < 0 ? LEAD_HOURS.length : place] as CombinationState;
  };

  const seasonal = (startMs: Millis): number[] => seasonalQuantiles(options, features, history, startMs);

  const nearOpinions = (now: number, lead: number): Opinions => {
    const startMs = (now + lead) * stepMs;
    const season = seasonal(startMs);
    const remembered = memoryQuantiles(options, features, now, startMs, season);
    const model = models[lead - 1] as NearModels | null;
    if (model === null) return [null, null, null, null, null, remembered, season];
    return [...predictNear(model, nearRow(features, now, now + lead)), remembered, season];
  };

  const farOpinions = (now: number, step: number): Opinions => {
    const season = seasonal(step * stepMs);
    const remembered = memoryQuantiles(options, features, now, step * stepMs, season);
    const model = (models[sets.indexOf(FAR_SET)] ?? null) as FarModels | null;
    const told = (models[sets.indexOf(WEATHER_SET)] ?? null) as WeatherModels | null;
    const row = told === null ? null : weatherRow(features, view as WeatherView, now, step);
    const [least, most] = bounds();
    const opinions = [
      ...(model === null ? [null, null, null, null, null] : predictFar(model, farRow(features, now, step))),
      remembered,
      season,
      ...(told === null || row === null ? [null, null] : predictWeather(told, row)),
    ];
    return opinions.map((opinion) => opinion?.map((value) => clamp(value, least, most)) ?? null);
  };

  /** The opinions that are already written down to be scored, if they are of this time. */
  const lastFar = (now: number, lead: number): Opinions | null => {
    const written = state.pendingFar.at(-1);
    return written?.now === now ? (written.opinions[lead - 1] ?? null) : null;
  };

  const forecast = (issuedMs: Millis, count: number, running: readonly PartialReading[] = []): IntervalForecast[] => {
    const first = Math.ceil(issuedMs / stepMs);
    const steps = Array.from({ length: Math.min(count, FORECAST_STEPS_MAX) }, (_, i) => first + i);
    const now = history.newest;
    const plain = steps.map((step) => quantilesOf(now, step));
    const seen = now === null ? null : runningStep(now, running);
    if (now === null || seen === null) return named(steps, plain);
    // The measured part of the running step stands for the rest, drawn to what was expected of it.
    const expectedW = quantilesOf(now, seen.step)[MEDIAN] as number;
    const restW = RUNNING_TRUST * seen.powerW + (1 - RUNNING_TRUST) * expectedW;
    const share = seen.lengthMs / stepMs;
    history.push(seen.step, share * seen.powerW + (1 - share) * restW);
    const informed = steps.map((step) => (step > seen.step ? quantilesOf(seen.step, step) : quantilesOf(now, step)));
    for (let step = seen.step; step > now; step--) history.pop();
    features.forget(now + 1, seen.step);
    // The more is unknown right before it, the less a forecast from what came earlier is worth.
    const weight = 1 - (1 - share ** RUNNING_POWER[kind]) ** (seen.step - now);
    return named(
      steps,
      plain.map((quantiles, i) => quantiles.map((value, q) => value + weight * ((informed[i]?.[q] as number) - value))),
    );
  };

  const named = (steps: readonly number[], quantiles: readonly number[][]): IntervalForecast[] =>
    steps.map((step, i) => ({ startMs: step * stepMs, quantilesW: quantiles[i] as number[] }));

  const quantilesOf = (now: number | null, step: number): number[] => {
    if (now === null || features.dark(now, step)) return seasonal(step * stepMs);
    const lead = step - now;
    const near = lead >= 1 && lead <= Math.min(leadMax, NEAR_LEADS.length);
    const opinions = near ? nearOpinions(now, lead) : (lastFar(now, lead) ?? farOpinions(now, step));
    const [least, most] = bounds();
    return mixture(opinions, lead, near).map((value) => clamp(value, least, most));
  };

  /** One forecast of the opinions on a step so far ahead. */
  const mixture = (opinions: Opinions, lead: number, near: boolean): number[] => {
    const combination = near ? nearState(lead) : farState(lead);
    const plain = mix(combination, opinions, near ? NEAR_TRUST : FAR_TRUST);
    const shift = near ? stackShift(nearStack(lead), opinions, plain) : 0;
    const mixed = plain.map((value) => value + shift);
    return sortQuantiles(calibrate(combination, near ? nearSpread(lead) : state.records.farSpread, mixed));
  };

  /** The step that runs, which comes after all that were learnt, and what is measured of it; null if nothing is. */
  const runningStep = (
    now: number,
    running: readonly PartialReading[],
  ): { readonly step: number; readonly powerW: Watts; readonly lengthMs: Millis } | null => {
    const known = running.filter(({ startMs, endMs, powerW }) => endMs > startMs && Number.isFinite(powerW));
    const step = Math.ceil(Math.max(...known.map(({ endMs }) => endMs)) / stepMs) - 1;
    // A long gap is bridged while that pushes nothing out of the history.
    if (!(step > now && (step - now <= perDay || step - history.oldest < capacity))) return null;
    let [sum, lengthMs] = [0, 0];
    for (const part of known) {
      const fromMs = Math.max(part.startMs, step * stepMs);
      const untilMs = Math.min(part.endMs, (step + 1) * stepMs);
      if (untilMs <= fromMs) continue;
      sum += part.powerW * (untilMs - fromMs);
      lengthMs += untilMs - fromMs;
    }
    return { step, powerW: sum / lengthMs, lengthMs: Math.min(lengthMs, stepMs) };
  };

  /** What the series can be at all: generation and consumption not below the least that was seen, generation not above its capacity. */
  const bounds = (): [Watts, Watts] => {
    if (kind === 'net') return [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    const { least, most } = features.range(history.newest ?? 0);
    const top = kind === 'load' ? Number.POSITIVE_INFINITY : Math.max(options.capacityW ?? 0, most * 1.02);
    return [Math.min(0, least), top > 0 ? top : Number.POSITIVE_INFINITY];
  };

  while (state.records.far.length <= LEAD_HOURS.length) state.records.far.push(newCombination(FAR_TRUST.priors.length));
  // The weather may have been given, or taken away, since the state was kept.
  for (const set of sets.keys()) state.fits[set] ??= { until: null };
  state.fits.length = sets.length;
  if (state.fitting !== null && state.fitting.set >= sets.length) state.fitting = null;
  const refit = refitting();
  return {
    options,
    learn: (sample) => finish(learning(sample)),
    learning,
    refit,
    forecast,
    state: () => JSON.stringify({ ...state, history: history.toJson() }),
  };
}

function rounded(values: readonly number[] | null): readonly number[] | null {
  return values === null ? null : values.map((value) => Number(value.toPrecision(4)));
}

function fresh(capacity: number): { history: History; state: State } {
  const state: State = {
    version: 8,
    fits: [],
    fitting: null,
    firstStep: null,
    records: { near: [], far: [], nearSpreads: [], nearStacks: [], farSpread: { log: 0 } },
    recordsBefore: null,
    pendingNear: [],
    pendingFar: [],
    cleaner: newCleaner(),
    shift: newShift(),
  };
  return { history: new History(capacity), state };
}

function restore(text: string, capacity: number): { history: History; state: State } {
  try {
    const { history, ...state } = JSON.parse(text) as State & {
      history: { oldest: number; values: (number | null)[] };
    };
    if (state.version !== 8) throw new Error(`unknown version ${state.version}`);
    return { history: History.fromJson(capacity, history), state };
  } catch (cause) {
    throw new WattpactError('forecast.state', 'the state of a forecaster cannot be read', {
      hint: 'Drop it: it is rebuilt from the history',
      cause,
    });
  }
}
