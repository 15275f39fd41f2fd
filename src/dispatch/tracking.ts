// What the site has delivered in the running interval, and what power it must hold for the rest of it.
// Counters are the truth, integrated power fills the steps between their counts; chain time throughout.

import { clamp } from '../base/integers.ts';
import { energyOfPowerWh, meanPowerW } from '../base/units.ts';
import type { ControlConfig, ControlInput, ControlState, Surplus } from './control-types.ts';

/** A deviation from the straight line is made up within this time, when there is power for it. */
const CATCH_UP_CHAIN_MS = 120_000;
/** Surplus that is expected is a mean over about this long; how far it went is forgotten over about the other, chain time. */
const EXPECTED_OVER_CHAIN_MS = 180_000;
const EXTREMES_LAST_CHAIN_MS = 7_200_000;
/** It may go beyond what was seen by this share of the range that was seen. More would keep trades better yet, by driving batteries harder. */
const BEYOND_SHARE = 0.3;
/** Readings of battery power kept to compare with the meter. */
const HISTORY_MAX = 64;

/** Net export since the interval's start. */
export function exportedSoFarWh(config: ControlConfig, state: ControlState, input: ControlInput): number {
  const { chainElapsedMs, chainRemainingMs, number } = input.interval;
  const known = state.interval === number && state.lastMonotonicMs !== null;
  const sinceMs = known ? (input.monotonicMs - state.lastMonotonicMs!) * input.chainRate : chainElapsedMs;
  const powerW = input.gridPowerW.value ?? 0;
  const grown = -energyOfPowerWh(powerW, Math.min(sinceMs, chainElapsedMs));
  const { importRiseWh, exportRiseWh } = input;
  if (importRiseWh === null || exportRiseWh === null) {
    if (known || chainElapsedMs <= input.chainRate * config.staleAfterMs) return (known ? state.exportedWh : 0) + grown;
    // Begun in mid-interval without counters: nothing speaks for a deviation, so none is made up for.
    return ((input.positionWh ?? 0) * chainElapsedMs) / (chainElapsedMs + chainRemainingMs);
  }
  const counted = exportRiseWh - importRiseWh;
  if (!known) return chainElapsedMs <= input.chainRate * config.staleAfterMs ? grown : counted;
  // Each counter hides less than one count at either edge.
  const doubt = 2 * config.counterStepWh;
  return clamp(state.exportedWh + grown, counted - doubt, counted + doubt);
}

/** Time within which a change of set-point shows at the meter, and the shortest horizon worth steering over. */
export function horizonMs(config: ControlConfig): number {
  const lagMs = config.batteries.reduce((max, { lagMs }) => Math.max(max, lagMs), 0);
  return 2 * (lagMs + config.meterDelayMs) + 1000;
}

/** Takes in the present surplus. */
export function followSurplus(before: Surplus | null, surplusW: number, passedChainMs: number): Surplus {
  if (before === null) return { expectedW: surplusW, lowW: surplusW, highW: surplusW };
  const towards = (fromW: number, overMs: number): number =>
    fromW + (surplusW - fromW) * (1 - Math.exp(-passedChainMs / overMs));
  return {
    expectedW: towards(before.expectedW, EXPECTED_OVER_CHAIN_MS),
    lowW: Math.min(surplusW, towards(before.lowW, EXTREMES_LAST_CHAIN_MS)),
    highW: Math.max(surplusW, towards(before.highW, EXTREMES_LAST_CHAIN_MS)),
  };
}

/** Most that all batteries can do now, both >= 0. */
export interface BatteryReach {
  readonly chargeW: number;
  readonly dischargeW: number;
}

/**
 * Net export power to leave for the rest of the interval: the position's mean, unless the surplus could carry the site further from it than the
 * batteries reach. Then they do early what they would do anyway, and no more: the rest is left at most at what is to be expected without them.
 */
function restW(meanW: number, surplus: Surplus | null, { chargeW, dischargeW }: BatteryReach): number {
  if (surplus === null) return meanW;
  const beyondW = BEYOND_SHARE * (surplus.highW - surplus.lowW);
  const [leastW, mostW] = [surplus.highW + beyondW - chargeW, surplus.lowW - beyondW + dischargeW];
  const sureW = leastW <= mostW ? clamp(meanW, leastW, mostW) : clamp(meanW, mostW, leastW);
  return clamp(sureW, Math.min(meanW, surplus.expectedW), Math.max(meanW, surplus.expectedW));
}

/** Net export power that meets the position at the interval's end, from the power that was wanted last. */
export function targetExportW(
  config: ControlConfig,
  state: ControlState,
  input: ControlInput,
  exportedWh: number,
  reach: BatteryReach,
): number {
  const { chainElapsedMs, chainRemainingMs, number } = input.interval;
  const positionWh = input.positionWh ?? 0;
  const missingWh = positionWh - exportedWh;
  const shortestMs = horizonMs(config) * input.chainRate;
  if (chainRemainingMs >= shortestMs || state.interval !== number || state.targetExportW === null) {
    // A straight line to the interval's end; what is behind it is made up soon, since the power to do so may be gone later.
    const meanW = meanPowerW(positionWh, chainElapsedMs + chainRemainingMs);
    const lineW = restW(meanW, state.surplus, reach);
    const lineWh = positionWh - energyOfPowerWh(lineW, chainRemainingMs);
    const soonMs = clamp(chainRemainingMs, shortestMs, CATCH_UP_CHAIN_MS);
    const wanted = lineW + meanPowerW(lineWh - exportedWh, soonMs);
    return ramped(config, state, wanted, chainElapsedMs);
  }
  // Near the end the last power goes on and only what it would miss is corrected, no faster than the devices can follow.
  const missedWh = missingWh - energyOfPowerWh(state.targetExportW, chainRemainingMs);
  return state.targetExportW + meanPowerW(missedWh, shortestMs);
}

/** After an edge: own delay, then a ramp from where the last interval ended, so that many sites do not step at once. */
function ramped(config: ControlConfig, state: ControlState, wantedW: number, chainElapsedMs: number): number {
  if (state.rampFromExportW === null) return wantedW;
  const { edgeDelayChainMs, edgeRampChainMs } = config;
  const since = chainElapsedMs - edgeDelayChainMs;
  const share = edgeRampChainMs > 0 ? clamp(since / edgeRampChainMs, 0, 1) : since >= 0 ? 1 : 0;
  return state.rampFromExportW + share * (wantedW - state.rampFromExportW);
}

export type BatteryHistory = ControlState['batteryHistory'];

/** Adds the batteries' present power. */
export function remember(history: BatteryHistory, monotonicMs: number, powerW: number): BatteryHistory {
  const last = history.at(-1);
  if (last !== undefined && last.monotonicMs >= monotonicMs) return history;
  return [...history, { monotonicMs, powerW }].slice(-HISTORY_MAX);
}

/** Power of the batteries at an instant, between two readings on a line. */
export function powerThen(history: BatteryHistory, monotonicMs: number): number {
  for (let i = history.length - 1; i >= 0; i--) {
    const at = history[i]!;
    if (at.monotonicMs > monotonicMs) continue;
    const next = history[i + 1];
    if (next === undefined) return at.powerW;
    const share = (monotonicMs - at.monotonicMs) / (next.monotonicMs - at.monotonicMs);
    return at.powerW + share * (next.powerW - at.powerW);
  }
  return history[0]?.powerW ?? 0;
}
