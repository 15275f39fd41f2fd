// The demo: a neighbourhood on simulated devices. Starts the virtual sites, a consortium of its own, every validator and gateway as a process,
// a utility and a planning system, and tells what happens. Owns the composition; nothing in it is known to the programs it starts.

import { spawnSync } from 'node:child_process';
import { randomBytes as nodeRandomBytes, timingSafeEqual } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Clock, chainClock } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { intervalAt, isoSeconds } from '../base/interval.ts';
import { SILENT } from '../base/log.ts';
import { readUserFile } from '../commands/runtime.ts';
import type { GatewayEvent } from '../gateway/events.ts';
import { STORE_FILE } from '../gateway/gateway.ts';
import { createOverrides, overridable, overrideText } from '../gateway/overrides.ts';
import type { Key } from '../keys/files.ts';
import { chooseSeries } from '../simulator/site-series.ts';
import type { SiteSeries, VirtualSite } from '../simulator/types.ts';
import { createVirtualSite } from '../simulator/virtual-site.ts';
import { openGatewayStore } from '../store/gateway.ts';
import type { ValidatorEvent } from '../validator/events.ts';
import { createPage, type Page } from '../web/page.ts';
import type { EventView } from '../web/state.ts';
import { type Book, createBook } from './book.ts';
import { type Consortium, type ConsortiumSite, makeConsortium, parseConsortium, validatorDir } from './consortium.ts';
import { compareInBackground, type Learned, type LearningComparison } from './learning.ts';
import { type DemoOutcome, demoOutcome, outcomeProblems } from './outcome.ts';
import { pageState } from './pagestate.ts';
import { writePast } from './past.ts';
import { createPlanner } from './planner.ts';
import { closingLines, intervalLines } from './report.ts';
import { type BatteryEdge, compareWithRule, edgeOf, isComparable, type RuleComparison } from './rule.ts';
import { writeSiteFile } from './sitefiles.ts';
import { CLI, createSupervisor, type Supervisor } from './supervisor.ts';
import { startUtility, type Utility } from './utility.ts';

export const DEMO_FILE = resolve(import.meta.dirname, '../../devices/demo/consortium.yaml');

/** A summer morning: sun, wind, and people at work. The first market interval of every demo. */
const FIRST_INTERVAL_MS = Date.UTC(2026, 5, 22, 9, 0);
/** The first request falls due when the processes should be ready: eight of them start, on a machine that is given one start to be measured by. */
const STARTS = 6;
const READY_MS_MIN = 3_000;
/** Days of the virtual sites' past that their gateways know. */
const PAST_DAYS = 2;
/** The utility's tariff at the root: finite, and for every interval the same. */
const TARIFF = { buyUcPerWh: 8_000, sellUcPerWh: 30_000, buyWhMax: 1_000_000, sellWhMax: 1_000_000 };
/** Intervals beyond the wanted ones after which the demo gives up. */
const INTERVALS_SPARE = 8;
/** Days of past with which the forecasts are compared at the end; the last is what the gateways had. */
const DAYS_COMPARED = [0, 1, PAST_DAYS] as const;
/** ... over so many intervals from the demo's first on, also when it ended earlier: a few say nothing. */
const INTERVALS_COMPARED = 96;
/** Batteries are looked at this often, wall ms: where an interval begins is seen as late at most. */
const EDGE_EVERY_MS = 100;
const PAGE_EVENTS = 40;
const CURVE_POINTS = 120;
const HOST = '127.0.0.1';
/** The site whose planning system states what it needs. */
const STATING_SITE = 'factory';

export type Part = 'primary' | 'gateway' | 'broker' | 'validator';

export interface DemoOptions {
  /** Wall seconds of an interval. */
  readonly intervalS: number;
  /** Stop after so many settled intervals; null: until told. */
  readonly intervals: number | null;
  /** Measured series; null: the shipped days. */
  readonly dataDir: string | null;
  /** A broker that is not ours, e.g. mosquitto; null: the validators' embedded ones. */
  readonly broker: string | null;
  readonly kill: Part | null;
  /** Port of the page; null: no page. */
  readonly pagePort: number | null;
  /** A new folder in which keys, ledgers, stores and logs are kept; null: a temporary one that is removed. */
  readonly keepIn: string | null;
  /** Lines for people. */
  readonly say: (line: string) => void;
}

/** A battery site against the usual rule. */
export type SiteComparison = RuleComparison & { readonly gateway: string };

export interface DemoResult {
  readonly outcome: DemoOutcome & { readonly learning: readonly Learned[]; readonly rule: readonly SiteComparison[] };
  readonly problems: readonly string[];
}

/** Runs until `intervals` are settled, or `ended` resolves. Leaves nothing behind. */
export async function runDemo(options: DemoOptions, ended: Promise<void>): Promise<DemoResult> {
  const { keepIn } = options;
  if (keepIn !== null) mkdirSync(keepIn, { mode: 0o700 });
  const dir = keepIn ?? mkdtempSync(join(tmpdir(), 'wattpact-demo-'));
  const demo = new Demo(options, dir, READY_MS_MIN + STARTS * measureStart());
  try {
    await demo.start();
    await Promise.race([demo.done, ended]);
    return await demo.finish();
  } finally {
    await demo.stop();
    if (keepIn === null) rmSync(dir, { recursive: true, force: true });
  }
}

class Demo {
  readonly #options: DemoOptions;
  readonly #dir: string;
  readonly #consortium: Consortium;
  readonly #clock: Clock;
  readonly #book: Book;
  readonly #supervisor: Supervisor;
  readonly #virtual = new Map<string, VirtualSite>();
  #series: ReadonlyMap<string, SiteSeries> = new Map();
  /** Batteries as each interval began, by gateway. */
  readonly #edges = new Map<string, Map<number, BatteryEdge>>();
  #edgeTimer: NodeJS.Timeout | null = null;
  readonly #curves = new Map<string, (number | null)[]>();
  readonly #events: EventView[] = [];
  readonly #reported = new Set<number>();
  #comparison: LearningComparison | null = null;
  /** Of who may act from the page; in the address that the terminal shows. */
  readonly #token = nodeRandomBytes(24).toString('base64url');
  readonly done: Promise<void>;
  #finished: () => void = () => undefined;
  #failed: (error: unknown) => void = () => undefined;
  #utility: Utility | null = null;
  #page: Page | null = null;
  #planner: { stop(): void } | null = null;
  /** The process that was killed once, where that is wanted. */
  #killed: string | null = null;
  #deadline: NodeJS.Timeout | null = null;

  constructor(options: DemoOptions, dir: string, readyMs: number) {
    this.#options = options;
    this.#dir = dir;
    this.done = new Promise((finished, failed) => {
      this.#finished = finished;
      this.#failed = failed;
    });
    const consortium = parseConsortium(readUserFile(DEMO_FILE, 'consortium'), DEMO_FILE);
    const rate = Math.max(1, Math.round((consortium.interval.minutes * 60) / options.intervalS));
    const wallOriginMs = Date.now();
    const originMs = FIRST_INTERVAL_MS - consortium.interval.requestMinutes * 60_000 - Math.round(readyMs) * rate;
    const terms = { originMs, wallOriginMs, rate };
    this.#clock = chainClock(
      terms,
      () => Date.now(),
      () => performance.now(),
    );
    this.#consortium = makeConsortium({ consortium, file: DEMO_FILE, dir, clock: terms });
    this.#book = createBook(this.#consortium.sites.map(({ gateway }) => gateway));
    this.#supervisor = createSupervisor({
      dir,
      env: {
        ...process.env,
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), 'wattpact-compile-cache'),
      },
      onMessage: (name, message) => this.#onMessage(name, message),
      onEnd: (name, how) => {
        this.#book.onEnd(name);
        this.#tell('bad', `${name} ended (${how}); it is started again`);
      },
      onRestart: (name) => this.#tell('plain', `${name} runs again`),
      onGiveUp: (error) => this.#failed(error),
    });
  }

  async start(): Promise<void> {
    const { genesis, sites, genesisFile, keyFiles } = this.#consortium;
    const { say, dataDir, broker } = this.#options;
    this.#series = chooseSeries(
      dataDir,
      sites.map(({ loaded }) => loaded.site),
      FIRST_INTERVAL_MS,
    );

    const hosts = genesis.validators.slice(-2).map(({ id }) => id);
    const ports = new Map<string, number>();
    if (broker === null) for (const id of hosts) ports.set(id, await freePort());
    const brokersBut = (self: string): string[] =>
      broker !== null
        ? [broker]
        : hosts.filter((id) => id !== self).map((id) => `mqtt://${HOST}:${ports.get(id)}?broker=${id}`);

    for (const { id } of genesis.validators) {
      const port = ports.get(id);
      this.#supervisor.start(id, [
        'validator',
        ...['--genesis', genesisFile, '--id', id, '--key', keyFiles.get(id) as string],
        ...['--data', validatorDir(this.#dir, id)],
        ...brokersBut(id).flatMap((url) => ['--broker', url]),
        ...(port === undefined ? [] : ['--listen', `${HOST}:${port}`]),
      ]);
    }
    for (const site of sites) {
      const series = this.#series.get(site.loaded.site.id) as SiteSeries;
      await this.#startSite(site, series, brokersBut(''));
    }
    this.#edgeTimer = setInterval(() => this.#seeEdges(), EDGE_EVERY_MS);
    this.#giveUpLater();
    const [feeder] = genesis.feeders;
    const [utility] = genesis.utilities;
    if (feeder === undefined || utility === undefined)
      throw new WattpactError('consortium.empty', 'the demo needs a feeder and a utility');
    this.#utility = startUtility({
      genesis,
      utility: utility.id,
      key: this.#consortium.keys.get(utility.id) as Key,
      brokers: brokersBut(''),
      feeder: feeder.id,
      tariff: TARIFF,
      clock: this.#clock,
      random: Math.random,
      randomBytes: (length) => new Uint8Array(nodeRandomBytes(length)),
      log: SILENT,
    });
    if (this.#options.pagePort !== null) await this.#startPage(this.#options.pagePort);
    const source = dataDir === null ? 'shipped days' : dataDir;
    say(
      `Wattpact demo: ${genesis.validators.length} validators, ${sites.length} sites on ${source}, chain ${genesis.chain}`,
    );
    say(
      `an interval of ${genesis.interval.lengthMs / 60_000} minutes takes ${this.#options.intervalS} s${this.#page === null ? '' : `; the page: ${this.#page.url}/#token=${this.#token}`}`,
    );
  }

  /** A demo that should stop after some intervals but cannot get there ends all the same, and says so. */
  #giveUpLater(): void {
    const { intervals, intervalS } = this.#options;
    if (intervals === null) return;
    const waitMs = (intervals + INTERVALS_SPARE) * intervalS * 1000;
    this.#deadline = setTimeout(() => {
      this.#options.say(
        `  * only ${this.#reported.size} of ${intervals} intervals were settled in ${Math.round(waitMs / 1000)} s`,
      );
      this.#finished();
    }, waitMs);
  }

  async #startSite(site: ConsortiumSite, series: SiteSeries, brokers: readonly string[]): Promise<void> {
    const { genesis, genesisFile } = this.#consortium;
    const { loaded, gateway, keyFile, dataDir } = site;
    const virtual = createVirtualSite({ site: loaded.site, profiles: loaded.profiles, series, clock: this.#clock });
    this.#virtual.set(gateway, virtual);
    const buses = await virtual.start();
    const siteFile = join(this.#dir, `${loaded.site.id}.yaml`);
    writeSiteFile({
      from: loaded.file,
      to: siteFile,
      buses,
      market: { genesis: genesisFile, brokers, key: keyFile, dataDir },
    });

    const { lengthMs } = genesis.interval;
    const store = openGatewayStore(join(dataDir, STORE_FILE));
    writePast({
      energies: store.energies,
      series,
      storage: loaded.site.storage.map(({ id }) => id),
      until: intervalAt(this.#clock.chainMs(), lengthMs),
      intervals: (PAST_DAYS * 24 * 3_600_000) / lengthMs,
      intervalMs: lengthMs,
    });
    // The factory's planning system is a program of its own: it has a token and posts to the gateway's door.
    const states = loaded.site.id === STATING_SITE && series.consumption !== null;
    const customer = loaded.site.customers[0]?.id;
    const token = states && customer !== undefined ? store.customers.issue(customer) : null;
    store.close();

    const args = ['gateway', siteFile, '--id', gateway, '--clock', 'assumed'];
    if (token === null || series.consumption === null) {
      this.#supervisor.start(gateway, args);
      return;
    }
    const port = await freePort();
    this.#supervisor.start(gateway, [...args, '--demand-http', `${HOST}:${port}`]);
    this.#planner = createPlanner({
      url: `http://${HOST}:${port}/demand`,
      token,
      schedule: series.consumption,
      genesis,
      clock: this.#clock,
      onTrouble: (what) => this.#tell('warn', what),
    });
  }

  async #startPage(port: number): Promise<void> {
    const { genesis, sites } = this.#consortium;
    const names = new Map(sites.map(({ gateway, loaded }) => [gateway, loaded.site.name]));
    const equipment = new Map(sites.map(({ gateway, loaded }) => [gateway, overridable(loaded.site)]));
    this.#page = await createPage({
      host: HOST,
      port,
      log: SILENT,
      owner: {
        isOwner: (token) =>
          token.length === this.#token.length && timingSafeEqual(Buffer.from(token), Buffer.from(this.#token)),
        override: (site, payload) => this.#override(site, payload),
        monotonicMs: () => this.#clock.monotonicMs(),
      },
      snapshot: () =>
        pageState({
          canAct: true,
          equipment,
          book: this.#book,
          genesis,
          source: this.#options.dataDir ?? 'shipped days',
          nowMs: this.#clock.chainMs(),
          names,
          curves: this.#curves,
          events: this.#events,
        }),
    });
  }

  /** As `wattpact override` does it: into the store of the gateway, which looks there. */
  #override(gateway: string, payload: Uint8Array): void {
    const site = this.#consortium.sites.find((each) => each.gateway === gateway);
    if (site === undefined) throw new WattpactError('override.site', `there is no site ${gateway}`);
    const store = openGatewayStore(join(site.dataDir, STORE_FILE));
    try {
      createOverrides({ site: site.loaded.site, store, clock: this.#clock }).accept(payload, 'page');
    } finally {
      store.close();
    }
  }

  #onMessage(name: string, message: unknown): void {
    if (this.#consortium.keyFiles.has(name) && name.startsWith('gateway-'))
      this.#onGateway(name, message as GatewayEvent);
    else this.#book.onValidator(name, message as ValidatorEvent);
    const event = message as ValidatorEvent;
    if (event.type === 'consensus') this.#onConsensus(name, event.event);
    this.#page?.refresh();
  }

  #onGateway(gateway: string, event: GatewayEvent): void {
    this.#book.onGateway(gateway, event);
    if (event.type === 'trouble') this.#tell('warn', `${gateway}: ${event.what}`);
    if (event.type === 'condition' && event.what === 'began') this.#tell('warn', `${gateway}: ${event.condition.text}`);
    if (event.type === 'condition' && event.what === 'ended')
      this.#tell('good', `${gateway}: no longer: ${event.condition.text}`);
    if (event.type === 'override')
      this.#tell('warn', `${gateway}: override ${event.what}, ${overrideText(event.override)}`);
    if (event.type === 'powers') {
      const curve = this.#curves.get(gateway) ?? [];
      curve.push(event.powers.gridPowerW);
      this.#curves.set(gateway, curve.slice(-CURVE_POINTS));
    }
    if (event.type === 'settlement') this.#onSettlement();
  }

  #onConsensus(name: string, event: Extract<ValidatorEvent, { type: 'consensus' }>['event']): void {
    if (event.type === 'view change')
      this.#tell('warn', `${name} leaves the primary (view ${event.view}): ${event.reason}`);
    if (event.type === 'new view')
      this.#tell('good', `${name} follows ${event.primary} as primary in view ${event.view}`);
    if (event.type === 'evidence') this.#tell('bad', `${name} holds evidence against ${event.accused}`);
  }

  #onSettlement(): void {
    const { genesis } = this.#consortium;
    const settled = this.#book.settled();
    // The demo begins with the first interval that every site was up in time for; sites are metered and settled before that as well.
    const first = settled.find((interval) => this.#book.requestedInTimeByAll(interval));
    if (first !== undefined && this.#comparison === null) this.#compareLearning(first);
    for (const interval of settled.filter((settledInterval) => first !== undefined && settledInterval >= first)) {
      if (this.#reported.has(interval)) continue;
      this.#reported.add(interval);
      for (const line of intervalLines(this.#book, interval, genesis)) this.#options.say(line);
      this.#tell('good', `interval ${isoSeconds(interval * genesis.interval.lengthMs).slice(11, 16)} settled`, false);
      this.#killOnce();
    }
    if (this.#options.intervals !== null && this.#reported.size >= this.#options.intervals) this.#finished();
  }

  /** Once, after the first settled interval, while the next ones are under way. */
  #killOnce(): void {
    const { kill, broker } = this.#options;
    if (kill === null || this.#killed !== null) return;
    const name = this.#victim(kill);
    this.#killed = name;
    const what =
      kill === 'primary'
        ? `${name}, the primary`
        : kill === 'broker' && broker === null
          ? `${name} and with it the broker in its process; the others talk through the second broker`
          : name;
    this.#tell('bad', `killed (SIGKILL): ${what}`);
    this.#supervisor.kill(name);
  }

  #victim(kill: Part): string {
    const { genesis } = this.#consortium;
    const [status] = [...this.#book.validators.values()];
    const primary = status?.primary ?? (genesis.validators[0]?.id as string);
    const hosts = genesis.validators.slice(-2).map(({ id }) => id);
    switch (kill) {
      case 'primary':
        return primary;
      case 'gateway':
        return this.#consortium.sites[0]?.gateway as string;
      case 'broker':
        return (hosts.find((id) => id !== primary) ?? hosts[0]) as string;
      case 'validator':
        return genesis.validators.find(({ id }) => id !== primary && !hosts.includes(id))?.id as string;
      default:
        return kill satisfies never;
    }
  }

  #tell(tone: EventView['tone'], text: string, aloud = true): void {
    this.#events.unshift({ atMs: this.#clock.chainMs(), tone, text });
    this.#events.length = Math.min(this.#events.length, PAGE_EVENTS);
    if (aloud) this.#options.say(`  * ${text}`);
  }

  /** Ends the processes, then judges what they left. */
  async finish(): Promise<DemoResult> {
    const { genesis } = this.#consortium;
    await this.stop();
    const intervals = [...this.#reported].sort((a, b) => a - b).slice(0, this.#options.intervals ?? undefined);
    const [first] = genesis.validators;
    const outcome = demoOutcome(this.#book, intervals, genesis, validatorDir(this.#dir, first?.id as string));
    const problems = outcomeProblems(outcome, this.#book, this.#options.intervals, this.#killed);
    // Who ends the demo by hand does not wait for what is not compared yet.
    const learning = this.#comparison?.result(this.#options.intervals !== null) ?? [];
    const closing = { learning, rule: this.#rule(intervals) };
    for (const line of closingLines(closing, genesis)) this.#options.say(line);
    return { outcome: { ...outcome, ...closing }, problems };
  }

  #seeEdges(): void {
    const interval = intervalAt(this.#clock.chainMs(), this.#consortium.genesis.interval.lengthMs);
    for (const [gateway, virtual] of this.#virtual) {
      const edges = this.#edges.get(gateway) ?? new Map<number, BatteryEdge>();
      if (!edges.has(interval)) edges.set(interval, edgeOf(virtual.state()));
      this.#edges.set(gateway, edges);
    }
  }

  /** Compares, while the demo runs, what forecasters that know less of the past make of the sites whose needs nobody states. */
  #compareLearning(first: number): void {
    const { genesis, sites } = this.#consortium;
    this.#comparison = compareInBackground(
      {
        sites: sites
          .filter(({ loaded }) => loaded.site.id !== STATING_SITE)
          .map(({ loaded }) => ({ site: loaded.site, series: this.#series.get(loaded.site.id) as SiteSeries })),
        days: DAYS_COMPARED,
        first,
        count: INTERVALS_COMPARED,
        lengthMs: genesis.interval.lengthMs,
      },
      (error) => this.#failed(error),
    );
  }

  /** Sites with a battery against the usual rule; left out where an interval in between was not settled. */
  #rule(intervals: readonly number[]): readonly SiteComparison[] {
    const { genesis, sites } = this.#consortium;
    const [first] = intervals;
    if (first === undefined) return [];
    const all = Array.from({ length: (intervals.at(-1) as number) - first + 1 }, (_, i) => first + i);
    return sites
      .filter(({ loaded }) => isComparable(loaded.site))
      .flatMap(({ gateway, loaded }) => {
        const seen = all.map((interval) => this.#book.site(gateway, interval));
        const [start, end] = [first, first + all.length].map((interval) => this.#edges.get(gateway)?.get(interval));
        const moneyUc = seen.flatMap(({ settlement }) =>
          settlement === null ? [] : [settlement.tradesUc + settlement.imbalanceUc],
        );
        if (start === undefined || end === undefined || moneyUc.length < all.length) return [];
        const compared = compareWithRule({
          site: loaded.site,
          series: this.#series.get(loaded.site.id) as SiteSeries,
          lengthMs: genesis.interval.lengthMs,
          first,
          moneyUc,
          pricesUcPerWh: seen.map(({ notice }) => (notice?.status === 'cleared' ? notice.nodalPriceUcPerWh : null)),
          tariff: TARIFF,
          start,
          end,
        });
        return [{ gateway, ...compared }];
      });
  }

  async stop(): Promise<void> {
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#planner?.stop();
    this.#comparison?.stop();
    await this.#utility?.stop().catch((error: unknown) => this.#options.say(`  * utility: ${describeError(error)}`));
    this.#utility = null;
    await this.#supervisor.stop();
    await this.#page?.close();
    this.#page = null;
    if (this.#edgeTimer !== null) clearInterval(this.#edgeTimer);
    for (const virtual of this.#virtual.values()) await virtual.stop();
    this.#virtual.clear();
  }
}

/** Compiled sources are kept between the processes and from run to run: a Pi starts in half the time. */
const ENVIRONMENT = {
  ...process.env,
  NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), 'wattpact-compile-cache'),
};

/** Wall ms that one process of ours takes to start on this machine, now. */
function measureStart(): number {
  const startedMs = performance.now();
  spawnSync(process.execPath, [CLI, 'validator', '--help'], { env: ENVIRONMENT, stdio: 'ignore' });
  return performance.now() - startedMs;
}

/** Ports that no machine gives away by itself: between being found free and being listened on nobody else gets them by chance. */
const PORTS = { from: 20_000, to: 30_000 } as const;
const PORT_TRIES = 100;

/** A port that is free now on loopback. */
async function freePort(): Promise<number> {
  for (let i = 0; i < PORT_TRIES; i++) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    if (await isFree(port)) return port;
  }
  throw new WattpactError('demo.port', `no free port found on ${HOST} from ${PORTS.from} to ${PORTS.to}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((found) => {
    const server = createServer();
    server.once('error', () => found(false));
    server.listen(port, HOST, () => server.close(() => found(true)));
  });
}
