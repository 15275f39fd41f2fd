// Leases in a small file of their own, for commands that write without a gateway's store. Durable when a call returns.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { WattpactError } from '../base/errors.ts';
import type { Millis } from '../base/units.ts';
import type { LeaseRecord, LeaseStore } from '../fieldbus/types.ts';
import { DAY_MS } from '../fieldbus/wear.ts';
import { syncFolder } from './folder.ts';

interface CountedWrite {
  readonly device: string;
  readonly control: string;
  readonly atMs: Millis;
}

/** Errors: `fieldbus.leases` when the file cannot be understood. */
export function leaseFile(file: string): LeaseStore {
  const content = load(file);
  const records = new Map(content.leases.map((record) => [keyOf(record), record]));
  let writes = content.writes;
  const persist = (): void => {
    if (records.size === 0 && writes.length === 0) {
      rmSync(file, { force: true });
      syncFolder(dirname(file));
      return;
    }
    const fresh = `${file}.new`;
    const handle = openSync(fresh, 'w', 0o600);
    try {
      writeSync(handle, JSON.stringify({ leases: [...records.values()], writes }));
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(fresh, file);
    syncFolder(dirname(file));
  };
  return {
    save(record) {
      records.set(keyOf(record), record);
      persist();
    },
    remove(device, control) {
      if (records.delete(keyOf({ device, control }))) persist();
    },
    all: () => [...records.values()],
    countWrite(device, control, atMs) {
      writes = [...writes.filter((write) => atMs - write.atMs < DAY_MS), { device, control, atMs }];
      persist();
    },
    writesSince: (device, control, sinceMs) =>
      writes
        .filter((write) => write.device === device && write.control === control && write.atMs > sinceMs)
        .map(({ atMs }) => atMs),
  };
}

function keyOf({ device, control }: Pick<LeaseRecord, 'device' | 'control'>): string {
  return `${device} ${control}`;
}

function load(file: string): { readonly leases: readonly LeaseRecord[]; readonly writes: readonly CountedWrite[] } {
  if (!existsSync(file)) return { leases: [], writes: [] };
  try {
    const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
    const { leases, writes } = (content ?? {}) as { leases?: unknown; writes?: unknown };
    if (!isListOf(leases, ['value', 'revertTo', 'untilMs']) || !isListOf(writes, ['atMs'])) {
      throw new Error('it holds something else');
    }
    return { leases: leases as LeaseRecord[], writes: writes as CountedWrite[] };
  } catch (cause) {
    throw new WattpactError('fieldbus.leases', `${file} is not a list of leases: ${(cause as Error).message}`, {
      hint: 'it says what a command had written when it ended; check the device by hand and delete the file',
      cause,
    });
  }
}

/** A list of things about a device's control, with these numbers. */
function isListOf(list: unknown, numbers: readonly string[]): list is readonly unknown[] {
  return (
    Array.isArray(list) &&
    list.every((entry: Record<string, unknown> | null) => {
      return (
        typeof entry?.device === 'string' &&
        typeof entry.control === 'string' &&
        numbers.every((name) => Number.isFinite(entry[name]))
      );
    })
  );
}
