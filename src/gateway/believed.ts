// What the ledger believes of this site's equipment (docs/ledger.md), so that the gateway says nothing that would be refused.
// The rules are the ledger's own; here is only which of its figures are this site's.

import { clamp, mulDivFloor } from '../base/integers.ts';
import { intervalEndMs, intervalStartMs } from '../base/interval.ts';
import { believedWh } from '../ledger/meter.ts';
import { pvBoundPpm } from '../ledger/sun.ts';
import { energyWh } from '../ledger/tables.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { SiteFile } from '../site/types.ts';
import { generatorsOf } from './equipment.ts';

/** Where the sun is looked at from: the feeder's place; before the site's admission is in genesis, its own. */
function placeOf(site: SiteFile, genesis: Genesis, gateway: string): { latitudeDeg10: number; longitudeDeg10: number } {
  const feeder = genesis.gateways.find((admission) => admission.gateway === gateway)?.feeder;
  const { latitude, longitude } = site.location;
  return (
    genesis.feeders.find(({ id }) => id === feeder) ?? {
      latitudeDeg10: Math.round(latitude * 10),
      longitudeDeg10: Math.round(longitude * 10),
    }
  );
}

/** Most that a generator can be forecast to give in an interval, Wh. */
export function generationMostWh(
  site: SiteFile,
  genesis: Genesis,
  gateway: string,
  generator: string,
  interval: number,
): number {
  const device = generatorsOf(site).find(({ id }) => id === generator);
  if (device === undefined) return 0;
  const mostWh = energyWh(genesis, Math.round(device.ratedW ?? site.connection.exportLimitW));
  if (device.role === 'wind') return mostWh;
  const { lengthMs } = genesis.interval;
  const { latitudeDeg10, longitudeDeg10 } = placeOf(site, genesis, gateway);
  const [startMs, endMs] = [intervalStartMs(interval, lengthMs), intervalEndMs(interval, lengthMs)];
  return mulDivFloor(mostWh, pvBoundPpm(startMs, endMs, latitudeDeg10, longitudeDeg10), 1_000_000);
}

/** Most that is believed of a generator's or a battery's metered energy, either way, but for the delivery's uncertainty; Wh. */
export function deliveredMostWh(
  site: SiteFile,
  genesis: Genesis,
  gateway: string,
  id: string,
  interval: number,
): number {
  const storage = site.storage.find((candidate) => candidate.id === id);
  if (storage === undefined) return believedWh(generationMostWh(site, genesis, gateway, id, interval));
  return believedWh(energyWh(genesis, Math.round(Math.max(storage.chargeLimitW, storage.dischargeLimitW))));
}

/** A forecast as it can be recorded: whole, not negative, and no more than is possible. Rising quantiles stay rising. */
export function forecastWh(forecastWh: number, mostWh: number): number {
  return clamp(Math.round(forecastWh), 0, mostWh) + 0;
}
