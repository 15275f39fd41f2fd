// A site's forecasters driven through measured intervals: at each step they know what came before and nothing else.

import { energyOfPowerWh, type Millis, meanPowerW, type Watts } from '../base/units.ts';
import { createForecaster } from '../forecast/forecaster.ts';
import type { Forecaster, ForecasterOptions } from '../forecast/types.ts';
import type { MeasuredInterval, SiteForecast } from './backtest.ts';

export interface SiteForecastOptions {
  readonly intervalMs: Millis;
  readonly latitude: number;
  readonly longitude: number;
  readonly timezone: string;
  /** What generates; null: nothing does. */
  readonly generation: 'pv' | 'wind' | null;
  readonly capacityW: Watts;
}

/** The `forecast` of a backtest: asked for rising `t`, it learns what lies between and looks ahead from there. */
export function causalForecast(
  intervals: readonly MeasuredInterval[],
  options: SiteForecastOptions,
): (t: number, count: number) => SiteForecast {
  const { intervalMs, latitude, longitude, timezone } = options;
  const common: Omit<ForecasterOptions, 'kind'> = { stepMs: intervalMs, latitude, longitude, timezone };
  const consumption = createForecaster({ ...common, kind: 'load' });
  const generation =
    options.generation === null
      ? null
      : createForecaster({ ...common, kind: options.generation, capacityW: options.capacityW });
  let learnt = 0;
  const ahead = (forecaster: Forecaster, t: number, count: number): number[][] =>
    forecaster
      .forecast(intervals[t]!.startMs, count)
      .map(({ quantilesW }) => quantilesW.map((powerW) => Math.max(0, energyOfPowerWh(powerW, intervalMs))));
  return (t, count) => {
    for (; learnt < t; learnt++) {
      const { startMs, consumptionWh, generationWh } = intervals[learnt]!;
      consumption.learn({ startMs, powerW: meanPowerW(consumptionWh, intervalMs) });
      generation?.learn({ startMs, powerW: meanPowerW(generationWh, intervalMs) });
    }
    const consumptionWh = ahead(consumption, t, count);
    const generationWh = generation === null ? consumptionWh.map(() => 0) : ahead(generation, t, count);
    return { generationWh, consumptionWh };
  };
}
