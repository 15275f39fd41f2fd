// The gateway as it is, on simulated devices, with a validator and its broker that go away in mid-interval and come back: what was traded is
// kept to, what was not is not assumed, its people are told, and what there is to say is said later, once.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { chainClock } from '../../src/base/clock.ts';
import { intervalAt, intervalStartMs } from '../../src/base/interval.ts';
import { SILENT } from '../../src/base/log.ts';
import { validatorDir } from '../../src/demo/consortium.ts';
import { writeSiteFile } from '../../src/demo/sitefiles.ts';
import type { GatewayEvent } from '../../src/gateway/events.ts';
import { STORE_FILE, startGateway } from '../../src/gateway/gateway.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { loadSite } from '../../src/site/load.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { startValidator, type Validator } from '../../src/validator/validator.ts';
import { afterwards, until } from '../messaging/fixtures.ts';
import { constant } from '../simulator/fixtures.ts';
import { siteIn } from './killing.ts';

const CLI = resolve(import.meta.dirname, '../../src/cli.ts');
/** An interval of 15 minutes takes 22.5 s. */
const RATE = 40;
const LENGTH_MS = 900_000;
const T = intervalAt(Date.UTC(2026, 5, 24, 11), LENGTH_MS);
/** Sold for interval T; without a trade the battery would keep the site at 0. */
const SOLD_WH = 300;
const WITHIN_MS = 30_000;

type Powers = Extract<GatewayEvent, { type: 'powers' }>;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return port;
}

test('a broker lost in mid-interval, and found again in the next one', { timeout: 120_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-lost-'));
  afterwards(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  const originMs = intervalStartMs(T, LENGTH_MS) - 2 * RATE * 1000;
  const terms = { originMs, wallOriginMs: Date.now(), rate: RATE };
  /** When all was up; until then chain time stands still, however slow the machine is: the interval is seen from its beginning. */
  let upAtMs: number | null = null;
  const what = { battery: 'fox-ess/h3', roof: 'sunspec/inverter-three-phase' };
  const { consortium, site } = siteIn(dir, what, terms);
  const { genesis } = consortium;
  const clock = chainClock(
    genesis.clock,
    () => terms.wallOriginMs + (upAtMs === null ? 0 : Date.now() - upAtMs),
    () => performance.now(),
  );
  const machine = { clock, random: () => 0.1, log: SILENT };
  const virtual = createVirtualSite({
    site: site.loaded.site,
    profiles: site.loaded.profiles,
    clock,
    initialStateOfChargePercent: 80,
    series: { generation: new Map([['roof', constant(500)]]), consumption: constant(1_000) },
  });
  const buses = await virtual.start();
  afterwards(() => virtual.stop());

  const port = await freePort();
  const broker = `mqtt://127.0.0.1:${port}?broker=validator`;
  let validator: Validator | null = null;
  async function startBroker(): Promise<void> {
    const key = consortium.keys.get('validator');
    if (key === undefined) throw new Error('no key');
    validator = await startValidator({
      ...{ genesis, id: 'validator', key, dir: validatorDir(dir, 'validator'), brokers: [] },
      ...{ listen: { host: '127.0.0.1', port }, api: null, metrics: null, emit: () => undefined, ...machine },
    });
  }
  async function stopBroker(): Promise<void> {
    await validator?.stop();
    validator = null;
  }
  await startBroker();
  afterwards(stopBroker);

  const store = openGatewayStore(join(site.dataDir, STORE_FILE));
  store.outcomes.save(T, 'notice', {
    ...{ kind: 'notice', interval: T, status: 'cleared', gateway: site.gateway, positionWh: SOLD_WH, trades: [] },
  });
  store.close();
  const events: GatewayEvent[] = [];
  const powers = (): readonly Powers[] => events.filter((event): event is Powers => event.type === 'powers');
  const during = (interval: number) => powers().filter(({ atMs }) => intervalAt(atMs, LENGTH_MS) === interval);
  const conditions = (what: 'began' | 'ended') =>
    events.flatMap((event) => (event.type === 'condition' && event.what === what ? [event.condition.code] : []));
  const market = { genesis: consortium.genesisFile, brokers: [broker], key: site.keyFile, dataDir: site.dataDir };
  const siteFile = join(dir, 'running.yaml');
  writeSiteFile({ from: site.loaded.file, to: siteFile, buses, market });
  const key = consortium.keys.get(site.gateway);
  if (key === undefined) throw new Error('no key');
  const gateway = await startGateway({
    ...{ loaded: loadSite(siteFile), genesis, gateway: site.gateway, key, dir: site.dataDir, brokers: [broker] },
    ...{ clockTrust: 'assumed' as const, checkpoints: [], demandHttp: null, demandMqtt: null, ...machine },
    randomBytes: (length) => new Uint8Array(length).map((_, i) => (i * 37 + performance.now()) & 0xff),
    emit: (event) => events.push(event),
  });
  afterwards(() => gateway.stop());
  upAtMs = Date.now();

  // The trade is driven, and the validator has said what this gateway signed last: all is well.
  await until(
    'the trade is driven',
    () => during(T).some(({ powers: now }) => (now.gridPowerW ?? 0) < -800),
    WITHIN_MS,
  );
  await until('it may sign', () => powers().at(-1)?.trouble === null, WITHIN_MS);
  const lostAtMs = clock.chainMs();
  expect(intervalAt(lostAtMs, LENGTH_MS)).toBe(T);
  await stopBroker();

  // It is told: by the gateway, on the page, and to whoever asks.
  await until('it is told', () => conditions('began').includes('brokers-lost'), WITHIN_MS);
  expect(powers().at(-1)?.conditions.join()).toMatch(/no broker can be reached: what was traded is kept to/);
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'status', site.dataDir]);
  expect(stdout).toMatch(/no broker can be reached/);
  // Until the end of the interval nothing changes: what was traded is met by what the site has.
  const ticksAfter = () => powers().filter(({ atMs }) => atMs >= intervalStartMs(T + 1, LENGTH_MS)).length;
  await until('the next interval', () => ticksAfter() > 2, WITHIN_MS);
  const kept = during(T).filter(({ atMs }) => atMs > lostAtMs);
  expect(kept.length).toBeGreaterThan(3);
  for (const { control, positionWh } of kept) {
    expect(control).toMatch(/^trade: /);
    expect(positionWh).toBe(SOLD_WH);
  }
  const delivery = () => events.find((event) => event.type === 'delivery' && event.interval === T);
  await until('the delivery is signed', () => delivery() !== undefined, WITHIN_MS);
  const delivered = delivery();
  const deliveredWh = delivered?.type === 'delivery' ? delivered.deliveredWh : Number.NaN;
  expect(Math.abs(deliveredWh - SOLD_WH)).toBeLessThan(0.25 * SOLD_WH);

  // What was offered for the next one may have been traded or not: the battery serves the site itself, and nothing is assumed.
  for (const { control, positionWh } of during(T + 1)) {
    expect(control).toMatch(/^own use: no trade known/);
    expect(positionWh).toBe(null);
  }

  // What is to be said waits on disk.
  const waiting = openGatewayStore(join(site.dataDir, STORE_FILE), { readonly: true });
  expect(waiting.requests.undecided().map(({ kind, interval }) => [kind, interval])).toContainEqual(['delivery', T]);
  waiting.close();

  await startBroker();
  const recorded = () =>
    events.filter(
      (event) =>
        event.type === 'request' && event.interval === T && event.kind === 'delivery' && event.phase === 'recorded',
    );
  await until('the delivery stands on the chain', () => recorded().length > 0, WITHIN_MS);
  await until('it is told that this is over', () => conditions('ended').includes('brokers-lost'), WITHIN_MS);
});
