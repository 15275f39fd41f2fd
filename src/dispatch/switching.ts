// Loads as the coarse actuator: what the plan wants of them, what limits allow, and never faster than they stand.

import { contactsOf, sgReadyState } from '../site/sg-ready.ts';
import type { ControlConfig, ControlInput, ControlLoad, ControlState, LoadState, Setpoint } from './control-types.ts';

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
    const steps = stepsOf(load);
    const savesW = load.sgReady === null ? load.ratedW : powerW;
    if (flexible && unmet > WORTH_SWITCHING * savesW && powerW > 0) powerW = 0;
    else if (flexible && powerW === 0 && before.powerW === 0)
      powerW = steps.findLast((stepW) => -unmet > RETURN_MARGIN * stepW) ?? 0;
    const restedMs = input.monotonicMs - before.sinceMs;
    const standsMs = before.powerW > 0 ? load.minOnMs : load.minOffMs;
    if (!sameState(load, powerW, before.powerW) && restedMs < standsMs) powerW = before.powerW;
    // The connection comes before run times of a load that may be shed.
    if (load.sheddable && excess > 0 && before.powerW > 0) powerW = 0;
    else if (powerW > before.powerW && (powerW - before.powerW) * RETURN_MARGIN > -excess) powerW = before.powerW;
    const change = powerW - before.powerW;
    excess += change;
    unmet += change;
    if (wanted === null && change === 0 && state.loads[load.id] === undefined) continue;
    const stands = sameState(load, powerW, before.powerW);
    told[load.id] = { powerW, sinceMs: stands ? before.sinceMs : input.monotonicMs };
  }
  return told;
}

/** What a load's controls are set to for a power. Of two contacts the one comes first that keeps a heat pump from being blocked on the way. */
export function loadSetpoints({ device, control, sgReady }: ControlLoad, powerW: number): Setpoint[] {
  if (sgReady === null) {
    return [{ device, control, value: control.startsWith('switch') ? (powerW > 0 ? 1 : 0) : powerW }];
  }
  const contacts = contactsOf(sgReadyState(sgReady.recommendedW, powerW));
  const recommend = { device, control, value: contacts.recommend };
  const block = { device, control: sgReady.block, value: contacts.block };
  return contacts.recommend === 1 ? [recommend, block] : [block, recommend];
}

/** Powers that a load may be given without the plan, rising. */
function stepsOf({ sgReady, ratedW }: ControlLoad): readonly number[] {
  return sgReady === null ? [ratedW] : [sgReady.recommendedW, ratedW];
}

/** Whether two powers are one state as least times count: on or off, or the same SG-ready state. */
function sameState({ sgReady }: ControlLoad, oneW: number, otherW: number): boolean {
  if (sgReady === null) return oneW > 0 === otherW > 0;
  return sgReadyState(sgReady.recommendedW, oneW) === sgReadyState(sgReady.recommendedW, otherW);
}

function stateOf(load: ControlLoad, state: ControlState, input: ControlInput): LoadState {
  const told = state.loads[load.id];
  if (told !== undefined) return told;
  const reading = input.loadStates.get(load.id);
  const on = reading?.quality === 'good' && (reading.value ?? 0) > 0;
  // Since when is not known after a start: counted from the beginning, so that run times hold.
  const onW = load.sgReady === null ? load.ratedW : (reading?.value ?? 0);
  return { powerW: on ? onW : 0, sinceMs: on ? input.monotonicMs : Number.NEGATIVE_INFINITY };
}

function wantedPower(load: ControlLoad, input: ControlInput): number | null {
  const override = input.overrides.find(({ id }) => id === load.id);
  if (override?.mode === 'off') return 0;
  if (override?.mode === 'on') return load.ratedW;
  if (override?.mode === 'hold') return null;
  return input.loadPowersW.get(load.id) ?? null;
}
