// Loads as the coarse actuator: what the plan wants of them, what limits allow, and never faster than they stand.

import type { ControlConfig, ControlInput, ControlLoad, ControlState, LoadState } from './control-types.ts';

/** A load follows a deviation that a battery cannot carry when it closes at least this share of its own power. */
const WORTH_SWITCHING = 0.6;
/** Room below the import limit, as a share of a load's power, before a shed load may come back. */
const RETURN_MARGIN = 1.1;

export interface SwitchingInput {
  /** Import above the cap that batteries cannot cover (negative: room below it). */
  readonly excessImportW: number;
  /** Net import beyond what is wanted that batteries cannot carry: + too much import, - too much export. */
  readonly unmetW: number;
}

/** What each load is told. Loads that neither plan, owner nor limit speaks of are left alone (absent). */
export function loadPowers(
  config: ControlConfig,
  state: ControlState,
  input: ControlInput,
  { excessImportW, unmetW }: SwitchingInput,
): Record<string, LoadState> {
  const told: Record<string, LoadState> = {};
  let excess = excessImportW;
  let unmet = unmetW;
  for (const load of config.loads) {
    const before = stateOf(load, state, input);
    const wanted = wantedPower(load, input);
    let powerW = wanted ?? before.powerW;
    const override = input.overrides.find(({ id }) => id === load.id);
    const flexible = wanted !== null && override === undefined;
    if (flexible && unmet > WORTH_SWITCHING * load.ratedW && powerW > 0) powerW = 0;
    else if (flexible && -unmet > RETURN_MARGIN * load.ratedW && powerW === 0 && before.powerW === 0)
      powerW = load.ratedW;
    const restedMs = input.monotonicMs - before.sinceMs;
    const standsMs = before.powerW > 0 ? load.minOnMs : load.minOffMs;
    if (powerW > 0 !== before.powerW > 0 && restedMs < standsMs) powerW = before.powerW;
    // The connection comes before run times of a load that may be shed.
    if (load.sheddable && excess > 0 && before.powerW > 0) powerW = 0;
    else if (powerW > before.powerW && (powerW - before.powerW) * RETURN_MARGIN > -excess) powerW = before.powerW;
    const change = powerW - before.powerW;
    excess += change;
    unmet += change;
    if (wanted === null && change === 0 && state.loads[load.id] === undefined) continue;
    told[load.id] =
      powerW > 0 === before.powerW > 0 ? { powerW, sinceMs: before.sinceMs } : { powerW, sinceMs: input.monotonicMs };
  }
  return told;
}

function stateOf(load: ControlLoad, state: ControlState, input: ControlInput): LoadState {
  const told = state.loads[load.id];
  if (told !== undefined) return told;
  const reading = input.loadStates.get(load.id);
  const on = reading?.quality === 'good' && (reading.value ?? 0) > 0;
  // Since when is not known after a start: counted from the beginning, so that run times hold.
  return { powerW: on ? load.ratedW : 0, sinceMs: on ? input.monotonicMs : Number.NEGATIVE_INFINITY };
}

function wantedPower(load: ControlLoad, input: ControlInput): number | null {
  const override = input.overrides.find(({ id }) => id === load.id);
  if (override?.mode === 'off') return 0;
  if (override?.mode === 'on') return load.ratedW;
  if (override?.mode === 'hold') return null;
  return input.loadPowersW.get(load.id) ?? null;
}
