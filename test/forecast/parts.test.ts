import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { createCalendar } from '../../src/forecast/calendar.ts';
import { calibrate, learnCombination, mix, newCombination } from '../../src/forecast/combine.ts';
import { History } from '../../src/forecast/history.ts';
import { fitLinear, predictLinear } from '../../src/forecast/linear.ts';
import { weightedQuantiles } from '../../src/forecast/quantiles.ts';
import { readSeries } from '../../src/forecast/series-csv.ts';
import { clearSky, sunCosine } from '../../src/forecast/sun.ts';
import { binRows, fitBoosted as growing, predictBoosted } from '../../src/forecast/trees.ts';
import { QUANTILES } from '../../src/forecast/types.ts';
import { finish } from '../../src/forecast/work.ts';

const fitBoosted = (rows: readonly Float64Array[], values: number[], options: Parameters<typeof growing>[2]) =>
  finish(growing(finish(binRows(rows)), values, options));

test('local time follows the zone, its summer time and its holidays', () => {
  const berlin = createCalendar('Europe/Berlin', ['2026-05-01']);
  expect(berlin(Date.UTC(2026, 0, 5, 23, 30))).toMatchObject({ minute: 30, weekday: 2, free: false });
  expect(berlin(Date.UTC(2026, 6, 5, 21, 45))).toMatchObject({ minute: 23 * 60 + 45, weekday: 0, free: true });
  expect(berlin(Date.UTC(2026, 4, 1, 10))).toMatchObject({ weekday: 0, free: true });
  expect(createCalendar(undefined)(0)).toMatchObject({ day: 0, minute: 0, weekday: 4 });
  expect(() => createCalendar('Mars/Olympus')).toThrow('unknown time zone');
});

test('the sun stands where almanacs say', () => {
  // Greenwich at the March equinox: overhead at the equator at noon, give or take the equation of time.
  expect(sunCosine(Date.UTC(2026, 2, 20, 12, 7), 0, 0)).toBeGreaterThan(0.999);
  // Boulder, midsummer: 40.0 N, declination 23.4: the noon height is 73.4 degrees.
  expect(sunCosine(Date.UTC(2026, 5, 21, 19, 2), 40, -105.27)).toBeCloseTo(Math.sin((73.4 * Math.PI) / 180), 2);
  expect(clearSky(Date.UTC(2026, 5, 21, 7), 40, -105.27)).toBe(0);
  expect(clearSky(Date.UTC(2026, 5, 21, 19), 40, -105.27)).toBeGreaterThan(900);
});

test('property: weighted quantiles rise, stay within the values, and match a dumb count', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: 0, max: 4 })), { minLength: 1 }),
      (pairs) => {
        const values = pairs.map(([value]) => value);
        const weights = pairs.map(([, weight]) => weight);
        const result = weightedQuantiles(values, weights);
        const known = values.filter((_, i) => (weights[i] as number) > 0);
        if (known.length === 0) {
          expect(result).toBeNull();
          return;
        }
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        result?.forEach((value, q) => {
          if (q > 0) expect(value).toBeGreaterThanOrEqual(result[q - 1] as number);
          const below = values.reduce((sum, other, i) => sum + (other < value ? (weights[i] as number) : 0), 0);
          const upTo = values.reduce((sum, other, i) => sum + (other <= value ? (weights[i] as number) : 0), 0);
          const wanted = (QUANTILES[q] as number) * total;
          // Within the weight of one value of where it should be.
          expect(below - 4).toBeLessThanOrEqual(wanted);
          expect(upTo + 4).toBeGreaterThanOrEqual(wanted);
        });
      },
    ),
  );
});

test('property: the ring of history is the tail of a plain list', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.option(fc.integer())), { maxLength: 60 }),
      (pushes) => {
        const history = new History(16);
        const plain = new Map<number, number>();
        let step = 100;
        for (const [jump, value] of pushes) {
          step += jump;
          history.push(step, value ?? Number.NaN);
          if (value !== null) plain.set(step, value);
        }
        for (let at = 90; at <= step + 5; at++) {
          const kept = at > step - 16 ? (plain.get(at) ?? Number.NaN) : Number.NaN;
          expect(history.at(at)).toEqual(kept);
          expect(History.fromJson(16, history.toJson()).at(at)).toEqual(kept);
        }
      },
    ),
  );
});

test('ridge regression finds a line, also where inputs are missing', () => {
  const random = seededRandom(3);
  const rows = Array.from({ length: 400 }, () =>
    Float64Array.from([random() * 10, random() < 0.1 ? Number.NaN : random()]),
  );
  const values = rows.map(([x = 0, y = 0]) => 5 + 3 * x + (Number.isNaN(y) ? 0.5 : y) * 2);
  const model = finish(
    fitLinear(
      rows,
      values,
      rows.map(() => 1),
      1e-6,
    ),
  );
  expect(model === null ? null : predictLinear(model, Float64Array.from([4, 0.25]))).toBeCloseTo(17.5, 1);
  expect(finish(fitLinear([], [], [], 1))).toBeNull();
});

describe('boosted quantiles', () => {
  const random = seededRandom(5);
  const rows = Array.from({ length: 3000 }, () =>
    Float64Array.from([random() * 4, random(), random() < 0.2 ? Number.NaN : 1]),
  );
  // The spread grows with the first input; a missing third input lifts the level.
  const values = rows.map(
    ([x = 0, , z = 0]) => (x > 2 ? 10 : 0) + (Number.isNaN(z) ? 20 : 0) + (random() - 0.5) * (1 + x) * 2,
  );
  const model = fitBoosted(rows, values, {
    trees: 80,
    leaves: 12,
    rate: 0.15,
    minLeaf: 20,
    rowShare: 0.7,
    featureShare: 1,
    seed: 1,
  });

  test('level, jump and missing input', () => {
    const median = (row: number[]): number => predictBoosted(model, Float64Array.from(row))[3] as number;
    expect(median([1, 0.5, 1])).toBeCloseTo(0, 0);
    expect(Math.abs(median([3, 0.5, 1]) - 10)).toBeLessThan(1);
    expect(Math.abs(median([1, 0.5, Number.NaN]) - 20)).toBeLessThan(2);
  });

  test('the band is as wide as the noise there', () => {
    const width = (x: number): number => {
      const quantiles = predictBoosted(model, Float64Array.from([x, 0.5, 1]));
      return (quantiles[5] as number) - (quantiles[1] as number);
    };
    // 80 % of a uniform noise of width 2(1+x).
    expect(width(0.2) / (0.8 * 2 * 1.2)).toBeGreaterThan(0.6);
    expect(width(3.8) / width(0.2)).toBeGreaterThan(2);
  });

  test('the same seed gives the same trees', () => {
    const options = { trees: 5, leaves: 4, rate: 0.1, minLeaf: 20, rowShare: 0.5, featureShare: 0.5, seed: 9 };
    expect(fitBoosted(rows, values, options)).toEqual(fitBoosted(rows, values, options));
  });
});

describe('combination', () => {
  const trust = { priors: [1, 1], kept: 0.03 };
  const wide = [-30, -20, -10, 0, 10, 20, 30];
  const shifted = wide.map((value) => value + 40);

  test('weight goes to the expert that is right, and comes back', () => {
    const state = newCombination(2);
    const spread = { log: 0 };
    const random = seededRandom(2);
    const noise = (): number => (random() - 0.5) * 40;
    for (let i = 0; i < 300; i++) learnCombination(state, spread, [wide, shifted], trust, wide, noise(), 0.99, 1);
    expect(Math.abs(mix(state, [wide, shifted], trust)[3] as number)).toBeLessThan(4);
    for (let i = 0; i < 900; i++) learnCombination(state, spread, [wide, shifted], trust, wide, 40 + noise(), 0.99, 1);
    expect(Math.abs((mix(state, [wide, shifted], trust)[3] as number) - 40)).toBeLessThan(4);
  });

  test('an expert without an opinion is left out', () => {
    const mixed = mix(newCombination(2), [null, wide], trust);
    expect(mixed.map((value) => Number(value.toPrecision(12)))).toEqual(wide);
  });

  test('bands learn to cover 80 %, from too narrow and from too wide', () => {
    for (const size of [0.4, 2.5]) {
      const state = newCombination(1);
      const spread = { log: 0 };
      const random = seededRandom(4);
      const expert = [-0.45, -0.4, -0.25, 0, 0.25, 0.4, 0.45].map((value) => value * size);
      let inside = 0;
      for (let i = 0; i < 3000; i++) {
        const actual = random() - 0.5;
        const band = calibrate(state, spread, mix(state, [expert], { ...trust, priors: [1] }));
        if (i >= 1000 && actual >= (band[1] as number) && actual <= (band[5] as number)) inside++;
        learnCombination(state, spread, [expert], { ...trust, priors: [1] }, band, actual, 0.99, 1);
      }
      expect(inside / 2000).toBeGreaterThan(0.77);
      expect(inside / 2000).toBeLessThan(0.83);
    }
  });
});

describe('series as CSV', () => {
  const read = (text: string, stepMin = 15, column?: string) => readSeries(text, 'a.csv', stepMin * 60_000, column);

  test('energies become mean powers, finer steps are averaged, half steps are gaps', () => {
    const text = [
      'time,load_wh',
      '2026-01-01T00:00:00Z,100',
      '2026-01-01T00:15:00Z,300',
      '2026-01-01T00:30:00Z,50',
      '2026-01-01T01:00:00Z,10',
      '2026-01-01T01:15:00Z,30',
    ].join('\n');
    expect(read(text, 30).samples).toEqual([
      { startMs: Date.UTC(2026, 0, 1), powerW: 800 },
      { startMs: Date.UTC(2026, 0, 1, 1), powerW: 80 },
    ]);
  });

  const at = (minutes: number): string => new Date(Date.UTC(2026, 0, 1) + minutes * 60_000).toISOString();
  const rows = (of: readonly (readonly [number, number | string])[]): string =>
    `time,x_w\n${of.map(([minutes, value]) => `${at(minutes)},${value}`).join('\n')}\n`;
  const powers = (text: string, stepMin = 15): (readonly [number, number | null])[] =>
    read(text, stepMin).samples.map(({ startMs, powerW }) => [(startMs - Date.UTC(2026, 0, 1)) / 60_000, powerW]);

  test('rows in any order; twice the same is once, twice something else is nothing', () => {
    const text = rows([
      [45, 4],
      [0, 1],
      [30, 3],
      [15, 2],
      [30, 3],
      [15, 7],
    ]);
    expect(powers(text)).toEqual([
      [0, 1],
      [30, 3],
      [45, 4],
    ]);
    expect(read(text).contradictions).toBe(1);
  });

  test('a stray row makes a series no finer, and half of a step is no step', () => {
    expect(
      powers(
        rows([
          [0, 1],
          [15, 2],
          [22, 9],
          [30, 3],
          [45, 4],
        ]),
      ),
    ).toEqual([
      [0, 1],
      [15, (2 * 7 + 9 * 8) / 15],
      [30, 3],
      [45, 4],
    ]);
    expect(
      powers(
        rows([
          [0, 1],
          [5, 2],
          [10, 6],
          [15, 1],
          [20, 'nan'],
          [25, 1],
          [30, 2],
          [35, 2],
          [40, 2],
        ]),
      ),
    ).toEqual([
      [0, 3],
      [30, 2],
    ]);
  });

  test('ten minutes into a quarter of an hour: each row for as long as it reaches', () => {
    expect(
      powers(
        rows([
          [0, 3],
          [10, 6],
          [20, 9],
        ]),
      ),
    ).toEqual([
      [0, 4],
      [15, 8],
    ]);
  });

  test('stamps as other programs write them', () => {
    const stamps = [
      '2026-01-01T00:00Z',
      '2026-01-01 00:15:00',
      '2026-01-01 01:30:00+01:00',
      '"2026-01-01T00:45:00.000+0000"',
    ];
    const text = `\uFEFF"time",x_w\r\n${stamps.map((stamp, i) => `${stamp},${i}`).join('\r\n')}`;
    expect(powers(text)).toEqual([
      [0, 0],
      [15, 1],
      [30, 2],
      [45, 3],
    ]);
  });

  const wrong: [string, string, string][] = [
    ['no time', 'when,x_w\n', 'a.csv:1: no column "time"'],
    ['no value column', 'time,x\n', 'a.csv:1: no column that ends in'],
    ['no time of day', 'time,x_w\n2026-01-01,1\n', 'a.csv:2: not a time'],
    ['no day', 'time,x_w\n2026-13-01T00:00Z,1\n', 'a.csv:2: not a time'],
    ['no number', 'time,x_w\n2026-01-01T00:00:00Z,one\n', 'a.csv:2: not a number'],
    ['nothing', 'time,x_w\n', 'fewer than two values'],
    ['too coarse', 'time,x_w\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,1\n', 'longer than --step'],
  ];
  for (const [name, text, message] of wrong) {
    test(name, () => {
      expect(() => read(text)).toThrow(message);
    });
  }
});
