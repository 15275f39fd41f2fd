// Ctrl-C reaches a program twice when npm started it: it must still have the time to let its devices go.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const RUNTIME = resolve(import.meta.dirname, '../../src/commands/runtime.ts');
const PROGRAM = `
  import { runUntilSignal } from '${RUNTIME}';
  const alive = setInterval(() => undefined, 1000);
  runUntilSignal(async () => {
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
    process.stdout.write('released');
    clearInterval(alive);
  });
  process.stdout.write('up');
`;

test('the same signal twice in a row is one: the program stops in order', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (data: Buffer) => {
    said += data.toString();
    if (said !== 'up') return;
    child.kill('SIGINT');
    child.kill('SIGTERM');
  });
  const [code] = await once(child, 'exit');
  expect([code, said]).toEqual([0, 'upreleased']);
});
