import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { type BacktestResult, backtest } from '../../src/forecast/backtest.ts';
import { createForecaster } from '../../src/forecast/forecaster.ts';
import { clearSky } from '../../src/forecast/sun.ts';
import type { Forecaster } from '../../src/forecast/types.ts';
import {
  WEATHER_VARIABLES,
  WeatherArchive,
  type WeatherForecast,
  type WeatherVariable,
  WeatherView,
} from '../../src/forecast/weather.ts';
import { HOUR, type MadePlace, madePlace, PLACE } from './made-weather.ts';

const NOON = Date.UTC(2026, 5, 1, 12);

function forecast(startMs: number, hours: Partial<Record<WeatherVariable, readonly number[]>>): WeatherForecast {
  const length = Math.max(...Object.values(hours).map((values) => values.length));
  const values = Object.fromEntries(
    WEATHER_VARIABLES.map((name) => [name, Float32Array.from({ length }, (_, i) => hours[name]?.[i] ?? Number.NaN)]),
  ) as Record<WeatherVariable, Float32Array>;
  return { issuedMs: startMs, startMs, values };
}

function dayAhead(kind: 'pv' | 'wind', { samples, weather }: MadePlace, known: boolean): BacktestResult {
  return backtest({
    options: { kind, stepMs: HOUR, ...PLACE },
    samples,
    horizon: 24,
    warmupDays: 12,
    issueEveryMs: 6 * HOUR,
    monotonicMs: () => 0,
    ...(known ? { weather } : {}),
  });
}

/** Walks of two dozen days, each a few seconds of processor time on a small machine that has other things to do. */
const LONG = { timeout: 120_000 };

describe('a day ahead on a made-up place', () => {
  for (const [kind, left] of [
    ['pv', 0.8],
    ['wind', 0.8],
  ] as const) {
    const real = madePlace(kind, 20, 3, 1);
    let alone: BacktestResult | null = null;
    const without = (): BacktestResult => {
      alone ??= dayAhead(kind, real, false);
      return alone;
    };

    test(`${kind}: forecasts of the weather that err as usual leave at most ${left} of the error`, LONG, () => {
      const told = dayAhead(kind, real, true);
      expect(told.mae).toBeLessThan(left * without().mae);
      expect(told.pinball).toBeLessThan(left * without().pinball);
      expect(told.coverage80).toBeGreaterThan(0.7);
    });

    // Of one of them: such walks take their time.
    if (kind !== 'pv') continue;
    test(`${kind}: noise in their place adds nothing`, LONG, () => {
      const misled = dayAhead(kind, madePlace(kind, 20, 3, 'noise'), true);
      expect(misled.mae).toBeLessThan(1.02 * without().mae);
      expect(misled.pinball).toBeLessThan(1.02 * without().pinball);
    });
  }
});

function taught(place: MadePlace, until: number, archive: WeatherArchive, earlier?: { state: string; from: number }) {
  const forecaster = createForecaster({ kind: 'pv', stepMs: HOUR, ...PLACE, weather: archive }, earlier?.state, 24);
  for (const sample of place.samples.slice(earlier?.from ?? 0, until)) {
    for (const each of place.weather) {
      if (each.issuedMs > (archive.newest?.issuedMs ?? 0) && each.issuedMs <= sample.startMs + HOUR) archive.add(each);
    }
    forecaster.learn(sample);
  }
  return forecaster;
}

const ahead = (forecaster: Forecaster, place: MadePlace, at: number) =>
  forecaster.forecast((place.samples[at] as { startMs: number }).startMs, 24);

test('what is issued later changes nothing before it', () => {
  const place = madePlace('pv', 12, 4, 1);
  const random = seededRandom(8);
  const at = 10 * 24;
  const nowMs = (place.samples[at] as { startMs: number }).startMs;
  const noisy = place.weather.map((each) =>
    each.issuedMs <= nowMs
      ? each
      : { ...each, values: { ...each.values, radiationWm2: each.values.radiationWm2.map(() => 900 * random()) } },
  );
  const known = new WeatherArchive();
  for (const each of noisy) known.add(each);
  // The whole archive is there beforehand, as after a restart that learns its history anew.
  const anew = createForecaster({ kind: 'pv', stepMs: HOUR, ...PLACE, weather: known }, undefined, 24);
  for (const sample of place.samples.slice(0, at)) anew.learn(sample);
  const live = taught(place, at, new WeatherArchive());
  expect(ahead(anew, place, at)).toEqual(ahead(live, place, at));
  // What was known by then has its say.
  const without = createForecaster({ kind: 'pv', stepMs: HOUR, ...PLACE }, undefined, 24);
  for (const sample of place.samples.slice(0, at)) without.learn(sample);
  expect(ahead(live, place, at)).not.toEqual(ahead(without, place, at));
});

test('a state goes on as if it had never been away', () => {
  const place = madePlace('pv', 14, 5, 1);
  const archive = new WeatherArchive();
  const state = taught(place, 11 * 24 + 5, archive).state();
  const through = taught(place, 13 * 24, new WeatherArchive());
  const restored = taught(place, 13 * 24, archive, { state, from: 11 * 24 + 5 });
  expect(ahead(restored, place, 13 * 24)).toEqual(ahead(through, place, 13 * 24));
});

test('a state is read also when the weather was given or taken away since', () => {
  const place = madePlace('pv', 9, 6, 1);
  const plain = { kind: 'pv', stepMs: HOUR, ...PLACE } as const;
  const without = createForecaster(plain, undefined, 24);
  for (const sample of place.samples) without.learn(sample);
  const at = place.samples.length - 1;
  const given = createForecaster({ ...plain, weather: new WeatherArchive() }, without.state(), 24);
  expect(ahead(given, place, at)).toEqual(ahead(without, place, at));
  const taken = createForecaster(plain, taught(place, at, new WeatherArchive()).state(), 24);
  expect(ahead(taken, place, at).every(({ quantilesW }) => quantilesW.every(Number.isFinite))).toBe(true);
});

test('a source that falls silent leaves forecasts as good as those without', LONG, () => {
  const place = madePlace('pv', 15, 3, 1);
  const endsMs = (place.samples[10 * 24] as { startMs: number }).startMs;
  const errorOf = (weather: MadePlace['weather']): number => {
    const { mae } = backtest({
      options: { kind: 'pv', stepMs: HOUR, ...PLACE },
      samples: place.samples,
      horizon: 24,
      // What was known last reaches two days.
      warmupDays: 12,
      issueEveryMs: 6 * HOUR,
      monotonicMs: () => 0,
      weather,
    });
    return mae;
  };
  expect(errorOf(place.weather.filter(({ issuedMs }) => issuedMs < endsMs))).toBeLessThan(1.05 * errorOf([]));
});

describe('what a model sees', () => {
  const archive = new WeatherArchive();
  archive.add(forecast(NOON, { temperatureC: [10, 14, Number.NaN, 20], radiationWm2: [400, 200, 100, 50] }));
  const view = new WeatherView(archive, { stepMs: 900_000, ...PLACE });
  const step = (minutes: number): number => (NOON + minutes * 60_000) / 900_000;
  const skyAt = (at: number): number => clearSky((at + 0.5) * 900_000, PLACE.latitude, PLACE.longitude);
  const columns = (now: number, at: number) => view.columns(now, at, skyAt(at), Number.NaN);
  const temperature = (at: number): number | undefined => columns(step(0), at)?.plain[3];

  test('nothing before it was issued, from then on all of it', () => {
    expect(columns(step(-30), step(15))).toBeNull();
    expect(columns(step(-15), step(15))).not.toBeNull();
  });

  test('between the middles of two hours a straight line; nothing is made of an hour that is not known', () => {
    expect(temperature(step(22.5))).toBeCloseTo(10, 6);
    expect(temperature(step(52.5))).toBeCloseTo(12, 6);
    expect(temperature(step(97.5))).toBeCloseTo(14, 6);
    expect(temperature(step(142.5))).toBeNaN();
    expect(temperature(step(202.5))).toBeCloseTo(20, 6);
    expect(columns(step(0), step(52.5))?.plain[6]).toBeNaN();
  });

  test('within an hour the sun goes on as it does', () => {
    const at = step(22.5);
    const clear = [1, 3, 5, 7].reduce(
      (sum, part) => sum + clearSky(NOON + (part / 8) * HOUR, PLACE.latitude, PLACE.longitude) / 4,
      0,
    );
    expect(columns(step(0), at)?.plain[0]).toBeCloseTo((400 / clear) * skyAt(at), 4);
  });

  test('beyond its end it says nothing', () => {
    expect(columns(step(0), step(4 * 60 + 45))).toBeNull();
    expect(columns(step(0), step(-60))).toBeNull();
  });

  test('forecasts come in order and in whole hours', () => {
    expect(() => archive.add(forecast(NOON, { temperatureC: [1] }))).toThrow(/no later/);
    expect(() => archive.add(forecast(NOON + 60_000, { temperatureC: [1] }))).toThrow(/whole hours/);
  });
});
