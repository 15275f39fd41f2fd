// What a site file may say and nobody is likely to mean: another unit, a limit that the connection cannot carry. Notes, no errors.

import type { SiteFile } from './types.ts';
import type { Problem } from './yaml.ts';

/** Below this share of what the fuses carry, a limit was hardly meant in watts. */
const LEAST_SHARE = 0.01;
/** More power than empties or fills a battery in this many hours is hardly one of this capacity. */
const LEAST_HOURS = 0.05;
/** A price up to this, µ¤/Wh, is 0.1 ¤/kWh: with ¤ a cent, nothing is bought for so little. */
const LEAST_CEILING_UC_PER_WH = 100;
/** Speeds that serial devices are delivered with. */
const BAUDS: readonly number[] = [
  ...[300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 28800],
  ...[38400, 57600, 76800, 115200, 230400, 250000, 460800, 500000, 921600, 1000000],
];

/** Each with the place it is about. */
export function doubtsOf(site: SiteFile): Problem[] {
  return [...limitDoubts(site), ...deviceDoubts(site), ...storageDoubts(site), ...contractDoubts(site)];
}

function limitDoubts({ connection }: SiteFile): Problem[] {
  const { ampsPerPhase, voltageV, phases, importLimitW, exportLimitW, defaultLimit } = connection;
  const carriedW = Math.round(ampsPerPhase * voltageV * phases.length);
  const fuses = `${phases.length} x ${ampsPerPhase} A at ${voltageV} V carry ${carriedW} W`;
  const doubts: Problem[] = [];
  for (const [name, limitW] of Object.entries({ importLimitW, exportLimitW })) {
    const path = ['connection', name];
    if (limitW > 0 && limitW < carriedW * LEAST_SHARE)
      doubts.push({ path, message: `${limitW} W is next to nothing, ${fuses}: is it in kW? Watts are wanted` });
    if (limitW > carriedW * 1.05)
      doubts.push({ path, message: `${limitW} W is more than the connection has: ${fuses}` });
  }
  for (const [name, limitW, ofName, ofW] of [
    ['importW', defaultLimit.importW, 'importLimitW', importLimitW],
    ['exportW', defaultLimit.exportW, 'exportLimitW', exportLimitW],
  ] as const) {
    if (limitW > ofW)
      doubts.push({ path: ['connection', 'defaultLimit', name], message: `${limitW} W is above ${ofName}, ${ofW} W` });
  }
  return doubts;
}

function deviceDoubts({ devices, buses }: SiteFile): Problem[] {
  const doubts: Problem[] = [];
  for (const bus of buses) {
    if (bus.kind === 'rtu' && !BAUDS.includes(bus.baud))
      doubts.push({
        path: ['buses', bus.id, 'baud'],
        message: `${bus.baud} is an unusual speed: 9600 and 19200 are usual`,
      });
  }
  for (const [i, device] of devices.entries()) {
    const { id, role, ratedW } = device;
    if ((role === 'pv' || role === 'wind' || role === 'hybrid') && ratedW !== null && ratedW < 50)
      doubts.push({
        path: ['devices', id, 'ratedW'],
        message: `${ratedW} W is next to nothing: is it in kW? Watts are wanted`,
      });
    const maker = device.profile.split('/')[0];
    const other = devices.slice(0, i).find((known) => {
      return known.bus === device.bus && known.unitId === device.unitId && known.profile.split('/')[0] !== maker;
    });
    if (other !== undefined) {
      const message = `${other.id} of another maker has the same address on bus ${device.bus}: is it one device?`;
      doubts.push({ path: ['devices', id, 'unitId'], message });
    }
  }
  return doubts;
}

function storageDoubts({ storage }: SiteFile): Problem[] {
  const doubts: Problem[] = [];
  for (const { id, capacityWh, chargeLimitW, dischargeLimitW, reservePercent } of storage) {
    const limitW = Math.max(chargeLimitW, dischargeLimitW);
    if (capacityWh < limitW * LEAST_HOURS) {
      const message = `${limitW} W go through ${capacityWh} Wh in ${Math.ceil((capacityWh * 3600) / limitW)} s: is it in kWh? Watt-hours are wanted`;
      doubts.push({ path: ['storage', id, 'capacityWh'], message });
    }
    if (reservePercent > 0 && reservePercent < 1)
      doubts.push({
        path: ['storage', id, 'reservePercent'],
        message: `${reservePercent} is less than one percent: 15 is 15 %`,
      });
  }
  return doubts;
}

function contractDoubts({ contract: { ceilingUcPerWh } }: SiteFile): Problem[] {
  if (ceilingUcPerWh < 0 || ceilingUcPerWh >= LEAST_CEILING_UC_PER_WH) return [];
  const message = `the most that is paid is ${ceilingUcPerWh} µ¤/Wh, ${ceilingUcPerWh / 1000} ¤/kWh: 30 ¤/kWh is 30000`;
  return [{ path: ['contract', 'ceilingUcPerWh'], message }];
}
