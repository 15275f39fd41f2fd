// Probe calls out a profile's usual mistakes: word order, off by one, scale, sign.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import type { BusOwner } from '../../src/fieldbus/bus.ts';
import { ownerOf } from '../../src/fieldbus/fieldbus.ts';
import { type Probe, probeDevice } from '../../src/fieldbus/probe.ts';
import { loadProfile } from '../../src/site/load.ts';
import type { Part, Point, Profile } from '../../src/site/types.ts';
import { clock, serve, served, siteOn } from './served.ts';

const NAMES = ['eastron/sdm630', 'carlo-gavazzi/em24', 'abb/b23', 'schneider/iem3155', 'sunspec/meter-three-phase'];
const profiles = NAMES.map((name) => loadProfile(name));
const AT_WORK = new Map([
  ['gridPowerW', -2070],
  ['gridPowerL1W', -690],
  ['gridPowerL2W', -690],
  ['gridPowerL3W', -690],
  ...['L1', 'L2', 'L3'].flatMap((phase): [string, number][] => [
    [`voltage${phase}V`, 230],
    [`current${phase}A`, 3],
  ]),
  ['frequencyHz', 50],
  ['importEnergyWh', 1_200_000],
]);

let owner: BusOwner;
let port: number;
let close: () => Promise<unknown>;

beforeAll(async () => {
  const units = profiles.map((profile) => {
    const device = served(profile);
    device.image.set(AT_WORK);
    return device.answer;
  });
  const server = await serve(Object.fromEntries(units.map((answer, i) => [i + 1, answer])));
  port = server.port;
  owner = ownerOf({ id: 'one', kind: 'tcp', host: '127.0.0.1', port, share: null }, [], { clock, log: SILENT });
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

function everywhere(part: Part, change: (part: Part) => Part): Part {
  const changed = change(part);
  return part.or === undefined ? changed : { ...changed, or: everywhere(part.or, change) };
}

/** Everything that a probe of the served device says, when this point of its profile is written otherwise. */
async function said(profile: Profile, change: Readonly<Record<string, (part: Part) => Part>> = {}): Promise<string[]> {
  const unitId = profiles.indexOf(profile) + 1;
  const site = siteOn(port, { it: `profile: ${profile.name}, unitId: ${unitId}, role: grid-meter` });
  const points = [...profile.points].map(([name, point]): [string, Point] => {
    const changed = change[name];
    return [
      name,
      changed === undefined ? point : { ...point, parts: point.parts.map((part) => everywhere(part, changed)) },
    ];
  });
  const probe: Probe = await probeDevice(owner, site.devices[0]!, { ...profile, points: new Map(points) });
  expect(probe.failure).toBe(null);
  return [
    ...probe.points.flatMap(({ measurand, suspicions }) => suspicions.map((text) => `${measurand}: ${text}`)),
    ...probe.suspicions,
  ];
}

test.each(profiles.map((profile) => [profile.name, profile] as const))(
  '%s as it is: nothing to say',
  async (_, profile) => {
    expect(await said(profile)).toEqual([]);
  },
);

test.each([
  ['eastron/sdm630', 'gridPowerW'],
  ['eastron/sdm630', 'frequencyHz'],
  ['carlo-gavazzi/em24', 'gridPowerW'],
  ['carlo-gavazzi/em24', 'voltageL1V'],
  ['abb/b23', 'gridPowerL2W'],
])('%s with the words of %s the wrong way round', async (name, measurand) => {
  const profile = profiles.find((entry) => entry.name === name)!;
  const turned = (part: Part): Part => ({ ...part, wordOrder: part.wordOrder === 'big' ? 'little' : 'big' });
  expect((await said(profile, { [measurand]: turned })).join('\n')).toMatch(new RegExp(`${measurand}: word order\\?`));
});

test.each([
  ['abb/b23', 'frequencyHz', 1],
  ['carlo-gavazzi/em24', 'frequencyHz', -1],
  ['abb/b23', 'voltageL1V', 1],
])('%s with %s one register beside', async (name, measurand, by) => {
  const profile = profiles.find((entry) => entry.name === name)!;
  const found = (await said(profile, { [measurand]: (part) => ({ ...part, address: part.address + by }) })).join('\n');
  const right = profile.points.get(measurand)!.parts[0]!.address;
  expect(found).toMatch(new RegExp(`${measurand}: off by one\\?.* at address ${right} `));
});

test('a scale that is not the device own', async () => {
  const profile = profiles[2]!;
  const tenfold = (part: Part): Part => ({ ...part, scale: part.scale * 10 });
  expect((await said(profile, { voltageL2V: tenfold })).join('\n')).toMatch(
    /voltageL2V: another scale\? .* with scale: 0.1 /,
  );
  const thousand = (part: Part): Part => ({ ...part, scale: part.scale / 1000 });
  const powers = ['gridPowerW', 'gridPowerL1W', 'gridPowerL2W', 'gridPowerL3W'];
  const change = Object.fromEntries(powers.map((power) => [power, thousand]));
  expect((await said(profile, change)).join('\n')).toMatch(
    /another scale\? the power is -2.1 W, voltages and currents make 2070 VA/,
  );
});

test.each(profiles.map((profile) => [profile.name, profile] as const))(
  '%s with the sign of its total turned',
  async (_, profile) => {
    const turned = (part: Part): Part => ({ ...part, times: -part.times });
    expect((await said(profile, { gridPowerW: turned })).join('\n')).toMatch(
      /sign\? gridPowerW is 2070 W, its phases add up to -2070 W/,
    );
  },
);
