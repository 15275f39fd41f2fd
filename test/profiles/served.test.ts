// Every profile, served as a device over TCP and read by the field bus: each point comes back as it was set, with its sign.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import type { BusOwner } from '../../src/fieldbus/bus.ts';
import { createDevice, PERIODS } from '../../src/fieldbus/device.ts';
import { ownerOf } from '../../src/fieldbus/fieldbus.ts';
import { loadProfile, profileNames } from '../../src/site/load.ts';
import { MEASURANDS } from '../../src/site/measurands.ts';
import type { Device, Profile } from '../../src/site/types.ts';
import { clock, type Served, serve, served } from '../fieldbus/served.ts';
import { isDerived, sample, stepOf } from './samples.ts';

const profiles = profileNames().map((name) => loadProfile(name));
const devices = profiles.map((profile) => served(profile));
let owner: BusOwner;
let close: () => Promise<unknown>;

beforeAll(async () => {
  const server = await serve(Object.fromEntries(devices.map((device, i) => [i + 1, device.answer])));
  owner = ownerOf({ id: 'one', kind: 'tcp', host: '127.0.0.1', port: server.port, share: null }, [], {
    clock,
    log: SILENT,
  });
  await new Promise<void>((resolve) => {
    owner.onConnected(resolve);
    owner.start();
  });
  close = async () => {
    await owner.stop();
    await server.close();
  };
});
afterAll(() => close());

function standIn(profile: Profile, unitId: number): Device {
  return {
    id: 'it',
    profile: profile.name,
    bus: 'one',
    unitId,
    role: 'meter',
    phases: ['L1', 'L2', 'L3'],
    ratedW: 10_000,
    covers: [],
    curtailable: false,
    meter: null,
    ctFactor: 1,
  };
}

/** What is set: forward, and backward where a point has a direction. */
function valuesOf(profile: Profile, sign: 1 | -1): Map<string, number> {
  const value = (name: string): number =>
    MEASURANDS[name]?.directions === undefined ? sample(profile, name) : sign * sample(profile, name);
  return new Map([...profile.points.keys()].map((name) => [name, value(name)]));
}

test.each(profiles.map((profile, i) => [profile.name, profile, devices[i] as Served, i + 1] as const))(
  '%s',
  async (_name, given, { image }, unitId) => {
    const profile = { ...given, line: { ...given.line, gapMs: 0 } };
    for (const sign of [1, -1] as const) {
      const values = valuesOf(profile, sign);
      image.set(values);
      const device = createDevice({
        device: standIn(profile, unitId),
        profile,
        bus: owner,
        shared: false,
        periods: PERIODS,
        clock,
        log: SILENT,
      });
      const readings = await device.refresh([...profile.points.keys()]);
      for (const [name, value] of values) {
        const reading = readings.get(name);
        expect([name, reading?.quality, reading?.reason]).toEqual([name, 'good', null]);
        if (isDerived(profile, name)) continue;
        const allowed = Math.max(stepOf(profile, name) / 2, 1e-6 * Math.abs(value));
        expect(
          Math.abs((reading?.value ?? Number.NaN) - value),
          `${name}: ${reading?.value}, not ${value}`,
        ).toBeLessThanOrEqual(allowed);
      }
    }
  },
);
