// A customer's stated demand as it comes to the site, over MQTT, HTTP or the command line: one form, one door.
//
//   {"demands":[{"start":"2026-06-21T10:15:00Z","energyWh":1200}, ...]}

import { z } from 'zod';
import { WattpactError } from '../base/errors.ts';
import type { Millis, WattHours } from '../base/units.ts';
import { ENERGY_WH_MAX } from '../base/units.ts';
import { wordsOf } from '../base/words.ts';

/** Intervals in one statement: a day of quarters. */
export const STATED_INTERVALS_MAX = 96;

const statementSchema = z.strictObject({
  demands: z
    .array(
      z.strictObject({
        energyWh: z.int().min(0).max(ENERGY_WH_MAX),
        /** Start of the interval. */
        start: z.iso.datetime('is a time in UTC such as 2026-06-21T10:15:00Z'),
      }),
    )
    .min(1)
    .max(STATED_INTERVALS_MAX),
});

/** What a customer needs in one interval. */
export interface CustomerDemand {
  readonly customer: string;
  readonly interval: number;
  readonly energyWh: WattHours;
}

/** A statement to demands by interval; throws `demand.form` with everything that is wrong. `intervalMs` is the market's. */
export function parseStatedDemand(
  customer: string,
  payload: Uint8Array,
  intervalMs: Millis,
): readonly CustomerDemand[] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new WattpactError('demand.form', 'the statement is not JSON', { hint: HINT, cause });
  }
  const parsed = statementSchema.safeParse(value);
  if (!parsed.success) {
    throw new WattpactError('demand.form', `the statement cannot be used: ${wordsOf(parsed.error, value)}`, {
      hint: HINT,
    });
  }
  const demands = parsed.data.demands.map(({ start, energyWh }): CustomerDemand => {
    const startMs = Date.parse(start);
    if (startMs % intervalMs !== 0) {
      throw new WattpactError(
        'demand.form',
        `${start} is not the start of an interval of ${intervalMs / 60_000} minutes`,
      );
    }
    return { customer, interval: startMs / intervalMs, energyWh };
  });
  if (new Set(demands.map(({ interval }) => interval)).size !== demands.length) {
    throw new WattpactError('demand.form', 'an interval is stated twice');
  }
  return demands;
}

const HINT = 'Write {"demands":[{"start":"2026-06-21T10:15:00Z","energyWh":1200}]}';
