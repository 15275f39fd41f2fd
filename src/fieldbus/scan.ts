// Finds devices nobody described yet: asks unit after unit, and compares the answers with every profile.

import { MEASURANDS } from '../site/measurands.ts';
import type { Identification, Point, Profile, Table } from '../site/types.ts';
import type { BusOwner } from './bus.ts';
import { addressOf, decodePart, decodeText, type Layout, NO_LAYOUT, partAt, type Registers } from './codec.ts';
import { FieldbusError } from './errors.ts';
import { spansOf } from './plan.ts';
import { pointValue } from './points.ts';
import { findModels, layoutOf } from './sunspec.ts';

export interface FoundDevice {
  readonly unitId: number;
  /** Names of profiles that fit, the best first. */
  readonly profiles: readonly string[];
  readonly maker: string | null;
  readonly model: string | null;
  readonly serial: string | null;
  readonly firmware: string | null;
  readonly sunspecModels: readonly number[];
}

/** A silent unit costs this long. */
export const SCAN_TIMEOUT_MS = 200;
const SUNSPEC_BASES = [40_000, 0, 50_000];

/** What speaks for a profile, and how loudly. */
const SCORE = { text: 8, number: 6, range: 2, frequency: 2, voltage: 1, answers: 0.25, silent: -1, anyMaker: 0.1 };
/** Frequencies and voltages of a live grid: what no other register shows by chance. */
const LIVE: Readonly<Record<string, readonly [number, number]>> = { Hz: [45, 65], V: [80, 300] };
/** A device that leaves questions unanswered, rather than refusing them, is asked this many at most. */
const TIMEOUTS_MAX = 40;

/** One unit, or null when nobody answers. Any answer, an exception too, is a sign of life. Errors: `disconnected`, `closed`. */
export async function scanUnit(
  bus: BusOwner,
  unitId: number,
  profiles: readonly Profile[],
  timeoutMs = SCAN_TIMEOUT_MS,
): Promise<FoundDevice | null> {
  const read = (table: Table, address: number, count: number): Promise<number[]> =>
    bus.request({ urgency: 'slow', unitId, gapMs: 0, afterMs: 0 }, (line) =>
      line.read(unitId, table, address, count, timeoutMs),
    );
  if (!(await alive(() => read('holding', 0, 1)))) return null;
  const sunspec = await sunspecOf((address, count) => read('holding', address, count));
  const device = createDevice(read, sunspec ?? NO_LAYOUT);
  const scores: { name: string; score: number }[] = [];
  for (const profile of profiles) {
    if ((profile.sunspec !== null) !== (sunspec !== null)) continue;
    const score = await scoreOf(profile, device);
    if (score > 0) scores.push({ name: profile.name, score });
  }
  return {
    unitId,
    profiles: scores.sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1)).map(({ name }) => name),
    ...device.texts,
    sunspecModels: sunspec === null ? [] : [...sunspec.keys()],
  };
}

async function alive(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch (error) {
    if (!(error instanceof FieldbusError)) throw error;
    // A gateway's `target failed to respond` is silence behind it.
    if (error.fault === 'exception') return error.exception !== 10 && error.exception !== 11;
    if (error.fault === 'timeout' || error.fault === 'damaged') return false;
    throw error;
  }
}

/** Each base on its own: some devices leave a wrong one unanswered. */
async function sunspecOf(read: (address: number, count: number) => Promise<number[]>): Promise<Layout | null> {
  for (const base of SUNSPEC_BASES) {
    try {
      return layoutOf(await findModels(read, [base]));
    } catch (error) {
      if (error instanceof FieldbusError && (error.fault === 'disconnected' || error.fault === 'closed')) throw error;
    }
  }
  return null;
}

/** The device under scan: every question is asked once, since siblings share their registers. */
interface ScannedDevice {
  readonly layout: Layout;
  readonly texts: {
    maker: string | null;
    model: string | null;
    serial: string | null;
    firmware: string | null;
  };
  /** Null: refused or unanswered. */
  ask(table: Table, address: number, count: number): Promise<readonly number[] | null>;
}

function createDevice(
  read: (table: Table, address: number, count: number) => Promise<number[]>,
  layout: Layout,
): ScannedDevice {
  const answers = new Map<string, readonly number[] | null>();
  let timeouts = 0;
  return {
    layout,
    texts: { maker: null, model: null, serial: null, firmware: null },
    async ask(table, address, count) {
      const key = `${table} ${address} ${count}`;
      const known = answers.get(key);
      if (known !== undefined) return known;
      let words: readonly number[] | null = null;
      if (timeouts < TIMEOUTS_MAX) {
        try {
          words = await read(table, address, count);
        } catch (error) {
          if (!(error instanceof FieldbusError) || error.fault === 'disconnected' || error.fault === 'closed')
            throw error;
          if (error.fault === 'timeout') timeouts += 1;
        }
      }
      answers.set(key, words);
      return words;
    },
  };
}

/** How well a profile fits: 0 or less when its identity contradicts, or nothing speaks for it. */
async function scoreOf(profile: Profile, device: ScannedDevice): Promise<number> {
  let identity = 0;
  for (const entry of profile.identify) {
    const points = await identityScore(entry, device);
    if (points === null && !entry.optional) return 0;
    identity += points ?? 0;
  }
  const points = [...profile.points.values()];
  if (profile.sunspec !== null) {
    let there = 0;
    for (const point of points) if (await isThere(point, device)) there += 1;
    if (there * 2 < points.length) return 0;
    return identity + (2 * there) / points.length + (profile.maker === 'SunSpec' ? SCORE.anyMaker : 0);
  }
  // A live frequency or voltage first: without one, and without an identity, there is nothing to go by.
  const witness = points.find(({ measurand }) => MEASURANDS[measurand]?.unit === 'Hz') ?? points.find(isVoltage);
  if (witness !== undefined && (await pointScore(witness, device)) <= 0) return 0;
  let score = identity;
  for (const point of points) score += await pointScore(point, device);
  return score;
}

/** Its models are in the chain; registers of the maker's own, beside the chain, answer. */
async function isThere(point: Point, device: ScannedDevice): Promise<boolean> {
  const parts = point.parts.map((part) => partAt(part, device.layout));
  if (parts.some((part) => addressOf(part, device.layout) === null)) return false;
  return parts.every(({ model }) => model !== null) || (await pointScore(point, device)) > 0;
}

function isVoltage({ measurand }: Point): boolean {
  return MEASURANDS[measurand]?.unit === 'V';
}

/** Null: contradicts, or is not there. */
async function identityScore(entry: Identification, device: ScannedDevice): Promise<number | null> {
  const span = spansOf(entry.part, device.layout)[0];
  if (span === undefined) return null;
  const words = await device.ask(span.table, span.address, span.count);
  if (words === null) return null;
  if (entry.part.type === 'string') {
    const text = decodeText(words, entry.part.byteOrder);
    if (entry.equals !== null && text !== entry.equals) return null;
    if (entry.startsWith !== null && !text.startsWith(entry.startsWith)) return null;
    if (entry.what !== 'check' && text !== '') device.texts[entry.what] ??= text;
    return entry.equals !== null || entry.startsWith !== null ? SCORE.text : 0;
  }
  const registers: Registers = (table, address) => (table === span.table ? words[address - span.address] : undefined);
  const decoded = decodePart(entry.part, registers, device.layout);
  if ('reason' in decoded) return null;
  if (entry.oneOf.length > 0 && !entry.oneOf.includes(decoded.value)) return null;
  if (entry.within !== null && (decoded.value < entry.within.min || decoded.value > entry.within.max)) return null;
  return entry.oneOf.length > 0 ? SCORE.number : SCORE.range;
}

async function pointScore(point: Point, device: ScannedDevice): Promise<number> {
  const words = new Map<string, number>();
  for (const span of point.parts.flatMap((part) => spansOf(part, device.layout))) {
    const answer = await device.ask(span.table, span.address, span.count);
    if (answer === null) return SCORE.silent;
    for (const [i, word] of answer.entries()) words.set(`${span.table} ${span.address + i}`, word);
  }
  const found = pointValue(point, (table, address) => words.get(`${table} ${address}`), device.layout);
  if ('reason' in found) return SCORE.silent;
  const unit = MEASURANDS[point.measurand]?.unit ?? 'none';
  const live = LIVE[unit];
  if (live === undefined) return SCORE.answers;
  if (found.value < live[0] || found.value > live[1]) return SCORE.silent;
  return unit === 'Hz' ? SCORE.frequency : SCORE.voltage;
}
