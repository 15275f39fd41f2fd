// Masters that are not ours read and drive a simulated site: mbpoll (libmodbus) over TCP and over a serial pair, and pymodbus.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { BusAddress, VirtualSite } from '../../src/simulator/types.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { constant, profiles, site } from '../simulator/fixtures.ts';

const run = promisify(execFile);
/** Debian's Python: the one that Debian's pymodbus is for. */
const PYTHON = '/usr/bin/python3';

let folder: string;
let cable: ChildProcess;
let virtual: VirtualSite;
let lan: Extract<BusAddress, { kind: 'tcp' | 'rtu-over-tcp' }>;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'wattpact-serial-'));
  const [ours, theirs] = [path.join(folder, 'ours'), path.join(folder, 'theirs')];
  cable = spawn('socat', [`pty,raw,echo=0,link=${ours}`, `pty,raw,echo=0,link=${theirs}`], { stdio: 'ignore' });
  await vi.waitUntil(() => existsSync(ours) && existsSync(theirs), { timeout: 10_000, interval: 20 });
  virtual = createVirtualSite({
    site,
    profiles,
    series: { generation: new Map([['pv', constant(4000)]]), consumption: constant(1000) },
    clock: { chainMs: () => Date.now(), monotonicMs: () => performance.now() },
    serialPaths: new Map([['line', ours]]),
  });
  const address = (await virtual.start()).get('lan');
  if (address === undefined || address.kind === 'rtu') throw new Error('the bus lan is not on TCP');
  lan = address;
});

afterAll(async () => {
  await virtual?.stop();
  cable?.kill();
  rmSync(folder, { recursive: true, force: true });
});

/** Values that mbpoll prints, by reference. */
async function mbpoll(...parameters: string[]): Promise<string[]> {
  const { stdout } = await run('mbpoll', ['-0', '-1', ...parameters], { timeout: 20_000 });
  return [...stdout.matchAll(/^\[\d+\]:\s+(\S+)/gm)].map((match) => match[1] as string);
}

const tcp = () => ['-p', String(lan.port), '-B'];

describe('mbpoll', () => {
  test('reads a simulated inverter over TCP', async () => {
    expect(await mbpoll('-a', '2', '-r', '0', '-t', '4:int', ...tcp(), lan.host)).toEqual(['4000']);
  });

  test('writes a set-point, and the battery follows', async () => {
    await run('mbpoll', ['-0', '-1', '-a', '3', '-r', '22', '-t', '4', ...tcp(), lan.host, '1']);
    await run('mbpoll', ['-0', '-1', '-a', '3', '-r', '20', '-t', '4:int', ...tcp(), lan.host, '1234']);
    expect(await mbpoll('-a', '3', '-r', '0', '-t', '4:int', ...tcp(), lan.host)).toEqual(['1234']);
    expect(virtual.state().batteries.get('battery')!.powerW).toBe(1234);
  });

  test('switches an output', async () => {
    await run('mbpoll', ['-0', '-1', '-a', '4', '-r', '1', '-t', '0', ...tcp(), lan.host, '1']);
    expect(await mbpoll('-a', '4', '-r', '0', '-c', '2', '-t', '0', ...tcp(), lan.host)).toEqual(['0', '1']);
    expect(virtual.state().loads.get('boiler')!.powerW).toBe(2000);
  });

  test('is told that an address is not there', async () => {
    await expect(mbpoll('-a', '2', '-r', '900', ...tcp(), lan.host)).rejects.toMatchObject({
      stderr: expect.stringContaining('Illegal data address'),
    });
  });

  test('reads the meter over a serial line', async () => {
    const serial = ['-m', 'rtu', '-b', '9600', '-P', 'none', '-B', path.join(folder, 'theirs')];
    const [voltage] = await mbpoll('-a', '1', '-r', '8', '-t', '3:float', ...serial);
    expect(Number(voltage)).toBeGreaterThan(220);
    expect(Number(voltage)).toBeLessThan(240);
  });
});

test('pymodbus reads and writes the same devices', async () => {
  const program = `
import json, sys
from pymodbus.client import ModbusTcpClient
client = ModbusTcpClient(sys.argv[1], port=int(sys.argv[2]), timeout=3)
assert client.connect()
client.write_registers(10, [1500, 60], slave=2)
client.write_coils(0, [True, False], slave=4)
power = client.read_holding_registers(0, 2, slave=2).registers
coils = client.read_coils(0, 2, slave=4).bits[:2]
refused = client.read_input_registers(0, 2, slave=9)
print(json.dumps({"power": power, "coils": coils, "refused": refused.exception_code}))
client.close()
`;
  const { stdout } = await run(PYTHON, ['-c', program, lan.host, String(lan.port)], { timeout: 20_000 });
  expect(JSON.parse(stdout)).toEqual({ power: [0, 1500], coils: [true, false], refused: 11 });
});
