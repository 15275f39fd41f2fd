// What must hold whatever the economy says: the connection's limits, orders, each phase, and what each battery may do now.

import { clamp } from '../base/integers.ts';
import type { Phase } from '../site/types.ts';
import type { BatteryReadings, ControlBattery, ControlConfig, ControlInput, Measured } from './control-types.ts';
import { limitAtW } from './equipment.ts';

/** Share of a limit kept free for what a meter gets wrong. */
const METER_MARGIN = 0.01;

export interface Caps {
  readonly importW: number;
  readonly exportW: number;
}

/** Strictest limits of the connection in force: its own, every order, and the default when the operator cannot be heard. */
export function capsOf(config: ControlConfig, input: ControlInput): Caps {
  const { connection } = config;
  const imports = [connection.importLimitW];
  const exports = [connection.exportLimitW];
  for (const order of input.orders) {
    if (order.importLimitW !== null) imports.push(order.importLimitW);
    if (order.exportLimitW !== null) exports.push(order.exportLimitW);
  }
  if (!input.operatorReachable) {
    imports.push(connection.defaultImportLimitW);
    exports.push(connection.defaultExportLimitW);
  }
  return { importW: Math.min(...imports) * (1 - METER_MARGIN), exportW: Math.min(...exports) * (1 - METER_MARGIN) };
}

/** The value of a reading that can be acted on: good and young enough; null otherwise. */
export function fresh(measured: Measured | null | undefined, monotonicMs: number, staleAfterMs: number): number | null {
  if (measured === null || measured === undefined || measured.quality !== 'good') return null;
  return monotonicMs - measured.monotonicMs <= staleAfterMs ? measured.value : null;
}

/** Within this of full or empty a battery is brought to rest gently: it would stop at once by itself. */
const SOFT_EDGE_PERCENT = 0.5;

/** A battery that answers, with what it may do now. */
export interface UsableBattery {
  readonly unit: ControlBattery;
  readonly powerW: number;
  readonly percent: number;
  /** By the device's own limits. */
  readonly hardMinW: number;
  readonly hardMaxW: number;
  /** Reserve held too. */
  readonly maxW: number;
}

/** Batteries whose power and state of charge are known; the others are left to themselves. */
export function usableBatteries(config: ControlConfig, input: ControlInput): UsableBattery[] {
  const readings = new Map<string, BatteryReadings>(input.batteries.map((reading) => [reading.id, reading]));
  const usable: UsableBattery[] = [];
  for (const unit of config.batteries) {
    const { battery } = unit;
    const reading = readings.get(battery.id);
    const value = (of: Measured | null | undefined): number | null => fresh(of, input.monotonicMs, config.staleAfterMs);
    const powerW = value(reading?.powerW);
    const percent = value(reading?.stateOfChargePercent);
    if (powerW === null || percent === null) continue;
    // A live limit that is told but not known now is no limit to be relied on: nothing is asked of the battery that way.
    const live = (of: Measured | null | undefined): number =>
      of === null || of === undefined ? Number.POSITIVE_INFINITY : Math.max(0, value(of) ?? 0);
    const charge = limitAtW(battery.chargeLimitW, battery.chargeTaper, percent) * softly(100 - percent);
    const discharge = limitAtW(battery.dischargeLimitW, battery.dischargeTaper, percent) * softly(percent);
    const hardMinW = 0 - Math.min(charge, live(reading?.chargePowerMaxW));
    const hardMaxW = Math.min(discharge, live(reading?.dischargePowerMaxW));
    const maxW = hardMaxW * softly(percent - battery.reservePercent);
    usable.push({ unit, powerW, percent, hardMinW, hardMaxW, maxW });
  }
  return usable;
}

/** Share of a limit that is left at this distance from full, empty or the reserve. */
function softly(distancePercent: number): number {
  return clamp(distancePercent / SOFT_EDGE_PERCENT, 0, 1);
}

/** Power that a battery can have reached from where it is after a time, when told to go to `towardsW` now. */
export function reachableW({ unit, powerW }: UsableBattery, towardsW: number, afterMs: number): number {
  return powerW + (towardsW - powerW) * (1 - Math.exp(-afterMs / Math.max(1, unit.lagMs)));
}

/** Net import of each phase once the batteries follow `setpoints`, from a meter that tells phases; empty otherwise. */
export function phasesAfter(
  config: ControlConfig,
  input: ControlInput,
  usable: readonly UsableBattery[],
  setpoints: ReadonlyMap<string, number>,
): Map<Phase, number> {
  const after = new Map<Phase, number>();
  for (const phase of config.connection.phases) {
    const now = fresh(input.gridPhasePowersW.get(phase), input.monotonicMs, config.staleAfterMs);
    if (now === null) continue;
    let power = now;
    for (const { unit, powerW } of usable) {
      if (!unit.phases.includes(phase)) continue;
      power -= ((setpoints.get(unit.battery.id) ?? 0) - powerW) / unit.phases.length;
    }
    after.set(phase, power);
  }
  return after;
}

/** Moves batteries, within their own limits, until each phase is within its limit as far as they can bring it. */
export function holdPhases(
  config: ControlConfig,
  input: ControlInput,
  usable: readonly UsableBattery[],
  setpoints: Map<string, number>,
): boolean {
  const limitW = config.connection.phaseLimitW * (1 - METER_MARGIN);
  let moved = false;
  for (const phase of config.connection.phases) {
    const power = phasesAfter(config, input, usable, setpoints).get(phase);
    if (power === undefined) continue;
    let excess = power - clamp(power, -limitW, limitW);
    for (const { unit, hardMinW, hardMaxW } of usable) {
      if (excess === 0) break;
      if (!unit.phases.includes(phase)) continue;
      const before = setpoints.get(unit.battery.id) ?? 0;
      const wanted = clamp(before + excess * unit.phases.length, hardMinW, hardMaxW);
      if (wanted === before) continue;
      setpoints.set(unit.battery.id, wanted);
      excess -= (wanted - before) / unit.phases.length;
      if (Math.abs(excess) < 1e-6) excess = 0;
      moved = true;
    }
  }
  return moved;
}
