// The last known state of charge of each battery, for whoever plans while the gateway does not run or from another process.
// Owns its form in the store.

import type { Millis } from '../base/units.ts';
import type { GatewayStore } from '../store/gateway.ts';

const STORED = 'state of charge';

/** Percent by battery, each with the chain time at which it was known. */
export type Stored = Readonly<Record<string, { readonly percent: number; readonly atMs: Millis }>>;

/** Keeps what is known now; what is not known stays as it was last known. */
export function keepStored(
  store: Pick<GatewayStore, 'settings'>,
  percents: ReadonlyMap<string, number>,
  atMs: Millis,
): void {
  if (percents.size === 0) return;
  const known = [...percents].map(([id, percent]) => [id, { percent, atMs }] as const);
  store.settings.set(STORED, { ...lastStored(store), ...Object.fromEntries(known) } satisfies Stored);
}

/** What was known last; empty before the first. */
export function lastStored(store: Pick<GatewayStore, 'settings'>): Stored {
  return (store.settings.get(STORED) as Stored | null) ?? {};
}
