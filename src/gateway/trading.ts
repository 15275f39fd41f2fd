// The site's duties on the market's clock before an interval: forecast, plan and request before the gate; position from the notice.
// What comes after it is delivering.ts.
// Owns when what is said; how it is signed, sent and counted is requester.ts, what it says is worked out by forecast/ and dispatch/.

import type { Clock } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { clamp } from '../base/integers.ts';
import { intervalAt, intervalStartMs } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import { PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { planSite } from '../dispatch/plan.ts';
import type { BidStep, Plan, PlanInterval } from '../dispatch/plan-types.ts';
import { batteriesOf, bidTermsOf, curtailableOf, planLoadsOf } from '../dispatch/site-equipment.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Notice, Settlement } from '../protocol/replies.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore, StatedDemand } from '../store/gateway.ts';
import { forecastWh, generationMostWh } from './believed.ts';
import type { GatewayListener } from './events.ts';
import { type EnergyForecast, medianWh, type SiteForecasting } from './forecasting.ts';
import type { LoadNeeds } from './loadneeds.ts';
import type { Requester } from './requester.ts';

/** How far the plan looks. */
const PLAN_MS = 36 * 3_600_000;
/** A request is not begun so close to the gate (wall ms): it would arrive late. */
const BEFORE_GATE_WALL_MS = 1_000;
/** Learning before a request may take so long, wall ms; what is left is learnt between requests. */
const LEARN_MS_MAX = 300;

export interface SiteTrading {
  /** Does what is due now. */
  tick(): void;
  onNotice(notice: Notice, confirmations: number): void;
  onSettlement(settlement: Settlement): void;
  /** Net export traded for an interval; null while no notice was proved. */
  positionWh(interval: number): number | null;
  /** The plan in force, with the interval it begins in. */
  plan(): { readonly plan: Plan; readonly firstInterval: number } | null;
}

export function createSiteTrading(options: {
  site: SiteFile;
  genesis: Genesis;
  gateway: string;
  store: Pick<GatewayStore, 'requests' | 'outcomes' | 'demands'>;
  requester: Requester;
  forecasting: SiteForecasting;
  loadNeeds: LoadNeeds;
  /** True if offers for the interval may have been signed that the store no longer knows. */
  mayHaveForgotten: (interval: number) => boolean;
  /** Whether the meter at the grid connection answers. */
  isMetered: () => boolean;
  /** State of charge of a battery now, percent, or null. */
  stateOfCharge: (storage: string) => number | null;
  clock: Clock;
  emit: GatewayListener;
  log: Log;
}): SiteTrading {
  const { site, genesis, gateway, store, requester, forecasting, clock, emit, log } = options;
  const { lengthMs, requestMs, gateCloseMs } = genesis.interval;
  const { rate } = genesis.clock;
  /** The ledger believes no demand beyond the connection; what is generated beside it is in no record of demand. */
  const importMostWh = Math.floor((site.connection.importLimitW * lengthMs) / 3_600_000);
  let current: { plan: Plan; firstInterval: number } | null = null;
  let failedInterval: number | null = null;
  /** The interval spoken of last, and since when: not every site has something to say of every interval. */
  let said: { interval: number; atMs: number } | null = null;

  function outcome(interval: number): Notice | null {
    return store.outcomes.get(interval, 'notice') as Notice | null;
  }

  function positionWh(interval: number): number | null {
    const notice = outcome(interval);
    if (notice !== null) return notice.status === 'cleared' ? notice.positionWh : 0;
    if (options.mayHaveForgotten(interval)) return null;
    // Without an offer of ours that may be recorded there is nothing that could have been traded.
    const offers = store.requests.of(interval).filter(({ kind }) => kind === 'offer');
    return offers.every(({ life }) => life.phase === 'refused' || life.phase === 'expired') ? 0 : null;
  }

  function requestDue(): void {
    const nowMs = clock.chainMs();
    const interval = intervalAt(nowMs + requestMs, lengthMs);
    const untilGateMs = intervalStartMs(interval, lengthMs) - gateCloseMs - nowMs;
    if (untilGateMs < BEFORE_GATE_WALL_MS * rate || isSaid(interval)) return;
    try {
      request(interval, intervalStartMs(interval, lengthMs) - gateCloseMs);
      said = { interval, atMs: nowMs };
    } catch (error) {
      // Tried again until the gate; said once.
      if (failedInterval === interval) return;
      failedInterval = interval;
      log.error({ interval, error: describeError(error) }, 'no request for this interval');
      emit({ type: 'trouble', what: `no request for the next interval: ${describeError(error)}` });
    }
  }

  /** Said already, and no customer has stated another demand since: then it is said again and replaces what was said. */
  function isSaid(interval: number): boolean {
    const offers = store.requests.of(interval).filter(({ kind }) => kind === 'offer');
    const saidAtMs =
      said?.interval === interval ? said.atMs : Math.max(...offers.map(({ createdAtMs }) => createdAtMs));
    return statedOf(interval).every(({ statedAtMs }) => statedAtMs <= saidAtMs) && saidAtMs > Number.NEGATIVE_INFINITY;
  }

  function request(interval: number, gateMs: number): void {
    if (!options.isMetered()) {
      throw new WattpactError('trading.unmetered', 'the meter at the grid connection does not answer', {
        hint: 'Nothing is traded that could not be measured: check the meter and its line',
      });
    }
    const running = intervalAt(clock.chainMs(), lengthMs);
    forecasting.learnUpTo(running - 1, LEARN_MS_MAX);
    const count = Math.ceil(PLAN_MS / lengthMs);
    const generation = forecasting.generation(running, count);
    const consumption = withStated(forecasting.consumption(running, count));
    const at = interval - running;

    // The plan comes first: what fails in it leaves nothing half said, to be said anew with every further try.
    const plan = planFrom(running, at, generation, consumption);
    for (const [device, forecasts] of generation) {
      const mostWh = generationMostWh(site, genesis, gateway, device, interval);
      const quantilesWh = (forecasts[at]?.quantilesWh ?? []).map((wh) => forecastWh(wh, mostWh));
      const energyWh = forecastWh(medianWh(forecasts[at]) ?? 0, mostWh);
      requester.submit('forecast', interval, { device, interval, energyWh, quantilesWh }, gateMs);
    }
    const consumptionWh = Math.round(medianWh(consumption[at]) ?? 0);
    for (const { customer, energyWh } of demandsOf(interval, consumptionWh)) {
      requester.submit(
        'demand',
        interval,
        { customer, interval, energyWh: forecastWh(energyWh, importMostWh) },
        gateMs,
      );
    }
    const generationWh =
      generation.size === 0 ? null : sum([...generation.values()].map((of) => medianWh(of[at]) ?? 0));
    emit({ type: 'forecast', interval, generationWh, consumptionWh });

    current = { plan, firstInterval: running };
    const sell = bounded(plan.bids.sell, site.connection.exportLimitW);
    const buy = bounded(plan.bids.buy, site.connection.importLimitW);
    // An offer without steps takes back an earlier one; where there is none, there is nothing to say.
    const offered = store.requests.of(interval).some(({ kind }) => kind === 'offer');
    if (offered || sell.length + buy.length > 0) requester.submit('offer', interval, { interval, sell, buy }, gateMs);
    for (const { what } of plan.explanation.slice(0, 3)) log.info({ interval }, `plan: ${what}`);
  }

  /** What customers of the site stated. */
  function statedOf(interval: number): readonly StatedDemand[] {
    return store.demands.of(interval).filter(({ customer }) => site.customers.some(({ id }) => id === customer));
  }

  /** What customers stated; what nobody stated is the site's own forecast, in the name of its only customer. */
  function demandsOf(interval: number, consumptionWh: number): readonly { customer: string; energyWh: number }[] {
    const stated = statedOf(interval);
    if (stated.length > 0) return stated;
    const [only] = site.customers;
    return only === undefined || site.customers.length > 1 ? [] : [{ customer: only.id, energyWh: consumptionWh }];
  }

  /**
   * A customer's word is better than a guess: what all of them stated replaces the forecast of consumption. While some are silent, the
   * site needs at least what the others stated.
   */
  function withStated(forecasts: readonly EnergyForecast[]): readonly EnergyForecast[] {
    return forecasts.map((forecast) => {
      const stated = statedOf(forecast.interval);
      if (stated.length === 0) return forecast;
      const energyWh = sum(stated.map((demand) => demand.energyWh));
      const isWhole = stated.length === site.customers.length;
      return {
        ...forecast,
        quantilesWh: forecast.quantilesWh.map((wh) => (isWhole ? energyWh : Math.max(wh, energyWh))),
      };
    });
  }

  function planFrom(
    running: number,
    bidInterval: number,
    generation: ReadonlyMap<string, readonly EnergyForecast[]>,
    consumption: readonly EnergyForecast[],
  ): Plan {
    const { contract, connection } = site;
    const { shortfallPenaltyUcPerWh, surplusPenaltyUcPerWh } = genesis.settlement;
    const intervals = consumption.map((forecast, i): PlanInterval => {
      const parts = [...generation.values()].map((of) => of[i]?.quantilesWh ?? []);
      return {
        startMs: intervalStartMs(running + i, lengthMs),
        generationWh: forecast.quantilesWh.map((_, q) => sum(parts.map((part) => part[q] ?? 0))),
        consumptionWh: forecast.quantilesWh,
        // What is traded already is met or paid for as imbalance; what is not can still be traded.
        buyUcPerWh: contract.ceilingUcPerWh + (i < bidInterval ? shortfallPenaltyUcPerWh : 0),
        sellUcPerWh: contract.floorUcPerWh - (i < bidInterval ? surplusPenaltyUcPerWh : 0),
        positionWh: i < bidInterval ? (positionWh(running + i) ?? 0) : 0,
        importLimitW: connection.importLimitW,
        exportLimitW: connection.exportLimitW,
      };
    });
    return planSite({
      intervalMs: lengthMs,
      intervals,
      bidInterval,
      batteries: batteriesOf(site).flatMap((battery) => {
        const percent = options.stateOfCharge(battery.id);
        return percent === null ? [] : [{ battery, storedWh: (percent / 100) * battery.capacityWh }];
      }),
      loads: planLoadsOf(
        site,
        intervalStartMs(running, lengthMs),
        lengthMs,
        intervals.length,
        options.loadNeeds.progress(),
      ),
      curtailable: curtailableOf(site),
      endValueUcPerWh: null,
      terms: bidTermsOf(site, PRICE_UC_PER_WH_MAX),
    });
  }

  /** Steps cut to what the connection carries in an interval: the ledger believes no more. */
  function bounded(steps: readonly BidStep[], limitW: number): BidStep[] {
    let leftWh = Math.floor((limitW * lengthMs) / 3_600_000);
    return steps.flatMap(({ energyWh, priceUcPerWh }) => {
      const given = clamp(energyWh, 0, leftWh);
      leftWh -= given;
      return given >= 1 ? [{ energyWh: given, priceUcPerWh }] : [];
    });
  }

  return {
    tick() {
      requestDue();
    },
    onNotice(notice, confirmations) {
      store.outcomes.save(notice.interval, 'notice', notice);
      const { interval, status, positionWh: wh, nodalPriceUcPerWh, bindingLine, trades } = notice;
      log.info({ interval, status, positionWh: wh, nodalPriceUcPerWh, trades: trades.length }, 'notice');
      emit({ type: 'notice', interval, status, positionWh: wh, nodalPriceUcPerWh, bindingLine, trades, confirmations });
    },
    onSettlement(settlement) {
      store.outcomes.save(settlement.interval, 'settlement', settlement);
      emit({ type: 'settlement', interval: settlement.interval, settlement });
    },
    positionWh,
    plan: () => current,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
