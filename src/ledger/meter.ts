// Deliveries, corrections and meter swaps: counters at the grid connection, checked against what the chain already knows
// of them. Each rule returns why the request is refused, or null after it has taken effect.

import { mulDivFloor } from '../base/integers.ts';
import { intervalEndMs, isoSeconds } from '../base/interval.ts';
import { ENERGY_WH_MAX } from '../base/units.ts';
import type { Admission } from '../protocol/genesis.ts';
import type { RequestBody } from '../protocol/requests.ts';
import { type Context, schedule } from './context.ts';
import { activate, generationBoundWh } from './records.ts';
import {
  type Counters,
  type DeliveryRow,
  deliveries,
  energyWh,
  histories,
  type MeterRow,
  marketKey,
  meters,
  settlementMs,
} from './tables.ts';

/** Beyond this share of a registered capacity a measurement is not believed: fuses and inverters allow less for long. */
const BELIEVED_PERCENT = 150;
/** A device's peak fades by this fraction an interval: half of it in about two weeks of quarter hours. */
const PEAK_FADES_BY = 2048;

type Metered = Omit<RequestBody<'correction'>, 'reason'>;

export function delivery(context: Context, site: Admission, body: RequestBody<'delivery'>): string | null {
  const { genesis, state, timeMs } = context;
  const endMs = intervalEndMs(body.interval, genesis.interval.lengthMs);
  if (timeMs < endMs) return `early: interval ${body.interval} ends at ${isoSeconds(endMs)}`;
  const dueMs = settlementMs(genesis, body.interval);
  if (timeMs >= dueMs) return `late: settlement was due at ${isoSeconds(dueMs)}; send a correction`;
  const meter = meterOf(context, site);
  if (body.interval <= meter.interval)
    return `interval ${body.interval} is already delivered; send a correction once it is settled`;
  if (body.meterSerial !== meter.serial) return `meter ${body.meterSerial} is not the registered ${meter.serial}`;
  const problem =
    ratioProblem(meter, body) ?? continuityProblem(meter, body) ?? meteredProblem(context, site, meter, body);
  if (problem !== null) return problem;
  deliveries.set(state, marketKey(site.feeder, body.interval), site.gateway, deliveryRow(site, meter, body));
  meters.set(state, site.gateway, 'last', advanced(meter, body));
  for (const device of body.devices) remember(context, site.gateway, device.device, device.energyWh);
  schedule(state, { atMs: dueMs, type: 'settlement', feeder: site.feeder, interval: body.interval });
  activate(context, site, body.interval);
  return null;
}

/** Where a site's counters stand; before its first delivery only the serial is known. */
export function meterOf({ state }: Pick<Context, 'state'>, site: Admission): MeterRow {
  const known = meters.get(state, site.gateway, 'last');
  return (
    known ?? {
      carryExportWh: 0,
      carryImportWh: 0,
      ctRatio: null,
      exportWh: 0,
      importWh: 0,
      interval: -1,
      previousSerial: '',
      serial: site.meterSerial,
    }
  );
}

/** The meter after an interval was read. */
export function advanced(meter: MeterRow, body: Metered): MeterRow {
  return {
    ...meter,
    carryExportWh: 0,
    carryImportWh: 0,
    ctRatio: body.ctRatio,
    exportWh: body.exportEndWh,
    importWh: body.importEndWh,
    interval: body.interval,
  };
}

export function deliveryRow(site: Admission, meter: MeterRow, body: Metered): DeliveryRow {
  return {
    counters: countersOf(body),
    deliveredWh: deliveredWh(meter, body),
    salt: body.salt,
    // Beyond what the operator certified, uncertainty excuses nothing.
    uncertaintyWh: Math.min(body.uncertaintyWh, site.uncertaintyWhMax),
  };
}

function countersOf({ exportEndWh, exportStartWh, importEndWh, importStartWh, meterSerial }: Metered): Counters {
  return { exportEndWh, exportStartWh, importEndWh, importStartWh, serial: meterSerial };
}

function deliveredWh(meter: MeterRow, body: Metered): number {
  return (
    body.exportEndWh -
    body.exportStartWh +
    meter.carryExportWh -
    (body.importEndWh - body.importStartWh) -
    meter.carryImportWh
  );
}

function ratioProblem(meter: MeterRow, { ctRatio }: Metered): string | null {
  const known = meter.ctRatio;
  if (known === null || (known.primaryA === ctRatio.primaryA && known.secondaryA === ctRatio.secondaryA)) return null;
  return `CT ratio ${ctRatio.primaryA}/${ctRatio.secondaryA} A is not the ${known.primaryA}/${known.secondaryA} A seen so far`;
}

/** Counters telescope: an interval starts where the last one ended; after a gap they may only have risen. */
function continuityProblem(meter: MeterRow, body: Metered): string | null {
  if (meter.interval < 0) return null;
  const adjacent = body.interval === meter.interval + 1;
  for (const [what, startWh, lastWh] of [
    ['export', body.exportStartWh, meter.exportWh],
    ['import', body.importStartWh, meter.importWh],
  ] as const) {
    if (adjacent && startWh !== lastWh)
      return `the ${what} counter starts at ${startWh} Wh, the last interval ended at ${lastWh} Wh`;
    if (startWh < lastWh) return `the ${what} counter starts at ${startWh} Wh, below ${lastWh} Wh seen before`;
  }
  return null;
}

/** What a measurement of one interval must satisfy by itself. */
export function meteredProblem(context: Context, site: Admission, meter: MeterRow, body: Metered): string | null {
  const { genesis } = context;
  const exportWh = body.exportEndWh - body.exportStartWh;
  const importWh = body.importEndWh - body.importStartWh;
  if (exportWh < 0 || importWh < 0) return 'a counter runs backwards';
  for (const [what, riseWh, limitW] of [
    ['export', exportWh + meter.carryExportWh, site.exportLimitW],
    ['import', importWh + meter.carryImportWh, site.importLimitW],
  ] as const) {
    const most = believedWh(energyWh(genesis, limitW)) + body.uncertaintyWh;
    if (riseWh > most || riseWh > ENERGY_WH_MAX)
      return `${what} of ${riseWh} Wh is not believed of a connection of ${limitW} W`;
  }
  const seen = new Set<string>();
  for (const { device: id, energyWh: deviceWh } of body.devices) {
    const device = site.devices.find((admitted) => admitted.id === id);
    if (device === undefined) return `no device ${id} is admitted at ${site.gateway}`;
    if (seen.has(id)) return `device ${id} appears twice`;
    seen.add(id);
    const most = believedWh(energyWh(genesis, device.capacityW)) + body.uncertaintyWh;
    if (device.kind !== 'meter' && Math.abs(deviceWh) > most) {
      return `${deviceWh} Wh is not believed of device ${id} of ${device.capacityW} W`;
    }
    if (device.kind === 'pv') {
      const sun =
        believedWh(generationBoundWh(context, site.feeder, device.capacityW, body.interval)) + body.uncertaintyWh;
      if (deviceWh > sun) return `${deviceWh} Wh of ${id} is over the ${sun} Wh that the sun's height allows`;
    }
  }
  return null;
}

/** What is believed at most of a capacity, Wh. */
export function believedWh(nominalWh: number): number {
  return mulDivFloor(nominalWh, BELIEVED_PERCENT, 100);
}

function remember({ state }: Context, gateway: string, device: string, energyWh: number): void {
  const known = histories.get(state, gateway, device) ?? { intervals: 0, peakWh: 0 };
  const faded = known.peakWh - mulDivFloor(known.peakWh, 1, PEAK_FADES_BY);
  histories.set(state, gateway, device, { intervals: known.intervals + 1, peakWh: Math.max(faded, energyWh) });
}

/** The old meter's last readings and the new one's first: what the old one still counted is carried into the interval. */
export function meterSwap(context: Context, site: Admission, body: RequestBody<'meter.swap'>): string | null {
  const { state } = context;
  const meter = meterOf(context, site);
  if (body.closingSerial !== meter.serial) return `meter ${body.closingSerial} is not the registered ${meter.serial}`;
  if (body.openingSerial === body.closingSerial) return 'the new meter has the serial of the old one';
  if (body.interval <= meter.interval) return `interval ${body.interval} is already delivered with the old meter`;
  if (meter.interval >= 0 && (body.closingExportWh < meter.exportWh || body.closingImportWh < meter.importWh)) {
    return 'the closing readings are below those already delivered';
  }
  const continues = meter.interval >= 0 && body.interval === meter.interval + 1;
  meters.set(state, site.gateway, 'last', {
    carryExportWh: continues ? meter.carryExportWh + body.closingExportWh - meter.exportWh : 0,
    carryImportWh: continues ? meter.carryImportWh + body.closingImportWh - meter.importWh : 0,
    ctRatio: null,
    exportWh: body.openingExportWh,
    importWh: body.openingImportWh,
    interval: Math.max(meter.interval, body.interval - 1),
    previousSerial: meter.serial,
    serial: body.openingSerial,
  });
  return null;
}
