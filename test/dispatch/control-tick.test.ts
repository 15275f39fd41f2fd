// Single ticks of control: what a site in a given state is told, value by value. How it goes over time is control.test.ts.

import { describe, expect, test } from 'vitest';
import { control, initialControlState } from '../../src/dispatch/control.ts';
import type {
  ControlConfig,
  ControlGenerator,
  ControlInput,
  ControlLoad,
  ControlOutput,
  ControlState,
  Measured,
} from '../../src/dispatch/control-types.ts';
import type { Phase } from '../../src/site/types.ts';
import { CONFIG, CONNECTION } from './plant.ts';
import { BATTERY } from './problems.ts';

const NOW_MS = 1_000_000;
const good = (value: number): Measured => ({ value, quality: 'good', monotonicMs: NOW_MS });
const phases = (powersW: Readonly<Partial<Record<Phase, number>>>) =>
  new Map(Object.entries(powersW).map(([phase, powerW]) => [phase as Phase, good(powerW)]));
const battery = (id: string, percent: number, powerW = 0): ControlInput['batteries'][number] => ({
  ...{ id, powerW: good(powerW), stateOfChargePercent: good(percent) },
  ...{ chargePowerMaxW: null, dischargePowerMaxW: null },
});

const INPUT: ControlInput = {
  monotonicMs: NOW_MS,
  chainRate: 1,
  interval: { number: 7, chainElapsedMs: 300_000, chainRemainingMs: 600_000 },
  positionWh: null,
  shortfallUcPerWh: 40_000,
  surplusUcPerWh: 2000,
  storedValue: [],
  loadPowersW: new Map(),
  gridPowerW: good(0),
  gridPhasePowersW: new Map(),
  importRiseWh: null,
  exportRiseWh: null,
  batteries: [battery('battery', 50)],
  generatorPowersW: new Map([['roof', good(0)]]),
  loadStates: new Map(),
  orders: [],
  overrides: [],
  operatorReachable: true,
  clockSynchronised: true,
  offGrid: false,
};

function tick(
  change: Partial<ControlInput>,
  config: Partial<ControlConfig> = {},
  state: Partial<ControlState> = {},
): ControlOutput & { readonly told: Readonly<Record<string, number | null>> } {
  const output = control({ ...CONFIG, ...config }, { ...initialControlState(), ...state }, { ...INPUT, ...change });
  const told = Object.fromEntries(
    output.setpoints.map(({ device, control: name, value }) => [`${device}.${name}`, value]),
  );
  return { ...output, told };
}

describe('generation and the limit of a phase (8000 W)', () => {
  const roof = (id: string, on: readonly Phase[], ratedW = 12_000): ControlGenerator => ({
    ...{ id, ratedW, phases: on, curtailable: true },
  });
  const THREE: readonly Phase[] = ['L1', 'L2', 'L3'];
  test.each<[string, readonly ControlGenerator[], Partial<Record<Phase, number>>, readonly (number | null)[]]>([
    ['one phase too much', [roof('a', ['L1'])], { L1: -9500 }, [7500]],
    ['two share the phase', [roof('a', ['L1']), roof('b', ['L1'])], { L1: -9500 }, [8250, 8250]],
    ['on three phases a third of it is on each', [roof('a', THREE)], { L1: -9500, L2: 0, L3: 0 }, [4500]],
    ['the worst phase counts', [roof('a', THREE)], { L1: -8100, L2: -9000, L3: 0 }, [6000]],
    ['the one on another phase is left', [roof('a', ['L1']), roof('b', ['L2'])], { L1: -9500, L2: 0 }, [7500, null]],
    ['import is no matter of generation', [roof('a', ['L1'])], { L1: 9500 }, [null]],
    ['phases that are not told do not limit', [roof('a', ['L1'])], {}, [null]],
  ])('%s', (_name, generators, powersW, expected) => {
    const { told, curtailing } = tick(
      {
        gridPowerW: good(-9500),
        gridPhasePowersW: phases(powersW),
        generatorPowersW: new Map(generators.map(({ id }) => [id, good(9000)])),
        batteries: [],
      },
      { generators, batteries: [] },
    );
    expect(generators.map(({ id }) => told[`${id}.generationLimitW`])).toEqual(expected);
    expect(curtailing).toBe(expected.some((limitW) => limitW !== null));
  });
});

describe('a limit of generation', () => {
  // The roof makes what it may; the site takes `consumptionW`, nothing may be exported, no battery.
  const held = (before: number | undefined, consumptionW: number): number | null | undefined =>
    tick(
      {
        orders: [{ exportLimitW: 0, importLimitW: null }],
        gridPowerW: good(consumptionW - 3000),
        generatorPowersW: new Map([['roof', good(3000)]]),
        batteries: [],
      },
      { batteries: [] },
      before === undefined ? {} : { generationLimitsW: { roof: before } },
    ).told['roof.generationLimitW'];
  /** What meters may be wrong by is kept free. */
  const freeW = (consumptionW: number): number => Math.floor(consumptionW - 0.015 * Math.abs(consumptionW - 3000));

  test.each([
    ['is what the site takes', undefined, 5000, freeW(5000)],
    ['follows a fall at once, however small', freeW(5000), 4995, freeW(4995)],
    ['does not follow a small rise', freeW(5000), 5020, freeW(5000)],
    ['follows a larger one', freeW(5000), 5100, freeW(5100)],
    ['is not begun where the rating does not reach it', undefined, 8200, null],
    ['stays until it is clearly above the rating', 7900, 8200, 8000],
    ['ends there', 7900, 8600, null],
  ])('%s', (_name, before, consumptionW, expected) => {
    expect(held(before, consumptionW)).toBe(expected);
  });

  test('does not rise while too much is exported', () => {
    const { told } = tick(
      {
        orders: [{ exportLimitW: 1000, importLimitW: null }],
        gridPowerW: good(-1500),
        generatorPowersW: new Map([['roof', good(4000)]]),
      },
      {},
      { generationLimitsW: { roof: 4000 } },
    );
    expect(told['roof.generationLimitW']).toBe(4000);
  });
});

describe('the limit of a phase and batteries on it', () => {
  const unit = (id: string, on: readonly Phase[]) => ({
    ...CONFIG.batteries[0]!,
    ...{ battery: { ...BATTERY, id }, device: id, phases: on },
  });
  const moved = (units: readonly ReturnType<typeof unit>[], powersW: Partial<Record<Phase, number>>) => {
    const { told } = tick(
      { gridPhasePowersW: phases(powersW), batteries: units.map(({ device }) => battery(device, 50)) },
      { batteries: units },
    );
    return units.map(({ device }) => told[`${device}.batterySetpointW`]);
  };
  test.each<[string, (readonly Phase[])[], Partial<Record<Phase, number>>, number[]]>([
    ['nothing to do', [['L1']], { L1: 7000 }, [0]],
    ['too much import', [['L1']], { L1: 10_000 }, [2080]],
    ['too much export', [['L1']], { L1: -10_000 }, [-2080]],
    ['the second one helps when the first cannot do it alone', [['L1'], ['L1']], { L1: 15_000 }, [5000, 2080]],
    ['the second one rests when the first can', [['L1'], ['L1']], { L1: 10_000 }, [2080, 0]],
    ['one on another phase does not help', [['L2'], ['L1']], { L1: 10_000, L2: 0 }, [0, 2080]],
  ])('%s', (_name, on, powersW, expected) => {
    expect(
      moved(
        on.map((phase, i) => unit(`b${i}`, phase)),
        powersW,
      ),
    ).toEqual(expected);
  });

  test('a phase that is not known is not held to its limit: the battery does what else is wanted of it', () => {
    const limited = { ...CONNECTION, phaseLimitW: 1000 };
    const units = [unit('battery', ['L1'])];
    const stale = new Map([['L1', { ...good(0), monotonicMs: NOW_MS - 60_000 }]] as const);
    const change = { gridPowerW: good(4000), gridPhasePowersW: stale };
    expect(tick(change, { batteries: units, connection: limited }).told['battery.batterySetpointW']).toBe(4000);
  });
});

describe('near full, empty and the reserve a battery is brought to rest gently', () => {
  test.each([
    ['half a percent above the reserve', 10.5, 8000, 5000],
    ['a quarter above the reserve', 10.25, 8000, 2500],
    ['at the reserve', 10, 8000, 0],
    ['half a percent below full', 99.5, -8000, -5000],
    ['an eighth below full', 99.875, -8000, -1250],
    ['full', 100, -8000, 0],
  ])('%s', (_name, percent, gridW, expected) => {
    const { told } = tick({ gridPowerW: good(gridW), batteries: [battery('battery', percent)] });
    expect(told['inverter.batterySetpointW']).toBe(expected);
  });

  test('the reserve is there for a limit of the connection, what is left when it is empty is not', () => {
    const limited = { ...CONNECTION, phaseLimitW: 5000 };
    const heldTo = (percent: number) =>
      tick(
        { gridPhasePowersW: phases({ L1: 9000 }), batteries: [battery('battery', percent)] },
        { connection: limited },
      ).told['inverter.batterySetpointW'];
    expect([heldTo(5), heldTo(0.25), heldTo(0)]).toEqual([5000, 2500, 0]);
  });
});

describe('the strictest limit of the connection holds', () => {
  // No battery: generation is held by the limit of export, a planned load of 3 kW waits at the one of import.
  const PUMP: ControlLoad = {
    ...{ id: 'pump', device: 'relay', control: 'switch1', sgReady: null, ratedW: 3000, phases: ['L1'] },
    ...{ minOnMs: 0, minOffMs: 0, sheddable: true },
  };
  const exportW = (change: Partial<ControlInput>) =>
    tick(
      { gridPowerW: good(-1), generatorPowersW: new Map([['roof', good(0)]]), batteries: [], ...change },
      {
        batteries: [],
      },
    ).told['roof.generationLimitW'];
  const runsAt = (gridW: number, change: Partial<ControlInput>) =>
    tick(
      { gridPowerW: good(gridW), loadPowersW: new Map([['pump', 3000]]), batteries: [], ...change },
      { batteries: [], loads: [PUMP] },
    ).told['relay.switch1'];
  /** A hundredth is kept free for what the meter gets wrong. */
  const [EXPORT, IMPORT] = [
    { exportLimitW: 3000, importLimitW: null },
    { exportLimitW: null, importLimitW: 6000 },
  ];

  test.each<[string, Partial<ControlInput>, number | null]>([
    ['its own is above the rating', {}, null],
    ['an order', { orders: [EXPORT] }, 2969],
    ['an order on the other side', { orders: [IMPORT] }, null],
    ['the operator is silent', { operatorReachable: false }, 1979],
    [
      'silent after an order that is stricter',
      { operatorReachable: false, orders: [{ ...EXPORT, exportLimitW: 500 }] },
      494,
    ],
    ['two orders', { orders: [EXPORT, { ...EXPORT, exportLimitW: 2000 }] }, 1979],
  ])('export: %s', (_name, change, expected) => {
    expect(exportW(change)).toBe(expected);
  });

  test.each<[string, Partial<ControlInput>, number]>([
    ['its own', {}, 20_000],
    ['an order', { orders: [IMPORT] }, 6_000],
    ['an order on the other side', { orders: [EXPORT] }, 20_000],
    ['the operator is silent', { operatorReachable: false }, 5_000],
    [
      'silent after an order that is stricter',
      { operatorReachable: false, orders: [{ ...IMPORT, importLimitW: 4000 }] },
      4_000,
    ],
    ['two orders', { orders: [IMPORT, { ...IMPORT, importLimitW: 4500 }] }, 4_500],
  ])('import: %s', (_name, change, limitW) => {
    // A load of 3 kW comes when there is room for a tenth more; the meters' doubt is 1.5 % of what flows.
    const mostW = (0.99 * limitW - 1.1 * 3000) / 1.015;
    expect([runsAt(mostW - 10, change), runsAt(mostW + 10, change)]).toEqual([1, 0]);
  });
});

describe('what a battery is told', () => {
  const told = (gridW: number, unit: Partial<ControlConfig['batteries'][number]>, percent = 50) =>
    tick(
      { gridPowerW: good(gridW), batteries: [battery('battery', percent)] },
      { batteries: [{ ...CONFIG.batteries[0]!, ...unit }] },
    ).told['inverter.batterySetpointW'];

  test.each([
    ['whole steps, towards rest', 1290, { stepW: 100 }, 1200],
    ['whole steps, towards rest, charging', -1290, { stepW: 100 }, -1200],
    ['nothing below the dead band', 299, { deadBandW: 300 }, 0],
    ['nothing below the dead band, charging', -299, { deadBandW: 300 }, 0],
    ['what reaches the dead band', 300, { deadBandW: 300 }, 300],
  ])('%s', (_name, gridW, unit, expected) => {
    expect(told(gridW, unit)).toBe(expected);
  });

  test.each([
    [-8000, 70, -5000],
    [-8000, 80, -4000],
    [-8000, 85, -3000],
    [-8000, 90, -2000],
    [-8000, 95, -2000],
    [8000, 20, 3000],
    [8000, 15, 2000],
    [8000, 30, 4000],
    [8000, 90, 5000],
  ])('at %i W of the grid and %i %%, by its taper: %i W', (gridW, percent, expected) => {
    const taper = {
      chargeTaper: [
        { percent: 70, powerW: 6000 },
        { percent: 90, powerW: 2000 },
      ],
      dischargeTaper: [
        { percent: 10, powerW: 1000 },
        { percent: 20, powerW: 3000 },
        { percent: 40, powerW: 5000 },
      ],
    };
    expect(told(gridW, { battery: { ...BATTERY, ...taper } }, percent)).toBe(expected);
  });
});

describe('beyond a limit of the connection a battery that lags is told more than is wanted', () => {
  const ORDER = { importLimitW: 2000, exportLimitW: 2000 };
  test.each([
    ['import within the limit', 1500, 0, 1500],
    ['import beyond it', 2500, 0, 5000],
    ['export within the limit', -1500, 0, -1500],
    ['export beyond it', -2500, 0, -5000],
    ['within it since the battery is on its way', 1500, 1000, 2500],
    ['within it since the battery is on its way, export', -1500, -1000, -2500],
    ['the battery already holds it back', 0, 2500, 2500],
    ['the battery already takes it up', 0, -2500, -2500],
  ])('%s', (_name, gridW, batteryW, expected) => {
    const { told } = tick(
      { orders: [ORDER], gridPowerW: good(gridW), batteries: [battery('battery', 50, batteryW)] },
      {},
      { batteryHistory: [{ monotonicMs: NOW_MS - 2000, powerW: batteryW }] },
    );
    expect(told['inverter.batterySetpointW']).toBe(expected);
  });
});

describe('loads', () => {
  const PUMP: ControlLoad = {
    ...{ id: 'pump', device: 'relay', control: 'switch1', sgReady: null, ratedW: 3000, phases: ['L1'] },
    ...{ minOnMs: 300_000, minOffMs: 120_000, sheddable: true },
  };
  const on = new Map([['pump', good(1)]]);
  const told = (
    change: Partial<ControlInput>,
    load: Partial<ControlLoad> = {},
    state: Partial<ControlState> = {},
    connection = CONNECTION,
  ) =>
    tick({ batteries: [], ...change }, { batteries: [], loads: [{ ...PUMP, ...load }], connection }, state).told[
      'relay.switch1'
    ];
  const planned = (powerW: number) => ({ loadPowersW: new Map([['pump', powerW]]) });

  test.each<[string, Partial<ControlInput>, number | undefined]>([
    ['nobody speaks of it and it is off', {}, undefined],
    ['nobody speaks of it and it is on', { loadStates: on }, undefined],
    ['nobody speaks of it, it is on and the import is too high', { loadStates: on, gridPowerW: good(21_000) }, 0],
    ['planned', planned(3000), 1],
    ['planned, but there is no room for it', { ...planned(3000), gridPowerW: good(17_500) }, 0],
    ['not planned any more', planned(0), 0],
    ['on by the owner', { ...planned(0), overrides: [{ id: 'pump', mode: 'on' }] }, 1],
    ['off by the owner', { ...planned(3000), overrides: [{ id: 'pump', mode: 'off' }] }, 0],
    ['left as it is by the owner', { ...planned(3000), overrides: [{ id: 'pump', mode: 'hold' }] }, undefined],
  ])('%s', (_name, change, expected) => {
    expect(told(change)).toBe(expected);
  });

  test('one that is found on after a start stays on for its least time', () => {
    expect(told({ ...planned(0), loadStates: on })).toBe(1);
    const later = { loads: { pump: { powerW: 3000, sinceMs: NOW_MS - PUMP.minOnMs } } };
    expect(told({ ...planned(0), loadStates: on }, {}, later)).toBe(0);
  });

  test('one that may not be shed goes on', () => {
    expect(told({ ...planned(3000), loadStates: on, gridPowerW: good(21_000) }, { sheddable: false })).toBe(1);
  });

  test('two: what the first one frees or takes is reckoned with for the second', () => {
    const second = { ...PUMP, id: 'second', control: 'switch2' };
    const both = (change: Partial<ControlInput>) => {
      const { told: all } = tick(
        { batteries: [], ...change },
        { batteries: [], loads: [PUMP, second], connection: { ...CONNECTION, importLimitW: 10_000 } },
      );
      return [all['relay.switch1'], all['relay.switch2']];
    };
    const running = new Map(['pump', 'second'].map((id) => [id, good(1)]));
    const wanted = new Map(['pump', 'second'].map((id) => [id, 3000]));
    // 2 kW too much: the first one is enough.
    expect(both({ loadStates: running, loadPowersW: wanted, gridPowerW: good(12_000) })).toEqual([0, 1]);
    // Room for one.
    expect(both({ loadPowersW: wanted, gridPowerW: good(5_000) })).toEqual([1, 0]);
  });

  test('two loads that wait: the second one does not run for what the first one takes already', () => {
    const second = { ...PUMP, id: 'second', control: 'switch2' };
    const { told: all } = tick(
      {
        ...{ batteries: [], positionWh: 0, gridPowerW: good(-4000), importRiseWh: 0, exportRiseWh: 0 },
        interval: { number: 7, chainElapsedMs: 780_000, chainRemainingMs: 120_000 },
        loadPowersW: new Map(['pump', 'second'].map((id) => [id, 0])),
      },
      { batteries: [], loads: [PUMP, second] },
    );
    expect([all['relay.switch1'], all['relay.switch2']]).toEqual([1, 0]);
  });

  test.each([
    // Nothing was traded, nothing flowed so far, and two minutes are left: power is what counts.
    ['too much export runs a load that waits', -4000, planned(0), {}, 1],
    ['export that it would more than take up does not', -3000, planned(0), {}, 0],
    ['too much import stops one', 2500, planned(3000), { loads: { pump: { powerW: 3000, sinceMs: 0 } } }, 0],
    ['a little does not', 1500, planned(3000), { loads: { pump: { powerW: 3000, sinceMs: 0 } } }, 1],
  ])('without a battery that could keep to the trade: %s', (_name, gridW, plan, state, expected) => {
    const change: Partial<ControlInput> = {
      ...{ ...plan, positionWh: 0, gridPowerW: good(gridW), importRiseWh: 0, exportRiseWh: 0 },
      interval: { number: 7, chainElapsedMs: 780_000, chainRemainingMs: 120_000 },
    };
    expect(told(change, {}, state)).toBe(expected);
  });
});

test('who looks is told what is done and what binds it', () => {
  const limited = tick({
    positionWh: 1000,
    importRiseWh: 0,
    exportRiseWh: 200,
    orders: [{ exportLimitW: 1000, importLimitW: null }],
    generatorPowersW: new Map([['roof', good(0)]]),
  });
  expect(limited.explanation).toMatch(
    /^trade: 800 Wh of 1000 Wh to go \(4800 W\); batteries \d+ W; held back from 5000 W by a limit/,
  );
  expect(tick({}).explanation).toBe('own use: no trade known; batteries 0 W');
  expect(tick({ batteries: [] }).explanation).toBe('own use: no trade known; battery does not answer');
  expect(tick({ clockSynchronised: false, positionWh: 5 }).explanation).toMatch(/^own use: the clock is not proven; /);
});
