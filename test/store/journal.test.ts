// The journal: what was on disk is read back after any crash, a torn last entry is not, and a lost entry among others is noticed.

import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Journal, newRun } from '../../src/store/journal.ts';

const BLOCK = 4096;
let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-journal-'));
  path = join(folder, 'journal');
});
afterEach(() => rmSync(folder, { recursive: true }));

const content = (length: number): Uint8Array => new Uint8Array(length).fill(length % 251);
/** Shorter than a block, about one, about two, and longer than the file grows at a time. */
const LENGTHS = [0, 1, 500, BLOCK - 60, BLOCK - 59, 9_000, 1_200_000];

/** What is read when the file is opened again: lengths, or null. */
function reread(run: Uint8Array): number[] | null {
  const journal = Journal.open(path, run);
  const entries = journal.read();
  journal.close();
  for (const entry of entries ?? []) expect(Buffer.from(entry).equals(content(entry.length))).toBe(true);
  return entries?.map(({ length }) => length) ?? null;
}

function written(run: Uint8Array, lengths: readonly number[]): void {
  const journal = Journal.create(path, run);
  for (const length of lengths) journal.append(content(length));
  journal.close();
}

test('after a crash in the middle of an entry those before it are read, and what follows takes its place', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...LENGTHS), { maxLength: 6 }),
      fc.constantFrom(...LENGTHS),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
      fc.constantFrom(...LENGTHS),
      (before, torn, blocksWritten, after) => {
        const run = newRun();
        written(run, before);
        const sound = readFileSync(path);
        written(run, [...before, torn]);
        const whole = readFileSync(path);
        // Of the torn entry any blocks may be on disk, but not all of them.
        const from = before.reduce((sum, length) => sum + Math.ceil((60 + length) / BLOCK), 0);
        const blocks = Math.ceil((60 + torn) / BLOCK);
        const onDisk = Buffer.alloc(whole.length);
        sound.copy(onDisk);
        const missing = blocksWritten.indexOf(false) % blocks;
        for (let i = 0; i < blocks; i++) {
          const isThere = missing < 0 ? i > 0 : i !== missing && (blocksWritten[i % blocksWritten.length] as boolean);
          if (isThere) whole.copy(onDisk, (from + i) * BLOCK, (from + i) * BLOCK, (from + i + 1) * BLOCK);
        }
        writeFileSync(path, onDisk);
        expect(reread(run)).toEqual(before);
        const journal = Journal.open(path, run);
        journal.read();
        journal.append(content(after));
        journal.close();
        expect(reread(run)).toEqual([...before, after]);
      },
    ),
    { numRuns: 60 },
  );
});

test('an entry that is damaged or gone while a later one stands: nothing is believed', () => {
  const lengths = [500, 9_000, 1];
  const run = newRun();
  for (const [at, what] of [
    [100, 'content of the first'],
    [5, 'number of the first'],
    [BLOCK + 5_000, 'content of the second'],
    [BLOCK + 30, 'checksum of the second'],
  ] as const) {
    written(run, lengths);
    const bytes = readFileSync(path);
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(path, bytes);
    expect(reread(run), what).toBeNull();
  }
  written(run, lengths);
  const bytes = readFileSync(path);
  bytes.copy(bytes, BLOCK, 4 * BLOCK, 5 * BLOCK); // the third in the place of the second
  writeFileSync(path, bytes);
  expect(reread(run)).toBeNull();
});

test('a run begun anew has nothing of the one before, however little was written in it', () => {
  const [first, second] = [newRun(), newRun()];
  written(first, [500, 9_000, 1]);
  const journal = Journal.open(path, first);
  journal.read();
  journal.restart(second);
  journal.append(content(9_000));
  journal.close();
  expect(reread(second)).toEqual([9_000]);
  expect(reread(newRun())).toEqual([]);
});

test('a file that grew is cut back when it is begun anew, and one cut short by hand loses what was beyond', () => {
  const run = newRun();
  written(
    run,
    Array.from({ length: 10 }, () => 1_200_000),
  );
  const grown = statSync(path).size;
  expect(grown).toBeGreaterThan(10 * 1_200_000);
  const journal = Journal.open(path, run);
  journal.read();
  const next = newRun();
  journal.restart(next);
  journal.append(content(500));
  journal.close();
  expect(statSync(path).size).toBe(8 * 1024 * 1024);
  expect(reread(next)).toEqual([500]);
  truncateSync(path, 0);
  expect(reread(next)).toEqual([]);
});
