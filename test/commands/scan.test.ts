// What scan proposes is a site file that the check takes, whatever was found, as long as there is a meter.

import { expect, test } from 'vitest';
import { type Found, proposal } from '../../src/commands/scan.ts';
import type { FoundDevice } from '../../src/fieldbus/scan.ts';
import { loadProfile, profileNames } from '../../src/site/load.ts';
import { checkProfiles, parseSite } from '../../src/site/parse.ts';

const profiles = profileNames().map((name) => loadProfile(name));
const byName = new Map(profiles.map((profile) => [profile.name, profile]));

function found(bus: 'tcp' | 'rtu', names: readonly string[]): Found {
  const devices = names.map((name, i): FoundDevice => {
    const known = byName.has(name);
    return {
      unitId: i + 1,
      profiles: known ? [name, 'eastron/sdm54'] : [],
      maker: known ? 'Maker: #1' : null,
      model: null,
      serial: '0815\n',
      firmware: null,
      sunspecModels: [1, 103],
    };
  });
  return bus === 'tcp'
    ? { bus: { id: 'network-1', kind: 'tcp', host: '192.168.1.20', port: 502, share: null }, devices }
    : {
        bus: { id: 'serial', kind: 'rtu', path: '/dev/serial/by-id/x', baud: 9600, parity: 'even', stopBits: 1 },
        devices,
      };
}

test.each(profiles.map((profile) => [profile.name]))('a meter and %s', (name) => {
  const text = proposal([found('rtu', ['eastron/sdm630']), found('tcp', [name, 'unknown'])], profiles);
  const site = parseSite(text, 'site.yaml');
  expect(site.devices.find(({ role }) => role === 'grid-meter')?.profile).toBe('eastron/sdm630');
  expect(() => checkProfiles(site, byName, 'site.yaml', text)).not.toThrow();
});

test('without a meter an inverter that shows the one behind it stands in; without any, the file says so', () => {
  const site = parseSite(proposal([found('tcp', ['huawei/sun2000-luna'])], profiles), 'site.yaml');
  expect(site.devices.map(({ id, role }) => [id, role])).toEqual([
    ['grid', 'grid-meter'],
    ['hybrid-network-1-1', 'hybrid'],
  ]);
  expect(proposal([found('tcp', ['fronius/symo'])], profiles)).toMatch(/No meter was found/);
  expect(proposal([], profiles)).toBe('# nothing answered');
});
