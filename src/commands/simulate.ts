// wattpact simulate: serves a profile as a device, so that any master can read and write it.

import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { describeError, WattpactError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { createServedDevice } from '../simulator/device.ts';
import { type BusServer, serveSerial, serveTcp, type Units } from '../simulator/modbus/server.ts';
import { loadProfile } from '../site/load.ts';
import { MEASURANDS } from '../site/measurands.ts';
import type { Device, Profile } from '../site/types.ts';
import { machineClock } from './bus-tools.ts';
import { printLine } from './output.ts';
import { runUntilSignal } from './runtime.ts';

interface Options {
  readonly tcp?: string;
  readonly serial?: string;
  readonly baud: string;
  readonly unit?: string;
  readonly rated: string;
  readonly set?: string[];
  readonly profiles?: string[];
}

export function simulateCommand(): Command {
  return new Command('simulate')
    .description('Serves a profile as a Modbus device. Lines `point=value` on standard input change what it shows.')
    .argument('<profile>', 'name or file')
    .option('--tcp <port>', 'serve Modbus TCP on this port of loopback (0: any)')
    .option('--serial <path>', 'serve RTU on this serial port')
    .option('--baud <baud>', 'speed of the serial port', '9600')
    .option('--unit <id>', "unit id; the profile's own by default")
    .option('--rated <watts>', 'nameplate power', '10000')
    .option('--set <point=value...>', 'what it shows at first')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .action(async (name: string, options: Options) => {
      const profile = loadProfile(name, options.profiles);
      const device = standIn(profile, options);
      const values = liveGrid(profile);
      const served = createServedDevice(device, profile, 0, {
        refresh: () => served.show(values, machineClock.monotonicMs()),
        obey: (control, value, timeoutMs) => {
          const until = timeoutMs === null ? '' : `, for ${timeoutMs / 1000} s`;
          printLine(value === null ? `${control}: released` : `${control}: ${value}${until}`);
        },
        monotonicMs: machineClock.monotonicMs,
      });
      for (const point of profile.points.values()) if (point.counter !== null) served.setCounter(point.measurand, 0);
      for (const assignment of options.set ?? []) values.set(...assigned(profile, assignment));
      const { server, where } = await serve(new Map([[device.unitId, served.answer]]), options);
      printLine(
        `${profile.name}: unit ${device.unitId} on ${where}; point=value changes what it shows; Ctrl-C ends it`,
      );
      const input = createInterface({ input: process.stdin });
      input.on('line', (line) => {
        try {
          if (line.trim() !== '') values.set(...assigned(profile, line.trim()));
        } catch (error) {
          process.stderr.write(`wattpact: ${describeError(error)}\n`);
        }
      });
      runUntilSignal(async () => {
        input.close();
        served.stop();
        await server.close();
      });
    });
}

/** What a device shows before anybody says otherwise: a live grid, and nothing that flows. */
function liveGrid(profile: Profile): Map<string, number> {
  const shown: Readonly<Record<string, number>> = { V: 230, Hz: 50, degC: 25, '%': 50 };
  return new Map(
    [...profile.points.keys()].flatMap((name): [string, number][] => {
      const value = shown[MEASURANDS[name]?.unit ?? 'none'];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** The device of a site that a profile alone makes. */
function standIn(profile: Profile, options: Options): Device {
  const unitId = Number(options.unit ?? profile.line.unitId);
  const ratedW = Number(options.rated);
  if (!(Number.isInteger(unitId) && unitId >= 0 && unitId <= 255))
    throw new WattpactError('usage.unit', '--unit is 0 to 255');
  if (!(ratedW > 0)) throw new WattpactError('usage.rated', '--rated is a power in watts');
  return {
    id: profile.name,
    profile: profile.name,
    bus: 'served',
    unitId,
    role: 'meter',
    phases: ['L1', 'L2', 'L3'],
    ratedW,
    covers: [],
    curtailable: false,
    meter: null,
    ctFactor: 1,
  };
}

async function serve(units: Units, options: Options): Promise<{ server: BusServer; where: string }> {
  if ((options.tcp === undefined) === (options.serial === undefined)) {
    throw new WattpactError('usage.simulate', 'give one of --tcp PORT and --serial PATH');
  }
  if (options.serial !== undefined) {
    const { serial: path, baud } = options;
    return { server: await serveSerial(units, { path, baudRate: Number(baud), clock: machineClock }), where: path };
  }
  const host = '127.0.0.1';
  const server = await serveTcp(units, { host, port: Number(options.tcp), framing: 'tcp', clock: machineClock });
  return { server, where: `${host}:${server.port}` };
}

function assigned(profile: Profile, assignment: string): [string, number] {
  const match = /^([A-Za-z0-9]+)\s*=\s*(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)$/.exec(assignment);
  const [, point = '', text = ''] = match ?? [];
  if (match === null) throw new WattpactError('usage.set', `${assignment} is not point=value`);
  if (!profile.points.has(point)) {
    const meant = nearest(point, [...profile.points.keys()]);
    const hint = meant === null ? '' : `; did you mean ${meant}?`;
    throw new WattpactError('usage.set', `${profile.name} has no point ${point}${hint}`);
  }
  return [point, Number(text)];
}
