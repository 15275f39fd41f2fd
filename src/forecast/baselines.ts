// The plain forecasts that any forecaster must beat. Their bands are the quantiles of their own past errors, by lead.

import type { Millis, Watts } from '../base/units.ts';
import { createCalendar, DAY_MS } from './calendar.ts';
import { Features } from './features.ts';
import { History } from './history.ts';
import { weightedQuantiles } from './quantiles.ts';
import { type ForecasterOptions, QUANTILES, type Sample } from './types.ts';

/** Days of errors that make the band, and how often it is made anew, errors. */
const ERROR_DAYS = 28;
const REMADE_EVERY = 96;

export interface Baseline {
  readonly name: string;
  learn(sample: Sample): void;
  /** Quantiles of the step that starts at `startMs`, `lead` steps after the newest known one. */
  forecast(startMs: Millis, lead: number): readonly Watts[] | null;
}

type Point = (now: number, step: number) => Watts;

export function createBaselines(options: ForecasterOptions): readonly Baseline[] {
  const perDay = DAY_MS / options.stepMs;
  const history = new History(60 * perDay);
  const features = new Features(options, createCalendar(options.timezone, options.holidays), history);
  let fed = -1;
  const feed = (sample: Sample): void => {
    if (sample.startMs <= fed) return;
    fed = sample.startMs;
    history.push(sample.startMs / options.stepMs, sample.powerW ?? Number.NaN);
  };
  const yesterday: Point = (now, step) => {
    const value = history.at(features.daysBefore(step, Math.ceil((step - now) / perDay)));
    return Number.isNaN(value) ? features.usual(now, step).quick : value;
  };
  const persistence: Point = (now, step) => {
    const last = features.lastKnown(now);
    return Number.isNaN(last) ? yesterday(now, step) : last;
  };
  const points: [string, Point][] = [
    ['persistence', persistence],
    ['yesterday', yesterday],
    ['seasonalMean', (now, step) => features.usual(now, step).sameType],
  ];
  if (options.kind === 'pv') points.push(['smartPersistence', (now, step) => features.base(now, step)]);
  return points.map(([name, point]) => banded(name, point, options, history, perDay, feed));
}

function banded(
  name: string,
  point: Point,
  options: ForecasterOptions,
  history: History,
  perDay: number,
  feed: (sample: Sample) => void,
): Baseline {
  const errors: number[][] = [];
  const bands: (readonly number[])[] = [];
  const counts: number[] = [];
  let waiting: { step: number; lead: number; value: Watts }[] = [];
  return {
    name,
    learn(sample) {
      feed(sample);
      const step = sample.startMs / options.stepMs;
      const actual = history.at(step);
      for (const given of waiting) {
        if (given.step !== step || Number.isNaN(actual)) continue;
        errors[given.lead] ??= [];
        const record = errors[given.lead] as number[];
        record.push(actual - given.value);
        if (record.length > ERROR_DAYS * perDay) record.shift();
        counts[given.lead] = (counts[given.lead] ?? 0) + 1;
        const due = given.lead > 1 || (counts[given.lead] as number) % REMADE_EVERY === 0;
        if (due)
          bands[given.lead] =
            weightedQuantiles(
              record,
              record.map(() => 1),
            ) ?? [];
      }
      waiting = waiting.filter((given) => given.step > step);
    },
    forecast(startMs, lead) {
      const step = startMs / options.stepMs;
      const value = point(step - lead, step);
      if (Number.isNaN(value)) return null;
      waiting.push({ step, lead, value });
      const band = bands[lead] ?? QUANTILES.map(() => 0);
      return band.map((error) => value + error);
    },
  };
}
