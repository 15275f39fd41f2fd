// The units as systemd judges them, the messages as a socket of systemd receives them, and an installation that runs.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { createNotifier } from '../../src/commands/notify.ts';
import { afterwards, recordingLog, until } from '../messaging/fixtures.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SYSTEMD = join(ROOT, 'systemd');

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'wattpact-systemd-'));
  afterwards(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

describe.each(['gateway', 'validator'])('the unit of the %s', (name) => {
  const unit = join(SYSTEMD, `wattpact-${name}.service`);

  test('is exposed 2.0 at most', () => {
    const text = execFileSync('systemd-analyze', ['security', '--offline=true', '--no-pager', unit], {
      encoding: 'utf8',
    });
    const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(text)?.[1]);
    expect(exposure).toBeGreaterThan(0);
    expect(exposure).toBeLessThanOrEqual(2.0);
  });

  test('holds no word that systemd does not know', () => {
    const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' });
    // The program is not installed here, and there is no running systemd.
    const complaints = stderr
      .split('\n')
      .filter((line) => line.includes(unit) && !/not executable|Command .* is not/.test(line));
    expect(complaints).toEqual([]);
  });
});

test.each(['gateway', 'validator'])('the unit of the %s starts what the command line offers', (name) => {
  const unit = readFileSync(join(SYSTEMD, `wattpact-${name}.service`), 'utf8');
  const options = unit.match(/^(ExecStart|# [A-Z]+_OPTIONS)=.*$/gm)?.flatMap((line) => line.match(/--[a-z-]+/g) ?? []);
  const help = execFileSync(join(SYSTEMD, 'wattpact'), [name, '--help'], { encoding: 'utf8' });
  expect(options?.length).toBeGreaterThan(0);
  expect(options?.filter((option) => !help.includes(`${option} `))).toEqual([]);
});

test('users and folders are understood by systemd', () => {
  const root = folder();
  for (const kind of ['sysusers', 'tmpfiles']) {
    mkdirSync(join(root, `usr/lib/${kind}.d`), { recursive: true });
    copyFileSync(join(SYSTEMD, `${kind}.conf`), join(root, `usr/lib/${kind}.d/wattpact.conf`));
  }
  mkdirSync(join(root, 'etc'));
  execFileSync('systemd-sysusers', [`--root=${root}`, 'wattpact.conf'], { stdio: 'pipe' });
  expect(readFileSync(join(root, 'etc/passwd'), 'utf8')).toMatch(/^wattpact-gateway:.*^wattpact-validator:/ms);
  execFileSync('systemd-tmpfiles', ['--create', `--root=${root}`, 'wattpact.conf'], { stdio: 'pipe' });
  expect(existsSync(join(root, 'etc/wattpact'))).toBe(true);
  expect(lstatSync(join(root, 'var/lib/wattpact-gateway')).mode & 0o777).toBe(0o700);
});

describe('what systemd is told', () => {
  /** A socket as systemd's: prints each datagram as a line of JSON. */
  const RECEIVER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print('"bound"', flush=True)
while True: print(json.dumps(s.recv(4096).decode()), flush=True)
`;
  async function receiver(): Promise<{ socket: string; heard: string[] }> {
    const socket = join(folder(), 'notify');
    const child = spawn('python3', ['-c', RECEIVER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    afterwards(() => child.kill('SIGKILL'));
    let text = '';
    const heard: string[] = [];
    child.stdout.on('data', (chunk) => {
      text += chunk;
      heard.splice(
        0,
        heard.length,
        ...text
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line)),
      );
    });
    await until('the socket', () => heard.includes('bound'));
    return { socket, heard };
  }

  test('ready with a status, alive while the loop turns and no longer, stopping', async () => {
    const { socket, heard } = await receiver();
    const log = recordingLog();
    let lastTickMs = performance.now();
    const environment = { PATH: process.env.PATH, NOTIFY_SOCKET: socket, WATCHDOG_USEC: '300000' };
    const notifier = createNotifier({ environment, monotonicMs: () => performance.now(), log });
    await notifier.ready('site gateway-farm');
    expect(heard.some((message) => message.includes('READY=1') && message.includes('STATUS=site gateway-farm'))).toBe(
      true,
    );
    const turning = setInterval(() => {
      lastTickMs = performance.now();
    }, 10);
    afterwards(() => clearInterval(turning));
    notifier.watch(() => lastTickMs);
    await until('two signs of life', () => heard.filter((message) => message.includes('WATCHDOG=1')).length >= 2);
    clearInterval(turning);
    await until('the complaint', () => log.lines.some(([level]) => level === 'error'));
    const alive = () => heard.filter((message) => message.includes('WATCHDOG=1')).length;
    const before = alive();
    const complaints = () => log.lines.filter(([level]) => level === 'error').length;
    await until('more complaints', () => complaints() >= 4);
    expect(alive() - before).toBeLessThanOrEqual(1);
    await notifier.stopping();
    expect(heard.some((message) => message.includes('STOPPING=1'))).toBe(true);
  });

  test('nothing outside systemd, and a socket that is gone is a warning, not an end', async () => {
    const quiet = createNotifier({ environment: {}, monotonicMs: () => 0, log: SILENT });
    await quiet.ready('x');
    quiet.watch(() => 0);
    await quiet.stopping();
    const log = recordingLog();
    const environment = { PATH: process.env.PATH, NOTIFY_SOCKET: join(folder(), 'gone') };
    await createNotifier({ environment, monotonicMs: () => 0, log }).ready('x');
    expect(log.lines.map(([, message]) => message)).toEqual(['systemd could not be told']);
  });
});

test('an installation into a staging folder runs, and goes away again', () => {
  const root = folder();
  const run = (...args: string[]) =>
    execFileSync('sh', [join(SYSTEMD, 'install.sh'), ...args], {
      env: { ...process.env, DESTDIR: root },
      encoding: 'utf8',
    });
  expect(run()).toMatch(/^Installed\. Next/m);
  expect(readlinkSync(join(root, 'usr/local/bin/wattpact'))).toBe('/opt/wattpact/systemd/wattpact');
  const help = execFileSync(join(root, 'opt/wattpact/systemd/wattpact'), ['--help'], { encoding: 'utf8' });
  expect(help).toMatch(/Usage: wattpact/);
  run('--remove');
  expect(existsSync(join(root, 'opt/wattpact'))).toBe(false);
  expect(existsSync(join(root, 'etc/systemd/system/wattpact-gateway.service'))).toBe(false);
});
