// The one-second loop: what the field bus measures goes into control, what control wants becomes leases. Owns the carrying; every decision
// is dispatch/control.ts, every write a lease of the field bus that ends by itself.

import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { intervalAt, intervalEndMs, intervalStartMs } from '../base/interval.ts';
import type { Log } from '../base/log.ts';
import { control, initialControlState } from '../dispatch/control.ts';
import type {
  ControlConfig,
  ControlInput,
  ControlOutput,
  ControlState,
  Measured,
  OperatorOrder,
  Override,
  Setpoint,
} from '../dispatch/control-types.ts';
import type { Plan } from '../dispatch/plan-types.ts';
import type { Fieldbus, Reading } from '../fieldbus/types.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { addedPowerW } from '../site/sg-ready.ts';
import type { Phase, SiteFile, SiteLoad } from '../site/types.ts';
import { generatorsOf, gridMeterOf } from './equipment.ts';
import type { LoadNeeds } from './loadneeds.ts';
import type { SiteMetering } from './metering.ts';

/** A lease lives this long unless renewed by the loop, wall ms. */
export const LEASE_MS = 10_000;

/** A generator that gives less than this share of its limit is not held back by it. */
const BELOW_LIMIT = 0.9;

const MISSING: Measured = { value: null, quality: 'missing', monotonicMs: Number.NEGATIVE_INFINITY };

export interface SiteControl {
  /** One tick: measure, decide, lease. Waits for no device: one that is slow to take its set-point holds up no other. */
  tick(): void;
  readonly last: ControlOutput | null;
  /** Controls that did not take their last set-point, with the reason. */
  readonly refusals: ReadonlyMap<string, string>;
  /** Generators held back now: told a limit, and not clearly below it of their own. */
  curtailing(): ReadonlySet<string>;
  /** Lets everything go. */
  release(): Promise<void>;
}

export function createSiteControl(options: {
  site: SiteFile;
  config: ControlConfig;
  genesis: Genesis;
  fieldbus: Fieldbus;
  metering: Pick<SiteMetering, 'risesSinceStart'>;
  loadNeeds: LoadNeeds;
  /** Powers that loads take in an interval as planned when it was traded. */
  loadPowersW: (interval: number) => ReadonlyMap<string, number>;
  positionWh: (interval: number) => number | null;
  plan: () => { readonly plan: Plan; readonly firstInterval: number } | null;
  orders: () => readonly OperatorOrder[];
  overrides: () => readonly Override[];
  operatorReachable: () => boolean;
  clockSynchronised: () => boolean;
  /** The site runs on its own. */
  offGrid: () => boolean;
  clock: Clock;
  log: Log;
}): SiteControl {
  const { site, config, genesis, fieldbus, metering, loadNeeds, clock, log } = options;
  const { lengthMs } = genesis.interval;
  const { rate } = genesis.clock;
  const { contract } = site;
  const grid = gridMeterOf(site);
  let state: ControlState = initialControlState();
  let last: ControlOutput | null = null;
  const held = new Set<string>();
  /** Set-points being written; what they should be meanwhile comes with a later tick. */
  const underWay = new Set<string>();
  const failures = new Map<string, string>();

  function measured(device: string, measurand: string): Measured {
    const reading: Reading | undefined = fieldbus.readings(device).get(measurand);
    if (reading === undefined) return MISSING;
    return { value: reading.value, quality: reading.quality, monotonicMs: reading.monotonicMs };
  }
  /**
   * A value that changes slowly and is polled slowly (state of charge, live limits): how old it may be is the field bus's to judge, by the
   * point's own pace. Held to the age of a power it would be missing half of the time.
   */
  function slowlyMeasured(device: string, measurand: string): Measured {
    const found = measured(device, measurand);
    return found.quality === 'good' ? { ...found, monotonicMs: clock.monotonicMs() } : found;
  }
  function slowlyMeasuredIfThere(device: string, measurand: string): Measured | null {
    return fieldbus.readings(device).has(measurand) ? slowlyMeasured(device, measurand) : null;
  }

  function loadState({ device, control: name, block, ratedW, powersW }: SiteLoad): Measured {
    const state = measured(device, stateOf(name));
    if (block === null) return state;
    const blocking = measured(device, block);
    if (state.quality !== 'good' || state.value === null) return state;
    if (blocking.quality !== 'good' || blocking.value === null) return blocking;
    const powers = { recommendedW: powersW[0] ?? ratedW, forcedW: ratedW };
    const value = addedPowerW(powers, state.value > 0, blocking.value > 0);
    return { ...state, value, monotonicMs: Math.min(state.monotonicMs, blocking.monotonicMs) };
  }

  function input(): ControlInput {
    const chainMs = clock.chainMs();
    const number = intervalAt(chainMs, lengthMs);
    const current = options.plan();
    const at = current === null ? -1 : number - current.firstInterval;
    const phases = config.connection.phases.map((phase): [Phase, Measured] => [
      phase,
      measured(grid.id, `gridPower${phase}W`),
    ]);
    return {
      monotonicMs: clock.monotonicMs(),
      chainRate: rate,
      interval: {
        number,
        chainElapsedMs: chainMs - intervalStartMs(number, lengthMs),
        chainRemainingMs: intervalEndMs(number, lengthMs) - chainMs,
      },
      positionWh: options.positionWh(number),
      shortfallUcPerWh: contract.ceilingUcPerWh + genesis.settlement.shortfallPenaltyUcPerWh,
      surplusUcPerWh: contract.floorUcPerWh - genesis.settlement.surplusPenaltyUcPerWh,
      storedValue: current?.plan.storedValues[at] ?? [],
      loadPowersW: options.loadPowersW(number),
      gridPowerW: measured(grid.id, 'gridPowerW'),
      gridPhasePowersW: new Map(phases.filter(([, { quality }]) => quality !== 'missing')),
      ...metering.risesSinceStart(),
      batteries: site.storage.map(({ id, device }) => ({
        id,
        powerW: measured(device, 'batteryPowerW'),
        stateOfChargePercent: slowlyMeasured(device, 'stateOfChargePercent'),
        chargePowerMaxW: slowlyMeasuredIfThere(device, 'chargePowerMaxW'),
        dischargePowerMaxW: slowlyMeasuredIfThere(device, 'dischargePowerMaxW'),
      })),
      generatorPowersW: new Map(generatorsOf(site).map(({ id }) => [id, measured(id, 'generationPowerW')])),
      loadStates: new Map(site.loads.map((load) => [load.id, loadState(load)])),
      orders: options.orders(),
      overrides: options.overrides(),
      operatorReachable: options.operatorReachable(),
      clockSynchronised: options.clockSynchronised(),
      offGrid: options.offGrid(),
    };
  }

  async function apply({ device, control: name, value }: Setpoint): Promise<void> {
    const key = `${device} ${name}`;
    if (underWay.has(key)) return;
    underWay.add(key);
    try {
      if (value === null) {
        if (!held.has(key)) return;
        await fieldbus.release(device, name);
        held.delete(key);
      } else {
        held.add(key);
        const lease = await fieldbus.lease(device, name, value, LEASE_MS);
        if (lease.state === 'failed') throw new Error(lease.reason ?? 'the device did not take the value');
      }
      if (failures.delete(key)) log.info({ device, control: name }, 'set-point taken again');
    } catch (error) {
      const reason = describeError(error);
      if (failures.get(key) !== reason) log.warn({ device, control: name, value, reason }, 'set-point not taken');
      failures.set(key, reason);
    } finally {
      underWay.delete(key);
    }
  }

  return {
    tick() {
      const seen = input();
      for (const [id, { value, quality }] of seen.loadStates) {
        const load = site.loads.find((candidate) => candidate.id === id);
        if (load !== undefined && value !== null && quality === 'good') {
          const isPower = load.kind === 'modulating' || load.kind === 'sg-ready';
          loadNeeds.onSeen(id, isPower ? value : value > 0 ? load.ratedW : 0);
        }
      }
      last = control(config, state, seen);
      state = last.state;
      log.debug({ mode: last.mode, setpoints: last.setpoints }, `control: ${last.explanation}`);
      for (const setpoint of last.setpoints) void apply(setpoint);
    },
    get last() {
      return last;
    },
    refusals: failures,
    curtailing: () =>
      new Set(
        Object.entries(state.generationLimitsW).flatMap(([id, limitW]) => {
          const { value, quality } = measured(id, 'generationPowerW');
          const isBelow = quality === 'good' && value !== null && value < BELOW_LIMIT * limitW;
          return isBelow ? [] : [id];
        }),
      ),
    async release() {
      for (const key of [...held]) {
        const [device = '', name = ''] = key.split(' ');
        // A write under way comes first: the field bus takes them in order.
        underWay.delete(key);
        await apply({ device, control: name, value: null });
      }
    },
  };
}

/** Measurand that shows what a load's control does: a relay's `switchN` shows itself, a modulating load its power. */
function stateOf(control: string): string {
  return control === 'consumptionSetpointW' ? 'consumptionPowerW' : control;
}
