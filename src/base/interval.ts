// The market's unit of time: `[start, end)`, aligned to UTC, numbered from the epoch (number = start / length).

import { floorDiv } from './integers.ts';

/** Number of the interval that contains the instant. */
export function intervalAt(instantMs: number, lengthMs: number): number {
  return floorDiv(instantMs, lengthMs);
}

export function intervalStartMs(interval: number, lengthMs: number): number {
  return interval * lengthMs;
}

export function intervalEndMs(interval: number, lengthMs: number): number {
  return (interval + 1) * lengthMs;
}

/** ISO 8601 UTC with seconds, the form shown to people and programs: `2026-06-21T10:15:00Z`. */
export function isoSeconds(instantMs: number): string {
  return `${new Date(instantMs).toISOString().slice(0, 19)}Z`;
}

/** Minutes since midnight of a time of day, HH:MM. */
export function minuteOfDay(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}
