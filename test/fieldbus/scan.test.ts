// Scan against every profile of the library, served: the right one is proposed, or one with the same registers.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import type { BusOwner } from '../../src/fieldbus/bus.ts';
import { partAt } from '../../src/fieldbus/codec.ts';
import { ownerOf } from '../../src/fieldbus/fieldbus.ts';
import { servedLayout } from '../../src/fieldbus/image.ts';
import { type FoundDevice, scanUnit } from '../../src/fieldbus/scan.ts';
import type { AnswerUnit } from '../../src/simulator/modbus/server.ts';
import { loadProfile, profileNames } from '../../src/site/load.ts';
import { MEASURANDS } from '../../src/site/measurands.ts';
import type { Profile } from '../../src/site/types.ts';
import { clock, serve, served } from './served.ts';

const profiles = profileNames().map((name) => loadProfile(name));
const LIVE: Readonly<Record<string, number>> = { V: 230, Hz: 50, degC: 25, '%': 50, W: 700 };

/** The profile as a device at work. */
function atWork(profile: Profile): AnswerUnit {
  const device = served(profile);
  const shown = [...profile.points.keys()].map((name): [string, number] => [
    name,
    LIVE[MEASURANDS[name]?.unit ?? 'none'] ?? 0,
  ]);
  device.image.set(new Map(shown.filter(([name]) => name !== 'ratedPowerW')));
  return device.answer;
}

/** Which registers a profile reads: profiles that read the same cannot be told apart by their answers. */
function registersOf(profile: Profile): string[] {
  const parts = [...profile.points.values()].flatMap((point) => point.parts);
  const places = parts.map((part) => partAt(part, servedLayout(profile)));
  return [
    ...new Set(places.map(({ table, model, address, length }) => `${table} ${model} ${address} ${length}`)),
  ].sort();
}

let owner: BusOwner;
let close: () => Promise<unknown>;
const unitOf = (profile: Profile): number => profiles.indexOf(profile) + 1;

beforeAll(async () => {
  const server = await serve(Object.fromEntries(profiles.map((profile) => [unitOf(profile), atWork(profile)])));
  const bus = { id: 'one', kind: 'tcp' as const, host: '127.0.0.1', port: server.port, share: null };
  owner = ownerOf(bus, [], { clock, log: SILENT });
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

test.each(profiles.map((profile) => [profile.name, profile] as const))('%s', async (name, profile) => {
  const found = (await scanUnit(owner, unitOf(profile), profiles)) as FoundDevice;
  expect(found.profiles).toContain(name);
  const best = profiles.find((other) => other.name === found.profiles[0]) as Profile;
  if (best !== profile) expect(registersOf(best), `${best.name} was proposed`).toEqual(registersOf(profile));
});

test('a silent unit is none, and every answer is a sign of life', async () => {
  expect(await scanUnit(owner, 200, profiles, 50)).toBe(null);
});
