// Looks at a device once, point by point: raw registers, value, and what is suspicious about it. For installers.

import { describeError } from '../base/errors.ts';
import { MEASURANDS } from '../site/measurands.ts';
import { SUNSPEC_MODELS } from '../site/sunspec-models.ts';
import type { Device, Part, Point, Profile } from '../site/types.ts';
import type { BusOwner } from './bus.ts';
import { decodeText, type Layout, NO_LAYOUT, partAt, type Registers } from './codec.ts';
import { isRefused } from './errors.ts';
import { joined, type Span, spansOf } from './plan.ts';
import { factorOf, nameAtSite, pointValue } from './points.ts';
import { findModels, layoutOf, type Model, type ReadHolding, readModel } from './sunspec.ts';
import { decodeModel, type SunspecValue } from './sunspec-decode.ts';

export interface ProbedPoint {
  readonly measurand: string;
  readonly unit: string;
  /** Registers as they came, in hex. */
  readonly raw: string;
  readonly value: number | null;
  /** Why there is no value. */
  readonly reason: string | null;
  readonly suspicions: readonly string[];
}

export interface Identity {
  readonly what: string;
  readonly text: string;
  readonly fits: boolean;
}

export interface ProbedModel {
  readonly id: number;
  readonly address: number;
  readonly length: number;
  /** Null: a model that is not known here. */
  readonly title: string | null;
  readonly values: readonly SunspecValue[];
}

export interface Probe {
  readonly device: string;
  readonly identity: readonly Identity[];
  readonly points: readonly ProbedPoint[];
  /** What is suspicious about several points together. */
  readonly suspicions: readonly string[];
  /** Every model of a SunSpec device with all its points, whatever the profile asks for. */
  readonly models: readonly ProbedModel[];
  /** Why the device could not be probed at all. */
  readonly failure: string | null;
}

/** Phase powers may differ from their sum by this share and so many watts: they are not read at the same instant. */
const SUM_SHARE = 0.1;
const SUM_W = 50;
/** Voltages times currents above this say how large the power may be: at most so many times as much, and hardly less than such a share. */
const APPARENT_VA = 500;
const MOST_OF_APPARENT = 1.5;
const LEAST_OF_APPARENT = 0.05;
/** Half of the register range: far beyond what a site sees, near to what swapped words show. */
const WILD_POWER_W = 1_000_000;

/** Reads everything a profile names, each point on its own, and every SunSpec model when asked. Errors are in the result; only a closed bus throws. */
export async function probeDevice(
  bus: BusOwner,
  device: Device,
  profile: Profile,
  options: { readonly models: boolean } = { models: true },
): Promise<Probe> {
  const read = (table: Part['table'], address: number, count: number): Promise<number[]> =>
    bus.request({ urgency: 'medium', unitId: device.unitId, gapMs: profile.line.gapMs, afterMs: 0 }, (line) =>
      line.read(device.unitId, table, address, count, profile.line.timeoutMs),
    );
  const holding = (address: number, count: number): Promise<number[]> => read('holding', address, count);
  let layout: Layout = NO_LAYOUT;
  const models: ProbedModel[] = [];
  try {
    if (profile.sunspec !== null) {
      const found = await findModels(holding, profile.sunspec.bases);
      layout = layoutOf(found);
      for (const model of options.models ? found : [])
        models.push(await probeModel(model, holding, profile.line.registersMax));
    }
  } catch (error) {
    return { device: device.id, identity: [], points: [], suspicions: [], models, failure: describeError(error) };
  }
  const registersOf = async (parts: readonly Part[]): Promise<Registers> => {
    const words = new Map<string, number>();
    for (const span of parts.flatMap((part) => withScale(part, layout, profile.line.registersMax))) {
      const values = await read(span.table, span.address, span.count);
      for (const [i, value] of values.entries()) words.set(`${span.table} ${span.address + i}`, value);
    }
    return (table, address) => words.get(`${table} ${address}`);
  };
  const identity: Identity[] = [];
  const points: ProbedPoint[] = [];
  try {
    for (const entry of profile.identify) identity.push(await identityOf(entry, layout, registersOf));
    for (const point of profile.points.values()) points.push(await probePoint(point, device, layout, registersOf));
  } catch (error) {
    return { device: device.id, identity, points, suspicions: [], models, failure: describeError(error) };
  }
  return { device: device.id, identity, points, suspicions: together(points), models, failure: null };
}

async function probeModel(model: Model, read: ReadHolding, registersMax: number): Promise<ProbedModel> {
  const table = SUNSPEC_MODELS.get(model.id);
  const values = table === undefined ? [] : decodeModel(table, await readModel(read, model, registersMax));
  return { ...model, title: table?.title ?? null, values };
}

/** A value and its scale factor from one answer: some devices change the factor live. */
function withScale(part: Part, layout: Layout, registersMax: number): Span[] {
  const spans = spansOf(part, layout);
  const one = partAt(part, layout).model === null ? null : joined(spans, registersMax);
  return one === null ? spans : [one];
}

type RegistersOf = (parts: readonly Part[]) => Promise<Registers>;

async function identityOf(
  entry: Profile['identify'][number],
  layout: Layout,
  registersOf: RegistersOf,
): Promise<Identity> {
  const registers = await registersOf([entry.part]).catch((error) => {
    if (isRefused(error)) return null;
    throw error;
  });
  if (registers === null) return { what: entry.what, text: 'not there', fits: entry.optional };
  const span = spansOf(entry.part, layout)[0];
  if (span === undefined) return { what: entry.what, text: 'not there', fits: entry.optional };
  if (entry.part.type === 'string') {
    const words = Array.from({ length: span.count }, (_, i) => registers(span.table, span.address + i) ?? 0);
    const text = decodeText(words, entry.part.byteOrder);
    const fits =
      (entry.equals === null || text === entry.equals) &&
      (entry.startsWith === null || text.startsWith(entry.startsWith));
    return { what: entry.what, text, fits: fits || entry.optional };
  }
  const found = pointValue(bare(entry.part), registers, layout);
  if ('reason' in found) return { what: entry.what, text: found.reason, fits: entry.optional };
  const listed = entry.oneOf.length === 0 || entry.oneOf.includes(found.value);
  const inside = entry.within === null || (found.value >= entry.within.min && found.value <= entry.within.max);
  return { what: entry.what, text: String(found.value), fits: (listed && inside) || entry.optional };
}

/** A part as a point without a meaning. */
function bare(part: Part): Point {
  return {
    measurand: 'operatingState',
    parts: [part],
    turn: 1,
    poll: 'once',
    plausible: { min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY, ratePerSecond: null },
    counter: null,
    firmware: null,
    group: null,
    note: null,
  };
}

async function probePoint(
  point: Point,
  device: Device,
  layout: Layout,
  registersOf: RegistersOf,
): Promise<ProbedPoint> {
  const info = MEASURANDS[point.measurand];
  const base = { measurand: nameAtSite(point.measurand, device) ?? point.measurand, unit: info?.unit ?? 'none' };
  let registers: Registers;
  try {
    registers = await registersOf(point.parts);
  } catch (error) {
    if (!isRefused(error)) throw error;
    const suspicions = isOdd(base.unit, null) ? await explained(point, null, layout, registersOf, 1) : [];
    return { ...base, raw: '', value: null, reason: error.message, suspicions };
  }
  const raw = point.parts
    .flatMap((part) => spansOf(part, layout))
    .flatMap((span) => Array.from({ length: span.count }, (_, i) => registers(span.table, span.address + i)))
    .map((word) => (word === undefined ? '----' : word.toString(16).padStart(4, '0')))
    .join(' ');
  const factor = factorOf(point.measurand, device);
  const found = pointValue(point, registers, layout, factor);
  const value = 'value' in found ? found.value : null;
  return {
    ...base,
    raw,
    value,
    reason: 'reason' in found ? found.reason : null,
    suspicions: isOdd(base.unit, value) ? await explained(point, value, layout, registersOf, factor) : [],
  };
}

/** Beyond what a live grid shows, or what a site can draw. */
function isOdd(unit: string, value: number | null): boolean {
  if (unit === 'V') return value === null || (value !== 0 && (value < 80 || value > 300));
  if (unit === 'Hz') return value === null || value < 45 || value > 65;
  if (unit !== 'W') return false;
  return value === null || Math.abs(value) > WILD_POWER_W || (value !== 0 && Math.abs(value) < 1e-6);
}

/** What would make an odd value a sensible one: the other word order, the register beside it, another step. */
async function explained(
  point: Point,
  value: number | null,
  layout: Layout,
  registersOf: RegistersOf,
  factor: number,
): Promise<string[]> {
  const { unit = 'none' } = MEASURANDS[point.measurand] ?? {};
  const [given] = point.parts;
  if (given === undefined || point.parts.length > 1) return [];
  const part = partAt(given, layout);
  const shown = value === null ? 'it has no value' : `it is ${value}`;
  const tries: { readonly part: Part; readonly last: boolean; readonly say: (would: number) => string }[] = [];
  if (part.length > 1 && part.type !== 'string') {
    const wordOrder = part.wordOrder === 'big' ? 'little' : 'big';
    tries.push({
      part: { ...part, wordOrder },
      last: false,
      say: (would) => `word order? with wordOrder: ${wordOrder} it would be ${would}`,
    });
  }
  // Any register makes a power; a voltage or a frequency of a live grid is no accident.
  if (unit !== 'W') {
    for (const step of [1, -1]) {
      const address = part.address + step;
      if (address < 0) continue;
      tries.push({
        part: { ...part, address },
        last: false,
        say: (would) => `off by one? ${shown}; at address ${address} it would be ${would}`,
      });
    }
    for (const scale of [0.01, 0.1, 10, 100]) {
      tries.push({
        part: { ...part, scale: part.scale * scale },
        last: true,
        say: (would) =>
          `another scale? ${shown}; with scale: ${Number((part.scale * scale).toPrecision(6))} it would be ${would}`,
      });
    }
  }
  // Of a single register the first two look alike: both are said.
  const sensible: string[] = [];
  for (const { part: other, say, last } of tries) {
    if (last && sensible.length > 0) break;
    const would = await valueAs(point, other, layout, registersOf, factor);
    if (would !== null && would !== 0 && !isOdd(unit, would) && !(unit === 'W' && Math.abs(would) < 1e-3))
      sensible.push(say(Number(would.toPrecision(9))));
  }
  return sensible;
}

/** The point's value if it were there; null when it is none, or nobody answers for it. */
async function valueAs(
  point: Point,
  part: Part,
  layout: Layout,
  registersOf: RegistersOf,
  factor: number,
): Promise<number | null> {
  try {
    const found = pointValue({ ...point, parts: [part] }, await registersOf([part]), layout, factor);
    return 'value' in found ? found.value : null;
  } catch (error) {
    if (!isRefused(error)) throw error;
    return null;
  }
}

function together(points: readonly ProbedPoint[]): string[] {
  const value = (name: string): number | null => points.find(({ measurand }) => measurand === name)?.value ?? null;
  const suspicions: string[] = [];
  const total = value('gridPowerW');
  const phases = ['L1', 'L2', 'L3'].map((phase) => value(`gridPower${phase}W`)).filter((power) => power !== null);
  const sum = phases.reduce((left, right) => left + right, 0);
  if (total !== null && phases.length > 0) {
    const allowed = SUM_W + SUM_SHARE * Math.abs(total);
    if (Math.abs(total - sum) > allowed) {
      suspicions.push(
        Math.abs(total + sum) <= allowed
          ? `sign? gridPowerW is ${tenths(total)} W, its phases add up to ${tenths(sum)} W`
          : `gridPowerW is ${tenths(total)} W, its phases add up to ${tenths(sum)} W`,
      );
    }
  }
  for (const { measurand, unit, value: shown, suspicions: said } of points) {
    // A sleeping inverter has no grid to show.
    if (shown === null || shown === 0 || said.length > 0 || !['V', 'Hz'].includes(unit) || !isOdd(unit, shown))
      continue;
    suspicions.push(`off by one, or another scale? ${measurand} is ${shown} ${unit}`);
  }
  const apparent = ['L1', 'L2', 'L3'].reduce(
    (sum, phase) => sum + (value(`voltage${phase}V`) ?? 0) * Math.abs(value(`current${phase}A`) ?? 0),
    0,
  );
  const power = total ?? value('generationPowerW') ?? value('consumptionPowerW');
  if (power !== null && apparent > APPARENT_VA) {
    const share = Math.abs(power) / apparent;
    if (share > MOST_OF_APPARENT || share < LEAST_OF_APPARENT)
      suspicions.push(
        `another scale? the power is ${tenths(power)} W, voltages and currents make ${Math.round(apparent)} VA`,
      );
  }
  return suspicions;
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
