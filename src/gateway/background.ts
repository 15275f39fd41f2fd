// Work that takes minutes in slices of milliseconds: between two slices the loop, the bus and messages have their turn.

import type { Millis } from '../base/units.ts';

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
