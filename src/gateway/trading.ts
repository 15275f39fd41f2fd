// The site's duties on the market's clock before an interval: forecast, plan and request before the gate; position from the notice.
// What comes after it is delivering.ts.
// Owns when what is said; how it is signed, sent and counted is requester.ts, what it says is worked out by forecast/ and dispatch/.

import type { Clock } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { clamp } from '../base/integers.ts';
import { intervalAt, intervalStartMs } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import { medianOf } from '../dispatch/plan.ts';
import type { BidStep } from '../dispatch/plan-types.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Notice, Settlement } from '../protocol/replies.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore, StatedDemand } from '../store/gateway.ts';
import { forecastWh, generationMostWh } from './believed.ts';
import type { GatewayListener } from './events.ts';
import { type EnergyForecast, medianWh, type SiteForecasting } from './forecasting.ts';
import { keepIssued } from './issued.ts';
import type { ExpectedInterval, SitePlanning } from './planning.ts';
import type { MarketPrices } from './prices.ts';
import type { Requester } from './requester.ts';

/** How far the plan looks. */
const PLAN_MS = 36 * 3_600_000;
/** A request is not begun so close to the gate (wall ms): it would arrive late. */
const BEFORE_GATE_WALL_MS = 1_000;

export interface SiteTrading {
  /** Does what is due now, and is done when that is; while it lasts nothing else is begun. */
  tick(): Promise<void>;
  onNotice(notice: Notice, confirmations: number): void;
  onSettlement(settlement: Settlement): void;
  /** Net export traded for an interval; null while no notice was proved. */
  positionWh(interval: number): number | null;
}

export function createSiteTrading(options: {
  site: SiteFile;
  genesis: Genesis;
  gateway: string;
  store: Pick<GatewayStore, 'requests' | 'outcomes' | 'demands' | 'settings'>;
  requester: Requester;
  forecasting: SiteForecasting;
  planning: Pick<SitePlanning, 'plan'>;
  prices: Pick<MarketPrices, 'onCleared'>;
  /** True if offers for the interval may have been signed that the store no longer knows. */
  mayHaveForgotten: (interval: number) => boolean;
  /** Why nothing can be traded now (no meter, no grid), or null. */
  mayNotTrade: () => WattpactError | null;
  clock: Clock;
  emit: GatewayListener;
  log: Log;
}): SiteTrading {
  const { site, genesis, gateway, store, requester, forecasting, planning, clock, emit, log } = options;
  const { lengthMs, requestMs, gateCloseMs } = genesis.interval;
  const { rate } = genesis.clock;
  /** The ledger believes no demand beyond the connection; what is generated beside it is in no record of demand. */
  const importMostWh = Math.floor((site.connection.importLimitW * lengthMs) / 3_600_000);
  let failedInterval: number | null = null;
  /** An interval whose notice came, and whose loads are not planned by it yet. */
  let cleared: number | null = null;
  /** The interval spoken of last, and since when: not every site has something to say of every interval. */
  let said: { interval: number; atMs: number } | null = null;
  let turn: Promise<void> | null = null;

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

  async function requestDue(): Promise<void> {
    const nowMs = clock.chainMs();
    const interval = intervalAt(nowMs + requestMs, lengthMs);
    const gateMs = intervalStartMs(interval, lengthMs) - gateCloseMs;
    if (isLate(gateMs) || isSaid(interval)) return;
    try {
      await request(interval, gateMs);
      said = { interval, atMs: nowMs };
    } catch (error) {
      // Tried again until the gate; said once.
      if (failedInterval === interval) return;
      failedInterval = interval;
      log.error({ interval, error: describeError(error) }, 'no request for this interval');
      emit({ type: 'trouble', what: `no request for the next interval: ${describeError(error)}` });
    }
  }

  function isLate(gateMs: Millis): boolean {
    return gateMs - clock.chainMs() < BEFORE_GATE_WALL_MS * rate;
  }

  /** Said already, and no customer has stated another demand since: then it is said again and replaces what was said. */
  function isSaid(interval: number): boolean {
    const offers = store.requests.of(interval).filter(({ kind }) => kind === 'offer');
    const saidAtMs =
      said?.interval === interval ? said.atMs : Math.max(...offers.map(({ createdAtMs }) => createdAtMs));
    return statedOf(interval).every(({ statedAtMs }) => statedAtMs <= saidAtMs) && saidAtMs > Number.NEGATIVE_INFINITY;
  }

  function mustBeAbleToTrade(): void {
    const obstacle = options.mayNotTrade();
    if (obstacle !== null) throw obstacle;
  }

  async function request(interval: number, gateMs: Millis): Promise<void> {
    mustBeAbleToTrade();
    const { running, generation, consumption, expected } = lookAhead();
    const at = interval - running;

    // The plan comes first: what fails in it leaves nothing half said, to be said anew with every further try.
    const plan = await planning.plan({ bidAt: at, isCleared: false, expected });
    mustBeAbleToTrade();
    if (isLate(gateMs)) throw new WattpactError('trading.late', 'the plan was made too late for the gate');
    keepIssued(store, { issuedAtMs: clock.chainMs(), first: running, interval, generation, consumption, expected });
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
    const ownWh = expected[at]?.generationWh;
    const generationWh = generation.size === 0 || ownWh === undefined ? null : medianOf(ownWh);
    emit({ type: 'forecast', interval, generationWh, consumptionWh });

    const sell = bounded(plan.bids.sell, site.connection.exportLimitW);
    const buy = bounded(plan.bids.buy, site.connection.importLimitW);
    // An offer without steps takes back an earlier one; where there is none, there is nothing to say.
    const offered = store.requests.of(interval).some(({ kind }) => kind === 'offer');
    if (offered || sell.length + buy.length > 0) requester.submit('offer', interval, { interval, sell, buy }, gateMs);
    for (const { what } of plan.explanation.slice(0, 3)) log.info({ interval }, `plan: ${what}`);
  }

  /** What is expected from the running interval on, as far as the plan looks. */
  function lookAhead() {
    const running = intervalAt(clock.chainMs(), lengthMs);
    const count = Math.ceil(PLAN_MS / lengthMs);
    const generation = forecasting.generation(running, count);
    const own = forecasting.consumption(running, count);
    const net = forecasting.net(running, count);
    const consumption = own.map(withStated);
    const expected = consumption.map((needed, i): ExpectedInterval => {
      const parts = [...generation.values()].map((of) => of[i]?.quantilesWh ?? []);
      const generated = needed.quantilesWh.map((_, q) => sum(parts.map((part) => part[q] ?? 0)));
      // What customers stated is not in what the site's own past says of its net.
      const netWh = needed === own[i] ? net[i]?.quantilesWh : undefined;
      return {
        netWh: netWh ?? needed.quantilesWh.map((wh, q) => wh - (generated[generated.length - 1 - q] as number)),
        generationWh: generated,
      };
    });
    return { running, generation, consumption, expected };
  }

  /** What was traded decides which loads run: the interval is planned once more with its position. */
  async function planCleared(interval: number): Promise<void> {
    if (intervalStartMs(interval, lengthMs) <= clock.chainMs()) return;
    const { running, expected } = lookAhead();
    await planning.plan({ bidAt: interval - running, isCleared: true, expected });
  }

  async function doDue(): Promise<void> {
    if (cleared !== null) {
      const interval = cleared;
      cleared = null;
      await planCleared(interval);
    }
    await requestDue();
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
   * site needs at least what the others stated. The same forecast where nobody stated anything.
   */
  function withStated(forecast: EnergyForecast): EnergyForecast {
    const stated = statedOf(forecast.interval);
    if (stated.length === 0) return forecast;
    const energyWh = sum(stated.map((demand) => demand.energyWh));
    const isWhole = stated.length === site.customers.length;
    return {
      ...forecast,
      quantilesWh: forecast.quantilesWh.map((wh) => (isWhole ? energyWh : Math.max(wh, energyWh))),
    };
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
      turn ??= doDue().finally(() => {
        turn = null;
      });
      return turn;
    },
    onNotice(notice, confirmations) {
      const isNew = outcome(notice.interval) === null;
      store.outcomes.save(notice.interval, 'notice', notice);
      const { interval, status, positionWh: wh, nodalPriceUcPerWh, bindingLine, trades } = notice;
      log.info({ interval, status, positionWh: wh, nodalPriceUcPerWh, trades: trades.length }, 'notice');
      emit({ type: 'notice', interval, status, positionWh: wh, nodalPriceUcPerWh, bindingLine, trades, confirmations });
      if (!isNew) return;
      if (status === 'cleared') {
        options.prices.onCleared(interval, intervalStartMs(interval, lengthMs), nodalPriceUcPerWh);
      }
      if (site.loads.length > 0) cleared = interval;
    },
    onSettlement(settlement) {
      store.outcomes.save(settlement.interval, 'settlement', settlement);
      emit({ type: 'settlement', interval: settlement.interval, settlement });
    },
    positionWh,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
