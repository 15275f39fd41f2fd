// What a site's devices read now, summed up for people: page, status, events.

import type { LoadedSite } from '../site/types.ts';
import { generatorsOf, gridMeterOf } from './equipment.ts';
import type { SitePowers } from './events.ts';

/** Powers for people. Consumption is what remains of the balance; unknown as soon as a part of it is. */
export function sitePowers(
  { site }: LoadedSite,
  reading: (device: string, measurand: string) => number | null,
): SitePowers {
  const total = (values: readonly (number | null)[]): number | null =>
    values.length === 0 || values.includes(null) ? null : (values as number[]).reduce((sum, value) => sum + value, 0);
  const gridPowerW = reading(gridMeterOf(site).id, 'gridPowerW');
  // A site without a generator generates nothing; that is known.
  const generators = generatorsOf(site).map(({ id }) => reading(id, 'generationPowerW'));
  const generationPowerW = generators.length === 0 ? 0 : total(generators);
  const batteryPowerW = total(site.storage.map(({ device }) => reading(device, 'batteryPowerW')));
  const parts = [gridPowerW, generationPowerW, ...(site.storage.length === 0 ? [] : [batteryPowerW])];
  const [first] = site.storage;
  return {
    gridPowerW,
    generationPowerW,
    batteryPowerW,
    consumptionPowerW: total(parts),
    stateOfChargePercent: first === undefined ? null : reading(first.device, 'stateOfChargePercent'),
  };
}
