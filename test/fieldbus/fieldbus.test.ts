import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { FieldbusError } from '../../src/fieldbus/errors.ts';
import { compareVersions } from '../../src/fieldbus/firmware.ts';
import { findModels, MODELS_MAX } from '../../src/fieldbus/sunspec.ts';
import type { Fieldbus, Reading } from '../../src/fieldbus/types.ts';
import { loadProfile } from '../../src/site/load.ts';
import { parseProfile } from '../../src/site/parse.ts';
import { clock, fieldbusOf, memoryLeases, QUICK, serve, served, siteOn } from './served.ts';

const SDM = loadProfile('eastron/sdm630');
const PV = loadProfile('sunspec/inverter-three-phase');
const HYBRID = loadProfile('solaredge/storedge');
const RELAY = loadProfile('waveshare/relay-8');
const METER = 'profile: eastron/sdm630, unitId: 1, role: grid-meter';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function started(fieldbus: Fieldbus): Promise<Fieldbus> {
  await fieldbus.start();
  ends.push(() => fieldbus.stop());
  return fieldbus;
}

function reading(fieldbus: Fieldbus, device: string, measurand: string): Reading {
  const found = fieldbus.readings(device).get(measurand);
  if (found === undefined) throw new Error(`${device} has no ${measurand}`);
  return found;
}

/** Whether a PDU in hex reads this register. */
const asksFor =
  (register: number) =>
  (pdu: string): boolean => {
    const [address, count] = [Number.parseInt(pdu.slice(2, 6), 16), Number.parseInt(pdu.slice(6, 10), 16)];
    return address <= register && register < address + count;
  };

const until = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 20_000, interval: 10 });

describe('reading', () => {
  test('values with time, unit and sign; RTU frames over TCP too', async () => {
    for (const [framing, kind] of [
      ['tcp', 'tcp'],
      ['rtu', 'rtu-over-tcp'],
    ] as const) {
      const meter = served(SDM);
      meter.image.set(
        new Map([
          ['gridPowerW', -1500],
          ['importEnergyWh', 12_345_000],
          ['voltageL1V', 231.5],
        ]),
      );
      const server = await serve({ 1: meter.answer }, framing);
      ends.push(() => server.close());
      const fieldbus = await started(fieldbusOf(siteOn(server.port, { meter: METER }, '', kind), [SDM]));
      await until(() =>
        expect(reading(fieldbus, 'meter', 'gridPowerW')).toMatchObject({ value: -1500, quality: 'good', reason: null }),
      );
      await until(() => expect(reading(fieldbus, 'meter', 'importEnergyWh').value).toBe(12_345_000));
      expect(reading(fieldbus, 'meter', 'voltageL1V').value).toBe(231.5);
      expect(reading(fieldbus, 'meter', 'gridPowerW').monotonicMs).toBeGreaterThan(0);
    }
  });

  test('never read is missing, silent becomes stale with the reason, and comes back', async () => {
    const meter = served(SDM);
    const quick = { ...SDM, line: { ...SDM.line, timeoutMs: 30 } };
    const server = await serve({ 1: meter.answer });
    ends.push(() => server.close());
    const fieldbus = fieldbusOf(siteOn(server.port, { meter: METER }), [quick]);
    expect(reading(fieldbus, 'meter', 'gridPowerW')).toMatchObject({ value: null, quality: 'missing' });
    meter.image.set(new Map([['gridPowerW', 700]]));
    await started(fieldbus);
    await until(() => expect(reading(fieldbus, 'meter', 'gridPowerW').quality).toBe('good'));
    meter.intercept = () => null;
    await until(() =>
      expect(reading(fieldbus, 'meter', 'gridPowerW')).toMatchObject({
        value: 700,
        quality: 'stale',
        reason: expect.stringMatching(/no answer .* within [0-9.]+ ms/),
      }),
    );
    meter.intercept = null;
    await until(() => expect(reading(fieldbus, 'meter', 'gridPowerW').quality).toBe('good'));
  });

  test('a lost bus is opened again', async () => {
    const meter = served(SDM);
    const server = await serve({ 1: meter.answer });
    ends.push(() => server.close());
    const fieldbus = await started(fieldbusOf(siteOn(server.port, { meter: METER }), [SDM]));
    await until(() => expect(reading(fieldbus, 'meter', 'gridPowerW').quality).toBe('good'));
    server.setLost(true);
    await until(() => expect(reading(fieldbus, 'meter', 'gridPowerW').quality).toBe('stale'));
    server.setLost(false);
    await until(() => expect(reading(fieldbus, 'meter', 'gridPowerW').quality).toBe('good'));
  });

  test('a silent device costs the others little', async () => {
    const meter = served(SDM);
    const server = await serve({ 1: meter.answer });
    ends.push(() => server.close());
    const dead = { ...RELAY, line: { ...RELAY.line, timeoutMs: 100 } };
    const site = siteOn(
      server.port,
      { meter: METER, dead: 'profile: waveshare/relay-8, unitId: 9, role: relay' },
      '',
      'tcp',
    );
    meter.intercept = null;
    const silent = served(RELAY);
    silent.intercept = () => null;
    await server.close();
    ends.pop();
    const both = await serve({ 1: meter.answer, 9: silent.answer });
    ends.push(() => both.close());
    const fieldbus = await started(
      fieldbusOf(
        { ...site, buses: site.buses.map((bus) => (bus.kind === 'rtu' ? bus : { ...bus, port: both.port })) },
        [SDM, dead],
      ),
    );
    await until(() => expect(meter.seen.length).toBeGreaterThan(60));
    expect(silent.seen.length).toBeLessThan(8);
    expect(reading(fieldbus, 'dead', 'switch1').quality).toBe('missing');
  });

  test('a device that dies holds up the others for no longer than a few times what it ever took', async () => {
    const [meter, other] = [served(SDM), served(SDM)];
    const server = await serve({ 1: meter.answer, 2: other.answer });
    ends.push(() => server.close());
    // Both wait a second for an answer by their profile.
    const site = siteOn(server.port, { meter: METER, other: 'profile: eastron/sdm630, unitId: 2, role: meter' });
    const fieldbus = await started(fieldbusOf(site, [SDM]));
    await until(() => expect(reading(fieldbus, 'other', 'gridPowerW').quality).toBe('good'));
    /** From a question that the dead one was asked to the meter's next, ms. */
    const heldUpMs: number[] = [];
    let askedMs: number | null = null;
    meter.intercept = () => {
      if (askedMs !== null) heldUpMs.push(performance.now() - askedMs);
      askedMs = null;
      return undefined;
    };
    const asked = other.seen.length;
    other.intercept = () => {
      askedMs ??= performance.now();
      return null;
    };
    await until(() => expect(reading(fieldbus, 'other', 'gridPowerW').quality).toBe('stale'));
    await until(() => expect(other.seen.length).toBeGreaterThan(asked + 2));
    await until(() => expect(heldUpMs.length).toBeGreaterThan(2));
    // The shortest: a busy machine only ever adds.
    expect(Math.min(...heldUpMs)).toBeLessThan(700);
    other.intercept = null;
    await until(() => expect(reading(fieldbus, 'other', 'gridPowerW').quality).toBe('good'));
  });

  test('a block that is refused is split, what is not there is left out, and the rest is read', async () => {
    const meter = served(SDM);
    meter.image.set(
      new Map([
        ['frequencyHz', 50],
        ['gridPowerW', 42],
        ['voltageL1V', 230],
      ]),
    );
    // This one has no register 70 (frequency) and takes at most 20 registers.
    meter.intercept = (pdu) => {
      const view = new DataView(pdu.buffer, pdu.byteOffset);
      const [address, count] = [view.getUint16(1), view.getUint16(3)];
      return (address <= 71 && address + count > 70) || count > 20 ? Uint8Array.of(0x84, 2) : undefined;
    };
    const server = await serve({ 1: meter.answer });
    ends.push(() => server.close());
    const fieldbus = await started(fieldbusOf(siteOn(server.port, { meter: METER }), [SDM]));
    await until(() => expect(reading(fieldbus, 'meter', 'gridPowerW').value).toBe(42));
    await until(() => expect(reading(fieldbus, 'meter', 'voltageL1V').value).toBe(230));
    expect(reading(fieldbus, 'meter', 'frequencyHz')).toMatchObject({
      value: null,
      quality: 'invalid',
      reason: expect.stringMatching(/exception 2/),
    });
    const refusals = meter.seen.length;
    meter.seen.length = 0;
    await until(() => expect(meter.seen.length).toBeGreaterThan(refusals));
    expect(meter.seen.filter((pdu) => Number.parseInt(pdu.slice(6), 16) > 20)).toEqual([]);
    // Known not to be there, it is not asked for again.
    expect(meter.seen.filter(asksFor(70))).toEqual([]);
  });

  test('each value is read in its own period, and no more often', async () => {
    const meter = served(SDM);
    const server = await serve({ 1: meter.answer });
    ends.push(() => server.close());
    await started(fieldbusOf(siteOn(server.port, { meter: METER }), [SDM]));
    await until(() => expect(meter.seen.some(asksFor(52))).toBe(true));
    meter.seen.length = 0;
    const startMs = performance.now();
    await until(() => expect(meter.seen.filter(asksFor(52)).length).toBeGreaterThanOrEqual(20));
    // Twenty periods; a beat that was missed may be made up, never one after the other.
    expect(performance.now() - startMs).toBeGreaterThan(10 * QUICK.fast);
  });

  test('a counter that falls is believed the second time, and one 0 in between is not', async () => {
    const meter = served(SDM);
    meter.image.set(new Map([['importEnergyWh', 5000]]));
    const server = await serve({ 1: meter.answer });
    ends.push(() => server.close());
    const fieldbus = fieldbusOf(siteOn(server.port, { meter: METER }), [
      {
        ...SDM,
        points: new Map(
          [...SDM.points]
            .filter(([name]) => name === 'importEnergyWh')
            .map(([name, point]) => [name, { ...point, poll: 'once' as const }]),
        ),
      },
    ]);
    await started(fieldbus);
    await until(() => expect(reading(fieldbus, 'meter', 'importEnergyWh').value).toBe(5000));
    const next = async (value: number): Promise<Reading> => {
      meter.image.set(new Map([['importEnergyWh', value]]));
      return (await fieldbus.refresh('meter', [])).get('importEnergyWh') as Reading;
    };
    expect(await next(0)).toMatchObject({ value: 5000 });
    expect(await next(5125)).toMatchObject({ value: 5125, quality: 'good' });
    await next(0);
    expect(await next(125)).toMatchObject({ value: 125, quality: 'good' });
  });

  test('points of another firmware are left alone', async () => {
    const profile = parseProfile(
      `format: 1
maker: m
model: m
kind: meter
verified: documented
sources: [none]
identify: [{ what: firmware, address: 20, type: string, length: 4 }]
points:
  gridPowerW: { address: 0, type: s16, positive: import, firmware: { from: "1.10" } }
  frequencyHz: { address: 1, type: u16, firmware: { to: "1.9" } }
  voltageL1V: { address: 2, type: u16 }
served: [{ address: 20, type: string, length: 4, value: V1.12 }]
`,
      'm/m.yaml',
    );
    const meter = served(profile);
    meter.image.set(
      new Map([
        ['gridPowerW', 55],
        ['frequencyHz', 50],
        ['voltageL1V', 230],
      ]),
    );
    const server = await serve({ 1: meter.answer });
    ends.push(() => server.close());
    const site = siteOn(server.port, { meter: 'profile: m/m, unitId: 1, role: grid-meter' });
    const fieldbus = await started(fieldbusOf(site, [profile]));
    await until(() => expect(reading(fieldbus, 'meter', 'voltageL1V').value).toBe(230));
    expect(reading(fieldbus, 'meter', 'gridPowerW').value).toBe(55);
    expect(reading(fieldbus, 'meter', 'frequencyHz').quality).toBe('missing');
  });

  test('versions are compared by their numbers', () => {
    expect(compareVersions('V1.10', '1.9')).toBeGreaterThan(0);
    expect(compareVersions('2.0', '2')).toBe(0);
    expect(compareVersions('1.2.3', '1.10')).toBeLessThan(0);
  });

  test('a single-phase inverter on L2 shows its phase as L2; its night use is no generation', async () => {
    const profile = loadProfile('sunspec/inverter-single-phase');
    const pv = served(profile);
    pv.image.set(
      new Map([
        ['voltageL1V', 229],
        ['generationPowerW', -7],
      ]),
    );
    const server = await serve({ 1: pv.answer });
    ends.push(() => server.close());
    const site = siteOn(server.port, {
      meter: METER.replace('unitId: 1', 'unitId: 3'),
      pv: `profile: ${profile.name}, unitId: 1, role: pv, phases: [L2]`,
    });
    const fieldbus = await started(fieldbusOf(site, [profile, SDM]));
    await until(() => expect(reading(fieldbus, 'pv', 'voltageL2V').value).toBe(229));
    expect(fieldbus.readings('pv').has('voltageL1V')).toBe(false);
    expect(reading(fieldbus, 'pv', 'generationPowerW').value).toBe(0);
  });
});

describe('SunSpec', () => {
  const words = (map: Record<number, number>) => async (address: number, count: number) => {
    if (map[address] === undefined) throw new FieldbusError('exception', 'no', { exception: 2 });
    return Array.from({ length: count }, (_, i) => map[address + i] ?? 0);
  };

  test('finds the base, walks the chain, ends at its end', async () => {
    const map = { 50000: 0x5375, 50001: 0x6e53, 50002: 1, 50003: 66, 50070: 103, 50071: 50, 50122: 0xffff, 50123: 0 };
    expect(await findModels(words(map), [0, 40000, 50000])).toEqual([
      { id: 1, address: 50002, length: 66 },
      { id: 103, address: 50070, length: 50 },
    ]);
  });

  test('an endless chain ends, a device without marker is none', async () => {
    const endless = async (address: number, count: number) =>
      address === 0 ? [0x5375, 0x6e53] : count === 2 ? [11, 0] : [];
    expect(await findModels(endless, [0])).toHaveLength(MODELS_MAX);
    await expect(findModels(async () => [0, 0], [0, 40000])).rejects.toThrow(/no SunSpec marker at 0, 40000/);
  });
});

describe('leases', () => {
  async function house(initial: Parameters<typeof memoryLeases>[0] = [], at: Clock = clock) {
    const [battery, pv, relay] = [served(HYBRID), served(PV, 8000), served(RELAY, null)];
    const server = await serve({ 1: pv.answer, 2: battery.answer, 3: relay.answer, 4: served(SDM).answer });
    ends.push(() => server.close());
    const site = siteOn(
      server.port,
      {
        meter: METER.replace('unitId: 1', 'unitId: 4'),
        pv: `profile: ${PV.name}, unitId: 1, role: pv, ratedW: 8000, curtailable: true`,
        battery: `profile: ${HYBRID.name}, unitId: 2, role: battery, ratedW: 5000`,
        relay: `profile: ${RELAY.name}, unitId: 3, role: relay`,
      },
      'storage: { battery: { device: battery, capacityWh: 10000, chargeLimitW: 3000, dischargeLimitW: 4000 } }',
    );
    const store = memoryLeases(initial);
    const fieldbus = await started(fieldbusOf(site, [SDM, PV, HYBRID, RELAY], store, at));
    await until(() => expect(reading(fieldbus, 'battery', 'batteryPowerW').quality).toBe('good'));
    await until(() => expect(reading(fieldbus, 'pv', 'ratedPowerW').value).toBe(8000));
    return { fieldbus, store, battery, pv, relay };
  }

  test('is persisted before it is written, read back, and reverted on release', async () => {
    const { fieldbus, store, battery } = await house();
    const before = battery.seen.filter((pdu) => pdu.startsWith('10')).length;
    expect(before).toBe(0);
    expect(await fieldbus.lease('battery', 'batterySetpointW', -2000, 30_000)).toMatchObject({
      state: 'active',
      value: -2000,
      revertTo: 0,
    });
    expect(store.all()).toMatchObject([{ device: 'battery', control: 'batterySetpointW', revertTo: 0 }]);
    expect(battery.image.control('batterySetpointW')).toBe(-2000);
    expect(battery.image.controlTimeoutMs('batterySetpointW')).toBe(30_000);
    await fieldbus.lease('battery', 'batterySetpointW', 1500, 30_000);
    expect(battery.image.control('batterySetpointW')).toBe(1500);
    await fieldbus.release('battery', 'batterySetpointW');
    expect(battery.image.control('batterySetpointW')).toBe(null);
    expect(store.all()).toEqual([]);
  });

  test('nothing leaves when the disk does not take it', async () => {
    const { fieldbus, store, battery } = await house();
    store.save = () => {
      throw new Error('disk full');
    };
    const lease = await fieldbus.lease('battery', 'batterySetpointW', 500, 30_000);
    expect(lease).toMatchObject({ state: 'failed', reason: 'disk full' });
    expect(battery.seen.filter((pdu) => pdu.startsWith('10') || pdu.startsWith('06'))).toEqual([]);
  });

  test('ends by itself', async () => {
    const { fieldbus, relay, store } = await house();
    await fieldbus.lease('relay', 'switch3', 1, 100);
    expect(relay.image.control('switch3')).toBe(1);
    await until(() => expect(relay.image.control('switch3')).toBe(0));
    await until(() => expect(store.all()).toEqual([]));
  });

  test('one that is renewed stands for its new time, not for the old one', async () => {
    const { fieldbus, relay } = await house();
    await fieldbus.lease('relay', 'switch1', 1, 100);
    await fieldbus.lease('relay', 'switch1', 1, 60_000);
    // One that was made later ends later than the old time would have.
    await fieldbus.lease('relay', 'switch3', 1, 150);
    await until(() => expect(relay.image.control('switch3')).toBe(0));
    expect(relay.image.control('switch1')).toBe(1);
  });

  test('what a crash left behind is reverted at the next start', async () => {
    const { battery, pv, store } = await house([
      { device: 'battery', control: 'batterySetpointW', value: 3000, revertTo: 0, untilMs: 0 },
      { device: 'pv', control: 'generationLimitW', value: 100, revertTo: 8000, untilMs: 0 },
      { device: 'gone', control: 'switch1', value: 1, revertTo: 0, untilMs: 0 },
    ]);
    await until(() => expect(store.all()).toEqual([]));
    expect(battery.image.control('batterySetpointW')).toBe(null);
    expect(pv.image.control('generationLimitW')).toBe(null);
  });

  test('it is reverted before a new value is written, also when that is wanted before the line is there', async () => {
    const pv = served(PV, 8000);
    const server = await serve({ 1: pv.answer, 4: served(SDM).answer });
    ends.push(() => server.close());
    const devices = {
      meter: METER.replace('unitId: 1', 'unitId: 4'),
      pv: `profile: ${PV.name}, unitId: 1, role: pv, ratedW: 8000, curtailable: true`,
    };
    const left = { device: 'pv', control: 'generationLimitW', value: 100, revertTo: 8000, untilMs: 0 };
    const fieldbus = await started(fieldbusOf(siteOn(server.port, devices), [SDM, PV], memoryLeases([left])));
    // As the loop of every second asks: anew each time, which must not put off the revert.
    await until(async () =>
      expect(await fieldbus.lease('pv', 'generationLimitW', 4000, 30_000)).toMatchObject({ state: 'active' }),
    );
    const [first] = pv.seen.filter((pdu) => pdu.startsWith('10') || pdu.startsWith('06'));
    // WMaxLim_Ena to 0 comes before WMaxLimPct.
    expect(first).toMatch(/0000$/);
    expect(pv.image.control('generationLimitW')).toBe(4000);
  });

  test('a percentage of the nameplate, by its scale register', async () => {
    const { fieldbus, pv } = await house();
    await fieldbus.lease('pv', 'generationLimitW', 2000, 30_000);
    expect(pv.image.control('generationLimitW')).toBe(2000);
    // WMaxLimPct is 25 % at two decimals, the limit is enabled, and the revert time is 30 s.
    const model123 = 40002 + 68 + 52 + 28;
    expect(pv.image.read('holding', model123 + 5, 5)).toEqual([2500, 0, 30, 0, 1]);
  });

  test('limits of device and site hold; what does not exist is said', async () => {
    const { fieldbus, battery } = await house();
    for (const [device, control, value, message] of [
      ['battery', 'batterySetpointW', -3500, /outside -3000 to 4000/],
      ['battery', 'batterySetpointW', 4500, /outside/],
      ['battery', 'batterySetpointW', Number.NaN, /outside/],
      ['pv', 'generationLimitW', -10, /outside 0 to 8000/],
      ['relay', 'switch9', 1, /has no control switch9/],
      ['roof', 'generationLimitW', 1, /no device roof/],
    ] as const) {
      await expect(fieldbus.lease(device, control, value, 1000)).rejects.toThrow(message);
    }
    expect(battery.image.control('batterySetpointW')).toBe(null);
  });

  test('an unchanged value is not written again, a changed one writes only what changed', async () => {
    const { fieldbus, battery } = await house();
    const writes = (): number => battery.seen.filter((pdu) => pdu.startsWith('10')).length;
    await fieldbus.lease('battery', 'batterySetpointW', 1000, 60_000);
    const first = writes();
    for (let i = 0; i < 5; i++) await fieldbus.lease('battery', 'batterySetpointW', 1000, 60_000);
    expect(writes()).toBe(first);
    await fieldbus.lease('battery', 'batterySetpointW', 1100, 60_000);
    expect(writes()).toBeLessThan(2 * first);
  });

  test('another controller is found before a new value is written over its own', async () => {
    const { fieldbus, battery } = await house();
    expect(await fieldbus.lease('battery', 'batterySetpointW', 1000, 60_000)).toMatchObject({ state: 'active' });
    // 500 W of discharge, as a big-endian float with its low word first (0xE010).
    battery.image.write('holding', 0xe010, [0x0000, 0x43fa]);
    const writes = (): number => battery.seen.filter((pdu) => pdu.startsWith('10')).length;
    const before = writes();
    expect(await fieldbus.lease('battery', 'batterySetpointW', 1100, 60_000)).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching(/another controller changed batterySetpointW/),
    });
    expect(writes()).toBe(before);
    expect(battery.image.control('batterySetpointW')).toBe(500);
  });

  test('a device that was not fed and went back by itself is no other controller', async () => {
    let aheadMs = 0;
    const { fieldbus, battery } = await house([], { ...clock, monotonicMs: () => clock.monotonicMs() + aheadMs });
    expect(await fieldbus.lease('battery', 'batterySetpointW', 1000, 60_000)).toMatchObject({ state: 'active' });
    // Longer than any watchdog of this test nobody fed it: it stands at 500 W.
    battery.image.write('holding', 0xe010, [0x0000, 0x43fa]);
    aheadMs = 3_600_000;
    expect(await fieldbus.lease('battery', 'batterySetpointW', 1100, 60_000)).toMatchObject({ state: 'active' });
    expect(battery.image.control('batterySetpointW')).toBe(1100);
  });

  test('a device that shows something else has not taken it', async () => {
    const { fieldbus, relay } = await house();
    relay.intercept = (pdu) => (pdu[0] === 1 ? Uint8Array.of(1, 1, 0) : undefined);
    expect(await fieldbus.lease('relay', 'switch1', 1, 1000)).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching(/was written 1 and reads 0/),
    });
  });

  test('stop gives every device back', async () => {
    const { fieldbus, battery, relay } = await house();
    await fieldbus.lease('battery', 'batterySetpointW', 1000, 60_000);
    await fieldbus.lease('relay', 'switch1', 1, 60_000);
    await fieldbus.stop();
    expect(battery.image.control('batterySetpointW')).toBe(null);
    expect(relay.image.control('switch1')).toBe(0);
  });

  const LIMIT = (storage: string) => `format: 1
maker: m
model: m
kind: hybrid
verified: documented
sources: [none]
points: { batteryPowerW: { address: 0, type: s16, positive: discharging }, stateOfChargePercent: { address: 1, type: u16 } }
controls:
  generationLimitW: { limits: { min: 0, max: 60000 }, write: [{ address: 9, type: u16, carries: value }], revert: 60000, ${storage}, failsafe: none }
  batterySetpointW: { positive: charging, limits: { min: -5000, max: 5000 }, write: [{ address: 10, type: s16, carries: value }], revert: 0, storage: volatile, failsafe: none }
`;

  async function single(storage: string) {
    const profile = parseProfile(LIMIT(storage), 'm/m.yaml');
    const device = served(profile);
    const server = await serve({ 1: device.answer, 2: served(SDM).answer });
    ends.push(() => server.close());
    const site = siteOn(server.port, {
      meter: METER.replace('unitId: 1', 'unitId: 2'),
      inverter: 'profile: m/m, unitId: 1, role: hybrid, ratedW: 60000',
    });
    const fieldbus = await started(fieldbusOf(site, [profile, SDM]));
    await until(() => expect(reading(fieldbus, 'inverter', 'batteryPowerW').quality).toBe('good'));
    return { fieldbus, device };
  }

  test.each([
    [100, 'active', null],
    [101, 'failed', expect.stringMatching(/was written 3000 and reads 2899/)],
  ])('a device that rounds by %i W where its profile allows 100 is %s', async (missing, state, reason) => {
    const { fieldbus, device } = await single('tolerance: 100, storage: volatile');
    device.intercept = (pdu) => {
      const view = new DataView(pdu.buffer, pdu.byteOffset);
      const isAsked = pdu[0] === 3 && view.getUint16(1) === 9;
      return isAsked ? Uint8Array.of(3, 2, (3_000 - missing) >> 8, (3_000 - missing) & 0xff) : undefined;
    };
    expect(await fieldbus.lease('inverter', 'generationLimitW', 3_000, 60_000)).toMatchObject({ state, reason });
  });

  test('a battery without a watchdog is never driven', async () => {
    const { fieldbus, device } = await single('storage: volatile');
    await expect(fieldbus.lease('inverter', 'batterySetpointW', 1000, 60_000)).rejects.toThrow(/never comes back/);
    expect(device.seen.filter((pdu) => pdu.startsWith('10'))).toEqual([]);
  });

  test('another controller on our register is reported and not fought; a fed watchdog is fed', async () => {
    const profile = parseProfile(
      `format: 1
maker: m
model: m
kind: battery
verified: documented
sources: [none]
points: { batteryPowerW: { address: 0, type: s16, positive: discharging } }
controls:
  batterySetpointW: { positive: discharging, limits: { min: -5000, max: 5000 }, write: [{ address: 10, type: s16, carries: value }], revert: 0, storage: volatile, failsafe: watchdog, watchdog: { timeoutSeconds: 0.15 } }
`,
      'm/m.yaml',
    );
    const device = served(profile);
    const server = await serve({ 1: device.answer, 2: served(SDM).answer });
    ends.push(() => server.close());
    const site = siteOn(server.port, {
      meter: METER.replace('unitId: 1', 'unitId: 2'),
      battery: 'profile: m/m, unitId: 1, role: battery',
    });
    const fieldbus = await started(fieldbusOf(site, [profile, SDM]));
    await until(() => expect(reading(fieldbus, 'battery', 'batteryPowerW').quality).toBe('good'));
    const writes = (): number => device.seen.filter((pdu) => pdu.startsWith('10')).length;
    await until(async () => {
      expect(await fieldbus.lease('battery', 'batterySetpointW', 900, 5_000)).toMatchObject({ state: 'active' });
      expect(writes()).toBeGreaterThan(2);
    });
    device.image.write('holding', 10, [77]);
    const before = writes();
    await until(async () => {
      const lease = await fieldbus.lease('battery', 'batterySetpointW', 900, 5_000);
      expect(lease).toMatchObject({
        state: 'failed',
        reason: expect.stringMatching(/another controller changed batterySetpointW/),
      });
    });
    expect(await fieldbus.lease('battery', 'batterySetpointW', 500, 5_000)).toMatchObject({ state: 'failed' });
    await fieldbus.release('battery', 'batterySetpointW');
    expect(writes()).toBe(before);
    expect(device.image.read('holding', 10, 1)).toEqual([77]);
  });
});
