// The two contacts of a heat pump by the SG-ready rules, as block:recommend: 1:0 state 1, blocked; 0:0 state 2, normal; 0:1 state 3, more is
// recommended; 1:1 state 4, more is forced. State 1 is never asked for: no relay known here opens its contacts by itself, and a gateway that
// dies would leave the pump blocked. Owns the meaning of the contacts; who writes them in which order is fieldbus/leases.ts.

import type { Watts } from '../base/units.ts';

/** What a heat pump takes beyond its own running in states 3 and 4. */
export interface SgReadyPowers {
  readonly recommendedW: Watts;
  readonly forcedW: Watts;
}

/** What the contacts add to the pump's own running; nothing in states 1 and 2. */
export function addedPowerW({ recommendedW, forcedW }: SgReadyPowers, recommends: boolean, blocks: boolean): Watts {
  if (!recommends) return 0;
  return blocks ? forcedW : recommendedW;
}

/** The state for so much power beyond the pump's own running. */
export function sgReadyState(recommendedW: Watts, powerW: Watts): 2 | 3 | 4 {
  if (powerW <= 0) return 2;
  return powerW > recommendedW ? 4 : 3;
}

/** Contacts of a state, each 1 when closed. */
export function contactsOf(state: 2 | 3 | 4): { readonly recommend: 0 | 1; readonly block: 0 | 1 } {
  return { recommend: state === 2 ? 0 : 1, block: state === 4 ? 1 : 0 };
}
