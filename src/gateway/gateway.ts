// The program of a site: field bus, metering, forecast, dispatch, contract and messaging wired into loops. Decides nothing itself.

import { join } from 'node:path';
import { type ScheduledTask, schedule } from 'node-cron';
import { toBase64url } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { intervalAt } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import type { RandomBytes } from '../base/random.ts';
import { commitsAgree } from '../consensus/certificates.ts';
import { createFieldbus } from '../fieldbus/fieldbus.ts';
import type { Key } from '../keys/files.ts';
import { fastVerify } from '../keys/verify.ts';
import { connect } from '../messaging/client.ts';
import { type Envelope, encodeEnvelope, seal } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { faultsTolerated } from '../protocol/quorum.ts';
import type { LoadedSite } from '../site/types.ts';
import { openGatewayStore } from '../store/gateway.ts';
import { inBackground } from './background.ts';
import { watchChain } from './chainwatch.ts';
import { askTimedatectl, type ClockTrust, createClockGate } from './clockgate.ts';
import { createConditions, DEVICE_LOST_MS } from './conditions.ts';
import { createSiteControl } from './controlling.ts';
import { createSiteDelivering } from './delivering.ts';
import { createDemandDesk } from './demands.ts';
import { createSiteDoors } from './doors.ts';
import { doAll } from './duties.ts';
import { controlConfigOf, gridMeterOf } from './equipment.ts';
import type { GatewayListener } from './events.ts';
import { watchFairness } from './fairness.ts';
import { createSiteForecasting } from './forecasting.ts';
import { countHistory, createRebuilding } from './history.ts';
import { createLoadNeeds } from './loadneeds.ts';
import { createSiteMetering } from './metering.ts';
import { createGridWatch } from './offgrid.ts';
import { createOrderBook } from './orders.ts';
import { asControl, createOverrides } from './overrides.ts';
import { createSitePlanning } from './planning.ts';
import { sitePowers } from './powers.ts';
import { createMarketPrices } from './prices.ts';
import { createRequester } from './requester.ts';
import { createSiteTrading } from './trading.ts';
import { createTrust } from './trust.ts';

/** The loop's pace, wall ms. */
const TICK_MS = 1_000;
/** What the chain lacks of us (notices, an unanswered question) is asked for again this often, wall ms. */
const ASK_AGAIN_MS = 5_000;
/** Time of each slice of learning, ms, beyond which no further step is begun: a year of history must not hold up the loop. */
const LEARN_SLICE_MS = 5;
/** Silence of the validators after which the operator counts as not reachable, wall ms. */
const UNREACHABLE_MS = 60_000;
/** Random delay of set-point changes at an interval's edge, chain ms: a fleet does not step at once. */
const EDGE_DELAY_MS_MAX = 30_000;
/** What a grid meter that answers tells, one of it at least. */
const METERED = ['gridPowerW', 'importEnergyWh', 'exportEnergyWh'];
/** When old rows are dropped from the store: every night, local time of the machine. */
const HOUSEKEEPING = '17 3 * * *';

export const STORE_FILE = 'gateway.sqlite';

export interface GatewayOptions {
  readonly loaded: LoadedSite;
  readonly genesis: Genesis;
  /** Id under which the operator admitted the site. */
  readonly gateway: string;
  readonly key: Key;
  readonly dir: string;
  readonly brokers: readonly string[];
  readonly clockTrust: ClockTrust;
  /** Operators' checkpoints given by hand: needed after a long silence. */
  readonly checkpoints: readonly Envelope[];
  /** Doors for customers' stated demand: HTTP, and a broker of the site's own; null: closed. */
  readonly demandHttp: { readonly host: string; readonly port: number } | null;
  readonly demandMqtt: { readonly host: string; readonly port: number } | null;
  readonly clock: Clock;
  readonly random: () => number;
  readonly randomBytes: RandomBytes;
  readonly log: Log;
  readonly emit: GatewayListener;
}

export interface Gateway {
  /** Monotonic time of the last tick in which every duty was done: what a watchdog looks at. */
  lastTickMs(): number;
  readonly demandUrl: string | null;
  stop(): Promise<void>;
}

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { loaded, genesis, gateway, key, clock, log, emit } = options;
  const { site, profiles } = loaded;
  const { chain } = genesis;
  const { lengthMs } = genesis.interval;
  const storePath = join(options.dir, STORE_FILE);
  const store = openGatewayStore(storePath);

  const messaging = connect({
    chain,
    self: gateway,
    key,
    brokers: options.brokers,
    brokersWanted: faultsTolerated(genesis.validators.length) + 1,
    outbox: store.outbox,
    clock,
    log,
    random: options.random,
  });
  const clockGate = createClockGate({
    trust: options.clockTrust,
    clock,
    skewMsMax: genesis.limits.clockSkewMsMax,
    askSystem: askTimedatectl,
  });

  // ------------------------------------------------------------------ the chain: what is heard, what is said
  const orders = createOrderBook(store, clock);
  let sequenceKnown = false;
  let stopping = false;
  let trades: Promise<unknown> = Promise.resolve();
  function onFailure(duty: string, error: unknown): void {
    log.error({ duty, error: describeError(error) }, 'duty failed');
  }
  const lastWithOffers = intervalAt(clock.chainMs() + genesis.interval.gateOpenMs, lengthMs);
  const rebuilding = createRebuilding(store, lastWithOffers);
  /** The same until it is answered: an answer may take longer than asking again. */
  let askSalt: string | null = null;
  let askedAtMs = Number.NEGATIVE_INFINITY;
  const judgeFairness = watchFairness({ store, rounds: genesis.rounds, log });
  const agreed = commitsAgree(chain, fastVerify);
  const quorumAtLeast = site.contract.quorumAtLeast ?? 0;
  const trust = createTrust({ genesis, store, quorumAtLeast, verify: fastVerify, agreed, clock, log });
  for (const checkpoint of options.checkpoints) trust.onCheckpoint(checkpoint);
  const history = countHistory({ chain, gateway, trust, agreed, clock, log });
  const watch = watchChain({
    genesis,
    gateway,
    trust,
    history,
    orderSequences: orders.sequences,
    verify: fastVerify,
    messaging,
    clock,
    log,
    listener: {
      onHeader: clockGate.onHeader,
      onVerdict: (proof, header) => requester.onVerdict(proof, header),
      onAbsent: (validator, body) => requester.onAbsent(validator, body),
      onHint: (validator, body) => requester.onHint(validator, body),
      onNotice(notice, confirmations) {
        judgeFairness(notice);
        trading.onNotice(notice, confirmations);
      },
      onSettlement: (settlement) => trading.onSettlement(settlement),
      onOrder(order, operator) {
        orders.add(operator, order);
        log.warn({ operator, order }, "operator's order");
        if (!stopping) void doAll([['control', control.tick]], onFailure);
      },
      onSequence(sequence) {
        store.requests.raiseSequence(rebuilding.onSequence(sequence));
        sequenceKnown = true;
        askSalt = null;
        log.info({ sequence: store.requests.lastSequence() }, 'goes on from the last sequence');
        // The gate may close before the loop's next turn.
        trade();
      },
      onHistory({ deliveries, untilHeight }) {
        rebuilding.onHistory(deliveries, untilHeight);
        askSalt = null;
        log.info({ deliveries: deliveries.length, untilHeight }, 'history rebuilt from the chain');
        // There may be a year of it: the next page at once.
        if (deliveries.length > 0) askedAtMs = Number.NEGATIVE_INFINITY;
      },
    },
  });

  function mayNotSign(): string | null {
    const obstacle = trust.obstacle();
    if (obstacle !== null) return obstacle;
    if (!sequenceKnown) return 'the validators have not said yet what this gateway signed last';
    return clockGate.obstacle();
  }

  function ask(about: { requests?: readonly string[]; intervals?: readonly number[] }): void {
    askSalt ??= toBase64url(options.randomBytes(16));
    const salt = askSalt;
    const historyFrom = rebuilding.wanted(trust.highest()?.height ?? null);
    if (!sequenceKnown) watch.expectSequence(salt);
    if (historyFrom !== null) history.expect(salt, historyFrom);
    const body = {
      historyFrom,
      intervals: about.intervals ?? [],
      requests: about.requests ?? [],
      salt,
      sequence: !sequenceKnown,
      setsFrom: trust.setsFrom(),
      timeMs: clock.chainMs(),
    };
    void messaging.publish('request', [gateway], encodeEnvelope(seal(chain, 'ask', gateway, body, key.sign)));
  }

  const requester = createRequester({
    chain,
    gateway,
    sign: key.sign,
    store,
    messaging,
    clock,
    randomBytes: options.randomBytes,
    quorum: watch.quorum,
    mayNotSign,
    ask: (requests) => ask({ requests }),
    emit,
    log,
  });

  // ------------------------------------------------------------------ the site: what is measured, planned and driven
  const fieldbus = createFieldbus({ site, profiles, clock, leases: store.leases, log });
  const metering = createSiteMetering({
    site,
    profiles,
    fieldbus,
    store,
    clock,
    intervalMs: lengthMs,
    chainRate: genesis.clock.rate,
    curtailing: () => control.curtailing(),
    log,
  });
  // Few sites name a source, and the code that asks it has its price in memory.
  const weather =
    site.weather === null
      ? null
      : (await import('./weather.ts')).siteWeather(site.weather, site.location, {
          store,
          clock,
          random: options.random,
          log,
        });
  const forecasting = createSiteForecasting({
    site,
    store,
    intervalMs: lengthMs,
    soFar: metering.soFar,
    weather: weather?.archive ?? null,
    clock,
  });
  const loadNeeds = createLoadNeeds({ site, store, clock });
  const overrides = createOverrides({ site, store, clock });
  const reading = (device: string, measurand: string): number | null => {
    const found = fieldbus.readings(device).get(measurand);
    return found?.quality === 'good' ? found.value : null;
  };
  const { contract, timezone } = site;
  const prices = createMarketPrices({ store, timezone, tariff: contract });
  const planning = createSitePlanning({
    site,
    genesis,
    store,
    loadNeeds,
    prices,
    positionWh: (interval) => trading.positionWh(interval),
    stateOfCharge(storage) {
      const device = site.storage.find(({ id }) => id === storage)?.device;
      return device === undefined ? null : reading(device, 'stateOfChargePercent');
    },
    overrides: overrides.inForce,
    clock,
  });
  const trading = createSiteTrading({
    site,
    genesis,
    gateway,
    store,
    requester,
    forecasting,
    planning,
    prices,
    mayHaveForgotten: rebuilding.mayHaveForgotten,
    mayNotTrade() {
      const offGrid = gridWatch.reason();
      if (offGrid !== null) return new WattpactError('trading.off-grid', `the site is off the grid: ${offGrid}`);
      if (METERED.some((measurand) => reading(gridMeterOf(site).id, measurand) !== null)) return null;
      return new WattpactError('trading.unmetered', 'the meter at the grid connection does not answer', {
        hint: 'Nothing is traded that could not be measured: check the meter and its line',
      });
    },
    clock,
    emit,
    log,
  });
  const delivering = createSiteDelivering({ site, genesis, gateway, store, requester, metering, clock, emit, log });
  const counterStepWh =
    profiles.get(gridMeterOf(site).profile)?.points.get('importEnergyWh')?.counter?.resolutionWh ?? 1;
  const gridWatch = createGridWatch(site.connection.voltageV, clock);
  const conditions = createConditions(store, clock);
  function operatorReachable(): boolean {
    const heardAtMs = watch.heardAtMs();
    return heardAtMs !== null && clock.monotonicMs() - heardAtMs < UNREACHABLE_MS;
  }
  const control = createSiteControl({
    site,
    config: controlConfigOf(site, counterStepWh, options.random() * EDGE_DELAY_MS_MAX),
    genesis,
    fieldbus,
    metering,
    loadNeeds,
    positionWh: trading.positionWh,
    plan: planning.current,
    loadPowersW: planning.loadPowersW,
    orders: orders.inForce,
    overrides: () => asControl(overrides.inForce()),
    operatorReachable,
    clockSynchronised: () => clockGate.obstacle() === null,
    offGrid: () => gridWatch.reason() !== null,
    clock,
    log,
  });

  const accept = createDemandDesk({ site, store, intervalMs: lengthMs, clock });
  const { demandHttp, demandMqtt } = options;
  const { customers } = store;
  const doors = createSiteDoors({ demandHttp, demandMqtt, customers, accept, overrides, clock, log });

  // ------------------------------------------------------------------ the loop
  const startedMs = clock.monotonicMs();
  let lastTickMs = startedMs;

  /** Asks again for what is still missing: the last sequence, the past, notices of intervals whose gate has closed. */
  function askForMissing(): void {
    const waitMs = sequenceKnown ? ASK_AGAIN_MS : TICK_MS;
    if (clock.monotonicMs() - askedAtMs < waitMs || messaging.status().connected === 0) return;
    const chainMs = clock.chainMs();
    const next = intervalAt(chainMs + genesis.interval.gateCloseMs, lengthMs);
    const running = intervalAt(chainMs, lengthMs);
    const intervals = [running, next].filter((interval) => trading.positionWh(interval) === null);
    const isComplete = sequenceKnown && rebuilding.historyFrom() === null && !trust.isBehind();
    if (isComplete && intervals.length === 0) return;
    askedAtMs = clock.monotonicMs();
    ask({ intervals: [...new Set(intervals)] });
  }

  function tellPowers(): void {
    const interval = intervalAt(clock.chainMs(), lengthMs);
    const { importRiseWh, exportRiseWh } = metering.risesSinceStart();
    emit({
      type: 'powers',
      atMs: clock.chainMs(),
      powers: sitePowers(loaded, reading),
      positionWh: trading.positionWh(interval),
      deliveredWh: importRiseWh === null || exportRiseWh === null ? null : exportRiseWh - importRiseWh,
      control: control.last?.explanation ?? '',
      trouble: mayNotSign(),
      overrides: overrides.inForce(),
      conditions: conditions.standing().map(({ text }) => text),
    });
  }

  /** Before control: off the grid it lets go at once. */
  function followGrid(): void {
    gridWatch.look(fieldbus.readings(gridMeterOf(site).id));
  }

  function followConditions(): void {
    const nowMs = clock.monotonicMs();
    const isLost = (id: string): boolean => {
      const readings = [...fieldbus.readings(id).values()];
      if (readings.some(({ quality }) => quality === 'good')) return false;
      return nowMs - Math.max(startedMs, ...readings.map(({ monotonicMs }) => monotonicMs)) > DEVICE_LOST_MS;
    };
    const grid = gridMeterOf(site);
    const changes = conditions.follow({
      meterFresh: control.last?.mode !== 'blind',
      lostDevices: site.devices.filter(({ id }) => id !== grid.id && isLost(id)),
      brokersConnected: messaging.status().connected,
      operatorReachable: operatorReachable(),
      clockObstacle: clockGate.obstacle(),
      offGrid: gridWatch.reason(),
      positionWh: trading.positionWh(intervalAt(clock.chainMs(), lengthMs)),
      countedSinceStart: metering.risesSinceStart().importRiseWh !== null,
      unmeteredLoads: metering.unmeteredLoads,
      undrivenBatteries: site.storage.filter(({ driven }) => !driven).map(({ id }) => id),
      weatherTrouble: weather?.trouble() ?? null,
      doubts: forecasting.doubts(),
      refusals: control.refusals,
    });
    for (const { what, condition } of changes) {
      log.warn({ code: condition.code }, `${what}: ${condition.text}`);
      emit({ type: 'condition', what, condition });
    }
  }

  /** Says what the owner's word began and ended: it is changed from other processes too. */
  function followOverrides(): void {
    for (const { what, override } of overrides.changes()) {
      log.warn({ override }, `override ${what}`);
      emit({ type: 'override', what, override });
    }
  }

  async function meter(): Promise<void> {
    const metered = await metering.tick();
    for (const interval of metered) delivering.onMetered(interval);
    // Only then: a crash in between meters the interval again, and says it once.
    if (metered.length > 0) metering.keep();
  }

  /** Before the last sequence is known nothing can be signed; `trouble` says so. */
  function trade(): void {
    if (!sequenceKnown || stopping) return;
    // Plans are made beside the loop's other duties, not before them.
    trades = doAll([['trading', trading.tick]], onFailure);
  }

  /** A slice of learning; true when nothing is left to learn now. */
  function learn(): boolean {
    if (rebuilding.historyFrom() !== null) return true;
    return forecasting.learnUpTo(intervalAt(clock.chainMs(), lengthMs) - 1, LEARN_SLICE_MS);
  }

  const duties = [
    ['metering', meter],
    ['overrides', followOverrides],
    ['trading', trade],
    ['delivering', delivering.tick],
    ['requesting', requester.tick],
    ['asking', askForMissing],
    ['grid', followGrid],
    ['control', control.tick],
    ['weather', () => weather?.tick()],
    ['conditions', followConditions],
    ['telling', tellPowers],
  ] as const;

  async function tick(): Promise<void> {
    if (await doAll(duties, onFailure)) lastTickMs = clock.monotonicMs();
  }

  let timer: NodeJS.Timeout | null = null;
  let running: Promise<void> = Promise.resolve();
  function loop(): void {
    const startedMs = clock.monotonicMs();
    running = tick().then(() => {
      if (stopping) return;
      timer = setTimeout(loop, Math.max(0, TICK_MS - (clock.monotonicMs() - startedMs)));
    });
  }

  const housekeeping: ScheduledTask = schedule(HOUSEKEEPING, () => store.prune(clock.chainMs(), lengthMs));
  /** Closes what is open, also of a start that failed half way. */
  async function close(): Promise<void> {
    await housekeeping.destroy();
    await fieldbus.stop();
    clockGate.stop();
    await weather?.stop();
    await doors.close();
    await messaging.stop();
    store.close();
  }

  try {
    await doors.open();
    await fieldbus.start();
  } catch (error) {
    await close();
    throw error;
  }
  loop();
  const learning = inBackground(learn, (error) => onFailure('learning', error));
  log.info({ chain, gateway, site: site.id }, 'gateway started');
  emit({ type: 'ready', gateway });

  let stopped: Promise<void> | null = null;
  async function stop(): Promise<void> {
    stopping = true;
    learning.stop();
    if (timer !== null) clearTimeout(timer);
    await running;
    await control.release();
    await trades;
    metering.keep();
    await close();
    log.info({}, 'gateway stopped');
  }

  return {
    lastTickMs: () => lastTickMs,
    demandUrl: doors.demandUrl(),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}
