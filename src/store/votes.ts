// A validator's vote log: what it has signed in consensus, on disk before it leaves. Owns one table of opaque records.
//
// Losing it is worse than losing the ledger: a validator that forgets its votes may vote twice. So the log is made once,
// together with the key it belongs to, and a log that is missing, damaged or of another key reads as null: no votes then.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { describeError, isWattpactError, WattpactError } from '../base/errors.ts';
import type { VoteLog } from '../consensus/pbft/ports.ts';
import { openSqlite, type Sqlite, withStoreErrors } from './sqlite.ts';

const MIGRATIONS = [
  `
  CREATE TABLE owner (public_key TEXT PRIMARY KEY) STRICT;
  CREATE TABLE votes (
    place INTEGER PRIMARY KEY,
    record BLOB NOT NULL,
    chain BLOB NOT NULL
  ) STRICT;
  `,
];

export interface VoteLogFile extends VoteLog {
  /** Why there is no log to vote by, or null. */
  readonly lost: string | null;
  close(): void;
}

/** Makes the empty log of a new key. Throws `votes.exists` where there is one already. */
export function createVoteLog(path: string, publicKey: string): void {
  if (existsSync(path)) {
    throw new WattpactError('votes.exists', `there is a vote log at ${path} already`, {
      hint: 'A vote log is never made anew for a key that may have voted: make a new key',
    });
  }
  const db = openSqlite({ path, migrations: MIGRATIONS });
  withStoreErrors(path, () => db.prepare('INSERT INTO owner (public_key) VALUES (?)').run(publicKey));
  db.close();
}

/** Opens the log of a key (base64url). A log that cannot be trusted is not an error: `read` gives null and `lost` says why. */
export function openVoteLog(path: string, publicKey: string): VoteLogFile {
  if (!existsSync(path)) return lostLog(path, `no vote log at ${path}`);
  let db: Sqlite;
  try {
    // Two processes with one key would vote twice: the second does not start.
    db = openSqlite({ path, migrations: MIGRATIONS, exclusive: true });
  } catch (error) {
    if (isWattpactError(error) && error.code === 'store.corrupt') return lostLog(path, describeError(error));
    throw error;
  }
  const owner = db.prepare<[], string>('SELECT public_key FROM owner').pluck().get();
  if (owner !== publicKey) {
    db.close();
    return lostLog(path, `the vote log ${path} belongs to another key`);
  }
  const records = readAll(db);
  if (records === null) {
    db.close();
    return lostLog(path, `the vote log ${path} is damaged`);
  }
  return openLog(db, path);
}

function openLog(db: Sqlite, path: string): VoteLogFile {
  const insert = db.prepare('INSERT INTO votes (place, record, chain) VALUES (?, ?, ?)');
  const last = db.prepare<[], { place: number; chain: Buffer }>(
    'SELECT place, chain FROM votes ORDER BY place DESC LIMIT 1',
  );
  const append = db.transaction((records: readonly Uint8Array[]) => {
    const end = last.get();
    let place = end?.place ?? 0;
    let chain: Uint8Array = end?.chain ?? EMPTY;
    for (const record of records) {
      place += 1;
      chain = link(chain, record);
      insert.run(place, Buffer.from(record), Buffer.from(chain));
    }
  });
  const replace = db.transaction((records: readonly Uint8Array[]) => {
    db.prepare('DELETE FROM votes').run();
    append(records);
  });
  return {
    lost: null,
    read: () => withStoreErrors(path, () => readAll(db)),
    append: (records) => withStoreErrors(path, () => append(records)),
    replace: (records) => withStoreErrors(path, () => replace.immediate(records)),
    close: () => db.close(),
  };
}

function lostLog(path: string, reason: string): VoteLogFile {
  const refuse = (): never => {
    throw new WattpactError('votes.lost', reason, {
      hint: `This validator follows without a vote: make a new key and let the operators order it in place of the old one (${path})`,
    });
  };
  return { lost: reason, read: () => null, append: refuse, replace: refuse, close: () => {} };
}

const EMPTY = new Uint8Array();

/** Each row carries the hash of everything up to it: a row that changed or went missing is seen. */
function link(chain: Uint8Array, record: Uint8Array): Uint8Array {
  return createHash('sha256').update(chain).update(record).digest();
}

/** All records in order, or null if the chain of hashes breaks. */
function readAll(db: Sqlite): readonly Uint8Array[] | null {
  const rows = db.prepare<[], { place: number; record: Buffer; chain: Buffer }>('SELECT * FROM votes ORDER BY place');
  const records: Uint8Array[] = [];
  let chain: Uint8Array = EMPTY;
  for (const row of rows.iterate()) {
    chain = link(chain, row.record);
    if (!row.chain.equals(chain)) return null;
    records.push(new Uint8Array(row.record));
  }
  return records;
}
