// Registers that wear with each write (EEPROM): how often they may be written in a day, and how soon after one another. The counts lie
// with the leases on disk, so that neither a restart nor a crash gives a device more writes than its profile allows.

import type { Clock } from '../base/clock.ts';
import { WattpactError } from '../base/errors.ts';
import type { Millis } from '../base/units.ts';
import type { Control } from '../site/types.ts';
import type { LeaseStore } from './types.ts';

export const DAY_MS: Millis = 86_400_000;
/** A new value is written no sooner than this after the last write: the loop that decides every second never drives such a register. */
export const PACE_MS: Millis = 300_000;

export interface Wear {
  /** Before a new value is written: one write must be left for its revert. Errors: `fieldbus.pace`, `fieldbus.budget`. */
  refuseValue(device: string, control: Control): void;
  /** Before a revert is written. Errors: `fieldbus.budget`. */
  refuseRevert(device: string, control: Control): void;
  /** Counts a write before it leaves; durable when it returns. */
  count(device: string, control: Control): void;
}

export function createWear(store: Pick<LeaseStore, 'countWrite' | 'writesSince'>, clock: Clock): Wear {
  /** Times of the day's writes; one dated ahead, by a clock that was, counts as of now. */
  function writesOf(device: string, control: Control): Millis[] {
    const nowMs = clock.chainMs();
    return store.writesSince(device, control.control, nowMs - DAY_MS).map((atMs) => Math.min(atMs, nowMs));
  }

  function refuse(device: string, control: Control, writes: readonly Millis[], kept: number): void {
    if (writes.length + kept < control.dailyWrites) return;
    throw new WattpactError(
      'fieldbus.budget',
      `${device}: ${control.control} has had the writes that it is given a day (${control.dailyWrites}${kept > 0 ? ', one is kept for the revert' : ''})`,
      { hint: 'the register is EEPROM and wears with each write' },
    );
  }

  return {
    refuseValue(device, control) {
      const writes = writesOf(device, control);
      refuse(device, control, writes, 1);
      if (clock.chainMs() - Math.max(...writes) < PACE_MS) {
        throw new WattpactError(
          'fieldbus.pace',
          `${device}: ${control.control} was written less than ${PACE_MS / 1000} s ago and keeps what it has`,
          { hint: 'the register is EEPROM and wears with each write' },
        );
      }
    },
    refuseRevert(device, control) {
      refuse(device, control, writesOf(device, control), 0);
    },
    count(device, control) {
      store.countWrite(device, control.control, clock.chainMs());
    },
  };
}
