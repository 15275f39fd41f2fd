// From the site file's words to those of metering, control and admission: units, factors, defaults.

import { describe, expect, test } from 'vitest';
import { admissionOf, controlConfigOf, meterSpecOf } from '../../src/gateway/equipment.ts';
import { loadSite } from '../../src/site/load.ts';

const { site, profiles } = loadSite('devices/examples/house.yaml');
const demo = loadSite('devices/demo/house.yaml');

describe('how a device is metered', () => {
  const specOf = (device: string, measurand: string, chainRate = 1, from = demo) => {
    const found = from.site.devices.find(({ id }) => id === device);
    const profile = from.profiles.get(found?.profile ?? '');
    if (found === undefined || profile === undefined) throw new Error(`no ${device}`);
    const channels = { energy: { measurand, side: 'positive' as const } };
    return meterSpecOf({ device: found, profile, channels, powerMaxW: 1_000, intervalMs: 900_000, chainRate });
  };

  test('times of a meter are wall time, and its intervals chain time', () => {
    const [plain, fast] = [specOf('meter', 'importEnergyWh'), specOf('meter', 'importEnergyWh', 45)];
    expect([plain.measuredWithinMs, plain.gapMs, plain.intervalMs]).toEqual([10_000, 60_000, 900_000]);
    expect([fast.measuredWithinMs, fast.gapMs, fast.intervalMs]).toEqual([450_000, 2_700_000, 900_000]);
  });

  test('a counter in a float of kWh loses digits as it grows; one of integers does not; a power counts nothing', () => {
    expect(specOf('meter', 'importEnergyWh').channels.energy).toEqual({
      ...{ source: 'counter', resolutionWh: 1, side: 'positive', float32UnitWh: 1_000 },
    });
    const whole = specOf('battery', 'batteryChargeEnergyWh').channels.energy;
    expect(whole).toMatchObject({ source: 'counter', side: 'positive' });
    expect(whole).not.toHaveProperty('float32UnitWh');
    expect(specOf('meter', 'gridPowerW').channels.energy).toEqual({
      ...{ source: 'power', resolutionWh: 0, side: 'positive' },
    });
  });
});

test('control knows the fuses, the limits, and what may be driven', () => {
  const { connection, batteries, generators, meterDelayMs, staleAfterMs } = controlConfigOf(demo.site, 10, 7_000);
  expect(connection).toEqual({
    ...{ importLimitW: 24_000, exportLimitW: 12_000, phaseLimitW: 35 * 230, phases: ['L1', 'L2', 'L3'] },
    ...{ defaultImportLimitW: 24_000, defaultExportLimitW: 4_000 },
  });
  expect(batteries).toMatchObject([{ device: 'battery', lagMs: 1_000, battery: { capacityWh: 10_000 } }]);
  expect(generators).toEqual([{ id: 'pv', ratedW: 8_000, phases: ['L1', 'L2', 'L3'], curtailable: true }]);
  // A meter that misses some of its seconds is still believed, one that is gone is not.
  expect(staleAfterMs).toBeGreaterThan(2 * meterDelayMs);
  expect(staleAfterMs).toBeLessThanOrEqual(10_000);
  const undriven = { ...demo.site, storage: demo.site.storage.map((storage) => ({ ...storage, driven: false })) };
  expect(controlConfigOf(undriven, 10, 7_000).batteries).toEqual([]);
});

test('a heat pump has its power when recommended and its power when forced', () => {
  const pump = site.loads.find(({ kind }) => kind === 'sg-ready');
  const known = controlConfigOf(site, 1, 0).loads.find(({ id }) => id === pump?.id);
  expect(known?.sgReady).toEqual({ block: pump?.block, recommendedW: pump?.powersW[0] });
  expect(known?.ratedW).toBe(pump?.ratedW);
  expect(known?.sgReady?.recommendedW).toBeLessThan(known?.ratedW as number);
  expect(profiles.size).toBeGreaterThan(0);
});

test('what is admitted: generators and batteries with the most that they can do either way', () => {
  const lopsided = {
    ...demo.site,
    storage: demo.site.storage.map((s) => ({ ...s, chargeLimitW: 3_000.4, dischargeLimitW: 4_600.6 })),
  };
  const terms = { gateway: 'g', publicKey: 'k', feeder: 'f', bus: 'b', uncertaintyWhMax: 5 };
  expect(admissionOf(lopsided, terms)).toMatchObject({
    ...{ exportLimitW: 12_000, importLimitW: 24_000, meterSerial: '630-1001', customers: ['household'] },
    devices: [
      { id: 'pv', kind: 'pv', capacityW: 8_000 },
      { id: 'battery', kind: 'battery', capacityW: 4_601 },
    ],
  });
});
