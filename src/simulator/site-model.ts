// From a site file to the model that physics moves: what a device's rating, phases and storage mean. Pure.

import type { Device, Phase, SiteFile, SiteLoad } from '../site/types.ts';
import type { Kind } from './library.ts';
import type { BatteryModel } from './physics/battery.ts';
import type { GeneratorModel, LoadModel, SiteModel } from './physics/site.ts';
import type { SiteSeries } from './types.ts';

/** Real sites are not balanced: shares of the unswitched consumption on one, two and three phases. */
const PHASE_SHARES: readonly (readonly number[])[] = [[1], [0.6, 0.4], [0.45, 0.33, 0.22]];

export interface ModelOptions {
  readonly inverterLagMs: number | null;
  readonly initialStateOfChargePercent: number;
}

/** Kind of series that a device's generation follows; null when it generates nothing. */
export function generationKind(device: Device): Kind | null {
  switch (device.role) {
    case 'pv':
    case 'hybrid':
      return 'pv';
    case 'wind':
      return 'wind';
    default:
      return null;
  }
}

export function siteModel(site: SiteFile, series: SiteSeries, options: ModelOptions): SiteModel {
  const phases = (names: readonly Phase[]) => phaseIndexes(site, names);
  return {
    phaseShares: PHASE_SHARES[site.connection.phases.length - 1] ?? [1],
    consumption: series.consumption,
    generators: site.devices
      .filter((device) => generationKind(device) !== null)
      .map(
        (device): GeneratorModel => ({
          id: device.id,
          ratedW: device.ratedW ?? Number.POSITIVE_INFINITY,
          series: series.generation.get(device.id) ?? null,
          phases: phases(device.phases),
        }),
      ),
    batteries: site.storage.map(
      (storage): BatteryModel => ({
        id: storage.device,
        capacityWh: storage.capacityWh,
        chargeLimitW: storage.chargeLimitW,
        dischargeLimitW: storage.dischargeLimitW,
        chargeTaper: storage.chargeTaper,
        dischargeTaper: storage.dischargeTaper,
        chargeEfficiency: storage.chargeEfficiency,
        dischargeEfficiency: storage.dischargeEfficiency,
        standbyW: storage.standingLossW,
        automatic: 'self-consumption',
        phases: phases(site.devices.find(({ id }) => id === storage.device)?.phases ?? []),
      }),
    ),
    loads: site.loads.map((load): LoadModel => ({ id: load.id, powersW: powersOf(load), phases: phases(load.phases) })),
    // Set-points, limits and loads answer with the slowest lag that the site declares.
    inverterLagMs: options.inverterLagMs ?? Math.max(0, ...site.storage.map(({ lagMs }) => lagMs)),
    initialStateOfChargePercent: options.initialStateOfChargePercent,
  };
}

function powersOf(load: SiteLoad): readonly number[] {
  return load.powersW.length > 0 ? load.powersW : [load.ratedW];
}

/** Positions of phases in the connection; a device of no known phase is on all of them. */
export function phaseIndexes(site: SiteFile, names: readonly Phase[]): readonly number[] {
  const indexes = names.map((name) => site.connection.phases.indexOf(name)).filter((index) => index >= 0);
  return indexes.length > 0 ? indexes : site.connection.phases.map((_, index) => index);
}

/** The loads that a device's control drives, alone or with a second contact. */
export function loadsBehind(site: SiteFile, device: string, control: string): readonly SiteLoad[] {
  return site.loads.filter((load) => load.device === device && (load.control === control || load.block === control));
}
