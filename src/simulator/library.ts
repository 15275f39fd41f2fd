// Folders of measured series: which files there are, and which series drives what. Owns reading the files; the format
// is csv.ts, the fitting physics/align.ts.
//
// A folder holds .csv and .csv.gz files, in subfolders or not. What a column is follows from its name (`pv_w`,
// `wind_pu`, `load_wh`); other kinds (prices, net loads) are not used. The choice is the same every time:
//   1. a file named after the site (`house.csv`, `house.pv.csv`) is that site's own history;
//   2. otherwise the files of the kind that are nobody's own (its neighbours' when all are somebody's), small ones for
//      small sites and large ones for large;
//   3. a kind the folder lacks comes from the days that ship with the project.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { isWattpactError, WattpactError } from '../base/errors.ts';
import { compareStrings } from '../base/integers.ts';
import { fileReason, textOfFile } from '../base/text.ts';
import type { Watts } from '../base/units.ts';
import { type CsvColumn, parseSeriesCsv } from './csv.ts';
import { meanW } from './physics/series.ts';

/** The days that ship with the project. */
export const SHIPPED_DAYS = path.join(import.meta.dirname, '../../devices/data');

export const KINDS = ['pv', 'wind', 'load'] as const;
export type Kind = (typeof KINDS)[number];

const FILES_MAX = 2000;
const DEPTH_MAX = 4;
/** Largest file, unpacked. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;

/** Somebody who needs a series of a kind. */
export interface Need {
  readonly site: string;
  readonly kind: Kind;
  /** How large: the rated power of a generator, the import limit of a load. */
  readonly sizeW: Watts;
}

interface Source {
  readonly file: string;
  /** The file's name up to the first dot: perhaps a site. */
  readonly owner: string;
  readonly kinds: readonly string[];
}

/** The column that serves each need, in the order of the needs. Throws `series.folder`, `series.csv`, `series.none`. */
export function chooseColumns(folder: string, needs: readonly Need[]): CsvColumn[] {
  const own = indexFolder(folder);
  const shipped = path.resolve(folder) === SHIPPED_DAYS ? own : indexFolder(SHIPPED_DAYS);
  const parsed = new Map<string, readonly CsvColumn[]>();
  const read = (source: Source, kind: Kind): CsvColumn => {
    let columns = parsed.get(source.file);
    if (columns === undefined) {
      columns = parseSeriesCsv(readText(source.file), source.file);
      parsed.set(source.file, columns);
    }
    const column = columns.find((each) => each.kind === kind);
    if (column === undefined) throw new WattpactError('series.csv', `${source.file}:1 has no column of ${kind}`);
    return column;
  };
  return needs.map((need) => {
    const column = choose(own, needs, need, read) ?? choose(shipped, needs, need, read);
    if (column === undefined) throw new WattpactError('series.none', `no series of ${need.kind} for ${need.site}`);
    return column;
  });
}

function choose(
  sources: readonly Source[],
  needs: readonly Need[],
  need: Need,
  read: (source: Source, kind: Kind) => CsvColumn,
): CsvColumn | undefined {
  const ofKind = sources.filter(({ kinds }) => kinds.includes(need.kind));
  const own = ofKind.find(({ owner }) => owner === need.site);
  if (own !== undefined) return read(own, need.kind);
  const sites = new Set(needs.map(({ site }) => site));
  const nobodys = ofKind.filter(({ owner }) => !sites.has(owner));
  const open = (nobodys.length > 0 ? nobodys : ofKind)
    .map((source) => read(source, need.kind))
    .map((column) => ({ column, meanW: meanW(column.series) }))
    .sort((a, b) => a.meanW - b.meanW || compareStrings(a.column.series.name, b.column.series.name));
  const waiting = needs
    .filter(({ kind, site }) => kind === need.kind && !ofKind.some(({ owner }) => owner === site))
    .sort((a, b) => a.sizeW - b.sizeW || compareStrings(a.site, b.site));
  return open[Math.floor(((waiting.indexOf(need) + 0.5) * open.length) / waiting.length)]?.column;
}

/** Every series file of a folder by path, with the kinds its header names. */
function indexFolder(folder: string): Source[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new WattpactError('series.folder', `${folder} is not a folder`, {
      hint: 'Name a folder of .csv or .csv.gz files',
    });
  }
  const files: string[] = [];
  const walk = (at: string, depth: number): void => {
    if (depth > DEPTH_MAX) throw new WattpactError('series.folder', `${at} is more than ${DEPTH_MAX} folders deep`);
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const file = path.join(at, entry.name);
      if (entry.isDirectory()) walk(file, depth + 1);
      else if (/\.csv(?:\.gz)?$/.test(entry.name)) files.push(file);
      if (files.length > FILES_MAX)
        throw new WattpactError('series.folder', `${folder} has more than ${FILES_MAX} files`);
    }
  };
  walk(folder, 0);
  files.sort(compareStrings);
  if (files.length === 0) {
    throw new WattpactError('series.folder', `${folder} has no .csv or .csv.gz file`, {
      hint: 'A series is a CSV file with the columns time,pv_w or wind_w or load_w',
    });
  }
  return files.map((file) => ({
    file,
    owner: path.basename(file).split('.')[0] as string,
    kinds: headerKinds(readText(file)),
  }));
}

function headerKinds(text: string): string[] {
  const header = text.slice(0, text.indexOf('\n') + 1 || text.length).trim();
  return header.split(',').flatMap((name) => /^(pv|wind|load)_(?:w|wh|pu)$/.exec(name.trim())?.[1] ?? []);
}

function readText(file: string): string {
  try {
    const bytes = readFileSync(file);
    const plain = file.endsWith('.gz') ? gunzipSync(bytes, { maxOutputLength: FILE_BYTES_MAX }) : bytes;
    if (plain.length > FILE_BYTES_MAX) throw new WattpactError('series.csv', `larger than ${FILE_BYTES_MAX} bytes`);
    return textOfFile(plain, file);
  } catch (cause) {
    if (isWattpactError(cause) && cause.code === 'file.encoding') throw cause;
    const reason = isWattpactError(cause) ? cause.message : fileReason(cause);
    throw new WattpactError('series.csv', `cannot read ${file}: ${reason}`, { cause });
  }
}
