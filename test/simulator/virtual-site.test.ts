import modbusSerial from 'modbus-serial';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { shownBy } from '../../src/simulator/shown.ts';
import type { BusAddress, VirtualSite, VirtualSiteOptions } from '../../src/simulator/types.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { constant, handClock, profiles, site } from './fixtures.ts';

type Master = InstanceType<typeof modbusSerial.default>;

let clock: ReturnType<typeof handClock>;
let virtual: VirtualSite;
let masters: Master[];

function make(more: Partial<VirtualSiteOptions> = {}): VirtualSite {
  virtual = createVirtualSite({
    site,
    profiles,
    series: { generation: new Map([['pv', constant(4000)]]), consumption: constant(1000) },
    clock,
    ...more,
  });
  return virtual;
}

async function connect(address: BusAddress | undefined, unitId: number): Promise<Master> {
  const master = new modbusSerial.default();
  masters.push(master);
  if (address?.kind === 'tcp') await master.connectTCP(address.host, { port: address.port });
  else if (address?.kind === 'rtu-over-tcp') await master.connectTelnet(address.host, { port: address.port });
  else throw new Error('a serial bus');
  master.setID(unitId);
  master.setTimeout(1000);
  return master;
}

/** Masters of every device of the site. */
async function open() {
  const buses = await make().start();
  return {
    meter: await connect(buses.get('line'), 1),
    pv: await connect(buses.get('lan'), 2),
    battery: await connect(buses.get('lan'), 3),
    relay: await connect(buses.get('lan'), 4),
  };
}

async function float(master: Master, address: number): Promise<number> {
  return (await master.readInputRegisters(address, 2)).buffer.readFloatBE(0);
}

async function u32(master: Master, address: number, table: 'input' | 'holding'): Promise<number> {
  const read = table === 'input' ? master.readInputRegisters(address, 2) : master.readHoldingRegisters(address, 2);
  return (await read).buffer.readUInt32BE(0);
}

async function s32(master: Master, address: number): Promise<number> {
  return (await master.readHoldingRegisters(address, 2)).buffer.readInt32BE(0);
}

beforeEach(() => {
  clock = handClock();
  masters = [];
});

/** Masters first: one whose server has gone never says that it is closed. */
async function closeAll(): Promise<void> {
  await Promise.all(masters.splice(0).map((master) => new Promise<void>((done) => master.close(() => done()))));
  await virtual.stop();
}

afterEach(closeAll);

describe('what is written changes what is read', () => {
  test('the meter sees the site, phase by phase, and the battery in its own mode takes the surplus', async () => {
    const { meter, battery } = await open();
    expect(await float(meter, 0)).toBe(0);
    expect(await s32(battery, 0)).toBe(-3000);
    expect(await float(meter, 4)).toBe(330 - 4000 + 1000);
    expect(await float(meter, 2)).toBe(450 + 1000);
    expect(await float(meter, 8)).toBeLessThan(230);
  });

  test('a battery follows its set-point until its watchdog bites, and its registers show it', async () => {
    const { meter, battery } = await open();
    await battery.writeRegisters(20, [0, 1500, 1]);
    expect(await s32(battery, 0)).toBe(1500);
    expect(await float(meter, 0)).toBe(1000 - 4000 - 1500);
    clock.pass(9_999);
    expect(await s32(battery, 0)).toBe(1500);
    clock.pass(2);
    expect(await s32(battery, 0)).toBe(-3000);
    expect((await battery.readHoldingRegisters(22, 1)).data).toEqual([0]);
    expect(virtual.state().batteries.get('battery')!.setpointW).toBe(null);
  });

  test('renewing a set-point keeps it; the watchdog runs in wall time at any rate of the chain', async () => {
    const { battery } = await open();
    const before = virtual.state().batteries.get('battery')!.dischargeEnergyWh;
    for (let second = 0; second < 30; second += 5) {
      await battery.writeRegisters(20, [0, 500, 1]);
      clock.pass(5000, 45);
    }
    expect(await s32(battery, 0)).toBe(500);
    const after = virtual.state().batteries.get('battery')!.dischargeEnergyWh;
    expect(after - before).toBeCloseTo((500 * 30 * 45) / 3600, 6);
  });

  test('an inverter obeys a limit for the time that was written with it', async () => {
    const { pv } = await open();
    await pv.writeRegisters(10, [1200, 60]);
    expect(await s32(pv, 0)).toBe(1200);
    expect(virtual.state().generators.get('pv')).toMatchObject({ powerW: 1200, availableW: 4000, limitW: 1200 });
    clock.pass(60_000);
    expect(await s32(pv, 0)).toBe(4000);
  });

  test('a relay switches its load; an output with nothing on it switches nothing', async () => {
    const { meter, relay } = await open();
    await relay.writeCoil(0, true);
    expect(virtual.state().consumptionPowerW).toBe(1000);
    await relay.writeCoil(1, true);
    expect(virtual.state().consumptionPowerW).toBe(3000);
    expect(await float(meter, 6)).toBeCloseTo(220 + 2000 + (4000 - 3000) / 3, 3);
    expect((await relay.readCoils(0, 2)).data.slice(0, 2)).toEqual([true, true]);
    await relay.writeCoils(0, [false, false]);
    expect(virtual.state().loads.get('boiler')!.powerW).toBe(0);
  });

  test('what is not there is exception 2, also for writing', async () => {
    const { meter, battery } = await open();
    await expect(meter.readInputRegisters(500, 2)).rejects.toMatchObject({ modbusCode: 2 });
    await expect(battery.writeRegister(0, 1)).rejects.toMatchObject({ modbusCode: 2 });
  });
});

describe('counters', () => {
  test('are the integral of the power, in the steps of the meter', async () => {
    const { meter, pv } = await open();
    const [importedWh, exportedWh, generatedWh] = [
      await u32(meter, 10, 'input'),
      await u32(meter, 12, 'input'),
      await u32(pv, 2, 'holding'),
    ];
    virtual.state();
    clock.pass(3_600_000);
    // Three hours of surplus in one, then an hour of full consumption: the battery is full after 0.83 h.
    const truth = virtual.state();
    expect(await u32(pv, 2, 'holding')).toBe(generatedWh + 4000);
    expect(await u32(meter, 10, 'input')).toBe(importedWh + Math.floor(truth.importEnergyWh));
    const risenWh = ((await u32(meter, 12, 'input')) - exportedWh) * 10;
    expect(risenWh - truth.exportEnergyWh).toBeLessThanOrEqual(10);
    expect(truth.exportEnergyWh - risenWh).toBeLessThanOrEqual(10);
    expect(truth.exportEnergyWh).toBeGreaterThan(300);
  });

  test('a counter can be reset and rolls over where its profile says', async () => {
    const { meter } = await open();
    virtual.setCounter('meter', 'importEnergyWh', 99_999_900);
    expect(await u32(meter, 10, 'input')).toBe(99_999_900);
    clock.pass(1);
    virtual.setCounter('meter', 'importEnergyWh', 100_000_050);
    expect(await u32(meter, 10, 'input')).toBe(50);
    virtual.setCounter('meter', 'importEnergyWh', 0);
    expect(await u32(meter, 10, 'input')).toBe(0);
  });

  test('the same seed shows the same figures, another seed others', async () => {
    const shown: number[] = [];
    for (const seed of [1, 1, 2]) {
      const meter = await connect((await make({ seed }).start()).get('line'), 1);
      shown.push(await u32(meter, 10, 'input'));
      await closeAll();
    }
    expect(shown[1]).toBe(shown[0]);
    expect(shown[2]).not.toBe(shown[0]);
  });
});

describe('faults', () => {
  test('a silent device leaves the others on its bus alone', async () => {
    const { pv, battery } = await open();
    virtual.setFault('pv', { kind: 'silent' });
    pv.setTimeout(50);
    await expect(pv.readHoldingRegisters(0, 2)).rejects.toMatchObject({ name: 'TransactionTimedOutError' });
    expect(await s32(battery, 0)).toBe(-3000);
    virtual.setFault('pv', null);
    pv.setTimeout(1000);
    expect(await s32(pv, 0)).toBe(4000);
  });

  test('a device that refuses answers the exception it was given', async () => {
    const { battery } = await open();
    virtual.setFault('battery', { kind: 'exception', code: 6 });
    await expect(battery.readHoldingRegisters(0, 2)).rejects.toMatchObject({ modbusCode: 6 });
    await expect(battery.writeRegisters(20, [0, 1500, 1])).rejects.toMatchObject({ modbusCode: 6 });
    expect(virtual.state().batteries.get('battery')!.setpointW).toBe(null);
  });

  test('a slow device answers late', async () => {
    const { pv } = await open();
    virtual.setFault('pv', { kind: 'delay', delayMs: 80 });
    pv.setTimeout(20);
    await expect(pv.readHoldingRegisters(0, 2)).rejects.toMatchObject({ name: 'TransactionTimedOutError' });
    pv.setTimeout(1000);
    expect(await s32(pv, 0)).toBe(4000);
  });

  test('a frozen value stays while the others move', async () => {
    const { battery } = await open();
    virtual.setFault('battery', { kind: 'freeze', measurands: ['stateOfChargePercent'] });
    const frozen = (await battery.readHoldingRegisters(2, 1)).data[0];
    const chargedWh = await u32(battery, 4, 'holding');
    clock.pass(600_000);
    expect((await battery.readHoldingRegisters(2, 1)).data[0]).toBe(frozen);
    expect(await u32(battery, 4, 'holding')).toBe(chargedWh + 500);
    virtual.setFault('battery', null);
    expect((await battery.readHoldingRegisters(2, 1)).data[0]).toBeGreaterThan(frozen!);
  });

  test('an unknown device or bus is an error that names it', () => {
    make();
    expect(() => virtual.setFault('heater', null)).toThrow('the site house has no device heater');
    expect(() => virtual.setBusLost('lan', true)).toThrow('the site house serves no bus lan');
  });
});

test('a meter with a delay shows the past', async () => {
  const buses = await make({ measuring: { meterDelayMs: 1000 } }).start();
  const meter = await connect(buses.get('line'), 1);
  const relay = await connect(buses.get('lan'), 4);
  const before = virtual.state().gridPhaseW[2]!;
  clock.pass(5000);
  virtual.state();
  await relay.writeCoil(1, true);
  const after = virtual.state().gridPhaseW[2]!;
  expect(after).not.toBeCloseTo(before, 0);
  expect(await float(meter, 6)).toBeCloseTo(before, 0);
  clock.pass(1000);
  expect(await float(meter, 6)).toBeCloseTo(after, 0);
});

describe('what devices show', () => {
  const shown = (id: string, profile = id) => {
    const truth = make().state();
    const device = site.devices.find((each) => each.id === id)!;
    return shownBy(site, device, profiles.get(profile)!, truth, truth);
  };

  test('a battery shows its live limits and sees the grid connection with its own meter', () => {
    const values = shown('battery');
    expect(values.get('chargePowerMaxW')).toBe(3000);
    expect(values.get('gridPowerW')).toBe(0);
    expect(values.get('consumptionPowerW')).toBe(1000);
  });

  test('a device on several phases spreads over them, one on a single phase shows it as its first', () => {
    expect(shown('battery').get('gridPowerL2W')).toBe(1000);
    const pv = shown('pv');
    expect([pv.get('gridPowerL1W'), pv.get('gridPowerL2W')]).toEqual([-4000, undefined]);
    expect([pv.get('gridPowerW'), pv.get('operatingState')]).toEqual([-4000, 4]);
  });

  test('a meter behind current transformers shows what its registers see', () => {
    const device = { ...site.devices[0]!, ctFactor: 40 };
    const truth = make().state();
    const values = shownBy(site, device, profiles.get('meter')!, truth, { ...truth, gridPowerW: 8000 });
    expect(values.get('gridPowerW')).toBe(200);
  });

  test('a meter that counts each phase shows those counters, another the netted ones', () => {
    const netted = profiles.get('meter')!;
    const point = netted.points.get('importEnergyWh')!;
    const each = {
      ...netted,
      points: new Map([['importEnergyWh', { ...point, counter: { ...point.counter!, phases: 'each' as const } }]]),
    };
    const truth = {
      ...make().state(),
      importEnergyWh: 1,
      exportEnergyWh: 2,
      importEachPhaseWh: 3,
      exportEachPhaseWh: 4,
    };
    const energies = (profile: typeof netted) => {
      const values = shownBy(site, site.devices[0]!, profile, truth, truth);
      return [values.get('importEnergyWh'), values.get('exportEnergyWh')];
    };
    expect(energies(netted)).toEqual([1, 2]);
    expect(energies(each)).toEqual([3, 4]);
  });

  test('a meter inside the site adds up what it covers', () => {
    const device = { ...site.devices[0]!, role: 'meter' as const, covers: ['pv', 'battery'] };
    const truth = make().state();
    expect(shownBy(site, device, profiles.get('meter')!, truth, truth).get('gridPowerW')).toBe(-1000);
  });
});

test('two devices with one unit id on a bus, or a profile that is not loaded, are errors', () => {
  const devices = site.devices.map((device) => ({ ...device, unitId: 5 }));
  expect(() => make({ site: { ...site, devices } })).toThrow('bus lan has two devices with unit id 5');
  expect(() => make({ profiles: new Map() })).toThrow('the profile meter is not loaded');
});
