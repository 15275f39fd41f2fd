// Values that a profile's device might show, and which of them can be set.

import { MEASURANDS } from '../../src/site/measurands.ts';
import type { Profile } from '../../src/site/types.ts';

/** The coarsest step of a point's registers. */
export function stepOf(profile: Profile, measurand: string): number {
  const parts = profile.points.get(measurand)?.parts ?? [];
  return Math.max(...parts.map((part) => (part.scaleRegister === null ? Math.abs(part.scale) : 10)));
}

/** Something a device might show: fits the smallest registers, is no step of anything. */
export function sample(profile: Profile, measurand: string): number {
  const point = profile.points.get(measurand);
  const wanted = { W: 1200, Wh: 123_000, V: 230, A: 5, Hz: 50, '%': 60, degC: 30, var: 100, VA: 1200, none: 1 }[
    MEASURANDS[measurand]?.unit ?? 'none'
  ];
  const step = stepOf(profile, measurand);
  return Math.max(point?.plausible.min ?? 0, Math.round(wanted / step) * step);
}

/** A sum of registers that are all points of their own follows them and cannot be set. A second name of a register neither. */
export function isDerived(profile: Profile, measurand: string): boolean {
  const parts = profile.points.get(measurand)?.parts ?? [];
  const others = [...profile.points.values()].filter(
    (point) => point.measurand !== measurand && point.parts.length < parts.length,
  );
  return parts.every((part) =>
    others.some((point) => point.parts.some((other) => other.table === part.table && other.address === part.address)),
  );
}
