// Finds devices nobody described yet: asks unit after unit, and compares the answers with every profile's identity.

import type { Profile } from '../site/types.ts';
import type { BusOwner } from './bus.ts';
import { decodePart, decodeText, type Layout, NO_LAYOUT, type Registers } from './codec.ts';
import { FieldbusError } from './errors.ts';
import { spansOf } from './plan.ts';
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

/** One unit, or null when nobody answers. Any answer, an exception too, is a sign of life. Errors: `disconnected`, `closed`. */
export async function scanUnit(
  bus: BusOwner,
  unitId: number,
  profiles: readonly Profile[],
  timeoutMs = SCAN_TIMEOUT_MS,
): Promise<FoundDevice | null> {
  const read = (table: 'holding' | 'input' | 'coil' | 'discrete', address: number, count: number): Promise<number[]> =>
    bus.request({ urgency: 'slow', unitId, gapMs: 0, afterMs: 0 }, (line) =>
      line.read(unitId, table, address, count, timeoutMs),
    );
  if (!(await alive(() => read('holding', 0, 1)))) return null;
  const sunspec = await sunspecOf((address, count) => read('holding', address, count));
  const found: { maker: string | null; model: string | null; serial: string | null; firmware: string | null } = {
    maker: null,
    model: null,
    serial: null,
    firmware: null,
  };
  const scores: { name: string; score: number }[] = [];
  for (const profile of profiles) {
    if ((profile.sunspec !== null) !== (sunspec !== null) || profile.identify.length === 0) continue;
    const score = await scoreOf(profile, sunspec ?? NO_LAYOUT, read, found);
    if (score > 0) scores.push({ name: profile.name, score });
  }
  return {
    unitId,
    profiles: scores.sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1)).map(({ name }) => name),
    ...found,
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

async function sunspecOf(read: (address: number, count: number) => Promise<number[]>): Promise<Layout | null> {
  try {
    return layoutOf(await findModels(read, SUNSPEC_BASES));
  } catch (error) {
    if (error instanceof FieldbusError && (error.fault === 'disconnected' || error.fault === 'closed')) throw error;
    return null;
  }
}

type Read = (table: 'holding' | 'input' | 'coil' | 'discrete', address: number, count: number) => Promise<number[]>;

/** How well a profile's identity fits: 0 when anything of it contradicts. A text that must be so counts more than a range. */
async function scoreOf(
  profile: Profile,
  layout: Layout,
  read: Read,
  found: { maker: string | null; model: string | null; serial: string | null; firmware: string | null },
): Promise<number> {
  let score = 0;
  for (const entry of profile.identify) {
    const span = spansOf(entry.part, layout)[0];
    if (span === undefined) return 0;
    let words: number[];
    try {
      words = await read(span.table, span.address, span.count);
    } catch (error) {
      if (error instanceof FieldbusError && (error.fault === 'disconnected' || error.fault === 'closed')) throw error;
      return 0;
    }
    if (entry.part.type === 'string') {
      const text = decodeText(words, entry.part.byteOrder);
      if (entry.equals !== null && text !== entry.equals) return 0;
      if (entry.startsWith !== null && !text.startsWith(entry.startsWith)) return 0;
      if (entry.what !== 'check' && text !== '') found[entry.what] ??= text;
      score += entry.equals !== null || entry.startsWith !== null ? 4 : 0;
      continue;
    }
    const registers: Registers = (table, address) => (table === span.table ? words[address - span.address] : undefined);
    const decoded = decodePart(entry.part, registers, layout);
    if ('reason' in decoded) return 0;
    if (entry.oneOf.length > 0 && !entry.oneOf.includes(decoded.value)) return 0;
    if (entry.within !== null && (decoded.value < entry.within.min || decoded.value > entry.within.max)) return 0;
    score += entry.oneOf.length > 0 ? 3 : 1;
  }
  return score;
}
