// kill -9 between persist and send, and between send and reply: no request is lost, none is doubled, none is signed anew.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openGatewayStore } from '../../src/store/gateway.ts';

const CHILD = join(import.meta.dirname, 'crash-child.ts');
let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'wattpact-crash-'));
  file = join(dir, 'gateway.sqlite');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const run = (when: string) => spawnSync(process.execPath, [CHILD, file, when], { encoding: 'utf8' });
const wire = (): string[] => readFileSync(`${file}.wire`, 'utf8').trim().split('\n');

test.each([
  { dies: ['persisted'], wireBefore: 0 },
  { dies: ['sent'], wireBefore: 1 },
  { dies: ['persisted', 'persisted', 'sent', 'sent'], wireBefore: 2 },
])('killed when $dies: the same bytes go out again', ({ dies, wireBefore }) => {
  for (const when of dies) expect(run(when).signal).toBe('SIGKILL');
  const last = run('never');
  expect(last.stderr.replace(/.*ExperimentalWarning.*\n.*\n/, '')).toBe('');
  expect(last.status).toBe(0);

  const sent = wire();
  expect(sent.length).toBe(wireBefore + 1);
  expect(new Set(sent).size).toBe(1);

  const store = openGatewayStore(file, { readonly: true });
  const kept = store.requests.recent(10);
  store.close();
  expect(kept.length).toBe(1);
  expect(`${kept[0]?.id} ${Buffer.from(kept[0]?.bytes ?? []).toString('hex')}`).toBe(sent[0]);
  expect(kept[0]?.life.phase).toBe('undecided');
});
