// Set-points on their way to devices: slow ones hold up no other, and all are let go at the end.

import { expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
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
      readings: (device) =>
        new Map(
          Object.entries(VALUES[device] ?? {}).map(([measurand, value]): [string, Reading] => [
            measurand,
            { value, quality: 'good', reason: null, atMs: T0_MS, monotonicMs: 0 },
          ]),
        ),
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
