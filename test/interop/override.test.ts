// The owner's word against a gateway that runs: over the site's own broker, as the command line lists it, down to the inverter's register.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connectAsync } from 'mqtt';
import { expect, test } from 'vitest';
import { writeSiteFile } from '../../src/demo/sitefiles.ts';
import { OWNER } from '../../src/gateway/overrides.ts';
import { SITE_OVERRIDE_TOPIC } from '../../src/protocol/topics.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { siteIn } from '../gateway/killing.ts';
import { afterwards, clock, until } from '../messaging/fixtures.ts';
import { constant } from '../simulator/fixtures.ts';

const CLI = resolve(import.meta.dirname, '../../src/cli.ts');
const WITHIN_MS = 60_000;

function cli(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

interface Listed {
  readonly overrides: readonly { readonly id: string; readonly mode: string; readonly by: string }[];
}
const listed = (site: string): Listed => JSON.parse(cli('override', 'list', site, '--json'));

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-override-'));
  afterwards(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function program(...args: string[]) {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'ignore', 'ignore'] });
  const gone = new Promise((done) => child.once('exit', done));
  afterwards(() => {
    child.kill('SIGTERM');
    return gone;
  });
}

test("over the site's own broker: a battery that discharges is held, and let go again", {
  timeout: 120_000,
}, async () => {
  const dir = folder();
  const { consortium, site } = siteIn(dir, { battery: 'fox-ess/h3', roof: 'sunspec/inverter-three-phase' });
  const { loaded, keyFile, dataDir } = site;
  const virtual = createVirtualSite({
    site: loaded.site,
    profiles: loaded.profiles,
    clock,
    series: { generation: new Map([['roof', constant(500)]]), consumption: constant(2_500) },
  });
  const file = join(dir, 'running.yaml');
  const market = { genesis: consortium.genesisFile, brokers: ['mqtt://127.0.0.1:1'], key: keyFile, dataDir };
  writeSiteFile({ from: loaded.file, to: file, buses: await virtual.start(), market });
  afterwards(() => virtual.stop());
  const token = cli('override', 'token', file).trim();
  const port = 20_000 + Math.floor(10_000 * Math.random());
  program('gateway', file, '--clock', 'assumed', '--demand-mqtt', `127.0.0.1:${port}`);
  const setpointW = () => virtual.state().batteries.get('battery')?.setpointW ?? null;
  await until('it discharges', () => (setpointW() ?? 0) > 1_000, WITHIN_MS);
  const owner = await connectAsync(`mqtt://127.0.0.1:${port}`, { username: OWNER, password: token });
  afterwards(() => owner.endAsync());
  const say = (statement: object) => owner.publishAsync(SITE_OVERRIDE_TOPIC, JSON.stringify(statement), { qos: 1 });
  await say({ id: 'battery', mode: 'hold', until: `${new Date(Date.now() + 3_600_000).toISOString().slice(0, 19)}Z` });
  await until('it is held', () => setpointW() === 0, WITHIN_MS);
  expect(listed(file).overrides).toMatchObject([{ id: 'battery', mode: 'hold', by: 'site broker' }]);
  await say({ id: 'battery', mode: 'auto' });
  await until('it discharges again', () => (setpointW() ?? 0) > 1_000, WITHIN_MS);
});
