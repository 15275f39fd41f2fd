// Lines of a log about what strangers do: each of them gets a few and then one now and again, which says how many were left out, so that
// nobody fills a disk from outside.

import type { Log } from './log.ts';
import { Pace } from './pace.ts';
import type { Millis } from './units.ts';

/** Lines about one of them, and about all together. */
const LINES_OF_ONE = { burst: 10, perS: 0.1, knownMax: 1_000 };
const LINES_OF_ALL = { burst: 100, perS: 2, knownMax: 1 };

/** Warns about `who` (an address, a party), unless too much was said already. */
export type Warn = (who: string, fields: object, message: string) => void;

export function sparing(log: Log, monotonicMs: () => Millis): Warn {
  const ofOne = new Pace(LINES_OF_ONE, monotonicMs);
  const ofAll = new Pace(LINES_OF_ALL, monotonicMs);
  let leftOut = 0;
  return (who, fields, message) => {
    if (ofOne.take(who, 1) > 0 || ofAll.take('', 1) > 0) {
      leftOut++;
      return;
    }
    log.warn(leftOut === 0 ? fields : { ...fields, linesLeftOut: leftOut }, message);
    leftOut = 0;
  };
}
