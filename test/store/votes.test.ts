// The vote log: what was appended is read back, and a log that cannot be trusted reads as null.

import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { newKey } from '../../src/keys/files.ts';
import { createVoteLog, openVoteLog } from '../../src/store/votes.ts';

const { publicKey } = newKey();
let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-votes-'));
  path = join(folder, 'votes.db');
});
afterEach(() => rmSync(folder, { recursive: true }));

const record = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const textsOf = (records: readonly Uint8Array[] | null) => records?.map((one) => Buffer.from(one).toString()) ?? null;

function filled(): void {
  createVoteLog(path, publicKey);
  const log = openVoteLog(path, publicKey);
  log.append([record('one'), record('two')]);
  log.append([record('three')]);
  log.close();
}

test('votes are appended in order and survive; a replacement is whole', () => {
  filled();
  const log = openVoteLog(path, publicKey);
  expect(textsOf(log.read())).toEqual(['one', 'two', 'three']);
  log.replace([record('three'), record('four')]);
  log.append([record('five')]);
  log.close();
  const again = openVoteLog(path, publicKey);
  expect([textsOf(again.read()), again.lost]).toEqual([['three', 'four', 'five'], null]);
  again.close();
});

test('no log, or one of another key: no votes, and why', () => {
  const none = openVoteLog(path, publicKey);
  expect([none.read(), none.lost]).toEqual([null, `no vote log at ${path}`]);
  expect(() => none.append([record('one')])).toThrow(/no vote log/);
  filled();
  const foreign = openVoteLog(path, newKey().publicKey);
  expect([foreign.read(), foreign.lost]).toEqual([null, `the vote log ${path} belongs to another key`]);
});

test('a second process of the same validator does not get the log', () => {
  filled();
  const log = openVoteLog(path, publicKey);
  expect(() => openVoteLog(path, publicKey)).toThrow(/is held by another process/);
  log.append([record('four')]);
  log.close();
  const next = openVoteLog(path, publicKey);
  expect(textsOf(next.read())).toEqual(['one', 'two', 'three', 'four']);
  next.close();
});

test('a log is never made anew over one that is there', () => {
  filled();
  expect(() => createVoteLog(path, publicKey)).toThrow(/there is a vote log/);
});

test('a vote that was changed, taken out of the middle or damaged on disk: no votes', () => {
  const tampering: ((db: Database.Database) => void)[] = [
    (db) => db.prepare("UPDATE votes SET record = x'00' WHERE place = 2").run(),
    (db) => db.prepare('DELETE FROM votes WHERE place = 1').run(),
    (db) => db.prepare('DELETE FROM votes WHERE place = 2').run(),
  ];
  const compacted = (): void => {
    for (const file of [path, `${path}-votes`]) rmSync(file, { force: true });
    filled();
    const log = openVoteLog(path, publicKey);
    log.replace(['one', 'two', 'three'].map(record));
    log.close();
  };
  for (const tamper of tampering) {
    compacted();
    const db = new Database(path);
    tamper(db);
    db.close();
    const log = openVoteLog(path, publicKey);
    expect(log.read(), String(tamper)).toBeNull();
    expect(log.lost).toBe(`the vote log ${path} is damaged`);
  }
  compacted();
  overwrite(path, readFileSync(path).length - 100, 100);
  expect(openVoteLog(path, publicKey).read()).toBeNull();
});

function overwrite(file: string, at: number, length: number): void {
  const opened = openSync(file, 'r+');
  writeSync(opened, Buffer.alloc(length, 0x5a), 0, length, at);
  closeSync(opened);
}

test('votes since the last compaction: one damaged before others, or their file gone: no votes; a torn last one was never said', () => {
  const journal = `${path}-votes`;
  filled(); // two entries: one and two, then three
  overwrite(journal, 62, 2);
  expect(openVoteLog(path, publicKey).lost).toBe(`the vote log ${path} is damaged`);
  for (const file of [path, journal]) rmSync(file);
  filled();
  rmSync(journal);
  expect(openVoteLog(path, publicKey).lost).toBe(`the vote log ${path} is damaged`);
  rmSync(path);
  filled();
  overwrite(journal, 4096 + 62, 2);
  const log = openVoteLog(path, publicKey);
  expect(textsOf(log.read())).toEqual(['one', 'two']);
  log.append([record('four')]);
  expect(textsOf(log.read())).toEqual(['one', 'two', 'four']);
  log.close();
});

test('a crash between the compaction and the journal’s new beginning leaves the compaction alone', () => {
  filled();
  const stale = readFileSync(`${path}-votes`);
  const log = openVoteLog(path, publicKey);
  log.replace([record('base')]);
  log.close();
  writeFileSync(`${path}-votes`, stale);
  const again = openVoteLog(path, publicKey);
  expect(textsOf(again.read())).toEqual(['base']);
  again.append([record('next')]);
  again.close();
  const last = openVoteLog(path, publicKey);
  expect(textsOf(last.read())).toEqual(['base', 'next']);
  last.close();
});

test('a log of the version before, all in one table, is taken over', () => {
  filled();
  rmSync(`${path}-votes`);
  const db = new Database(path);
  db.exec('DROP TABLE journal; PRAGMA user_version = 1');
  const chain = createHash('sha256').update('old').digest();
  db.prepare("INSERT INTO votes (place, record, chain) VALUES (1, CAST('old' AS BLOB), ?)").run(chain);
  db.close();
  const log = openVoteLog(path, publicKey);
  log.append([record('new')]);
  log.close();
  const again = openVoteLog(path, publicKey);
  expect(textsOf(again.read())).toEqual(['old', 'new']);
  again.close();
});
