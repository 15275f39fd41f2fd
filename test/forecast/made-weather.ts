// A made-up place: hours of cloud, wind and temperature, what a plant there makes of them, and forecasts of them that err as forecasts do:
// the more the farther ahead, and alike in neighbouring hours and issues.

import { seededRandom } from '../../src/base/random.ts';
import { clearSky } from '../../src/forecast/sun.ts';
import type { Sample } from '../../src/forecast/types.ts';
import { WEATHER_VARIABLES, type WeatherForecast, type WeatherVariable } from '../../src/forecast/weather.ts';

export const HOUR = 3_600_000;
export const PLACE = { latitude: 52.1, longitude: 5.2 };
const START = Date.UTC(2026, 3, 1);
const AHEAD = 48;

/** Numbers around 0 with deviation 1 that change slowly: `memory` is what is left of one after an hour. */
function drifting(count: number, memory: number, random: () => number): number[] {
  let value = 0;
  return Array.from({ length: count }, () => {
    const shock = random() + random() + random() + random() - 2;
    value = memory * value + Math.sqrt(1 - memory * memory) * shock * Math.sqrt(3);
    return value;
  });
}

/** Power of a turbine of 100 kW over wind at its hub. */
function turbine(speed: number): number {
  return speed < 3 || speed > 25 ? 0 : 100_000 * Math.min(1, ((speed - 2.5) / 9.5) ** 3);
}

export interface MadePlace {
  readonly samples: readonly Sample[];
  readonly weather: readonly WeatherForecast[];
}

/** `errors`: how wrong forecasts are, 1 as usual; `noise`: they have nothing to do with the weather at all. */
export function madePlace(
  kind: 'pv' | 'wind',
  days: number,
  seed: number,
  errors: number | 'noise',
  stepMs = HOUR,
): MadePlace {
  const random = seededRandom(seed);
  const hours = days * 24 + AHEAD + 1;
  const cloud = drifting(hours, 0.93, random).map((x) => 1 / (1 + Math.exp(-1.6 * x)));
  const wind = drifting(hours, 0.96, random).map((x) => Math.max(0, 7 + 3 * x));
  const shares = cloud.map((cover) => 1 - 0.75 * cover ** 2);
  const perHour = HOUR / stepMs;
  const samples = Array.from({ length: days * 24 * perHour }, (_, i): Sample => {
    const startMs = START + i * stepMs;
    const hour = i / perHour;
    const [before, share] = [Math.floor(hour), hour - Math.floor(hour)];
    const of = (values: readonly number[]): number =>
      (values[before] as number) * (1 - share) + (values[before + 1] as number) * share;
    const flicker = 0.9 + 0.2 * random();
    const sky = clearSky(startMs + stepMs / 2, PLACE.latitude, PLACE.longitude);
    const powerW = kind === 'pv' ? 9 * sky * of(shares) * flicker : turbine(of(wind) * flicker);
    return { startMs, powerW };
  });
  const weather: WeatherForecast[] = [];
  const length = days * 8;
  const drifts = [drifting(length, 0.9, random), drifting(length, 0.9, random)];
  const other = [drifting(hours, 0.93, random), drifting(hours, 0.96, random)];
  for (let issue = 0; issue < length; issue++) {
    const first = issue * 3;
    const local = [drifting(AHEAD, 0.9, random), drifting(AHEAD, 0.9, random)];
    const values = Object.fromEntries(
      WEATHER_VARIABLES.map((name) => [name, new Float32Array(AHEAD).fill(Number.NaN)]),
    ) as Record<WeatherVariable, Float32Array>;
    for (let ahead = 0; ahead < AHEAD; ahead++) {
      const growth = 0.5 + ahead / AHEAD;
      const error = [0, 1].map(
        (i) =>
          growth * (0.8 * ((local[i] as number[])[ahead] as number) + 0.6 * ((drifts[i] as number[])[issue] as number)),
      );
      const at = first + ahead;
      const scale = errors === 'noise' ? 0 : errors;
      const share =
        errors === 'noise'
          ? 0.4 + 0.3 * ((other[0] as number[])[at] as number)
          : (shares[at] as number) + 0.15 * scale * (error[0] as number);
      const speed =
        errors === 'noise'
          ? 7 + 3 * ((other[1] as number[])[at] as number)
          : (wind[at] as number) + 1.5 * scale * (error[1] as number);
      const sky = clearSky(START + (at + 0.5) * HOUR, PLACE.latitude, PLACE.longitude);
      values.radiationWm2[ahead] = sky * Math.min(1.1, Math.max(0.1, share));
      values.cloudPercent[ahead] = 100 * Math.min(1, Math.max(0, 1 - share));
      values.windHubMs[ahead] = Math.max(0, speed);
      values.wind10Ms[ahead] = Math.max(0, 0.7 * speed);
    }
    // Known a while after the run that it comes from.
    weather.push({ issuedMs: START + first * HOUR + 7 * 60_000, startMs: START + first * HOUR, values });
  }
  return { samples, weather };
}
