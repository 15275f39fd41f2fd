// The vote log: what was appended is read back, and a log that cannot be trusted reads as null.

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
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
  for (const tamper of tampering) {
    rmSync(path, { force: true });
    filled();
    const db = new Database(path);
    tamper(db);
    db.close();
    const log = openVoteLog(path, publicKey);
    expect(log.read(), String(tamper)).toBeNull();
    expect(log.lost).toBe(`the vote log ${path} is damaged`);
  }
  const size = readFileSync(path).length;
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(size - 100, 0x5a), 0, size - 100, 100);
  closeSync(file);
  expect(openVoteLog(path, publicKey).read()).toBeNull();
});
