// Genesis: what every party of a chain agrees on beforehand. The chain id is derived from its canonical form.

import { z } from 'zod';
import { canonicalText, type Json } from '../base/canonical.ts';
import { WattpactError } from '../base/errors.ts';
import { ENERGY_WH_MAX, PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { wordsOf } from '../base/words.ts';
import { idSchema, publicKeySchema, sha256Hex } from './envelope.ts';

const MINUTE_MS = 60_000;
const wattsSchema = z.int().min(0).max(4_000_000_000);
const priceSchema = z.int().min(-PRICE_UC_PER_WH_MAX).max(PRICE_UC_PER_WH_MAX);
const durationSchema = z
  .int()
  .min(0)
  .max(366 * 24 * 60 * MINUTE_MS);

/** Most rounds of a clearing. */
export const ROUNDS_MAX = 16;

const ohmsSchema = z.int().min(0).max(1_000_000_000);

/** A line of a radial feeder, named by the bus at its lower end; the root has no parent and no line. */
export const busSchema = z.strictObject({
  /** Most power either way; null = no limit. */
  capacityW: wattsSchema.nullable(),
  id: idSchema,
  /** Energy lost on the line, parts per million of what passes. Information, not billed to the trade. */
  lossPpm: z.int().min(0).max(1_000_000),
  /** Nominal voltage; with resistance and reactance of the line it lets the voltage be checked. */
  nominalV: z.int().min(1).max(1_000_000).exactOptional(),
  /** Null at the root. */
  parent: idSchema.nullable(),
  reactanceUohm: ohmsSchema.exactOptional(),
  resistanceUohm: ohmsSchema.exactOptional(),
  /** What the operator charges for a watt-hour over this line, either way. Encodes distance and loss. */
  tariffUcPerWh: z.int().min(0).max(PRICE_UC_PER_WH_MAX),
});

/** The voltage band that a clearing must keep; per unit in ppm. Every line then states its r, x and voltage. */
const voltageSchema = z.strictObject({
  maxPpm: z.int().min(1).max(2_000_000),
  minPpm: z.int().min(1).max(2_000_000),
  /** How often limits are tightened and the clearing repeated before it is void. */
  repeatsMax: z.int().min(0).max(16),
  rootPpm: z.int().min(1).max(2_000_000),
  /** Reactive over active power of imports, ppm. */
  tanPhiPpm: z.int().min(0).max(10_000_000),
});

export const feederSchema = z.strictObject({
  buses: z.array(busSchema).min(1).max(200_000),
  id: idSchema,
  /** Location of the feeder, tenths of a degree: public, coarse on purpose. */
  latitudeDeg10: z.int().min(-900).max(900),
  longitudeDeg10: z.int().min(-1800).max(1800),
  operator: idSchema,
  /** The utility that buys and sells at the root. */
  utility: idSchema,
  voltage: voltageSchema.exactOptional(),
});
export type Bus = z.infer<typeof busSchema>;
export type Feeder = z.infer<typeof feederSchema>;

/** A device of a site as admitted: what it can be believed to generate. */
export const admittedDeviceSchema = z.strictObject({
  capacityW: wattsSchema,
  id: idSchema,
  kind: z.enum(['pv', 'wind', 'battery', 'load', 'meter']),
});

/** A site as the operator admits it. Its key signs everything the gateway says until rekeyed. */
export const admissionSchema = z.strictObject({
  bus: idSchema,
  customers: z.array(idSchema).max(64),
  devices: z.array(admittedDeviceSchema).max(64),
  exportLimitW: wattsSchema,
  feeder: idSchema,
  gateway: idSchema,
  importLimitW: wattsSchema,
  meterSerial: z.string().min(1).max(64),
  publicKey: publicKeySchema,
  /** Largest `uncertaintyWh` of a delivery that the operator has certified as free of penalty. */
  uncertaintyWhMax: z.int().min(0).max(ENERGY_WH_MAX),
});
export type Admission = z.infer<typeof admissionSchema>;

const keySchema = z.strictObject({ id: idSchema, publicKey: publicKeySchema });

const intervalTermsSchema = z.strictObject({
  lengthMs: z
    .int()
    .min(MINUTE_MS)
    .max(24 * 60 * MINUTE_MS),
  /** Before the interval's start: offers are accepted from here ... */
  gateOpenMs: durationSchema,
  /** ... when gateways forecast and request ... */
  requestMs: durationSchema,
  /** ... until here; the next block clears. */
  gateCloseMs: durationSchema,
  /** After the interval's end: when settlement is due. */
  settlementMs: durationSchema,
});

export const genesisSchema = z
  .strictObject({
    chain: idSchema,
    clock: z.strictObject({
      originMs: z.int().min(0),
      wallOriginMs: z.int().min(0),
      /** Chain seconds a wall second: 1 in production. */
      rate: z.int().min(1).max(3600),
    }),
    currency: z.strictObject({ code: z.string().min(1).max(12), unit: z.string().min(1).max(32) }),
    feeders: z.array(feederSchema).min(1).max(1000),
    gateways: z.array(admissionSchema).max(100_000),
    interval: intervalTermsSchema,
    limits: z.strictObject({
      /** Most requests in a batch. */
      batchRequestsMax: z.int().min(1).max(100_000),
      /** Most bytes of requests in a batch. */
      batchBytesMax: z
        .int()
        .min(1024)
        .max(4 * 1024 * 1024),
      /** Most due operations a block executes. */
      dueOperationsMax: z.int().min(1).max(100_000),
      /** Furthest ahead of block time a request's `validUntilMs` may be. */
      validForMsMax: durationSchema,
      /** Bound of a proposed block time to each validator's own clock. */
      clockSkewMsMax: durationSchema,
    }),
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/),
    operators: z.array(keySchema).min(1).max(64),
    operatorThreshold: z.int().min(1).max(64),
    /** An interval's market clears in so many rounds; the time its gate is open is cut into as many equal parts. */
    rounds: z.int().min(1).max(ROUNDS_MAX),
    settlement: z.strictObject({
      /** Added to the price that a shortfall pays, taken from the price that a surplus gets. */
      shortfallPenaltyUcPerWh: priceSchema.min(0),
      surplusPenaltyUcPerWh: priceSchema.min(0),
    }),
    /** How operators turn ohms, metres and ratings into a line's tariff and capacity: market/tariffs.ts. */
    tariffRule: z.strictObject({
      distanceUcPerWhKm: priceSchema.min(0),
      energyUcPerWh: priceSchema.min(0),
      /** Share of a line's rating that may be used. */
      loadingPercent: z.int().min(0).max(1000),
    }),
    /** Longest a gateway trusts its highest verified header without a fresh operator checkpoint. */
    trustPeriodMs: durationSchema,
    utilities: z.array(keySchema).min(1).max(64),
    validators: z.array(keySchema).min(1).max(128),
  })
  .superRefine((genesis, context) => {
    const fail = (message: string): void => context.addIssue({ code: 'custom', message });
    const { interval } = genesis;
    if (!(interval.gateOpenMs > interval.requestMs && interval.requestMs > interval.gateCloseMs)) {
      fail('interval: gateOpenMs > requestMs > gateCloseMs must hold');
    }
    for (const name of ['validators', 'operators', 'utilities', 'feeders'] as const) {
      const ids = genesis[name].map((party) => party.id);
      if (new Set(ids).size !== ids.length) fail(`${name}: an id appears twice`);
    }
    const parties = [...genesis.validators, ...genesis.operators, ...genesis.utilities].map((party) => party.id);
    const gateways = genesis.gateways.map((admission) => admission.gateway);
    if (new Set([...parties, ...gateways]).size !== parties.length + gateways.length) {
      fail('a validator, operator, utility or gateway id appears twice');
    }
    if (genesis.operatorThreshold > genesis.operators.length) fail('operatorThreshold exceeds the operators');
    const feeders = new Map(genesis.feeders.map((feeder) => [feeder.id, feeder]));
    for (const feeder of genesis.feeders) {
      if (!genesis.operators.some(({ id }) => id === feeder.operator)) fail(`feeder ${feeder.id}: unknown operator`);
      if (!genesis.utilities.some(({ id }) => id === feeder.utility)) fail(`feeder ${feeder.id}: unknown utility`);
    }
    for (const { gateway, feeder, bus } of genesis.gateways) {
      if (!feeders.get(feeder)?.buses.some(({ id }) => id === bus)) {
        fail(`gateway ${gateway}: no bus ${bus} on feeder ${feeder}`);
      }
    }
  });
export type Genesis = z.infer<typeof genesisSchema>;

/** SHA-256 of the canonical genesis without its chain id, hex. Installed on every gateway. */
export function genesisHash(genesis: Omit<Genesis, 'chain'>): string {
  const { chain: _chain, ...rest } = genesis as Genesis;
  return sha256Hex(canonicalText(rest as unknown as Json));
}

/** Chain id: name, `-`, and the first 16 hex digits of the genesis hash. */
export function chainId(genesis: Omit<Genesis, 'chain'>): string {
  return `${genesis.name}-${genesisHash(genesis).slice(0, 16)}`;
}

/** A decoded value to a genesis; throws `genesis.invalid` with everything that is wrong. */
export function parseGenesis(value: unknown): Genesis {
  const parsed = genesisSchema.safeParse(value);
  if (!parsed.success)
    throw new WattpactError('genesis.invalid', `genesis is not valid: ${wordsOf(parsed.error, value)}`);
  const expected = chainId(parsed.data);
  if (parsed.data.chain !== expected) {
    throw new WattpactError(
      'genesis.chain',
      `genesis says chain ${parsed.data.chain}, but its content makes ${expected}`,
    );
  }
  return parsed.data;
}
