// A gateway in a process of its own on simulated devices, killed with SIGKILL while its battery discharges and its roof is held back. Watchdogs
// tick in real time. Told is what the devices were left with and how long it stood.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { ChainClockTerms } from '../../src/base/clock.ts';
import { clamp } from '../../src/base/integers.ts';
import { seededRandom } from '../../src/base/random.ts';
import { makeConsortium, parseConsortium } from '../../src/demo/consortium.ts';
import { writeSiteFile } from '../../src/demo/sitefiles.ts';
import { LEASE_MS } from '../../src/gateway/controlling.ts';
import type { Series } from '../../src/simulator/physics/series.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import type { Control } from '../../src/site/types.ts';

const CLI = resolve(import.meta.dirname, '../../src/cli.ts');
/** Devices are looked at this often; their physics moves every 100 ms, so that an end may be seen this late. */
const LOOK_MS = 10;
const SEEN_LATE_MS = 250;
/** Starts of gateways on a busy machine. */
const WAIT_MS_MAX = 120_000;
const ROOF_W = 40_000;
/** A battery below this is not discharging to speak of. */
const DISCHARGING_W = 200;

/** `never`: nobody starts the gateway again. `again`: somebody does. `twice`: that one is killed too, about when it takes back what the first left. */
export type Restart = 'never' | 'again' | 'twice';

export interface Trial {
  readonly seed: number;
  /** Profiles of the inverters of battery and roof. */
  readonly battery: string;
  readonly roof: string;
  readonly restart: Restart;
}

/** A control that a killed gateway left. */
export interface Left {
  readonly control: string;
  readonly failsafe: Control['failsafe'];
  /** The device's own time-out, ms; null: it has none. */
  readonly watchdogMs: number | null;
  /** What it was left with, W; null: it was on its own. */
  readonly valueW: number | null;
  /** How long that stood after the kill, ms; null: it stands. */
  readonly stoodMs: number | null;
  readonly isSafe: boolean;
}

export interface TrialResult {
  readonly trial: Trial;
  readonly isSafe: boolean;
  /** Of the battery at the first kill. */
  readonly dischargingW: number;
  readonly left: readonly Left[];
}

type DeviceId = 'battery' | 'roof';

/** What a device is told, null when that is its safe value: on its own; a battery at rest; a roof under a limit that limits nothing (profiles without a release). */
function asTold(id: DeviceId, valueW: number | null): number | null {
  return valueW === (id === 'battery' ? 0 : ROOF_W) ? null : valueW;
}

/** One trial, with a folder, devices and processes of its own. */
export async function killTrial(trial: Trial): Promise<TrialResult> {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-kill-'));
  const random = seededRandom(trial.seed);
  const { consortium, site } = siteIn(dir, trial);
  const { loaded, keyFile, dataDir } = site;
  // Nobody listens there: a gateway without brokers serves its own site.
  const market = { genesis: consortium.genesisFile, brokers: ['mqtt://127.0.0.1:1'], key: keyFile, dataDir };
  let onCommand: (device: string, control: string, value: number | null) => void = () => undefined;
  const virtual = createVirtualSite({
    site: loaded.site,
    profiles: loaded.profiles,
    clock: { chainMs: () => Date.now(), monotonicMs: () => performance.now() },
    onCommand: (device, control, value) => onCommand(device, control, value),
    seed: trial.seed,
    initialStateOfChargePercent: 80,
    series: {
      generation: new Map([['roof', drawn(() => 800 + 400 * random())]]),
      consumption: drawn(() => 2500 + 2000 * random()),
    },
  });
  const siteFile = join(dir, 'running.yaml');
  const told = (): Record<DeviceId, number | null> => {
    const { batteries, generators } = virtual.state();
    return {
      battery: asTold('battery', batteries.get('battery')?.setpointW ?? null),
      roof: asTold('roof', generators.get('roof')?.limitW ?? null),
    };
  };
  const controls: Record<DeviceId, Control> = {
    battery: loaded.profiles.get(trial.battery)?.controls.get('batterySetpointW') as Control,
    roof: loaded.profiles.get(trial.roof)?.controls.get('generationLimitW') as Control,
  };
  const hasWatchdog = controls.battery.failsafe === 'watchdog';
  const dischargingW = (): number => virtual.state().batteries.get('battery')?.powerW ?? 0;

  const left: Record<DeviceId, { valueW: number | null; killedAtMs: number; stoodMs: number | null }> = {
    battery: { valueW: null, killedAtMs: 0, stoodMs: null },
    roof: { valueW: null, killedAtMs: 0, stoodMs: null },
  };
  /** What a battery without a watchdog was ever told besides its safe value. */
  let toldUnsafeW: number | null = null;
  let isKilled = false;
  function see(id: DeviceId, valueW: number | null): void {
    if (isKilled && valueW === null) left[id].stoodMs ??= performance.now() - left[id].killedAtMs;
    if (id === 'battery' && valueW !== null) toldUnsafeW = valueW;
  }
  onCommand = (device, _control, value) => {
    if (device === 'battery' || device === 'roof') see(device, asTold(device, value));
  };
  const looking = setInterval(() => {
    const now = told();
    see('battery', now.battery);
    see('roof', now.roof);
  }, LOOK_MS);

  let child: ChildProcess | null = null;
  const start = (): void => {
    child = startGateway(siteFile, join(dir, 'log'));
  };
  async function kill(): Promise<void> {
    const gone = new Promise((done) => child?.once('exit', done));
    if (child?.kill('SIGKILL') !== true) throw new Error('the gateway had ended by itself');
    await gone;
    const now = told();
    for (const id of ['battery', 'roof'] as const) {
      if (isKilled && now[id] === null) continue;
      left[id] = { valueW: now[id], killedAtMs: performance.now(), stoodMs: null };
    }
    isKilled = true;
  }

  try {
    writeSiteFile({ from: loaded.file, to: siteFile, buses: await virtual.start(), market });
    start();
    await until(
      () => told().roof !== null && (!hasWatchdog || told().battery !== null) && dischargingW() > DISCHARGING_W,
    );
    await pause(4_000 * random());
    const at = dischargingW();
    await kill();
    if (trial.restart === 'twice') {
      await pause(3_000 * random());
      start();
      await pause(500 + 3_500 * random());
      await kill();
    }
    if (trial.restart !== 'never') {
      await pause(5_000 * random());
      start();
    }
    const ends = (['battery', 'roof'] as const).filter(
      (id) => controls[id].failsafe === 'watchdog' || trial.restart !== 'never',
    );
    await until(() => ends.every((id) => left[id].stoodMs !== null)).catch(() => undefined);
    const found = (['battery', 'roof'] as const).map((id): Left => {
      const { control, failsafe } = controls[id];
      const { valueW, stoodMs } = left[id];
      const watchdogMs = watchdogMsOf(controls[id]);
      const endedInTime = stoodMs !== null && stoodMs <= (watchdogMs ?? WAIT_MS_MAX) + SEEN_LATE_MS;
      // Without a watchdog it has to be a value that may stand for ever: a battery at rest; a roof that gives less than it could.
      const mayStand = id === 'battery' ? toldUnsafeW === null : true;
      const isSafe = failsafe === 'watchdog' ? endedInTime : mayStand && (trial.restart === 'never' || endedInTime);
      return { control: `${id} ${control}`, failsafe, watchdogMs, valueW, stoodMs, isSafe };
    });
    return { trial, isSafe: found.every(({ isSafe }) => isSafe), dischargingW: at, left: found };
  } finally {
    clearInterval(looking);
    await kill().catch(() => undefined);
    await virtual.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A site that consumes more than its roof gives, with a roof so large that it is held to what may leave; and a chain that nobody runs. */
export function siteIn(
  dir: string,
  { battery, roof }: Pick<Trial, 'battery' | 'roof'>,
  chainClock: ChainClockTerms = realTime(),
) {
  const file = join(dir, 'site.yaml');
  writeFileSync(
    file,
    `version: 1
id: site
name: Site of a killed gateway
location: { latitude: 48, longitude: 11 }
timezone: Europe/Berlin
connection: { phases: 3, ampsPerPhase: 63, importLimitW: 24000, exportLimitW: 10000, defaultLimit: { importW: 24000, exportW: 1000 } }
buses:
  meters: { kind: tcp, host: 127.0.0.1, port: 1502 }
  roofs: { kind: tcp, host: 127.0.0.1, port: 1503 }
  batteries: { kind: tcp, host: 127.0.0.1, port: 1504 }
devices:
  meter: { profile: eastron/sdm630, bus: meters, unitId: 1, role: grid-meter, covers: [roof, battery], meter: { serial: "1" } }
  roof: { profile: ${roof}, bus: roofs, unitId: 1, role: pv, ratedW: ${ROOF_W}, curtailable: true }
  battery: { profile: ${battery}, bus: batteries, unitId: 1, role: battery, ratedW: 5000 }
storage:
  battery: { device: battery, capacityWh: 10000, chargeLimitW: 2500, dischargeLimitW: 2500, lagMs: 500 }
contract: { floorUcPerWh: 5000, ceilingUcPerWh: 40000 }
`,
  );
  const consortiumFile = join(dir, 'consortium.yaml');
  const consortium = parseConsortium(
    `version: 1
name: nobody
currency: { code: EUR, unit: cent }
interval: { minutes: 15, settlementMinutes: 60 }
settlement: { shortfallPenaltyUcPerWh: 2000, surplusPenaltyUcPerWh: 1000 }
validators: [validator]
operators: [operator]
utilities: [utility]
feeders:
  - { id: feeder, operator: operator, utility: utility, location: { latitude: 48, longitude: 11 }, buses: [{ id: root, parent: null }] }
sites:
  - { file: site.yaml, feeder: feeder, bus: root }
`,
    consortiumFile,
  );
  const made = makeConsortium({ consortium, file: consortiumFile, dir, clock: chainClock });
  const [site] = made.sites;
  if (site === undefined) throw new Error('the consortium has no site');
  return { consortium: made, site };
}

function realTime(): ChainClockTerms {
  const nowMs = Date.now();
  return { originMs: nowMs, wallOriginMs: nowMs, rate: 1 };
}

function startGateway(siteFile: string, log: string): ChildProcess {
  const out = openSync(log, 'a');
  return spawn(process.execPath, [CLI, 'gateway', siteFile, '--clock', 'assumed'], {
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'wattpact-compile-cache') },
    stdio: ['ignore', out, out],
  });
}

/** A day of seconds: set-points change at every turn of the loop, so that a kill falls between any two writes. */
function drawn(powerW: () => number): Series {
  return { name: 'drawn', startMs: 0, stepMs: 1_000, powerW: Float64Array.from({ length: 86_400 }, powerW) };
}

/** When a device forgets what it is told: its own time, or what the profile's register was given for a lease. */
function watchdogMsOf({ watchdog }: Control): number | null {
  if (watchdog === null) return null;
  return watchdog.kind === 'fixed' ? watchdog.timeoutMs : clamp(LEASE_MS, watchdog.minMs, watchdog.maxMs);
}

async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error('waited in vain');
    await pause(LOOK_MS);
  }
}
