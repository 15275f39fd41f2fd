// Requests: the signed statements a party wants recorded. One schema a kind, validated once at the edge.
// Every body carries `salt` (unguessable leaves), `sequence` (of the signer, rising) and `validUntilMs` (block time).

import { z } from 'zod';
import { concatBytes, utf8 } from '../base/bytes.ts';
import { canonicalBytes, type JsonObject } from '../base/canonical.ts';
import { WattpactError } from '../base/errors.ts';
import { ENERGY_WH_MAX, PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { wordsOf } from '../base/words.ts';
import {
  type Envelope,
  hashSchema,
  idSchema,
  PROTOCOL,
  publicKeySchema,
  saltSchema,
  signatureSchema,
} from './envelope.ts';
import { admissionSchema, feederSchema } from './genesis.ts';

/** Steps a side of an offer. */
export const OFFER_STEPS_MAX = 8;

const energySchema = z.int().min(0).max(ENERGY_WH_MAX);
const counterSchema = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const priceSchema = z.int().min(-PRICE_UC_PER_WH_MAX).max(PRICE_UC_PER_WH_MAX);
const intervalSchema = z.int().min(0).max(100_000_000);
const wattsSchema = z.int().min(0).max(4_000_000_000);
const common = { salt: saltSchema, sequence: z.int().min(1), validUntilMs: z.int().min(0) };

const stepSchema = z.strictObject({ energyWh: energySchema.min(1), priceUcPerWh: priceSchema });
export type OfferStep = z.infer<typeof stepSchema>;

/** Device D, interval T, generation. Quantiles are 5, 10, 25, 50, 75, 90, 95 %. */
export const forecastSchema = z.strictObject({
  ...common,
  device: idSchema,
  energyWh: energySchema,
  interval: intervalSchema,
  quantilesWh: z.array(energySchema).length(7),
});

/** Customer C, interval T, needs. */
export const demandSchema = z.strictObject({
  ...common,
  customer: idSchema,
  energyWh: energySchema,
  interval: intervalSchema,
});

/** One net offer a site and interval: sell steps by rising price, buy steps by falling price; both empty cancels. */
export const offerSchema = z
  .strictObject({
    ...common,
    buy: z.array(stepSchema).max(OFFER_STEPS_MAX),
    interval: intervalSchema,
    sell: z.array(stepSchema).max(OFFER_STEPS_MAX),
  })
  .superRefine(({ buy, sell }, context) => {
    const rising = (steps: readonly OfferStep[]): boolean =>
      steps.every((step, i) => i === 0 || step.priceUcPerWh > (steps[i - 1] as OfferStep).priceUcPerWh);
    if (!rising(sell)) context.addIssue({ code: 'custom', message: 'sell prices must rise' });
    if (!rising([...buy].reverse())) context.addIssue({ code: 'custom', message: 'buy prices must fall' });
    if (buy[0] && sell[0] && buy[0].priceUcPerWh >= sell[0].priceUcPerWh) {
      context.addIssue({ code: 'custom', message: 'the highest buy price must be below the lowest sell price' });
    }
  });

/** How far a metered energy can be believed. */
export const qualitySchema = z.enum(['measured', 'interpolated', 'gap']);

/**
 * Metered energy of an interval from the counters at the grid connection, Wh. Delivered = export rise - import rise.
 * The counters telescope: an interval's end values are the next one's start values.
 */
const meteredShape = {
  ctRatio: z.strictObject({ primaryA: z.int().min(1).max(100_000), secondaryA: z.int().min(1).max(100_000) }),
  devices: z
    .array(
      z.strictObject({
        curtailed: z.boolean(),
        device: idSchema,
        energyWh: z.int().min(-ENERGY_WH_MAX).max(ENERGY_WH_MAX),
      }),
    )
    .max(64),
  exportEndWh: counterSchema,
  exportStartWh: counterSchema,
  importEndWh: counterSchema,
  importStartWh: counterSchema,
  interval: intervalSchema,
  meterSerial: z.string().min(1).max(64),
  quality: qualitySchema,
  uncertaintyWh: energySchema,
};
export const deliverySchema = z.strictObject({ ...common, ...meteredShape });

/** Replaces a delivery (or the provisional settlement of a missing one); both are kept. */
export const correctionSchema = z.strictObject({ ...common, ...meteredShape, reason: z.string().min(1).max(200) });

/** The utility's tariff at the root for the intervals `[fromInterval, untilInterval)`; finite on both sides. */
export const tariffSchema = z
  .strictObject({
    ...common,
    buyUcPerWh: priceSchema,
    buyWhMax: energySchema,
    feeder: idSchema,
    fromInterval: intervalSchema,
    sellUcPerWh: priceSchema,
    sellWhMax: energySchema,
    untilInterval: intervalSchema,
  })
  .refine((tariff) => tariff.buyUcPerWh <= tariff.sellUcPerWh, {
    message: 'the utility must not buy dearer than it sells',
  })
  .refine((tariff) => tariff.fromInterval < tariff.untilInterval, {
    message: 'untilInterval must be after fromInterval',
  });

/** Bytes a new key signs to prove that its holder agrees: over an admission, a rekey `{gateway, publicKey}`, or a membership change. */
export function possessionBytes(chain: string, value: JsonObject): Uint8Array {
  return concatBytes(utf8(`${PROTOCOL}/possession\n${chain}\n`), canonicalBytes(value));
}

/** Bytes that validators and operators sign to approve a membership change. */
export function approvalBytes(chain: string, change: JsonObject): Uint8Array {
  return concatBytes(utf8(`${PROTOCOL}/approval\n${chain}\n`), canonicalBytes(change));
}

export const gatewayAdmitSchema = z.strictObject({
  ...common,
  admission: admissionSchema,
  /** The gateway's own signature of `possessionBytes(chain, admission)`: proof that it holds the key. */
  possession: signatureSchema,
});
export const gatewayRekeySchema = z.strictObject({
  ...common,
  gateway: idSchema,
  possession: signatureSchema,
  publicKey: publicKeySchema,
});
export const gatewayRevokeSchema = z.strictObject({ ...common, gateway: idSchema });

/** A feeder's buses and lines, from an interval on. */
export const feederPublishSchema = z.strictObject({ ...common, feeder: feederSchema, fromInterval: intervalSchema });

/** Tighter (or restored) capacities of lines for some intervals. */
export const limitSchema = z.strictObject({
  ...common,
  capacities: z
    .array(z.strictObject({ bus: idSchema, capacityW: wattsSchema }))
    .min(1)
    .max(10_000),
  feeder: idSchema,
  fromInterval: intervalSchema,
  untilInterval: intervalSchema,
});

/** Net export (+) expected at buses from sites without an offer; clearing starts from these flows. */
export const baselineSchema = z.strictObject({
  ...common,
  feeder: idSchema,
  fromInterval: intervalSchema,
  netExports: z
    .array(z.strictObject({ bus: idSchema, energyWh: z.int().min(-ENERGY_WH_MAX).max(ENERGY_WH_MAX) }))
    .max(200_000),
  untilInterval: intervalSchema,
});

/** A meter changed at a site: last readings of the old one, first readings of the new one. */
export const meterSwapSchema = z.strictObject({
  ...common,
  closingExportWh: counterSchema,
  closingImportWh: counterSchema,
  closingSerial: z.string().min(1).max(64),
  gateway: idSchema,
  interval: intervalSchema,
  openingExportWh: counterSchema,
  openingImportWh: counterSchema,
  openingSerial: z.string().min(1).max(64),
});

/** Adds, removes or replaces a validator's key; one change at a time. Approvals sign `approvalBytes(chain, change)`; the new key signs `possessionBytes(chain, change)`. */
export const membershipSchema = z.strictObject({
  ...common,
  approvals: z.array(z.strictObject({ signature: signatureSchema, signer: idSchema })).max(192),
  change: z.strictObject({
    /** Null removes. */
    publicKey: publicKeySchema.nullable(),
    validator: idSchema,
    /** Hash of the set that the change applies to. */
    validatorSet: hashSchema,
  }),
  possession: signatureSchema.nullable(),
});

export const REQUEST_SCHEMAS = {
  baseline: baselineSchema,
  correction: correctionSchema,
  delivery: deliverySchema,
  demand: demandSchema,
  'feeder.publish': feederPublishSchema,
  forecast: forecastSchema,
  'gateway.admit': gatewayAdmitSchema,
  'gateway.rekey': gatewayRekeySchema,
  'gateway.revoke': gatewayRevokeSchema,
  limit: limitSchema,
  membership: membershipSchema,
  'meter.swap': meterSwapSchema,
  offer: offerSchema,
  tariff: tariffSchema,
} as const;

export type RequestKind = keyof typeof REQUEST_SCHEMAS;
export type RequestBody<K extends RequestKind> = z.infer<(typeof REQUEST_SCHEMAS)[K]>;
/** A validated request: `request.kind` narrows `request.body`. */
export type Request = {
  [K in RequestKind]: Omit<Envelope, 'kind' | 'body'> & { readonly kind: K; readonly body: RequestBody<K> };
}[RequestKind];

/** Who may sign which kind. Operators admit and publish; a gateway writes only of itself. */
export const REQUEST_SIGNERS: Readonly<Record<RequestKind, 'gateway' | 'operator' | 'utility'>> = {
  baseline: 'operator',
  correction: 'gateway',
  delivery: 'gateway',
  demand: 'gateway',
  'feeder.publish': 'operator',
  forecast: 'gateway',
  'gateway.admit': 'operator',
  'gateway.rekey': 'operator',
  'gateway.revoke': 'operator',
  limit: 'operator',
  membership: 'operator',
  'meter.swap': 'operator',
  offer: 'gateway',
  tariff: 'utility',
};

/** Largest request of a gateway, bytes; operators' requests may carry a feeder and are bounded by the batch. */
export const GATEWAY_REQUEST_BYTES_MAX = 16 * 1024;

export function isRequestKind(kind: string): kind is RequestKind {
  return Object.hasOwn(REQUEST_SCHEMAS, kind);
}

/** An envelope to a typed request; throws `request.kind` or `request.body`. The signature is not checked here. */
export function parseRequest(envelope: Envelope): Request {
  if (!isRequestKind(envelope.kind)) {
    throw new WattpactError('request.kind', `unknown kind of request: ${envelope.kind}`);
  }
  const parsed = REQUEST_SCHEMAS[envelope.kind].safeParse(envelope.body);
  if (!parsed.success) {
    throw new WattpactError('request.body', `${envelope.kind}: ${wordsOf(parsed.error, envelope.body)}`);
  }
  return envelope as unknown as Request;
}
