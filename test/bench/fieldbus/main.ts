// `npm run bench -- fieldbus [load] [tcp] [rtu] [many] [dead]`: the field bus against libmodbus in C, against the wire, and under load. Needs cc,
// libmodbus-dev and socat.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../../src/base/log.ts';
import { createBus, silenceMs } from '../../../src/fieldbus/bus.ts';
import { createFieldbus } from '../../../src/fieldbus/fieldbus.ts';
import { type Line, openableLine } from '../../../src/fieldbus/line.ts';
import type { Fieldbus } from '../../../src/fieldbus/types.ts';
import { loadProfile } from '../../../src/site/load.ts';
import { parseSite } from '../../../src/site/parse.ts';
import type { Bus, Device, Point, Profile, SiteFile } from '../../../src/site/types.ts';
import { partsOf } from '../parts.ts';
import { benchGatewayLoad } from './gateway-load.ts';

const HERE = import.meta.dirname;
const SERVER = join(HERE, '../../interop/peers/libmodbus-server.c');
const REGISTERS = 100;
const ROUNDS = 5;
const ROUND_MS = 1_000;
const TURNAROUND_MS = 5;
const clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };
const children = new Set<ChildProcess>();

type Part = () => Promise<unknown>;

export async function main(args: string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-bench-'));
  const parts: Readonly<Record<string, Part>> = {
    load: async () => {
      const load = await benchGatewayLoad(folder, (child) => children.add(child));
      say(
        `20 devices of 40 points a second, the whole gateway as its unit starts it: ${load.cpuPercent} % of a core, ${load.rssMiB} MiB at most; ` +
          `${load.readsPerSecond} reads a second answered, ${load.recorded} requests recorded`,
      );
      return load;
    },
    tcp: () => benchTcp(folder),
    rtu: async () => {
      const rtu: Record<string, number> = {};
      for (const baud of [9_600, 19_200, 115_200]) rtu[baud] = await benchRtu(folder, baud);
      say(`RTU, share of the wire's own time: ${JSON.stringify(rtu)}`);
      return rtu;
    },
    many: async () => {
      const many = await benchMany();
      say(`500 devices over TCP: oldest reading ${many.oldestMs} ms`);
      return many;
    },
    dead: async () => {
      const dead = await benchDead(folder);
      say(
        `one of ten on a serial bus dies for a minute: the others lose ${dead.lossPercent} % of their readings until half a minute after its return ` +
          `(${dead.lossPercentFirst10s} % in the first ten seconds); it is read again ${dead.backAfterMs} ms after`,
      );
      return dead;
    },
  };
  try {
    const result: Record<string, unknown> = {};
    const wanted = partsOf(Object.keys(parts), args);
    for (const [name, part] of Object.entries(parts)) {
      if (wanted.has(name)) result[name] = await part();
    }
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
  process.exit(0);
}

// ------------------------------------------------------------------------------------------------- TCP

async function benchTcp(folder: string): Promise<Record<string, number>> {
  const client = compile(folder, join(HERE, 'libmodbus-client.c'), 'client');
  const server = compile(folder, SERVER, 'server');
  const plain = await tcpRates(client, await serve(server), [1, 8]);
  const slow = await tcpRates(client, await manyServer(5), [8]);
  say(
    `TCP, ${REGISTERS} registers a read: libmodbus ${plain.peer}/s, ours ${plain.ours[0]}/s, 8 in flight ${plain.ours[1]}/s`,
  );
  say(`with 5 ms in the server: libmodbus ${slow.peer}/s, 8 in flight ${slow.ours[0]}/s`);
  return {
    sequentialVsLibmodbus: round2(plain.ratios[0] as number),
    pipelinedVsLibmodbus: round2(plain.ratios[1] as number),
    pipelinedVsLibmodbusDelayed: round2(slow.ratios[0] as number),
  };
}

/** Medians of alternating rounds; the ratios are medians of each round's own ratio. */
async function tcpRates(
  client: string,
  port: number,
  widths: readonly number[],
): Promise<{ peer: number; ours: number[]; ratios: number[] }> {
  const peers: number[] = [];
  const ours: number[][] = widths.map(() => []);
  const ratios: number[][] = widths.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    const peer = Number(execFileSync(client, [String(port), String(ROUND_MS / 1000)], { encoding: 'utf8' }));
    peers.push(peer);
    for (const [i, width] of widths.entries()) {
      const line = openableLine({ id: 'bench', kind: 'tcp', host: '127.0.0.1', port, share: null });
      await line.open();
      const rate = await readFor(line, width, ROUND_MS);
      await line.close();
      ours[i]?.push(rate);
      ratios[i]?.push(rate / peer);
    }
  }
  return {
    peer: Math.round(median(peers)),
    ours: ours.map((rates) => Math.round(median(rates))),
    ratios: ratios.map(median),
  };
}

async function readFor(line: Line, width: number, durationMs: number): Promise<number> {
  const startMs = performance.now();
  let done = 0;
  const work = async (): Promise<void> => {
    while (performance.now() - startMs < durationMs) {
      const words = await line.read(1, 'holding', 0, REGISTERS, 2_000);
      if (words[99] !== 99) throw new Error('wrong answer');
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  return (done * 1000) / (performance.now() - startMs);
}

// ------------------------------------------------------------------------------------------------- RTU

async function benchRtu(folder: string, baud: number): Promise<number> {
  const { ours } = await pacedLine(folder, baud, '1');
  const bus: Bus = { id: 'bench', kind: 'rtu', path: ours, baud, parity: 'none', stopBits: 1 };
  const owner = createBus({
    id: 'bench',
    line: openableLine(bus),
    inFlightMax: 1,
    silenceMs: silenceMs(baud),
    serial: true,
    connectDelayMs: 0,
    clock,
    log: SILENT,
  });
  await new Promise<void>((done) => {
    owner.onConnected(done);
    owner.start();
  });
  const count = 60;
  const byteMs = 10_000 / baud;
  const wireMs = (8 + 5 + 2 * count) * byteMs + TURNAROUND_MS + silenceMs(baud);
  const reads = Math.max(20, Math.round(3_000 / wireMs));
  const startMs = performance.now();
  for (let i = 0; i < reads; i++) {
    const words = await owner.request({ urgency: 'fast', unitId: 1, gapMs: 0, afterMs: 0 }, (line) =>
      line.read(1, 'holding', i, count, 2_000),
    );
    if (words[0] !== i) throw new Error('wrong answer');
  }
  const tookMs = performance.now() - startMs;
  await owner.stop();
  return round2((reads * wireMs) / tookMs);
}

// ------------------------------------------------------------------------------------------------ load

async function benchMany(): Promise<{ oldestMs: number }> {
  const devices = 500;
  const port = await manyServer(0);
  const profile = wide(40);
  const buses = Array.from(
    { length: devices },
    (_, i): Bus => ({ id: `bus-${i}`, kind: 'tcp', host: '127.0.0.1', port, share: null }),
  );
  const site = siteOf(buses, devices, profile, (i) => `bus-${i}`);
  const fieldbus = await started(site, profile);
  await wait(6_000);
  let oldestMs = 0;
  for (let sample = 0; sample < 20; sample++) {
    await wait(250);
    const nowMs = performance.now();
    for (const device of site.devices) {
      for (const reading of fieldbus.readings(device.id).values()) {
        oldestMs = Math.max(oldestMs, reading.value === null ? Number.POSITIVE_INFINITY : nowMs - reading.monotonicMs);
      }
    }
  }
  await fieldbus.stop();
  return { oldestMs: Math.round(oldestMs) };
}

/**
 * Ten meters on a serial line. One of them dies after half a minute, and comes back a minute later. What the other nine lose, from its last
 * answer until half a minute after its return, against what they had before.
 */
async function benchDead(
  folder: string,
): Promise<{ lossPercent: number; lossPercentFirst10s: number; backAfterMs: number }> {
  const alive = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const victim = 10;
  const { ours, answering } = await pacedLine(folder, 19_200, [...alive, victim].join(','));
  const profile = wide(20);
  const bus: Bus = { id: 'one', kind: 'rtu', path: ours, baud: 19_200, parity: 'none', stopBits: 1 };
  const fieldbus = await started(
    siteOf([bus], 10, profile, () => 'one'),
    profile,
  );
  const seen = new Set<string>();
  const watch = async (ms: number): Promise<number> => {
    const before = seen.size;
    const endMs = performance.now() + ms;
    while (performance.now() < endMs) {
      await wait(50);
      for (const id of alive) {
        const reading = fieldbus.readings(`device-${id}`).get('p0');
        if (reading?.quality === 'good') seen.add(`${id} ${reading.monotonicMs}`);
      }
    }
    return seen.size - before;
  };
  await watch(5_000);
  const perMs = (await watch(30_000)) / 30_000;
  answering(alive.join(','));
  const first = await watch(10_000);
  const dead = first + (await watch(50_000));
  answering([...alive, victim].join(','));
  const backMs = performance.now();
  const returned = await watch(30_000);
  const reading = fieldbus.readings(`device-${victim}`).get('p0');
  const backAfterMs =
    reading?.quality === 'good' ? Math.max(0, reading.monotonicMs - backMs) : Number.POSITIVE_INFINITY;
  await fieldbus.stop();
  const loss = (count: number, ms: number): number => round2(Math.max(0, (1 - count / (perMs * ms)) * 100));
  return {
    lossPercent: loss(dead + returned, 90_000),
    lossPercentFirst10s: loss(first, 10_000),
    backAfterMs: Math.round(backAfterMs),
  };
}

// ---------------------------------------------------------------------------------------------- helpers

/** A profile of so many float points in a row, all read every second. */
function wide(points: number): Profile {
  const base = loadProfile('eastron/sdm630');
  const point = base.points.get('voltageL1V') as Point;
  const part = point.parts[0];
  if (part === undefined) throw new Error('no part');
  const entries = Array.from({ length: points }, (_, i): [string, Point] => {
    const plausible = { min: -1e39, max: 1e39, ratePerSecond: null };
    return [`p${i}`, { ...point, measurand: `p${i}`, poll: 'fast', plausible, parts: [{ ...part, address: 2 * i }] }];
  });
  return { ...base, points: new Map(entries), line: { ...base.line, inFlightMax: 1 } };
}

function siteOf(buses: readonly Bus[], devices: number, profile: Profile, busOf: (i: number) => string): SiteFile {
  const site = parseSite(
    `version: 1
id: bench
name: Bench
location: { latitude: 48, longitude: 11 }
timezone: UTC
connection: { phases: 3, ampsPerPhase: 35, importLimitW: 1, exportLimitW: 1, defaultLimit: { importW: 1, exportW: 1 } }
buses: {}
devices: {}
contract: { floorUcPerWh: 0, ceilingUcPerWh: 1 }
`,
    'bench.yaml',
  );
  const device = (i: number): Device => ({
    id: `device-${i + 1}`,
    profile: profile.name,
    bus: busOf(i),
    unitId: (i % 247) + 1,
    role: 'meter',
    phases: ['L1', 'L2', 'L3'],
    ratedW: null,
    covers: [],
    curtailable: false,
    meter: null,
    ctFactor: 1,
  });
  return { ...site, buses, devices: Array.from({ length: devices }, (_, i) => device(i)) };
}

async function started(site: SiteFile, profile: Profile): Promise<Fieldbus> {
  const leases = { save() {}, remove() {}, all: () => [], countWrite() {}, writesSince: () => [] };
  const fieldbus = createFieldbus({ site, profiles: new Map([[profile.name, profile]]), clock, leases, log: SILENT });
  await fieldbus.start();
  return fieldbus;
}

function compile(folder: string, source: string, name: string): string {
  const program = join(folder, name);
  execFileSync('cc', ['-O2', '-o', program, source, '-I/usr/include/modbus', '-lmodbus']);
  return program;
}

async function serve(program: string): Promise<number> {
  const port = await freePort();
  await run(program, [String(port)], /ready/);
  return port;
}

/** libmodbus serves one connection and one request at a time; this takes many of both, and can hold each answer back. */
async function manyServer(delayMs: number): Promise<number> {
  const port = await freePort();
  await run(process.execPath, [join(HERE, 'many-server.ts'), String(port), String(delayMs)], /ready/);
  return port;
}

async function pacedLine(
  folder: string,
  baud: number,
  units: string,
): Promise<{ ours: string; answering(units: string): void }> {
  const [ours, theirs] = [join(folder, `ours-${baud}-${units.length}`), join(folder, `theirs-${baud}-${units.length}`)];
  const link = (path: string): string => `pty,raw,echo=0,link=${path}`;
  await run('socat', ['-d', '-d', link(ours), link(theirs)], /starting data transfer loop/);
  const far = await run(
    process.execPath,
    [join(HERE, 'paced-line.ts'), theirs, String(baud), String(TURNAROUND_MS), units],
    /ready/,
  );
  return { ours, answering: (list) => far.stdin?.write(list) };
}

function run(command: string, args: string[], ready: RegExp): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  children.add(child);
  let output = '';
  return new Promise((resolve, reject) => {
    const take = (chunk: Buffer): void => {
      output += chunk;
      if (ready.test(output)) resolve(child);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', reject);
    child.on('exit', () => {
      children.delete(child);
      reject(new Error(`${command} ended: ${output}`));
    });
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

function wait(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
