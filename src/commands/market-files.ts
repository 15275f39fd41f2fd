// The files of the offline market tool: feeders and orders as CSV in, results as JSON in and out. Every error names its
// file and line. Reads in pieces, so that a million orders need memory for their columns and ids only.

import { createReadStream, existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WattpactError } from '../base/errors.ts';
import { ENERGY_WH_MAX, PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { emptyBook, ORDERS_MAX } from '../market/book.ts';
import { type BusRecord, buildFeeder, CAPACITY_W_MAX, FeederError } from '../market/feeder.ts';
import type { Clearing, FeederModel, OrderBook, OrderTrade } from '../market/types.ts';
import type { TightenedLine } from '../market/voltage.ts';

/** Longest line of a CSV file, characters. */
const LINE_LENGTH_MAX = 10_000;
/** Largest result file: what one JSON text can hold in memory. */
const RESULT_BYTES_MAX = 500_000_000;

export interface CsvRow {
  /** Line of the file, from 1. */
  readonly line: number;
  /** The wanted columns, in the order asked for; '' for an optional one that the file lacks. */
  readonly cells: readonly string[];
}

/** Rows of a CSV file with a header. Columns may stand in any order and others may be there; optional ones end in `?`. */
export async function* readCsv(path: string, columns: readonly string[]): AsyncGenerator<CsvRow> {
  let places: number[] | null = null;
  let width = 0;
  for await (const { line, text } of readLines(path)) {
    if (text === '') continue;
    const cells = splitCells(path, line, text);
    if (places === null) {
      width = cells.length;
      refuseHeader(path, line, cells);
      places = columns.map((column) => {
        const at = cells.indexOf(column.replace('?', ''));
        if (at < 0 && !column.endsWith('?')) {
          throw at_(path, line, `no column ${column}: the header must name ${needed(columns)}`);
        }
        return at;
      });
      continue;
    }
    if (cells.length !== width) throw at_(path, line, `${cells.length} cells where the header has ${width}`);
    yield { line, cells: places.map((at) => (at < 0 ? '' : (cells[at] as string))) };
  }
  if (places === null) throw at_(path, 1, `empty; the header must name ${needed(columns)}`);
}

function needed(columns: readonly string[]): string {
  return columns.filter((column) => !column.endsWith('?')).join(',');
}

function refuseHeader(path: string, line: number, cells: readonly string[]): void {
  if (cells.length === 1 && /[;\t]/.test(cells[0] as string)) {
    throw at_(path, line, 'columns are separated by semicolons or tabs', 'Separate them by commas.');
  }
  const twice = cells.find((name, i) => name !== '' && cells.indexOf(name) !== i);
  if (twice !== undefined) throw at_(path, line, `column ${twice} appears twice`);
}

async function* readLines(path: string): AsyncGenerator<{ line: number; text: string }> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new WattpactError('csv.file', `${path}: there is no such file`);
  if (stat.isDirectory()) throw new WattpactError('csv.file', `${path}: it is a folder, not a file`);
  let rest = '';
  let line = 0;
  for await (const piece of createReadStream(path, { encoding: 'utf8', highWaterMark: 1 << 20 })) {
    const text = rest + (piece as string);
    const isDamaged = text.includes('\uFFFD');
    let from = 0;
    for (let to = text.indexOf('\n'); to >= 0; to = text.indexOf('\n', from)) {
      line++;
      const end = to > from && text.charCodeAt(to - 1) === 13 ? to - 1 : to;
      const bom = line === 1 && text.charCodeAt(from) === 0xfeff ? 1 : 0;
      const shown = text.slice(from + bom, end);
      if (isDamaged && shown.includes('\uFFFD')) {
        throw at_(path, line, `column ${shown.indexOf('\uFFFD') + 1} is no UTF-8`, 'Save the file as UTF-8.');
      }
      yield { line, text: shown };
      from = to + 1;
    }
    rest = text.slice(from);
    if (rest.length > LINE_LENGTH_MAX) throw at_(path, line + 1, `longer than ${LINE_LENGTH_MAX} characters`);
  }
  if (rest !== '') yield { line: line + 1, text: rest };
}

function splitCells(path: string, line: number, text: string): string[] {
  if (!text.includes('"')) return text.includes(' ') ? text.split(',').map((cell) => cell.trim()) : text.split(',');
  const cells: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = cell.exec(text);
    if (match === null) throw at_(path, line, 'a quotation mark is not closed or stands inside a cell');
    cells.push(match[1] === undefined ? (match[2] as string) : match[1].replaceAll('""', '"'));
    if (match[3] === '') return cells;
  }
}

/** An error at a line of a file. */
export function at_(path: string, line: number, message: string, hint?: string): WattpactError {
  return new WattpactError('csv.line', `${path}:${line}: ${message}`, hint === undefined ? {} : { hint });
}

const INTEGER = /^-?(?:0|[1-9][0-9]{0,15})$/;

function integer(path: string, line: number, column: string, text: string, min: number, max: number): number {
  const value = INTEGER.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw at_(path, line, `${column} is "${text}", not a whole number from ${min} to ${max}`);
  }
  return value;
}

export interface FeederFolder {
  readonly records: readonly BusRecord[];
  readonly feeder: FeederModel;
}

/** Largest resistance or reactance of a line, µohm, and nominal voltage, V. */
const UOHM_MAX = 1_000_000_000;
const NOMINAL_V_MAX = 1_000_000;

const ONE_ROOT = 'Leave the parent of one bus empty.';

/** A feeder's folder as records, and its model for intervals of `lengthMs`. */
export async function readFeeder(folder: string, lengthMs: number): Promise<FeederFolder> {
  const busesPath = join(folder, 'buses.csv');
  const linesPath = join(folder, 'lines.csv');
  const busLines: number[] = [];
  let root: string | null = null;
  const parents = new Map<string, string | null>();
  const nominals = new Map<string, number>();
  for await (const { line, cells } of readCsv(busesPath, ['bus', 'parent', 'vn_v?'])) {
    const [id, parent, nominal] = cells as [string, string, string];
    if (id === '') throw at_(busesPath, line, 'bus has no name');
    if (parents.has(id)) throw at_(busesPath, line, `bus ${id} appears twice`);
    if (parent === '' && root !== null) throw at_(busesPath, line, `two roots: ${root} and ${id}`, ONE_ROOT);
    if (parent === '') root = id;
    parents.set(id, parent === '' ? null : parent);
    if (nominal !== '') nominals.set(id, integer(busesPath, line, 'vn_v', nominal, 1, NOMINAL_V_MAX));
    busLines.push(line);
  }
  if (root === null) throw at_(busesPath, 1, 'no bus is the root', ONE_ROOT);
  const lines = await readLineRecords(linesPath, parents);
  const records: BusRecord[] = [];
  for (const [id, parent] of parents) {
    const record = lines.get(id);
    if (record === undefined && parent !== null) {
      throw at_(busesPath, busLines[records.length] as number, `bus ${id} has no line in ${linesPath}`);
    }
    records.push({ id, parent, ...(record ?? ROOT_LINE), nominalV: nominals.get(id) });
  }
  try {
    return { records, feeder: buildFeeder(records, { lengthMs }) };
  } catch (error) {
    if (!(error instanceof FeederError)) throw error;
    throw at_(busesPath, busLines[error.bus] ?? 1, error.message, error.hint);
  }
}

type LineRecord = Omit<BusRecord, 'id' | 'parent' | 'nominalV'>;
const ROOT_LINE: LineRecord = { capacityW: null, tariffUcPerWh: 0, lossPpm: 0 };

const LINE_COLUMNS = ['bus', 'capacity_w', 'tariff_uc_per_wh', 'loss_ppm', 'r_uohm?', 'x_uohm?'];

async function readLineRecords(
  path: string,
  parents: ReadonlyMap<string, string | null>,
): Promise<Map<string, LineRecord>> {
  const records = new Map<string, LineRecord>();
  for await (const { line, cells } of readCsv(path, LINE_COLUMNS)) {
    const [bus, capacity, tariff, loss, r, x] = cells as [string, string, string, string, string, string];
    const parent = parents.get(bus);
    if (parent === undefined) throw at_(path, line, `bus ${bus} is not in buses.csv`);
    if (parent === null) throw at_(path, line, `bus ${bus} is the root and has no line to a parent`);
    if (records.has(bus)) throw at_(path, line, `the line of bus ${bus} appears twice`);
    records.set(bus, {
      capacityW: capacity === '' ? null : integer(path, line, 'capacity_w', capacity, 0, CAPACITY_W_MAX),
      tariffUcPerWh: integer(path, line, 'tariff_uc_per_wh', tariff, 0, PRICE_UC_PER_WH_MAX),
      lossPpm: integer(path, line, 'loss_ppm', loss, 0, 1_000_000),
      resistanceUohm: r === '' ? undefined : integer(path, line, 'r_uohm', r, 0, UOHM_MAX),
      reactanceUohm: x === '' ? undefined : integer(path, line, 'x_uohm', x, 0, UOHM_MAX),
    });
  }
  return records;
}

export interface OrderFile {
  readonly ids: readonly string[];
  readonly book: OrderBook;
  /** The first round that each order takes part in, from 0. */
  readonly joins: Uint8Array;
}

/** Orders in the file's order, which is the consensus order. With several rounds a column `round` says where each joins. */
export async function readOrders(path: string, feeder: FeederModel, rounds = 1): Promise<OrderFile> {
  const busOf = new Map(feeder.ids.map((id, bus) => [id, bus]));
  const lineOf = new Map<string, number>();
  const columns = growingColumns();
  const joins: number[] = [];
  const names = ['id', 'bus', 'side', 'price_uc_per_wh', 'energy_wh', ...(rounds > 1 ? ['round'] : [])];
  for await (const { line, cells } of readCsv(path, names)) {
    const [id, busId, side, price, energy, round] = cells as [string, string, string, string, string, string?];
    if (id === '') throw at_(path, line, 'the order has no id');
    const earlier = lineOf.get(id);
    if (earlier !== undefined) throw at_(path, line, `order ${id} is already in line ${earlier}`);
    if (lineOf.size === ORDERS_MAX) throw at_(path, line, `more than ${ORDERS_MAX} orders`);
    const bus = busOf.get(busId);
    if (bus === undefined) throw at_(path, line, `order ${id} is at unknown bus ${busId}`);
    if (side !== 'supply' && side !== 'demand') throw at_(path, line, `side is "${side}", not supply or demand`);
    lineOf.set(id, line);
    columns.add(
      bus,
      side === 'supply' ? 1 : 0,
      integer(path, line, 'price_uc_per_wh', price, -PRICE_UC_PER_WH_MAX, PRICE_UC_PER_WH_MAX),
      integer(path, line, 'energy_wh', energy, 0, ENERGY_WH_MAX),
    );
    if (round !== undefined) joins.push(integer(path, line, 'round', round, 1, rounds) - 1);
  }
  const book = columns.book();
  return { ids: [...lineOf.keys()], book, joins: rounds > 1 ? Uint8Array.from(joins) : new Uint8Array(book.size) };
}

/** Columns that double as they fill. */
function growingColumns(): {
  add(bus: number, supply: number, price: number, energy: number): void;
  book(): OrderBook;
} {
  let columns = emptyBook(1024);
  let size = 0;
  const resized = (length: number): OrderBook => {
    const fresh = emptyBook(length);
    for (const key of ['buses', 'supply', 'pricesUcPerWh', 'energiesWh'] as const) {
      fresh[key].set(columns[key].subarray(0, Math.min(length, size)));
    }
    return fresh;
  };
  return {
    add(bus, supply, price, energy) {
      if (size === columns.size) columns = resized(Math.min(2 * size, ORDERS_MAX));
      columns.buses[size] = bus;
      columns.supply[size] = supply;
      columns.pricesUcPerWh[size] = price;
      columns.energiesWh[size++] = energy;
    },
    book: () => resized(size),
  };
}

export interface ResultTimes {
  readonly clear: number;
  readonly certify: number;
  readonly verify: number;
}

/** A clearing as a result states it; `tightened` is null without a voltage band. */
export interface StatedClearing {
  readonly clearing: Clearing;
  readonly tightened: readonly TightenedLine[] | null;
}

/** The result as pieces of one JSON document: the whole, and with several rounds what each of them made. */
export function* resultText(
  feeder: FeederModel,
  orders: OrderFile,
  whole: StatedClearing,
  trades: readonly OrderTrade[] | null,
  rounds: readonly StatedClearing[],
  ms: ResultTimes,
): Generator<string> {
  const { ids } = orders;
  yield '{';
  yield* clearingText(feeder, ids, whole);
  if (trades !== null) {
    yield ',"trades":';
    yield* list(trades.length, (i) => {
      const { seller, buyer, energyWh, sellerUcPerWh, buyerUcPerWh, lossWh } = trades[i] as OrderTrade;
      const parties = `"seller":${JSON.stringify(ids[seller])},"buyer":${JSON.stringify(ids[buyer])}`;
      const prices = `"sellerUcPerWh":${sellerUcPerWh},"buyerUcPerWh":${buyerUcPerWh}`;
      return `{${parties},"energyWh":${energyWh},${prices},"lossWh":${lossWh}}`;
    });
  }
  if (rounds.length > 1) {
    for (const [i, round] of rounds.entries()) {
      yield i === 0 ? ',"rounds":[{' : ',{';
      yield* clearingText(feeder, ids, round);
      yield '}';
    }
    yield ']';
  }
  yield `,"ms":${JSON.stringify(ms)}}\n`;
}

function* clearingText(
  feeder: FeederModel,
  ids: readonly string[],
  { clearing, tightened }: StatedClearing,
): Generator<string> {
  yield `"welfareUc":"${clearing.welfareUc}","tradedWh":"${clearing.tradedWh}","fills":`;
  yield* list(ids.length, (i) => `{"id":${JSON.stringify(ids[i])},"energyWh":${clearing.fillsWh[i]}}`);
  const names = feeder.ids.map((id) => JSON.stringify(id));
  const lines = names.map((_, bus) => bus).filter((bus) => bus !== feeder.root);
  yield ',"flows":';
  yield* list(lines.length, (i) => `{"bus":${names[lines[i]!]},"wh":${clearing.flowsWh[lines[i]!]}}`);
  yield ',"prices":';
  yield* list(names.length, (bus) => `{"bus":${names[bus]},"ucPerWh":${clearing.pricesUcPerWh[bus]}}`);
  if (tightened === null) return;
  yield ',"tightened":';
  yield* list(tightened.length, (i) => {
    const { bus, upMaxWh, downMaxWh } = tightened[i] as TightenedLine;
    return `{"bus":${names[bus]},"upMaxWh":${limit(upMaxWh)},"downMaxWh":${limit(downMaxWh)}}`;
  });
}

/** No limit is null in a result. */
function limit(wh: number): string {
  return Number.isFinite(wh) ? String(wh) : 'null';
}

const ITEMS_A_PIECE = 4096;

function* list(length: number, item: (i: number) => string): Generator<string> {
  yield '[';
  for (let from = 0; from < length; from += ITEMS_A_PIECE) {
    let piece = from === 0 ? '' : ',';
    const to = Math.min(length, from + ITEMS_A_PIECE);
    for (let i = from; i < to; i++) piece += i === from ? item(i) : `,${item(i)}`;
    yield piece;
  }
  yield ']';
}

export interface ResultFile {
  /** The whole: with several rounds their sums, and the last one's prices. */
  readonly whole: Clearing;
  /** What each round made; with one round the whole. */
  readonly rounds: readonly { readonly clearing: Clearing; readonly tightened: readonly TightenedLine[] }[];
  /** Trades by order index as the file has them, or null if it has none. */
  readonly trades: readonly Omit<OrderTrade, 'via'>[] | null;
}

type Wrong = (message: string) => WattpactError;

/** A result file as a clearing of these orders; throws for what is missing, twice, unknown or of the wrong type. */
export async function readResult(
  path: string,
  feeder: FeederModel,
  orders: OrderFile,
  rounds = 1,
): Promise<ResultFile> {
  const wrong: Wrong = (message) => new WattpactError('market.result', `${path}: ${message}`);
  if (!existsSync(path)) throw wrong('there is no such file');
  if (statSync(path).size > RESULT_BYTES_MAX) throw wrong(`larger than ${RESULT_BYTES_MAX} bytes`);
  let result: unknown;
  try {
    result = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw wrong(`not JSON: ${(cause as Error).message}`);
  }
  if (!isObject(result)) throw wrong('not a result');
  const orderOf = new Map(orders.ids.map((id, i) => [id, i]));
  const clearingOf = clearingReader(feeder, orders, orderOf);
  const whole = clearingOf(result, wrong);
  const trades = tradesOf(result.trades, orderOf, wrong);
  if (rounds === 1) return { whole: whole.clearing, rounds: [whole], trades };
  const given = result.rounds;
  if (!Array.isArray(given) || given.length !== rounds) throw wrong(`rounds is no list of ${rounds}`);
  const read = given.map((round: unknown, i) => {
    const wrongThere: Wrong = (message) => wrong(`rounds[${i}]: ${message}`);
    if (!isObject(round)) throw wrongThere('not a clearing');
    return clearingOf(round, wrongThere);
  });
  return { whole: whole.clearing, rounds: read, trades };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function clearingReader(
  feeder: FeederModel,
  orders: OrderFile,
  orderOf: ReadonlyMap<string, number>,
): (from: Record<string, unknown>, wrong: Wrong) => ResultFile['rounds'][number] {
  const busOf = new Map(feeder.ids.map((id, bus) => [id, bus]));
  return (from, wrong) => {
    const numbers = (field: string, key: string, value: string, index: ReadonlyMap<string, number>): Float64Array => {
      const rows = from[field];
      if (!Array.isArray(rows)) throw wrong(`${field} is no list`);
      const column = new Float64Array(index.size).fill(Number.NaN);
      for (const [i, row] of rows.entries()) {
        const at = index.get(row?.[key]);
        const number = row?.[value];
        if (at === undefined) throw wrong(`${field}[${i}] names unknown ${key} ${JSON.stringify(row?.[key])}`);
        if (!Number.isSafeInteger(number)) throw wrong(`${field}[${i}].${value} is no whole number`);
        if (!Number.isNaN(column[at])) throw wrong(`${field}[${i}] names ${key} ${row[key]} twice`);
        column[at] = number;
      }
      return column;
    };
    const complete = (field: string, column: Float64Array, names: readonly string[]): Float64Array => {
      const missing = column.findIndex((value) => Number.isNaN(value));
      if (missing >= 0) throw wrong(`${field} lacks ${names[missing]}`);
      return column;
    };
    const total = (field: string): bigint => {
      const text = from[field];
      if (typeof text !== 'string' || !/^(?:0|-?[1-9][0-9]{0,40})$/.test(text))
        throw wrong(`${field} is no whole number in a string`);
      return BigInt(text);
    };
    const flowsWh = numbers('flows', 'bus', 'wh', busOf);
    if (Number.isNaN(flowsWh[feeder.root])) flowsWh[feeder.root] = 0;
    const clearing: Clearing = {
      welfareUc: total('welfareUc'),
      tradedWh: total('tradedWh'),
      fillsWh: complete('fills', numbers('fills', 'id', 'energyWh', orderOf), orders.ids),
      flowsWh: complete('flows', flowsWh, feeder.ids),
      pricesUcPerWh: complete('prices', numbers('prices', 'bus', 'ucPerWh', busOf), feeder.ids),
    };
    const tightened = (Array.isArray(from.tightened) ? from.tightened : []).map((row, i): TightenedLine => {
      const bus = busOf.get(row?.bus);
      if (bus === undefined) throw wrong(`tightened[${i}] names an unknown bus`);
      return { bus, upMaxWh: row.upMaxWh ?? Infinity, downMaxWh: row.downMaxWh ?? Infinity };
    });
    return { clearing, tightened };
  };
}

function tradesOf(rows: unknown, orderOf: ReadonlyMap<string, number>, wrong: Wrong): ResultFile['trades'] {
  if (rows === undefined) return null;
  if (!Array.isArray(rows)) throw wrong('trades is no list');
  return rows.map((row, i) => {
    const seller = orderOf.get(row?.seller);
    const buyer = orderOf.get(row?.buyer);
    if (seller === undefined || buyer === undefined) throw wrong(`trades[${i}] names an unknown order`);
    const { energyWh, sellerUcPerWh, buyerUcPerWh, lossWh } = row;
    return { seller, buyer, energyWh, sellerUcPerWh, buyerUcPerWh, lossWh };
  });
}
