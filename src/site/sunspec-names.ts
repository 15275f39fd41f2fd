// How a profile names a point of SunSpec's models: `103.W`, or `101-103.W` for the same point of any of several models.

import { nearest } from '../base/nearest.ts';
import { isGroup, SUNSPEC_MODELS, sunspecPoint } from './sunspec-models.ts';

export const SUNSPEC_NAME = /^(\d{1,5})(?:-(\d{1,5}))?\.(\w+)$/;
/** Models that one name may stand for. */
const RANGE_MAX = 16;

/** `101-103.W` -> models 101 to 103, point W; empty when it is not written so. */
export function sunspecPlaces(text: string): { model: number; name: string }[] {
  const [, first, last = first, name = ''] = SUNSPEC_NAME.exec(text) ?? [];
  const count = Number(last) - Number(first) + 1;
  if (!(count >= 1 && count <= RANGE_MAX)) return [];
  return Array.from({ length: count }, (_, i) => ({ model: Number(first) + i, name }));
}

/** Names that SunSpec does not have, and points of which no model is served. */
export function sunspecProblems(
  names: readonly unknown[],
  path: PropertyKey[],
  models: ReadonlySet<unknown>,
): { path: PropertyKey[]; message: string }[] {
  const problems: { path: PropertyKey[]; message: string }[] = [];
  const places = names.map((name) => (typeof name === 'string' ? sunspecPlaces(name) : []));
  for (const [i, found] of places.entries()) {
    if (found.length === 0) problems.push({ path: [...path, i], message: 'names no models: write 103.W or 101-103.W' });
    for (const { model, name } of found) {
      const known = SUNSPEC_MODELS.get(model);
      if (known === undefined)
        problems.push({ path: [...path, i], message: `SunSpec model ${model} is not known here` });
      else if (sunspecPoint(model, name) === undefined) {
        const meant = nearest(
          name,
          known.body.items.filter((item) => !isGroup(item)).map((item) => item.name),
        );
        const hint = meant === null ? '' : `; did you mean ${meant}?`;
        problems.push({ path: [...path, i], message: `SunSpec model ${model} has no point ${name}${hint}` });
      }
    }
  }
  if (problems.length === 0 && !places.flat().some(({ model }) => models.has(model)))
    problems.push({ path, message: 'none of these models is listed in sunspec.models' });
  return problems;
}
