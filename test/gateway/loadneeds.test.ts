// What a load has had: what was seen, and no more.

import { expect, test } from 'vitest';
import { createLoadNeeds } from '../../src/gateway/loadneeds.ts';
import { loadSite } from '../../src/site/load.ts';
import type { SiteFile } from '../../src/site/types.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';

const HOUR = 3_600_000;
const { site } = loadSite('devices/demo/flat.yaml');

test('hours in which nobody looked are not taken for energy, and a clock set back takes none away', () => {
  const [load] = site.loads;
  if (load === undefined) throw new Error('the site has a load');
  const need = { ...load.need, energyWh: 10_000, from: '00:00', until: '23:59' } as SiteFile['loads'][number]['need'];
  let chainMs = Date.UTC(2026, 5, 22, 8);
  const store = openGatewayStore(':memory:');
  const clock = { chainMs: () => chainMs, monotonicMs: () => 0 };
  const needs = createLoadNeeds({ site: { ...site, loads: [{ ...load, need }] }, store, clock });
  const doneWh = (): number => Math.round(needs.progress().get(load.id)?.doneWh ?? 0);
  needs.onSeen(load.id, 6_000);
  chainMs += 60_000;
  needs.onSeen(load.id, 6_000);
  expect(doneWh()).toBe(100);
  chainMs += 3 * HOUR;
  needs.onSeen(load.id, 6_000);
  expect(doneWh()).toBeLessThanOrEqual(600);
  const before = doneWh();
  chainMs -= HOUR;
  needs.onSeen(load.id, 6_000);
  expect(doneWh()).toBe(before);
  store.close();
});

test('what it has had outlives a crash, but for the last minutes; another window begins at nothing', () => {
  const [load] = site.loads;
  if (load === undefined) throw new Error('the site has a load');
  const need = { ...load.need, energyWh: 10_000, from: '06:00', until: '18:00' } as SiteFile['loads'][number]['need'];
  let chainMs = Date.UTC(2026, 5, 22, 8);
  const store = openGatewayStore(':memory:');
  const clock = { chainMs: () => chainMs, monotonicMs: () => 0 };
  const made = () => createLoadNeeds({ site: { ...site, loads: [{ ...load, need }] }, store, clock });
  const needs = made();
  const beganMs = chainMs;
  for (let minute = 0; minute <= 60; minute++, chainMs += 60_000) needs.onSeen(load.id, 6_000);
  chainMs -= 60_000;
  expect(needs.progress().get(load.id)).toEqual({ doneWh: 6_000, on: true, sinceMs: beganMs });
  const after = made().progress().get(load.id);
  expect(after).toMatchObject({ on: true, sinceMs: beganMs });
  expect(after?.doneWh).toBeLessThanOrEqual(6_000);
  expect(after?.doneWh).toBeGreaterThanOrEqual(5_500);
  chainMs += 24 * HOUR;
  expect(made().progress().get(load.id)?.doneWh).toBe(0);
  needs.onSeen(load.id, 0);
  expect(needs.progress().get(load.id)).toEqual({ doneWh: 0, on: false, sinceMs: chainMs });
  store.close();
});
