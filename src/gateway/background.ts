// Work that takes minutes, or half a second, in slices of milliseconds: between two slices the loop, the bus and messages have their turn.

import { setImmediate } from 'node:timers/promises';
import type { Millis } from '../base/units.ts';
import type { Sliced } from '../dispatch/slices.ts';

/** Between two slices, and until it is asked again whether there is work when there was none. */
const REST_MS: Millis = 10;
const IDLE_MS: Millis = 1_000;

/** Calls `slice` again and again until stopped; it returns true when nothing is left for now. What it throws is told, and tried again. */
export function inBackground(slice: () => boolean, onFailure: (error: unknown) => void): { stop(): void } {
  let timer: NodeJS.Timeout;
  const next = (): void => {
    let isDone = true;
    try {
      isDone = slice();
    } catch (error) {
      onFailure(error);
    }
    timer = setTimeout(next, isDone ? IDLE_MS : REST_MS);
  };
  timer = setTimeout(next, REST_MS);
  return { stop: () => clearTimeout(timer) };
}

/** Does work that knows when it may pause, and lets others have their turn at each pause. */
export async function inPieces<T>(work: Sliced<T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    await setImmediate();
  }
}
