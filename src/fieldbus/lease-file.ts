// Leases in a small file of their own, for commands that write without a gateway's store. Durable when a call returns.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { WattpactError } from '../base/errors.ts';
import type { LeaseRecord, LeaseStore } from './types.ts';

/** Errors: `fieldbus.leases` when the file cannot be understood. */
export function leaseFile(file: string): LeaseStore {
  const records = new Map(load(file).map((record) => [keyOf(record), record]));
  const persist = (): void => {
    if (records.size === 0) {
      rmSync(file, { force: true });
      return;
    }
    const fresh = `${file}.new`;
    const handle = openSync(fresh, 'w', 0o600);
    try {
      writeSync(handle, JSON.stringify([...records.values()]));
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(fresh, file);
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
  };
}

function keyOf({ device, control }: Pick<LeaseRecord, 'device' | 'control'>): string {
  return `${device} ${control}`;
}

function load(file: string): LeaseRecord[] {
  if (!existsSync(file)) return [];
  try {
    const records: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (!Array.isArray(records) || !records.every(isRecord)) throw new Error('it holds something else');
    return records;
  } catch (cause) {
    throw new WattpactError('fieldbus.leases', `${file} is not a list of leases: ${(cause as Error).message}`, {
      hint: 'it says what a command had written when it ended; check the device by hand and delete the file',
      cause,
    });
  }
}

function isRecord(value: unknown): value is LeaseRecord {
  const record = value as Partial<LeaseRecord> | null;
  return (
    typeof record?.device === 'string' &&
    typeof record.control === 'string' &&
    [record.value, record.revertTo, record.untilMs].every(Number.isFinite)
  );
}
