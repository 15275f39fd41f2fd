// The whole gateway under its daily load: the program as its unit starts it, with 20 devices of 40 points a second, a store with a month
// of history, forecasting, planning, an MQTT broker and four validators that record its requests. Measured from outside (/proc).

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { intervalAt } from '../../../src/base/interval.ts';
import { makeConsortium, parseConsortium, validatorDir } from '../../../src/demo/consortium.ts';
import { createSiteForecasting } from '../../../src/gateway/forecasting.ts';
import { STORE_FILE } from '../../../src/gateway/gateway.ts';
import { SITE } from '../../../src/gateway/metering.ts';
import { MEASURANDS } from '../../../src/site/measurands.ts';
import type { SiteFile } from '../../../src/site/types.ts';
import { openGatewayStore } from '../../../src/store/gateway.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const UNIT = join(ROOT, 'systemd/wattpact-gateway.service');
const DEVICES = 20;
const POINTS = 40;
const PAST_DAYS = 30;
const HOUR_MS = 3_600_000;
const INTERVAL_MS = 900_000;
/**
 * Chain time at the start. All that comes once in an interval falls into the measured minutes: forecast, plan and requests at 9:13, the
 * gate at 9:14, the interval's edge with delivery and learning at 9:15.
 */
const START_MS = Date.UTC(2026, 5, 22, 9, 11, 30);
const WARM_MS = 60_000;
const MEASURE_MS = 200_000;

export interface GatewayLoad {
  readonly cpuPercent: number;
  readonly rssMiB: number;
  /** Answers the devices gave each second: one for each device when nothing is missed. */
  readonly readsPerSecond: number;
  /** Requests that validators recorded meanwhile: forecasts and an offer. */
  readonly recorded: number;
}

export async function benchGatewayLoad(folder: string, started: (child: ChildProcess) => void): Promise<GatewayLoad> {
  const profileFile = join(folder, 'profiles/bench/wide.yaml');
  mkdirSync(join(folder, 'profiles/bench'), { recursive: true });
  writeFileSync(profileFile, wideProfile());
  const served = launch(process.execPath, [join(import.meta.dirname, 'served-site.ts'), profileFile, String(DEVICES)]);
  started(served.child);
  const ports = (await served.line(/^ready (.+)$/m))[1]?.split(' ').map(Number) ?? [];

  const siteFile = join(folder, 'site.yaml');
  writeFileSync(siteFile, siteText(ports));
  const consortiumFile = join(folder, 'consortium.yaml');
  writeFileSync(consortiumFile, CONSORTIUM);
  const clock = { originMs: START_MS, wallOriginMs: Date.now(), rate: 1 };
  const consortium = makeConsortium({
    consortium: parseConsortium(CONSORTIUM, consortiumFile),
    file: consortiumFile,
    dir: join(folder, 'consortium'),
    clock,
  });
  const [site] = consortium.sites;
  if (site === undefined) throw new Error('no site');
  const brokerPort = await freePort();
  const broker = `mqtt://127.0.0.1:${brokerPort}?broker=validator-4`;
  for (const { id } of consortium.genesis.validators) {
    const last = id === 'validator-4';
    const validator = launch(process.execPath, [
      ...[join(ROOT, 'src/cli.ts'), 'validator', '--genesis', consortium.genesisFile, '--id', id],
      ...['--key', consortium.keyFiles.get(id) as string, '--data', validatorDir(consortium.dir, id)],
      ...(last ? ['--listen', `127.0.0.1:${brokerPort}`] : ['--broker', broker]),
    ]);
    started(validator.child);
  }
  const store = join(site.dataDir, STORE_FILE);
  writePast(store, site.loaded.site);
  const market = { genesis: consortium.genesisFile, brokers: [broker], key: site.keyFile, dataDir: site.dataDir };
  writeFileSync(siteFile, `${siteText(ports)}market: ${JSON.stringify(market)}\n`);

  const gateway = await startAsUnit(folder, siteFile);
  started(gateway.child);
  const pid = gateway.child.pid as number;
  await gateway.line(/gateway started/);
  await wait(WARM_MS);
  const before = { cpuS: cpuSeconds(pid), answered: answeredBy(served.text()), atMs: performance.now() };
  let rssKiB = 0;
  const endMs = before.atMs + MEASURE_MS;
  while (performance.now() < endMs) {
    await wait(500);
    rssKiB = Math.max(rssKiB, residentKiB(pid));
  }
  const seconds = (performance.now() - before.atMs) / 1000;
  const cpuPercent = ((cpuSeconds(pid) - before.cpuS) / seconds) * 100;
  const readsPerSecond = (answeredBy(served.text()) - before.answered) / seconds;
  const reader = openGatewayStore(store, { readonly: true });
  const recorded = reader.requests.recent(100).filter(({ life }) => life.phase === 'recorded').length;
  reader.close();
  gateway.child.kill('SIGTERM');
  return {
    cpuPercent: Math.round(cpuPercent * 100) / 100,
    rssMiB: Math.round(rssKiB / 1024),
    readsPerSecond: Math.round(readsPerSecond * 10) / 10,
    recorded,
  };
}

/** Environment and command as the unit has them; folders that systemd would make are made here. */
async function startAsUnit(folder: string, siteFile: string): Promise<Launched> {
  const unit = readFileSync(UNIT, 'utf8');
  const cache = join(folder, 'cache');
  mkdirSync(cache, { recursive: true });
  const place = (text: string): string =>
    text.replaceAll('/opt/wattpact', ROOT).replaceAll('/var/cache/wattpact-gateway', cache);
  const env: NodeJS.ProcessEnv = { PATH: process.env.PATH };
  for (const [, name, value] of unit.matchAll(/^Environment="?(\w+)=(.*?)"?$/gm))
    env[name as string] = place(value as string);
  const commandOf = (line: string): string[] => place(line).replace('/etc/wattpact/site.yaml', siteFile).split(/\s+/);
  for (const [, line] of unit.matchAll(/^ExecStartPre=(.+)$/gm)) {
    const [program = '', ...args] = commandOf(line as string);
    execFileSync(program, args, { env, stdio: 'ignore' });
  }
  const [program = '', ...args] = commandOf(/^ExecStart=(.+?)(?: \$\w+)?$/m.exec(unit)?.[1] ?? '');
  return launch(program, [...args, '--clock', 'assumed'], env);
}

interface Launched {
  readonly child: ChildProcess;
  text(): string;
  /** Waits for a line of its output. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
}

function launch(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Launched {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  child.stderr.on('data', (chunk) => (text += chunk));
  return {
    child,
    text: () => text,
    async line(pattern) {
      for (let tries = 0; tries < 600; tries++) {
        const found = pattern.exec(text);
        if (found !== null) return found;
        if (child.exitCode !== null) break;
        await wait(50);
      }
      throw new Error(`${command} ${args.join(' ')}: ${text.slice(-2000)}`);
    },
  };
}

function wideProfile(): string {
  const names = Object.keys(MEASURANDS).slice(0, POINTS);
  const points = names.map((name, i) => {
    const directions = MEASURANDS[name]?.directions;
    const sign = directions === undefined ? '' : `, positive: ${directions[0]}`;
    return `  ${name}: { address: ${2 * i}, type: f32, poll: fast${sign} }`;
  });
  return `format: 1
maker: Bench
model: wide
kind: hybrid
verified: documented
sources: [made up]
points:
${points.join('\n')}
controls:
  batterySetpointW:
    positive: discharging
    limits: { min: -3000, max: 3000 }
    write: [{ address: 200, type: f32, carries: value }]
    watchdog: { register: { address: 202, type: u16 }, minSeconds: 10, maxSeconds: 3600 }
    failsafe: watchdog
    storage: volatile
    revert: 0
`;
}

function roleOf(i: number): string {
  if (i === 0) return 'role: grid-meter';
  if (i === 1) return 'role: pv, ratedW: 10000';
  if (i === 2) return 'role: battery, ratedW: 3000';
  return 'role: meter';
}

function siteText(ports: readonly number[]): string {
  return `version: 1
id: bench
name: Bench
location: { latitude: 48, longitude: 11 }
timezone: Europe/Berlin
connection: { phases: 3, ampsPerPhase: 100, importLimitW: 60000, exportLimitW: 60000, defaultLimit: { importW: 60000, exportW: 30000 } }
buses:
${ports.map((port, i) => `  bus-${i}: { kind: tcp, host: 127.0.0.1, port: ${port} }`).join('\n')}
devices:
${ports.map((_, i) => `  device-${i}: { profile: bench/wide, bus: bus-${i}, unitId: 1, ${roleOf(i)} }`).join('\n')}
storage:
  battery: { device: device-2, capacityWh: 10000, chargeLimitW: 3000, dischargeLimitW: 3000 }
contract: { floorUcPerWh: 4000, ceilingUcPerWh: 40000 }
`;
}

const CONSORTIUM = `version: 1
name: bench
currency: { code: EUR, unit: cent }
interval: { minutes: 15, gateOpenMinutes: 60, requestMinutes: 2, gateCloseMinutes: 1, settlementMinutes: 1 }
settlement: { shortfallPenaltyUcPerWh: 2000, surplusPenaltyUcPerWh: 1000 }
validators: [validator-1, validator-2, validator-3, validator-4]
operators: [operator]
utilities: [utility]
feeders:
  - id: street
    operator: operator
    utility: utility
    location: { latitude: 48, longitude: 11 }
    buses: [{ id: root, parent: null }, { id: end, parent: root, capacityW: 160000 }]
sites: [{ file: site.yaml, feeder: street, bus: end }]
`;

/** A month of days, and what the forecasters learnt of them: what a gateway in service has. */
function writePast(path: string, site: SiteFile): void {
  const store = openGatewayStore(path);
  const until = intervalAt(START_MS, INTERVAL_MS);
  for (let interval = until - (PAST_DAYS * 24 * HOUR_MS) / INTERVAL_MS; interval < until; interval++) {
    const hour = ((interval * INTERVAL_MS) / HOUR_MS) % 24;
    const sun = Math.max(0, Math.sin(((hour - 5) / 14) * Math.PI));
    const common = { interval, uncertaintyWh: 1, quality: 'measured', curtailed: false };
    const generationWh = Math.round(2000 * sun * (0.6 + 0.4 * Math.abs(Math.sin(interval))));
    const net = 900 + Math.round(300 * Math.sin(hour) + 200 * Math.cos(interval)) - generationWh;
    store.energies.save([
      { ...common, subject: SITE, quantity: 'import', energyWh: Math.max(0, net) },
      { ...common, subject: SITE, quantity: 'export', energyWh: Math.max(0, -net) },
      { ...common, subject: 'device-1', quantity: 'generation', energyWh: generationWh },
      { ...common, subject: 'battery', quantity: 'charge', energyWh: 0 },
      { ...common, subject: 'battery', quantity: 'discharge', energyWh: 0 },
    ]);
  }
  const clock = { chainMs: () => START_MS, monotonicMs: () => performance.now() };
  const forecasting = createSiteForecasting({ site, store, intervalMs: INTERVAL_MS, clock });
  while (!forecasting.learnUpTo(until - 1, 1_000));
  store.close();
}

function answeredBy(text: string): number {
  return Number(/answered (\d+)\s*$/.exec(text)?.[1] ?? Number.NaN);
}

/** User and system time of a process. Source: proc_pid_stat(5); the clock tick is 10 ms on every Linux. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function residentKiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function wait(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
