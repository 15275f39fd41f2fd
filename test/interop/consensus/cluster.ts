// Four validators as processes, through the command line, over brokers that two of them embed and one mosquitto. Every way of a
// node to a broker, but that of a validator to its own, goes over a link of the test.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { generateKey, type Key, newKey } from '../../../src/keys/files.ts';
import { chainId, type Genesis, parseGenesis } from '../../../src/protocol/genesis.ts';
import { openLedgerStore } from '../../../src/store/ledger.ts';
import { createVoteLog } from '../../../src/store/votes.ts';
import { LEDGER_FILE, VOTES_FILE } from '../../../src/validator/validator.ts';
import { Link, type LinkMode } from './proxy.ts';
import type { Fault } from './schedule.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const PLANTED = pathToFileURL(join(ROOT, 'test/consensus/simulator/planted.ts')).href;
const READY_MS_MAX = 60_000;
const MINUTE_MS = 60_000;
/** Chain time runs faster, so that markets clear and settle within a run. */
const RATE = 6;

export interface ClusterOptions {
  readonly gateways: readonly string[];
  /** Validators with a broker of their own. */
  readonly embedding: readonly string[];
  readonly mosquitto: boolean;
  /** A validator that answers questions over HTTP, too. */
  readonly answering?: string;
  /** Name of a bug of the simulator's list that every validator is started with. */
  readonly planted?: string;
}

export const VALIDATORS = ['validator-0', 'validator-1', 'validator-2', 'validator-3'];
export const MOSQUITTO = 'mosquitto';

export class Cluster {
  readonly genesis: Genesis;
  readonly keys: ReadonlyMap<string, Key>;
  readonly brokers: readonly string[];
  readonly folder: string;
  /** Every start of a validator that was ended by anything but the test. */
  readonly falls: string[] = [];
  readonly #options: ClusterOptions;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #apiPort: number;
  readonly #links = new Map<string, Map<string, Link>>();
  readonly #processes = new Map<string, ChildProcess>();
  /** Processes whose end the test wanted. */
  readonly #killed = new Set<ChildProcess>();
  #mosquitto: ChildProcess | null = null;

  private constructor(options: ClusterOptions, folder: string, ports: ReadonlyMap<string, number>, apiPort: number) {
    this.#options = options;
    this.#ports = ports;
    this.#apiPort = apiPort;
    this.folder = folder;
    this.brokers = [...ports.keys()];
    const keys = new Map([...options.gateways, 'utility'].map((id) => [id, newKey()]));
    keys.set('operator', generateKey(join(folder, 'operator.pem')));
    for (const id of VALIDATORS) {
      const key = generateKey(join(folder, `${id}.pem`));
      keys.set(id, key);
      mkdirSync(this.dirOf(id));
      createVoteLog(join(this.dirOf(id), VOTES_FILE), key.publicKey);
    }
    this.keys = keys;
    this.genesis = genesisOf(keys, options.gateways);
    writeFileSync(join(folder, 'genesis.json'), JSON.stringify(this.genesis));
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const ports = new Map<string, number>();
    for (const broker of [...options.embedding, ...(options.mosquitto ? [MOSQUITTO] : [])]) {
      ports.set(broker, await freePort());
    }
    const cluster = new Cluster(options, mkdtempSync(join(tmpdir(), 'wattpact-faults-')), ports, await freePort());
    try {
      if (options.mosquitto) cluster.#mosquitto = startMosquitto(cluster.folder, ports.get(MOSQUITTO) as number);
      for (const node of [...VALIDATORS, ...options.gateways]) {
        const links = new Map<string, Link>();
        cluster.#links.set(node, links);
        for (const [broker, port] of ports) if (broker !== node) links.set(broker, await Link.open(port));
      }
      await Promise.all(VALIDATORS.map((id) => cluster.run(id)));
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  dirOf(validator: string): string {
    return join(this.folder, validator);
  }

  /** Open API of the validator that answers. */
  get api(): string {
    return `http://127.0.0.1:${this.#apiPort}`;
  }

  /** Where a node finds the brokers: each behind its own link. */
  brokerUrls(node: string): string[] {
    return [...(this.#links.get(node) ?? [])].map(([broker, { port }]) =>
      broker === MOSQUITTO ? `mqtt://127.0.0.1:${port}` : `mqtt://127.0.0.1:${port}?broker=${broker}`,
    );
  }

  /** Starts the validator's process; resolves when it says that it is ready. */
  run(id: string): Promise<void> {
    const own = this.#ports.get(id);
    const child = spawn(
      process.execPath,
      [
        ...(this.#options.planted === undefined ? [] : ['--import', PLANTED]),
        join(ROOT, 'src/cli.ts'),
        'validator',
        ...['--genesis', join(this.folder, 'genesis.json'), '--id', id],
        ...['--key', join(this.folder, `${id}.pem`), '--data', this.dirOf(id)],
        ...(own === undefined ? [] : ['--listen', `127.0.0.1:${own}`]),
        ...(id === this.#options.answering ? ['--api', `127.0.0.1:${this.#apiPort}`] : []),
        ...this.brokerUrls(id).flatMap((url) => ['--broker', url]),
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, WATTPACT_LOG: 'info', WATTPACT_PLANTED: this.#options.planted ?? '' },
      },
    );
    this.#processes.set(id, child);
    let said = '';
    return new Promise((done, fail) => {
      const timer = setTimeout(
        () => fail(new Error(`${id} is not ready after ${READY_MS_MAX} ms:\n${said}`)),
        READY_MS_MAX,
      );
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          said = `${said}${text}`.slice(-4_000);
          if (!text.includes('validator started')) return;
          clearTimeout(timer);
          done();
        });
      }
      child.once('exit', (code, cause) => {
        clearTimeout(timer);
        // Who was killed before it was ready is ready when it runs again.
        if (this.#killed.has(child)) return done();
        this.falls.push(`${id} ended by itself (${code ?? cause}):\n${said}`);
        fail(new Error(`${id} ended with ${code ?? cause}:\n${said}`));
      });
    });
  }

  /** Begins a fault; the function it returns ends it. */
  begin(fault: Fault): () => void {
    switch (fault.type) {
      case 'kill':
        this.#kill(fault.node);
        return () => {
          if (!this.#processes.has(fault.node)) this.run(fault.node).catch((error) => this.falls.push(String(error)));
        };
      case 'freeze': {
        const frozen = this.#processes.get(fault.node);
        signal(frozen, 'SIGSTOP');
        return () => signal(frozen, 'SIGCONT');
      }
      case 'links': {
        const held = this.#between(fault.nodes, fault.brokers).map(({ link, outward }) =>
          link.hold(outward ? fault.mode : MIRRORED[fault.mode]),
        );
        return () => {
          for (const release of held) release();
        };
      }
    }
  }

  #kill(id: string): void {
    const child = this.#processes.get(id);
    this.#processes.delete(id);
    if (child !== undefined) {
      this.#killed.add(child);
      child.kill('SIGKILL');
    }
  }

  /** The links of these nodes to these brokers, and of others to the brokers that these nodes embed themselves. */
  #between(nodes: readonly string[], brokers: readonly string[]): { link: Link; outward: boolean }[] {
    const found: { link: Link; outward: boolean }[] = [];
    for (const [node, links] of this.#links) {
      for (const [broker, link] of links) {
        if (!brokers.includes(broker)) continue;
        if (nodes.includes(node)) found.push({ link, outward: true });
        else if (nodes.includes(broker)) found.push({ link, outward: false });
      }
    }
    return found;
  }

  /** Two halves that cannot hear each other: each keeps the brokers its own members embed. */
  split(half: readonly string[]): void {
    for (const [node, links] of this.#links) {
      for (const [broker, link] of links) if (half.includes(node) !== half.includes(broker)) link.hold('cut');
    }
  }

  /** Everything runs and hears again. */
  async heal(): Promise<void> {
    for (const links of this.#links.values()) for (const link of links.values()) link.heal();
    for (const child of this.#processes.values()) signal(child, 'SIGCONT');
    await Promise.all(VALIDATORS.filter((id) => !this.#processes.has(id)).map((id) => this.run(id)));
  }

  /** Resolves when all ledgers are at one height for a moment: nobody is behind. */
  async level(msMax: number): Promise<void> {
    const endMs = performance.now() + msMax;
    for (;;) {
      const heights = VALIDATORS.map((id) => headHeight(this.dirOf(id)));
      if (Math.max(...heights) - Math.min(...heights) <= 1) return;
      if (performance.now() > endMs) throw new Error(`heights ${heights.join(', ')} after ${msMax} ms`);
      await new Promise((done) => setTimeout(done, 200));
    }
  }

  /** Ends all validators as an operator would, so that their files are whole. */
  async end(): Promise<void> {
    const ended = [...this.#processes.values()].map(
      (child) =>
        new Promise((done) =>
          child.exitCode === null && child.signalCode === null ? child.once('exit', done) : done(0),
        ),
    );
    for (const child of this.#processes.values()) {
      this.#killed.add(child);
      child.kill('SIGTERM');
    }
    await Promise.all(ended);
    this.#processes.clear();
  }

  async stop(): Promise<void> {
    for (const id of VALIDATORS) this.#kill(id);
    this.#mosquitto?.kill('SIGKILL');
    for (const links of this.#links.values()) for (const link of links.values()) link.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A break as the other end sees it. */
const MIRRORED: Readonly<Record<LinkMode, LinkMode>> = {
  through: 'through',
  cut: 'cut',
  stalled: 'stalled',
  deaf: 'mute',
  mute: 'deaf',
};

/** Stops or continues a process that is still there. */
function signal(child: ChildProcess | undefined, name: 'SIGSTOP' | 'SIGCONT'): void {
  if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(child.pid, name);
}

function startMosquitto(folder: string, port: number): ChildProcess {
  const config = join(folder, 'mosquitto.conf');
  writeFileSync(config, `listener ${port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n`);
  return spawn('mosquitto', ['-c', config], { stdio: 'ignore' });
}

function headHeight(dir: string): number {
  const store = openLedgerStore(join(dir, LEDGER_FILE), { readonly: true });
  try {
    return store.head()?.height ?? 0;
  } finally {
    store.close();
  }
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}

function genesisOf(keys: ReadonlyMap<string, Key>, gateways: readonly string[]): Genesis {
  const party = (id: string): { id: string; publicKey: string } => ({ id, publicKey: (keys.get(id) as Key).publicKey });
  const nowMs = Date.now();
  const line = { capacityW: null, lossPpm: 0, tariffUcPerWh: 0 };
  const body = {
    clock: { originMs: nowMs, wallOriginMs: nowMs, rate: RATE },
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
    gateways: gateways.map((gateway) => ({
      bus: 'root',
      customers: [],
      devices: [{ capacityW: 100_000, id: `${gateway}-wind`, kind: 'wind' }],
      exportLimitW: 100_000,
      feeder: 'street',
      gateway,
      importLimitW: 100_000,
      meterSerial: gateway,
      publicKey: party(gateway).publicKey,
      uncertaintyWhMax: 0,
    })),
    interval: {
      lengthMs: MINUTE_MS,
      gateOpenMs: 60 * MINUTE_MS,
      requestMs: 2 * MINUTE_MS,
      gateCloseMs: MINUTE_MS,
      settlementMs: MINUTE_MS,
    },
    limits: {
      batchRequestsMax: 100,
      batchBytesMax: 256 * 1024,
      dueOperationsMax: 100,
      validForMsMax: 120 * MINUTE_MS,
      clockSkewMsMax: 10_000 * RATE,
    },
    name: 'faults',
    operators: [party('operator')],
    operatorThreshold: 1,
    rounds: 1,
    settlement: { shortfallPenaltyUcPerWh: 0, surplusPenaltyUcPerWh: 0 },
    tariffRule: { distanceUcPerWhKm: 50, energyUcPerWh: 25_000, loadingPercent: 100 },
    trustPeriodMs: 24 * 60 * MINUTE_MS,
    utilities: [party('utility')],
    validators: VALIDATORS.map(party),
  };
  return parseGenesis({ ...body, chain: chainId(body as unknown as Genesis) });
}
