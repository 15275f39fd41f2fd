// The demo's own site files and profiles, served and read register by register as their profiles say.

import path from 'node:path';
import modbusSerial from 'modbus-serial';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addressOf, decodePart, type Layout, partAt, type Registers } from '../../src/fieldbus/codec.ts';
import { releaseWrites, writesOf } from '../../src/fieldbus/control.ts';
import { chooseSeries } from '../../src/simulator/site-series.ts';
import type { BusAddress, VirtualSite } from '../../src/simulator/types.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { loadSite } from '../../src/site/load.ts';
import type { Device, LoadedSite, Part, Profile, Table } from '../../src/site/types.ts';
import { handClock } from './fixtures.ts';

const DEMO = path.join(import.meta.dirname, '../../devices/demo');
const ORIGIN_MS = Date.parse('2026-06-22T09:00:00Z');
const SITES = ['house', 'farm', 'factory', 'flat'] as const;

type Master = InstanceType<typeof modbusSerial.default>;

const loaded = new Map(SITES.map((name) => [name, loadSite(path.join(DEMO, `${name}.yaml`))]));
const series = chooseSeries(
  null,
  [...loaded.values()].map(({ site }) => site),
  ORIGIN_MS,
);

let clock: ReturnType<typeof handClock>;
let virtual: VirtualSite;
let masters: Master[];

beforeEach(() => {
  clock = handClock();
  clock.chain = ORIGIN_MS;
  masters = [];
});

afterEach(async () => {
  await Promise.all(masters.map((master) => new Promise<void>((done) => master.close(() => done()))));
  await virtual.stop();
});

async function serve(
  name: (typeof SITES)[number],
): Promise<{ loadedSite: LoadedSite; buses: ReadonlyMap<string, BusAddress> }> {
  const loadedSite = loaded.get(name)!;
  const { site, profiles } = loadedSite;
  virtual = createVirtualSite({ site, profiles, series: series.get(site.id)!, clock });
  return { loadedSite, buses: await virtual.start() };
}

async function connect(address: BusAddress | undefined): Promise<Master> {
  if (address === undefined || address.kind === 'rtu') throw new Error('not on TCP');
  const master = new modbusSerial.default();
  masters.push(master);
  if (address.kind === 'tcp') await master.connectTCP(address.host, { port: address.port });
  else await master.connectTelnet(address.host, { port: address.port });
  master.setTimeout(2000);
  return master;
}

/** Walks the SunSpec chain as a client does. */
async function layoutOf(master: Master, profile: Profile): Promise<Layout> {
  const layout = new Map<number, { address: number; length: number }>();
  if (profile.sunspec === null) return layout;
  let address = profile.sunspec.bases[0]!;
  expect((await master.readHoldingRegisters(address, 2)).data).toEqual([0x5375, 0x6e53]);
  for (address += 2; ; ) {
    const [id = 0xffff, length = 0] = (await master.readHoldingRegisters(address, 2)).data;
    if (id === 0xffff) return layout;
    layout.set(id, { address, length });
    address += length + 2;
  }
}

async function readPlace(master: Master, table: Table, address: number, count: number): Promise<number[]> {
  if (table === 'holding') return (await master.readHoldingRegisters(address, count)).data;
  if (table === 'input') return (await master.readInputRegisters(address, count)).data;
  const bits =
    table === 'coil' ? await master.readCoils(address, count) : await master.readDiscreteInputs(address, count);
  return bits.data.slice(0, count).map(Number);
}

/** Every point of a device, each read by itself. */
async function readDevice(master: Master, device: Device, profile: Profile): Promise<Map<string, number | string>> {
  master.setID(device.unitId);
  const layout = await layoutOf(master, profile);
  const values = new Map<string, number | string>();
  for (const [measurand, point] of profile.points) {
    let sum = 0;
    let reason: string | null = null;
    for (const part of point.parts) {
      const registers = await registersOf(master, part, layout);
      const decoded = decodePart(part, registers, layout);
      if ('value' in decoded) sum += decoded.value;
      else reason = decoded.reason;
    }
    values.set(measurand, reason ?? sum * point.turn);
  }
  return values;
}

async function registersOf(master: Master, wanted: Part, layout: Layout): Promise<Registers> {
  const part = partAt(wanted, layout);
  const words = new Map<string, number>();
  const places = part.scaleRegister === null ? [part] : [part, { ...part.scaleRegister, length: 1 }];
  for (const { length, ...place } of places) {
    const start = addressOf(place, layout)!;
    const read = await readPlace(master, place.table, start, length);
    read.forEach((word, i) => void words.set(`${place.table} ${start + i}`, word));
  }
  return (table, address) => words.get(`${table} ${address}`);
}

const deviceOf = ({ site }: LoadedSite, id: string): Device => site.devices.find((device) => device.id === id)!;
const profileOf = ({ profiles }: LoadedSite, device: Device): Profile => profiles.get(device.profile)!;

describe.each(SITES)('%s', (name) => {
  test('every point of every device is a value, and the meter agrees with the truth', async () => {
    const { loadedSite, buses } = await serve(name);
    const truth = virtual.state();
    for (const device of loadedSite.site.devices) {
      const values = await readDevice(await connect(buses.get(device.bus)), device, profileOf(loadedSite, device));
      for (const [measurand, value] of values)
        expect([device.id, measurand, typeof value]).toEqual([device.id, measurand, 'number']);
      const shown = (measurand: string) => Number(values.get(measurand));
      if (device.role === 'grid-meter') {
        expect(shown('gridPowerW') * device.ctFactor).toBeCloseTo(truth.gridPowerW, 0);
        expect(shown('voltageL1V')).toBeGreaterThan(220);
      }
      const generator = truth.generators.get(device.id);
      if (generator !== undefined) {
        expect(Math.abs(shown('generationPowerW') - generator.powerW)).toBeLessThan(10);
        expect(generator.powerW).toBeGreaterThan(0);
      }
      const battery = truth.batteries.get(device.id);
      if (battery !== undefined) {
        expect(shown('stateOfChargePercent')).toBeCloseTo(50, 1);
        expect(shown('batteryPowerW')).toBeCloseTo(battery.powerW, 0);
        expect(shown('generationPowerW')).toBeCloseTo(0, 0);
      }
    }
  });
});

describe('controls', () => {
  /** Writes a control as the gateway's field bus does, with its watchdog. */
  async function command(
    site: LoadedSite,
    master: Master,
    id: string,
    control: string,
    value: number | null,
    ttlSeconds: number,
  ) {
    const device = deviceOf(site, id);
    const profile = profileOf(site, device);
    master.setID(device.unitId);
    const layout = await layoutOf(master, profile);
    const spec = profile.controls.get(control)!;
    const scales = new Map<string, number>();
    for (const { part } of [...spec.write, ...spec.release]) {
      const scale = part.scaleRegister;
      if (scale === null) continue;
      const at = addressOf(scale, layout)!;
      scales.set(`${scale.table} ${at}`, (await readPlace(master, scale.table, at, 1))[0]!);
    }
    const current: Registers = (table, address) => scales.get(`${table} ${address}`);
    const baseOf = () => device.ratedW;
    const writes =
      value === null ? releaseWrites(spec, baseOf, current, layout) : writesOf(spec, value, baseOf, current, layout);
    if (spec.watchdog?.kind === 'register' && value !== null) {
      const { part } = spec.watchdog;
      const words = part.length === 1 ? [ttlSeconds] : part.wordOrder === 'big' ? [0, ttlSeconds] : [ttlSeconds, 0];
      await master.writeRegisters(addressOf(part, layout)!, words);
    }
    for (const { table, address, words } of writes) {
      if (table === 'coil') await master.writeCoils(address, words.map(Boolean));
      else await master.writeRegisters(address, [...words]);
    }
  }

  test('the house: the battery follows, its watchdog gives it back to itself, and so does a release', async () => {
    const { loadedSite, buses } = await serve('house');
    const master = await connect(buses.get('inverters'));
    const battery = () => virtual.state().batteries.get('battery')!;
    for (const [powerW, soc] of [
      [2500, 'falls'],
      [-2500, 'rises'],
    ] as const) {
      await command(loadedSite, master, 'battery', 'batterySetpointW', powerW, 60);
      clock.pass(30_000, 45);
      expect(battery().powerW).toBeCloseTo(powerW, 0);
      const before = battery().stateOfChargePercent;
      clock.pass(20_000, 45);
      expect(Math.sign(battery().stateOfChargePercent - before)).toBe(soc === 'rises' ? 1 : -1);
    }
    clock.pass(11_000, 45);
    expect(battery().setpointW).toBe(null);
    await command(loadedSite, master, 'battery', 'batterySetpointW', 1000, 3600);
    expect(battery().setpointW).toBeCloseTo(1000, 0);
    await command(loadedSite, master, 'battery', 'batterySetpointW', null, 3600);
    expect(battery().setpointW).toBe(null);
  });

  test.each([
    ['house', 'inverters', 'pv', 2000],
    ['farm', 'farm', 'wind', 5000],
    ['flat', 'cellar', 'pv', 500],
  ] as const)('%s: %s holds back to what it is told, and forgets it', async (name, bus, id, limitW) => {
    const { loadedSite, buses } = await serve(name);
    const master = await connect(buses.get(bus));
    const generator = () => virtual.state().generators.get(id)!;
    expect(generator().powerW).toBeGreaterThan(limitW);
    await command(loadedSite, master, id, 'generationLimitW', limitW, 30);
    clock.pass(29_000);
    expect(generator().limitW).toBeCloseTo(limitW, -1);
    expect(generator().powerW).toBeLessThanOrEqual(limitW * 1.01);
    clock.pass(2000);
    expect(generator().limitW).toBe(null);
  });

  test('the flat: the relay switches the boiler and the laundry', async () => {
    const { loadedSite, buses } = await serve('flat');
    const master = await connect(buses.get('cellar'));
    const before = virtual.state().consumptionPowerW;
    await command(loadedSite, master, 'relay', 'switch1', 1, 0);
    await command(loadedSite, master, 'relay', 'switch2', 1, 0);
    expect(virtual.state().consumptionPowerW - before).toBe(3200);
    expect(virtual.state().loads.get('laundry')!.powerW).toBe(1200);
    await command(loadedSite, master, 'relay', 'switch1', 0, 0);
    expect(virtual.state().consumptionPowerW - before).toBe(1200);
  });
});
