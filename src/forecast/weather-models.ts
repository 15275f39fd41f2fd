// Models of what weather forecasts say: for any step ahead that a forecast speaks of. They stand beside those that know no weather, so a
// source that is wrong or gone costs next to nothing: the mixture (combine.ts) turns to the others.

import type { Features } from './features.ts';
import type { History } from './history.ts';
import { fitLinear, type Linear, predictLinear } from './linear.ts';
import { farLessons, farRow, type Row } from './models.ts';
import { type Boosted, type BoostingOptions, binRows, fitBoosted, predictBoosted } from './trees.ts';
import type { WeatherView } from './weather.ts';
import type { Work } from './work.ts';

/** Trees of the value itself: what the weather gives does not depend on what is usual. */
const VALUE_TREES: Omit<BoostingOptions, 'seed'> = {
  trees: 60,
  leaves: 16,
  rate: 0.08,
  minLeaf: 60,
  rowShare: 0.5,
  featureShare: 0.7,
};
const CORRECTION: Omit<BoostingOptions, 'seed'> = { ...VALUE_TREES, trees: 40, leaves: 6, minLeaf: 150 };
/** Weight of the ridge on standardised inputs: the weather's are not to be held back. */
const RIDGE = 0.003;

export interface WeatherModels {
  readonly values: Boosted;
  readonly linear: Linear;
  readonly correction: Boosted;
}

/** A far row with the weather as it was forecast at the end of step `now`; null where nothing was. */
export function weatherRow(features: Features, view: WeatherView, now: number, step: number): Row | null {
  const columns = view.columns(now, step, features.sky(step), features.clearSkyPower(now, step));
  if (columns === null) return null;
  const { trees, linear, base } = farRow(features, now, step);
  return {
    trees: joined(trees, columns.plain),
    linear: joined(linear, [...columns.plain, ...columns.bent]),
    base,
  };
}

function joined(row: Float64Array, more: readonly number[]): Float64Array {
  const wide = new Float64Array(row.length + more.length);
  wide.set(row);
  wide.set(more, row.length);
  return wide;
}

/** Fits from the steps `[from, until)` that a weather forecast was known for. Null with too few. */
export function* fitWeather(
  features: Features,
  view: WeatherView,
  history: History,
  from: number,
  until: number,
  leadMax: number,
): Work<WeatherModels | null> {
  const { firstStep } = view;
  if (firstStep === null) return null;
  const start = Math.max(from, firstStep);
  const rowOf = (now: number, step: number): Row | null => weatherRow(features, view, now, step);
  const lessons = yield* farLessons(features, history, start, until, leadMax, rowOf);
  if (lessons === null) return null;
  const { rows, values, weights } = lessons;
  const changes = values.map((value, i) => value - (rows[i] as Row).base);
  const linear = yield* fitLinear(
    rows.map((row) => row.linear),
    changes,
    weights,
    RIDGE,
  );
  if (linear === null) return null;
  yield;
  const binned = yield* binRows(rows.map((row) => row.trees));
  const rests = changes.map((change, i) => change - predictLinear(linear, (rows[i] as Row).linear));
  return {
    linear,
    values: yield* fitBoosted(binned, values, { ...VALUE_TREES, seed: until + 2 }),
    correction: yield* fitBoosted(binned, rests, { ...CORRECTION, seed: until + 3 }),
  };
}

/** Opinions: trees of the value, corrected regression. */
export function predictWeather(models: WeatherModels, row: Row): [number[], number[]] {
  const line = row.base + predictLinear(models.linear, row.linear);
  return [
    predictBoosted(models.values, row.trees),
    predictBoosted(models.correction, row.trees).map((value) => value + line),
  ];
}
