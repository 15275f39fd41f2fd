import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stepOf } from '../../src/metering/channel.ts';
import { createMeter } from '../../src/metering/meter.ts';
import type { ChannelSpec, MeteredInterval, MeterReading, MeterSpec } from '../../src/metering/types.ts';

const INTERVAL = 900_000;
const START = 1_800_000 * INTERVAL;
const counter: ChannelSpec = { source: 'counter', resolutionWh: 1, side: 'positive' };
const grid: MeterSpec = {
  intervalMs: INTERVAL,
  channels: { export: { ...counter, side: 'negative' }, import: counter },
  powerMaxW: 20_000,
  measuredWithinMs: 60_000,
  gapMs: 600_000,
};
const load: MeterSpec = { ...grid, channels: { import: counter } };

function reading(atMs: number, importWh: number | null, powerW: number | null = null): MeterReading {
  return { atMs: START + atMs, countersWh: { import: importWh }, powerW };
}

function feedAll(spec: MeterSpec, readings: readonly MeterReading[]): MeteredInterval[] {
  const meter = createMeter(spec);
  return readings.flatMap((one) => meter.feed(one));
}

/** Readings each `everyMs` of a counter that follows `truth`, for `hours`. */
function follow(truth: (atMs: number) => number, everyMs: number, hours: number): MeterReading[] {
  const readings: MeterReading[] = [];
  for (let atMs = 0; atMs <= hours * 3_600_000; atMs += everyMs) readings.push(reading(atMs, truth(atMs)));
  return readings;
}

describe('edges', () => {
  test('readings on the edges give the counters as they are', () => {
    const [interval] = feedAll(load, [reading(0, 1000), reading(INTERVAL, 1250)]);
    expect(interval).toMatchObject({
      interval: 1_800_000,
      channels: { import: { startWh: 1000, endWh: 1250 } },
      uncertaintyWh: 1,
      quality: 'measured',
      marks: [],
    });
  });

  test('without powers the rise over an edge is shared by time', () => {
    const [interval] = feedAll(load, [reading(-30_000, 1000), reading(30_000, 1100), reading(INTERVAL, 1300)]);
    expect(interval?.channels.import).toEqual({ startWh: 1050, endWh: 1300 });
    // 50 Wh either way at the start, half a step at both ends.
    expect(interval?.uncertaintyWh).toBe(51);
  });

  test('powers shape the share, the counters keep the sum', () => {
    const powers = [
      reading(-30_000, 1000, 0),
      reading(-1, null, 0),
      reading(0, null, 6000),
      reading(30_000, 1100, 6000),
      reading(INTERVAL, 1300),
    ];
    const [interval] = feedAll(load, powers);
    expect(interval?.channels.import).toEqual({ startWh: 1000, endWh: 1300 });
    expect(interval?.uncertaintyWh).toBeLessThanOrEqual(3);
  });

  test('readings far apart are interpolated, farther apart a gap', () => {
    const between = (spanMs: number) =>
      feedAll(load, [reading(0, 0), reading(INTERVAL - spanMs / 2, 100), reading(INTERVAL + spanMs / 2, 120)])[0];
    expect(between(40_000)?.quality).toBe('measured');
    expect(between(400_000)?.quality).toBe('interpolated');
    expect(between(700_000)).toMatchObject({ quality: 'gap', marks: ['gap'] });
  });

  test('an outage over several intervals: the sum is kept, each is marked', () => {
    const intervals = feedAll(load, [reading(0, 0), reading(60_000, 10), reading(INTERVAL * 3 + 60_000, 910)]);
    expect(intervals.map(({ quality }) => quality)).toEqual(['gap', 'gap', 'gap']);
    expect(intervals[2]?.channels.import?.endWh).toBe(890);
    expect(intervals.every(({ uncertaintyWh }) => uncertaintyWh >= 300)).toBe(true);
  });

  test('an interval that began before the first reading is not given out', () => {
    const intervals = feedAll(load, [reading(1, 5), reading(INTERVAL, 10), reading(2 * INTERVAL, 30)]);
    expect(intervals.map(({ interval }) => interval)).toEqual([1_800_001]);
  });

  test('readings out of order and missing counters change nothing', () => {
    const meter = createMeter(load);
    meter.feed(reading(0, 100));
    expect(meter.feed(reading(-5, 900))).toEqual([]);
    expect(meter.feed(reading(INTERVAL, null))).toEqual([]);
    expect(meter.feed(reading(INTERVAL + 1000, 200))).toHaveLength(1);
  });
});

describe('registers', () => {
  test('the step of a float32 kWh register grows with its value', () => {
    const spec: ChannelSpec = { ...counter, float32UnitWh: 1000 };
    expect(stepOf(spec, 1_000)).toBe(1);
    expect(stepOf(spec, 65_536_000)).toBe(7.8125);
    expect(stepOf(spec, 131_072_000)).toBe(15.625);
  });

  test('a float32 register says how little it knows', () => {
    const coarse: MeterSpec = { ...load, channels: { import: { ...counter, float32UnitWh: 1000 } } };
    const shown = (wh: number) => Math.fround(wh / 1000) * 1000;
    const [interval] = feedAll(coarse, [reading(0, shown(70_000_000)), reading(INTERVAL, shown(70_000_100))]);
    expect(interval?.uncertaintyWh).toBeGreaterThanOrEqual(8);
    expect(interval?.uncertaintyWh).toBeLessThanOrEqual(9);
  });

  test('an idle channel adds no uncertainty', () => {
    const readings = [-60_000, 0, INTERVAL].map((atMs) => ({
      atMs: START + atMs,
      countersWh: { import: 1000 + (atMs + 60_000) / 1000, export: 500 },
      powerW: 3600,
    }));
    expect(feedAll(grid, readings)[0]?.uncertaintyWh).toBe(1);
  });

  test('rollover goes on above', () => {
    const rolling: MeterSpec = { ...load, channels: { import: { ...counter, rolloverWh: 10_000 } } };
    const [interval] = feedAll(rolling, [reading(0, 9_900), reading(INTERVAL - 1000, 9_990), reading(INTERVAL, 0)]);
    expect(interval).toMatchObject({ channels: { import: { startWh: 9_900, endWh: 10_000 } }, marks: ['rollover'] });
  });

  test('a bounce to zero is ignored', () => {
    const readings = follow((atMs) => 187_710 + atMs / 10_000, 10_000, 0.25);
    readings[20] = reading(200_000, 0);
    readings[21] = reading(210_000, 0);
    const [interval] = feedAll(load, readings);
    expect(interval).toMatchObject({ channels: { import: { startWh: 187_710, endWh: 187_800 } }, marks: ['bounce'] });
  });

  test('a reset is believed after three readings; what flowed meanwhile is not invented', () => {
    const truth = (atMs: number) => (atMs < 400_000 ? 5_000 + atMs / 10_000 : (atMs - 400_000) / 10_000);
    const [first, second] = feedAll(load, follow(truth, 10_000, 0.5));
    expect(first?.marks).toEqual(['reset']);
    expect(first?.quality).toBe('gap');
    expect((first?.channels.import?.endWh ?? 0) - (first?.channels.import?.startWh ?? 0)).toBe(89);
    expect(second?.channels.import?.startWh).toBe(first?.channels.import?.endWh);
    expect(second).toMatchObject({ quality: 'measured', marks: [] });
  });

  test('a flicker of one step counts nothing twice', () => {
    const readings = follow((atMs) => 1000 + ((atMs / 10_000) % 2), 10_000, 0.25);
    expect(feedAll(load, readings)[0]?.channels.import).toEqual({ startWh: 1000, endWh: 1001 });
  });

  test('a device with powers only: their integral, nothing over a gap', () => {
    const spec: MeterSpec = { ...load, channels: { battery: { ...counter, source: 'power', resolutionWh: 0 } } };
    const powers = (fromMs: number, toMs: number): MeterReading[] =>
      Array.from({ length: (toMs - fromMs) / 10_000 + 1 }, (_, i) => reading(fromMs + i * 10_000, null, 3600));
    const steady = feedAll(spec, powers(0, INTERVAL));
    expect(steady[0]).toMatchObject({ channels: { battery: { startWh: 0, endWh: 900 } }, quality: 'interpolated' });
    const broken = feedAll(spec, [...powers(0, 100_000), ...powers(800_000, INTERVAL)]);
    expect(broken[0]).toMatchObject({
      channels: { battery: { startWh: 0, endWh: 200 } },
      quality: 'gap',
      marks: ['gap'],
    });
    expect(broken[0]?.uncertaintyWh).toBeGreaterThanOrEqual(3888);
  });
});

test('curtailed marks the interval of the reading', () => {
  const intervals = feedAll(load, [
    reading(0, 0),
    { ...reading(60_000, 1), curtailed: true },
    reading(INTERVAL, 20),
    reading(2 * INTERVAL, 40),
  ]);
  expect(intervals.map(({ curtailed }) => curtailed)).toEqual([true, false]);
});

test('property: intervals telescope, hold the truth within their uncertainty, and survive a restart anywhere', () => {
  const plan = fc.record({
    gapsMs: fc.array(fc.integer({ min: 200, max: 240_000 }), { minLength: 5, maxLength: 80 }),
    powersW: fc.array(fc.integer({ min: -20_000, max: 20_000 }), { minLength: 8, maxLength: 8 }),
    resolutionWh: fc.constantFrom(1, 10, 100),
    restartAfter: fc.nat(80),
  });
  fc.assert(
    fc.property(plan, ({ gapsMs, powersW, resolutionWh, restartAfter }) => {
      const spec: MeterSpec = {
        ...grid,
        channels: {
          export: { ...counter, side: 'negative', resolutionWh },
          import: { ...counter, resolutionWh },
        },
      };
      const powerAt = (atMs: number) => powersW[Math.floor(atMs / 700_000) % 8] as number;
      const truth = (atMs: number, sign: 1 | -1) => {
        let energyWh = 0;
        for (let from = 0; from < atMs; from += 700_000) {
          energyWh += (Math.max(0, sign * powerAt(from)) * Math.min(700_000, atMs - from)) / 3_600_000;
        }
        return energyWh;
      };
      const shown = (energyWh: number) => Math.floor(energyWh / resolutionWh) * resolutionWh;
      let meter = createMeter(spec);
      const whole = createMeter(spec);
      const intervals: MeteredInterval[] = [];
      let atMs = 0;
      gapsMs.forEach((gapMs, i) => {
        atMs += gapMs;
        const one: MeterReading = {
          atMs: START + atMs,
          countersWh: { import: shown(truth(atMs, 1)), export: shown(truth(atMs, -1)) },
          powerW: powerAt(atMs),
        };
        const given = meter.feed(one);
        expect(given).toEqual(whole.feed(one));
        intervals.push(...given);
        if (i === restartAfter) meter = createMeter(spec, JSON.parse(JSON.stringify(meter.state())));
      });
      intervals.forEach((interval, i) => {
        const before = intervals[i - 1];
        let deliveredWh = 0;
        for (const [name, { startWh, endWh }] of Object.entries(interval.channels)) {
          expect(Number.isInteger(startWh) && Number.isInteger(endWh) && endWh >= startWh).toBe(true);
          if (before !== undefined) expect(startWh).toBe(before.channels[name]?.endWh);
          deliveredWh += name === 'export' ? endWh - startWh : startWh - endWh;
        }
        const [fromMs, toMs] = [interval.startMs - START, interval.endMs - START];
        const trueWh = truth(toMs, -1) - truth(fromMs, -1) - (truth(toMs, 1) - truth(fromMs, 1));
        expect(Math.abs(deliveredWh - trueWh)).toBeLessThanOrEqual(interval.uncertaintyWh + 1e-6);
      });
    }),
    { numRuns: 300 },
  );
});
