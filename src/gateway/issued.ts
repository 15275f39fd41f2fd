// Forecasts as they were issued: of each interval the one it was requested by, and the last one whole, for whoever wants to look back
// (`wattpact forecast show`, the page). Owns their form in the store.

import type { GatewayStore } from '../store/gateway.ts';
import { CONSUMPTION, type EnergyForecast } from './forecasting.ts';

const ISSUED = 'forecast issued';
const KIND = 'forecast';
/** Names a forecast is kept under besides the generators' ids. */
export const NET = 'net';

/** Quantiles, whole Wh, by name: generators' ids, `consumption`, `net` (+ import). */
export type IssuedQuantiles = Readonly<Record<string, readonly number[]>>;

export interface Issued {
  /** Chain time. */
  readonly issuedAtMs: number;
  readonly first: number;
  /** One an interval from `first` on. */
  readonly intervals: readonly IssuedQuantiles[];
}

/** Keeps what was issued for `interval`, and all of it as the last forecast. */
export function keepIssued(
  store: Pick<GatewayStore, 'outcomes' | 'settings'>,
  issued: {
    issuedAtMs: number;
    first: number;
    interval: number;
    generation: ReadonlyMap<string, readonly EnergyForecast[]>;
    consumption: readonly EnergyForecast[];
    expected: readonly { readonly netWh: readonly number[] }[];
  },
): void {
  const { issuedAtMs, first, interval } = issued;
  const whole = (values: readonly number[] | undefined): readonly number[] =>
    (values ?? []).map((wh) => Math.round(wh) + 0);
  const intervals = issued.expected.map(({ netWh }, i): IssuedQuantiles => {
    const parts = [...issued.generation].map(([name, of]) => [name, whole(of[i]?.quantilesWh)] as const);
    return {
      ...Object.fromEntries(parts),
      [CONSUMPTION]: whole(issued.consumption[i]?.quantilesWh),
      [NET]: whole(netWh),
    };
  });
  store.settings.set(ISSUED, { issuedAtMs, first, intervals } satisfies Issued);
  store.outcomes.save(interval, KIND, intervals[interval - first] ?? {});
}

/** The last forecast, or null before the first. */
export function lastIssued(store: Pick<GatewayStore, 'settings'>): Issued | null {
  return store.settings.get(ISSUED) as Issued | null;
}

/** What an interval was requested by, or null. */
export function issuedFor(store: Pick<GatewayStore, 'outcomes'>, interval: number): IssuedQuantiles | null {
  return store.outcomes.get(interval, KIND) as IssuedQuantiles | null;
}
