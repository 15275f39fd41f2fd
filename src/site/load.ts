// Profiles and site files from disk. The only I/O of this folder.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { WattpactError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { fileReason, textOfFile } from '../base/text.ts';
import { checkProfiles, parseProfile, parseSite, siteNotes, withProfiles } from './parse.ts';
import type { LoadedSite, Profile, SiteFile } from './types.ts';
import { YAML_CHARACTERS_MAX } from './yaml.ts';

/** Profiles that come with the project. */
export const PROFILES_DIR = resolve(import.meta.dirname, '../../profiles');

/**
 * A site file and its profiles. `profileDirs` are searched in order, then `profiles` beside the site file, the shipped profiles last.
 * Paths of `market` become absolute.
 */
export function loadSite(file: string, profileDirs: readonly string[] = []): LoadedSite {
  const text = readText(file, 'site');
  const site = withAbsolutePaths(parseSite(text, file), dirname(resolve(file)));
  const profiles = new Map<string, Profile>();
  const dirs = profileDirsOf(file, profileDirs);
  const problems: string[] = [];
  for (const device of site.devices) {
    if (profiles.has(device.profile)) continue;
    try {
      profiles.set(device.profile, loadProfile(device.profile, dirs));
    } catch (error) {
      if (!(error instanceof WattpactError)) throw error;
      problems.push(
        error.code === 'profile.unknown' ? `${file}: device ${device.id}: ${error.message}` : error.message,
      );
    }
  }
  if (problems.length > 0) throw new WattpactError('site.invalid', problems.join('\n'));
  checkProfiles(site, profiles, file, text);
  return { file, site: withProfiles(site, profiles), profiles };
}

/** What a site's owner should know of a file that is valid, each as `file:line:column message`. */
export function notesOfSite(loaded: LoadedSite): readonly string[] {
  return siteNotes(loaded, readText(loaded.file, 'site'));
}

/** Folders in which a site's own profiles are looked for, in order. */
export function profileDirsOf(file: string, profileDirs: readonly string[]): string[] {
  return [...profileDirs, join(dirname(resolve(file)), 'profiles')];
}

/** Files whose change may change a site: its own, the shipped profiles that it uses, and every profile in its own folders. They need not exist. */
export function filesOfSite({ file, profiles }: LoadedSite, profileDirs: readonly string[] = []): string[] {
  const own = profileDirsOf(file, profileDirs).flatMap((dir) => {
    return [dir, ...profileNames([dir], []).map((name) => join(dir, `${name}.yaml`))];
  });
  return [file, ...own, ...[...profiles.keys()].map((name) => join(PROFILES_DIR, `${name}.yaml`))];
}

/** A profile by its name (`eastron/sdm630`) or the path of its file. Errors: `profile.unknown`, `profile.invalid`. */
export function loadProfile(nameOrFile: string, profileDirs: readonly string[] = []): Profile {
  if (/\.ya?ml$/.test(nameOrFile)) return parseProfile(readText(nameOrFile, 'profile'), nameOrFile);
  for (const dir of [...profileDirs, PROFILES_DIR]) {
    const file = join(dir, `${nameOrFile}.yaml`);
    if (statSync(file, { throwIfNoEntry: false })?.isFile()) return parseProfile(readText(file, 'profile'), file);
  }
  const meant = nearest(nameOrFile, profileNames(profileDirs));
  throw new WattpactError(
    'profile.unknown',
    `there is no profile ${nameOrFile}${meant === null ? '' : `; did you mean ${meant}?`}`,
    { hint: '`wattpact profile list` shows them all' },
  );
}

/** Names of all profiles, in order. */
export function profileNames(
  profileDirs: readonly string[] = [],
  shipped: readonly string[] = [PROFILES_DIR],
): string[] {
  const names = [...profileDirs, ...shipped].flatMap((dir) =>
    entriesOf(dir).flatMap((maker) =>
      entriesOf(join(dir, maker))
        .filter((file) => file.endsWith('.yaml'))
        .map((file) => `${maker}/${file.slice(0, -'.yaml'.length)}`),
    ),
  );
  return [...new Set(names)].sort();
}

function withAbsolutePaths(site: SiteFile, folder: string): SiteFile {
  if (site.market === null) return site;
  const absolute = (path: string): string => (isAbsolute(path) ? path : join(folder, path));
  const { genesis, key, dataDir } = site.market;
  return {
    ...site,
    market: { ...site.market, genesis: absolute(genesis), key: absolute(key), dataDir: absolute(dataDir) },
  };
}

function readText(file: string, what: 'site' | 'profile'): string {
  let bytes: Uint8Array;
  try {
    if (statSync(file).size > 4 * YAML_CHARACTERS_MAX) throw new Error('it is far too long');
    bytes = readFileSync(file);
  } catch (cause) {
    throw new WattpactError(`${what}.file`, `cannot read the ${what} file ${file}: ${fileReason(cause)}`, { cause });
  }
  return textOfFile(bytes, file);
}

function entriesOf(dir: string): string[] {
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(dir).sort();
}
