// Sites as they are: clocks that change, holidays, meters that fail, plants that grow. Hourly steps keep it short.

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { createForecaster } from '../../src/forecast/forecaster.ts';
import type { Forecaster, ForecasterOptions } from '../../src/forecast/types.ts';

const STEP = 3_600_000;
const DAY = 24;
/** A Monday. */
const START = Date.UTC(2026, 2, 9);

type Site = Partial<ForecasterOptions> & Pick<ForecasterOptions, 'kind'>;
type PowerW = (step: number, noise: number) => number | null;

/** A forecaster that learns `powerW(step)` from a step on up to another, and goes on from there when it is asked for a later one. */
function pupil(options: Site, powerW: PowerW, from = 0): (until: number) => Forecaster {
  const forecaster = createForecaster({ stepMs: STEP, ...options }, undefined, DAY);
  const random = seededRandom(21);
  let step = from;
  return (until) => {
    for (; step < until; step++) forecaster.learn({ startMs: START + step * STEP, powerW: powerW(step, random()) });
    return forecaster;
  };
}

/** A forecaster that has learnt `powerW(step)` of the steps `[0, until)`. */
function taught(options: Site, until: number, powerW: PowerW): Forecaster {
  return pupil(options, powerW)(until);
}

function medians(forecaster: Forecaster, from: number, count = DAY): number[] {
  return forecaster.forecast(START + from * STEP, count).map(({ quantilesW }) => quantilesW[3] as number);
}

const sun = (step: number): number => Math.max(0, Math.sin((((step % DAY) + 0.5 - 6) / 12) * Math.PI));
const pvOptions = { kind: 'pv', latitude: 0, longitude: 0 } as const;

describe('clocks', () => {
  /** The clock of Berlin goes forward on 29 March 2026, 01:00 UTC: 20 days after the start. */
  const changed = 20 * DAY + 1;
  const house = (step: number, noise: number): number => {
    const local = (step + (step < changed ? 1 : 2)) % DAY;
    return (local === 7 ? 3000 : 300) + 30 * noise;
  };

  test('a house goes by its own clock from the first morning of summer time', () => {
    for (const [timezone, hour] of [
      ['Europe/Berlin', 5],
      ['UTC', 6],
    ] as const) {
      const ahead = medians(pupil({ kind: 'load', timezone }, house, 10 * DAY)(20 * DAY), 20 * DAY);
      expect(ahead.indexOf(Math.max(...ahead))).toBe(hour);
    }
  });

  test('the hour that a local clock shows twice, and the one it leaves out', () => {
    const [straight, local] = [0, 1].map(() => taught({ kind: 'load' }, 4 * DAY, house)) as [Forecaster, Forecaster];
    const at = (step: number) => ({ startMs: START + step * STEP, powerW: house(step, 0.5) });
    for (const step of [96, 97]) for (const one of [straight, local]) one.learn(at(step));
    expect(local.learn({ ...at(97), powerW: 9000 })).toBe('out-of-order');
    // One hour is left out.
    for (const step of [99, 100]) for (const one of [straight, local]) expect(one.learn(at(step))).toBeNull();
    expect(medians(local, 101)).toEqual(medians(straight, 101));
  });
});

test('a holiday is lived like a Sunday', () => {
  const works = (step: number, noise: number): number => {
    const day = Math.floor(step / DAY) % 7;
    const hour = step % DAY;
    return (day < 5 && hour >= 7 && hour < 17 ? 5000 : 500) + 100 * noise;
  };
  const office = pupil({ kind: 'load', holidays: ['2026-03-25'] }, works);
  const noon = (day: number): number => medians(office(day * DAY), day * DAY)[12] as number;
  // Tuesday and Wednesday of the third week.
  expect(noon(15)).toBeGreaterThan(4000);
  expect(noon(16)).toBeLessThan(2000);
});

describe('a site that changes', () => {
  const days = 18;

  test('twice the panels: the next days ahead know it', () => {
    const plant = pupil(
      pvOptions,
      (step, noise) => (step < days * DAY ? 2000 : 4000) * sun(step) * (0.9 + 0.1 * noise),
    );
    const noonAfter = (count: number) => medians(plant((days + count) * DAY), (days + count) * DAY)[12] as number;
    expect(noonAfter(0)).toBeLessThan(2050);
    expect(noonAfter(4)).toBeGreaterThan(3000);
  });

  test('a heat pump at night', () => {
    const house = pupil({ kind: 'load' }, (step, noise) => {
      const pump = step >= days * DAY && step % DAY < 5 ? 2000 : 0;
      return 300 + pump + 60 * noise;
    });
    // Half of it after four nights, nearly all after a week.
    for (const [nights, least] of [
      [4, 300 + 1000],
      [7, 300 + 1700],
    ] as const) {
      const end = (days + nights) * DAY;
      const ahead = medians(house(end), end);
      expect(ahead[2]).toBeGreaterThan(least);
      expect(ahead[12]).toBeLessThan(800);
    }
  });
});

describe('what is marked leaves no trace', () => {
  /** Medians after a good week and then `hours` of something that is not the site, beside those after as many missing hours. */
  const both = (
    options: Partial<ForecasterOptions> & Pick<ForecasterOptions, 'kind'>,
    good: (step: number, noise: number) => number,
    hours: number,
    wrong: (step: number) => { powerW: number; curtailed?: boolean },
  ) => {
    const from = 7 * DAY + 8;
    const [spoilt, missing] = [0, 1].map(() => taught(options, from, good)) as [Forecaster, Forecaster];
    const marks = Array.from({ length: hours }, (_, i) => {
      const startMs = START + (from + i) * STEP;
      missing.learn({ startMs, powerW: null });
      return spoilt.learn({ startMs, ...wrong(from + i) });
    });
    return { marks, spoilt: medians(spoilt, from + hours), missing: medians(missing, from + hours) };
  };
  const house = (step: number, noise: number): number => 300 + 500 * sun(step + 8) + 50 * noise;
  const plant = (step: number, noise: number): number =>
    3000 * sun(step) * (0.8 + 0.2 * noise) - (sun(step) === 0 ? 2 : 0);

  test('zeros that mean missing', () => {
    const { marks, spoilt, missing } = both({ kind: 'load' }, house, 8, () => ({ powerW: 0 }));
    expect(marks).toEqual(new Array(8).fill('zero-run'));
    expect(spoilt).toEqual(missing);
  });

  test('readings that fail now and then, from the first day on', () => {
    const forecaster = createForecaster({ kind: 'load', stepMs: STEP }, undefined, 1);
    const marks = Array.from({ length: 12 * DAY }, (_, i) =>
      forecaster.learn({ startMs: START + i * STEP, powerW: i % 60 === 7 ? 0 : house(i, 0.5) }),
    );
    expect(marks.filter((mark) => mark === 'zero-run').length).toBeGreaterThanOrEqual(4);
    // A house that comes down to nothing by and by has nights without anything.
    const sleepy = createForecaster({ kind: 'load', stepMs: STEP }, undefined, 1);
    const quiet = Array.from({ length: 12 * DAY }, (_, i) =>
      sleepy.learn({ startMs: START + i * STEP, powerW: Math.max(0, 400 * sun(i) - 20) }),
    );
    expect(quiet.every((mark) => mark === null)).toBe(true);
  });

  test('curtailment', () => {
    const { marks, spoilt, missing } = both(pvOptions, plant, 6, () => ({ powerW: 0, curtailed: true }));
    expect(marks).toEqual(new Array(6).fill('curtailed'));
    expect(spoilt).toEqual(missing);
    // Not marked, it is weather.
    const { spoilt: weather } = both(pvOptions, plant, 6, () => ({ powerW: 0 }));
    expect(Math.max(...weather)).toBeLessThan(0.97 * Math.max(...spoilt));
  });

  test('error codes and other nonsense', () => {
    for (const powerW of [-1e6, 1e12, Number.NaN]) {
      const { marks, spoilt, missing } = both(pvOptions, plant, 3, () => ({ powerW }));
      expect(marks.every((mark) => mark !== null)).toBe(true);
      expect(spoilt).toEqual(missing);
    }
  });

  test('a generator whose meter stands still, but not one that stands still or runs at its limit', () => {
    const wind = (_: number, noise: number): number => 4000 * noise;
    const last = (powerW: number) => {
      const forecaster = createForecaster({ kind: 'wind', stepMs: STEP }, undefined, 1);
      const random = seededRandom(21);
      const learn = (step: number, of: number) => forecaster.learn({ startMs: START + step * STEP, powerW: of });
      for (let step = 0; step < 7 * DAY; step++) learn(step, wind(step, random()));
      return Array.from({ length: 12 }, (_, i) => learn(7 * DAY + i, powerW)).at(-1);
    };
    expect(last(1234.5)).toBe('stuck');
    expect(last(0)).toBeNull();
    expect(last(4000)).toBeNull();
  });

  test('a roof that blinks, but not one that is off; one whose meter stands still by day', () => {
    const quarter = { ...pvOptions, stepMs: STEP / 4 };
    const forecaster = createForecaster(quarter, undefined, 1);
    const at = (step: number): number => plant(step / 4, 0.5 + 0.3 * Math.sin(step * 7));
    const noon = 8 * DAY * 4 + 4 * 12;
    const learn = (step: number, powerW: number) => forecaster.learn({ startMs: START + (step * STEP) / 4, powerW });
    for (let step = 0; step < noon; step++) learn(step, at(step));
    expect([0, 1, 2, 3].map((i) => learn(noon + i, 0))).toEqual(['zero-run', 'zero-run', null, null]);
    const marks = Array.from({ length: 4 * DAY }, (_, i) => learn(noon + 4 + i, -2));
    expect(marks.slice(0, 4 * 8)).toEqual(new Array(4 * 8).fill(null));
    expect(marks.slice(4 * 20)).toContain('stuck');
  });

  test('spikes beyond all that was seen, but not what stays', () => {
    const { marks, spoilt, missing } = both({ kind: 'load' }, house, 2, () => ({ powerW: 90_000 }));
    expect(marks).toEqual(['implausible', 'implausible']);
    expect(spoilt).toEqual(missing);
    expect(both({ kind: 'load' }, house, 6, () => ({ powerW: 9_000 + Math.random() })).marks.at(-1)).toBeNull();
  });

  test('own use at night stays own use', () => {
    const ahead = medians(taught(pvOptions, 7 * DAY, plant), 7 * DAY);
    expect(ahead[1]).toBeCloseTo(-2, 6);
    expect(Math.min(...ahead)).toBeGreaterThan(-10);
  });
});

test('after one day the shape of the day is known, after a week the weekend', () => {
  const works = (step: number, noise: number): number =>
    (Math.floor(step / DAY) % 7 < 5 && step % DAY >= 7 && step % DAY < 17 ? 5000 : 500) + 100 * noise;
  const first = medians(taught({ kind: 'load' }, DAY, works), DAY);
  expect((first[12] as number) / (first[2] as number)).toBeGreaterThan(5);
  const saturday = medians(taught({ kind: 'load' }, 12 * DAY, works), 12 * DAY);
  expect(saturday[12]).toBeLessThan(2500);
});
