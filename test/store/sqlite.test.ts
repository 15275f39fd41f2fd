// Opening a file: durable settings every time, and plain errors for damaged, held, newer, missing and full.

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isWattpactError } from '../../src/base/errors.ts';
import { openSqlite, withStoreErrors } from '../../src/store/sqlite.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-sqlite-'));
  path = join(folder, 'inner', 'a.db');
});
afterEach(() => rmSync(folder, { recursive: true }));

const ONE = 'CREATE TABLE a (x INTEGER) STRICT';
const TWO = 'ALTER TABLE a ADD COLUMN y INTEGER';

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return isWattpactError(error) ? error.code : `not a WattpactError: ${error}`;
  }
  return 'no error';
}

test('every open is WAL and FULL, also the second', () => {
  for (let i = 0; i < 2; i++) {
    const db = openSqlite({ path, migrations: [ONE] });
    expect([db.pragma('journal_mode', { simple: true }), db.pragma('synchronous', { simple: true })]).toEqual([
      'wal',
      2,
    ]);
    db.close();
  }
});

test('migrations run once, in order; one that fails leaves the version before it', () => {
  openSqlite({ path, migrations: [ONE] }).close();
  const db = openSqlite({ path, migrations: [ONE, TWO] });
  db.prepare('INSERT INTO a (x, y) VALUES (1, 2)').run();
  db.close();
  expect(() => openSqlite({ path, migrations: [ONE, TWO, 'CREATE TABLE b (z); nonsense'] })).toThrow();
  const again = openSqlite({ path, migrations: [ONE, TWO, 'CREATE TABLE b (z INTEGER) STRICT'] });
  expect(again.pragma('user_version', { simple: true })).toBe(3);
  expect(again.prepare('SELECT x, y FROM a').all()).toEqual([{ x: 1, y: 2 }]);
  again.close();
});

test('read-only writes nothing and wants a file of its version', () => {
  expect(codeOf(() => openSqlite({ path, migrations: [ONE], readonly: true }))).toBe('store.missing');
  openSqlite({ path, migrations: [ONE] }).close();
  expect(codeOf(() => openSqlite({ path, migrations: [ONE, TWO], readonly: true }))).toBe('store.older');
  const db = openSqlite({ path, migrations: [ONE], readonly: true });
  expect(codeOf(() => withStoreErrors(path, () => db.prepare('INSERT INTO a VALUES (1)').run()))).toBe('store.io');
  db.close();
});

test('a damaged file is said to be damaged, with what to do', () => {
  const db = openSqlite({ path, migrations: [ONE] });
  const insert = db.prepare('INSERT INTO a VALUES (?)');
  db.transaction(() => {
    for (let i = 0; i < 5_000; i++) insert.run(i);
  })();
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(9_000, 0x5a), 0, 9_000, 5_000);
  closeSync(file);
  expect(codeOf(() => openSqlite({ path, migrations: [ONE] }))).toBe('store.corrupt');
  const text = join(folder, 'text.db');
  writeFileSync(text, 'this is a text and has been one for a long time '.repeat(100));
  expect(codeOf(() => openSqlite({ path: text, migrations: [ONE] }))).toBe('store.corrupt');
});

test('a file of a newer program, a folder as file and a full disk have their own lines', () => {
  openSqlite({ path, migrations: [ONE, TWO] }).close();
  expect(codeOf(() => openSqlite({ path, migrations: [ONE] }))).toBe('store.newer');
  expect(codeOf(() => openSqlite({ path: folder, migrations: [ONE] }))).toBe('store.missing');
  const db = openSqlite({ path, migrations: [ONE, TWO] });
  // A disk that takes no page more, as SQLite sees it.
  db.pragma(`max_page_count = ${db.pragma('page_count', { simple: true })}`);
  const fill = db.transaction(() => {
    for (let i = 0; i < 10_000; i++) db.prepare('INSERT INTO a (x) VALUES (?)').run(i);
  });
  expect(codeOf(() => withStoreErrors(path, fill))).toBe('store.full');
  expect(db.prepare('SELECT count(*) FROM a').pluck().get()).toBe(0);
  db.close();
});

test('a file held by another writer is said to be held', () => {
  const holder = openSqlite({ path, migrations: [ONE] });
  const other = openSqlite({ path, migrations: [ONE] });
  other.pragma('busy_timeout = 10');
  holder.exec('BEGIN IMMEDIATE');
  expect(codeOf(() => withStoreErrors(path, () => other.prepare('INSERT INTO a VALUES (1)').run()))).toBe(
    'store.locked',
  );
  holder.exec('ROLLBACK');
  for (const db of [holder, other]) db.close();
});
