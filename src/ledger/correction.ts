// A correction replaces what was settled of a site's interval, for 30 days, from raw counters that fit their neighbours.

import type { Admission } from '../protocol/genesis.ts';
import type { RequestBody } from '../protocol/requests.ts';
import type { Context } from './context.ts';
import { advanced, deliveryRow, meteredProblem, meterOf } from './meter.ts';
import { settleAgain, settledSite } from './settlement.ts';
import { type Counters, deliveries, marketKey, meters } from './tables.ts';

/** Corrections of one site and interval. */
const CORRECTIONS_MAX = 3;

export function correction(context: Context, site: Admission, body: RequestBody<'correction'>): string | null {
  const { state } = context;
  const { interval } = body;
  const settled = settledSite(context, site.feeder, interval, site.gateway);
  if (settled === null) return `interval ${interval} was not settled for ${site.gateway}, or too long ago`;
  if (settled.corrections >= CORRECTIONS_MAX)
    return `interval ${interval} was corrected ${CORRECTIONS_MAX} times already`;
  const known = meterOf(context, site);
  // What a swapped meter carried belongs to a delivery on time; a correction states its counters alone.
  const meter = { ...known, carryExportWh: 0, carryImportWh: 0 };
  if (body.meterSerial !== meter.serial && body.meterSerial !== meter.previousSerial) {
    return `meter ${body.meterSerial} is not one of ${site.gateway}`;
  }
  const problem = neighbourProblem(context, site, body) ?? meteredProblem(context, site, meter, body);
  if (problem !== null) return problem;
  settleAgain(context, site.feeder, interval, site.gateway, deliveryRow(site, meter, body));
  if (interval > known.interval && body.meterSerial === known.serial) {
    meters.set(state, site.gateway, 'last', advanced(known, body));
  }
  return null;
}

/** An interval starts where the one before ended and ends where the next one started, as far as both are known. */
function neighbourProblem(context: Context, site: Admission, body: RequestBody<'correction'>): string | null {
  const before = countersOf(context, site, body.interval - 1);
  const after = countersOf(context, site, body.interval + 1);
  if (before !== null && before.serial === body.meterSerial) {
    if (before.exportEndWh !== body.exportStartWh || before.importEndWh !== body.importStartWh) {
      return 'the counters do not start where the interval before ended';
    }
  }
  if (after !== null && after.serial === body.meterSerial) {
    if (after.exportStartWh !== body.exportEndWh || after.importStartWh !== body.importEndWh) {
      return 'the counters do not end where the next interval starts';
    }
  }
  return null;
}

function countersOf(context: Context, site: Admission, interval: number): Counters | null {
  const settled = settledSite(context, site.feeder, interval, site.gateway);
  if (settled !== null) return settled.counters;
  return deliveries.get(context.state, marketKey(site.feeder, interval), site.gateway)?.counters ?? null;
}
