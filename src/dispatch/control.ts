// Second by second: the site's net energy meets what was traded, within every limit. A pure step of state and input.
// Priorities, from high to low: device limits, connection and orders, reserve, trades, economy. Batteries are the fine
// actuator, loads the coarse one, holding generation back the last. Stability comes from measuring what nobody
// controls (consumption less generation) and setting the battery against it, instead of chasing the meter.

import { clamp } from '../base/integers.ts';
import { meanPowerW } from '../base/units.ts';
import type {
  ControlConfig,
  ControlInput,
  ControlMode,
  ControlOutput,
  ControlState,
  Economy,
  LoadState,
  Setpoint,
} from './control-types.ts';
import { economyOf, OWN_USE } from './economy.ts';
import { generationLimits } from './generation.ts';
import {
  type Caps,
  capsOf,
  fresh,
  holdPhases,
  phasesAfter,
  reachableW,
  type UsableBattery,
  usableBatteries,
} from './limits.ts';
import { type Shareable, share } from './sharing.ts';
import { loadPowers, loadSetpoints } from './switching.ts';
import { exportedSoFarWh, followSurplus, powerThen, remember, targetExportW } from './tracking.ts';

/** What meters may be wrong by together, as a share of the powers that they measure: kept free below the limits. */
const DOUBT_SHARE = 0.015;
/** A meter that is silent for this share of the time after which it is stale is not relied on for the limit of export: an answer is missing. */
const LATE_SHARE = 0.35;
/** Time within which batteries shall make room for generation that is not held back, and within which a limit is restored. */
const PACE_MS = 1000;
/** Nearer to its aim than this share of its limit a battery is not driven beyond it to get there sooner. */
const NEAR_SHARE = 0.03;
/** Changes of the batteries' power below this share of it are meter noise and are not followed. */
const NOISE_SHARE = 0.01;

/** State before the first tick, also after a restart: run times and the interval's energy are taken up from readings. */
export function initialControlState(): ControlState {
  return {
    interval: null,
    exportedWh: 0,
    lastMonotonicMs: null,
    targetExportW: null,
    rampFromExportW: null,
    surplus: null,
    batterySetpointsW: {},
    batteryHistory: [],
    loads: {},
    generationLimitsW: {},
    economy: OWN_USE,
  };
}

/** One tick. `setpoints` holds every control that shall be held now; controls with null are let go. */
export function control(config: ControlConfig, state: ControlState, input: ControlInput): ControlOutput {
  if (input.offGrid) return letGo(config, state, input);
  const usable = usableBatteries(config, input);
  const gridW = fresh(input.gridPowerW, input.monotonicMs, config.staleAfterMs);
  if (gridW === null) return blind(config, state, input, usable);

  const batteryW = usable.reduce((sum, { powerW }) => sum + powerW, 0);
  const batteryHistory = remember(state.batteryHistory, input.monotonicMs, batteryW);
  const meteredAtMs = input.gridPowerW.monotonicMs - config.meterDelayMs;
  const uncontrolledW = gridW + powerThen(batteryHistory, meteredAtMs);

  const edge = state.interval !== null && state.interval !== input.interval.number;
  const passedChainMs = (input.monotonicMs - (state.lastMonotonicMs ?? input.monotonicMs)) * input.chainRate;
  const surplus = followSurplus(state.surplus, -uncontrolledW, passedChainMs);
  const begun: ControlState = { ...state, surplus, ...(edge ? { rampFromExportW: -gridW } : {}) };
  const exportedWh = exportedSoFarWh(config, begun, input);
  const trading = input.positionWh !== null && input.clockSynchronised;
  const reach = {
    chargeW: usable.reduce((sum, b) => sum - b.hardMinW, 0),
    dischargeW: usable.reduce((sum, b) => sum + b.maxW, 0),
  };
  const targetW = trading ? targetExportW(config, begun, input, exportedWh, reach) : null;
  const missingW = uncontrolledW + (targetW ?? 0);

  const strict = capsOf(config, input);
  const doubtW = DOUBT_SHARE * (Math.abs(gridW) + Math.abs(batteryW));
  const caps: Caps = { importW: Math.max(0, strict.importW) - doubtW, exportW: Math.max(0, strict.exportW) - doubtW };
  const economy = economyNow(state, input, usable);
  const wantedW = wantedBattery(usable, economy, missingW, uncontrolledW);
  const generatedW = generationOf(config, input, 'nothing');
  const isLate = input.monotonicMs - input.gridPowerW.monotonicMs > LATE_SHARE * config.staleAfterMs;
  const withinW = clamp(wantedW, uncontrolledW - caps.importW, uncontrolledW + caps.exportW);
  // As if nothing were consumed.
  const heldW = isLate ? Math.min(withinW, caps.exportW - generationOf(config, input, 'rated')) : withinW;
  const nowW = uncontrolledW - batteryW;
  const beyond = nowW > caps.importW || -nowW > caps.exportW;
  const toldW = heldW !== wantedW || beyond ? hurried(usable, heldW) : heldW;
  const setpoints = batterySetpoints(config, state, input, usable, toldW, uncontrolledW, caps);
  const givenW = [...setpoints.values()].reduce((sum, powerW) => sum + powerW, 0);

  const hardMaxW = usable.reduce((sum, b) => sum + b.hardMaxW, 0);
  const loads = loadPowers(config, state, input, {
    excessImportW: uncontrolledW - hardMaxW - caps.importW,
    unmetW: trading ? missingW - givenW : 0,
  });

  const worthless = input.surplusUcPerWh < 0;
  const generationLimitsW = generationLimits(config, state, input, {
    consumptionW: isLate ? 0 : Math.max(0, uncontrolledW + generatedW),
    exportCapW: worthless ? Math.min(caps.exportW, Math.max(0, targetW ?? 0)) : caps.exportW,
    chargeableW: 0 - usable.reduce((sum, b) => sum + reachableW(b, ranges(b, input).minW, PACE_MS), 0),
    over: -gridW > caps.exportW,
    phasesAfterW: phasesAfter(config, input, usable, setpoints),
  });
  const mode: ControlMode = trading ? 'trade' : 'own-use';
  return {
    state: {
      interval: input.interval.number,
      exportedWh,
      lastMonotonicMs: input.monotonicMs,
      targetExportW: targetW,
      rampFromExportW: begun.rampFromExportW,
      surplus,
      batterySetpointsW: Object.fromEntries(setpoints),
      batteryHistory,
      loads: { ...state.loads, ...loads },
      generationLimitsW,
      economy,
    },
    setpoints: allSetpoints(config, setpoints, loads, generationLimitsW),
    mode,
    explanation: explain(config, input, usable, { mode, targetW, exportedWh, wantedW, givenW, generationLimitsW }),
    curtailing: config.generators.some(({ id }) => generationLimitsW[id] !== undefined),
  };
}

/** What all generators give; one that is not known counts as said. */
function generationOf(config: ControlConfig, input: ControlInput, unknown: 'rated' | 'nothing'): number {
  return config.generators.reduce((sum, { id, ratedW }) => {
    const powerW = fresh(input.generatorPowersW.get(id), input.monotonicMs, config.staleAfterMs);
    return sum + (powerW ?? (unknown === 'rated' ? ratedW : 0));
  }, 0);
}

function economyNow(state: ControlState, input: ControlInput, usable: readonly UsableBattery[]): Economy {
  const capacity = usable.reduce((sum, { unit }) => sum + unit.battery.capacityWh, 0);
  if (capacity === 0) return OWN_USE;
  const mean = (of: (b: UsableBattery) => number): number =>
    usable.reduce((sum, b) => sum + of(b) * b.unit.battery.capacityWh, 0) / capacity;
  return economyOf(
    {
      storedValue: input.storedValue,
      storedWh: usable.reduce((sum, b) => sum + (b.percent * b.unit.battery.capacityWh) / 100, 0),
      shortfallUcPerWh: input.shortfallUcPerWh,
      surplusUcPerWh: input.surplusUcPerWh,
      chargeEfficiency: mean((b) => b.unit.battery.chargeEfficiency),
      dischargeEfficiency: mean((b) => b.unit.battery.dischargeEfficiency),
      wearUcPerWh: mean((b) => b.unit.battery.cycleCostUcPerWh) / 2,
    },
    state.economy,
  );
}

/** Power of all batteries by trade and economy, + discharging, within reserve and the site's word on export. */
function wantedBattery(
  usable: readonly UsableBattery[],
  economy: Economy,
  missingW: number,
  uncontrolledW: number,
): number {
  const maxW = usable.reduce((sum, b) => sum + b.maxW, 0);
  const minW = usable.reduce((sum, b) => sum + b.hardMinW, 0);
  const stays = usable.some((b) => b.unit.battery.export === 'never');
  const ownOnly = usable.some((b) => b.unit.battery.export === 'own-generation');
  let wanted = 0;
  if (economy.discharge) wanted = maxW;
  else if (economy.charge) wanted = minW;
  else if (missingW > 0 && economy.cover) wanted = missingW;
  else if (missingW < 0 && economy.absorb) wanted = missingW;
  if (stays) wanted = Math.min(wanted, Math.max(0, uncontrolledW));
  if (ownOnly) wanted = Math.max(wanted, Math.min(0, uncontrolledW));
  return clamp(wanted, minW, maxW);
}

/** What each battery is told: shared, the owner's word kept, small changes left out, phases held. */
function batterySetpoints(
  config: ControlConfig,
  state: ControlState,
  input: ControlInput,
  usable: readonly UsableBattery[],
  heldW: number,
  uncontrolledW: number,
  caps: Caps,
): Map<string, number> {
  const shareable = usable.map(
    (b): Shareable => ({ ...ranges(b, input), beforeW: state.batterySetpointsW[b.unit.battery.id] ?? 0 }),
  );
  const beforeW = shareable.reduce((sum, b) => sum + b.beforeW, 0);
  const stepW = usable.reduce((max, b) => Math.max(max, b.unit.stepW), 0);
  const quiet =
    Math.abs(heldW - beforeW) <= Math.max(stepW, NOISE_SHARE * Math.abs(heldW)) &&
    beforeW >= uncontrolledW - caps.importW &&
    beforeW <= uncontrolledW + caps.exportW &&
    shareable.every((b) => b.beforeW >= b.minW && b.beforeW <= b.maxW);
  const result = quiet ? new Map(shareable.map((b) => [b.id, b.beforeW])) : share(heldW, shareable);
  holdPhases(config, input, usable, result);
  for (const { unit } of usable) {
    const powerW = result.get(unit.battery.id) ?? 0;
    const whole = Math.trunc(powerW / unit.stepW) * unit.stepW;
    result.set(unit.battery.id, Math.abs(whole) < unit.deadBandW ? 0 : whole + 0);
  }
  return result;
}

/** What a battery may be told now: its limits, and the owner's word within them. */
function ranges(b: UsableBattery, input: ControlInput): Omit<Shareable, 'beforeW'> {
  const { battery } = b.unit;
  const storedWh = (b.percent * battery.capacityWh) / 100;
  const range = {
    id: battery.id,
    minW: b.hardMinW,
    maxW: b.hardMaxW,
    giveWh: Math.max(0, storedWh - (battery.capacityWh * battery.reservePercent) / 100),
    takeWh: battery.capacityWh - storedWh,
  };
  const override = input.overrides.find(({ id }) => id === battery.id);
  if (override === undefined) return range;
  if (override.mode === 'charge-to' && b.percent < override.percent) return { ...range, maxW: range.minW };
  return { ...range, minW: 0, maxW: 0 };
}

/** A limit is at stake: batteries that lag are told more than is wanted until they are near it. */
function hurried(usable: readonly UsableBattery[], heldW: number): number {
  const powerW = usable.reduce((sum, b) => sum + b.powerW, 0);
  const rangeW = usable.reduce((sum, b) => sum + b.hardMaxW - b.hardMinW, 0);
  if (Math.abs(heldW - powerW) < NEAR_SHARE * rangeW) return heldW;
  const lagMs = usable.reduce((max, b) => Math.max(max, b.unit.lagMs), 1);
  return powerW + (heldW - powerW) / (1 - Math.exp(-PACE_MS / lagMs));
}

function allSetpoints(
  config: ControlConfig,
  batteries: ReadonlyMap<string, number>,
  loads: Readonly<Record<string, LoadState>>,
  generationLimitsW: Readonly<Record<string, number>>,
): Setpoint[] {
  const setpoints: Setpoint[] = [];
  for (const { battery, device } of config.batteries) {
    const value = batteries.get(battery.id);
    if (value !== undefined) setpoints.push({ device, control: 'batterySetpointW', value });
  }
  for (const { id, curtailable } of config.generators) {
    if (curtailable) setpoints.push({ device: id, control: 'generationLimitW', value: generationLimitsW[id] ?? null });
  }
  for (const load of config.loads) {
    const told = loads[load.id];
    if (told !== undefined) setpoints.push(...loadSetpoints(load, told.powerW));
  }
  return setpoints;
}

/** Everything is let go: the inverter carries the site by its own means. */
function letGo(config: ControlConfig, state: ControlState, input: ControlInput): ControlOutput {
  const setpoints: Setpoint[] = [
    ...config.batteries.map(({ device }) => ({ device, control: 'batterySetpointW', value: null })),
    ...config.generators
      .filter(({ curtailable }) => curtailable)
      .map(({ id }) => ({ device: id, control: 'generationLimitW', value: null })),
    ...config.loads.flatMap((load) => loadSetpoints(load, 0).map((setpoint) => ({ ...setpoint, value: null }))),
  ];
  return {
    state: { ...initialControlState(), loads: state.loads, lastMonotonicMs: input.monotonicMs },
    setpoints,
    mode: 'off-grid',
    explanation: 'the grid is gone: every device is left to its own automatic mode, no trade is followed',
    curtailing: false,
  };
}

/** The meter at the connection is not known: batteries rest, and export is held as if nothing were consumed. */
function blind(
  config: ControlConfig,
  state: ControlState,
  input: ControlInput,
  usable: readonly UsableBattery[],
): ControlOutput {
  const caps = capsOf(config, input);
  const setpoints = new Map(usable.map(({ unit }) => [unit.battery.id, 0]));
  const generationLimitsW = generationLimits(config, state, input, {
    consumptionW: 0,
    exportCapW: caps.exportW,
    chargeableW: 0,
    over: false,
    phasesAfterW: new Map(),
  });
  return {
    state: {
      ...state,
      batterySetpointsW: Object.fromEntries(setpoints),
      batteryHistory: [],
      targetExportW: null,
      generationLimitsW,
    },
    setpoints: allSetpoints(config, setpoints, {}, generationLimitsW),
    mode: 'blind',
    explanation: `the meter at the connection is ${input.gridPowerW.quality === 'good' ? 'stale' : input.gridPowerW.quality}: batteries rest, generation is held to ${Math.round(caps.exportW)} W`,
    curtailing: Object.keys(generationLimitsW).length > 0,
  };
}

interface Outcome {
  readonly mode: ControlMode;
  readonly targetW: number | null;
  readonly exportedWh: number;
  readonly wantedW: number;
  readonly givenW: number;
  readonly generationLimitsW: Readonly<Record<string, number>>;
}

function explain(config: ControlConfig, input: ControlInput, usable: readonly UsableBattery[], o: Outcome): string {
  const parts: string[] = [];
  if (o.mode === 'trade') {
    const leftWh = (input.positionWh ?? 0) - o.exportedWh;
    const meanW = meanPowerW(leftWh, Math.max(1, input.interval.chainRemainingMs));
    parts.push(`trade: ${Math.round(leftWh)} Wh of ${input.positionWh} Wh to go (${Math.round(meanW)} W)`);
  } else parts.push(input.clockSynchronised ? 'own use: no trade known' : 'own use: the clock is not proven');
  if (usable.length > 0) parts.push(`batteries ${Math.round(o.givenW)} W`);
  if (Math.abs(o.wantedW - o.givenW) > 1 + NOISE_SHARE * Math.abs(o.wantedW))
    parts.push(`held back from ${Math.round(o.wantedW)} W by a limit`);
  const lost = config.batteries.filter(({ battery }) => !usable.some(({ unit }) => unit.battery.id === battery.id));
  for (const { battery } of lost) parts.push(`${battery.id} does not answer`);
  for (const [id, limitW] of Object.entries(o.generationLimitsW)) parts.push(`${id} held to ${Math.round(limitW)} W`);
  for (const { id, sgReady } of config.loads) {
    if (sgReady !== null && input.overrides.some((override) => override.id === id && override.mode === 'off'))
      parts.push(
        `${id}: off is SG-ready state 2, its own running; it is never blocked, since a gateway that dies would leave it so`,
      );
  }
  if (!input.operatorReachable) parts.push('operator not heard: default limits');
  return parts.join('; ');
}
