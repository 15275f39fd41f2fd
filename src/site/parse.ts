// Profiles and site files from their text, and one against the other. load.ts reads the disk.

import { WattpactError } from '../base/errors.ts';
import { type ProfileInput, profileOf, profileProblems, profileSchema } from './profile-schema.ts';
import { type SiteInput, siteOf, siteProblems, siteSchema } from './site-schema.ts';
import type { Profile, SiteFile } from './types.ts';
import { parseYaml } from './yaml.ts';

/** `profiles/eastron/sdm630.yaml` -> `eastron/sdm630`, as site files name it. */
export function profileName(file: string): string {
  const [model = '', maker] = file.split('/').reverse();
  const stem = model.replace(/\.ya?ml$/, '');
  return maker === undefined ? stem : `${maker}/${stem}`;
}

/** A profile from its YAML. Errors: `profile.invalid`, every problem on a line of its own as `file:line:column message`. */
export function parseProfile(text: string, file: string): Profile {
  const input = parseYaml<ProfileInput>(text, file, {
    what: 'profile',
    schema: profileSchema,
    crossCheck: profileProblems,
  });
  return profileOf(input, profileName(file));
}

/** A site file from its YAML. Errors: `site.invalid`, every problem on a line of its own as `file:line:column message`. */
export function parseSite(text: string, file: string): SiteFile {
  return siteOf(parseYaml<SiteInput>(text, file, { what: 'site', schema: siteSchema, crossCheck: siteProblems }));
}

/** What a site file asks of its profiles. Errors: `site.invalid` with every problem. */
export function checkProfiles(site: SiteFile, profiles: ReadonlyMap<string, Profile>, file: string): void {
  const problems: string[] = [];
  const profileOfDevice = (id: string): Profile | undefined => {
    const device = site.devices.find((entry) => entry.id === id);
    return device === undefined ? undefined : profiles.get(device.profile);
  };
  const demand = (device: string, kind: 'points' | 'controls', name: string, why: string): void => {
    const profile = profileOfDevice(device);
    if (profile !== undefined && !profile[kind].has(name)) {
      problems.push(`device ${device}: profile ${profile.name} has no ${name}, which ${why}`);
    }
  };
  for (const device of site.devices) {
    const bus = site.buses.find((entry) => entry.id === device.bus);
    const profile = profiles.get(device.profile);
    // A gateway between the network and a serial line lets a serial device be asked by TCP.
    const spoken = new Set<string>(profile?.line.transports);
    if (spoken.has('rtu')) spoken.add('tcp');
    if (profile !== undefined && bus !== undefined && !spoken.has(bus.kind)) {
      problems.push(`device ${device.id}: profile ${profile.name} does not speak ${bus.kind} (bus ${bus.id})`);
    }
    if (device.role === 'grid-meter') {
      for (const name of ['gridPowerW', 'importEnergyWh', 'exportEnergyWh']) {
        demand(device.id, 'points', name, 'a grid meter needs');
      }
    }
    if (device.role === 'pv' || device.role === 'wind') {
      demand(device.id, 'points', 'generationPowerW', `role ${device.role} needs`);
    }
    if (device.curtailable) demand(device.id, 'controls', 'generationLimitW', '`curtailable` needs');
    if (device.curtailable && device.ratedW === null && profile?.points.has('ratedPowerW') !== true) {
      problems.push(`device ${device.id}: curtailable needs ratedW`);
    }
  }
  for (const storage of site.storage) {
    demand(storage.device, 'controls', 'batterySetpointW', `storage ${storage.id} needs`);
    demand(storage.device, 'points', 'stateOfChargePercent', `storage ${storage.id} needs`);
    demand(storage.device, 'points', 'batteryPowerW', `storage ${storage.id} needs`);
  }
  for (const load of site.loads) demand(load.device, 'controls', load.control, `load ${load.id} is driven by`);
  if (problems.length > 0) {
    throw new WattpactError('site.invalid', problems.map((problem) => `${file}: ${problem}`).join('\n'));
  }
}
