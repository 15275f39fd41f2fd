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

interface Found {
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

/** The part of a site file that a scan can know. */
function proposal(found: readonly Found[], profiles: readonly Profile[]): string {
  if (found.length === 0) return '# nothing answered';
  const lines = ['# Proposed from a scan: check roles, and complete it (see devices/examples).', 'buses:'];
  for (const { bus } of found) {
    lines.push(
      bus.kind === 'rtu'
        ? `  ${bus.id}: { kind: rtu, path: ${bus.path}, baud: ${bus.baud}, parity: ${bus.parity}, stopBits: ${bus.stopBits} }`
        : `  ${bus.id}: { kind: ${bus.kind}, host: ${bus.host}, port: ${bus.port} }`,
    );
  }
  lines.push('devices:');
  for (const { bus, devices } of found) {
    for (const device of devices) {
      const [best, ...others] = device.profiles;
      const profile = profiles.find(({ name }) => name === best);
      const identity = [device.maker, device.model, device.serial, device.firmware].filter(Boolean).join(', ');
      if (identity !== '') lines.push(`  # ${identity}`);
      if (device.sunspecModels.length > 0) lines.push(`  # SunSpec models ${device.sunspecModels.join(', ')}`);
      if (others.length > 0) lines.push(`  # may also be ${others.slice(0, 5).join(', ')}`);
      const kind = profile?.kind ?? 'unknown';
      const role =
        kind === 'meter' || kind === 'sensor' ? 'meter' : kind === 'charger' || kind === 'heat-pump' ? 'load' : kind;
      const entry = `${kind}-${bus.id}-${device.unitId}: { profile: ${best ?? 'unknown/unknown'}, bus: ${bus.id}, unitId: ${device.unitId}, role: ${role} }`;
      lines.push(best === undefined ? `  # no profile fits: ${entry}` : `  ${entry}`);
    }
  }
  return lines.join('\n');
}
