// The field bus against masters and devices that are not ours: pymodbus and libmodbus servers (TCP, RTU), mbpoll and pymodbus clients.

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { planBus, TURNAROUND_MS } from '../../src/fieldbus/busplan.ts';
import { ownerOf } from '../../src/fieldbus/fieldbus.ts';
import { openableLine } from '../../src/fieldbus/line.ts';
import { shareBus } from '../../src/fieldbus/proxy.ts';
import type { Fieldbus } from '../../src/fieldbus/types.ts';
import { loadProfile } from '../../src/site/load.ts';
import type { Bus } from '../../src/site/types.ts';
import { clock, fieldbusOf, siteOn } from '../fieldbus/served.ts';

const PEERS = join(import.meta.dirname, 'peers');
const ROOT = resolve(import.meta.dirname, '../..');
const SDM = loadProfile('eastron/sdm630');
const METER = 'profile: eastron/sdm630, unitId: 1, role: grid-meter';
let folder: string;
const ends: (() => unknown)[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-fieldbus-'));
  return () => rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Starts a program and waits for a line of its output. */
async function run(command: string, args: string[], ready: RegExp): Promise<ChildProcess> {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  ends.push(
    () =>
      new Promise((done) => {
        if (child.exitCode !== null) return done(null);
        child.once('exit', done);
        child.kill('SIGKILL');
      }),
  );
  await vi.waitFor(
    () => {
      expect(child.exitCode, output).toBe(null);
      expect(output).toMatch(ready);
    },
    { timeout: 20_000, interval: 50 },
  );
  return child;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** What a program prints; rejects when it fails. It must not block us: it may be talking to this process. */
async function output(command: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { encoding: 'utf8' });
  return stdout;
}

/** A pair of ptys: what one writes the other reads. */
async function ptyPair(): Promise<[string, string]> {
  const [a, b] = [join(folder, `a${ends.length}`), join(folder, `b${ends.length}`)];
  await run(
    'socat',
    ['-d', '-d', `pty,raw,echo=0,link=${a}`, `pty,raw,echo=0,link=${b}`],
    /starting data transfer loop/,
  );
  expect(existsSync(a) && existsSync(b)).toBe(true);
  return [a, b];
}

async function expectSdm(fieldbus: Fieldbus): Promise<void> {
  await fieldbus.start();
  ends.push(() => fieldbus.stop());
  const value = (name: string) => fieldbus.readings('meter').get(name)?.value;
  await vi.waitFor(
    () => {
      expect(value('gridPowerW')).toBe(-1234.5);
      expect(value('importEnergyWh')).toBeCloseTo(8_123_456, 0);
      expect(value('voltageL3V')).toBe(229.75);
    },
    { timeout: 20_000, interval: 50 },
  );
}

describe('pymodbus', () => {
  test('TCP server read through a profile', async () => {
    const port = await freePort();
    await run('/usr/bin/python3', [join(PEERS, 'pymodbus-server.py'), 'tcp', String(port)], /ready/);
    await expectSdm(fieldbusOf(siteOn(port, { meter: METER }), [SDM]));
  });

  test('RTU server read through a profile over a pair of ptys', async () => {
    const [ours, theirs] = await ptyPair();
    await run('/usr/bin/python3', [join(PEERS, 'pymodbus-server.py'), 'rtu', theirs, '9600'], /ready/);
    const site = siteOn(1, { meter: METER });
    const bus: Bus = { id: 'one', kind: 'rtu', path: ours, baud: 9600, parity: 'none', stopBits: 1 };
    await expectSdm(fieldbusOf({ ...site, buses: [bus] }, [SDM]));
  });
});

describe('libmodbus', () => {
  function compiled(): string {
    const server = join(folder, 'libmodbus-server');
    execFileSync('cc', ['-O2', '-o', server, join(PEERS, 'libmodbus-server.c'), '-I/usr/include/modbus', '-lmodbus']);
    return server;
  }

  async function everyFunction(bus: Bus): Promise<void> {
    const line = openableLine(bus);
    await line.open();
    ends.push(() => line.close());
    expect(await line.read(1, 'holding', 100, 3, 1000)).toEqual([100, 101, 102]);
    expect(await line.read(1, 'input', 7, 2, 1000)).toEqual([7, 8]);
    expect(await line.read(1, 'discrete', 0, 9, 1000)).toEqual(new Array(9).fill(0));
    await line.write(1, 'holding', 100, [7], true, 1000);
    await line.write(1, 'holding', 101, [8, 9], false, 1000);
    expect(await line.read(1, 'holding', 100, 3, 1000)).toEqual([7, 8, 9]);
    await line.write(1, 'coil', 5, [1], true, 1000);
    await line.write(1, 'coil', 6, [1, 0, 1], false, 1000);
    expect(await line.read(1, 'coil', 4, 6, 1000)).toEqual([0, 1, 1, 0, 1, 0]);
    await expect(line.read(1, 'holding', 1999, 5, 1000)).rejects.toMatchObject({ fault: 'exception', exception: 2 });
  }

  test('TCP server: every function that we use', async () => {
    const port = await freePort();
    await run(compiled(), [String(port)], /ready/);
    await everyFunction({ id: 'one', kind: 'tcp', host: '127.0.0.1', port, share: null });
  });

  test('RTU server over a pair of ptys: every function that we use', async () => {
    const [ours, theirs] = await ptyPair();
    await run(compiled(), ['rtu', theirs, '19200'], /ready/);
    await everyFunction({ id: 'one', kind: 'rtu', path: ours, baud: 19_200, parity: 'none', stopBits: 1 });
  });
});

describe('other masters', () => {
  /** A meter served by `wattpact simulate`, its port, and the port of our proxy in front of it. */
  async function simulatedAndShared(): Promise<{ simulator: number; proxy: number }> {
    const simulator = await freePort();
    const settings = ['gridPowerW=1500.5', 'voltageL1V=231.5'];
    await run(
      process.execPath,
      ['src/cli.ts', 'simulate', 'eastron/sdm630', '--tcp', String(simulator), '--set', ...settings],
      /unit 1 on/,
    );
    const bus: Bus = { id: 'one', kind: 'tcp', host: '127.0.0.1', port: simulator, share: null };
    const owner = ownerOf(bus, [SDM.line], { clock, log: SILENT });
    ends.push(() => owner.stop());
    await new Promise<void>((done) => {
      owner.onConnected(done);
      owner.start();
    });
    const proxy = await shareBus(owner, { host: '127.0.0.1', port: 0, writes: false }, { clock, log: SILENT });
    ends.push(() => proxy.close());
    return { simulator, proxy: proxy.port };
  }

  /** A float of two input registers. */
  const float = ([high = 0, low = 0]: readonly number[]): number => {
    const view = new DataView(new ArrayBuffer(4));
    view.setUint16(0, high);
    view.setUint16(2, low);
    return view.getFloat32(0);
  };

  test('mbpoll and a pymodbus client read the simulator, and the same through the proxy', async () => {
    const ports = await simulatedAndShared();
    for (const port of [ports.simulator, ports.proxy]) {
      const polled = await output('mbpoll', [
        ...['-m', 'tcp', '-a', '1', '-1', '-p', String(port), '-t', '3:float', '-B', '-r', '53', '127.0.0.1'],
      ]);
      expect(polled).toMatch(/\[53\]:\s+1500\.5/);
      const read = await output('/usr/bin/python3', [join(PEERS, 'pymodbus-client.py'), String(port), '1', '0', '2']);
      expect(float(JSON.parse(read))).toBe(231.5);
    }
  });

  test('the proxy refuses a master that would write', async () => {
    const { proxy } = await simulatedAndShared();
    const write = output('mbpoll', [
      '-m',
      'tcp',
      '-a',
      '1',
      '-p',
      String(proxy),
      '-t',
      '4',
      '-r',
      '1',
      '127.0.0.1',
      '7',
    ]);
    await expect(write).rejects.toThrow();
  });
});

describe('mbpoll', () => {
  test('reads and writes a profile served by `wattpact simulate`', async () => {
    const port = await freePort();
    await run(
      process.execPath,
      [
        'src/cli.ts',
        'simulate',
        'eastron/sdm630',
        '--tcp',
        String(port),
        '--set',
        'gridPowerW=1500.5',
        'voltageL1V=231.5',
      ],
      /unit 1 on/,
    );
    const poll = (...args: string[]): string =>
      execFileSync('mbpoll', ['-m', 'tcp', '-a', '1', '-1', '-p', String(port), ...args, '127.0.0.1'], {
        encoding: 'utf8',
      });
    expect(poll('-t', '3:float', '-B', '-r', '53')).toMatch(/\[53\]:\s+1500\.5/);
    expect(poll('-t', '3:float', '-B', '-r', '1')).toMatch(/\[1\]:\s+231\.5/);
  });

  test('switches a relay', async () => {
    const port = await freePort();
    const child = await run(
      process.execPath,
      ['src/cli.ts', 'simulate', 'waveshare/relay-poe-8', '--tcp', String(port)],
      /unit 1 on/,
    );
    let output = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    execFileSync('mbpoll', ['-m', 'tcp', '-a', '1', '-p', String(port), '-t', '0', '-r', '3', '127.0.0.1', '1']);
    await vi.waitFor(() => expect(output).toMatch(/switch3: 1/), { timeout: 5000 });
  });
});

describe('bus plan', () => {
  test('predicts the cycle of three meters at 9600 baud on a line whose bytes take their time', async () => {
    const [ours, theirs] = await ptyPair();
    const paced = join(ROOT, 'test/bench/fieldbus/paced-line.ts');
    await run(process.execPath, [paced, theirs, '9600', String(TURNAROUND_MS), '1,2,3'], /ready/);
    const bus: Bus = { id: 'one', kind: 'rtu', path: ours, baud: 9600, parity: 'none', stopBits: 1 };
    const meter = (unitId: number): string => `profile: eastron/sdm630, unitId: ${unitId}, role: meter`;
    const devices = { meter: METER, second: meter(2), third: meter(3) };
    const site = { ...siteOn(1, devices), buses: [bus] };
    const plan = planBus(site, new Map([[SDM.name, SDM]]), bus);
    const owner = ownerOf(bus, [SDM.line], { clock, log: SILENT });
    ends.push(() => owner.stop());
    await new Promise<void>((done) => {
      owner.onConnected(done);
      owner.start();
    });
    // The quickest of five: a busy machine only ever adds to a cycle.
    let tookMs = Number.POSITIVE_INFINITY;
    for (let cycle = 0; cycle < 5; cycle++) {
      const startMs = performance.now();
      for (const [i, { classes }] of plan.devices.entries()) {
        for (const block of classes.find(({ poll }) => poll === 'fast')?.blocks ?? []) {
          await owner.request({ urgency: 'fast', unitId: i + 1, gapMs: 0, afterMs: 0 }, (line) =>
            line.read(i + 1, block.table, block.address, block.count, 2000),
          );
        }
      }
      tookMs = Math.min(tookMs, performance.now() - startMs);
    }
    expect(tookMs / plan.cycleMs).toBeGreaterThan(0.9);
    expect(tookMs / plan.cycleMs).toBeLessThan(1.25);
  });
});
