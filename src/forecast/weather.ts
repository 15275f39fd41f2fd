// Weather forecasts as the site had them, and what a model sees of them: for a pair (newest finished step, step to forecast) only what had
// been issued by the end of the first. What came true later is never put in its place: models must learn how wrong forecasts are.

import { WattpactError } from '../base/errors.ts';
import type { Millis } from '../base/units.ts';
import { clearSky } from './sun.ts';

export const HOUR_MS: Millis = 3_600_000;

/** What is known of the weather; wind at 10 m, and at the height of a hub (80 to 120 m, the same one always). */
export const WEATHER_VARIABLES = [
  'radiationWm2',
  'directWm2',
  'temperatureC',
  'cloudPercent',
  'wind10Ms',
  'windHubMs',
] as const;
export type WeatherVariable = (typeof WEATHER_VARIABLES)[number];

/** Beyond these nothing is weather. */
export const WEATHER_RANGES: Readonly<Record<WeatherVariable, readonly [number, number]>> = {
  radiationWm2: [0, 1_600],
  directWm2: [0, 1_500],
  temperatureC: [-95, 65],
  cloudPercent: [0, 100],
  wind10Ms: [0, 110],
  windHubMs: [0, 130],
};

/** Hours of one forecast at most, and forecasts that an archive holds: half a year of one every three hours. */
export const WEATHER_HOURS_MAX = 240;
export const WEATHER_FORECASTS_MAX = 1_500;

export interface WeatherForecast {
  /** When the site had it: nothing before may use it. */
  readonly issuedMs: Millis;
  /** Start of its first hour. */
  readonly startMs: Millis;
  /** Means over each hour from there on, all as long; NaN where nothing is known. */
  readonly values: Readonly<Record<WeatherVariable, Float32Array>>;
}

/** Forecasts by their time of issue; the newest `WEATHER_FORECASTS_MAX` of them. */
export class WeatherArchive {
  #forecasts: WeatherForecast[] = [];

  /** In order of issue. Throws `weather.order`, `weather.form`. */
  add(forecast: WeatherForecast): void {
    const { issuedMs, startMs, values } = forecast;
    const newest = this.#forecasts.at(-1);
    if (newest !== undefined && issuedMs <= newest.issuedMs) {
      throw new WattpactError('weather.order', 'a weather forecast was issued no later than the one before it');
    }
    const lengths = new Set(WEATHER_VARIABLES.map((name) => values[name].length));
    if (lengths.size !== 1 || values.radiationWm2.length > WEATHER_HOURS_MAX || startMs % HOUR_MS !== 0) {
      throw new WattpactError('weather.form', 'a weather forecast is as long for each variable, in whole hours');
    }
    this.#forecasts.push(forecast);
    if (this.#forecasts.length > WEATHER_FORECASTS_MAX) this.#forecasts.shift();
  }

  get newest(): WeatherForecast | null {
    return this.#forecasts.at(-1) ?? null;
  }

  /** When the oldest one was issued; null when there is none. */
  get sinceMs(): Millis | null {
    return this.#forecasts[0]?.issuedMs ?? null;
  }

  /** The newest forecast that was there at this time. */
  knownAt(atMs: Millis): WeatherForecast | null {
    const forecasts = this.#forecasts;
    let [low, high] = [0, forecasts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((forecasts[middle] as WeatherForecast).issuedMs <= atMs) low = middle + 1;
      else high = middle;
    }
    return forecasts[low - 1] ?? null;
  }
}

/** What models see of the weather; NaN where a variable is not known. */
export interface WeatherColumns {
  /** For trees. */
  readonly plain: readonly number[];
  /** What a straight line needs besides. */
  readonly bent: readonly number[];
}

/** Hours with less clear sky than this, W/m2, say nothing about clouds; a sky is at most so much brighter than clear. */
const CLEAR_MIN_WM2 = 20;
const INDEX_MAX = 1.5;
/** Below the one people heat, above the other they cool, degrees C. */
const HEATING_C = 15;
const COOLING_C = 22;
/** Hours whose clear sky is remembered. */
const CLEAR_HOURS_KEPT = 8_192;

export interface WeatherOptions {
  readonly stepMs: Millis;
  readonly latitude?: number;
  readonly longitude?: number;
}

/** Makes the columns of one site. */
export class WeatherView {
  readonly #archive: WeatherArchive;
  readonly #options: WeatherOptions;
  readonly #clears = new Float64Array(CLEAR_HOURS_KEPT);
  readonly #clearHours = new Float64Array(CLEAR_HOURS_KEPT).fill(-1);

  constructor(archive: WeatherArchive, options: WeatherOptions) {
    this.#archive = archive;
    this.#options = options;
  }

  /** The first step after which anything was known; null while nothing is. */
  get firstStep(): number | null {
    const { sinceMs } = this.#archive;
    return sinceMs === null ? null : Math.ceil(sinceMs / this.#options.stepMs) - 1;
  }

  /**
   * Columns for a step as known at the end of step `now`; null where there is no forecast for it. `sky` and `clear`: a clear sky there
   * (NaN: place unknown), and what the plant gives under it.
   */
  columns(now: number, step: number, sky: number, clear: number): WeatherColumns | null {
    const { stepMs } = this.#options;
    const forecast = this.#archive.knownAt((now + 1) * stepMs);
    if (forecast === null) return null;
    const middleMs = (step + 0.5) * stepMs;
    const hour = (middleMs - forecast.startMs) / HOUR_MS - 0.5;
    // A forecast's first and last half hour stand for themselves.
    if (hour < -1 || hour > forecast.values.radiationWm2.length) return null;
    const at = (name: WeatherVariable, shift = 0): number => between(forecast.values[name], hour + shift);
    const index = Number.isNaN(sky) ? Number.NaN : this.#clearIndex(forecast, hour);
    const radiation = Number.isNaN(sky) ? at('radiationWm2') : Number.isNaN(index) ? at('radiationWm2') : index * sky;
    const [temperature, wind10, windHub] = [at('temperatureC'), at('wind10Ms'), at('windHubMs')];
    const plain = [
      radiation,
      index,
      at('directWm2'),
      temperature,
      at('cloudPercent'),
      wind10,
      windHub,
      at('windHubMs', 1) - at('windHubMs', -1),
      at('wind10Ms', 1) - at('wind10Ms', -1),
      index * clear,
    ];
    if (plain.every(Number.isNaN)) return null;
    const bent = [
      Math.max(0, HEATING_C - temperature),
      Math.max(0, temperature - COOLING_C),
      ...[wind10, windHub].flatMap((speed) => [
        speed ** 2,
        speed ** 3,
        Math.max(0, speed - 8),
        Math.max(0, speed - 12),
      ]),
      radiation * temperature,
    ];
    return { plain, bent };
  }

  /** Share of a clear sky, drawn from hour to hour: what the sun does in between is known better than by a straight line. */
  #clearIndex({ startMs, values }: WeatherForecast, hour: number): number {
    const of = (place: number): number => {
      const radiation = values.radiationWm2[place];
      const clear = this.#clearOf(startMs / HOUR_MS + place);
      return radiation === undefined || clear < CLEAR_MIN_WM2 ? Number.NaN : Math.min(INDEX_MAX, radiation / clear);
    };
    const low = Math.floor(hour);
    const [before, after] = [of(low), of(low + 1)];
    if (Number.isNaN(before)) return after;
    if (Number.isNaN(after)) return before;
    return before + (hour - low) * (after - before);
  }

  /** Mean clear sky of an hour since the epoch, W/m2. */
  #clearOf(hour: number): number {
    const place = hour % CLEAR_HOURS_KEPT;
    if (this.#clearHours[place] !== hour) {
      const { latitude, longitude } = this.#options;
      let sum = 0;
      for (const part of [1, 3, 5, 7]) {
        sum += clearSky((hour + part / 8) * HOUR_MS, latitude as number, longitude as number);
      }
      this.#clears[place] = sum / 4;
      this.#clearHours[place] = hour;
    }
    return this.#clears[place] as number;
  }
}

/** Between two hours' middles; the nearer one where the other is not known. */
function between(values: Float32Array, hour: number): number {
  const low = Math.floor(hour);
  const [before, after] = [values[low] ?? Number.NaN, values[low + 1] ?? Number.NaN];
  if (Number.isNaN(before)) return hour - low >= 0.5 ? after : Number.NaN;
  if (Number.isNaN(after)) return hour - low <= 0.5 ? before : Number.NaN;
  return before + (hour - low) * (after - before);
}
