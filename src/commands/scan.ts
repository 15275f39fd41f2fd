// wattpact scan: finds devices on a network or a serial line and proposes a site file.

import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { type FoundDevice, scanUnit } from '../fieldbus/scan.ts';
import { loadProfile, profileNames } from '../site/load.ts';
import type { Bus, Parity, Profile } from '../site/types.ts';
import { withBus } from './bus-tools.ts';
import { EXIT_NO, printJson, printLine } from './output.ts';

interface Options {
  readonly tcp?: string[];
  readonly serial?: string;
  readonly baud: string;
  readonly parity: string;
  readonly ids: string;
  readonly timeout: string;
  readonly profiles?: string[];
  readonly json?: boolean;
}

export interface Found {
  readonly bus: Bus;
  readonly devices: readonly FoundDevice[];
}

export function scanCommand(): Command {
  return new Command('scan')
    .description('Finds and recognises devices, and proposes a site file.')
    .option('--tcp <hosts...>', 'hosts to look at: HOST or HOST:PORT')
    .option('--serial <path>', 'serial port to look at')
    .option('--baud <list>', 'speeds to try, with commas', '9600,19200,115200,2400')
    .option('--parity <list>', 'parities to try, with commas', 'none,even')
    .option('--ids <range>', 'unit ids: 1-247, or 1,2,10', '1-16')
    .option('--timeout <ms>', 'wait for each answer', '200')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .option('--json', 'one JSON document')
    .action(async (options: Options) => {
      const ids = idsOf(options.ids);
      const timeoutMs = Number(options.timeout);
      if (!(timeoutMs >= 10 && timeoutMs <= 10_000))
        throw new WattpactError('usage.timeout', '--timeout is 10 to 10000 ms');
      const buses = [...(options.tcp ?? []).map(tcpBus), ...serialBuses(options)];
      if (buses.length === 0)
        throw new WattpactError('usage.scan', 'nothing to look at', { hint: 'give --tcp HOST or --serial PATH' });
      const profiles = profileNames(options.profiles).map((name) => loadProfile(name, options.profiles));
      const found: Found[] = [];
      for (const bus of buses) {
        // One speed answers on a serial line; the others need not be tried.
        if (bus.kind === 'rtu' && found.some((entry) => entry.bus.kind === 'rtu')) continue;
        const devices = await withBus(bus, [], async (owner) => {
          const seen: FoundDevice[] = [];
          for (const id of ids) {
            const device = await scanUnit(owner, id, profiles, timeoutMs);
            if (device !== null) seen.push(device);
          }
          return seen;
        });
        if (devices.length > 0) found.push({ bus, devices });
      }
      if (options.json) printJson(found);
      else printLine(proposal(found, profiles));
      if (found.length === 0) process.exitCode = EXIT_NO;
    });
}

function idsOf(text: string): number[] {
  const ids = text.split(',').flatMap((piece) => {
    const match = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(piece.trim());
    const first = Number(match?.[1] ?? Number.NaN);
    const last = Number(match?.[2] ?? first);
    if (!(first >= 0 && last <= 247 && first <= last)) {
      throw new WattpactError('usage.ids', `${piece} is no range of unit ids`, { hint: 'such as 1-247 or 1,2,10' });
    }
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  return [...new Set(ids)];
}

function tcpBus(text: string, index: number): Bus {
  const match = /^(.+?)(?::(\d{1,5}))?$/.exec(text);
  return {
    id: `network-${index + 1}`,
    kind: 'tcp',
    host: match?.[1] ?? text,
    port: Number(match?.[2] ?? 502),
    share: null,
  };
}

function serialBuses({ serial, baud, parity }: Options): Bus[] {
  if (serial === undefined) return [];
  return baud.split(',').flatMap((speed) =>
    parity.split(',').map((name): Bus => {
      if (!['none', 'even', 'odd'].includes(name) || !(Number(speed) >= 300)) {
        throw new WattpactError('usage.serial', `${speed} baud, parity ${name} is no setting of a serial line`);
      }
      return { id: 'serial', kind: 'rtu', path: serial, baud: Number(speed), parity: name as Parity, stopBits: 1 };
    }),
  );
}

/** A site file of what was found: `wattpact site check` takes it; what a scan cannot know is marked. */
export function proposal(found: readonly Found[], profiles: readonly Profile[]): string {
  if (found.length === 0) return '# nothing answered';
  const lines = [
    '# Proposed from a scan. What is marked with (!) a scan cannot know: change it.',
    'version: 1',
    'id: my-site # (!)',
    'name: My site # (!)',
    'location: { latitude: 50, longitude: 10 } # (!)',
    'timezone: Europe/Berlin # (!)',
    'connection: { phases: 3, ampsPerPhase: 35, importLimitW: 24000, exportLimitW: 10000, defaultLimit: { importW: 24000, exportW: 0 } } # (!)',
    'buses:',
  ];
  for (const { bus } of found) {
    lines.push(
      bus.kind === 'rtu'
        ? `  ${bus.id}: { kind: rtu, path: ${bus.path}, baud: ${bus.baud}, parity: ${bus.parity}, stopBits: ${bus.stopBits} }`
        : `  ${bus.id}: { kind: ${bus.kind}, host: ${bus.host}, port: ${bus.port} }`,
    );
  }
  lines.push('devices:');
  const entries = found.flatMap(({ bus, devices }) => devices.map((device) => entryOf(bus, device, profiles)));
  const meter = gridMeterOf(entries);
  if (meter === null) lines.push('  # (!) No meter was found: the site needs one with role grid-meter.');
  for (const entry of entries) {
    lines.push(...entry.comments.map((comment) => `  # ${comment}`));
    if (entry.profile === null) {
      lines.push(`  # no profile fits: bus ${entry.bus}, unit ${entry.unitId}; write one (docs/profiles.md)`);
      continue;
    }
    const place = `profile: ${entry.profile.name}, bus: ${entry.bus}, unitId: ${entry.unitId}`;
    const isMeter = entry.role === 'meter';
    if (entry === meter && !isMeter) lines.push(`  grid: { ${place}, role: grid-meter } # (!) the meter behind it`);
    const role = entry === meter && isMeter ? 'grid-meter' : entry.role;
    const rated = isMeter ? '' : ', ratedW: 5000';
    const marked = isMeter
      ? entry === meter
        ? ' # (!) if this is the one at the grid connection'
        : ''
      : ' # (!) ratedW';
    lines.push(`  ${entry.kind}-${entry.bus}-${entry.unitId}: { ${place}, role: ${role}${rated} }${marked}`);
  }
  lines.push('contract: { floorUcPerWh: 5000, ceilingUcPerWh: 40000 } # (!)');
  return lines.join('\n');
}

interface Entry {
  readonly bus: string;
  readonly unitId: number;
  readonly profile: Profile | null;
  readonly kind: string;
  readonly role: string;
  readonly comments: readonly string[];
}

const ROLES: Readonly<Record<string, string>> = {
  meter: 'meter',
  sensor: 'meter',
  charger: 'load',
  'heat-pump': 'load',
};
/** Other profiles that a proposal names. */
const OTHERS_MAX = 5;

function entryOf(bus: Bus, device: FoundDevice, profiles: readonly Profile[]): Entry {
  const [best, ...others] = device.profiles;
  const profile = profiles.find(({ name }) => name === best) ?? null;
  const identity = [device.maker, device.model, device.serial, device.firmware].filter((text) => text !== null);
  const kind = profile?.kind ?? 'unknown';
  const comments = [
    ...(identity.length > 0 ? [identity.join(', ')] : []),
    ...(device.sunspecModels.length > 0 ? [`SunSpec models ${device.sunspecModels.join(', ')}`] : []),
    ...(others.length > 0 ? [`may also be ${others.slice(0, OTHERS_MAX).join(', ')}`] : []),
  ];
  return { bus: bus.id, unitId: device.unitId, profile, kind, role: ROLES[kind] ?? kind, comments };
}

/** A meter that counts both ways, else what shows such a meter behind it. */
function gridMeterOf(entries: readonly Entry[]): Entry | null {
  const needed = ['gridPowerW', 'importEnergyWh', 'exportEnergyWh'];
  const meters = entries.filter(({ profile }) => needed.every((name) => profile?.points.has(name)));
  return meters.find(({ role }) => role === 'meter') ?? meters[0] ?? null;
}
