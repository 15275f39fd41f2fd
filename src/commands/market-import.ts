// `wattpact market import`: a network's electrical data (resistance, reactance, length, rating) to a feeder's folder, by
// the rule of src/market/tariffs.ts. Reads buses.csv (bus,vn_kv,is_root), lines.csv (line,from,to,r_ohm,x_ohm,limit_a,
// limit_kva,length_m,in_service) and, if it is there, loads.csv (bus,p_kw) for the power that losses are stated at.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { CAPACITY_W_MAX } from '../market/feeder.ts';
import { DEFAULT_TARIFF_RULE, lineTerms, type TariffRule } from '../market/tariffs.ts';
import { at_, readCsv } from './market-files.ts';
import { printLine } from './output.ts';
import { loadGenesis } from './runtime.ts';

/** Loss is stated at this share of the rating where no nominal load is known. */
const REFERENCE_LOADING = 0.3;

interface Network {
  readonly path: string;
  readonly buses: ReadonlyMap<string, NetworkBus>;
  readonly lines: readonly NetworkLine[];
  readonly loadsW: ReadonlyMap<string, number>;
}

interface NetworkBus {
  readonly at: number;
  readonly nominalV: number;
  readonly isRoot: boolean;
}

interface NetworkLine {
  readonly at: number;
  readonly from: string;
  readonly to: string;
  readonly resistanceUohm: number;
  readonly reactanceUohm: number;
  readonly lengthM: number;
  readonly limitA: number | null;
  readonly limitVa: number | null;
}

interface ImportOptions extends Partial<TariffRule> {
  readonly from: string;
  readonly to: string;
  readonly genesis?: string;
}

export function marketImportCommand(): Command {
  const number = (text: string): number => {
    if (!/^[0-9]{1,6}$/.test(text)) throw new WattpactError('usage.number', `"${text}" is no whole number`);
    return Number(text);
  };
  const { distanceUcPerWhKm, energyUcPerWh, loadingPercent } = DEFAULT_TARIFF_RULE;
  return new Command('import')
    .description("turn a network's r, x, length and ampacity into a feeder's folder")
    .requiredOption('--from <folder>', 'folder with buses.csv, lines.csv and perhaps loads.csv')
    .requiredOption('--to <folder>', "the feeder's folder, created if need be")
    .option('--genesis <file>', "take the rule's parameters from this genesis")
    .option('--distance-uc-per-wh-km <price>', `charge a kilometre (default: ${distanceUcPerWhKm})`, number)
    .option('--energy-uc-per-wh <price>', `price of lost energy (default: ${energyUcPerWh})`, number)
    .option('--loading-percent <share>', `share of the rating that may be used (default: ${loadingPercent})`, number)
    .action(async (options: ImportOptions) => {
      const { from, to, genesis, ...given } = options;
      const agreed = genesis === undefined ? DEFAULT_TARIFF_RULE : loadGenesis(genesis).tariffRule;
      const network = await readNetwork(from);
      const written = writeFeeder(network, { ...agreed, ...given }, to);
      printLine(`${to}: ${written.buses} buses, ${written.limited} of ${written.buses - 1} lines with a limit`);
    });
}

async function readNetwork(folder: string): Promise<Network> {
  const busesPath = join(folder, 'buses.csv');
  const linesPath = join(folder, 'lines.csv');
  const loadsPath = join(folder, 'loads.csv');
  const buses = new Map<string, NetworkBus>();
  for await (const { line, cells } of readCsv(busesPath, ['bus', 'vn_kv', 'is_root'])) {
    const [bus, nominalKv, isRoot] = cells as [string, string, string];
    if (buses.has(bus)) throw at_(busesPath, line, `bus ${bus} appears twice`);
    const nominalV = Math.round(decimal(busesPath, line, 'vn_kv', nominalKv) * 1000);
    if (nominalV === 0) throw at_(busesPath, line, 'vn_kv is 0');
    buses.set(bus, { at: line, nominalV, isRoot: isRoot === '1' || isRoot === 'true' });
  }
  const lines: NetworkLine[] = [];
  const columns = ['from', 'to', 'r_ohm', 'x_ohm', 'limit_a?', 'limit_kva?', 'length_m?', 'in_service?'];
  for await (const { line: at, cells } of readCsv(linesPath, columns)) {
    const [from, to, r, x, limitA, limitKva, lengthM, inService] = cells as string[] as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    if (inService === '0' || inService === 'false') continue;
    for (const bus of [from, to]) if (!buses.has(bus)) throw at_(linesPath, at, `unknown bus ${bus}`);
    const optional = (column: string, text: string): number | null =>
      text === '' ? null : decimal(linesPath, at, column, text);
    const kva = optional('limit_kva', limitKva);
    lines.push({
      at,
      from,
      to,
      resistanceUohm: Math.round(decimal(linesPath, at, 'r_ohm', r) * 1e6),
      reactanceUohm: Math.round(decimal(linesPath, at, 'x_ohm', x) * 1e6),
      lengthM: Math.round(optional('length_m', lengthM) ?? 0),
      limitA: optional('limit_a', limitA),
      limitVa: kva === null ? null : Math.floor(kva * 1000),
    });
  }
  const loadsW = new Map<string, number>();
  if (existsSync(loadsPath)) {
    for await (const { line, cells } of readCsv(loadsPath, ['bus', 'p_kw'])) {
      const [bus, p] = cells as [string, string];
      if (!buses.has(bus)) throw at_(loadsPath, line, `unknown bus ${bus}`);
      loadsW.set(bus, (loadsW.get(bus) ?? 0) + Math.round(decimal(loadsPath, line, 'p_kw', p) * 1000));
    }
  }
  return { path: folder, buses, lines, loadsW };
}

/** A decimal number >= 0. */
function decimal(path: string, line: number, column: string, text: string): number {
  const value = /^[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 0 && value <= 1e9)) throw at_(path, line, `${column} is "${text}", not a number from 0 to 10^9`);
  return value;
}

/** Hangs the network on its root and writes both files. */
function writeFeeder(network: Network, rule: TariffRule, folder: string): { buses: number; limited: number } {
  const { buses, loadsW } = network;
  const { order, lineOf, parentOf } = hang(network);
  const belowW = new Map(order.map((bus) => [bus, loadsW.get(bus) ?? 0]));
  for (const bus of order.slice(1).reverse()) {
    const parent = parentOf.get(bus) as string;
    belowW.set(parent, (belowW.get(parent) as number) + (belowW.get(bus) as number));
  }
  let busesCsv = 'bus,parent,vn_v\n';
  let linesCsv = 'bus,capacity_w,tariff_uc_per_wh,loss_ppm,r_uohm,x_uohm\n';
  let limited = 0;
  for (const bus of order) {
    const { nominalV } = buses.get(bus) as NetworkBus;
    busesCsv += `${cell(bus)},${cell(parentOf.get(bus) ?? '')},${nominalV}\n`;
    const line = lineOf.get(bus);
    if (line === undefined) continue;
    const ratingVa = line.limitVa ?? (line.limitA === null ? null : Math.floor(Math.sqrt(3) * nominalV * line.limitA));
    const referenceW = belowW.get(bus) || Math.round((ratingVa ?? 0) * REFERENCE_LOADING);
    const terms = lineTerms({ ...line, nominalV, ratingVa, referenceW }, rule);
    if (terms.tariffUcPerWh > PRICE_UC_PER_WH_MAX) {
      const message = `its tariff would be ${terms.tariffUcPerWh} µ¤/Wh, the most is ${PRICE_UC_PER_WH_MAX}`;
      throw at_(join(network.path, 'lines.csv'), line.at, message, "Check length_m, r_ohm and the rule's prices.");
    }
    if (terms.capacityW !== null) limited++;
    const capacityW = terms.capacityW === null ? '' : Math.min(terms.capacityW, CAPACITY_W_MAX);
    linesCsv += `${cell(bus)},${capacityW},${terms.tariffUcPerWh},${terms.lossPpm},${line.resistanceUohm},${line.reactanceUohm}\n`;
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'buses.csv'), busesCsv);
  writeFileSync(join(folder, 'lines.csv'), linesCsv);
  return { buses: order.length, limited };
}

/** Walks from the root over lines in service; refuses loops, islands, no or several roots. */
function hang({ path, buses, lines }: Network): {
  order: string[];
  lineOf: Map<string, NetworkLine>;
  parentOf: Map<string, string>;
} {
  const busesPath = join(path, 'buses.csv');
  const linesPath = join(path, 'lines.csv');
  const [root, second] = [...buses].filter(([, { isRoot }]) => isRoot);
  if (root === undefined) throw at_(busesPath, 1, 'no bus is the root', 'One bus needs is_root 1.');
  if (second !== undefined) throw at_(busesPath, second[1].at, `two roots: ${root[0]} and ${second[0]}`);
  const touching = new Map<string, NetworkLine[]>();
  for (const line of lines) {
    for (const bus of [line.from, line.to]) {
      const list = touching.get(bus);
      if (list === undefined) touching.set(bus, [line]);
      else list.push(line);
    }
  }
  const order = [root[0]];
  const lineOf = new Map<string, NetworkLine>();
  const parentOf = new Map<string, string>();
  for (let i = 0; i < order.length; i++) {
    const bus = order[i] as string;
    for (const line of touching.get(bus) ?? []) {
      if (line === lineOf.get(bus)) continue;
      const next = line.from === bus ? line.to : line.from;
      if (next === order[0] || lineOf.has(next))
        throw at_(linesPath, line.at, `closes a loop at bus ${next}`, 'Open it with in_service 0.');
      lineOf.set(next, line);
      parentOf.set(next, bus);
      order.push(next);
    }
  }
  if (order.length < buses.size) {
    const [bus, { at }] = [...buses].find(([id]) => id !== order[0] && !lineOf.has(id)) as [string, NetworkBus];
    throw at_(busesPath, at, `no line in service leads to bus ${bus}`);
  }
  return { order, lineOf, parentOf };
}

function cell(text: string): string {
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
