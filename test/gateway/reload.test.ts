import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WattpactError } from '../../src/base/errors.ts';
import { SILENT } from '../../src/base/log.ts';
import { makeConsortium, parseConsortium } from '../../src/demo/consortium.ts';
import type { GatewayEvent } from '../../src/gateway/events.ts';
import { type Gateway, startGateway } from '../../src/gateway/gateway.ts';
import { startFollowing } from '../../src/gateway/reload.ts';
import { filesOfSite, loadProfile, loadSite } from '../../src/site/load.ts';
import type { LoadedSite } from '../../src/site/types.ts';
import { clock, type Served, serve, served } from '../fieldbus/served.ts';

const LOOK_MS = 25;
const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 10 });
/** Several looks, in which nothing may happen. */
const looks = (): Promise<void> => new Promise((done) => setTimeout(done, 6 * LOOK_MS));

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-reload-'));
  ends.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const SITE = (ports: { meter: number; battery: number }, devices: string, rest = '') => `version: 1
id: house
name: House
location: { latitude: 48, longitude: 11 }
timezone: Europe/Berlin
connection: { phases: 3, ampsPerPhase: 35, importLimitW: 24000, exportLimitW: 10000, defaultLimit: { importW: 24000, exportW: 0 } }
buses:
  one: { kind: tcp, host: 127.0.0.1, port: ${ports.meter} }
  two: { kind: tcp, host: 127.0.0.1, port: ${ports.battery} }
devices:
  meter: { profile: eastron/sdm630, bus: one, unitId: 1, role: grid-meter }
${devices}
${rest}
contract: { floorUcPerWh: 5000, ceilingUcPerWh: 40000 }
`;

describe('following the files', () => {
  async function following(start: (loaded: LoadedSite) => Promise<Gateway> = async () => idle()) {
    const dir = folder();
    const file = join(dir, 'site.yaml');
    writeFileSync(file, SITE({ meter: 1, battery: 2 }, ''));
    const events: GatewayEvent[] = [];
    const taken: string[] = [];
    let lost: unknown = null;
    const gateway = await startFollowing({
      loaded: loadSite(file),
      load: () => loadSite(file),
      filesOf: (loaded) => filesOfSite(loaded),
      start(loaded) {
        taken.push(loaded.site.name);
        return start(loaded);
      },
      clock,
      log: SILENT,
      emit: (event) => events.push(event),
      onLost: (error) => {
        lost = error;
      },
      lookMs: LOOK_MS,
    });
    ends.push(() => gateway.stop());
    const text = readFileSync(file, 'utf8');
    const troubles = () => events.flatMap((event) => (event.type === 'trouble' ? [event.what] : []));
    return { dir, file, text, gateway, taken, troubles, lost: () => lost };
  }

  function idle(): Gateway {
    return { lastTickMs: () => 0, demandUrl: null, stop: async () => undefined };
  }

  test('a file that is written or replaced is taken; one that only looks different is not', async () => {
    const { dir, file, text, taken } = await following();
    writeFileSync(file, text.replace('name: House', 'name: Written'));
    await until(() => expect(taken).toEqual(['House', 'Written']));
    writeFileSync(join(dir, 'site.yaml~'), text.replace('name: House', 'name: Replaced'));
    renameSync(join(dir, 'site.yaml~'), file);
    await until(() => expect(taken.at(-1)).toBe('Replaced'));
    writeFileSync(file, `# a remark\n${text.replace('name: House', 'name: Replaced')}`);
    await looks();
    expect(taken).toEqual(['House', 'Written', 'Replaced']);
  });

  test('a profile of its own is taken, new and changed', async () => {
    const { dir, taken } = await following();
    const shipped = readFileSync(join(import.meta.dirname, '../../profiles/eastron/sdm630.yaml'), 'utf8');
    mkdirSync(join(dir, 'profiles/eastron'), { recursive: true });
    const own = join(dir, 'profiles/eastron/sdm630.yaml');
    writeFileSync(own, shipped.replace('address: 52', 'address: 54'));
    await until(() => expect(taken).toHaveLength(2));
    writeFileSync(own, shipped.replace('address: 52', 'address: 56'));
    await until(() => expect(taken).toHaveLength(3));
  });

  test('what is wrong is refused with file, line and column, once; what is right again is taken', async () => {
    const { file, text, taken, troubles } = await following();
    writeFileSync(file, text.replace('unitId: 1', 'unitId: many'));
    await until(() => expect(troubles()).toHaveLength(1));
    expect(troubles()[0]).toMatch(/site\.yaml:11:\d+ devices\.meter\.unitId: /);
    await looks();
    expect(troubles()).toHaveLength(1);
    writeFileSync(file, text.replace('profile: eastron/sdm630', 'profile: eastron/sdm6300'));
    await until(() => expect(troubles().at(-1)).toMatch(/there is no profile eastron\/sdm6300; did you mean/));
    rmSync(file);
    await until(() => expect(troubles().at(-1)).toMatch(/there is no such file/));
    expect(taken).toEqual(['House']);
    writeFileSync(file, text.replace('name: House', 'name: Better'));
    await until(() => expect(taken).toEqual(['House', 'Better']));
  });

  test('a file that is still being written is not taken', async () => {
    const { file, text, taken, troubles } = await following();
    const whole = text.replace('name: House', 'name: Whole');
    // Every look sees it longer than before.
    for (let length = 20; length < whole.length; length += 40) {
      writeFileSync(file, whole.slice(0, length));
      await new Promise((done) => setTimeout(done, LOOK_MS / 3));
    }
    writeFileSync(file, whole);
    await until(() => expect(taken).toEqual(['House', 'Whole']));
    expect(troubles()).toEqual([]);
  });

  test('another site is no change of this one', async () => {
    const { file, text, taken, troubles } = await following();
    writeFileSync(file, text.replace('id: house', 'id: another'));
    await until(() => expect(troubles().at(-1)).toMatch(/site\.yaml: id cannot change while the gateway runs/));
    expect(taken).toEqual(['House']);
  });

  test('what cannot be started is refused, and the old description goes on', async () => {
    const { file, text, taken, troubles, lost } = await following(async ({ site }) => {
      if (site.name === 'Port taken') throw new WattpactError('fieldbus.share', 'cannot listen on 127.0.0.1:502');
      return idle();
    });
    writeFileSync(file, text.replace('name: House', 'name: Port taken'));
    await until(() => expect(taken).toEqual(['House', 'Port taken', 'House']));
    expect(troubles().at(-1)).toMatch(/cannot listen on/);
    expect(lost()).toBe(null);
  });

  test('without any gateway left it says so', async () => {
    let starts = 0;
    const { file, text, lost } = await following(async () => {
      starts += 1;
      if (starts > 1) throw new Error('no more');
      return idle();
    });
    writeFileSync(file, text.replace('name: House', 'name: Next'));
    await until(() => expect(String(lost())).toMatch(/no more/));
  });
});

describe('a gateway with devices', () => {
  const HYBRID = loadProfile('solaredge/storedge');
  const SDM = loadProfile('eastron/sdm630');
  const BATTERY = '  battery: { profile: solaredge/storedge, bus: two, unitId: 1, role: battery, ratedW: 5000 }';
  const STORAGE =
    'storage: { battery: { device: battery, capacityWh: 10000, chargeLimitW: 3000, dischargeLimitW: 4000 } }';

  function meter(powerW: number): Served & ReturnType<typeof served> {
    const device = served(SDM);
    device.image.set(new Map([['gridPowerW', powerW]]));
    return device;
  }

  test('moves to what the files say: what is gone is given back and left alone, what is new is read, nothing twice', async () => {
    const dir = folder();
    const [old, moved, battery] = [meter(2_500), meter(1_111), served(HYBRID)];
    battery.image.set(new Map([['stateOfChargePercent', 60]]));
    const first = await serve({ 1: old.answer, 2: moved.answer });
    const second = await serve({ 1: battery.answer });
    ends.push(
      () => first.close(),
      () => second.close(),
    );
    const ports = { meter: first.port, battery: second.port };
    const file = join(dir, 'site.yaml');
    const consortiumFile = join(dir, 'consortium.yaml');
    writeFileSync(file, SITE(ports, BATTERY, STORAGE));
    const text = `version: 1
name: reload
currency: { code: EUR, unit: cent }
interval: { minutes: 15 }
settlement: { shortfallPenaltyUcPerWh: 2000, surplusPenaltyUcPerWh: 1000 }
validators: [validator-1]
operators: [operator]
utilities: [utility]
feeders: [{ id: street, operator: operator, utility: utility, location: { latitude: 48, longitude: 11 }, buses: [{ id: root, parent: null }] }]
sites: [{ file: site.yaml, feeder: street, bus: root }]
`;
    const nowMs = Date.now();
    const consortium = makeConsortium({
      consortium: parseConsortium(text, consortiumFile),
      file: consortiumFile,
      dir: join(dir, 'consortium'),
      clock: { originMs: nowMs, wallOriginMs: nowMs, rate: 1 },
    });
    const [site] = consortium.sites;
    if (site === undefined) throw new Error('no site');
    const { genesis } = consortium;
    const key = consortium.keys.get(site.gateway);
    if (key === undefined) throw new Error('no key');
    const events: GatewayEvent[] = [];
    const gateway = await startFollowing({
      loaded: loadSite(file),
      load: () => loadSite(file),
      filesOf: (loaded) => filesOfSite(loaded),
      start: (loaded) =>
        startGateway({
          loaded,
          genesis,
          gateway: site.gateway,
          key,
          dir: site.dataDir,
          brokers: ['mqtt://127.0.0.1:1?broker=validator-1'],
          clockTrust: 'assumed',
          checkpoints: [],
          demandHttp: null,
          demandMqtt: null,
          clock,
          random: () => 0.5,
          randomBytes: (length) => new Uint8Array(length),
          log: SILENT,
          emit: (event) => events.push(event),
        }),
      clock,
      log: SILENT,
      emit: (event) => events.push(event),
      onLost: (error) => {
        throw error;
      },
      lookMs: LOOK_MS,
    });
    ends.push(() => gateway.stop());
    const gridW = () => events.flatMap((event) => (event.type === 'powers' ? [event.powers.gridPowerW] : [])).at(-1);
    await until(() => {
      expect(gridW()).toBe(2_500);
      expect(battery.image.control('batterySetpointW')).toBeGreaterThan(0);
    });

    // Refused: nothing changes, the battery is still driven.
    writeFileSync(file, SITE(ports, BATTERY.replace('bus: two', 'bus: three'), STORAGE));
    await until(() => expect(events.some(({ type }) => type === 'trouble')).toBe(true));
    expect(battery.image.control('batterySetpointW')).toBeGreaterThan(0);

    // The battery goes, the meter has another address.
    writeFileSync(file, SITE(ports, '').replace('unitId: 1, role: grid-meter', 'unitId: 2, role: grid-meter'));
    await until(() => expect(gridW()).toBe(1_111));
    expect(battery.image.control('batterySetpointW')).toBe(null);
    const [oldSeen, batterySeen] = [old.seen.length, battery.seen.length];
    const before = moved.seen.length;
    const sinceMs = performance.now();
    await until(() => expect(moved.seen.length).toBeGreaterThan(before + 3));
    expect(old.seen.length).toBe(oldSeen);
    expect(battery.seen.length).toBe(batterySeen);
    // One owner: power once a second, counters and the rest every ten.
    const perSecond = (moved.seen.length - before) / ((performance.now() - sinceMs) / 1000);
    expect(perSecond).toBeLessThan(6);
  });
});
