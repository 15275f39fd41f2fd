// A small site with a meter, PV, a battery with a watchdog and a relay, its profiles written out, and a clock to drive.

import type { Clock } from '../../src/base/clock.ts';
import type { Series } from '../../src/simulator/physics/series.ts';
import type { Control, Device, Part, Point, Profile, Role, SiteFile, Table, WriteStep } from '../../src/site/types.ts';

export function handClock(): Clock & { chain: number; wall: number; pass(wallMs: number, rate?: number): void } {
  return {
    chain: 0,
    wall: 0,
    chainMs() {
      return this.chain;
    },
    monotonicMs() {
      return this.wall;
    },
    pass(wallMs, rate = 1) {
      this.wall += wallMs;
      this.chain += wallMs * rate;
    },
  };
}

export function constant(powerW: number): Series {
  return { name: 'constant', startMs: 0, stepMs: 900_000, powerW: new Float64Array(96).fill(powerW) };
}

export function part(address: number, type: Part['type'], scale = 1, table: Table = 'holding'): Part {
  return {
    table,
    model: null,
    address,
    type,
    length: type === 'bit' || type.endsWith('16') ? 1 : 2,
    byteOrder: 'big',
    wordOrder: 'big',
    scale,
    offset: 0,
    scaleRegister: null,
    sentinels: [],
    bits: null,
    times: 1,
  };
}

function point(measurand: string, of: Part, counter: Partial<NonNullable<Point['counter']>> | null = null): Point {
  return {
    measurand,
    parts: [of],
    turn: 1,
    poll: 'fast',
    plausible: { min: -1e9, max: 1e9, ratePerSecond: null },
    counter:
      counter === null ? null : { resolutionWh: 1, rolloverWh: null, reset: 'never', phases: 'netted', ...counter },
    firmware: null,
    group: null,
    note: null,
  };
}

function write(of: Part, carries: WriteStep['carries'] = { kind: 'value' }): WriteStep {
  return { part: of, carries, percentOf: null, readBack: of };
}

function control(name: string, steps: WriteStep[], more: Partial<Control> = {}): Control {
  return {
    control: name,
    write: steps,
    release: [],
    turn: 1,
    min: -1e6,
    max: 1e6,
    step: 1,
    revert: 0,
    storage: 'volatile',
    dailyWrites: 1000,
    watchdog: null,
    failsafe: 'none',
    tolerance: 1,
    note: null,
    ...more,
  };
}

function profile(name: string, kind: Profile['kind'], points: Point[], controls: Control[] = []): Profile {
  return {
    name,
    maker: 'test',
    model: name,
    kind,
    phases: 3,
    verified: 'documented',
    sources: [],
    line: {
      transports: ['tcp', 'rtu', 'rtu-over-tcp'],
      unitId: 1,
      serial: { baud: 9600, parity: 'none', stopBits: 1 },
      timeoutMs: 1000,
      registersMax: 125,
      holeMax: 8,
      gapMs: 0,
      connectDelayMs: 0,
      afterWriteMs: 0,
      connectionsMax: 4,
      inFlightMax: 1,
      writes: 'multiple',
    },
    sunspec: null,
    identify: [],
    points: new Map(points.map((each) => [each.measurand, each])),
    controls: new Map(controls.map((each) => [each.control, each])),
    served: [],
    frames: [],
    notes: null,
  };
}

/** Set-point at holding 20 behind an enable register at 22; both forgotten 10 s after the last write. */
const BATTERY_CONTROL = control(
  'batterySetpointW',
  [write(part(22, 'u16'), { kind: 'constant', value: 1 }), write(part(20, 's32'))],
  {
    release: [write(part(22, 'u16'), { kind: 'constant', value: 0 })],
    watchdog: { kind: 'fixed', timeoutMs: 10_000 },
    failsafe: 'watchdog',
  },
);

export const profiles = new Map(
  [
    profile('meter', 'meter', [
      point('gridPowerW', part(0, 'f32', 1, 'input')),
      point('gridPowerL1W', part(2, 'f32', 1, 'input')),
      point('gridPowerL2W', part(4, 'f32', 1, 'input')),
      point('gridPowerL3W', part(6, 'f32', 1, 'input')),
      point('voltageL1V', part(8, 'f32', 1, 'input')),
      point('importEnergyWh', part(10, 'u32', 1, 'input'), { rolloverWh: 100_000_000 }),
      point('exportEnergyWh', part(12, 'u32', 10, 'input'), { resolutionWh: 10 }),
    ]),
    profile(
      'pv',
      'pv',
      [point('generationPowerW', part(0, 's32')), point('generationEnergyWh', part(2, 'u32'), {})],
      [
        control('generationLimitW', [write(part(10, 'u16'))], {
          watchdog: { kind: 'register', part: part(11, 'u16'), minMs: 1000, maxMs: 600_000 },
        }),
      ],
    ),
    profile(
      'battery',
      'battery',
      [
        point('batteryPowerW', part(0, 's32')),
        point('stateOfChargePercent', part(2, 'u16', 0.1)),
        point('batteryChargeEnergyWh', part(4, 'u32'), {}),
        point('batteryDischargeEnergyWh', part(6, 'u32'), {}),
      ],
      [BATTERY_CONTROL],
    ),
    profile(
      'relay',
      'relay',
      [point('switch1', part(0, 'bit', 1, 'coil')), point('switch2', part(1, 'bit', 1, 'coil'))],
      [control('switch1', [write(part(0, 'bit', 1, 'coil'))]), control('switch2', [write(part(1, 'bit', 1, 'coil'))])],
    ),
  ].map((each) => [each.name, each]),
);

function device(id: string, role: Role, unitId: number, more: Partial<Device> = {}): Device {
  return {
    id,
    profile: id,
    bus: 'lan',
    unitId,
    role,
    phases: [],
    ratedW: null,
    covers: [],
    curtailable: false,
    meter: null,
    ctFactor: 1,
    ...more,
  };
}

export const site: SiteFile = {
  id: 'house',
  name: 'House',
  location: { latitude: 51, longitude: 10 },
  timezone: 'Europe/Berlin',
  connection: {
    phases: ['L1', 'L2', 'L3'],
    ampsPerPhase: 35,
    voltageV: 230,
    importLimitW: 24_000,
    exportLimitW: 24_000,
    defaultLimit: { importW: 24_000, exportW: 24_000 },
  },
  buses: [
    { id: 'lan', kind: 'tcp', host: '127.0.0.1', port: 502, share: null },
    { id: 'line', kind: 'rtu', path: '/dev/nowhere', baud: 9600, parity: 'none', stopBits: 1 },
  ],
  devices: [
    device('meter', 'grid-meter', 1, { bus: 'line', phases: ['L1', 'L2', 'L3'] }),
    device('pv', 'pv', 2, { phases: ['L2'], ratedW: 5000, curtailable: true }),
    device('battery', 'battery', 3, { phases: ['L1', 'L2', 'L3'], ratedW: 3000 }),
    device('relay', 'relay', 4),
  ],
  storage: [
    {
      id: 'store',
      device: 'battery',
      capacityWh: 5000,
      chargeLimitW: 3000,
      dischargeLimitW: 3000,
      chargeTaper: [],
      dischargeTaper: [],
      chargeEfficiency: 0.95,
      dischargeEfficiency: 0.95,
      standingLossW: 0,
      cycleCostUcPerWh: 10,
      reservePercent: 10,
      driven: true,
      export: 'yes',
      lagMs: 0,
      deadBandW: 0,
      stepW: 1,
    },
  ],
  loads: [
    {
      id: 'boiler',
      device: 'relay',
      control: 'switch2',
      kind: 'switch',
      block: null,
      ratedW: 2000,
      powersW: [2000],
      phases: ['L3'],
      minOnMs: 0,
      minOffMs: 0,
      sheddable: true,
      need: null,
    },
  ],
  customers: [],
  weather: null,
  holidays: [],
  contract: { floorUcPerWh: 0, ceilingUcPerWh: 1000, riskQuantile: 0.5, quorumAtLeast: null },
  market: null,
};
