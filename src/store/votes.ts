// A validator's vote log: what it has signed in consensus, on disk before it leaves. Opaque records: those of the last compaction in a table,
// those since in a journal beside it, since somebody waits for each of them.
//
// Losing it is worse than losing the ledger: a validator that forgets its votes may vote twice. So the log is made once,
// together with the key it belongs to, and a log that is missing, damaged or of another key reads as null: no votes then.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { describeError, isWattpactError, WattpactError } from '../base/errors.ts';
import type { VoteLog } from '../consensus/pbft/ports.ts';
import { Journal, newRun } from './journal.ts';
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
  // The run of the journal that follows these votes; none: there is no journal yet.
  'CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), run BLOB NOT NULL) STRICT;',
];

/** The journal's place beside the file. */
const journalOf = (path: string): string => `${path}-votes`;

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
  const opened = openLog(db, path);
  if (opened !== null) return opened;
  db.close();
  return lostLog(path, `the vote log ${path} is damaged`);
}

/** Null if a vote in it is lost. */
function openLog(db: Sqlite, path: string): VoteLogFile | null {
  const journal = openJournal(db, path);
  if (journal === null || readAll(db, journal) === null) {
    journal?.close();
    return null;
  }
  const insert = db.prepare('INSERT INTO votes (place, record, chain) VALUES (?, ?, ?)');
  const replace = db.transaction((records: readonly Uint8Array[], run: Uint8Array) => {
    db.prepare('DELETE FROM votes').run();
    let chain: Uint8Array = EMPTY;
    for (const [i, record] of records.entries()) {
      chain = link(chain, record);
      insert.run(i + 1, Buffer.from(record), Buffer.from(chain));
    }
    noteRun(db, run);
  });
  return {
    lost: null,
    read: () => withStoreErrors(path, () => readAll(db, journal)),
    append: (records) => withStoreErrors(path, () => journal.append(pack(records))),
    replace: (records) =>
      withStoreErrors(path, () => {
        const run = newRun();
        replace.immediate(records, run);
        journal.restart(run);
      }),
    close: () => {
      journal.close();
      db.close();
    },
  };
}

/** The journal of the noted run, made where none was noted yet; null if it is gone. */
function openJournal(db: Sqlite, path: string): Journal | null {
  const run = db.prepare<[], Buffer>('SELECT run FROM journal').pluck().get();
  return withStoreErrors(path, () => {
    if (run !== undefined) return existsSync(journalOf(path)) ? Journal.open(journalOf(path), run) : null;
    const first = newRun();
    const journal = Journal.create(journalOf(path), first);
    noteRun(db, first);
    return journal;
  });
}

function noteRun(db: Sqlite, run: Uint8Array): void {
  db.prepare('INSERT INTO journal (one, run) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET run = excluded.run').run(
    Buffer.from(run),
  );
}

const LENGTH_BYTES = 4;

/** Records as one entry of the journal: each after its length. */
function pack(records: readonly Uint8Array[]): Uint8Array {
  const packed = Buffer.alloc(records.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0));
  let at = 0;
  for (const record of records) {
    packed.writeUInt32BE(record.length, at);
    packed.set(record, at + LENGTH_BYTES);
    at += LENGTH_BYTES + record.length;
  }
  return packed;
}

function unpack(entry: Uint8Array): Uint8Array[] {
  const view = new DataView(entry.buffer, entry.byteOffset, entry.length);
  const records: Uint8Array[] = [];
  for (let at = 0; at < entry.length; ) {
    const end = at + LENGTH_BYTES + view.getUint32(at);
    records.push(entry.slice(at + LENGTH_BYTES, end));
    at = end;
  }
  return records;
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

/** All records in order, or null if one is lost. */
function readAll(db: Sqlite, journal: Journal): readonly Uint8Array[] | null {
  const rows = db.prepare<[], { place: number; record: Buffer; chain: Buffer }>('SELECT * FROM votes ORDER BY place');
  const records: Uint8Array[] = [];
  let chain: Uint8Array = EMPTY;
  for (const row of rows.iterate()) {
    chain = link(chain, row.record);
    if (!row.chain.equals(chain)) return null;
    records.push(new Uint8Array(row.record));
  }
  const since = journal.read();
  return since === null ? null : [...records, ...since.flatMap(unpack)];
}
