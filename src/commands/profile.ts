// wattpact profile: list, show, check, test, new, schema.

import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command } from 'commander';
import { describeError, WattpactError } from '../base/errors.ts';
import { alternativesOf } from '../fieldbus/codec.ts';
import { frameProblems } from '../fieldbus/golden.ts';
import { loadProfile, profileNames } from '../site/load.ts';
import { CONTROLS, MEASURANDS } from '../site/measurands.ts';
import { PROFILE_FORMAT, profileSchema } from '../site/profile-schema.ts';
import type { Part, Profile } from '../site/types.ts';
import { jsonSchemaOf } from '../site/yaml.ts';
import { printTable } from './bus-tools.ts';
import { EXIT_NO, printJson, printLine, writeOut } from './output.ts';

export function profileCommand(): Command {
  const command = new Command('profile').description(
    'Register maps of devices: list, show, check, test, make new ones.',
  );
  command
    .command('list')
    .description('All profiles that can be found.')
    .option('--dir <dir...>', 'folders with profiles of your own')
    .option('--json', 'one JSON document')
    .action((options: { dir?: string[]; json?: boolean }) => {
      const profiles = profileNames(options.dir).map((name) => loadProfile(name, options.dir));
      if (options.json) {
        printJson(profiles.map(({ name, maker, model, kind, verified }) => ({ name, maker, model, kind, verified })));
        return;
      }
      printTable(profiles.map(({ name, kind, maker, model, verified }) => [name, kind, `${maker} ${model}`, verified]));
      printLine(`${profiles.length} profiles`);
    });
  command
    .command('show')
    .description('What a profile reads and writes.')
    .argument('<profile>', 'name (eastron/sdm630) or file')
    .option('--dir <dir...>', 'folders with profiles of your own')
    .option('--json', 'one JSON document')
    .action((name: string, options: { dir?: string[]; json?: boolean }) => {
      const profile = loadProfile(name, options.dir);
      if (options.json) printJson(plain(profile));
      else show(profile);
    });
  command
    .command('check')
    .description('Checks profiles; every error with file, line and column.')
    .argument('<file...>', 'profile files or names')
    .option('--dir <dir...>', 'folders with profiles of your own')
    .action((files: string[], options: { dir?: string[] }) => {
      eachOf(files, (file) => {
        loadProfile(file, options.dir);
        return [];
      });
    });
  command
    .command('test')
    .description('Checks profiles against their golden frames; all profiles when none is named.')
    .argument('[file...]', 'profile files or names')
    .option('--dir <dir...>', 'folders with profiles of your own')
    .action((files: string[], options: { dir?: string[] }) => {
      eachOf(files.length > 0 ? files : profileNames(options.dir), (file) => {
        const profile = loadProfile(file, options.dir);
        return profile.frames.flatMap((frame) =>
          frameProblems(profile, frame).map((problem) => `frame ${frame.request}: ${problem}`),
        );
      });
    });
  command
    .command('new')
    .description('Writes a commented skeleton to start from.')
    .argument('<file>', 'where to write it: profiles/<maker>/<model>.yaml')
    .action((file: string) => {
      if (!/\.ya?ml$/.test(file))
        throw new WattpactError('usage.file', `${file} is no name of a profile file: it ends in .yaml`, {
          hint: `For instance: wattpact profile new profiles/${file}.yaml`,
        });
      if (existsSync(file)) throw new WattpactError('usage.file', `${file} is already there`);
      mkdirSync(dirname(file), { recursive: true });
      writeOut(file, SKELETON);
      printLine(`${file}: written; fill it in, then: wattpact profile check ${file}`);
    });
  command
    .command('schema')
    .description('The JSON Schema of profiles, for editors (profiles/schema.json).')
    .action(() => printLine(profileJsonSchema()));
  return command;
}

/** The text of profiles/schema.json. */
export function profileJsonSchema(): string {
  return JSON.stringify(jsonSchemaOf(profileSchema), null, 1);
}

/** Says `ok` or what is wrong of each; ends with 1 when anything was. */
function eachOf(files: readonly string[], problemsOf: (file: string) => readonly string[]): void {
  let wrong = 0;
  for (const file of files) {
    let problems: readonly string[];
    try {
      problems = problemsOf(file);
    } catch (error) {
      if (!(error instanceof WattpactError)) throw error;
      problems = describeError(error).split('\n');
    }
    if (problems.length === 0) printLine(`${file}: ok`);
    for (const problem of problems) printLine(problem.startsWith(file) ? problem : `${file}: ${problem}`);
    wrong += problems.length > 0 ? 1 : 0;
  }
  if (wrong > 0) process.exitCode = EXIT_NO;
}

function show(profile: Profile): void {
  printLine(`${profile.name}: ${profile.maker} ${profile.model} (${profile.kind}), ${profile.verified}`);
  for (const source of profile.sources) printLine(`  source: ${source}`);
  printLine(`  speaks ${profile.line.transports.join(', ')}; unit ${profile.line.unitId} unless set otherwise`);
  const rows: string[][] = [];
  for (const point of profile.points.values()) {
    const where = point.parts.map((part) => alternativesOf(part).map(placeText).join(' or '));
    const info = MEASURANDS[point.measurand];
    rows.push(['  ', point.measurand, info?.unit ?? '', point.poll, where.join(point.parts.length > 1 ? ' + ' : '')]);
  }
  for (const control of profile.controls.values()) {
    const info = CONTROLS[control.control];
    const back = control.watchdog === null ? 'stays when the gateway is gone' : 'forgets by itself';
    rows.push(['> ', control.control, info?.unit ?? '', control.storage, `${control.min} to ${control.max}; ${back}`]);
  }
  printTable(rows);
  if (profile.notes !== null) printLine(profile.notes);
}

function placeText({ model, table, address, type }: Part): string {
  return model === null ? `${table} ${address} ${type}` : `model ${model} at ${address} ${type}`;
}

/** JSON has no maps and no bigints. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (typeof value === 'number' && !Number.isFinite(value)) return null;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

const SKELETON = `# docs/profiles.md explains every key.
format: ${PROFILE_FORMAT}
maker: Maker
model: Model as printed on the device
kind: meter # meter, pv, wind, battery, hybrid, relay, charger, heat-pump, sensor
phases: 3
verified: documented # documented: from a document; captured: from recorded frames; hardware: from a device that was there
sources:
  - Name and version of the document that the registers come from
line:
  transports: [rtu, rtu-over-tcp] # and tcp
  serial: { baud: 9600, parity: none, stopBits: 1 }
  registersMax: 100 # most registers a read
  holeMax: 8 # most unwanted registers between two wanted ones that are read along
defaults:
  table: input # holding, input
  addressBase: 0 # what the document calls the first register: 0, 1, 30001, 40001
  wordOrder: big # little: the low word comes first
points:
  # a canonical name, and where its value is. \`positive\` is the device's own direction.
  gridPowerW: { address: 52, type: f32, positive: import }
  importEnergyWh: { address: 72, type: f32, scale: 1000, counter: { resolutionWh: 1 } }
  exportEnergyWh: { address: 74, type: f32, scale: 1000, counter: { resolutionWh: 1 } }
identify:
  - { what: check, address: 70, type: f32, within: { min: 40, max: 70 } }
frames:
  # an exchange from the document or a recording (function code, address, count; function code, bytes, data) and its values
  - request: 04 0034 0002
    response: 04 04 45 0D 50 00
    values: { gridPowerW: 2261 }
`;
