// Output whose reader goes away.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const CLI = join(import.meta.dirname, '../../src/cli.ts');

test('a reader that has seen enough (`| head`) ends the command without a word', () => {
  const line = `set -o pipefail; '${process.execPath}' '${CLI}' chain openapi | head -c 1`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', line], { encoding: 'utf8' });
  expect({ status, stdout, stderr }).toEqual({ status: 141, stdout: '{', stderr: '' });
});
