// What customers state of their needs, from any of the site's doors. Owns who may state what at this site; the form is messaging/demand.ts.

import type { Clock } from '../base/clock.ts';
import { WattpactError } from '../base/errors.ts';
import { intervalAt } from '../base/interval.ts';
import { parseStatedDemand } from '../messaging/demand.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';

/** Nothing is kept of what somebody needs later than this: the store of a site has an end. */
const AHEAD_MS_MAX = 31 * 24 * 3_600_000;

/** Takes a customer's statement and returns for how many intervals that are not past; throws `demand.form`, `demand.customer`, `demand.time`. */
export type DemandDesk = (customer: string, payload: Uint8Array) => number;

export function createDemandDesk(options: {
  site: Pick<SiteFile, 'id' | 'customers'>;
  store: Pick<GatewayStore, 'demands'>;
  intervalMs: number;
  clock: Clock;
}): DemandDesk {
  const { site, store, intervalMs, clock } = options;
  return (customer, payload) => {
    const demands = parseStatedDemand(customer, payload, intervalMs);
    if (!site.customers.some(({ id }) => id === customer)) {
      throw new WattpactError('demand.customer', `site ${site.id} has no customer ${customer}`);
    }
    const statedAtMs = clock.chainMs();
    const [running, last] = [intervalAt(statedAtMs, intervalMs), intervalAt(statedAtMs + AHEAD_MS_MAX, intervalMs)];
    if (demands.some(({ interval }) => interval > last)) {
      throw new WattpactError('demand.time', 'demand can be stated for at most 31 days ahead');
    }
    const coming = demands.filter(({ interval }) => interval >= running);
    for (const demand of coming) {
      const known = store.demands.of(demand.interval).find((stated) => stated.customer === customer);
      // The same again is no news: the site's offer keeps its place in time.
      if (known?.energyWh !== demand.energyWh) store.demands.save({ ...demand, statedAtMs });
    }
    return coming.length;
  };
}
