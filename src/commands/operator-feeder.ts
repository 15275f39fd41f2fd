// `wattpact operator feeder`: a feeder's folder (buses.csv, lines.csv) as the request that publishes it.

import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { intervalAt } from '../base/interval.ts';
import { feederProblem } from '../ledger/grid.ts';
import type { BusRecord } from '../market/feeder.ts';
import { ID } from '../protocol/envelope.ts';
import type { Bus, Feeder } from '../protocol/genesis.ts';
import { readFeeder } from './market-files.ts';
import { printLine } from './output.ts';
import { writeRequestFile } from './request-file.ts';
import { loadGenesis } from './runtime.ts';
import { voltageBand } from './voltage-band.ts';

interface Options {
  readonly genesis: string;
  readonly out: string;
  readonly id: string;
  readonly as: string;
  readonly utility: string;
  readonly location: string;
  readonly from: string;
  readonly voltageBand?: string;
}

export function feederCommand(): Command {
  return new Command('feeder')
    .description(
      "publish a feeder's buses and lines from an interval on: the folder that `market clear` and `market import` know",
    )
    .argument('<folder>', 'buses.csv and lines.csv')
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .requiredOption('--id <feeder>', 'its id: a new one, or one of yours whose lines change')
    .requiredOption('--as <operator>', 'its operator, who submits the request')
    .requiredOption('--utility <id>', 'who buys and sells at the root')
    .requiredOption('--location <lat,lon>', 'degrees; kept to a tenth')
    .requiredOption('--from <time>', 'start of the first interval it holds for, like 2026-07-01T00:00Z')
    .option('--voltage-band <percent>', 'clearings keep every bus within this of its nominal voltage')
    .requiredOption('-o, --out <file>', 'where to write the request')
    .action(publish);
}

async function publish(folder: string, options: Options): Promise<void> {
  const { chain, interval } = loadGenesis(options.genesis);
  const { records } = await readFeeder(folder, interval.lengthMs);
  const [latitudeDeg10, longitudeDeg10] = location(options.location);
  const feeder: Feeder = {
    buses: records.map((record) => busOf(folder, record)),
    id: options.id,
    latitudeDeg10,
    longitudeDeg10,
    operator: options.as,
    utility: options.utility,
    ...(options.voltageBand === undefined ? {} : { voltage: voltageBand(options.voltageBand) }),
  };
  const problem = feederProblem(feeder);
  if (problem !== null) throw new WattpactError('csv.feeder', `${folder}: ${problem}`);
  const fromInterval = firstInterval(options.from, interval.lengthMs);
  writeRequestFile(options.out, { body: { feeder, fromInterval }, chain, kind: 'feeder.publish' }, true);
  const limited = records.filter(({ capacityW }) => capacityW !== null).length;
  printLine(
    `${options.out}: feeder.publish, ${records.length} buses, ${limited} lines with a limit, from interval ${fromInterval}`,
  );
}

function busOf(folder: string, { resistanceUohm, reactanceUohm, nominalV, ...bus }: BusRecord): Bus {
  if (!ID.test(bus.id)) {
    throw new WattpactError(
      'csv.bus',
      `${folder}: bus ${bus.id} cannot go on a chain: ids there are a-z, 0-9 and -, at most 64`,
    );
  }
  return {
    ...bus,
    ...(nominalV === undefined ? {} : { nominalV }),
    ...(reactanceUohm === undefined ? {} : { reactanceUohm }),
    ...(resistanceUohm === undefined ? {} : { resistanceUohm }),
  };
}

function location(text: string): readonly [number, number] {
  const match = /^(-?\d{1,2}(?:\.\d+)?),\s*(-?\d{1,3}(?:\.\d+)?)$/.exec(text);
  const [latitude, longitude] = [Number(match?.[1]), Number(match?.[2])];
  if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180)) {
    throw new WattpactError('usage.location', `location "${text}" is no latitude,longitude in degrees`, {
      hint: 'For example: 48.5,7.9',
    });
  }
  return [Math.round(latitude * 10), Math.round(longitude * 10)];
}

function firstInterval(text: string, lengthMs: number): number {
  const atMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z$/.test(text) ? Date.parse(text) : Number.NaN;
  if (!(atMs >= 0) || atMs % lengthMs !== 0) {
    throw new WattpactError(
      'usage.from',
      `"${text}" is not the start of an interval of ${lengthMs / 60_000} minutes in UTC`,
      {
        hint: 'For example: 2026-07-01T00:00Z',
      },
    );
  }
  return intervalAt(atMs, lengthMs);
}
