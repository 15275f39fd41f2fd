// Set-points on their way to devices: slow ones hold up no other, and all are let go at the end.

import { expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import type { Plan } from '../../src/dispatch/plan-types.ts';
import type { Lease, Reading } from '../../src/fieldbus/types.ts';
import { createSiteControl } from '../../src/gateway/controlling.ts';
import { controlConfigOf } from '../../src/gateway/equipment.ts';
import { loadSite } from '../../src/site/load.ts';
import { T0_MS } from '../vectors/examples.ts';
import { GENESIS } from './fixtures.ts';

const { site } = loadSite('devices/demo/house.yaml');

/** The house exports 5 kW and its operator is silent; the battery is full, so the roof has to stay within the default limit of 4 kW. */
const VALUES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  meter: { gridPowerW: -5_000 },
  battery: { batteryPowerW: 0, stateOfChargePercent: 100 },
  pv: { generationPowerW: 7_000 },
};

test('a device that does not answer a write is not written again meanwhile, the others are; the end lets go of all', async () => {
  const leased: string[] = [];
  const released: string[] = [];
  let answer: (lease: Lease) => void = () => undefined;
  const lease = (device: string, control: string, value: number): Lease => ({
    ...{ device, control, value, revertTo: 0, state: 'active', reason: null },
  });
  const controlled = createSiteControl({
    site,
    config: controlConfigOf(site, 1, 0),
    genesis: GENESIS,
    fieldbus: {
      start: async () => undefined,
      stop: async () => undefined,
      readings: (device) => goodReadings(VALUES[device] ?? {}),
      refresh: async () => new Map(),
      lease(device, control, value) {
        leased.push(device);
        if (device === 'pv') return Promise.resolve(lease(device, control, value));
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
      async release(device) {
        released.push(device);
      },
    },
    metering: { risesSinceStart: () => ({ importRiseWh: null, exportRiseWh: null }) },
    loadNeeds: { progress: () => new Map(), onSeen: () => undefined },
    positionWh: () => null,
    plan: () => null,
    loadPowersW: () => new Map(),
    orders: () => [],
    overrides: () => [],
    operatorReachable: () => false,
    clockSynchronised: () => true,
    offGrid: () => false,
    clock: { chainMs: () => T0_MS, monotonicMs: () => 0 },
    log: SILENT,
  });
  for (let i = 0; i < 3; i++) {
    controlled.tick();
    await new Promise(setImmediate);
  }
  expect(leased.filter((device) => device === 'battery')).toHaveLength(1);
  expect(leased.filter((device) => device === 'pv').length).toBeGreaterThan(1);
  await controlled.release();
  expect(released.sort()).toEqual(['battery', 'pv']);
  answer(lease('battery', 'batterySetpointW', 0));
});

test('a state of charge that is polled every ten seconds is as good between two polls', async () => {
  const nowMs = 60_000;
  const leased: [string, number][] = [];
  const controlled = createSiteControl({
    site,
    config: controlConfigOf(site, 1, 0),
    genesis: GENESIS,
    fieldbus: {
      start: async () => undefined,
      stop: async () => undefined,
      readings: (device) =>
        new Map(
          Object.entries({ ...VALUES[device], ...(device === 'battery' ? { stateOfChargePercent: 60 } : {}) }).map(
            ([measurand, value]): [string, Reading] => [
              measurand,
              {
                value,
                quality: 'good',
                reason: null,
                atMs: T0_MS,
                monotonicMs: measurand === 'stateOfChargePercent' ? nowMs - 9_000 : nowMs,
              },
            ],
          ),
        ),
      refresh: async () => new Map(),
      async lease(device, control, value) {
        leased.push([device, value]);
        return { device, control, value, revertTo: 0, state: 'active', reason: null };
      },
      release: async () => undefined,
    },
    metering: { risesSinceStart: () => ({ importRiseWh: 0, exportRiseWh: 0 }) },
    loadNeeds: { progress: () => new Map(), onSeen: () => undefined },
    positionWh: () => 2_400,
    plan: () => null,
    loadPowersW: () => new Map(),
    orders: () => [],
    overrides: () => [],
    operatorReachable: () => true,
    clockSynchronised: () => true,
    offGrid: () => false,
    clock: { chainMs: () => T0_MS + 120_000, monotonicMs: () => nowMs },
    log: SILENT,
  });
  await controlled.tick();
  expect(leased.some(([device, value]) => device === 'battery' && value > 0)).toBe(true);
});

/** The house with these readings, 5 min into an interval, an order of no limit heard and the clock proven; `take` says how a lease ends. */
function house(
  values: Readonly<Record<string, Readonly<Record<string, number>>>>,
  options: {
    valueUcPerWh?: number;
    genesis?: typeof GENESIS;
    positionWh?: number;
    take?: (device: string) => Partial<Lease>;
  } = {},
) {
  const leased = new Map<string, number>();
  const storedValues = [[], [{ upToWh: 10_000, valueUcPerWh: options.valueUcPerWh ?? 0 }], []];
  const interval = Math.floor(T0_MS / GENESIS.interval.lengthMs);
  const controlled = createSiteControl({
    site,
    config: controlConfigOf(site, 1, 0),
    genesis: options.genesis ?? GENESIS,
    fieldbus: {
      start: async () => undefined,
      stop: async () => undefined,
      readings: (device) => goodReadings(values[device] ?? {}),
      refresh: async () => new Map(),
      async lease(device, control, value) {
        leased.set(device, value);
        return { device, control, value, revertTo: 0, state: 'active', reason: null, ...options.take?.(device) };
      },
      release: async () => undefined,
    },
    metering: { risesSinceStart: () => ({ importRiseWh: null, exportRiseWh: null }) },
    loadNeeds: { progress: () => new Map(), onSeen: () => undefined },
    positionWh: () => options.positionWh ?? null,
    plan: () =>
      options.valueUcPerWh === undefined
        ? null
        : { plan: { storedValues } as unknown as Plan, firstInterval: interval - 1 },
    loadPowersW: () => new Map(),
    orders: () => [],
    overrides: () => [],
    operatorReachable: () => true,
    clockSynchronised: () => true,
    offGrid: () => false,
    clock: { chainMs: () => interval * GENESIS.interval.lengthMs + 300_000, monotonicMs: () => 0 },
    log: SILENT,
  });
  return { controlled, leased };
}
const reads = (gridPowerW: number, more: Readonly<Record<string, number>> = {}) => ({
  meter: { gridPowerW, ...more },
  battery: { batteryPowerW: 0, stateOfChargePercent: 50 },
  pv: { generationPowerW: 3_000 },
});

test.each([
  // Import costs the ceiling (40 000) and the penalty, less 4 % and half a cycle's wear; export brings the floor (5 000) less the penalty.
  ['import is dearer by the penalty: what is worth nearly as much is given', 2_000, 43_000, 2_000],
  ['what is worth more is kept', 2_000, 47_000, 0],
  ['export brings less by the penalty: what will be worth a little is stored', -2_000, 3_500, -2_000],
  ['what will be worth nothing is not', -2_000, 500, 0],
])('%s', (_name, gridW, valueUcPerWh, expected) => {
  const settlement = { ...GENESIS.settlement, shortfallPenaltyUcPerWh: 8_000, surplusPenaltyUcPerWh: 4_000 };
  const { controlled, leased } = house(reads(gridW), { valueUcPerWh, genesis: { ...GENESIS, settlement } });
  controlled.tick();
  expect(leased.get('battery')).toBe(expected);
});

test('each phase is held to its amps', () => {
  // 35 A at 230 V are 8050 W, of which a hundredth is kept free.
  const { controlled, leased } = house(reads(0, { gridPowerL1W: 9_000, gridPowerL2W: -4_500, gridPowerL3W: -4_500 }));
  controlled.tick();
  expect(leased.get('battery')).toBeCloseTo(3 * (9_000 - 0.99 * 8_050), -1);
});

test('a set-point that is not taken is told with its reason, until it is taken', async () => {
  let trouble: Partial<Lease> = { state: 'failed', reason: 'too hot' };
  const { controlled } = house(reads(1_000), { take: (device) => (device === 'battery' ? trouble : {}) });
  const tick = async () => {
    controlled.tick();
    await new Promise(setImmediate);
    return [...controlled.refusals];
  };
  expect(await tick()).toEqual([['battery batterySetpointW', expect.stringContaining('too hot')]]);
  trouble = {};
  expect(await tick()).toEqual([]);
});

function goodReadings(values: Readonly<Record<string, number>>): Map<string, Reading> {
  return new Map(
    Object.entries(values).map(([measurand, value]): [string, Reading] => [
      measurand,
      { value, quality: 'good', reason: null, atMs: T0_MS, monotonicMs: 0 },
    ]),
  );
}
