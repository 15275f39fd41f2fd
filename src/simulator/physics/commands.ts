// A command to a device and the watchdog that ends it. Pure.
//
// A device with a watchdog forgets a command that was not renewed within its time-out, in wall time, and does what it
// would do by itself. One without keeps it for ever.

import type { Millis } from '../../base/units.ts';

export interface Command<T> {
  readonly value: T;
  /** Monotonic wall time at which the device's own watchdog ends it; Infinity without a watchdog. */
  readonly untilMonotonicMs: Millis;
}

export function command<T>(value: T, nowMonotonicMs: Millis, timeoutMs: Millis | null): Command<T> {
  return { value, untilMonotonicMs: timeoutMs === null ? Number.POSITIVE_INFINITY : nowMonotonicMs + timeoutMs };
}

/** The command still in force, or null. */
export function inForce<T>(held: Command<T> | null, nowMonotonicMs: Millis): Command<T> | null {
  return held !== null && nowMonotonicMs < held.untilMonotonicMs ? held : null;
}
