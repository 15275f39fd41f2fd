// A clearing's document as a stranger gets it: its form, and whether it holds, with no solver but the market's own rules at hand.

import { z } from 'zod';
import { canonicalBytes, type Json } from '../base/canonical.ts';
import { describeError } from '../base/errors.ts';
import { ENERGY_WH_MAX, PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { wordsOf } from '../base/words.ts';
import { hashOf, idSchema } from '../protocol/envelope.ts';
import { busSchema, feederSchema, ROUNDS_MAX } from '../protocol/genesis.ts';
import { tradeSchema } from '../protocol/replies.ts';
import { clearingProblem } from './clearing-document.ts';
import type { ClearingDocument } from './types.ts';

/** Most orders and buses of a document (market/types.ts holds the same bounds). */
const ORDERS_MAX = 2_000_000;
const BUSES_MAX = 200_000;

const energySchema = z.int().min(0).max(ENERGY_WH_MAX);
const priceSchema = z.int().min(-PRICE_UC_PER_WH_MAX).max(PRICE_UC_PER_WH_MAX);
const nodalPriceSchema = z.int();
const totalSchema = z
  .string()
  .regex(/^(0|-?[1-9][0-9]{0,30})$/, 'must be a whole number of at most 31 digits, as text');

const certificateShape = {
  fillsWh: z.array(energySchema).max(ORDERS_MAX),
  flowsWh: z.array(z.int()).max(BUSES_MAX),
  pricesUcPerWh: z.array(nodalPriceSchema).max(BUSES_MAX),
  tightened: z
    .array(
      z.strictObject({
        bus: z.int().min(0).max(BUSES_MAX),
        downMaxWh: z.int().min(0).nullable(),
        upMaxWh: z.int().min(0).nullable(),
      }),
    )
    .max(BUSES_MAX),
  tradedWh: totalSchema,
  welfareUc: totalSchema,
};

export const clearingDocumentSchema = z.strictObject({
  ...certificateShape,
  buses: z.array(busSchema).min(1).max(BUSES_MAX),
  /** Of each round, if there are several. */
  certificates: z.array(z.strictObject(certificateShape)).max(ROUNDS_MAX),
  feeder: idSchema,
  interval: z.int().min(0).max(100_000_000),
  lengthMs: z
    .int()
    .min(60_000)
    .max(24 * 3_600_000),
  netExports: z
    .array(z.strictObject({ bus: idSchema, energyWh: z.int().min(-ENERGY_WH_MAX).max(ENERGY_WH_MAX) }))
    .max(BUSES_MAX),
  /** In consensus order; `bus` is an index into the buses. */
  orders: z
    .array(
      z.strictObject({
        bus: z.int().min(0).max(BUSES_MAX),
        energyWh: energySchema,
        gateway: idSchema,
        priceUcPerWh: priceSchema,
        round: z.int().min(1).max(ROUNDS_MAX),
        side: z.enum(['supply', 'demand']),
      }),
    )
    .max(ORDERS_MAX),
  /** Why it is void, or empty. */
  reason: z.string(),
  rounds: z.int().min(1).max(ROUNDS_MAX),
  status: z.enum(['cleared', 'void']),
  tariff: z
    .strictObject({
      buyUcPerWh: priceSchema,
      buyWhMax: energySchema,
      sellUcPerWh: priceSchema,
      sellWhMax: energySchema,
    })
    .nullable(),
  trades: z.array(tradeSchema).max(ORDERS_MAX),
  utility: idSchema,
  voltage: feederSchema.shape.voltage.unwrap().nullable(),
});

/** What a document is, and whether it holds: the same inputs give these results, and the certificate proves them optimal. Any value. */
export function checkClearing(
  value: Json,
): { readonly document: ClearingDocument; readonly digest: string } | { readonly problem: string } {
  const parsed = clearingDocumentSchema.safeParse(value);
  if (!parsed.success) return { problem: `not a clearing: ${wordsOf(parsed.error, value)}` };
  try {
    canonicalBytes(value);
    const document = parsed.data as ClearingDocument;
    const problem = clearingProblem(document);
    if (problem !== null) return { problem };
    return { document, digest: hashOf(value) };
  } catch (error) {
    return { problem: describeError(error) };
  }
}
