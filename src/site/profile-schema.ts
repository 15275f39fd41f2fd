// How a profile is written in YAML. The reference for people is docs/profiles.md; profiles/schema.json is made from this.

import { z } from 'zod';
import { CONTROLS, MEASURANDS, type MeasurandInfo } from './measurands.ts';
import { listAt, recordAt, recordOf } from './raw.ts';
import { NOT_IMPLEMENTED, sunspecPoint } from './sunspec-models.ts';
import { SUNSPEC_NAME, sunspecPlaces, sunspecProblems } from './sunspec-names.ts';
import type {
  Control,
  GoldenFrame,
  Identification,
  LineTraits,
  Part,
  Place,
  Point,
  Profile,
  WriteStep,
} from './types.ts';

export const PROFILE_FORMAT = 1;

const TABLES = ['holding', 'input', 'coil', 'discrete'] as const;
const TYPES = ['u16', 's16', 'u32', 's32', 'u64', 's64', 'f32', 'f64', 'string', 'bcd', 'bit'] as const;
const REGISTERS: Readonly<Record<string, number>> = {
  u16: 1,
  s16: 1,
  u32: 2,
  s32: 2,
  f32: 2,
  u64: 4,
  s64: 4,
  f64: 4,
  bit: 1,
};
/** `not implemented` of SunSpec, by type. An accumulator's 0 is left to the profile: a new meter shows it too. */
const SUNSPEC_SENTINELS: Readonly<Record<string, readonly bigint[]>> = NOT_IMPLEMENTED;

const addressSchema = z.int().min(0).max(65_535);
const text = z.string().min(1).max(2_000);
const rawSchema = z
  .union([z.int().min(0), z.string().regex(/^0x[0-9a-fA-F]{1,16}$/, 'write it as a number or as 0x...')])
  .meta({ description: 'raw register value, unsigned' });

const placeShape = {
  table: z.enum(TABLES).optional().meta({ description: 'default: defaults.table; coil for bits' }),
  model: z
    .int()
    .min(1)
    .max(65_534)
    .optional()
    .meta({ description: 'SunSpec model; address counts from its ID register' }),
  address: addressSchema.meta({ description: 'as in the document; see defaults.addressBase' }),
};
const placeSchema = z.strictObject(placeShape);

const partShape = {
  ...placeShape,
  type: z.enum(TYPES),
  length: z.int().min(1).max(64).optional().meta({ description: 'registers of a string or bcd' }),
  byteOrder: z.enum(['big', 'little']).optional(),
  wordOrder: z.enum(['big', 'little']).optional(),
  scale: z
    .number()
    .refine((n) => n !== 0, 'must not be 0')
    .optional(),
  offset: z.number().optional(),
  scaleRegister: placeSchema.optional().meta({ description: 'register with a power of ten (s16)' }),
  sentinels: z.array(rawSchema).max(8).optional(),
  bits: z.strictObject({ from: z.int().min(0).max(63), count: z.int().min(1).max(32) }).optional(),
};
const partSchema = z.strictObject(partShape);
type PartInput = z.infer<typeof partSchema>;

const sumPartSchema = z.strictObject({ ...partShape, times: z.number().optional() });
const counterSchema = z.strictObject({
  resolutionWh: z.number().positive(),
  rolloverWh: z.number().positive().optional(),
  reset: z.enum(['never', 'daily', 'on-request']).default('never'),
  phases: z.enum(['netted', 'each', 'unknown']).default('unknown'),
});

const pointSchema = z
  .strictObject({
    ...z.strictObject(partShape).partial().shape,
    sunspec: z
      .array(z.string().regex(SUNSPEC_NAME, 'write it as 103.W or 101-103.W'))
      .min(1)
      .max(8)
      .optional()
      .meta({ description: "a point of SunSpec's models by its name: the first that the device has" }),
    sum: z.array(sumPartSchema).min(2).max(8).optional(),
    positive: z.enum(['import', 'export', 'discharging', 'charging']).optional(),
    poll: z.enum(['fast', 'medium', 'slow', 'once']).optional(),
    plausible: z
      .strictObject({ min: z.number(), max: z.number(), ratePerSecond: z.number().positive().optional() })
      .refine(({ min, max }) => min < max, 'min must be below max')
      .optional(),
    counter: counterSchema.optional(),
    firmware: z.strictObject({ from: text.optional(), to: text.optional() }).optional(),
    group: text.optional(),
    note: text.optional(),
  })
  .superRefine((point, context) => {
    if (point.sunspec !== undefined) {
      for (const key of ['sum', 'address', 'model', 'type', 'scaleRegister'] as const) {
        if (point[key] !== undefined) context.addIssue({ code: 'custom', message: `has sunspec: leave out ${key}` });
      }
    } else if (point.sum === undefined) {
      if (point.address === undefined) context.addIssue({ code: 'custom', message: 'needs an address (or a sum)' });
      if (point.type === undefined) context.addIssue({ code: 'custom', message: 'needs a type' });
    } else if (point.address !== undefined || point.type !== undefined) {
      context.addIssue({ code: 'custom', message: 'has a sum and an address: write one of them' });
    }
  });

const CARRIES = ['value', 'magnitude', 'positive', 'negative'] as const;
const stepSchema = z
  .strictObject({
    ...partShape,
    constant: z.number().optional(),
    carries: z.enum(CARRIES).optional(),
    bySign: z.strictObject({ positive: z.number(), negative: z.number(), zero: z.number() }).optional(),
    percentOf: z.string().optional(),
    readBack: z.union([z.literal('none'), partSchema]).optional(),
  })
  .superRefine((step, context) => {
    const given = [step.constant, step.carries, step.bySign].filter((way) => way !== undefined);
    if (given.length !== 1) context.addIssue({ code: 'custom', message: 'needs one of constant, carries, bySign' });
  });

const controlSchema = z
  .strictObject({
    limits: z
      .strictObject({ min: z.number(), max: z.number(), step: z.number().positive().default(1) })
      .refine(({ min, max }) => min < max, 'min must be below max'),
    positive: z.enum(['discharging', 'charging']).optional(),
    write: z.array(stepSchema).min(1).max(16),
    release: z.array(stepSchema).max(16).optional(),
    revert: z.union([z.number(), z.literal('rated')]),
    storage: z.enum(['volatile', 'eeprom']),
    dailyWrites: z.int().min(2).max(100_000).optional(),
    watchdog: z
      .union([
        z.strictObject({ timeoutSeconds: z.number().positive().max(86_400) }),
        z.strictObject({
          register: partSchema,
          minSeconds: z.number().positive(),
          maxSeconds: z.number().positive().max(86_400),
        }),
      ])
      .optional(),
    failsafe: z.enum(['watchdog', 'none']),
    tolerance: z.number().positive().optional(),
    note: text.optional(),
  })
  .superRefine((control, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (control.failsafe === 'watchdog' && control.watchdog === undefined)
      issue('failsafe', 'is watchdog, but none is described');
    if (control.failsafe === 'none' && control.watchdog !== undefined)
      issue('failsafe', 'is none, but a watchdog is described');
    if (control.storage === 'eeprom' && control.dailyWrites === undefined)
      issue('storage', 'is eeprom: give dailyWrites');
    if (control.storage === 'volatile' && control.dailyWrites !== undefined) issue('dailyWrites', 'is for eeprom only');
  });

const identificationSchema = z
  .strictObject({
    ...partShape,
    what: z.enum(['maker', 'model', 'serial', 'firmware', 'check']),
    equals: text.optional(),
    startsWith: text.optional(),
    oneOf: z.array(z.number()).max(64).optional(),
    within: z.strictObject({ min: z.number(), max: z.number() }).optional(),
    optional: z.boolean().optional().meta({ description: 'counts when it fits, says nothing when it does not' }),
  })
  .superRefine((entry, context) => {
    if (entry.type !== 'string' && (entry.equals !== undefined || entry.startsWith !== undefined)) {
      context.addIssue({
        code: 'custom',
        message: 'equals and startsWith are for strings; a number needs oneOf or within',
      });
    }
  });

const lineSchema = z.strictObject({
  transports: z
    .array(z.enum(['tcp', 'rtu', 'rtu-over-tcp']))
    .min(1)
    .optional(),
  unitId: z.int().min(0).max(255).optional(),
  serial: z
    .strictObject({
      baud: z.int().min(300).max(1_000_000),
      parity: z.enum(['none', 'even', 'odd']),
      stopBits: z.union([z.literal(1), z.literal(2)]),
    })
    .optional(),
  timeoutMs: z.int().min(50).max(60_000).optional(),
  registersMax: z.int().min(1).max(125).optional(),
  holeMax: z.int().min(0).max(124).optional(),
  gapMs: z.int().min(0).max(10_000).optional(),
  connectDelayMs: z.int().min(0).max(10_000).optional(),
  afterWriteMs: z.int().min(0).max(10_000).optional(),
  connectionsMax: z.int().min(1).max(16).optional(),
  inFlightMax: z.int().min(1).max(16).optional(),
  writes: z.enum(['single', 'multiple']).optional(),
});

const hex = z.string().regex(/^([0-9a-fA-F]{2}\s*)+$/, 'must be bytes in hex');
const frameSchema = z.strictObject({
  request: hex.meta({ description: 'PDU: function code, address, count' }),
  response: hex.meta({ description: 'PDU: function code, byte count, data' }),
  values: z.record(z.string(), z.number()),
});

export const profileSchema = z
  .strictObject({
    format: z.literal(PROFILE_FORMAT),
    maker: text,
    model: text,
    kind: z.enum(['meter', 'pv', 'wind', 'battery', 'hybrid', 'relay', 'charger', 'heat-pump', 'sensor']),
    phases: z.union([z.literal(1), z.literal(3)]).optional(),
    verified: z.enum(['documented', 'captured', 'hardware']),
    sources: z.array(text).min(1).max(16),
    line: lineSchema.optional(),
    defaults: z
      .strictObject({
        table: z.enum(TABLES).optional(),
        addressBase: z.int().min(0).max(65_535).optional(),
        byteOrder: z.enum(['big', 'little']).optional(),
        wordOrder: z.enum(['big', 'little']).optional(),
        sentinels: z.partialRecord(z.enum(TYPES), z.array(rawSchema).max(8)).optional(),
      })
      .optional(),
    sunspec: z
      .strictObject({
        bases: z.array(addressSchema).min(1).max(8).default([40_000, 0, 50_000]),
        models: z
          .array(z.strictObject({ id: z.int().min(1).max(65_534), length: z.int().min(1).max(1_000) }))
          .min(1)
          .max(64),
      })
      .optional(),
    identify: z.array(identificationSchema).max(16).optional(),
    points: z.partialRecord(z.enum(keysOf(MEASURANDS)), pointSchema),
    controls: z.partialRecord(z.enum(keysOf(CONTROLS)), controlSchema).optional(),
    served: z
      .array(z.strictObject({ ...partShape, value: z.union([z.number(), z.string()]) }))
      .max(64)
      .optional(),
    frames: z.array(frameSchema).max(64).optional(),
    notes: text.optional(),
  })
  .meta({ title: 'Wattpact profile', description: 'The register map of a kind of device.' });

export type ProfileInput = z.infer<typeof profileSchema>;

/** Fills in every default. `name` is how site files call it. */
export function profileOf(input: ProfileInput, name: string): Profile {
  const part = partReader(input);
  const points = new Map<string, Point>();
  for (const [measurand, point] of entries(input.points)) points.set(measurand, pointOf(measurand, point, part));
  const controls = new Map<string, Control>();
  for (const [control, value] of entries(input.controls ?? {})) controls.set(control, controlOf(control, value, part));
  return {
    name,
    maker: input.maker,
    model: input.model,
    kind: input.kind,
    phases: input.phases ?? null,
    verified: input.verified,
    sources: input.sources,
    line: lineOf(input),
    sunspec: input.sunspec ?? null,
    identify: (input.identify ?? []).map(
      (entry): Identification => ({
        what: entry.what,
        part: part(entry),
        equals: entry.equals ?? null,
        startsWith: entry.startsWith ?? null,
        oneOf: entry.oneOf ?? [],
        within: entry.within ?? null,
        optional: entry.optional ?? false,
      }),
    ),
    points,
    controls,
    served: (input.served ?? []).map((entry) => ({ part: part(entry), value: entry.value })),
    frames: (input.frames ?? []).map((frame): GoldenFrame => frame),
    notes: input.notes ?? null,
  };
}

type PartReader = (input: PartInput & { times?: number | undefined }, fallback?: Place['table']) => Part;

function partReader(input: ProfileInput): PartReader {
  const defaults = input.defaults ?? {};
  const base = defaults.addressBase ?? 0;
  const table = defaults.table ?? 'holding';
  const place = (at: z.infer<typeof placeSchema>, fallback: Place['table']): Place => ({
    table: at.table ?? fallback,
    model: at.model ?? null,
    address: at.model === undefined ? at.address - base : at.address,
  });
  return (at, fallback = table) => ({
    ...place(at, at.type === 'bit' && fallback !== 'discrete' ? 'coil' : fallback),
    type: at.type,
    length: REGISTERS[at.type] ?? at.length ?? 1,
    byteOrder: at.byteOrder ?? defaults.byteOrder ?? 'big',
    wordOrder: at.wordOrder ?? defaults.wordOrder ?? 'big',
    scale: at.scale ?? 1,
    offset: at.offset ?? 0,
    scaleRegister: at.scaleRegister === undefined ? null : place(at.scaleRegister, at.table ?? fallback),
    sentinels:
      (at.sentinels ?? defaults.sentinels?.[at.type])?.map(BigInt) ??
      (at.model === undefined ? [] : (SUNSPEC_SENTINELS[at.type] ?? [])),
    bits: at.bits ?? null,
    times: at.times ?? 1,
  });
}

function pointOf(measurand: string, input: z.infer<typeof pointSchema>, part: PartReader): Point {
  const info = MEASURANDS[measurand] as MeasurandInfo;
  const parts =
    input.sunspec !== undefined
      ? [sunspecPart(input.sunspec, input, part)]
      : input.sum === undefined
        ? [part(input as PartInput)]
        : input.sum.map((entry) => part(entry));
  const [min, max] = info.plausible;
  return {
    measurand,
    parts,
    turn: turnOf(info, input.positive),
    poll: input.poll ?? info.poll,
    plausible: { min, max, ...input.plausible, ratePerSecond: input.plausible?.ratePerSecond ?? null },
    counter:
      info.counter === undefined
        ? null
        : {
            resolutionWh: input.counter?.resolutionWh ?? Math.min(...parts.map(({ scale }) => Math.abs(scale))),
            rolloverWh: input.counter?.rolloverWh ?? rolloverOf(parts),
            reset: input.counter?.reset ?? 'never',
            phases: input.counter?.phases ?? 'unknown',
          },
    firmware:
      input.firmware === undefined ? null : { from: input.firmware.from ?? null, to: input.firmware.to ?? null },
    group: input.group ?? null,
    note: input.note ?? null,
  };
}

/** A point of SunSpec's models by its name: the first, with the others as its alternatives. Names are known to be good: `profileProblems`. */
function sunspecPart(names: readonly string[], input: z.infer<typeof pointSchema>, part: PartReader): Part {
  const { scale, offset, sentinels, bits } = input;
  const parts = names.flatMap(sunspecPlaces).map(({ model, name }): Part => {
    const { field, offset: address } = sunspecPoint(model, name) as SunspecPlace;
    const from = field.scale === null ? undefined : sunspecPoint(model, field.scale);
    return part({
      model,
      address,
      type: field.data,
      length: field.registers,
      table: 'holding',
      byteOrder: 'big',
      wordOrder: 'big',
      sentinels: sentinels ?? (field.type.startsWith('a') ? [] : NOT_IMPLEMENTED[field.type].map(hexOf)),
      ...(from === undefined ? {} : { scaleRegister: { table: 'holding' as const, model, address: from.offset } }),
      ...(scale === undefined ? {} : { scale }),
      ...(offset === undefined ? {} : { offset }),
      ...(bits === undefined ? {} : { bits }),
    });
  });
  return parts.reduceRight((or, first) => ({ ...first, or }));
}

type SunspecPlace = NonNullable<ReturnType<typeof sunspecPoint>>;

function hexOf(raw: bigint): string {
  return `0x${raw.toString(16)}`;
}

/** An unsigned integer counter starts again after its last value. */
function rolloverOf(parts: readonly Part[]): number | null {
  const [only, ...more] = parts;
  if (only === undefined || more.length > 0 || only.scaleRegister !== null || !only.type.startsWith('u')) return null;
  return only.length > 2 ? null : 2 ** (16 * only.length) * only.scale;
}

function controlOf(control: string, input: z.infer<typeof controlSchema>, part: PartReader): Control {
  const step = (entry: z.infer<typeof stepSchema>): WriteStep => {
    const written = part({ ...entry, table: entry.table ?? (entry.type === 'bit' ? 'coil' : 'holding') });
    return {
      part: written,
      carries:
        entry.constant !== undefined
          ? { kind: 'constant', value: entry.constant }
          : entry.bySign !== undefined
            ? { kind: 'bySign', ...entry.bySign }
            : { kind: entry.carries ?? 'value' },
      percentOf: entry.percentOf ?? null,
      readBack: entry.readBack === 'none' ? null : entry.readBack === undefined ? written : part(entry.readBack),
    };
  };
  const { watchdog } = input;
  return {
    control,
    write: input.write.map(step),
    release: (input.release ?? []).map(step),
    turn: turnOf(CONTROLS[control] as MeasurandInfo, input.positive),
    ...input.limits,
    revert: input.revert === 'rated' ? null : input.revert,
    storage: input.storage,
    dailyWrites: input.dailyWrites ?? Number.POSITIVE_INFINITY,
    watchdog:
      watchdog === undefined
        ? null
        : 'timeoutSeconds' in watchdog
          ? { kind: 'fixed', timeoutMs: watchdog.timeoutSeconds * 1000 }
          : {
              kind: 'register',
              part: part(watchdog.register, 'holding'),
              minMs: watchdog.minSeconds * 1000,
              maxMs: watchdog.maxSeconds * 1000,
            },
    failsafe: input.failsafe,
    tolerance: input.tolerance ?? input.limits.step / 2,
    note: input.note ?? null,
  };
}

function lineOf(input: ProfileInput): LineTraits {
  const line = input.line ?? {};
  return {
    transports: line.transports ?? ['tcp', 'rtu', 'rtu-over-tcp'],
    unitId: line.unitId ?? 1,
    serial: line.serial ?? { baud: 9600, parity: 'none', stopBits: 1 },
    timeoutMs: line.timeoutMs ?? 1000,
    registersMax: line.registersMax ?? 100,
    holeMax: line.holeMax ?? 8,
    gapMs: line.gapMs ?? 0,
    connectDelayMs: line.connectDelayMs ?? 0,
    afterWriteMs: line.afterWriteMs ?? 0,
    connectionsMax: line.connectionsMax ?? 1,
    inFlightMax: line.inFlightMax ?? 1,
    writes: line.writes ?? 'multiple',
  };
}

function turnOf(info: MeasurandInfo, positive: string | undefined): 1 | -1 {
  return positive !== undefined && info.directions !== undefined && positive === info.directions[1] ? -1 : 1;
}

/** What one place cannot see: signs that must be declared, references to other points, models of the chain, text lengths. */
export function profileProblems(raw: unknown): { path: PropertyKey[]; message: string }[] {
  const problems: { path: PropertyKey[]; message: string }[] = [];
  const points = recordAt(raw, 'points');
  const models = new Set(listAt(recordAt(raw, 'sunspec'), 'models').map((model) => recordOf(model).id));
  for (const [list, infos] of [
    ['points', MEASURANDS],
    ['controls', CONTROLS],
  ] as const) {
    for (const [name, value] of Object.entries(recordAt(raw, list))) {
      const { positive } = recordOf(value);
      if (infos[name] === undefined) continue;
      const { directions } = infos[name];
      if (directions === undefined && positive !== undefined) {
        problems.push({ path: [list, name, 'positive'], message: `${name} has no direction to declare` });
      }
      if (directions !== undefined && !directions.includes(String(positive))) {
        problems.push({ path: [list, name], message: `needs positive: ${directions.join(' or ')}` });
      }
    }
  }
  visit(raw, [], (node, path) => {
    if (Array.isArray(node.sunspec)) problems.push(...sunspecProblems(node.sunspec, [...path, 'sunspec'], models));
    if (typeof node.model === 'number' && typeof node.address === 'number' && !models.has(node.model)) {
      problems.push({
        path: [...path, 'model'],
        message: `SunSpec model ${node.model} is not listed in sunspec.models`,
      });
    }
    if ((node.type === 'string' || node.type === 'bcd') && node.length === undefined) {
      problems.push({ path, message: `a ${node.type} needs a length in registers` });
    }
    if (typeof node.percentOf === 'string' && !(node.percentOf in points) && node.percentOf !== 'ratedPowerW') {
      problems.push({ path: [...path, 'percentOf'], message: `${node.percentOf} is no point of this profile` });
    }
  });
  for (const [i, frame] of listAt(raw, 'frames').entries()) {
    for (const name of Object.keys(recordAt(frame, 'values'))) {
      if (!(name in points))
        problems.push({ path: ['frames', i, 'values', name], message: 'is no point of this profile' });
    }
  }
  return problems;
}

/** Deepest nesting of a profile's YAML. */
const DEPTH_MAX = 12;

function visit(
  value: unknown,
  path: PropertyKey[],
  see: (node: Record<string, unknown>, path: PropertyKey[]) => void,
): void {
  if (typeof value !== 'object' || value === null || path.length > DEPTH_MAX) return;
  if (!Array.isArray(value)) see(value as Record<string, unknown>, path);
  for (const [key, inner] of Object.entries(value))
    visit(inner, [...path, Array.isArray(value) ? Number(key) : key], see);
}

function keysOf<T>(record: Readonly<Record<string, T>>): [string, ...string[]] {
  return Object.keys(record) as [string, ...string[]];
}

function entries<T>(record: Readonly<Partial<Record<string, T>>>): [string, T][] {
  return Object.entries(record) as [string, T][];
}
