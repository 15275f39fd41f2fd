// The series of every virtual site: chosen from a folder, brought to the site's days, sun and size.

import type { Millis } from '../base/units.ts';
import type { SiteFile } from '../site/types.ts';
import { chooseColumns, type Need, SHIPPED_DAYS } from './library.ts';
import { alignDays, alignSun, fitGeneration, fitLoad } from './physics/align.ts';
import { peakW, type Series } from './physics/series.ts';
import { generationKind } from './site-model.ts';
import type { SiteSeries } from './types.ts';

/**
 * Series for each site by its id. `folder`: the user's measured days, or the shipped ones when null. `originMs`: the
 * chain time at which the simulation begins. The same arguments give the same series.
 * Errors: `series.folder`, `series.csv` with `file:line`, `series.none`.
 */
export function chooseSeries(
  folder: string | null,
  sites: readonly SiteFile[],
  originMs: Millis,
): ReadonlyMap<string, SiteSeries> {
  const wanted = sites.flatMap((site): (Need & { device: string | null })[] => [
    ...site.devices.flatMap((device) => {
      const kind = generationKind(device);
      return kind === null ? [] : [{ site: site.id, kind, sizeW: device.ratedW ?? 0, device: device.id }];
    }),
    { site: site.id, kind: 'load', sizeW: site.connection.importLimitW, device: null },
  ]);
  const columns = chooseColumns(folder ?? SHIPPED_DAYS, wanted);
  return new Map(
    sites.map((site) => {
      const generation = new Map<string, Series>();
      let consumption: Series | null = null;
      wanted.forEach((need, i) => {
        const column = columns[i];
        if (need.site !== site.id || column === undefined) return;
        const perUnit = column.unit === 'pu';
        const aligned = alignDays(column.series, originMs);
        if (need.device === null) {
          consumption = fitLoad(aligned, perUnit, site.connection.importLimitW);
          return;
        }
        const ratedW = site.devices.find(({ id }) => id === need.device)?.ratedW ?? null;
        const fitted = ratedW === null ? aligned : fitGeneration(aligned, perUnit, ratedW);
        const place = { latitudeDeg: site.location.latitude, longitudeDeg: site.location.longitude };
        generation.set(need.device, need.kind === 'pv' ? alignSun(fitted, place, ratedW ?? peakW(fitted)) : fitted);
      });
      return [site.id, { generation, consumption }];
    }),
  );
}
