// How far generation may go: the last means when batteries and loads cannot hold the export.
// Limits are computed from what is consumed, not from what is generated, so that a rising sun meets a limit that is already there.

import type { Phase } from '../site/types.ts';
import type { ControlConfig, ControlGenerator, ControlInput, ControlState } from './control-types.ts';
import { fresh } from './limits.ts';

/** A generator is let go when its limit is above its rating by this share, and held again below the rating. */
const RELEASE_MARGIN = 1.05;
/** Smaller changes of a limit, as a share of the rating, are not written. */
const LIMIT_STEP = 0.005;

export interface GenerationInput {
  /** What the site takes that no generator or battery gives: consumption, >= 0; 0 when the meter is not known. */
  readonly consumptionW: number;
  /** Most that may leave, and what batteries can take on top. */
  readonly exportCapW: number;
  readonly chargeableW: number;
  /** The cap is passed right now: what batteries will take is not given away before they take it. */
  readonly over: boolean;
  /** Net import of each phase after the batteries; phases without a value are not limited. */
  readonly phasesAfterW: ReadonlyMap<Phase, number>;
}

/** Limit of each generator that must be held (absent: may run free). */
export function generationLimits(
  config: ControlConfig,
  state: ControlState,
  input: ControlInput,
  { consumptionW, exportCapW, chargeableW, over, phasesAfterW }: GenerationInput,
): Record<string, number> {
  const limits: Record<string, number> = {};
  const powerOf = (generator: ControlGenerator): number | null =>
    fresh(input.generatorPowersW.get(generator.id), input.monotonicMs, config.staleAfterMs);
  const held = config.generators.filter((generator) => generator.curtailable);
  const ratedW = held.reduce((sum, generator) => sum + generator.ratedW, 0);
  const freeW = config.generators
    .filter((generator) => !generator.curtailable)
    .reduce((sum, generator) => sum + (powerOf(generator) ?? generator.ratedW), 0);
  const allowedW = Math.max(0, consumptionW + exportCapW + chargeableW - freeW);
  for (const generator of held) {
    let limitW = ratedW > 0 ? (allowedW * generator.ratedW) / ratedW : 0;
    const powerW = powerOf(generator);
    if (powerW !== null) limitW = Math.min(limitW, powerW + phaseRoomW(config, generator, held, phasesAfterW));
    const before = state.generationLimitsW[generator.id];
    if (over && before !== undefined) limitW = Math.min(limitW, before);
    if (limitW >= generator.ratedW * (before === undefined ? 1 : RELEASE_MARGIN)) continue;
    limitW = Math.max(0, Math.min(limitW, generator.ratedW));
    const same = before !== undefined && limitW >= before && limitW - before < LIMIT_STEP * generator.ratedW;
    limits[generator.id] = same ? before : Math.floor(limitW);
  }
  return limits;
}

/** How much more (or, negative, less) a generator may give before one of its phases exports too much. */
function phaseRoomW(
  config: ControlConfig,
  generator: ControlGenerator,
  held: readonly ControlGenerator[],
  phasesAfterW: ReadonlyMap<Phase, number>,
): number {
  let room = Number.POSITIVE_INFINITY;
  for (const phase of generator.phases) {
    const power = phasesAfterW.get(phase);
    if (power === undefined) continue;
    const sharers = held.filter((other) => other.phases.includes(phase)).length;
    room = Math.min(room, ((config.connection.phaseLimitW + power) * generator.phases.length) / sharers);
  }
  return room;
}
