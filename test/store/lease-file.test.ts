// What "durable when a call returns" asks of the file of leases: the content is flushed before the name changes, the folder after it.

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { leaseFile } from '../../src/store/lease-file.ts';

const done: string[] = [];
vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>();
  const opened = new Map<number, string>();
  return {
    ...real,
    openSync: (path: string, flags: fs.OpenMode, mode?: fs.Mode) => {
      const file = real.openSync(path, flags, mode);
      opened.set(file, basename(path));
      return file;
    },
    fsyncSync: (file: number) => {
      done.push(`flush ${opened.get(file)}`);
      real.fsyncSync(file);
    },
    renameSync: (from: string, to: string) => {
      done.push(`rename ${basename(from)} to ${basename(to)}`);
      real.renameSync(from, to);
    },
    rmSync: (path: string, options: fs.RmOptions) => {
      done.push(`remove ${basename(path)}`);
      real.rmSync(path, options);
    },
  };
});

test('a lease is on disk under its name when it is saved, and gone from there when it is removed', () => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'wattpact-leases-'));
  const name = basename(folder);
  try {
    const leases = leaseFile(join(folder, 'leases.json'));
    leases.save({ device: 'a', control: 'c', value: 1, revertTo: 0, untilMs: 5 });
    expect(done.splice(0)).toEqual(['flush leases.json.new', 'rename leases.json.new to leases.json', `flush ${name}`]);
    leases.remove('a', 'c');
    expect(done.splice(0)).toEqual(['remove leases.json', `flush ${name}`]);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});
