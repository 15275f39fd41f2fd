// The real gateway as a process, killed with SIGKILL while it forces a heat pump: what it leaves, what one that comes back does, and its exit.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test, vi } from 'vitest';
import { writeSiteFile } from '../../src/demo/sitefiles.ts';
import { STORE_FILE } from '../../src/gateway/gateway.ts';
import { createOverrides } from '../../src/gateway/overrides.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { loadSite } from '../../src/site/load.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { siteIn } from './killing.ts';

const CLI = resolve(import.meta.dirname, '../../src/cli.ts');
const WAIT = { timeout: 60_000, interval: 20 };
const PUMP =
  'loads:\n  pump: { device: isg, kind: sg-ready, control: switch1, block: switch2, powersW: [1500, 3000], minOnSeconds: 0, minOffSeconds: 0 }\n';

test('a killed gateway leaves it in state 4, the next one takes it back by way of 3, and so does its exit', {
  timeout: 120_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-sgready-'));
  const { consortium, site } = siteIn(dir, { battery: 'sma/sunny-island', roof: 'sunspec/inverter-three-phase' });
  const file = join(dir, 'with-pump.yaml');
  writeFileSync(
    file,
    `${readFileSync(site.loaded.file, 'utf8')
      .replace('devices:\n', '  pumps: { kind: tcp, host: 127.0.0.1, port: 1505 }\ndevices:\n')
      .replace(
        'storage:\n',
        '  isg: { profile: stiebel-eltron/isg, bus: pumps, unitId: 1, role: load }\nstorage:\n',
      )}${PUMP}`,
  );
  const loaded = loadSite(file);
  const contacts: Record<string, number> = { switch1: 0, switch2: 0 };
  const passed: string[] = [];
  const virtual = createVirtualSite({
    ...loaded,
    clock: { chainMs: () => Date.now(), monotonicMs: () => performance.now() },
    series: { generation: new Map(), consumption: null },
    onCommand(device, control, value) {
      if (device !== 'isg') return;
      contacts[control] = value ?? 0;
      passed.push(`${contacts.switch2}:${contacts.switch1}`);
    },
  });
  const siteFile = join(dir, 'running.yaml');
  const { keyFile: key, dataDir } = site;
  const market = { genesis: consortium.genesisFile, brokers: ['mqtt://127.0.0.1:1'], key, dataDir };
  writeSiteFile({ from: file, to: siteFile, buses: await virtual.start(), market });
  const out = openSync(join(dir, 'log'), 'a');
  const start = (): ChildProcess =>
    spawn(process.execPath, [CLI, 'gateway', siteFile, '--clock', 'assumed'], { stdio: ['ignore', out, out] });
  const ended = (child: ChildProcess, signal: NodeJS.Signals): Promise<unknown> => {
    const gone = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    return gone;
  };
  let child = start();
  const word = () => {
    const store = openGatewayStore(join(dataDir, STORE_FILE));
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const statement = { id: 'pump', mode: 'on', until };
    const clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };
    createOverrides({ site: loaded.site, store, clock }).accept(
      new TextEncoder().encode(JSON.stringify(statement)),
      'command line',
    );
    store.close();
  };
  const forced = () => vi.waitFor(() => expect(passed.at(-1)).toBe('1:1'), WAIT);
  try {
    await vi.waitFor(() => word(), WAIT);
    await forced();
    expect(virtual.state().loads.get('pump')?.powerW).toBe(3_000);
    await ended(child, 'SIGKILL');
    expect(passed.at(-1)).toBe('1:1');
    passed.length = 0;
    child = start();
    await vi.waitFor(() => expect(passed).toContain('0:0'), WAIT);
    await forced();
    await ended(child, 'SIGTERM');
    expect(passed.at(-1)).toBe('0:0');
    expect(passed).not.toContain('1:0');
    expect(passed.at(0)).toBe('0:1');
  } finally {
    if (child.exitCode === null && child.signalCode === null) await ended(child, 'SIGKILL');
    await virtual.stop();
    rmSync(dir, { recursive: true, force: true });
  }
});
