// The launcher takes the first Node that can run the program, and says plainly what is missing.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const LAUNCHER = resolve(import.meta.dirname, '../../systemd/wattpact');
const BUNDLED = `node-linux-${arch() === 'arm64' ? 'arm64' : 'x64'}`;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wattpact-launcher-'));
  mkdirSync(join(root, 'app/systemd'), { recursive: true });
  mkdirSync(join(root, 'app/node_modules/zod'), { recursive: true });
  mkdirSync(join(root, 'path'));
  cpSync(LAUNCHER, join(root, 'app/systemd/wattpact'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** A Node that says its version, or who it is and what it was asked to run. */
function fakeNode(path: string, version: string): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n[ "$1" = --version ] && { echo ${version}; exit; }\necho "${path} $*"\n`);
  chmodSync(file, 0o755);
  return file;
}

function launch(args: string[] = [], environment: Record<string, string> = {}, from = 'app/systemd/wattpact') {
  // A machine without Node: the tools of the system alone.
  const env = { PATH: [join(root, 'path'), '/usr/sbin', '/bin'].join(delimiter), ...environment };
  const { status, stdout, stderr } = spawnSync('/bin/sh', [join(root, from), ...args], { env, encoding: 'utf8' });
  return { status, said: stdout.trim().replaceAll(root, ''), wrong: stderr.trim().replaceAll(root, '') };
}

const toolsOnly = (): void => {
  for (const tool of ['readlink', 'dirname', 'uname']) symlinkSync(`/usr/bin/${tool}`, join(root, 'path', tool));
};
const launchBare = (args: string[] = [], environment: Record<string, string> = {}, from?: string) => {
  toolsOnly();
  return launch(args, { PATH: join(root, 'path'), ...environment }, from);
};

test('the Node that came with the package goes before that of the PATH; arguments pass as they are', () => {
  fakeNode(`app/node_modules/${BUNDLED}/bin/node`, 'v24.1.0');
  fakeNode('path/node', 'v26.0.0');
  const { said, status } = launchBare(['site', 'check', 'a b.yaml']);
  expect(said).toBe(
    `app/node_modules/${BUNDLED}/bin/node --disable-warning=ExperimentalWarning /app/src/cli.ts site check a b.yaml`,
  );
  expect(status).toBe(0);
});

test('WATTPACT_NODE goes before all, and a wrong one is not passed over in silence', () => {
  fakeNode(`app/node_modules/${BUNDLED}/bin/node`, 'v24.1.0');
  const own = fakeNode('own/node', 'v22.18.0');
  expect(launchBare([], { WATTPACT_NODE: own }).said).toMatch(/^own\/node /);
  const old = fakeNode('own/old', 'v20.20.2');
  expect(launch([], { WATTPACT_NODE: old, PATH: join(root, 'path') })).toEqual({
    status: 3,
    said: '',
    wrong: 'wattpact: WATTPACT_NODE=/own/old is no Node of version 22.18 or later.',
  });
});

test('a Node of the PATH is taken if it is new enough', () => {
  for (const [version, fits] of [
    ['v22.18.0', true],
    ['v22.17.9', false],
    ['v23.0.0', true],
    ['v20.20.2', false],
    ['v100.0.0', true],
    ['nonsense', false],
  ] as const) {
    fakeNode('path/node', version);
    if (version === 'v22.18.0') toolsOnly();
    const { status, wrong } = launch([], { PATH: join(root, 'path') });
    expect([version, status]).toEqual([version, fits ? 0 : 3]);
    if (!fits) expect(wrong).toMatch(/no Node of version 22\.18 or later found\. Run 'npm ci' in \/app/);
  }
});

test('missing libraries are named, and a link to the launcher finds its home', () => {
  fakeNode('path/node', 'v24.0.0');
  symlinkSync(join(root, 'app/systemd/wattpact'), join(root, 'link'));
  expect(launchBare([], {}, 'link').said).toMatch(/\/app\/src\/cli\.ts$/);
  rmSync(join(root, 'app/node_modules/zod'), { recursive: true });
  expect(launch([], { PATH: join(root, 'path') }).wrong).toBe(
    "wattpact: the libraries are missing. Run 'npm ci' in /app.",
  );
});
