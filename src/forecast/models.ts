// The models that are fitted anew from the history every day or two: for the steps right after now (one set a lead), and for any step
// ahead. A set sees the same rows in different ways; how far each is believed is settled elsewhere (combine.ts).

import type { Watts } from '../base/units.ts';
import type { Features } from './features.ts';
import type { History } from './history.ts';
import { fitLinear, type Linear, predictLinear } from './linear.ts';
import { weightedQuantiles } from './quantiles.ts';
import { type Boosted, type BoostingOptions, binRows, fitBoosted, predictBoosted } from './trees.ts';
import { QUANTILES } from './types.ts';
import type { Work } from './work.ts';

/** Rows that one model is fitted to; a longer window is thinned. */
export const ROWS_MAX = 7_000;
/** Rows that are made in one piece of the work. */
const ROWS_A_PIECE = 200;
/** Fewer known rows than this fit nothing. */
const ROWS_MIN = 90;
/**
 * Trees of the change from the base, of the value itself (houses switch between levels, which the change does not show), and of what the
 * regression leaves.
 */
const CHANGE_TREES: Omit<BoostingOptions, 'seed'> = {
  trees: 80,
  leaves: 31,
  rate: 0.12,
  minLeaf: 20,
  rowShare: 1,
  featureShare: 0.7,
};
const VALUE_TREES: Omit<BoostingOptions, 'seed'> = { ...CHANGE_TREES, trees: 60, rate: 0.13, minLeaf: 12 };
const CORRECTION_TREES: Omit<BoostingOptions, 'seed'> = {
  trees: 60,
  leaves: 15,
  rate: 0.12,
  minLeaf: 40,
  rowShare: 0.5,
  featureShare: 0.5,
};
const FAR_TREES: Omit<BoostingOptions, 'seed'> = {
  trees: 60,
  leaves: 16,
  rate: 0.1,
  minLeaf: 60,
  rowShare: 0.5,
  featureShare: 0.5,
};
/** Levels of a forecast whose errors are told apart. */
const LEVELS = 6;
/** Groups of leads whose errors are told apart: so long each, if that many rows are in each. */
const GROUP_HOURS = 6;
const GROUP_ROWS = 300;
/**
 * Weight of the ridge on standardised inputs. A day ahead the rows of one issue err as one, so that thousands of rows say as little as
 * the few hundred issues they come from: many inputs are held back strongly, the few of the fading regression hardly.
 */
const NEAR_RIDGE = 1;
const FAR_RIDGE = 0.3;
const FADING_RIDGE = 0.01;
/** Days in which the weight of a row of the regression halves. */
const LINEAR_HALF_LIFE_DAYS = 30;

/** What forecasts a step so many after now. */
export interface NearModels {
  readonly changes: Boosted;
  readonly values: Boosted;
  /** For the next step alone: a later one gains nothing worth their time. */
  readonly corrections: Boosted | null;
  readonly linear: Linear;
  /** Usual errors of the regression and of the base. */
  readonly linearErrors: Levels;
  readonly baseErrors: Levels;
}

/** What forecasts any step: trees of the value, a regression on everything, and one on what is unusual now and fades. */
export interface FarModels {
  readonly trees: Boosted;
  readonly linear: Linear;
  readonly fading: Linear;
  /** Usual errors of the regressions, by group of leads. */
  readonly linearErrors: readonly Levels[];
  readonly fadingErrors: readonly Levels[];
  /** Steps of a group of leads. */
  readonly groupSteps: number;
  readonly baseErrors: Levels;
  /** Usual errors of the last value, by lead. */
  readonly lastErrors: Levels;
}

/** Calendar terms that a straight line needs and a tree does not. */
function withWaves(row: Float64Array, minute: number, weekday: number, free: boolean): Float64Array {
  const wide = new Float64Array(row.length + 14);
  wide.set(row);
  const angle = (2 * Math.PI * minute) / 1440;
  let at = row.length;
  for (let k = 1; k <= 4; k++) {
    wide[at++] = Math.sin(k * angle);
    wide[at++] = Math.cos(k * angle);
  }
  wide[at++] = free ? 1 : 0;
  wide[at++] = free ? Math.sin(angle) : 0;
  wide[at++] = free ? Math.cos(angle) : 0;
  wide[at++] = weekday === 1 ? 1 : 0;
  wide[at++] = weekday === 5 ? 1 : 0;
  wide[at++] = weekday === 6 ? 1 : 0;
  return wide;
}

/** A pair (newest finished step, step to forecast) as trees and as a straight line see it, and what they correct. */
export interface Row {
  readonly trees: Float64Array;
  readonly linear: Float64Array;
  readonly base: Watts;
}

export function nearRow(features: Features, now: number, step: number): Row {
  const base = features.base(now, step);
  const row = features.nearRow(now, step, base);
  const { minute, weekday, free } = features.local(step);
  return { trees: row, linear: withWaves(row, minute, weekday, free), base };
}

interface FarRow extends Row {
  readonly fading: Float64Array;
}

export function farRow(features: Features, now: number, step: number): FarRow {
  const usual = features.usual(now, step);
  const row = features.farRow(now, step, usual);
  const { minute, weekday, free } = features.local(step);
  const waves = withWaves(row, minute, weekday, free);
  const hours = ((step - now) * 24) / features.perDay;
  const deviation = row[2] as number;
  // What is unusual now fades: each fading has its own weight.
  const fadings = [1, 4, 12, 36].map((hoursLong) => deviation * Math.exp(-hours / hoursLong));
  const linear = new Float64Array(waves.length + fadings.length);
  linear.set(waves);
  linear.set(fadings, waves.length);
  const base = [usual.quick, usual.sameType, row[5] as number].find((value) => !Number.isNaN(value)) ?? 0;
  return { trees: row, linear, base, fading: features.fadingRow(now, step, usual, base) };
}

/** Fits the models of one near lead from the steps `[from, until)`, whatever is known after them. Null with too little history. */
export function* fitNear(
  features: Features,
  history: History,
  from: number,
  until: number,
  lead: number,
): Work<NearModels | null> {
  const stride = Math.max(1, (until - from) / ROWS_MAX);
  const rows: Row[] = [];
  const values: number[] = [];
  const weights: number[] = [];
  // Counted back from the newest, so that the newest is always in.
  for (let back = 1; until - back >= from + lead; back += stride) {
    const step = until - Math.floor(back);
    const value = history.at(step);
    if (Number.isNaN(value) || features.dark(step - lead, step)) continue;
    if (rows.length % ROWS_A_PIECE === ROWS_A_PIECE - 1) yield;
    rows.push(nearRow(features, step - lead, step));
    values.push(value);
    weights.push(0.5 ** ((until - step) / features.perDay / LINEAR_HALF_LIFE_DAYS));
  }
  if (rows.length < ROWS_MIN) return null;
  const bases = rows.map(({ base }) => base);
  const changes = values.map((value, i) => value - (bases[i] as number));
  const linear = yield* fitLinear(
    rows.map((row) => row.linear),
    changes,
    weights,
    NEAR_RIDGE,
  );
  if (linear === null) return null;
  yield;
  const binned = yield* binRows(rows.map((row) => row.trees));
  const changeTrees = yield* fitBoosted(binned, changes, { ...CHANGE_TREES, seed: until });
  const valueTrees = yield* fitBoosted(binned, values, { ...VALUE_TREES, seed: until + 1 });
  const lines = rows.map((row) => row.base + predictLinear(linear, row.linear));
  const rests = values.map((value, i) => value - (lines[i] as number));
  yield;
  const corrections = lead > 1 ? null : yield* fitBoosted(binned, rests, { ...CORRECTION_TREES, seed: until + 2 });
  const linearErrors = fitLevels(lines, rests);
  yield;
  const baseErrors = fitLevels(bases, changes);
  return { changes: changeTrees, values: valueTrees, corrections, linear, linearErrors, baseErrors };
}

/** Issues of a day that far models are fitted to, each with all its leads. */
const FAR_ISSUES_A_DAY = 4;

/** Rows that so many steps of history have for the far models before they are thinned. */
export function farRows(steps: number, perDay: number, leadMax: number): number {
  return ((steps * FAR_ISSUES_A_DAY) / perDay) * leadMax;
}

/** Rows with what came true, and the weight of each. */
export interface Lessons<R extends Row> {
  readonly rows: readonly R[];
  readonly values: readonly Watts[];
  readonly weights: readonly number[];
}

/** What the steps `[from, until)` teach about 1 to `leadMax` steps ahead, `rowOf` a pair (null: nothing); null when it is too little. */
export function* farLessons<R extends Row>(
  features: Features,
  history: History,
  from: number,
  until: number,
  leadMax: number,
  rowOf: (now: number, step: number) => R | null,
): Work<Lessons<R> | null> {
  const { perDay } = features;
  const quarter = Math.max(1, Math.round(perDay / FAR_ISSUES_A_DAY));
  const issues = Math.floor((until - from) / quarter);
  const stride = Math.max(1, (issues * leadMax) / ROWS_MAX);
  const rows: R[] = [];
  const values: number[] = [];
  const weights: number[] = [];
  let place = 0;
  for (let issue = issues; issue >= 1; issue--) {
    // Six hours apart but never the same step of the day twice in a row: the golden ratio spreads them.
    const now = until - 1 - issue * quarter + Math.floor(quarter * ((issue * 0.618034) % 1));
    for (; place < leadMax; place += stride) {
      const step = now + 1 + Math.floor(place);
      if (step >= until) continue;
      const value = history.at(step);
      if (Number.isNaN(value) || features.dark(now, step)) continue;
      const row = rowOf(now, step);
      if (row === null) continue;
      if (rows.length % ROWS_A_PIECE === ROWS_A_PIECE - 1) yield;
      rows.push(row);
      values.push(value);
      weights.push(0.5 ** ((until - step) / perDay / LINEAR_HALF_LIFE_DAYS));
    }
    place -= leadMax;
  }
  return rows.length < ROWS_MIN ? null : { rows, values, weights };
}

/** Fits the models for 1 to `leadMax` steps ahead. */
export function* fitFar(
  features: Features,
  history: History,
  from: number,
  until: number,
  leadMax: number,
): Work<FarModels | null> {
  const lessons = yield* farLessons(features, history, from, until, leadMax, (now, step) =>
    farRow(features, now, step),
  );
  if (lessons === null) return null;
  const { rows, values, weights } = lessons;
  const changes = values.map((value, i) => value - (rows[i] as Row).base);
  const regression = (inputs: (row: FarRow) => Float64Array, ridge: number): Work<Linear | null> =>
    fitLinear(rows.map(inputs), changes, weights, ridge);
  const linear = yield* regression((row) => row.linear, FAR_RIDGE);
  yield;
  const fading = yield* regression((row) => row.fading, FADING_RIDGE);
  if (linear === null || fading === null) return null;
  yield;
  const binned = yield* binRows(rows.map((row) => row.trees));
  const trees = yield* fitBoosted(binned, values, { ...FAR_TREES, seed: until });
  const hours = (GROUP_HOURS * features.perDay) / 24;
  const groupSteps = Math.max(hours, Math.ceil((leadMax * GROUP_ROWS) / rows.length));
  function* errorsByGroup(guesses: readonly Watts[]): Work<Levels[]> {
    const groups: number[][] = Array.from({ length: Math.ceil(leadMax / groupSteps) }, () => []);
    for (const [i, row] of rows.entries()) groups[groupOf(row, groupSteps)]?.push(i);
    const errors: Levels[] = [];
    for (const own of groups) {
      yield;
      errors.push(errorsOf(own, guesses, values, guesses));
    }
    return errors;
  }
  const linearErrors = yield* errorsByGroup(rows.map((row) => row.base + predictLinear(linear, row.linear)));
  const fadingErrors = yield* errorsByGroup(rows.map((row) => row.base + predictLinear(fading, row.fading)));
  yield;
  const bases = rows.map(({ base }) => base);
  const baseErrors = fitLevels(bases, changes);
  yield;
  const lasts = rows.map(lastOf);
  const known = [...lasts.keys()].filter((i) => !Number.isNaN(lasts[i] as number));
  const lastErrors = errorsOf(known, lasts, values, rows.map(leadOf));
  return { trees, linear, fading, linearErrors, fadingErrors, groupSteps, baseErrors, lastErrors };
}

/** Opinions: trees of the change, of the value and on the regression (null where there are none); regression and base with their usual errors. */
export function predictNear(models: NearModels, row: Row): (number[] | null)[] {
  const line = row.base + predictLinear(models.linear, row.linear);
  return [
    predictBoosted(models.changes, row.trees).map((value) => value + row.base),
    predictBoosted(models.values, row.trees),
    models.corrections === null ? null : predictBoosted(models.corrections, row.trees).map((value) => value + line),
    levelsAt(models.linearErrors, line).map((error) => line + error),
    levelsAt(models.baseErrors, row.base).map((error) => row.base + error),
  ];
}

/** First inputs of a far row (features.ts). */
const leadOf = ({ trees }: Row): number => trees[0] as number;
const lastOf = ({ trees }: Row): Watts => trees[1] as Watts;

const groupOf = (row: Row, groupSteps: number): number => Math.floor((leadOf(row) - 1) / groupSteps);

/** Opinions: trees of the value; regressions, base and last value with their usual errors (null where there are none to tell). */
export function predictFar(models: FarModels, row: FarRow): (number[] | null)[] {
  const { groupSteps, linearErrors, fadingErrors } = models;
  const group = Math.min(groupOf(row, groupSteps), linearErrors.length - 1);
  const line = row.base + predictLinear(models.linear, row.linear);
  const fading = row.base + predictLinear(models.fading, row.fading);
  const last = lastOf(row);
  return [
    predictBoosted(models.trees, row.trees),
    withErrors(linearErrors[group] as Levels, line, line),
    withErrors(fadingErrors[group] as Levels, fading, fading),
    withErrors(models.baseErrors, row.base, row.base),
    Number.isNaN(last) ? null : withErrors(models.lastErrors, leadOf(row), last),
  ];
}

function withErrors(levels: Levels, level: number, value: Watts): number[] | null {
  return levels.centres.length === 0 ? null : levelsAt(levels, level).map((error) => value + error);
}

/** Quantiles of the errors of a forecast where it is low, ..., high. */
interface Levels {
  readonly centres: readonly number[];
  readonly errors: readonly (readonly number[])[];
}

/** Levels of the rows `own`: their errors where the forecast, or whatever else tells them apart, is low, ..., high. */
function errorsOf(
  own: readonly number[],
  guesses: readonly Watts[],
  values: readonly Watts[],
  levels: readonly number[],
): Levels {
  return fitLevels(
    own.map((i) => levels[i] as number),
    own.map((i) => (values[i] as Watts) - (guesses[i] as Watts)),
  );
}

function fitLevels(bases: readonly number[], errors: readonly number[]): Levels {
  const order = bases.map((_, i) => i).sort((a, b) => (bases[a] as number) - (bases[b] as number));
  const size = Math.ceil(order.length / LEVELS);
  const parts = Array.from({ length: LEVELS }, (_, part) => order.slice(part * size, (part + 1) * size)).filter(
    (part) => part.length > 0,
  );
  return {
    centres: parts.map((part) => bases[part[part.length >> 1] as number] as number),
    errors: parts.map((part) => quantilesOf(part.map((i) => errors[i] as number))),
  };
}

function levelsAt({ centres, errors }: Levels, base: number): readonly number[] {
  let high = centres.findIndex((centre) => centre >= base);
  if (high < 0) high = centres.length - 1;
  const low = Math.max(0, high - 1);
  const [from, to] = [centres[low] as number, centres[high] as number];
  const share = to > from ? Math.max(0, Math.min(1, (base - from) / (to - from))) : 0;
  return QUANTILES.map((_, q) => {
    const start = (errors[low] as readonly number[])[q] as number;
    return start + share * (((errors[high] as readonly number[])[q] as number) - start);
  });
}

function quantilesOf(values: readonly number[]): number[] {
  return weightedQuantiles(
    values,
    values.map(() => 1),
  ) as number[];
}
