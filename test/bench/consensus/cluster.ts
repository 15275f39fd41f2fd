// Validators as they run: one process each, through the command line, over the broker that the last of them embeds or over mosquitto.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { generateKey, type Key, newKey } from '../../../src/keys/files.ts';
import { chainId, type Genesis } from '../../../src/protocol/genesis.ts';
import { createVoteLog } from '../../../src/store/votes.ts';
import { type Mosquitto, startMosquitto } from './mosquitto.ts';

const CLI = resolve(import.meta.dirname, '../../../src/cli.ts');
const UNIT = resolve(import.meta.dirname, '../../../systemd/wattpact-validator.service');
/** A validator that is not ready by then will not be. */
const READY_MS_MAX = 180_000;
/** What it logs then. */
const READY = 'validator started';

export interface Cluster {
  readonly genesis: Genesis;
  readonly folder: string;
  readonly gateways: ReadonlyMap<string, Key>;
  readonly broker: string;
  readonly ids: readonly string[];
  /** The broker between them, if it is not embedded in one of them. */
  readonly mosquitto: Mosquitto | null;
  kill(id: string): void;
  /** Process of each running validator. */
  pids(): ReadonlyMap<string, number>;
  /** Resident memory of each running validator, MiB. */
  rssMiB(): readonly number[];
  /** Processor time of all running validators so far, ms. */
  cpuMs(): number;
  stop(): void;
}

/** Clock ticks of the kernel's accounts, ms. */
const TICK_MS = 10;

export async function startCluster(
  validators: number,
  gatewayCount: number,
  over: 'embedded' | 'mosquitto' = 'embedded',
): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-bench-consensus-'));
  const processes = new Map<string, ChildProcess>();
  const settings = unitSettings();
  let mosquitto: Mosquitto | null = null;
  const stop = (): void => {
    for (const child of processes.values()) child.kill('SIGKILL');
    mosquitto?.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const ids = Array.from({ length: validators }, (_, i) => `validator-${String(i).padStart(2, '0')}`);
    const keys = new Map(ids.map((id) => [id, generateKey(join(folder, `${id}.pem`))]));
    const gateways = new Map(Array.from({ length: gatewayCount }, (_, i) => [`gateway-${i}`, newKey()]));
    const genesis = genesisOf(keys, gateways);
    const genesisFile = join(folder, 'genesis.json');
    writeFileSync(genesisFile, JSON.stringify(genesis));
    const port = await freePort();
    if (over === 'mosquitto') mosquitto = await startMosquitto(folder, port);
    const host = mosquitto === null ? ids.at(-1) : undefined; // the first primary is another, and can be killed
    const broker = mosquitto?.url ?? `mqtt://127.0.0.1:${port}?broker=${host}`;
    const ready = ids.map((id) => {
      const data = join(folder, id);
      mkdirSync(data);
      createVoteLog(join(data, 'votes.sqlite'), (keys.get(id) as Key).publicKey);
      const where = id === host ? ['--listen', `127.0.0.1:${port}`] : ['--broker', broker];
      const args = [
        ...settings.nodeFlags,
        CLI,
        'validator',
        '--genesis',
        genesisFile,
        '--id',
        id,
        '--key',
        join(folder, `${id}.pem`),
        '--data',
        data,
        ...where,
      ];
      const child = spawn(process.execPath, args, {
        // As a service runs: a log, and no parent that wants to hear of every vote.
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, ...settings.environment, WATTPACT_LOG: 'info' },
      });
      processes.set(id, child);
      return untilReady(id, child);
    });
    await Promise.all(ready);
    return {
      genesis,
      folder,
      gateways,
      broker,
      ids,
      mosquitto,
      kill(id) {
        processes.get(id)?.kill('SIGKILL');
        processes.delete(id);
      },
      pids: () => new Map([...processes].map(([id, { pid }]) => [id, pid as number])),
      rssMiB: () => [...processes.values()].map(({ pid }) => rssOf(pid as number)),
      cpuMs: () => [...processes.values()].reduce((sum, { pid }) => sum + cpuOf(pid as number), 0),
      stop,
    };
  } catch (error) {
    stop();
    throw error;
  }
}

/** What the validator's unit sets: the benchmark's validators run as a service does. */
function unitSettings(): {
  readonly nodeFlags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
} {
  const environment: Record<string, string> = {};
  for (const [, quoted, plain] of readFileSync(UNIT, 'utf8').matchAll(/^Environment=(?:"(.+)"|(.+))$/gm)) {
    const setting = (quoted ?? plain) as string;
    const at = setting.indexOf('=');
    environment[setting.slice(0, at)] = setting.slice(at + 1);
  }
  const { WATTPACT_NODE_FLAGS: flags = '', ...rest } = environment;
  return { nodeFlags: flags.split(' ').filter((flag) => flag !== ''), environment: rest };
}

function untilReady(id: string, child: ChildProcess): Promise<void> {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`${id} is not ready after ${READY_MS_MAX} ms`)), READY_MS_MAX);
    child.once('exit', (code) => fail(new Error(`${id} ended with ${code}`)));
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (!text.includes(READY)) return;
      clearTimeout(timer);
      done();
    });
  });
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function rssOf(pid: number): number {
  const line = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1024;
}

function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** A chain with one feeder. */
export function genesisOf(
  validators: ReadonlyMap<string, Key>,
  gateways: ReadonlyMap<string, Key>,
  intervalMs = 60_000,
): Genesis {
  const party = ([id, { publicKey }]: readonly [string, Key]): { id: string; publicKey: string } => ({ id, publicKey });
  const minute = 60_000;
  const nowMs = Date.now();
  const line = { capacityW: null, lossPpm: 0, tariffUcPerWh: 0 };
  const body = {
    clock: { originMs: nowMs, wallOriginMs: nowMs, rate: 1 },
    currency: { code: 'EUR', unit: 'cent' },
    feeders: [
      {
        buses: [{ ...line, id: 'root', parent: null }],
        id: 'street',
        latitudeDeg10: 515,
        longitudeDeg10: 75,
        operator: 'operator',
        utility: 'utility',
      },
    ],
    gateways: [...gateways].map(([gateway, { publicKey }]) => ({
      bus: 'root',
      customers: [],
      devices: [{ capacityW: 100_000, id: `${gateway}-wind`, kind: 'wind' as const }],
      exportLimitW: 100_000,
      feeder: 'street',
      gateway,
      importLimitW: 100_000,
      meterSerial: gateway,
      publicKey,
      uncertaintyWhMax: 0,
    })),
    interval: {
      lengthMs: intervalMs, // short: what a request leaves in the state is forgotten within the run
      gateOpenMs: 60 * intervalMs,
      requestMs: 10 * intervalMs,
      gateCloseMs: 5 * intervalMs,
      settlementMs: 5 * intervalMs,
    },
    limits: {
      batchRequestsMax: 2000,
      batchBytesMax: 2 * 1024 * 1024,
      dueOperationsMax: 100,
      validForMsMax: 120 * minute,
      clockSkewMsMax: 10_000,
    },
    name: 'bench',
    operators: [party(['operator', newKey()])],
    operatorThreshold: 1,
    rounds: 1,
    settlement: { shortfallPenaltyUcPerWh: 0, surplusPenaltyUcPerWh: 0 },
    tariffRule: { distanceUcPerWhKm: 50, energyUcPerWh: 25_000, loadingPercent: 100 },
    trustPeriodMs: 24 * 60 * minute,
    utilities: [party(['utility', newKey()])],
    validators: [...validators].map(party),
  };
  return { ...body, chain: chainId(body as unknown as Genesis) } as unknown as Genesis;
}
