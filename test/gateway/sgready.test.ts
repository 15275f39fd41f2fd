// A heat pump by SG-ready states from the plan to its contacts, on simulated devices: by hand's clock, a quarter of a minute a turn.

import { afterEach, expect, test, vi } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { createFieldbus } from '../../src/fieldbus/fieldbus.ts';
import { createSiteControl } from '../../src/gateway/controlling.ts';
import { controlConfigOf } from '../../src/gateway/equipment.ts';
import { consumptionWh } from '../../src/gateway/forecasting.ts';
import { createLoadNeeds } from '../../src/gateway/loadneeds.ts';
import { createSiteMetering, loadSubject } from '../../src/gateway/metering.ts';
import { createSitePlanning, type ExpectedInterval } from '../../src/gateway/planning.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { loadProfile } from '../../src/site/load.ts';
import { parseSite } from '../../src/site/parse.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { memoryLeases, QUICK } from '../fieldbus/served.ts';
import { GENESIS } from './fixtures.ts';

const MINUTE_MS = 60_000;
const LENGTH_MS = GENESIS.interval.lengthMs;
/** What the house takes, the pump's own running with it. */
const OWN_W = 800;
const NEED_WH = 2_600;

const SITE = (ports: { lan: number; pump: number }) => `version: 1
id: house
name: House
location: { latitude: 48, longitude: 11 }
timezone: Etc/UTC
connection: { phases: 3, ampsPerPhase: 35, importLimitW: 24000, exportLimitW: 10000, defaultLimit: { importW: 24000, exportW: 0 } }
buses:
  lan: { kind: tcp, host: 127.0.0.1, port: ${ports.lan} }
  pump: { kind: tcp, host: 127.0.0.1, port: ${ports.pump} }
devices:
  meter: { profile: eastron/sdm630, bus: lan, unitId: 1, role: grid-meter }
  isg: { profile: stiebel-eltron/isg, bus: pump, unitId: 1, role: load }
loads:
  pump: { device: isg, kind: sg-ready, control: switch1, block: switch2, powersW: [1500, 3000], need: { energyWh: ${NEED_WH}, from: "10:00", until: "13:00" } }
contract: { floorUcPerWh: 5000, ceilingUcPerWh: 40000 }
`;

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

test('its need is met in states 3 and 4, each for ten minutes at least, never blocked; its own running stays consumption', async () => {
  const startMs = Date.parse('2026-11-28T10:00:00Z');
  let nowMs = startMs;
  const clock = { chainMs: () => nowMs, monotonicMs: () => nowMs - startMs };
  const profiles = new Map(['eastron/sdm630', 'stiebel-eltron/isg'].map((name) => [name, loadProfile(name)]));
  const contacts: Record<string, number> = { switch1: 0, switch2: 0 };
  /** SG-ready states and since when. */
  const states: { state: string; sinceMs: number }[] = [{ state: '0:0', sinceMs: startMs }];
  const virtual = createVirtualSite({
    site: parseSite(SITE({ lan: 502, pump: 502 }), 's.yaml'),
    profiles,
    clock,
    series: {
      generation: new Map(),
      consumption: { name: 'own', startMs, stepMs: LENGTH_MS, powerW: new Float64Array(100).fill(OWN_W) },
    },
    onCommand(_device, control, value) {
      contacts[control] = value ?? 0;
      const state = `${contacts.switch2}:${contacts.switch1}`;
      if (states.at(-1)?.state !== state) states.push({ state, sinceMs: nowMs });
    },
  });
  const addresses = await virtual.start();
  ends.push(() => virtual.stop());
  const portOf = (bus: string) => (addresses.get(bus) as { port: number }).port;
  const site = parseSite(SITE({ lan: portOf('lan'), pump: portOf('pump') }), 's.yaml');
  const fieldbus = createFieldbus({ site, profiles, clock, leases: memoryLeases(), log: SILENT, periods: QUICK });
  await fieldbus.start();
  ends.push(() => fieldbus.stop());
  const store = openGatewayStore(':memory:');
  const metering = createSiteMetering({
    ...{ site, profiles, fieldbus, store, clock, intervalMs: LENGTH_MS, chainRate: 1, log: SILENT },
    curtailing: () => new Set(),
  });
  expect(metering.unmeteredLoads).toEqual([]);
  const loadNeeds = createLoadNeeds({ site, store, clock });
  // Dear until 12:00: what is offered for stands at the contract's ceiling, so that the pump waits for 12:00 and hurries then.
  const price = (atMs: number) => (atMs < Date.parse('2026-11-28T12:00:00Z') ? 60_000 : 30_000);
  const planning = createSitePlanning({
    ...{ site, genesis: GENESIS, store, loadNeeds, clock },
    prices: { expected: (atMs) => ({ buyUcPerWh: price(atMs), sellUcPerWh: price(atMs) - 500 }) },
    positionWh: () => null,
    stateOfCharge: () => null,
    overrides: () => [],
  });
  const control = createSiteControl({
    ...{
      site,
      config: controlConfigOf(site, 1, 0),
      genesis: GENESIS,
      fieldbus,
      metering,
      loadNeeds,
      clock,
      log: SILENT,
    },
    loadPowersW: (interval) => planning.loadPowersW(interval),
    positionWh: () => null,
    plan: () => null,
    orders: () => [],
    overrides: () => [],
    operatorReachable: () => true,
    clockSynchronised: () => true,
    offGrid: () => false,
  });
  const expected: ExpectedInterval[] = Array.from({ length: 24 }, () => {
    return { netWh: Array.from({ length: 7 }, () => OWN_W / 4), generationWh: 0 };
  });
  const read = async () => (await fieldbus.refresh('isg', ['switch1', 'switch2'])).get('switch2')?.quality;
  await vi.waitFor(async () => expect(await read()).toBe('good'), { timeout: 20_000 });
  for (const endMs = startMs + 195 * MINUTE_MS; nowMs < endMs; nowMs += MINUTE_MS / 4) {
    if (nowMs % LENGTH_MS === 0) await planning.plan({ bidAt: 1, isCleared: false, expected });
    await fieldbus.refresh('meter', ['gridPowerW']);
    await fieldbus.refresh('isg', ['switch1', 'switch2']);
    await metering.tick();
    control.tick();
    const told = (control.last?.setpoints ?? []).filter(({ device }) => device === 'isg');
    await vi.waitFor(() => expect(told.filter(({ control: name, value }) => contacts[name] !== value)).toEqual([]), {
      interval: 1,
      timeout: 20_000,
    });
  }
  // Met, within what a quarter of a minute at full power is.
  expect(Math.abs((virtual.state().loads.get('pump')?.energyWh ?? 0) - NEED_WH)).toBeLessThan(50);
  const passed = new Set(states.map(({ state }) => state));
  expect(passed).toEqual(new Set(['0:0', '0:1', '1:1']));
  // 3 is passed on the way between 2 and 4, for no time by this clock.
  const stood = states.map(({ sinceMs }, i) => (states[i + 1]?.sinceMs ?? nowMs) - sinceMs).filter((ms) => ms > 0);
  expect(Math.min(...stood)).toBeGreaterThanOrEqual(10 * MINUTE_MS);
  expect(control.refusals.size).toBe(0);
  // From 12:15 on forced: what it added is taken off, its own running is not.
  const forced = Date.parse('2026-11-28T12:15:00Z') / LENGTH_MS;
  expect(metering.energyOf(loadSubject('pump'), 'consumption', forced)?.energyWh).toBeGreaterThan(700);
  const since = new Map([[loadSubject('pump'), 0]]);
  for (let interval = forced - 1; interval < forced + 3; interval++) {
    expect(Math.abs((consumptionWh(site, store, interval, since) ?? 0) - OWN_W / 4)).toBeLessThan(30);
  }
});
