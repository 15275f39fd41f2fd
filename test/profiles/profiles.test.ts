// Every profile is held to the same: it parses, has sources, agrees with its golden frames, and served as a device it shows and takes what it says.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { profileJsonSchema } from '../../src/commands/profile.ts';
import { writesOf } from '../../src/fieldbus/control.ts';
import { frameProblems } from '../../src/fieldbus/golden.ts';
import { createImage, servedLayout } from '../../src/fieldbus/image.ts';
import { loadProfile, PROFILES_DIR, profileNames } from '../../src/site/load.ts';
import type { Control } from '../../src/site/types.ts';
import { isDerived, sample } from './samples.ts';

const profiles = profileNames().map((name) => loadProfile(name));

for (const profile of profiles) {
  describe(profile.name, () => {
    test('has sources, and claims no hardware that it never met', () => {
      expect(profile.sources.length).toBeGreaterThan(0);
      expect(['documented', 'captured']).toContain(profile.verified);
    });

    test('agrees with its golden frames', () => {
      expect(profile.frames.length).toBeGreaterThan(0);
      expect(profile.frames.flatMap((frame) => frameProblems(profile, frame))).toEqual([]);
    });

    test('shows as a device what it is set to', () => {
      const image = createImage(profile, { ratedW: 10_000 });
      const values = new Map([...profile.points.keys()].map((name) => [name, sample(profile, name)]));
      image.set(values);
      for (const [name, value] of values) {
        if (isDerived(profile, name)) continue;
        const shown = image.value(name);
        expect(shown, `${name} set to ${value}`).not.toBe(null);
        expect(Math.abs((shown as number) - value), `${name} set to ${value} shows ${shown}`).toBeLessThanOrEqual(
          Math.max(0.01 * Math.abs(value), 0.5),
        );
      }
    });

    test.each([...profile.controls.values()].map((control) => [control.control, control] as const))(
      'takes as a device what is written to %s',
      (_name, control) => {
        for (const value of valuesOf(control)) {
          const image = createImage(profile, { ratedW: 10_000 });
          const layout = servedLayout(profile);
          const current = (table: 'holding' | 'input' | 'coil' | 'discrete', address: number) =>
            image.read(table, address, 1)?.[0];
          const writes = writesOf(control, value, () => 10_000, current, layout);
          for (const { table, address, words } of writes) {
            expect(image.write(table as 'holding' | 'coil', address, words)).toContain(control.control);
          }
          const told = image.control(control.control);
          if (value === 0 && control.release.length > 0) expect(told === null || Math.abs(told) < 1e-6).toBe(true);
          else
            expect(Math.abs((told ?? Number.NaN) - value), `${value} became ${told}`).toBeLessThanOrEqual(
              control.tolerance + 100,
            );
        }
      },
    );
  });
}

/** Small enough for every limit, on both sides where there are two. */
function valuesOf(control: Control): number[] {
  if (control.max === 1) return [0, 1];
  const high = Math.min(control.max, 2000);
  return control.min < 0 ? [high, -Math.min(-control.min, 2000), 0] : [Math.max(control.min, high)];
}

test('the schema for editors is current: wattpact profile schema > profiles/schema.json', () => {
  expect(readFileSync(join(PROFILES_DIR, 'schema.json'), 'utf8').trim()).toBe(profileJsonSchema());
});
