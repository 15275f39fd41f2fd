import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { control, initialControlState } from '../../src/dispatch/control.ts';
import type { ControlInput, ControlLoad, ControlOutput } from '../../src/dispatch/control-types.ts';
import { CONFIG, CONNECTION, type Delivered, type PlantOptions, run, type Tick } from './plant.ts';
import { BATTERY } from './problems.ts';

const STEADY: PlantOptions = { consumptionW: () => 500, generationW: () => 0, positionWh: () => 500 };

function missedWh(delivered: readonly Delivered[]): number[] {
  return delivered.map(({ positionWh, exportedWh }) => exportedWh - (positionWh ?? 0));
}

/** Seconds in a row that a condition holds, at most. */
function longest(ticks: readonly Tick[], holds: (tick: Tick) => boolean): number {
  let most = 0;
  let now = 0;
  for (const tick of ticks) {
    now = holds(tick) ? now + 1 : 0;
    most = Math.max(most, now);
  }
  return most;
}

function setpointsOf(output: ControlOutput): Record<string, number | null> {
  return Object.fromEntries(output.setpoints.map(({ device, control: name, value }) => [`${device}.${name}`, value]));
}

describe('the energy of an interval is what was traded', () => {
  const hour = seededRandom(11);
  const steps = Array.from({ length: 100 }, () => (hour() < 0.5 ? 0 : 2000));
  const clouds = Array.from({ length: 400 }, () => hour());
  const cases: { name: string; options: PlantOptions; within: number }[] = [
    {
      name: 'a step of load',
      options: { ...STEADY, percent: 95, consumptionW: (s) => (s < 400 ? 300 : 2300) },
      within: 2,
    },
    {
      name: 'a ramp of sun',
      options: { ...STEADY, generationW: (s) => 5000 * Math.min(1, (s % 900) / 900) },
      within: 2,
    },
    { name: 'noise', options: { ...STEADY, noise: 0.01, percent: 95, consumptionW: () => 1500 }, within: 2 },
    {
      name: 'steps of 2 kW',
      options: { ...STEADY, noise: 0.01, consumptionW: (s) => 300 + steps[Math.floor(s / 60)]! },
      within: 3,
    },
    {
      name: 'clouds',
      options: { ...STEADY, noise: 0.01, generationW: (s) => 4000 * clouds[Math.floor(s / 20)]! },
      within: 3,
    },
    { name: 'trades that turn', options: { ...STEADY, positionWh: (i) => (i % 2 === 0 ? 700 : -900) }, within: 3 },
  ];
  test.each(cases)('with $name', ({ options, within }) => {
    for (const counterStepWh of [1, 10, 100]) {
      const { delivered } = run(3601, { ...options, config: { ...CONFIG, counterStepWh } });
      expect(delivered).toHaveLength(4);
      for (const missed of missedWh(delivered)) expect(Math.abs(missed)).toBeLessThan(within);
    }
  });

  test('what a battery could not make up later it does early: a surge of sun at the end of an interval does no harm', () => {
    // An interval of sun and clouds shows how far the surplus goes; in the next one the sun comes in its last third, more than the battery can take.
    const generationW = (s: number): number => (s < 900 ? (s % 300 < 150 ? 1500 : 7000) : s < 1500 ? 3000 : 7800);
    const { delivered, ticks } = run(1801, {
      ...STEADY,
      percent: 20,
      consumptionW: () => 300,
      generationW,
      positionWh: (i) => (i === 0 ? 950 : 400),
    });
    expect(Math.abs(missedWh(delivered)[1]!)).toBeLessThan(5);
    // Early, and hardly more: what it gives back is little against what it takes.
    const energies = ticks.slice(900).map(({ batteryW }) => batteryW / 3600);
    const sumOf = (sign: 1 | -1): number => energies.reduce((sum, wh) => sum + Math.max(0, sign * wh), 0);
    expect(sumOf(1)).toBeLessThan(0.03 * sumOf(-1));
  });

  test('a site whose surplus stays within what its batteries reach keeps to the straight line', () => {
    const { ticks } = run(900, { ...STEADY, noise: 0.01, generationW: (s) => 2000 + 500 * Math.sin(s / 40) });
    for (const { gridW } of ticks.slice(200, 880)) expect(Math.abs(gridW + 2000)).toBeLessThan(150);
  });

  test('after a restart in mid-interval, from the counters', () => {
    const { delivered } = run(901, {
      ...STEADY,
      consumptionW: (s) => (s < 300 ? 4000 : 500),
      percent: 90,
      restartAt: 450,
    });
    expect(Math.abs(missedWh(delivered)[0]!)).toBeLessThan(3);
  });

  test('at an interval of 20 s, forty-five times as fast', () => {
    const config = {
      ...CONFIG,
      meterDelayMs: 200,
      batteries: [{ ...CONFIG.batteries[0]!, lagMs: 500 }],
      edgeDelayChainMs: 100,
      edgeRampChainMs: 700,
    };
    const { delivered } = run(3601, {
      ...STEADY,
      config,
      intervalMs: 20_000,
      positionWh: (i) => (i % 4 < 2 ? 10 : -8),
    });
    const sorted = missedWh(delivered)
      .map(Math.abs)
      .sort((a, b) => a - b);
    // The same relative to power as 45 Wh of a whole quarter hour: here a second is a twentieth of the interval.
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(1);
  });
});

describe('set-points are calm', () => {
  test('noise of the meter does not move a battery back and forth', () => {
    const { ticks } = run(600, { ...STEADY, noise: 0.01, consumptionW: () => 3000 });
    const powers = ticks.slice(120, 600).map(({ batteryW }) => batteryW);
    expect(Math.max(...powers) - Math.min(...powers)).toBeLessThan(0.06 * 5000);
  });

  test('a step of load is followed without swinging over', () => {
    const { ticks } = run(600, { ...STEADY, positionWh: () => null, consumptionW: (s) => (s < 300 ? 500 : 2500) });
    const after = ticks.filter(({ second }) => second > 300);
    expect(Math.max(...after.map(({ batteryW }) => batteryW))).toBeLessThan(2500 * 1.03);
    expect(after.find(({ gridW }) => Math.abs(gridW) < 50)!.second).toBeLessThan(312);
  });

  test('a new trade is approached by a ramp after the gateway’s own delay', () => {
    const { ticks } = run(1000, { ...STEADY, positionWh: (i) => (i === 0 ? 0 : 1000) });
    const at = (second: number): number => -ticks[second]!.gridW;
    expect(Math.abs(at(904))).toBeLessThan(100);
    expect(at(920)).toBeGreaterThan(500);
    expect(at(920)).toBeLessThan(3000);
    expect(at(950)).toBeGreaterThan(3800);
  });
});

describe('limits come before everything', () => {
  test.each([
    ['export', { positionWh: (): number => 1250, generationW: (s: number) => (s % 120 < 60 ? 8000 : 2000) }, 3000, 0],
    ['import', { positionWh: (): number => -1250, consumptionW: (s: number) => (s % 120 < 60 ? 4000 : 500) }, 0, 3000],
  ])('an order on %s holds within its response, whatever was traded', (side, options, exportLimitW, importLimitW) => {
    const { ticks } = run(900, {
      ...STEADY,
      ...options,
      noise: 0.01,
      input: (input, second) => ({
        ...input,
        orders:
          second < 100
            ? []
            : [side === 'export' ? { exportLimitW, importLimitW: null } : { exportLimitW: null, importLimitW }],
      }),
    });
    const over = (tick: Tick): boolean => (side === 'export' ? -tick.gridW > exportLimitW : tick.gridW > importLimitW);
    expect(ticks.some((tick) => tick.second < 100 && over(tick))).toBe(true);
    expect(
      longest(
        ticks.filter(({ second }) => second >= 100),
        over,
      ),
    ).toBeLessThanOrEqual(5);
  });

  test('the order’s command leaves in the tick that learns of it', () => {
    const { ticks } = run(302, {
      ...STEADY,
      positionWh: () => 1000,
      input: (input, second) => ({ ...input, orders: second < 300 ? [] : [{ exportLimitW: 0, importLimitW: null }] }),
    });
    expect(setpointsOf(ticks[299]!.output)['inverter.batterySetpointW']).toBeGreaterThan(4000);
    expect(setpointsOf(ticks[300]!.output)['inverter.batterySetpointW']).toBeLessThanOrEqual(500);
  });

  test('when the operator cannot be heard the default limits hold', () => {
    const { ticks } = run(300, {
      ...STEADY,
      generationW: () => 8000,
      percent: 99.9,
      positionWh: () => 2000,
      input: (input) => ({ ...input, operatorReachable: false }),
    });
    expect(longest(ticks.slice(30), ({ gridW }) => -gridW > CONNECTION.defaultExportLimitW)).toBe(0);
    expect(ticks[200]!.output.curtailing).toBe(true);
    expect(ticks[200]!.output.explanation).toContain('operator not heard: default limits');
  });

  test('generation is held back last, and let go when there is room again', () => {
    const { ticks } = run(900, {
      ...STEADY,
      positionWh: () => null,
      generationW: () => 8000,
      consumptionW: (s) => (s < 450 ? 500 : 6000),
      input: (input) => ({ ...input, orders: [{ exportLimitW: 1000, importLimitW: null }] }),
    });
    const before = ticks[400]!;
    expect(before.batteryW).toBeLessThan(-4900);
    expect(before.generationW).toBeLessThan(6600);
    expect(before.generationW).toBeGreaterThan(6200);
    expect(ticks[600]!.generationW).toBeGreaterThan(7900);
  });

  test('live limits of the battery management hold, also while they are not known', () => {
    const limited = (limit: ControlInput['batteries'][0]['dischargePowerMaxW']) => (input: ControlInput) => ({
      ...input,
      batteries: input.batteries.map((battery) => ({ ...battery, dischargePowerMaxW: limit })),
    });
    const told = run(100, {
      ...STEADY,
      positionWh: () => 1000,
      input: (input) => limited({ value: 700, quality: 'good', monotonicMs: input.monotonicMs })(input),
    });
    expect(setpointsOf(told.ticks[99]!.output)['inverter.batterySetpointW']).toBe(700);
    const unknown = run(100, {
      ...STEADY,
      positionWh: () => 1000,
      input: limited({ value: null, quality: 'invalid', monotonicMs: 0 }),
    });
    expect(setpointsOf(unknown.ticks[99]!.output)['inverter.batterySetpointW']).toBe(0);
  });

  test('the reserve is not traded', () => {
    const { percent } = run(900, { ...STEADY, percent: 11, positionWh: () => 1000 });
    expect(percent).toBeGreaterThan(9.9);
    expect(percent).toBeLessThan(10.1);
  });

  test('one phase over its limit moves the battery although the sum is within', () => {
    const phases = (input: ControlInput): ControlInput => {
      const good = (value: number) => ({ value, quality: 'good' as const, monotonicMs: input.monotonicMs });
      return {
        ...input,
        gridPhasePowersW: new Map([
          ['L1', good(9500)],
          ['L2', good(0)],
          ['L3', good(0)],
        ]),
      };
    };
    const { ticks } = run(3, { ...STEADY, positionWh: () => -2500, consumptionW: () => 9500, input: phases });
    // 9500 W on L1, 7920 W allowed: three times the excess from a battery that feeds all three.
    expect(setpointsOf(ticks[0]!.output)['inverter.batterySetpointW']).toBeCloseTo(3 * (9500 - 7920), -1);
  });

  const PUMP: ControlLoad = {
    id: 'pump',
    device: 'relay',
    control: 'switch1',
    sgReady: null,
    ratedW: 3000,
    phases: ['L1'],
    minOnMs: 300_000,
    minOffMs: 120_000,
    sheddable: true,
  };

  test('a load is shed for the import limit, and comes back when there is room and it has rested', () => {
    const { ticks } = run(900, {
      ...STEADY,
      config: { ...CONFIG, batteries: [], loads: [PUMP], connection: { ...CONNECTION, importLimitW: 5000 } },
      consumptionW: (s) => (s >= 200 && s < 250 ? 3500 : 500),
      positionWh: () => null,
      input: (input) => ({ ...input, loadPowersW: new Map([['pump', 3000]]) }),
    });
    expect(ticks[100]!.gridW).toBe(3500);
    expect(longest(ticks, ({ gridW }) => gridW > 5000)).toBeLessThanOrEqual(3);
    const switches = ticks.map(({ output }) => setpointsOf(output)['relay.switch1']);
    expect(switches[230]).toBe(0);
    expect(switches.indexOf(1, 230) - switches.indexOf(0, 150)).toBeGreaterThanOrEqual(120);
    expect(switches[600]).toBe(1);
  });

  const HEAT: ControlLoad = {
    ...PUMP,
    sgReady: { block: 'switch2', recommendedW: 1500 },
    minOnMs: 600_000,
    minOffMs: 600_000,
  };
  /** SG-ready states `block:recommend` by second. */
  const statesOf = (ticks: readonly Tick[]) =>
    ticks.map(({ output }) => {
      const set = setpointsOf(output);
      return `${set['relay.switch2']}:${set['relay.switch1']}`;
    });
  const heated = (powerW: (second: number) => number, more: Partial<PlantOptions> = {}) =>
    run(3000, {
      ...STEADY,
      config: { ...CONFIG, batteries: [], loads: [HEAT] },
      positionWh: () => null,
      input: (input, second) => ({ ...input, loadPowersW: new Map([['pump', powerW(second)]]) }),
      ...more,
    }).ticks;

  test('a heat pump stays in each SG-ready state for its least time, and no contact closes alone that would block it', () => {
    // Wanted: 2, forced after 100 s, recommended after 200 s, normal after 1000 s.
    const ticks = heated((s) => (s < 100 ? 0 : s < 200 ? 3000 : s < 1000 ? 1500 : 0));
    const states = statesOf(ticks);
    const changes = states.flatMap((state, s) => (s > 0 && state !== states[s - 1] ? [`${s} ${state}`] : []));
    expect(changes).toEqual(['100 1:1', '700 0:1', '1300 0:0']);
    for (const { output } of ticks) {
      const order = output.setpoints.filter(({ device }) => device === 'relay').map(({ control }) => control);
      const closes = setpointsOf(output)['relay.switch1'] === 1;
      expect(order).toEqual(closes ? ['switch1', 'switch2'] : ['switch2', 'switch1']);
    }
  });

  test('the owner’s word: on is SG-ready state 4; off is state 2, and it is said why it is not blocked', () => {
    const word = (mode: 'on' | 'off') =>
      heated(() => 1500, {
        input: (input) => ({
          ...input,
          loadPowersW: new Map([['pump', 1500]]),
          overrides: [{ id: 'pump', mode }],
        }),
      });
    expect(statesOf(word('on')).at(-1)).toBe('1:1');
    const off = word('off');
    expect(new Set(statesOf(off))).toEqual(new Set(['0:0']));
    expect(off[0]!.output.explanation).toMatch(/pump: off is SG-ready state 2.*never blocked/);
  });

  test('off the grid both contacts are let go, and the connection comes before least times', () => {
    const [last] = heated(() => 3000, { input: (input) => ({ ...input, offGrid: true }) }).slice(-1);
    expect(last!.output.setpoints.filter(({ device }) => device === 'relay').map(({ value }) => value)).toEqual([
      null,
      null,
    ]);
    const shed = heated(() => 3000, {
      config: { ...CONFIG, batteries: [], loads: [HEAT], connection: { ...CONNECTION, importLimitW: 5000 } },
      consumptionW: (s) => (s >= 200 && s < 250 ? 3500 : 500),
    });
    expect(statesOf(shed)[150]).toBe('1:1');
    expect(statesOf(shed)[230]).toBe('0:0');
  });

  test('a planned load that would break the limit does not start', () => {
    const { ticks } = run(60, {
      ...STEADY,
      config: { ...CONFIG, batteries: [], loads: [PUMP], connection: { ...CONNECTION, importLimitW: 3200 } },
      positionWh: () => null,
      input: (input) => ({ ...input, loadPowersW: new Map([['pump', 3000]]) }),
    });
    expect(setpointsOf(ticks[50]!.output)['relay.switch1']).toBe(0);
  });
});

describe('what goes wrong has a defined end', () => {
  test('a stale meter: batteries rest, generation is held as if nothing were consumed', () => {
    const { ticks } = run(60, {
      ...STEADY,
      generationW: () => 8000,
      input: (input, second) =>
        second < 30
          ? input
          : {
              ...input,
              orders: [{ exportLimitW: 4000, importLimitW: null }],
              gridPowerW: { ...input.gridPowerW, monotonicMs: 24_000 },
            },
    });
    const { output } = ticks[40]!;
    expect(output.mode).toBe('blind');
    expect(setpointsOf(output)).toEqual({ 'inverter.batterySetpointW': 0, 'roof.generationLimitW': 3960 });
    expect(output.explanation).toContain('stale');
  });

  test('a meter that misses an answer is not relied on: export holds although consumption falls while it is silent', () => {
    const connection = { ...CONNECTION, exportLimitW: 6000 };
    let before: ControlInput | null = null;
    const { ticks } = run(120, {
      ...STEADY,
      config: { ...CONFIG, connection },
      generationW: (s) => (s < 62 ? 3000 : 6500),
      consumptionW: (s) => (s < 61 ? 4000 : 300),
      percent: 60,
      positionWh: () => 1400,
      input: (input, second) => {
        if (second <= 60) before = input;
        return { ...input, gridPowerW: before?.gridPowerW ?? input.gridPowerW };
      },
    });
    expect(ticks[60]!.gridW).toBeLessThan(-3900);
    expect(longest(ticks, ({ gridW }) => -gridW > connection.exportLimitW)).toBeLessThanOrEqual(5);
  });

  test('a battery that does not answer is left alone, and said', () => {
    const { ticks } = run(30, { ...STEADY, input: (input) => ({ ...input, batteries: [] }) });
    expect(setpointsOf(ticks[20]!.output)).toEqual({ 'roof.generationLimitW': null });
    expect(ticks[20]!.output.explanation).toContain('battery does not answer');
  });

  test.each([
    ['no trade known', { positionWh: null }],
    ['a clock that is not proven', { clockSynchronised: false }],
  ])('%s: own use, and nothing of the battery leaves', (_name, change) => {
    const { ticks } = run(120, { ...STEADY, consumptionW: () => 1500, input: (input) => ({ ...input, ...change }) });
    const last = ticks.at(-1)!;
    expect(last.output.mode).toBe('own-use');
    expect(Math.abs(last.gridW)).toBeLessThan(30);
  });

  test('off the grid every device is let go', () => {
    const { ticks } = run(20, { ...STEADY, input: (input, second) => ({ ...input, offGrid: second >= 10 }) });
    expect(setpointsOf(ticks[15]!.output)).toEqual({
      'inverter.batterySetpointW': null,
      'roof.generationLimitW': null,
    });
    expect(ticks[15]!.output.mode).toBe('off-grid');
  });
});

describe('economy and the owner', () => {
  const told = (change: Partial<ControlInput>, percent = 50): number | null => {
    const { ticks } = run(30, { ...STEADY, percent, input: (input) => ({ ...input, ...change }) });
    return setpointsOf(ticks.at(-1)!.output)['inverter.batterySetpointW']!;
  };
  const worth = (valueUcPerWh: number) => ({ storedValue: [{ upToWh: 10_000, valueUcPerWh }] });

  test('a trade is followed only while missing it costs more than the battery', () => {
    expect(told({ ...worth(15_000), shortfallUcPerWh: 40_000 })).toBeGreaterThan(2000);
    expect(told({ ...worth(39_000), shortfallUcPerWh: 40_000 })).toBe(0);
  });

  test('a price above the value of what is stored sells it, one far below fills the battery', () => {
    expect(told({ ...worth(15_000), surplusUcPerWh: 30_000, shortfallUcPerWh: 31_000 })).toBe(5000);
    expect(told({ ...worth(35_000), surplusUcPerWh: 5000, shortfallUcPerWh: 10_000 })).toBe(-5000);
  });

  test('the owner’s word holds, within limits', () => {
    expect(told({ overrides: [{ id: 'battery', mode: 'hold' }] })).toBe(0);
    expect(told({ overrides: [{ id: 'battery', mode: 'charge-to', percent: 80 }] })).toBe(-5000);
    expect(told({ overrides: [{ id: 'battery', mode: 'charge-to', percent: 40 }] })).toBe(0);
  });

  test('two batteries: the fuller one gives more, a small need runs one alone', () => {
    const second = { ...CONFIG.batteries[0]!, device: 'second', battery: { ...BATTERY, id: 'second' } };
    const config = { ...CONFIG, batteries: [CONFIG.batteries[0]!, second] };
    const share = (positionWh: number, percents: readonly number[]) => {
      const good = (value: number) => ({ value, quality: 'good' as const, monotonicMs: 0 });
      const batteries = ['battery', 'second'].map((id, i) => ({
        id,
        powerW: good(0),
        stateOfChargePercent: good(percents[i]!),
        chargePowerMaxW: null,
        dischargePowerMaxW: null,
      }));
      const { ticks } = run(1, { ...STEADY, config, input: (input) => ({ ...input, positionWh, batteries }) });
      return setpointsOf(ticks[0]!.output);
    };
    const large = share(1500, [80, 45]);
    expect(large['inverter.batterySetpointW']! / large['second.batterySetpointW']!).toBeCloseTo(2, 1);
    expect(share(50, [45, 80])).toMatchObject({ 'inverter.batterySetpointW': 0, 'second.batterySetpointW': 700 });
  });

  test('the same state and input give the same output', () => {
    const { ticks } = run(5, STEADY);
    const again = run(5, STEADY);
    expect(again.ticks.at(-1)!.output).toEqual(ticks.at(-1)!.output);
    expect(JSON.parse(JSON.stringify(ticks.at(-1)!.output.state))).toEqual(ticks.at(-1)!.output.state);
    expect(control).toBeTypeOf('function');
    expect(initialControlState().interval).toBeNull();
  });
});
