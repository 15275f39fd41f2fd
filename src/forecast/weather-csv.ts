// Weather forecasts as CSV text: `issued` and `time` (ISO 8601 UTC; `time` is the start of an hour) and a column for each variable, the
// mean over that hour. Owns the reading; every error names its line.

import { WattpactError } from '../base/errors.ts';
import { readNumber, readTable, readTime } from './csv.ts';
import {
  HOUR_MS,
  WEATHER_HOURS_MAX,
  WEATHER_RANGES,
  WEATHER_VARIABLES,
  type WeatherForecast,
  type WeatherVariable,
} from './weather.ts';

const COLUMNS: Readonly<Record<string, WeatherVariable>> = {
  radiation_wm2: 'radiationWm2',
  direct_wm2: 'directWm2',
  temperature_c: 'temperatureC',
  cloud_percent: 'cloudPercent',
  wind10_ms: 'wind10Ms',
  wind_hub_ms: 'windHubMs',
  wind80_ms: 'windHubMs',
  wind100_ms: 'windHubMs',
};

/** By time of issue. What is not there or no weather (weather.ts) is unknown. Throws `csv.*`. */
export function readWeather(text: string, file: string): readonly WeatherForecast[] {
  const { header, rows } = readTable(text, file);
  const [issuedAt, timeAt] = [header.indexOf('issued'), header.indexOf('time')];
  const columns = header.flatMap((name, at) => (COLUMNS[name] === undefined ? [] : [{ at, variable: COLUMNS[name] }]));
  if (issuedAt < 0 || timeAt < 0 || columns.length === 0) {
    throw new WattpactError('csv.header', `${file}:1: columns issued, time and at least one variable are wanted`, {
      hint: `Variables: ${Object.keys(COLUMNS).join(', ')}`,
    });
  }
  const issues = new Map<number, { startMs: number; line: number; fields: readonly string[] }[]>();
  for (const { line, fields } of rows) {
    const issuedMs = readTime(fields[issuedAt] ?? '', file, line);
    const startMs = readTime(fields[timeAt] ?? '', file, line);
    if (startMs % HOUR_MS !== 0)
      throw new WattpactError('csv.time', `${file}:${line}: time is not the start of an hour`);
    const issue = issues.get(issuedMs) ?? [];
    issue.push({ startMs, line, fields });
    issues.set(issuedMs, issue);
  }
  return [...issues]
    .sort(([a], [b]) => a - b)
    .map(([issuedMs, hours]): WeatherForecast => {
      const startMs = hours.reduce((least, hour) => Math.min(least, hour.startMs), Number.POSITIVE_INFINITY);
      const values = Object.fromEntries(
        WEATHER_VARIABLES.map((name) => [name, new Float32Array(lengthOf(hours, startMs, file)).fill(Number.NaN)]),
      ) as Record<WeatherVariable, Float32Array>;
      for (const hour of hours) {
        for (const { at, variable } of columns) {
          const value = readNumber(hour.fields[at] ?? '', file, hour.line);
          const [least, most] = WEATHER_RANGES[variable];
          if (value === null || value < least || value > most) continue;
          values[variable][(hour.startMs - startMs) / HOUR_MS] = value;
        }
      }
      return { issuedMs, startMs, values };
    });
}

/** Hours from the first to the last; a forecast that reaches farther than any is a mistake. */
function lengthOf(hours: readonly { startMs: number; line: number }[], startMs: number, file: string): number {
  const last = hours.reduce((latest, hour) => (hour.startMs > latest.startMs ? hour : latest));
  const length = (last.startMs - startMs) / HOUR_MS + 1;
  if (length > WEATHER_HOURS_MAX) {
    throw new WattpactError('csv.time', `${file}:${last.line}: more than ${WEATHER_HOURS_MAX} hours in one forecast`);
  }
  return length;
}
