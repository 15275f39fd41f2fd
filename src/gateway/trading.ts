// The site's duties on the market's clock: forecast, plan and request before the gate; position from the notice; delivery after the interval.
// Owns when what is said; how it is signed, sent and counted is requester.ts, what it says is worked out by forecast/ and dispatch/.

import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { clamp } from '../base/integers.ts';
import { intervalAt, intervalEndMs, intervalStartMs } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import { PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { planSite } from '../dispatch/plan.ts';
import type { BidStep, Plan, PlanInterval } from '../dispatch/plan-types.ts';
import { batteriesOf, bidTermsOf, curtailableOf, planLoadsOf } from '../dispatch/site-equipment.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Notice, Settlement } from '../protocol/replies.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { generatorsOf, gridMeterOf } from './equipment.ts';
import type { GatewayListener } from './events.ts';
import { type EnergyForecast, medianWh, type SiteForecasting } from './forecasting.ts';
import type { LoadNeeds } from './loadneeds.ts';
import type { GridInterval, SiteMetering } from './metering.ts';
import type { Requester } from './requester.ts';

/** How far the plan looks. */
const PLAN_MS = 36 * 3_600_000;
/** A request is not begun so close to the gate (wall ms): it would arrive late. */
const BEFORE_GATE_WALL_MS = 1_000;
/** Learning before a request may take so long, wall ms; what is left is learnt between requests. */
const LEARN_MS_MAX = 300;
/** A delivery waits so long (wall ms) for the last of the site's other meters. */
const DEVICES_WAIT_WALL_MS = 3_000;

export interface SiteTrading {
  /** Does what is due now. */
  tick(): void;
  onNotice(notice: Notice, confirmations: number): void;
  onSettlement(settlement: Settlement): void;
  onMetered(interval: GridInterval): void;
  /** Net export traded for an interval; null while no notice was proved. */
  positionWh(interval: number): number | null;
  /** The plan in force, with the interval it begins in. */
  plan(): { readonly plan: Plan; readonly firstInterval: number } | null;
}

export function createSiteTrading(options: {
  site: SiteFile;
  genesis: Genesis;
  store: Pick<GatewayStore, 'requests' | 'outcomes' | 'demands'>;
  requester: Requester;
  forecasting: SiteForecasting;
  metering: Pick<SiteMetering, 'energyOf' | 'finishedByAll'>;
  loadNeeds: LoadNeeds;
  /** State of charge of a battery now, percent, or null. */
  stateOfCharge: (storage: string) => number | null;
  clock: Clock;
  emit: GatewayListener;
  log: Log;
}): SiteTrading {
  const { site, genesis, store, requester, forecasting, metering, clock, emit, log } = options;
  const { lengthMs, requestMs, gateCloseMs } = genesis.interval;
  const { rate } = genesis.clock;
  const serial = gridMeterOf(site).meter?.serial ?? `${site.id}-meter`;
  const ctRatio = gridMeterOf(site).meter?.ctRatio ?? { primaryA: 1, secondaryA: 1 };
  let current: { plan: Plan; firstInterval: number } | null = null;
  const awaitingDelivery: GridInterval[] = [];
  let failedInterval: number | null = null;

  function outcome(interval: number): Notice | null {
    return store.outcomes.get(interval, 'notice') as Notice | null;
  }

  function positionWh(interval: number): number | null {
    const notice = outcome(interval);
    if (notice !== null) return notice.status === 'cleared' ? notice.positionWh : 0;
    // Without an offer of ours there is nothing that could have been traded.
    return store.requests.of(interval).some(({ kind }) => kind === 'offer') ? null : 0;
  }

  function requestDue(): void {
    const nowMs = clock.chainMs();
    const interval = intervalAt(nowMs + requestMs, lengthMs);
    const untilGateMs = intervalStartMs(interval, lengthMs) - gateCloseMs - nowMs;
    if (untilGateMs < BEFORE_GATE_WALL_MS * rate || isSaid(interval)) return;
    try {
      request(interval, intervalStartMs(interval, lengthMs) - gateCloseMs);
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
    const said = store.requests.of(interval).filter(({ kind }) => kind === 'demand' || kind === 'offer');
    const saidAtMs = Math.max(...said.map(({ createdAtMs }) => createdAtMs));
    return said.length > 0 && store.demands.of(interval).every(({ statedAtMs }) => statedAtMs <= saidAtMs);
  }

  function request(interval: number, gateMs: number): void {
    const running = intervalAt(clock.chainMs(), lengthMs);
    forecasting.learnUpTo(running - 1, LEARN_MS_MAX);
    const count = Math.ceil(PLAN_MS / lengthMs);
    const generation = forecasting.generation(running, count);
    const consumption = withStated(forecasting.consumption(running, count));
    const at = interval - running;

    for (const [device, forecasts] of generation) {
      const quantilesWh = (forecasts[at]?.quantilesWh ?? []).map(Math.round);
      const energyWh = Math.round(medianWh(forecasts[at]) ?? 0);
      requester.submit('forecast', interval, { device, interval, energyWh, quantilesWh }, gateMs);
    }
    const consumptionWh = Math.round(medianWh(consumption[at]) ?? 0);
    for (const { customer, energyWh } of demandsOf(interval, consumptionWh)) {
      requester.submit('demand', interval, { customer, interval, energyWh }, gateMs);
    }
    const generationWh =
      generation.size === 0 ? null : sum([...generation.values()].map((of) => medianWh(of[at]) ?? 0));
    emit({ type: 'forecast', interval, generationWh, consumptionWh });

    const plan = planFrom(running, at, generation, consumption);
    current = { plan, firstInterval: running };
    const sell = bounded(plan.bids.sell, site.connection.exportLimitW);
    const buy = bounded(plan.bids.buy, site.connection.importLimitW);
    // An offer without steps takes back an earlier one; where there is none, there is nothing to say.
    const offered = store.requests.of(interval).some(({ kind }) => kind === 'offer');
    if (offered || sell.length + buy.length > 0) requester.submit('offer', interval, { interval, sell, buy }, gateMs);
    for (const { what } of plan.explanation.slice(0, 3)) log.info({ interval }, `plan: ${what}`);
  }

  /** What customers stated; what nobody stated is the site's own forecast, in the name of its only customer. */
  function demandsOf(interval: number, consumptionWh: number): readonly { customer: string; energyWh: number }[] {
    const stated = store.demands.of(interval);
    if (stated.length > 0) return stated;
    const [only] = site.customers;
    return only === undefined ? [] : [{ customer: only.id, energyWh: consumptionWh }];
  }

  /** A customer's word is better than a guess: what is stated for an interval replaces the forecast of consumption. */
  function withStated(forecasts: readonly EnergyForecast[]): readonly EnergyForecast[] {
    return forecasts.map((forecast) => {
      const stated = store.demands.of(forecast.interval);
      if (stated.length === 0) return forecast;
      const energyWh = sum(stated.map((demand) => demand.energyWh));
      return { ...forecast, quantilesWh: forecast.quantilesWh.map(() => energyWh) };
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

  function deliver(grid: GridInterval): void {
    const { interval, quality, uncertaintyWh } = grid.metered;
    const devices = [
      ...generatorsOf(site).map(({ id }) => ({
        device: id,
        energy: metering.energyOf(id, 'generation', interval),
        less: null,
      })),
      ...site.storage.map(({ id }) => ({
        device: id,
        energy: metering.energyOf(id, 'discharge', interval),
        less: metering.energyOf(id, 'charge', interval),
      })),
    ].flatMap(({ device, energy, less }) => {
      if (energy === null || energy.energyWh === null) return [];
      return [{ device, energyWh: Math.round(energy.energyWh - (less?.energyWh ?? 0)), curtailed: energy.curtailed }];
    });
    const { importStartWh, importEndWh, exportStartWh, exportEndWh } = grid;
    const counters = { importStartWh, importEndWh, exportStartWh, exportEndWh };
    const draft = { ...counters, interval, quality, uncertaintyWh, devices, meterSerial: serial, ctRatio };
    requester.submit(
      'delivery',
      interval,
      draft,
      clock.chainMs() + genesis.limits.validForMsMax - genesis.limits.clockSkewMsMax,
    );
    const deliveredWh = exportEndWh - exportStartWh - (importEndWh - importStartWh);
    emit({ type: 'delivery', interval, deliveredWh, quality, uncertaintyWh });
  }

  function deliveriesDue(): void {
    while (awaitingDelivery[0] !== undefined) {
      const { interval } = awaitingDelivery[0].metered;
      const waitedMs = clock.chainMs() - intervalEndMs(interval, lengthMs);
      if (!metering.finishedByAll(interval) && waitedMs < DEVICES_WAIT_WALL_MS * rate) return;
      const grid = awaitingDelivery.shift() as GridInterval;
      const said = store.requests.of(interval).some(({ kind }) => kind === 'delivery');
      if (said) continue;
      try {
        deliver(grid);
      } catch (error) {
        awaitingDelivery.unshift(grid);
        log.warn({ interval, error: describeError(error) }, 'delivery waits');
        return;
      }
    }
  }

  return {
    tick() {
      requestDue();
      deliveriesDue();
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
    onMetered(interval) {
      awaitingDelivery.push(interval);
    },
    positionWh,
    plan: () => current,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
