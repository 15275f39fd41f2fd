// The plan of a site from what its gateway keeps: the last forecast, what was traded, the prices of past clearings, what loads had and the
// owner's word. Reads the gateway's own file, also while it runs, and changes nothing in it.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chainFromWall } from '../base/clock.ts';
import { WattpactError } from '../base/errors.ts';
import { intervalAt } from '../base/interval.ts';
import type { Millis } from '../base/units.ts';
import type { Plan } from '../dispatch/plan-types.ts';
import { batteriesOf } from '../dispatch/site-equipment.ts';
import { QUANTILES } from '../forecast/types.ts';
import { generatorsOf } from '../gateway/equipment.ts';
import { STORE_FILE } from '../gateway/gateway.ts';
import { lastIssued, NET } from '../gateway/issued.ts';
import { createLoadNeeds } from '../gateway/loadneeds.ts';
import type { SiteOverride } from '../gateway/overrides.ts';
import { createSitePlanning } from '../gateway/planning.ts';
import { createMarketPrices } from '../gateway/prices.ts';
import { lastStored } from '../gateway/stored.ts';
import type { Notice } from '../protocol/replies.ts';
import type { SiteFile } from '../site/types.ts';
import { openGatewayStore } from '../store/gateway.ts';
import { loadGenesis } from './runtime.ts';

/** What a battery holds where nobody says it and the gateway never knew it, percent. */
export const ASSUMED_PERCENT = 50;

/** State of charge that a battery is planned with; `atMs`: when the gateway knew it, null where it was given or assumed. */
export interface PlannedStored {
  readonly id: string;
  readonly percent: number;
  readonly atMs: Millis | null;
}

export interface KeptPlan {
  readonly plan: Plan;
  /** Place of the interval that is offered for. */
  readonly bidAt: number;
  /** Chain time of the forecast that it is made from. */
  readonly issuedAtMs: number;
  /** Chain time now. */
  readonly nowMs: Millis;
  readonly stored: readonly PlannedStored[];
}

/** Plans as the gateway would with its last forecast; says what is missing for it otherwise. `storedPercent` null: as the gateway knew it last. */
export async function planKept(site: SiteFile, siteFile: string, storedPercent: number | null): Promise<KeptPlan> {
  const missing = (what: string, hint: string): never => {
    throw new WattpactError('plan.nothing', what, { hint });
  };
  const measuredDays = 'Measured days and prices can be given instead: --csv <file>';
  if (site.market === null)
    return missing(`${siteFile} has no market section: no gateway keeps a forecast`, measuredDays);
  const { dataDir } = site.market;
  const file = join(dataDir, STORE_FILE);
  if (!existsSync(file)) return missing(`${dataDir} has no ${STORE_FILE}: no gateway ran here yet`, measuredDays);
  const genesis = loadGenesis(site.market.genesis);
  const { lengthMs, requestMs } = genesis.interval;
  const store = openGatewayStore(file, { readonly: true });
  try {
    const issued = lastIssued(store);
    if (issued === null) return missing('the gateway has issued no forecast yet', measuredDays);
    const { issuedAtMs, first, intervals } = issued;
    const clock = { chainMs: () => issuedAtMs, monotonicMs: () => 0 };
    const settings = { ...store.settings, set: () => {} };
    const generators = generatorsOf(site);
    const known = lastStored(store);
    const stored = batteriesOf(site).map(({ id }): PlannedStored => {
      const last = storedPercent === null ? known[id] : undefined;
      return { id, percent: last?.percent ?? storedPercent ?? ASSUMED_PERCENT, atMs: last?.atMs ?? null };
    });
    const planning = createSitePlanning({
      site,
      genesis,
      store: { settings },
      loadNeeds: createLoadNeeds({ site, store: { settings }, clock }),
      prices: createMarketPrices({ store: { settings }, timezone: site.timezone, tariff: site.contract }),
      positionWh: (interval) => {
        const notice = store.outcomes.get(interval, 'notice') as Notice | null;
        return notice?.status === 'cleared' ? notice.positionWh : 0;
      },
      stateOfCharge: (battery) => stored.find(({ id }) => id === battery)?.percent ?? null,
      overrides: () =>
        (store.settings.all('override ') as SiteOverride[]).filter(({ untilMs }) => untilMs > issuedAtMs),
      clock,
    });
    const bidAt = Math.min(intervalAt(issuedAtMs + requestMs, lengthMs) - first, intervals.length - 1);
    const plan = await planning.plan({
      bidAt,
      isCleared: false,
      expected: intervals.map((quantiles) => ({
        netWh: quantiles[NET] ?? [],
        generationWh: QUANTILES.map((_, q) => generators.reduce((sum, { id }) => sum + (quantiles[id]?.[q] ?? 0), 0)),
      })),
    });
    return { plan, bidAt, issuedAtMs, nowMs: chainFromWall(genesis.clock, Date.now()), stored };
  } finally {
    store.close();
  }
}
