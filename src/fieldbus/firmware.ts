// Which points a device has, by its firmware: maps change between versions. Pure.

import type { Point } from '../site/types.ts';

/** Whether a point exists in a firmware. Without a known firmware a gated point is left out: a wrong register is worse than none. */
export function hasPoint(point: Point, firmware: string | null): boolean {
  if (point.firmware === null) return true;
  if (firmware === null) return false;
  const { from, to } = point.firmware;
  return (from === null || compareVersions(firmware, from) >= 0) && (to === null || compareVersions(firmware, to) <= 0);
}

/** Compares versions by their numbers in order: `V1.10` is after `1.9`. Negative: the first is older. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbersOf(version: string): number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}
