// The gateway's own field bus on the demo's virtual sites: every device is read well, and leases reach the physics.

import path from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { createFieldbus } from '../../src/fieldbus/fieldbus.ts';
import type { Fieldbus } from '../../src/fieldbus/types.ts';
import { chooseSeries } from '../../src/simulator/site-series.ts';
import type { VirtualSite } from '../../src/simulator/types.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { loadSite } from '../../src/site/load.ts';
import type { Bus, SiteFile } from '../../src/site/types.ts';
import { memoryLeases } from '../fieldbus/served.ts';

const DEMO = path.join(import.meta.dirname, '../../devices/demo');
const ORIGIN_MS = Date.parse('2026-06-22T09:00:00Z');
const RATE = 45;
const SITES = ['house', 'farm', 'factory', 'flat'] as const;
const WAIT = { timeout: 20_000, interval: 20 };

const running: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const part of running.splice(0).reverse()) await part.stop();
});

async function run(name: string): Promise<{ site: SiteFile; virtual: VirtualSite; fieldbus: Fieldbus }> {
  const { site, profiles } = loadSite(path.join(DEMO, `${name}.yaml`));
  const startMs = performance.now();
  const clock = {
    chainMs: () => Math.floor(ORIGIN_MS + (performance.now() - startMs) * RATE),
    monotonicMs: () => performance.now(),
  };
  const series = chooseSeries(null, [site], ORIGIN_MS).get(site.id)!;
  const virtual = createVirtualSite({ site, profiles, series, clock, inverterLagMs: 50 });
  running.push(virtual);
  const addresses = await virtual.start();
  const buses = site.buses.map((bus): Bus => {
    const address = addresses.get(bus.id);
    if (bus.kind === 'rtu' || address === undefined || address.kind === 'rtu') return bus;
    return { ...bus, host: address.host, port: address.port };
  });
  const served = { ...site, buses };
  const fieldbus = createFieldbus({ site: served, profiles, clock, leases: memoryLeases(), log: SILENT });
  running.push(fieldbus);
  await fieldbus.start();
  return { site: served, virtual, fieldbus };
}

describe.each(SITES)('%s', (name) => {
  test('every point of every device is read as good', async () => {
    const { site, fieldbus } = await run(name);
    const bad = () =>
      site.devices.flatMap(({ id }) => {
        const readings = [...fieldbus.readings(id)];
        if (readings.length === 0) return [`${id}: nothing read`];
        return readings
          .filter(([, { quality }]) => quality !== 'good')
          .map(([point, { reason }]) => `${id} ${point}: ${reason}`);
      });
    await vi.waitUntil(() => bad().length === 0, WAIT).catch(() => {});
    expect(bad()).toEqual([]);
  });
});

test('a lease drives the battery, the meter sees it, and its release gives it back to itself', async () => {
  const { fieldbus, virtual } = await run('house');
  await vi.waitUntil(() => fieldbus.readings('battery').get('batteryPowerW')?.quality === 'good', WAIT);
  const lease = await fieldbus.lease('battery', 'batterySetpointW', 2000, 10_000);
  expect(lease).toMatchObject({ state: 'active', value: 2000 });
  await vi.waitUntil(() => Math.abs(virtual.state().batteries.get('battery')!.powerW - 2000) < 1, WAIT);
  await vi.waitUntil(() => Math.abs((fieldbus.readings('battery').get('batteryPowerW')?.value ?? 0) - 2000) < 20, WAIT);
  await fieldbus.release('battery', 'batterySetpointW');
  await vi.waitUntil(() => virtual.state().batteries.get('battery')!.setpointW === null, WAIT);
});

test('a lease holds the turbine back', async () => {
  const { fieldbus, virtual } = await run('farm');
  await vi.waitUntil(() => fieldbus.readings('wind').get('generationPowerW')?.quality === 'good', WAIT);
  const limitW = Math.round(virtual.state().generators.get('wind')!.availableW / 3);
  const lease = await fieldbus.lease('wind', 'generationLimitW', limitW, 10_000);
  expect(lease.state).toBe('active');
  await vi.waitUntil(() => Math.abs(virtual.state().generators.get('wind')!.powerW - limitW) < 150, WAIT);
});
