// wattpact probe: every point of a device with raw registers, value, and what is suspicious.

import { Command } from 'commander';
import { linesOn } from '../fieldbus/fieldbus.ts';
import { type Probe, probeDevice } from '../fieldbus/probe.ts';
import { loadSite } from '../site/load.ts';
import type { LoadedSite, Profile } from '../site/types.ts';
import { deviceOf, printTable, withBus } from './bus-tools.ts';
import { EXIT_NO, printJson, printLine } from './output.ts';

/** Registers of a long text are cut to this many characters on the screen. */
const RAW_MAX = 40;

interface Options {
  readonly json?: boolean;
  readonly profiles?: string[];
}

export function probeCommand(): Command {
  return new Command('probe')
    .description(
      'Shows every point of a device with its registers, and what looks wrong: sign, word order, off by one.',
    )
    .argument('<site>', 'site file')
    .argument('[device...]', 'devices; all when none is named')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .option('--json', 'one JSON document')
    .action(async (file: string, names: string[], options: Options) => {
      const probes = await probeSite(loadSite(file, options.profiles), names);
      if (options.json) printJson(probes);
      else for (const probe of probes) printProbe(probe);
      if (
        probes.some(
          ({ failure, suspicions, points }) =>
            failure !== null || suspicions.length > 0 || points.some((point) => point.suspicions.length > 0),
        )
      ) {
        process.exitCode = EXIT_NO;
      }
    });
}

/** Probes devices of a site, bus by bus. */
export async function probeSite(
  loaded: LoadedSite,
  names: readonly string[],
  points: readonly string[] = [],
): Promise<Probe[]> {
  const devices = names.length > 0 ? names.map((name) => deviceOf(loaded, name).device) : loaded.site.devices;
  const probes: Probe[] = [];
  for (const bus of loaded.site.buses) {
    const here = devices.filter((device) => device.bus === bus.id);
    if (here.length === 0) continue;
    await withBus(bus, linesOn(bus, loaded.site, loaded.profiles), async (owner) => {
      for (const device of here) {
        const profile = loaded.profiles.get(device.profile) as Profile;
        const all = points.length === 0;
        probes.push(await probeDevice(owner, device, all ? profile : only(profile, points), { models: all }));
      }
    });
  }
  return probes;
}

function only(profile: Profile, points: readonly string[]): Profile {
  return { ...profile, identify: [], points: new Map([...profile.points].filter(([name]) => points.includes(name))) };
}

function printProbe(probe: Probe): void {
  printLine(`${probe.device}:`);
  if (probe.failure !== null) printLine(`  cannot be probed: ${probe.failure}`);
  printTable(probe.identity.map(({ what, text, fits }) => ['  ', what, text, fits ? '' : 'does not fit the profile']));
  printTable(
    probe.points.map(({ measurand, value, unit, raw, reason, suspicions }) => [
      '  ',
      measurand,
      shownValue(value),
      unitText(unit),
      raw,
      [reason ?? '', ...suspicions].filter(Boolean).join('; '),
    ]),
  );
  for (const { id, address, length, title, values } of probe.models) {
    printLine(`  model ${id} ${title ?? '(not known here)'}: from ${address}, ${length} registers`);
    printTable(
      values.map(({ name, value, text, unit, raw, reason }) => [
        '   ',
        name,
        text ?? shownValue(value),
        unit,
        raw.length > RAW_MAX ? `${raw.slice(0, RAW_MAX)}...` : raw,
        reason ?? '',
      ]),
    );
  }
  for (const suspicion of probe.suspicions) printLine(`  ! ${suspicion}`);
}

export function shownValue(value: number | null): string {
  return value === null ? '-' : String(Math.round(value * 1000) / 1000);
}

export function unitText(unit: string): string {
  return unit === 'none' ? '' : unit;
}
