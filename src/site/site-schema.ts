// How a site file is written in YAML: which devices a site has, where, with which profile, and its contract terms.

import { z } from 'zod';
import { nearest } from '../base/nearest.ts';
import { PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { CONTROLS } from './measurands.ts';
import { recordAt, recordOf } from './raw.ts';
import type { Bus, Device, Phase, SiteFile, SiteLoad, Storage } from './types.ts';
import type { Problem } from './yaml.ts';

export const SITE_FORMAT = 1;
/** A site is one grid connection: more is a mistake. */
const DEVICES_MAX = 1_000;
/** A generation's worth. */
const HOLIDAYS_MAX = 500;
/** A heat pump stays in an SG-ready state for ten minutes at least. */
const SG_READY_LEAST_SECONDS = 600;

const id = z.string().regex(/^[a-z0-9-]{1,64}$/, 'an id is a-z, 0-9 and -, at most 64 characters');
const text = z.string().min(1).max(500);
const watts = z.number().min(0).max(100_000_000);
const phase = z.enum(['L1', 'L2', 'L3']);
const phases = z
  .array(phase)
  .min(1)
  .max(3)
  .refine((list) => new Set(list).size === list.length, 'a phase is named twice');
const seconds = z.number().min(0).max(86_400);
const port = z.int().min(0).max(65_535);
const price = z.int().min(-PRICE_UC_PER_WH_MAX).max(PRICE_UC_PER_WH_MAX);
const percent = z.number().min(0).max(100);
const efficiency = z.number().gt(0).max(1);
const clockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a local time is HH:MM');
const taper = z
  .array(z.strictObject({ percent, powerW: watts }))
  .max(16)
  .refine(
    (points) => points.every(({ percent: at }, i) => at > (points[i - 1]?.percent ?? -1)),
    'percent must rise from one point to the next',
  );

/** Where a socket leads or listens: the port has a key of its own. */
const host = text.refine(isHost, 'is a name or an address alone, such as 192.168.1.20; the port has its own key');

const shareSchema = z.strictObject({
  host: host.default('127.0.0.1'),
  port,
  writes: z.boolean().default(false),
});

const busSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.enum(['tcp', 'rtu-over-tcp']),
    host,
    port: port.default(502),
    share: shareSchema.optional(),
  }),
  z.strictObject({
    kind: z.literal('rtu'),
    path: text.regex(/^\//, 'a serial port is a path such as /dev/serial/by-id/...'),
    baud: z.int().min(300).max(1_000_000),
    parity: z.enum(['none', 'even', 'odd']).default('none'),
    stopBits: z.union([z.literal(1), z.literal(2)]).default(1),
  }),
]);

const deviceSchema = z.strictObject({
  profile: z.string().regex(/^[a-z0-9-]+\/[a-z0-9.-]+$/, 'a profile is <maker>/<model>'),
  bus: id,
  unitId: z.int().min(0).max(255),
  role: z.enum(['grid-meter', 'meter', 'pv', 'wind', 'battery', 'hybrid', 'load', 'relay']),
  phases: phases.optional(),
  ratedW: watts.min(1).optional(),
  covers: z.array(id).max(DEVICES_MAX).default([]),
  curtailable: z.boolean().default(false),
  meter: z
    .strictObject({
      serial: text.max(64),
      ctRatio: z
        .strictObject({ primaryA: z.int().min(1).max(100_000), secondaryA: z.int().min(1).max(100_000) })
        .default({ primaryA: 1, secondaryA: 1 }),
    })
    .optional(),
  ctFactor: z.number().positive().max(100_000).default(1),
});

const storageSchema = z.strictObject({
  device: id,
  capacityWh: z.number().min(1).max(1e10),
  chargeLimitW: watts,
  dischargeLimitW: watts,
  chargeTaper: taper.default([]),
  dischargeTaper: taper.default([]),
  chargeEfficiency: efficiency.default(0.95),
  dischargeEfficiency: efficiency.default(0.95),
  standingLossW: watts.default(0),
  cycleCostUcPerWh: z.number().min(0).max(PRICE_UC_PER_WH_MAX).default(0),
  reservePercent: percent.default(10),
  export: z.enum(['never', 'own-generation', 'yes']).default('yes'),
  lagMs: z.int().min(0).max(600_000).default(2_000),
  deadBandW: watts.default(0),
  stepW: watts.min(1).default(1),
});

const loadSchema = z
  .strictObject({
    device: id,
    control: z.enum(Object.keys(CONTROLS) as [string, ...string[]]),
    kind: z.enum(['switch', 'modulating', 'program', 'sg-ready']).default('switch'),
    block: z.enum(Object.keys(CONTROLS) as [string, ...string[]]).optional(),
    ratedW: watts.min(1).optional(),
    powersW: z.array(watts).min(1).max(1_000).optional(),
    phases: phases.optional(),
    minOnSeconds: seconds.optional(),
    minOffSeconds: seconds.optional(),
    sheddable: z.boolean().default(true),
    need: z
      .strictObject({
        energyWh: z.number().positive().max(1e9).optional(),
        from: clockTime.default('00:00'),
        until: clockTime.default('23:59'),
      })
      .optional(),
  })
  .superRefine((load, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (load.kind === 'program' && load.powersW === undefined)
      issue('kind', 'a program needs powersW, one for each interval');
    if (load.kind !== 'program' && load.need !== undefined && load.need.energyWh === undefined)
      issue('need', 'needs energyWh');
    if (load.kind === 'switch' && load.control === 'consumptionSetpointW')
      issue('kind', 'a set-point drives a modulating load');
    const { ratedW } = load;
    if (ratedW !== undefined && load.powersW?.some((powerW) => powerW > ratedW)) issue('powersW', 'is above ratedW');
    if (load.kind !== 'sg-ready') {
      if (ratedW === undefined) issue('ratedW', 'is missing');
      if (load.block !== undefined) issue('block', 'is the second contact of a load of kind sg-ready');
      return;
    }
    const [recommendedW = 0, forcedW = 0, ...more] = load.powersW ?? [];
    if (load.powersW === undefined || more.length > 0 || recommendedW <= 0 || forcedW <= recommendedW)
      issue('powersW', 'an sg-ready load needs [W in state 3, W in state 4] beyond the pump’s own running, rising');
    if (ratedW !== undefined && ratedW !== forcedW) issue('ratedW', 'follows from powersW: leave it out');
    if (!load.control.startsWith('switch')) issue('control', 'is the contact that recommends, such as switch1');
    if (load.block === undefined) issue('block', 'is missing: the second contact, such as switch2');
    else if (!load.block.startsWith('switch')) issue('block', 'is the second contact, such as switch2');
  });

export const siteSchema = z
  .strictObject({
    version: z.literal(SITE_FORMAT),
    id,
    name: text,
    location: z.strictObject({ latitude: z.number().min(-90).max(90), longitude: z.number().min(-180).max(180) }),
    timezone: z.string().refine(isTimezone, 'is no time zone such as Europe/Berlin'),
    holidays: z.array(z.iso.date('is a date such as 2026-12-25')).max(HOLIDAYS_MAX).default([]),
    connection: z.strictObject({
      phases: z.union([z.literal(1), z.literal(3)]),
      ampsPerPhase: z.number().positive().max(10_000),
      voltageV: z.number().positive().max(1_000).default(230),
      importLimitW: watts,
      exportLimitW: watts,
      defaultLimit: z.strictObject({ importW: watts, exportW: watts }),
    }),
    buses: z.record(id, busSchema),
    devices: z.record(id, deviceSchema),
    storage: z.record(id, storageSchema).default({}),
    loads: z.record(id, loadSchema).default({}),
    customers: z.record(id, z.strictObject({ name: text })).default({}),
    contract: z
      .strictObject({
        floorUcPerWh: price,
        ceilingUcPerWh: price,
        riskQuantile: z.number().gt(0).lt(1).optional(),
        quorumAtLeast: z.int().min(1).max(1_000).optional(),
      })
      .refine((terms) => terms.floorUcPerWh <= terms.ceilingUcPerWh, 'floorUcPerWh is above ceilingUcPerWh'),
    weather: z
      .strictObject({
        source: z.enum(['open-meteo']),
        url: z
          .string()
          .regex(/^https?:\/\/\S+$/, 'is an address such as https://api.open-meteo.com/v1/forecast')
          .optional(),
      })
      .optional(),
    market: z
      .strictObject({
        genesis: text,
        genesisHash: z
          .string()
          .regex(/^[0-9a-f]{64}$/, 'is 64 hex digits')
          .optional(),
        brokers: z
          .array(
            z
              .string()
              .regex(/^(mqtt|mqtts|ws|wss|tcp|ssl):\/\/\S+$/, 'a broker is mqtt://host:port or mqtts://host:port'),
          )
          .min(1)
          .max(64),
        key: text,
        dataDir: text,
      })
      .optional(),
  })
  .meta({ title: 'Wattpact site file', description: 'The devices of one grid connection and its contract terms.' });

export type SiteInput = z.infer<typeof siteSchema>;

/** Fills in what follows from the rest. */
export function siteOf(input: SiteInput): SiteFile {
  const connectionPhases: Phase[] = input.connection.phases === 1 ? ['L1'] : ['L1', 'L2', 'L3'];
  return {
    id: input.id,
    name: input.name,
    location: input.location,
    timezone: input.timezone,
    holidays: input.holidays,
    connection: { ...input.connection, phases: connectionPhases },
    buses: Object.entries(input.buses).map(([busId, bus]): Bus => {
      return bus.kind === 'rtu' ? { id: busId, ...bus } : { ...bus, id: busId, share: bus.share ?? null };
    }),
    devices: Object.entries(input.devices).map(
      ([deviceId, device]): Device => ({
        ...device,
        id: deviceId,
        phases: device.phases ?? connectionPhases,
        ratedW: device.ratedW ?? null,
        meter: device.meter ?? null,
      }),
    ),
    storage: Object.entries(input.storage).map(
      ([storageId, storage]): Storage => ({
        id: storageId,
        ...storage,
        driven: true,
      }),
    ),
    loads: Object.entries(input.loads).map(([loadId, { minOnSeconds, minOffSeconds, ...load }]): SiteLoad => {
      // The schema asks for one of them.
      const ratedW = load.ratedW ?? Math.max(0, ...(load.powersW ?? []));
      const leastSeconds = load.kind === 'sg-ready' ? SG_READY_LEAST_SECONDS : 0;
      return {
        ...load,
        id: loadId,
        block: load.block ?? null,
        ratedW,
        powersW: load.powersW ?? [ratedW],
        phases: load.phases ?? connectionPhases,
        minOnMs: (minOnSeconds ?? leastSeconds) * 1000,
        minOffMs: (minOffSeconds ?? leastSeconds) * 1000,
        need: load.need === undefined ? null : { ...load.need, energyWh: load.need.energyWh ?? null },
      };
    }),
    customers: Object.entries(input.customers).map(([customerId, customer]) => ({ id: customerId, ...customer })),
    contract: {
      ...input.contract,
      riskQuantile: input.contract.riskQuantile ?? null,
      quorumAtLeast: input.contract.quorumAtLeast ?? null,
    },
    weather: input.weather === undefined ? null : { ...input.weather, url: input.weather.url ?? null },
    market: input.market === undefined ? null : { ...input.market, genesisHash: input.market.genesisHash ?? null },
  };
}

/** References from one part of the file to another, on the document as written: found also while other parts are wrong. */
export function siteProblems(raw: unknown): Problem[] {
  const problems: Problem[] = [];
  const buses = Object.keys(recordAt(raw, 'buses'));
  const devices = recordAt(raw, 'devices');
  const names = Object.keys(devices);
  const refer = (path: PropertyKey[], value: unknown, known: readonly string[], what: string): void => {
    if (typeof value !== 'string' || known.includes(value)) return;
    const meant = nearest(value, known);
    problems.push({ path, message: `there is no ${what} ${value}${meant === null ? '' : `; did you mean ${meant}?`}` });
  };
  const addresses = new Map<string, string>();
  for (const [name, device] of Object.entries(devices)) {
    const { bus, unitId, covers } = recordOf(device);
    refer(['devices', name, 'bus'], bus, buses, 'bus');
    const kind = recordOf(recordAt(raw, 'buses')[String(bus)]).kind;
    if ((kind === 'rtu' || kind === 'rtu-over-tcp') && (unitId === 0 || Number(unitId) > 247)) {
      problems.push({ path: ['devices', name, 'unitId'], message: 'is 1 to 247 on a serial line' });
    }
    const address = `${bus} unit ${unitId}`;
    const other = addresses.get(address);
    // One device may stand twice, as an inverter and as the meter behind it.
    if (other !== undefined && recordOf(devices[other]).role === recordOf(device).role) {
      problems.push({ path: ['devices', name, 'unitId'], message: `${other} is already at ${address}` });
    }
    addresses.set(address, name);
    if (Array.isArray(covers))
      for (const [i, covered] of covers.entries()) {
        refer(['devices', name, 'covers', i], covered, names, 'device');
        if (covered === name)
          problems.push({ path: ['devices', name, 'covers', i], message: 'a meter cannot cover itself' });
      }
  }
  problems.push(...circles(devices));
  const gridMeters = names.filter((name) => recordOf(devices[name]).role === 'grid-meter');
  if (names.length > 0 && gridMeters.length !== 1) {
    const found = gridMeters.length === 0 ? 'none' : gridMeters.join(', ');
    problems.push({ path: ['devices'], message: `a site has exactly one device with role grid-meter; found ${found}` });
  }
  problems.push(...sharedLines(recordAt(raw, 'buses')));
  const driven = new Map<unknown, string>();
  for (const [name, entry] of Object.entries(recordAt(raw, 'storage'))) {
    const { device } = recordOf(entry);
    const other = driven.get(device);
    if (other !== undefined)
      problems.push({
        path: ['storage', name, 'device'],
        message: `storage ${other} is already on device ${String(device)}`,
      });
    driven.set(device, name);
  }
  for (const list of ['storage', 'loads']) {
    for (const [name, entry] of Object.entries(recordAt(raw, list))) {
      refer([list, name, 'device'], recordOf(entry).device, names, 'device');
    }
  }
  const taken = new Map<string, string>();
  for (const [name, load] of Object.entries(recordAt(raw, 'loads'))) {
    for (const contact of ['control', 'block']) {
      if (recordOf(load)[contact] === undefined) continue;
      const output = `${recordOf(load).device} ${recordOf(load)[contact]}`;
      const other = taken.get(output);
      if (other !== undefined)
        problems.push({ path: ['loads', name, contact], message: `${other} is already on ${output}` });
      taken.set(output, name);
    }
  }
  if (recordAt(raw, 'connection').phases === 1) {
    for (const list of ['devices', 'loads']) {
      for (const [name, entry] of Object.entries(recordAt(raw, list))) {
        const listed = recordOf(entry).phases;
        if (Array.isArray(listed) && listed.some((item) => item !== 'L1')) {
          problems.push({ path: [list, name, 'phases'], message: 'the connection has only L1' });
        }
      }
    }
  }
  return problems;
}

/** Two buses on one serial port would talk over each other; of two listeners on one port the second fails. */
function sharedLines(buses: Readonly<Record<string, unknown>>): Problem[] {
  const problems: Problem[] = [];
  const taken = new Map<string, string>();
  for (const [name, bus] of Object.entries(buses)) {
    const { path, share } = recordOf(bus);
    const shared = recordOf(share).port;
    for (const [what, at] of [
      [`serial port ${String(path)}`, path === undefined ? null : ['buses', name, 'path']],
      [`port ${String(shared)}`, shared === undefined || shared === 0 ? null : ['buses', name, 'share', 'port']],
    ] as const) {
      if (at === null) continue;
      const other = taken.get(what);
      if (other !== undefined) problems.push({ path: at, message: `bus ${other} is already on ${what}` });
      taken.set(what, name);
    }
  }
  return problems;
}

/** A meter tree has no circles. */
function circles(devices: Readonly<Record<string, unknown>>): Problem[] {
  const covered = (name: string): string[] => {
    const { covers } = recordOf(devices[name]);
    return Array.isArray(covers) ? covers.filter((entry) => typeof entry === 'string' && entry !== name) : [];
  };
  for (const start of Object.keys(devices)) {
    const seen = new Set<string>();
    let front = covered(start);
    while (front.length > 0) {
      if (front.includes(start))
        return [{ path: ['devices', start, 'covers'], message: 'the meters cover each other in a circle' }];
      for (const name of front) seen.add(name);
      front = front.flatMap(covered).filter((name) => !seen.has(name));
    }
  }
  return [];
}

function isHost(name: string): boolean {
  if (/^[\d.]+$/.test(name)) {
    const parts = name.split('.');
    return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
  }
  return (
    /^[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_.])?$/.test(name) ||
    /^[0-9a-fA-F]*:[0-9a-fA-F.:]*:[0-9a-fA-F.]*(%\w+)?$/.test(name)
  );
}

/** An offset such as +01:00 is none: it knows no summer time. */
function isTimezone(name: string): boolean {
  if (/^[+-]\d/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
