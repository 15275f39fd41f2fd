// Forecasts, demands and offers: what a gateway says of an interval before its gate closes. Each rule returns why the
// request is refused, or null after it has taken effect.

import { mulDivFloor } from '../base/integers.ts';
import { intervalEndMs } from '../base/interval.ts';
import type { Admission } from '../protocol/genesis.ts';
import type { RequestBody } from '../protocol/requests.ts';
import { type Context, gateProblem, roundAt, schedule, scheduleExpiry } from './context.ts';
import { pvBoundPpm } from './sun.ts';
import { ALL, energyWh, gateMs, grids, histories, marketKey, members, offers, records, startMs } from './tables.ts';

/** Delivered intervals from which a device's own past bounds its forecasts (a week of quarter hours), and how far beyond. */
export const HISTORY_INTERVALS_MIN = 672;
const HISTORY_FACTOR = 2;

export function forecast(context: Context, site: Admission, body: RequestBody<'forecast'>): string | null {
  const { genesis, state } = context;
  const device = site.devices.find(({ id }) => id === body.device);
  if (device === undefined) return `no device ${body.device} is admitted at ${site.gateway}`;
  if (device.kind !== 'pv' && device.kind !== 'wind')
    return `device ${device.id} is a ${device.kind}: it generates nothing`;
  const gate = gateProblem(context, body.interval);
  if (gate !== null) return gate;
  const most = energyWh(genesis, device.capacityW);
  if (body.energyWh > most) return `${body.energyWh} Wh is over the ${most} Wh that ${device.id} can give an interval`;
  if (body.quantilesWh.some((quantile, i) => i > 0 && quantile < (body.quantilesWh[i - 1] as number))) {
    return 'the quantiles must not fall';
  }
  if (device.kind === 'pv') {
    const sun = generationBoundWh(context, site.feeder, device.capacityW, body.interval);
    if (body.energyWh > sun) return `${body.energyWh} Wh is over the ${sun} Wh that the sun's height allows`;
  }
  const history = histories.get(state, site.gateway, device.id);
  if (history !== null && history.intervals >= HISTORY_INTERVALS_MIN) {
    const seen = history.peakWh * HISTORY_FACTOR;
    if (body.energyWh > seen)
      return `${body.energyWh} Wh is over the ${seen} Wh that the chain's history makes plausible`;
  }
  return putRecord(context, 'forecast', site.gateway, body.device, body);
}

export function demand(context: Context, site: Admission, body: RequestBody<'demand'>): string | null {
  if (!site.customers.includes(body.customer)) return `no customer ${body.customer} is known at ${site.gateway}`;
  const gate = gateProblem(context, body.interval);
  if (gate !== null) return gate;
  const most = energyWh(context.genesis, site.importLimitW);
  if (body.energyWh > most)
    return `${body.energyWh} Wh is over the ${most} Wh that the connection can import an interval`;
  return putRecord(context, 'demand', site.gateway, body.customer, body);
}

/** Most a PV device can give in an interval by the sun's height over the feeder, Wh. */
export function generationBoundWh(
  { genesis, state }: Context,
  feeder: string,
  capacityW: number,
  interval: number,
): number {
  const grid = grids.get(state, ALL, feeder);
  if (grid === null) return 0;
  const endMs = intervalEndMs(interval, genesis.interval.lengthMs);
  const ppm = pvBoundPpm(startMs(genesis, interval), endMs, grid.latitudeDeg10, grid.longitudeDeg10);
  return mulDivFloor(energyWh(genesis, capacityW), ppm, 1_000_000);
}

function putRecord(
  context: Context,
  kind: 'forecast' | 'demand',
  gateway: string,
  subject: string,
  { interval, sequence, energyWh }: { interval: number; sequence: number; energyWh: number },
): string | null {
  const name = `${kind}.${gateway}.${subject}`;
  const known = records.get(context.state, interval, name);
  if (known !== null && known.sequence >= sequence) return superseded(known.sequence);
  records.set(context.state, interval, name, { energyWh, sequence });
  scheduleExpiry(context, interval);
  return null;
}

export function offer(context: Context, site: Admission, request: string, body: RequestBody<'offer'>): string | null {
  const { genesis, state } = context;
  const gate = gateProblem(context, body.interval);
  if (gate !== null) return gate;
  const exportMost = energyWh(genesis, site.exportLimitW);
  const sells = total(body.sell);
  if (sells > exportMost) return `selling ${sells} Wh is over the ${exportMost} Wh of the export limit`;
  const importMost = energyWh(genesis, site.importLimitW);
  const buys = total(body.buy);
  if (buys > importMost) return `buying ${buys} Wh is over the ${importMost} Wh of the import limit`;
  const market = marketKey(site.feeder, body.interval);
  const known = offers.get(state, market, site.gateway);
  if (known !== null && known.sequence >= body.sequence) return superseded(known.sequence);
  offers.set(state, market, site.gateway, {
    buy: body.buy,
    height: context.height,
    request,
    round: roundAt(context, body.interval),
    salt: body.salt,
    sell: body.sell,
    sequence: body.sequence,
  });
  const atMs = gateMs(genesis, body.interval);
  schedule(state, { atMs, type: 'clearing', feeder: site.feeder, interval: body.interval });
  activate(context, site, body.interval);
  return null;
}

/** From its first offer or delivery on, a site is settled in every interval. */
export function activate({ state }: Context, site: Admission, interval: number): void {
  const since = members.get(state, site.feeder, site.gateway);
  if (since === null || since < 0 || since > interval) members.set(state, site.feeder, site.gateway, interval);
}

function superseded(sequence: number): string {
  return `superseded: sequence ${sequence} of the same statement is already recorded`;
}

function total(steps: readonly { readonly energyWh: number }[]): number {
  return steps.reduce((sum, step) => sum + step.energyWh, 0);
}
