// A forecaster of one series: learns finished steps in order, forecasts quantiles of the next ones.

import { WattpactError } from '../base/errors.ts';
import type { Millis, Watts } from '../base/units.ts';
import { createCalendar, DAY_MS } from './calendar.ts';
import { History } from './history.ts';
import { sortQuantiles } from './quantiles.ts';
import { seasonalQuantiles } from './seasonal.ts';
import {
  type Forecaster,
  type ForecasterOptions,
  type IntervalForecast,
  MEDIAN,
  type PartialReading,
  type Sample,
  type SampleMark,
} from './types.ts';

/** Steps of history kept: half a year of quarter hours. */
const HISTORY_STEPS = 17_568;
/** Most steps of one forecast. */
export const FORECAST_STEPS_MAX = 1_000;

/** Creates a forecaster, new or from the `state()` of one with the same options. Throws `forecast.options`, `forecast.state`. */
export function createForecaster(options: ForecasterOptions, earlier?: string): Forecaster {
  const { stepMs, kind } = options;
  if (!Number.isInteger(stepMs) || stepMs < 60_000 || DAY_MS % stepMs !== 0) {
    throw new WattpactError('forecast.options', `a step of ${stepMs} ms does not divide a day`);
  }
  const calendar = createCalendar(options.timezone, options.holidays);
  const history = earlier === undefined ? new History(HISTORY_STEPS) : restore(earlier);

  const learn = (sample: Sample): SampleMark | null => {
    const step = sample.startMs / stepMs;
    if (!Number.isInteger(step) || (history.newest !== null && step <= history.newest)) return 'out-of-order';
    const mark = judge(sample);
    history.push(step, mark === null ? (sample.powerW as Watts) : Number.NaN);
    return mark;
  };

  const judge = ({ powerW, curtailed }: Sample): SampleMark | null => {
    if (powerW === null || !Number.isFinite(powerW)) return 'missing';
    if (curtailed === true) return 'curtailed';
    return kind !== 'net' && powerW < 0 ? 'implausible' : null;
  };

  const forecast = (issuedMs: Millis, count: number, running: readonly PartialReading[] = []): IntervalForecast[] => {
    const first = Math.ceil(issuedMs / stepMs);
    const result: IntervalForecast[] = [];
    const known = lastKnown(running);
    for (let i = 0; i < Math.min(count, FORECAST_STEPS_MAX); i++) {
      const startMs = (first + i) * stepMs;
      const quantiles = seasonalQuantiles(options, calendar, history, startMs);
      if (known !== null) {
        const usual = seasonalQuantiles(options, calendar, history, known.startMs)[MEDIAN] as number;
        const memory = 0.5 ** ((startMs - known.startMs) / (2 * 3_600_000));
        const width = Math.sqrt(1 - memory * memory);
        const middle = quantiles[MEDIAN] as number;
        const centre = middle + memory * (known.powerW - usual);
        quantiles.forEach((quantile, q) => {
          quantiles[q] = bound(centre + (quantile - middle) * width);
        });
      }
      result.push({ startMs, quantilesW: sortQuantiles(quantiles) });
    }
    return result;
  };

  const bound = (powerW: Watts): Watts => {
    const above = kind === 'net' ? powerW : Math.max(0, powerW);
    return kind === 'net' || options.capacityW === undefined ? above : Math.min(above, options.capacityW);
  };

  /** The newest mean power there is: of the running step if some of it is measured, else of the last finished step. */
  const lastKnown = (running: readonly PartialReading[]): PartialReading | null => {
    const { newest } = history;
    const lengthMs = running.reduce((sum, part) => sum + part.endMs - part.startMs, 0);
    const [first] = running;
    if (lengthMs > 0 && first !== undefined) {
      const powerW = running.reduce((sum, part) => sum + part.powerW * (part.endMs - part.startMs), 0) / lengthMs;
      const startMs = Math.floor(first.startMs / stepMs) * stepMs;
      return { startMs, endMs: startMs + lengthMs, powerW };
    }
    if (newest === null || Number.isNaN(history.at(newest))) return null;
    return { startMs: newest * stepMs, endMs: (newest + 1) * stepMs, powerW: history.at(newest) };
  };

  return { options, learn, forecast, state: () => JSON.stringify({ version: 1, history: history.toJson() }) };
}

function restore(text: string): History {
  try {
    const { version, history } = JSON.parse(text) as { version: number; history: { oldest: number; values: number[] } };
    if (version !== 1) throw new Error(`unknown version ${version}`);
    return History.fromJson(HISTORY_STEPS, history);
  } catch (cause) {
    throw new WattpactError('forecast.state', 'the state of a forecaster cannot be read', {
      hint: 'Drop it: it is rebuilt from the history',
      cause,
    });
  }
}
