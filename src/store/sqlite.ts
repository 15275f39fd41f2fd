// How every SQLite file of a node is opened: durable, checked, migrated, with errors for people. Owns no table.
// WAL for readers beside the writer; synchronous=FULL because rule 2 (persist, then send) needs the disk, not the cache:
// the driver falls to NORMAL when WAL is switched on, so FULL is set at every open.

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { WattpactError } from '../base/errors.ts';
import type { Millis } from '../base/units.ts';

export type Sqlite = Database.Database;
/** Runs database work with the errors of one file translated. */
export type Guard = <T>(work: () => T) => T;

/** How long a write waits for another process's lock before it gives up. */
export const LOCK_WAIT_MS: Millis = 5_000;
/** The same for a file that one process holds for as long as it runs: waiting longer would not help. */
const EXCLUSIVE_WAIT_MS: Millis = 1_000;

/** Pages in the log before it is folded into the file: 4 MB, so that a reader never walks far. */
const WAL_PAGES_MAX = 1_000;

export interface SqliteOptions {
  readonly path: string;
  /** Step i takes the file from `user_version` i to i + 1. Never changed once released, only added to. */
  readonly migrations: readonly string[];
  /** No writes, no migrations; the file must exist and be of the newest version. */
  readonly readonly?: boolean;
  /** Nobody else may even read it while it is open here: a second process of the same node gets `store.locked`. */
  readonly exclusive?: boolean;
}

/** Opens (or makes) a file. Throws `store.missing`, `store.corrupt`, `store.locked`, `store.full`, `store.newer` or `store.io`. */
export function openSqlite({ path, migrations, readonly = false, exclusive = false }: SqliteOptions): Sqlite {
  return withStoreErrors(path, () => {
    if (!readonly && path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const db = new Database(path, {
      readonly,
      fileMustExist: readonly,
      timeout: exclusive ? EXCLUSIVE_WAIT_MS : LOCK_WAIT_MS,
    });
    try {
      if (exclusive) db.pragma('locking_mode = EXCLUSIVE');
      if (!readonly) {
        db.pragma('journal_mode = WAL');
        db.pragma('synchronous = FULL');
        db.pragma(`wal_autocheckpoint = ${WAL_PAGES_MAX}`);
      }
      db.pragma('foreign_keys = ON');
      db.pragma('trusted_schema = OFF');
      refuseCorrupt(db, path);
      migrate(db, path, migrations, readonly);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/** Runs database work; SQLite's errors come out as `store.*` with what to do. */
export function withStoreErrors<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asStoreError(path, error);
  }
}

function refuseCorrupt(db: Sqlite, path: string): void {
  const verdict = db.pragma('quick_check(1)', { simple: true });
  if (verdict !== 'ok') throw corrupt(path, String(verdict));
}

function migrate(db: Sqlite, path: string, migrations: readonly string[], readonly: boolean): void {
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version > migrations.length) {
    throw new WattpactError('store.newer', `${path} was written by a newer wattpact (version ${version} of the file)`, {
      hint: `This one knows version ${migrations.length}: update wattpact`,
    });
  }
  if (version === migrations.length) return;
  if (readonly) {
    throw new WattpactError('store.older', `${path} has version ${version} of the file, not ${migrations.length}`, {
      hint: 'Start its program once, it brings the file up to date',
    });
  }
  for (let from = version; from < migrations.length; from++) {
    db.transaction(() => {
      db.exec(migrations[from] as string);
      db.pragma(`user_version = ${from + 1}`);
    }).immediate();
  }
}

function corrupt(path: string, detail: string, cause?: unknown): WattpactError {
  return new WattpactError('store.corrupt', `database ${path} is damaged: ${detail}`, {
    hint: 'Stop the program, keep a copy, then restore a backup or move the file away: what was agreed is fetched from the validators again',
    cause,
  });
}

function asStoreError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof WattpactError) return error;
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string') {
    // The driver says this without a code when the folder is not there.
    if (!/directory does not exist/.test(error.message)) return error;
    return new WattpactError('store.missing', `no database ${path}`, { cause: error });
  }
  if (code === 'SQLITE_CORRUPT' || code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT_')) {
    return corrupt(path, error.message, error);
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new WattpactError('store.locked', `database ${path} is held by another process`, {
      hint: 'Is the same gateway or validator running twice?',
      cause: error,
    });
  }
  if (code === 'SQLITE_FULL' || code === 'ENOSPC') {
    return new WattpactError('store.full', `no room left on the disk of ${path}`, {
      hint: 'Nothing was lost and nothing was sent: make room, then start again',
      cause: error,
    });
  }
  if (code === 'SQLITE_CANTOPEN' || code === 'ENOENT') {
    return new WattpactError('store.missing', `cannot open database ${path}`, {
      hint: 'Does the file exist, and may this user read and write it and its folder?',
      cause: error,
    });
  }
  if (/^(SQLITE_(READONLY|IOERR|PERM)|EACCES|EEXIST|EIO|EISDIR|EROFS|ENOTDIR|EPERM)/.test(code)) {
    return new WattpactError('store.io', `cannot read or write database ${path}: ${error.message}`, {
      hint: 'Look at the permissions of the folder and the health of the disk',
      cause: error,
    });
  }
  return error;
}
