// The physics of one site: what flows where, and what the counters have seen. Pure: time comes in, nothing is random.
//
// `advance` moves the site to an instant in pieces within which every power is constant: a piece ends where a series
// steps, a battery gets full or empty, a watchdog bites, or a lagging inverter has moved. So counters are exact
// integrals of the powers, and the energy of every measured step is kept. Energy follows chain time; watchdogs and
// inverter lag follow monotonic wall time, as the design says.
//
// A gap in a series does not stop the world: the same time of the nearest day stands in (series.ts), and the gap is
// listed in `bridgedGaps`. Negative generation in a series is the inverter's own use: consumption.

import { clamp } from '../../base/integers.ts';
import { energyOfPowerWh, type Millis, type WattHours, type Watts } from '../../base/units.ts';
import type { BatteryTruth, GeneratorTruth, SiteTruth } from '../types.ts';
import { type BatteryModel, cellPowerW, chargeMaxW, dischargeMaxW, holdMs, possibleW } from './battery.ts';
import { type Command, command, inForce } from './commands.ts';
import { type Series, stepAt } from './series.ts';

export interface GeneratorModel {
  readonly id: string;
  readonly ratedW: Watts;
  /** Available AC power; null generates nothing. */
  readonly series: Series | null;
  readonly phases: readonly number[];
}

/** A load that can be switched or modulated. */
export interface LoadModel {
  readonly id: string;
  /** Powers it can run at when on, rising. */
  readonly powersW: readonly Watts[];
  readonly phases: readonly number[];
}

export interface SiteModel {
  /** Share of the unswitched consumption on each phase; its length is the number of phases, its sum 1. */
  readonly phaseShares: readonly number[];
  readonly consumption: Series | null;
  readonly generators: readonly GeneratorModel[];
  readonly batteries: readonly BatteryModel[];
  readonly loads: readonly LoadModel[];
  /** Time constant of the inverters' answer to set-points and limits, wall time; 0 answers at once. */
  readonly inverterLagMs: Millis;
  readonly initialStateOfChargePercent: number;
}

export interface SitePhysics {
  /** Moves to an instant of both clocks; earlier instants are ignored. */
  advance(chainMs: Millis, monotonicMs: Millis): void;
  /** Set-points and limits, from now, for the device's own watchdog time; null gives the device back to itself. */
  setBattery(id: string, powerW: Watts | null, timeoutMs: Millis | null): void;
  setGenerationLimit(id: string, limitW: Watts | null, timeoutMs: Millis | null): void;
  /** Runs a load at its highest power that is not above this one; off when there is none. */
  setLoad(id: string, powerW: Watts, timeoutMs: Millis | null): void;
  truth(): SiteTruth;
}

/** Longest piece while an inverter lags behind its target. */
const LAG_PIECE_MS = 100;
/** Closer to its target than this an inverter has arrived. */
const LAG_ARRIVED_W = 0.5;

interface GeneratorState {
  readonly model: GeneratorModel;
  limit: Command<Watts> | null;
  /** The limit as the inverter has come to follow it. */
  followedW: Watts;
  availableW: Watts;
  powerW: Watts;
  energyWh: WattHours;
}

interface LoadState {
  readonly model: LoadModel;
  asked: Command<Watts> | null;
  powerW: Watts;
  energyWh: WattHours;
}

interface BatteryState {
  readonly model: BatteryModel;
  setpoint: Command<Watts> | null;
  /** The request as the inverter has come to follow it. */
  followedW: Watts;
  powerW: Watts;
  storedWh: WattHours;
  chargeWh: WattHours;
  dischargeWh: WattHours;
}

export function createSitePhysics(model: SiteModel, chainMs: Millis, monotonicMs: Millis): SitePhysics {
  const generators = new Map<string, GeneratorState>(
    model.generators.map((generator) => [
      generator.id,
      { model: generator, limit: null, followedW: generator.ratedW, availableW: 0, powerW: 0, energyWh: 0 },
    ]),
  );
  const batteries = new Map<string, BatteryState>(
    model.batteries.map((battery) => [
      battery.id,
      {
        model: battery,
        setpoint: null,
        followedW: 0,
        powerW: 0,
        storedWh: (battery.capacityWh * clamp(model.initialStateOfChargePercent, 0, 100)) / 100,
        chargeWh: 0,
        dischargeWh: 0,
      },
    ]),
  );
  const loads = new Map<string, LoadState>(
    model.loads.map((load) => [load.id, { model: load, asked: null, powerW: 0, energyWh: 0 }]),
  );
  let atMs = chainMs;
  let wallMs = monotonicMs;
  let baseW = 0;
  let ownUseW = 0;
  let consumptionW = 0;
  let gridW = 0;
  let phaseW: Watts[] = [];
  let consumptionWh = 0;
  let importWh = 0;
  let exportWh = 0;
  let importEachWh = 0;
  let exportEachWh = 0;
  let gaps: string[] = [];

  /** Settles every power for the present instant; `lagMs` of wall time have passed since the inverters last moved. Returns when the first series steps. */
  function settle(lagMs: Millis): Millis {
    let stepsAtMs = Number.POSITIVE_INFINITY;
    gaps = [];
    const sample = (series: Series | null, name: string): Watts => {
      if (series === null) return 0;
      const step = stepAt(series, atMs);
      stepsAtMs = Math.min(stepsAtMs, step.endMs);
      if (step.gap) gaps.push(name);
      return step.powerW;
    };

    baseW = Math.max(0, sample(model.consumption, 'consumption'));
    ownUseW = 0;
    let generationW = 0;
    for (const generator of generators.values()) {
      const seriesW = sample(generator.model.series, generator.model.id);
      ownUseW += Math.max(0, -seriesW);
      generator.availableW = clamp(seriesW, 0, generator.model.ratedW);
      generator.limit = inForce(generator.limit, wallMs);
      generator.followedW = follow(generator.followedW, generator.limit?.value ?? generator.model.ratedW, lagMs);
      generator.powerW = Math.min(generator.availableW, Math.max(0, generator.followedW));
      generationW += generator.powerW;
    }
    for (const battery of batteries.values()) ownUseW += battery.model.standbyW;
    consumptionW = baseW + ownUseW;
    for (const load of loads.values()) {
      load.asked = inForce(load.asked, wallMs);
      const askedW = load.asked?.value ?? 0;
      load.powerW = load.model.powersW.findLast((powerW) => powerW <= askedW) ?? 0;
      consumptionW += load.powerW;
    }

    let uncoveredW = consumptionW - generationW;
    for (const battery of batteries.values()) {
      battery.setpoint = inForce(battery.setpoint, wallMs);
      battery.followedW = follow(battery.followedW, requestW(battery, uncoveredW), lagMs);
      battery.powerW = withinInverter(battery, possibleW(battery.model, battery.storedWh, battery.followedW));
      uncoveredW -= battery.powerW;
    }
    gridW = uncoveredW;
    phaseW = phasePowers();
    return stepsAtMs;
  }

  function requestW(battery: BatteryState, uncoveredW: Watts): Watts {
    const idleW = battery.model.automatic === 'idle' ? 0 : uncoveredW;
    return withinInverter(battery, possibleW(battery.model, battery.storedWh, battery.setpoint?.value ?? idleW));
  }

  /** A hybrid's inverter is shared: what its PV takes of the rated power is not there for the battery. */
  function withinInverter(battery: BatteryState, powerW: Watts): Watts {
    const pv = generators.get(battery.model.id);
    return pv === undefined ? powerW : Math.min(powerW, pv.model.ratedW - pv.powerW);
  }

  function follow(fromW: Watts, targetW: Watts, lagMs: Millis): Watts {
    if (model.inverterLagMs === 0 || Math.abs(targetW - fromW) < LAG_ARRIVED_W) return targetW;
    return targetW + (fromW - targetW) * Math.exp(-lagMs / model.inverterLagMs);
  }

  function lagging(): boolean {
    if (model.inverterLagMs === 0) return false;
    let uncoveredW = gridW;
    for (const battery of batteries.values()) uncoveredW += battery.powerW;
    for (const generator of generators.values()) {
      if (generator.followedW !== (generator.limit?.value ?? generator.model.ratedW)) return true;
    }
    for (const battery of batteries.values()) {
      if (battery.followedW !== requestW(battery, uncoveredW)) return true;
      uncoveredW -= battery.powerW;
    }
    return false;
  }

  function phasePowers(): Watts[] {
    const powers = model.phaseShares.map((share) => share * (baseW + ownUseW));
    const add = (phases: readonly number[], powerW: Watts): void => {
      for (const phase of phases) powers[phase] = (powers[phase] ?? 0) + powerW / phases.length;
    };
    for (const load of loads.values()) add(load.model.phases, load.powerW);
    for (const generator of generators.values()) add(generator.model.phases, -generator.powerW);
    for (const battery of batteries.values()) add(battery.model.phases, -battery.powerW);
    return powers;
  }

  /** Wall time until the first watchdog bites. */
  function watchdogInMs(): Millis {
    let untilMs = Number.POSITIVE_INFINITY;
    const watch = (held: Command<Watts> | null): void => {
      if (held !== null) untilMs = Math.min(untilMs, held.untilMonotonicMs);
    };
    for (const battery of batteries.values()) watch(battery.setpoint);
    for (const generator of generators.values()) watch(generator.limit);
    for (const load of loads.values()) watch(load.asked);
    return untilMs - wallMs;
  }

  /** Chain time for which every battery can hold its power. */
  function boundInMs(): Millis {
    let firstMs = Number.POSITIVE_INFINITY;
    for (const battery of batteries.values()) {
      firstMs = Math.min(firstMs, holdMs(battery.model, battery.storedWh, battery.powerW));
    }
    return firstMs;
  }

  function integrate(chainPieceMs: Millis): void {
    const energyWh = (powerW: Watts): WattHours => energyOfPowerWh(powerW, chainPieceMs);
    for (const generator of generators.values()) generator.energyWh += energyWh(generator.powerW);
    for (const battery of batteries.values()) {
      if (battery.powerW > 0) battery.dischargeWh += energyWh(battery.powerW);
      else battery.chargeWh += energyWh(-battery.powerW);
      const storedWh = battery.storedWh + energyWh(cellPowerW(battery.model, battery.powerW));
      battery.storedWh = snap(storedWh, battery);
    }
    for (const load of loads.values()) load.energyWh += energyWh(load.powerW);
    consumptionWh += energyWh(consumptionW);
    if (gridW > 0) importWh += energyWh(gridW);
    else exportWh += energyWh(-gridW);
    for (const powerW of phaseW) {
      if (powerW > 0) importEachWh += energyWh(powerW);
      else exportEachWh += energyWh(-powerW);
    }
  }

  // It has been running for ever: every inverter has arrived.
  settle(Number.POSITIVE_INFINITY);

  return {
    advance(toChainMs, toMonotonicMs) {
      let chainLeftMs = Math.max(0, toChainMs - atMs);
      const wallLeftMs = Math.max(0, toMonotonicMs - wallMs);
      if (chainLeftMs === 0 && wallLeftMs === 0) return;
      // Both clocks run evenly from here to there; a piece is a share of what is left of both.
      const wallPerChain = chainLeftMs === 0 ? 0 : wallLeftMs / chainLeftMs;
      const targetWallMs = wallMs + wallLeftMs;
      let lagMs = chainLeftMs === 0 ? wallLeftMs : 0;
      if (chainLeftMs === 0) wallMs = targetWallMs;
      while (chainLeftMs > 0) {
        const stepsAtMs = settle(lagMs);
        let pieceMs = Math.min(chainLeftMs, stepsAtMs - atMs, boundInMs());
        if (wallPerChain > 0) {
          pieceMs = Math.min(pieceMs, watchdogInMs() / wallPerChain);
          if (lagging()) pieceMs = Math.min(pieceMs, LAG_PIECE_MS / wallPerChain);
        }
        // Rounding of floats must not stop time: a piece is never shorter than a microsecond.
        pieceMs = Math.min(chainLeftMs, Math.max(pieceMs, 1e-3));
        integrate(pieceMs);
        lagMs = pieceMs * wallPerChain;
        chainLeftMs -= pieceMs;
        atMs = chainLeftMs === 0 ? toChainMs : atMs + pieceMs;
        wallMs = chainLeftMs === 0 ? targetWallMs : wallMs + lagMs;
      }
      settle(lagMs);
    },
    setBattery(id, powerW, timeoutMs) {
      const battery = batteries.get(id);
      if (battery === undefined) return;
      battery.setpoint = powerW === null ? null : command(powerW, wallMs, timeoutMs);
      settle(0);
    },
    setGenerationLimit(id, limitW, timeoutMs) {
      const generator = generators.get(id);
      if (generator === undefined) return;
      generator.limit = limitW === null ? null : command(limitW, wallMs, timeoutMs);
      settle(0);
    },
    setLoad(id, powerW, timeoutMs) {
      const load = loads.get(id);
      if (load === undefined) return;
      load.asked = command(powerW, wallMs, timeoutMs);
      settle(0);
    },
    truth: () => ({
      atMs,
      gridPowerW: gridW,
      gridPhaseW: phaseW,
      consumptionPowerW: consumptionW,
      consumptionEnergyWh: consumptionWh,
      importEnergyWh: importWh,
      exportEnergyWh: exportWh,
      importEachPhaseWh: importEachWh,
      exportEachPhaseWh: exportEachWh,
      generators: new Map([...generators].map(([id, state]) => [id, generatorTruth(state)])),
      batteries: new Map([...batteries].map(([id, state]) => [id, batteryTruth(state)])),
      loads: new Map([...loads].map(([id, { powerW, energyWh }]) => [id, { powerW, energyWh }])),
      bridgedGaps: gaps,
    }),
  };
}

/** Full and empty are exact: what rounding left on the way there is taken off. */
function snap(storedWh: WattHours, battery: BatteryState): WattHours {
  const roundingWh = 1e-9;
  if (battery.powerW > 0) return storedWh < roundingWh ? 0 : storedWh;
  return storedWh > battery.model.capacityWh - roundingWh ? battery.model.capacityWh : storedWh;
}

function generatorTruth(state: GeneratorState): GeneratorTruth {
  return {
    powerW: state.powerW,
    availableW: state.availableW,
    energyWh: state.energyWh,
    limitW: state.limit?.value ?? null,
  };
}

function batteryTruth(state: BatteryState): BatteryTruth {
  return {
    powerW: state.powerW,
    storedWh: state.storedWh,
    stateOfChargePercent: (100 * state.storedWh) / state.model.capacityWh,
    chargePowerMaxW: chargeMaxW(state.model, state.storedWh),
    dischargePowerMaxW: dischargeMaxW(state.model, state.storedWh),
    chargeEnergyWh: state.chargeWh,
    dischargeEnergyWh: state.dischargeWh,
    setpointW: state.setpoint?.value ?? null,
  };
}
