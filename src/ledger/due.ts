// Due operations: what every validator derives from the state and the block's time, without anybody proposing it.

import { clearInterval } from './clearing.ts';
import type { Context, Due } from './context.ts';
import { settleInterval } from './settlement.ts';
import { correctionEnd, ids, records, settlements } from './tables.ts';

export function executeDue(context: Context, due: Due): void {
  switch (due.type) {
    case 'clearing':
      return clearInterval(context, due.feeder, due.interval);
    case 'settlement':
      return settleInterval(context, due.feeder, due.interval);
    case 'expiry':
      return expire(context, due.interval);
    default:
      return due.type satisfies never;
  }
}

/** At the start of an interval: ids that ended before it, records of it (its gate is closed), settlements past correction. */
function expire({ genesis, state }: Context, interval: number): void {
  ids.clear(state, interval);
  records.clear(state, interval);
  settlements.clear(state, interval - correctionEnd(genesis, 0));
}
