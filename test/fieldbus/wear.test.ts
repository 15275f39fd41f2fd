// EEPROM registers: a budget a day that nothing exceeds, restarts and crashes included, with one write kept for the revert.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import type { Fieldbus } from '../../src/fieldbus/types.ts';
import { DAY_MS, PACE_MS } from '../../src/fieldbus/wear.ts';
import { loadProfile } from '../../src/site/load.ts';
import { leaseFile } from '../../src/store/lease-file.ts';
import { fieldbusOf, memoryLeases, serve, served, siteOn } from './served.ts';
import { EEPROM, INVERTER, type Wearing, wearing } from './wear-device.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-wear-'));
  ends.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A clock that a test moves on. */
function movable(): Clock & { aheadMs: number } {
  const clock = {
    aheadMs: 0,
    chainMs: () => Date.now() + clock.aheadMs,
    monotonicMs: () => performance.now() + clock.aheadMs,
  };
  return clock;
}

async function house(leases = memoryLeases()): Promise<{
  device: Wearing;
  clock: ReturnType<typeof movable>;
  start(): Promise<Fieldbus>;
}> {
  const device = wearing();
  const server = await serve({ 1: device.answer, 2: served(loadProfile('eastron/sdm630')).answer });
  ends.push(() => server.close());
  const clock = movable();
  const site = siteOn(server.port, {
    meter: 'profile: eastron/sdm630, unitId: 2, role: grid-meter',
    inverter: INVERTER,
  });
  return {
    device,
    clock,
    async start() {
      const fieldbus = fieldbusOf(site, [EEPROM, loadProfile('eastron/sdm630')], leases, clock);
      await fieldbus.start();
      ends.push(() => fieldbus.stop());
      await vi.waitFor(() => expect(fieldbus.readings('inverter').get('generationPowerW')?.quality).toBe('good'), {
        timeout: 20_000,
        interval: 10,
      });
      return fieldbus;
    },
  };
}

const limit = (fieldbus: Fieldbus, watts: number) => fieldbus.lease('inverter', 'generationLimitW', watts, 10_000);

test('the loop of every second does not drive it: a new value waits, the old one stays', async () => {
  const { device, clock, start } = await house();
  const fieldbus = await start();
  expect(await limit(fieldbus, 5_000)).toMatchObject({ state: 'active' });
  for (let second = 1; second <= 20; second++) {
    expect(await limit(fieldbus, 5_000 - second)).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching(/less than 300 s ago and keeps what it has/),
    });
  }
  expect(device.written).toEqual([5_000]);
  clock.aheadMs += PACE_MS;
  expect(await limit(fieldbus, 4_000)).toMatchObject({ state: 'active' });
  expect(device.written).toEqual([5_000, 4_000]);
});

test('values and reverts share the budget of a day; one write is kept for the revert', async () => {
  const { device, clock, start } = await house();
  const fieldbus = await start();
  const states: string[] = [];
  for (let watts = 1_000; watts <= 6_000; watts += 1_000) {
    states.push((await limit(fieldbus, watts)).state);
    clock.aheadMs += PACE_MS;
  }
  // Six a day: five values at most, and the revert.
  expect(states).toEqual(['active', 'active', 'active', 'active', 'active', 'failed']);
  expect(device.written).toEqual([1_000, 2_000, 3_000, 4_000, 5_000]);
  await fieldbus.release('inverter', 'generationLimitW');
  expect(device.written.at(-1)).toBe(60_000);
  expect(await limit(fieldbus, 700)).toMatchObject({
    state: 'failed',
    reason: expect.stringMatching(/6, one is kept/),
  });
  clock.aheadMs += DAY_MS;
  expect(await limit(fieldbus, 700)).toMatchObject({ state: 'active' });
  expect(device.written).toHaveLength(7);
});

test('a revert beyond the budget of a day waits for the next one: the register is spared, and the lease stays on disk', async () => {
  const leases = memoryLeases([
    { device: 'inverter', control: 'generationLimitW', value: 3_000, revertTo: 60_000, untilMs: 0 },
  ]);
  const { device, clock, start } = await house(leases);
  device.image.write('holding', 9, [3_000]);
  for (let i = 0; i < 6; i++) leases.countWrite('inverter', 'generationLimitW', clock.chainMs());
  const fieldbus = await start();
  await fieldbus.release('inverter', 'generationLimitW');
  expect(device.written).toEqual([]);
  expect(leases.all()).toHaveLength(1);
  clock.aheadMs += DAY_MS;
  await fieldbus.release('inverter', 'generationLimitW');
  expect(device.written).toEqual([60_000]);
  expect(leases.all()).toEqual([]);
});

test('what the register holds already is not written into it again', async () => {
  const { device, clock, start } = await house();
  const fieldbus = await start();
  await limit(fieldbus, 3_000);
  await fieldbus.release('inverter', 'generationLimitW');
  clock.aheadMs += PACE_MS;
  expect(await limit(fieldbus, 60_000)).toMatchObject({ state: 'active' });
  await fieldbus.release('inverter', 'generationLimitW');
  expect(device.written).toEqual([3_000, 60_000]);
});

test('a clock that was set back forgets no write', async () => {
  const { device, clock, start } = await house();
  const fieldbus = await start();
  await limit(fieldbus, 3_000);
  clock.chainMs = () => Date.now() - 30 * DAY_MS;
  expect(await limit(fieldbus, 2_000)).toMatchObject({ state: 'failed' });
  expect(device.written).toEqual([3_000]);
});

test('killed and started again at any instant, the day has its writes and not one more', async () => {
  const dir = folder();
  const log = join(dir, 'written');
  writeFileSync(log, '');
  const written = (): number[] => readFileSync(log, 'utf8').split('\n').filter(Boolean).map(Number);
  const child = join(import.meta.dirname, 'wear-child.ts');
  const run = (round: number, dies: string) => {
    const { status, signal, stderr } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', child, dir, String(round * (PACE_MS + 1_000)), dies],
      { encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    return signal ?? status;
  };
  const deaths = ['counted', 'written', 'never', 'written', 'written', 'never'];
  for (const [round, dies] of deaths.entries()) {
    run(round, dies);
    expect(written().length).toBeLessThanOrEqual(6);
  }
  // Far more was asked for than the day gives; the last word is the revert's.
  expect(written().length).toBeGreaterThanOrEqual(3);
  expect(written().at(-1)).toBe(60_000);
});

test('a file of leases keeps the counts as well', () => {
  const file = join(folder(), 'leases.json');
  const nowMs = Date.now();
  const first = leaseFile(file);
  first.save({ device: 'a', control: 'c', value: 1, revertTo: 0, untilMs: nowMs });
  first.countWrite('a', 'c', nowMs - 2 * DAY_MS);
  first.countWrite('a', 'c', nowMs);
  first.remove('a', 'c');
  const again = leaseFile(file);
  expect(again.all()).toEqual([]);
  expect(again.writesSince('a', 'c', nowMs - DAY_MS)).toEqual([nowMs]);
  expect(again.writesSince('b', 'c', 0)).toEqual([]);
  writeFileSync(file, '{"leases":[{"device":1}],"writes":[]}');
  expect(() => leaseFile(file)).toThrow(/is not a list of leases/);
});

test('a file of leases is gone with the last of them', () => {
  const file = join(folder(), 'leases.json');
  const leases = leaseFile(file);
  leases.save({ device: 'a', control: 'c', value: 1, revertTo: 0, untilMs: 0 });
  expect(leaseFile(file).all()).toHaveLength(1);
  leases.remove('a', 'c');
  expect([leaseFile(file).all(), existsSync(file)]).toEqual([[], false]);
});
