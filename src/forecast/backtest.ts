// Walk-forward scoring: the forecaster and the plain baselines go through a series step by step and see nothing of what comes.
// Owns what is measured and how; reading files and printing are the command's.

import type { Millis, Watts } from '../base/units.ts';
import { type Baseline, createBaselines } from './baselines.ts';
import { DAY_MS } from './calendar.ts';
import { createForecaster } from './forecaster.ts';
import { pinball } from './quantiles.ts';
import { type ForecasterOptions, MEDIAN, QUANTILES, type Sample, type SampleMark } from './types.ts';
import { WeatherArchive, type WeatherForecast } from './weather.ts';

export interface BacktestInput {
  readonly options: ForecasterOptions;
  /** In order, on the grid of the step; steps that are not there are gaps. */
  readonly samples: readonly Sample[];
  /** Steps of each forecast. */
  readonly horizon: number;
  readonly warmupDays: number;
  /** With a horizon above 1: a forecast at each whole multiple of this, UTC. */
  readonly issueEveryMs: Millis;
  /** For the time a step takes. */
  readonly monotonicMs: () => Millis;
  /** Weather forecasts by time of issue: each is known from then on. */
  readonly weather?: readonly WeatherForecast[];
  /** Sees each forecast; `actual` may be unknown (NaN). */
  readonly onForecast?: (issuedMs: Millis, startMs: Millis, quantilesW: readonly Watts[], actualW: Watts) => void;
}

export interface Scores {
  readonly n: number;
  readonly mae: number;
  /** MAE over the mean of the positive values. */
  readonly nmae: number;
  readonly rmse: number;
  readonly bias: number;
  /** Mean over the seven quantiles. */
  readonly pinball: number;
  /** Share inside the 80 % band; of steps whose band has a width (a night without sun has none). */
  readonly coverage80: number;
  /** The same over all steps. */
  readonly coverage80All: number;
}

export interface BacktestResult extends Scores {
  readonly horizon: number;
  /** Over all leads; with a horizon above 1 each lead's too. */
  readonly baselines: Readonly<
    Record<string, Scores & { readonly byLead?: readonly (Scores & { readonly lead: number })[] }>
  >;
  /** 1 - MAE / MAE of the best baseline. */
  readonly skillMae: number;
  /** Learning and forecasting, a step of the series. */
  readonly msPerStep: number;
  readonly stateBytes: number;
  /** Steps that were not learnt from, by reason; `missing` are gaps. */
  readonly marks: Readonly<Partial<Record<SampleMark, number>>>;
  readonly byLead?: readonly (Scores & { readonly lead: number })[];
}

class Score {
  n = 0;
  #absolute = 0;
  #square = 0;
  #signed = 0;
  #pinball = 0;
  #inside = 0;
  #wide = 0;
  #wideInside = 0;
  #positive = 0;
  #positives = 0;

  add(quantiles: readonly number[], actual: number): void {
    const error = (quantiles[MEDIAN] as number) - actual;
    this.n++;
    this.#absolute += Math.abs(error);
    this.#square += error * error;
    this.#signed += error;
    for (let q = 0; q < QUANTILES.length; q++) {
      this.#pinball += pinball(QUANTILES[q] as number, quantiles[q] as number, actual) / QUANTILES.length;
    }
    const [low, high] = [quantiles[1] as number, quantiles[5] as number];
    const inside = actual >= low && actual <= high;
    if (inside) this.#inside++;
    if (high > low) {
      this.#wide++;
      if (inside) this.#wideInside++;
    }
    if (actual > 0) {
      this.#positive += actual;
      this.#positives++;
    }
  }

  get mae(): number {
    return this.#absolute / this.n;
  }

  result(): Scores {
    const n = this.n;
    const scale = this.#positive / this.#positives;
    return {
      n,
      mae: this.mae,
      nmae: this.mae / scale,
      rmse: Math.sqrt(this.#square / n),
      bias: this.#signed / n,
      pinball: this.#pinball / n,
      coverage80: this.#wideInside / this.#wide,
      coverage80All: this.#inside / n,
    };
  }
}

/** Scores over all leads, and of each where there is more than one. */
class Leads {
  readonly all = new Score();
  readonly #each: readonly Score[];

  constructor(horizon: number) {
    this.#each = horizon > 1 ? Array.from({ length: horizon }, () => new Score()) : [];
  }

  add(quantiles: readonly number[], actual: number, lead: number): void {
    this.all.add(quantiles, actual);
    this.#each[lead - 1]?.add(quantiles, actual);
  }

  result(): Scores & { readonly byLead?: readonly (Scores & { readonly lead: number })[] } {
    const byLead = this.#each.map((score, i) => ({ lead: i + 1, ...score.result() }));
    return { ...this.all.result(), ...(byLead.length > 0 ? { byLead } : {}) };
  }
}

/** Goes through the series once. The result of a step depends on nothing that starts at or after its issue. */
export function backtest(input: BacktestInput): BacktestResult {
  const { samples, horizon, warmupDays, issueEveryMs, monotonicMs, weather = [], onForecast } = input;
  const archive = new WeatherArchive();
  const options = weather.length === 0 ? input.options : { ...input.options, weather: archive };
  const { stepMs } = options;
  const known = new Map<number, Sample>(samples.map((sample) => [sample.startMs, sample]));
  const actualAt = (startMs: Millis): Watts => {
    const sample = known.get(startMs);
    return sample === undefined || sample.powerW === null || sample.curtailed === true ? Number.NaN : sample.powerW;
  };
  const firstMs = samples[0]?.startMs ?? 0;
  const lastMs = samples.at(-1)?.startMs ?? -1;
  const scoredFromMs = firstMs + warmupDays * DAY_MS;
  const forecaster = createForecaster(options, undefined, horizon);
  const baselines = createBaselines(options);
  const own = new Leads(horizon);
  const others = new Map<string, Leads>(baselines.map(({ name }) => [name, new Leads(horizon)]));
  let spentMs = 0;
  let steps = 0;
  let told = 0;
  const marks: Partial<Record<SampleMark, number>> = {};
  for (let atMs = firstMs; atMs <= lastMs; atMs += stepMs) {
    for (; told < weather.length && (weather[told] as WeatherForecast).issuedMs <= atMs; told++) {
      archive.add(weather[told] as WeatherForecast);
    }
    const due = atMs >= scoredFromMs && (horizon === 1 || atMs % issueEveryMs === 0);
    if (due) {
      const beganMs = monotonicMs();
      const forecasts = forecaster.forecast(atMs, horizon);
      spentMs += monotonicMs() - beganMs;
      forecasts.forEach(({ startMs, quantilesW }, i) => {
        const actual = actualAt(startMs);
        onForecast?.(atMs, startMs, quantilesW, actual);
        if (Number.isNaN(actual)) return;
        own.add(quantilesW, actual, i + 1);
      });
      for (const baseline of baselines)
        scoreBaseline(baseline, others.get(baseline.name) as Leads, atMs, input, actualAt);
    }
    const sample = known.get(atMs) ?? { startMs: atMs, powerW: null };
    const beganMs = monotonicMs();
    const mark = forecaster.learn(sample);
    if (mark !== null) marks[mark] = (marks[mark] ?? 0) + 1;
    spentMs += monotonicMs() - beganMs;
    steps++;
    for (const baseline of baselines) baseline.learn(sample);
  }
  const result = own.result();
  const best = Math.min(...[...others.values()].filter(({ all }) => all.n > 0).map(({ all }) => all.mae));
  return {
    ...result,
    horizon,
    baselines: Object.fromEntries([...others].map(([name, score]) => [name, score.result()])),
    skillMae: 1 - result.mae / best,
    msPerStep: spentMs / steps,
    stateBytes: forecaster.state().length,
    marks,
  };
}

function scoreBaseline(
  baseline: Baseline,
  score: Leads,
  issuedMs: Millis,
  { options: { stepMs }, horizon }: BacktestInput,
  actualAt: (startMs: Millis) => Watts,
): void {
  for (let i = 0; i < horizon; i++) {
    const startMs = issuedMs + i * stepMs;
    const actual = actualAt(startMs);
    const quantiles = baseline.forecast(startMs, i + 1);
    if (!Number.isNaN(actual) && quantiles !== null) score.add(quantiles, actual, i + 1);
  }
}
