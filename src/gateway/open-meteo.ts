// Open-Meteo's forecast API (https://open-meteo.com/en/docs, `/v1/forecast`): one request for the hours to come, JSON with parallel arrays.
// Radiation there is the mean of the hour before its time stamp, all else is the instant of it; here everything is the mean of the hour
// that begins. What is sent of the site is its place, to a tenth of a degree. Owns the form; when it is asked is weather.ts.

import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { z } from 'zod';
import { WattpactError } from '../base/errors.ts';
import type { Millis } from '../base/units.ts';
import {
  HOUR_MS,
  WEATHER_RANGES,
  WEATHER_VARIABLES,
  type WeatherForecast,
  type WeatherVariable,
} from '../forecast/weather.ts';
import type { WeatherProvider } from './weather.ts';

export const OPEN_METEO_URL = 'https://api.open-meteo.com/v1/forecast';
/** Three days from midnight are two days from now at least. */
const DAYS = 3;
const HOURS_KEPT = 48;
const ANSWER_BYTES_MAX = 256 * 1024;
const ANSWER_MS_MAX: Millis = 20_000;
const HOURS_MAX = 400;
const REASON_MAX = 160;

const NAMES: Readonly<Record<WeatherVariable, string>> = {
  radiationWm2: 'shortwave_radiation',
  directWm2: 'direct_radiation',
  temperatureC: 'temperature_2m',
  cloudPercent: 'cloud_cover',
  wind10Ms: 'wind_speed_10m',
  windHubMs: 'wind_speed_80m',
};
/** Means of the hour before their time stamp. */
const OF_HOUR_BEFORE: readonly WeatherVariable[] = ['radiationWm2', 'directWm2'];
const UNITS: Readonly<Record<string, string>> = {
  time: 'unixtime',
  temperature_2m: '°C',
  wind_speed_10m: 'm/s',
  wind_speed_80m: 'm/s',
};

const series = z.array(z.number().nullable()).max(HOURS_MAX);
const answerSchema = z.object({
  hourly: z.looseObject({ time: z.array(z.int()).min(2).max(HOURS_MAX) }),
  hourly_units: z.record(z.string(), z.string()),
});

/** A source of weather forecasts for a place. `url`: where it is asked; what its query says already stays (a key, say). */
export function openMeteo(
  url: string,
  place: { readonly latitude: number; readonly longitude: number },
): WeatherProvider {
  const address = new URL(url);
  const wanted = {
    latitude: place.latitude.toFixed(1),
    longitude: place.longitude.toFixed(1),
    hourly: Object.values(NAMES).join(','),
    forecast_days: String(DAYS),
    timeformat: 'unixtime',
    timezone: 'UTC',
    temperature_unit: 'celsius',
    wind_speed_unit: 'ms',
  };
  for (const [name, value] of Object.entries(wanted)) address.searchParams.set(name, value);
  return {
    name: `open-meteo at ${address.host}`,
    fetch: async (nowMs, signal) => readAnswer(await get(address, signal), nowMs),
  };
}

/** The hours from now on in an answer. Throws `weather.answer`. */
export function readAnswer(text: string, nowMs: Millis): Omit<WeatherForecast, 'issuedMs'> {
  const parsed = answerSchema.safeParse(jsonOf(text));
  if (!parsed.success)
    throw answer(`is not in the form that is documented (${parsed.error.issues[0]?.path.join('.')})`);
  const { hourly, hourly_units: units } = parsed.data;
  for (const [name, unit] of Object.entries(UNITS)) {
    if (name in hourly && units[name] !== unit)
      throw answer(`has ${name} in ${units[name] ?? 'no unit'}, not in ${unit}`);
  }
  const { time } = hourly;
  const firstMs = (time[0] as number) * 1000;
  if (firstMs % HOUR_MS !== 0 || time.some((seconds, i) => seconds * 1000 !== firstMs + i * HOUR_MS)) {
    throw answer('has times that are not one hour after the other');
  }
  const from = Math.floor((nowMs - firstMs) / HOUR_MS);
  const length = Math.min(HOURS_KEPT, time.length - 1 - from);
  if (from < 0 || length < 1) throw answer('does not speak of now: is the clock right?');
  const values = WEATHER_VARIABLES.map((variable) => {
    const found = series.safeParse(hourly[NAMES[variable]]);
    const given = found.success && found.data.length === time.length ? found.data : [];
    const [least, most] = WEATHER_RANGES[variable];
    const at = (i: number): number => {
      const value = given[i] ?? Number.NaN;
      return value >= least && value <= most ? value : Number.NaN;
    };
    const hour = (i: number): number => (OF_HOUR_BEFORE.includes(variable) ? at(i + 1) : (at(i) + at(i + 1)) / 2);
    return [variable, Float32Array.from({ length }, (_, i) => hour(from + i))] as const;
  });
  if (values.every(([, hours]) => hours.every(Number.isNaN))) throw answer('holds none of the variables asked for');
  return {
    startMs: firstMs + from * HOUR_MS,
    values: Object.fromEntries(values) as Record<WeatherVariable, Float32Array>,
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw answer('is no JSON');
  }
}

function answer(what: string): WattpactError {
  return new WattpactError('weather.answer', `the answer ${what}`);
}

/** The body of an answer with status 200. Rejects with `weather.answer`, `weather.unreachable`. Redirections are not followed. */
function get(address: URL, signal: AbortSignal): Promise<string> {
  const request = address.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((done, failed) => {
    const timeLimit = AbortSignal.timeout(ANSWER_MS_MAX);
    const unreachable = (cause: Error): void => {
      const why = timeLimit.aborted ? `no answer within ${ANSWER_MS_MAX / 1000} s` : reasonOf(cause);
      failed(new WattpactError('weather.unreachable', why, { cause }));
    };
    const asked = request(address, {
      headers: { accept: 'application/json', 'user-agent': 'wattpact' },
      signal: AbortSignal.any([signal, timeLimit]),
    });
    asked.on('error', unreachable);
    asked.on('response', (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('error', unreachable);
      response.on('data', (part: Buffer) => {
        bytes += part.length;
        if (bytes > ANSWER_BYTES_MAX) {
          failed(answer(`is longer than ${ANSWER_BYTES_MAX} bytes`));
          asked.destroy();
        } else parts.push(part);
      });
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        if (response.statusCode === 200) done(text);
        else failed(answer(`has status ${response.statusCode}${saidIn(text)}`));
      });
    });
    asked.end();
  });
}

/** Errors carry `{"error": true, "reason": "..."}`. */
function saidIn(text: string): string {
  try {
    const reason = (JSON.parse(text) as { reason?: unknown }).reason;
    return typeof reason === 'string' ? `: ${reason.replace(/[^\x20-\x7e]/g, '?').slice(0, REASON_MAX)}` : '';
  } catch {
    return '';
  }
}

/** Several addresses that all failed come as one error without a text of its own. */
function reasonOf(cause: Error): string {
  const [first] = cause instanceof AggregateError ? (cause.errors as Error[]) : [];
  return (first ?? cause).message || cause.name;
}
