// A virtual site was not built today: its meters have counted for a while before the demo begins. Writes that past, taken from the same
// series that drive the site, into a gateway's store, so that its forecasters have something to learn from.

import { intervalStartMs } from '../base/interval.ts';
import { energyOfPowerWh } from '../base/units.ts';
import { SITE } from '../gateway/metering.ts';
import { type Series, stepAt } from '../simulator/physics/series.ts';
import type { SiteSeries } from '../simulator/types.ts';
import type { EnergyStore, StoredEnergy } from '../store/gateway.ts';

/** Energy of a series over `[fromMs, untilMs)`; null when a part of it is a gap. */
export function energyOfSeriesWh(series: Series, fromMs: number, untilMs: number): number | null {
  let energyWh = 0;
  for (let atMs = fromMs; atMs < untilMs; ) {
    const { powerW, gap, endMs } = stepAt(series, atMs);
    if (gap) return null;
    const endOfPartMs = Math.min(endMs, untilMs);
    energyWh += energyOfPowerWh(powerW, endOfPartMs - atMs);
    atMs = endOfPartMs;
  }
  return energyWh;
}

/** Fills `intervals` intervals before `until` with what the site's meters would have shown without storage. */
export function writePast(options: {
  energies: Pick<EnergyStore, 'save'>;
  series: SiteSeries;
  /** Ids of the site's batteries: idle in the past. */
  storage: readonly string[];
  until: number;
  intervals: number;
  intervalMs: number;
}): void {
  const { energies, series, storage, until, intervals, intervalMs } = options;
  const rows: StoredEnergy[] = [];
  for (let interval = until - intervals; interval < until; interval++) {
    const fromMs = intervalStartMs(interval, intervalMs);
    const common = { interval, uncertaintyWh: 1, quality: 'measured', curtailed: false };
    const of = (from: Series): number | null => {
      const energyWh = energyOfSeriesWh(from, fromMs, fromMs + intervalMs);
      return energyWh === null ? null : Math.max(0, Math.round(energyWh));
    };
    const generated = [...series.generation].map(([device, from]) => [device, of(from)] as const);
    const consumedWh = series.consumption === null ? 0 : of(series.consumption);
    if (consumedWh === null || generated.some(([, energyWh]) => energyWh === null)) continue;
    const netWh = consumedWh - generated.reduce((sum, [, energyWh]) => sum + (energyWh ?? 0), 0);
    rows.push(
      { ...common, subject: SITE, quantity: 'import', energyWh: Math.max(0, netWh) },
      { ...common, subject: SITE, quantity: 'export', energyWh: Math.max(0, -netWh) },
      ...generated.map(([subject, energyWh]) => ({ ...common, subject, quantity: 'generation', energyWh })),
      ...storage.flatMap((subject) =>
        ['charge', 'discharge'].map((quantity) => ({ ...common, subject, quantity, energyWh: 0 })),
      ),
    );
  }
  energies.save(rows);
}
