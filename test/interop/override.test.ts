// The owner's word against programs that run: from the page of a demo in a browser, from the command line, and over the site's own broker.

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
import { startBrowser } from './browser.ts';

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
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const told = { text: '' };
  child.stdout.on('data', (chunk) => {
    told.text += chunk;
  });
  const gone = new Promise((done) => child.once('exit', done));
  afterwards(() => {
    child.kill('SIGTERM');
    return gone;
  });
  return told;
}

test('from the page, and back from the command line', { timeout: 240_000 }, async () => {
  const dir = join(folder(), 'demo');
  const told = program('demo', '--page', '0', '--keep', dir);
  const address = () => /the page: (\S+)/.exec(told.text)?.[1];
  await until('the demo tells its address', () => address() !== undefined, WITHIN_MS);
  const { tab, stop } = await startBrowser();
  afterwards(stop);
  await tab.call('Page.navigate', { url: address() });
  const form = `[...document.querySelectorAll('.owner form')].find((each) => each.elements.id.value === 'battery')`;
  await tab.shows('the form of the battery', form, WITHIN_MS);
  const house = join(dir, 'house.yaml');
  expect(listed(house).overrides).toEqual([]);
  await tab.evaluate(
    `(() => { const { elements } = ${form}; elements.mode.value = 'charge-to'; elements.percent.value = 90; ${form}.requestSubmit(); })()`,
  );
  const line = `[...document.querySelectorAll('.overrides li')].map((each) => each.textContent).find((text) => text.startsWith('battery'))`;
  await tab.shows('the word stands', `${line}?.includes('charged to 90 % by hand until')`, WITHIN_MS);
  expect(listed(house).overrides).toMatchObject([{ id: 'battery', mode: 'charge-to', by: 'page' }]);
  const batteryW = `(await (await fetch('/state')).json()).sites.find(({ id }) => id === 'house').batteryPowerW`;
  await tab.shows('the battery charges with all it can', `(async () => ${batteryW} < -4_000)()`, WITHIN_MS);

  cli('override', 'end', house, 'battery');
  await tab.shows('it is over', `${line} === undefined`, WITHIN_MS);
  cli('override', 'set', join(dir, 'flat.yaml'), 'boiler', 'on', '--for', '1h');
  const boiler = `[...document.querySelectorAll('.overrides li')].find((each) => each.textContent.startsWith('boiler'))`;
  await tab.shows('the load too', `${boiler}?.textContent.startsWith('boiler: on by hand')`, WITHIN_MS);
  await tab.evaluate(`${boiler}.querySelector('button').click()`);
  await tab.shows('its end was said on the page', `${boiler} === undefined`, WITHIN_MS);
  expect(listed(join(dir, 'flat.yaml')).overrides).toEqual([]);

  // Who has another token is told, and nothing is done.
  await tab.evaluate(`(() => { sessionStorage.setItem('wattpact owner', 'guessed'); ${form}.requestSubmit(); })()`);
  await tab.shows('that the token is wrong', `${form}.nextElementSibling.textContent !== ''`, WITHIN_MS);
  expect(listed(house).overrides).toEqual([]);
});

test("over the site's own broker and from the command line: a battery that discharges is held, charged, and let go again", {
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

  // The command line, in a process of its own, down to the same register.
  cli('override', 'set', file, 'battery', 'charge-to', '100', '--for', '1h');
  await until('it charges', () => (setpointW() ?? 0) < -1_000, WITHIN_MS);
  cli('override', 'end', file, 'battery');
  await until('it serves the site again', () => (setpointW() ?? 0) > 1_000, WITHIN_MS);

  const guess = connectAsync(`mqtt://127.0.0.1:${port}`, { username: OWNER, password: 'guessed', reconnectPeriod: 0 });
  await expect(guess).rejects.toThrow(/not authorized|bad user ?name/i);
});
