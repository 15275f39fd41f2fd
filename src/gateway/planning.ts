// From what the gateway knows (forecasts, trades, prices, the owner's word, what loads had) to a plan, and the loads of every interval as they
// were planned when it was traded: those stand from its start on, whatever later plans say. What is best is worked out by dispatch/.

import type { Clock } from '../base/clock.ts';
import { clamp } from '../base/integers.ts';
import { intervalAt, intervalEndMs, intervalStartMs } from '../base/interval.ts';
import { energyOfPowerWh, type Millis, PRICE_UC_PER_WH_MAX, type WattHours, type Watts } from '../base/units.ts';
import type { PlanLoad } from '../dispatch/equipment.ts';
import { medianOf, planInPieces } from '../dispatch/plan.ts';
import type { Plan, PlanInput, PlanInterval, StoredBattery, Uncertain } from '../dispatch/plan-types.ts';
import { batteriesOf, bidTermsOf, curtailableOf, planLoadsOf } from '../dispatch/site-equipment.ts';
import { MEDIAN, QUANTILES } from '../forecast/types.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { SiteFile, SiteLoad } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { inPieces } from './background.ts';
import type { LoadNeeds } from './loadneeds.ts';
import type { SiteOverride } from './overrides.ts';
import type { MarketPrices } from './prices.ts';
import { keepStored } from './stored.ts';

const AGREED = 'loads agreed';
/** What is missing of a load's need below this share of its smallest step is what measuring gets wrong, no reason to run once more. */
const NEED_REST = 0.1;

/** Quantiles of an interval's net energy at the connection without battery and movable loads, Wh, + import. */
export interface ExpectedInterval {
  readonly netWh: readonly WattHours[];
  /** Generation: by quantiles it also says how much of the net's doubt is the weather's, which errs for hours. */
  readonly generationWh: Uncertain;
}

export interface SitePlanning {
  /**
   * Plans from the running interval on, `expected` being its forecast and those of the ones after it. `bidAt`: place of the interval that
   * is offered for, or, when `isCleared`, that was: then its loads follow what was traded. Timers, the bus and messages have their turn while it
   * is being made, from what is known when it was asked for; the plan before is in force until it is done.
   */
  plan(about: { bidAt: number; isCleared: boolean; expected: readonly ExpectedInterval[] }): Promise<Plan>;
  /** The plan in force, with the interval it begins in. */
  current(): { readonly plan: Plan; readonly firstInterval: number } | null;
  /** Power that each load with a need takes in an interval, by load id: as agreed, or as the plan in force says. */
  loadPowersW(interval: number): ReadonlyMap<string, Watts>;
}

/** What a load takes before it can be placed anew: energy still to come, up to which place, and whether it is on then. */
interface Settled {
  readonly takenWh: WattHours;
  readonly until: number;
  readonly on: boolean;
}

/** Power of each load by interval. */
type Agreed = Record<string, Record<string, Watts>>;

export function createSitePlanning(options: {
  site: SiteFile;
  genesis: Genesis;
  store: Pick<GatewayStore, 'settings'>;
  loadNeeds: Pick<LoadNeeds, 'progress'>;
  prices: Pick<MarketPrices, 'expected'>;
  /** Net export traded for an interval; null while it is not known. */
  positionWh: (interval: number) => number | null;
  /** State of charge of a battery now, percent, or null. */
  stateOfCharge: (storage: string) => number | null;
  overrides: () => readonly SiteOverride[];
  clock: Clock;
}): SitePlanning {
  const { site, genesis, store, clock } = options;
  const { lengthMs } = genesis.interval;
  const needy = site.loads.filter(({ need }) => need !== null);
  let current: { plan: Plan; firstInterval: number } | null = null;
  let agreed = (store.settings.get(AGREED) as Agreed | null) ?? {};

  /** The loads of the interval offered for stand as this plan says, until it has begun or is planned again; what began goes on to its end. */
  function agree(plan: Plan, first: number, bidAt: number): void {
    const at = first + bidAt;
    const next: Agreed = {};
    for (const load of needy) {
      const before = agreed[load.id] ?? {};
      const planned = powersOf(plan, load.id);
      const powers: Record<string, Watts> = {};
      for (let interval = first - 1; interval < at; interval++) {
        const powerW = before[interval];
        if (powerW !== undefined) powers[interval] = powerW;
      }
      if (runsOn(load, at)) {
        for (let i = at; (before[i] ?? 0) > 0; i++) powers[i] = before[i] as Watts;
      } else {
        powers[at] = planned[bidAt] ?? 0;
        for (let i = bidAt + 1; isProgram(load) && powers[at] > 0 && (planned[i] ?? 0) > 0; i++) {
          powers[first + i] = planned[i] as Watts;
        }
      }
      next[load.id] = powers;
    }
    agreed = next;
    store.settings.set(AGREED, agreed);
  }

  /** A program that began before this interval and has not ended. */
  function runsOn(load: SiteLoad, interval: number): boolean {
    return isProgram(load) && (agreed[load.id]?.[interval - 1] ?? 0) > 0;
  }

  /** Power that is no more to be decided: by the owner's word, or by what was agreed. Null: free. */
  function settledW(load: SiteLoad, interval: number, bidInterval: number): Watts | null {
    const override = overrideAt(load.id, intervalStartMs(interval, lengthMs));
    if (override?.mode === 'off') return 0;
    if (override?.mode === 'on') return load.ratedW;
    if (load.need === null) return null;
    const power = agreed[load.id]?.[interval] ?? 0;
    if (interval < bidInterval) return power;
    return runsOn(load, bidInterval) && power > 0 ? power : null;
  }

  /** The owner's word that holds for the larger part of an interval. */
  function overrideAt(id: string, startMs: Millis): SiteOverride | undefined {
    return options.overrides().find((override) => override.id === id && override.untilMs >= startMs + lengthMs / 2);
  }

  /** Part of an interval that is still to come. */
  function toCome(interval: number): number {
    const leftMs = intervalEndMs(interval, lengthMs) - clock.chainMs();
    return Math.min(1, Math.max(0, leftMs / lengthMs));
  }

  return {
    async plan({ bidAt, isCleared, expected }) {
      const first = intervalAt(clock.chainMs(), lengthMs);
      const startMs = intervalStartMs(first, lengthMs);
      const fixedWh = expected.map(() => 0);
      const settled = new Map<string, Settled>();
      for (const load of site.loads) {
        let [takenWh, until, on] = [0, 0, false];
        for (let i = 0; i < expected.length; i++) {
          const powerW = settledW(load, first + i, first + bidAt);
          if (powerW === null) break;
          const wholeWh = energyOfPowerWh(powerW, lengthMs);
          fixedWh[i] = (fixedWh[i] as number) + wholeWh;
          takenWh += wholeWh * toCome(first + i);
          until = i + 1;
          on = powerW > 0;
        }
        settled.set(load.id, { takenWh, until, on });
      }
      const percents = new Map(
        batteriesOf(site).flatMap(({ id }) => {
          const percent = options.stateOfCharge(id);
          return percent === null ? [] : [[id, percent] as const];
        }),
      );
      keepStored(store, percents, clock.chainMs());
      const batteries = plannedBatteries(site, { ...options, percents }, bidAt, lengthMs, startMs, (wh, i) => {
        fixedWh[i] = (fixedWh[i] ?? 0) + wh;
      });
      const { contract, connection } = site;
      const { shortfallPenaltyUcPerWh, surplusPenaltyUcPerWh } = genesis.settlement;
      const intervals = expected.map(({ netWh, generationWh }, i): PlanInterval => {
        // Only the net is known with its doubts; what is generated serves to say how much of it can be held back.
        const given = Math.max(medianOf(generationWh), ...netWh.map((wh) => -wh), 0);
        const parts = partsOfDoubt(netWh, generationWh);
        const market =
          i > bidAt
            ? options.prices.expected(startMs + i * lengthMs)
            : {
                // What differs from the trade is paid for as imbalance, also where what is offered finds no partner.
                buyUcPerWh: contract.ceilingUcPerWh + shortfallPenaltyUcPerWh,
                sellUcPerWh: contract.floorUcPerWh - surplusPenaltyUcPerWh,
              };
        return {
          startMs: startMs + i * lengthMs,
          generationWh: parts.generation.map((wh) => wh + given),
          consumptionWh: parts.consumption.map((wh) => wh + given + (fixedWh[i] as number)),
          ...market,
          positionWh: i <= bidAt ? (options.positionWh(first + i) ?? 0) : 0,
          importLimitW: connection.importLimitW,
          exportLimitW: connection.exportLimitW,
        };
      });
      const loads = planLoadsOf(site, startMs, lengthMs, intervals.length, options.loadNeeds.progress()).flatMap(
        (load) => remaining(load, settled.get(load.id), startMs, lengthMs),
      );
      const input: PlanInput = {
        intervalMs: lengthMs,
        intervals,
        bidInterval: bidAt,
        batteries,
        loads,
        curtailable: curtailableOf(site),
        endValueUcPerWh: null,
        terms: bidTermsOf(site, PRICE_UC_PER_WH_MAX),
        ...(isCleared && current?.firstInterval === first ? { priced: current.plan.priced } : {}),
      };
      const plan = await inPieces(planInPieces(input));
      current = { plan, firstInterval: first };
      agree(plan, first, bidAt);
      return plan;
    },
    current: () => current,
    loadPowersW(interval) {
      return new Map(
        needy.map(({ id }) => {
          const planned = current === null ? [] : powersOf(current.plan, id);
          const at = current === null ? -1 : interval - current.firstInterval;
          return [id, agreed[id]?.[interval] ?? planned[at] ?? 0] as const;
        }),
      );
    },
  };
}

/**
 * The net's quantiles as those of consumption (less `given`, what is generated) and the deviations of generation, such that the plan, which takes
 * the two to err independently, finds the net's again.
 */
function partsOfDoubt(
  netWh: readonly WattHours[],
  generationWh: Uncertain,
): { readonly consumption: readonly WattHours[]; readonly generation: readonly WattHours[] } {
  const middleWh = netWh[MEDIAN] ?? 0;
  const last = QUANTILES.length - 1;
  const spread = (of: readonly number[]): number => (of[last] ?? 0) - (of[0] ?? 0);
  const [ofNet, ofGeneration] = [spread(netWh), typeof generationWh === 'number' ? 0 : spread(generationWh)];
  const share = ofNet <= 0 ? 0 : Math.min(1, ofGeneration / ofNet);
  const rest = Math.sqrt(1 - share * share);
  return {
    consumption: netWh.map((wh) => middleWh + rest * (wh - middleWh)),
    generation: netWh.map((_, k) => -share * ((netWh[last - k] as number) - middleWh)),
  };
}

/** What a load may still be placed for: not in the intervals that are settled, and less what it takes in them. */
function remaining(load: PlanLoad, settled: Settled | undefined, startMs: Millis, lengthMs: Millis): PlanLoad[] {
  if (settled === undefined || settled.until === 0) return [load];
  const fromMs = startMs + settled.until * lengthMs;
  const isOpen = load.earliestMs < fromMs;
  const earliestMs = Math.max(load.earliestMs, fromMs);
  if (earliestMs >= load.deadlineMs) return [];
  // It is the open window's run that goes on.
  if (!isOpen)
    return [{ ...load, ...(load.kind === 'energy' ? { on: false, sinceMs: Number.NEGATIVE_INFINITY } : {}) }];
  if (load.kind === 'program') return settled.takenWh > 0 ? [] : [{ ...load, earliestMs }];
  const needWh = load.needWh - settled.takenWh;
  const leastWh = energyOfPowerWh(load.powersW[0] ?? 0, lengthMs);
  if (needWh <= NEED_REST * leastWh) return [];
  const sinceMs = settled.on === load.on ? load.sinceMs : fromMs - lengthMs;
  // A run goes on for its least time from the plan's first interval, and counts for the need: what of it is settled was taken off already.
  const restMs = settled.on ? load.minOnMs - (startMs - sinceMs) : 0;
  const settledRun = clamp(Math.ceil(restMs / lengthMs), 0, settled.until);
  return [{ ...load, needWh: needWh + settledRun * leastWh, earliestMs, on: settled.on, sinceMs }];
}

/**
 * Batteries as the plan may use them. One that the owner holds over the interval to be offered is not there; what one takes that he charges
 * is told as energy needed, interval by interval.
 */
function plannedBatteries(
  site: SiteFile,
  options: {
    percents: ReadonlyMap<string, number>;
    overrides: () => readonly SiteOverride[];
    clock: Clock;
  },
  bidAt: number,
  lengthMs: Millis,
  startMs: Millis,
  need: (energyWh: WattHours, place: number) => void,
): StoredBattery[] {
  return batteriesOf(site).flatMap((battery) => {
    const percent = options.percents.get(battery.id);
    if (percent === undefined) return [];
    const storedWh = (percent / 100) * battery.capacityWh;
    const override = options.overrides().find(({ id }) => id === battery.id);
    if (override === undefined) return [{ battery, storedWh }];
    let charged = storedWh;
    if (override.mode === 'charge-to') {
      const aimWh = ((override.percent ?? 0) / 100) * battery.capacityWh;
      for (let i = 0; startMs + i * lengthMs < override.untilMs && charged < aimWh; i++) {
        const fromMs = Math.max(startMs + i * lengthMs, options.clock.chainMs());
        const lastsMs = Math.min(startMs + (i + 1) * lengthMs, override.untilMs) - fromMs;
        const givenWh = Math.min(
          energyOfPowerWh(battery.chargeLimitW, Math.max(0, lastsMs)),
          (aimWh - charged) / battery.chargeEfficiency,
        );
        need(givenWh, i);
        charged += givenWh * battery.chargeEfficiency;
      }
    }
    const isFree = override.untilMs <= startMs + bidAt * lengthMs;
    return isFree ? [{ battery, storedWh: charged }] : [];
  });
}

/** A load with several windows in the plan has an entry for each: at most one of them runs at a time. */
function powersOf(plan: Plan, id: string): readonly Watts[] {
  return plan.loads
    .filter((load) => load.id === id)
    .reduce<readonly Watts[]>((most, { powersW }) => powersW.map((powerW, i) => Math.max(powerW, most[i] ?? 0)), []);
}

function isProgram(load: SiteLoad): boolean {
  return load.kind === 'program' || load.need?.energyWh == null;
}
