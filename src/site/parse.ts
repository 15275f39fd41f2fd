// Profiles and site files from their text, and one against the other. load.ts reads the disk.

import { WattpactError } from '../base/errors.ts';
import { minuteOfDay } from '../base/interval.ts';
import { doubtsOf } from './plausible.ts';
import { type ProfileInput, profileOf, profileProblems, profileSchema } from './profile-schema.ts';
import { type SiteInput, siteOf, siteProblems, siteSchema } from './site-schema.ts';
import type { LoadedSite, Profile, SiteFile, SiteLoad } from './types.ts';
import { type Path, type Problem, parseYaml, placed } from './yaml.ts';

/** What becomes of a battery whose profile names no watchdog in the device. */
export const UNDRIVEN =
  'a gateway that dies would leave it at its last set-point, so it is never driven; it goes on by itself, is neither planned nor offered, and its flow counts as consumption';

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

/** What a site file asks of its profiles; `text` is the file's own. Errors: `site.invalid`, every problem as `file:line:column message`. */
export function checkProfiles(
  site: SiteFile,
  profiles: ReadonlyMap<string, Profile>,
  file: string,
  text: string,
): void {
  const problems = unmet(site, profiles);
  if (problems.length > 0) throw new WattpactError('site.invalid', placed(text, file, problems).join('\n'));
}

/** The site with what only the profiles say: which of its batteries can be driven. */
export function withProfiles(site: SiteFile, profiles: ReadonlyMap<string, Profile>): SiteFile {
  return {
    ...site,
    storage: site.storage.map((storage) => {
      const profile = profileOfDevice(site, profiles, storage.device);
      return { ...storage, driven: profile?.controls.get('batterySetpointW')?.failsafe === 'watchdog' };
    }),
  };
}

/** What is no error and yet not what its owner may expect, each as `file:line:column message`; `text` is the file's own. */
export function siteNotes({ site, file }: Pick<LoadedSite, 'site' | 'file'>, text: string): readonly string[] {
  const undriven = site.storage
    .filter(({ driven }) => !driven)
    .map(({ id, device }) => {
      const profile = site.devices.find((entry) => entry.id === device)?.profile;
      return { path: ['storage', id, 'device'], message: `profile ${profile} names no watchdog: ${UNDRIVEN}` };
    });
  return placed(text, file, [...undriven, ...site.loads.flatMap(neverMet), ...doubtsOf(site)]);
}

/** A need that does not fit into its hours. */
function neverMet({ id, kind, need, ratedW, minOnMs }: SiteLoad): Problem[] {
  if (need === null) return [];
  const minutes = (minuteOfDay(need.until) - minuteOfDay(need.from) + 1440) % 1440 || 1440;
  const hours = `from ${need.from} until ${need.until}`;
  if (kind === 'program') {
    if (minOnMs <= minutes * 60_000) return [];
    return [{ path: ['loads', id, 'need'], message: `the program lasts longer than ${hours}: it never runs` }];
  }
  const mostWh = Math.floor((ratedW * minutes) / 60);
  if (need.energyWh === null || need.energyWh <= mostWh) return [];
  const message = `${ratedW} W ${hours} are ${mostWh} Wh: it never gets all that it needs`;
  return [{ path: ['loads', id, 'need', 'energyWh'], message }];
}

function profileOfDevice(site: SiteFile, profiles: ReadonlyMap<string, Profile>, id: string): Profile | undefined {
  const device = site.devices.find((entry) => entry.id === id);
  return device === undefined ? undefined : profiles.get(device.profile);
}

function unmet(site: SiteFile, profiles: ReadonlyMap<string, Profile>): Problem[] {
  const problems: Problem[] = [];
  const demand = (device: string, path: Path, kind: 'points' | 'controls', name: string, why: string): void => {
    const profile = profileOfDevice(site, profiles, device);
    if (profile !== undefined && !profile[kind].has(name)) {
      problems.push({ path, message: `profile ${profile.name} has no ${name}, which ${why}` });
    }
  };
  for (const device of site.devices) {
    const path = ['devices', device.id];
    const bus = site.buses.find((entry) => entry.id === device.bus);
    const profile = profiles.get(device.profile);
    // A gateway between the network and a serial line lets a serial device be asked by TCP.
    const spoken = new Set<string>(profile?.line.transports);
    if (spoken.has('rtu')) spoken.add('tcp');
    if (profile !== undefined && bus !== undefined && !spoken.has(bus.kind)) {
      const message = `profile ${profile.name} does not speak ${bus.kind} (bus ${bus.id})`;
      problems.push({ path: [...path, 'bus'], message });
    }
    if (device.role === 'grid-meter') {
      for (const name of ['gridPowerW', 'importEnergyWh', 'exportEnergyWh']) {
        demand(device.id, [...path, 'profile'], 'points', name, 'a grid meter needs');
      }
    }
    if (device.role === 'pv' || device.role === 'wind') {
      demand(device.id, [...path, 'profile'], 'points', 'generationPowerW', `role ${device.role} needs`);
    }
    if (!device.curtailable) continue;
    demand(device.id, [...path, 'curtailable'], 'controls', 'generationLimitW', '`curtailable` needs');
    if (device.ratedW === null && profile?.points.has('ratedPowerW') !== true) {
      problems.push({ path: [...path, 'curtailable'], message: 'needs ratedW' });
    }
  }
  for (const { id, device } of site.storage) {
    const path = ['storage', id, 'device'];
    demand(device, path, 'controls', 'batterySetpointW', 'a battery needs');
    demand(device, path, 'points', 'stateOfChargePercent', 'a battery needs');
    demand(device, path, 'points', 'batteryPowerW', 'a battery needs');
  }
  for (const { id, device, control, block } of site.loads) {
    demand(device, ['loads', id, 'control'], 'controls', control, 'drives it');
    if (block !== null) demand(device, ['loads', id, 'block'], 'controls', block, 'drives it');
  }
  return problems;
}
