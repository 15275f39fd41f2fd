// A file that only ever grows until it is begun anew, for writes that somebody waits for: one write and one flush of data each, half of what
// a transaction costs. Owns the file's form and what is believed of it after a crash.
//
// An entry begins at a multiple of BLOCK_BYTES, so that writing it touches no block of another; it carries the run it belongs to, its number
// in that run and a checksum. An entry is written when the one before is on disk. So at the end of what reads well there is a torn entry, which
// nobody relied on, or something older; a sound entry of this run beyond means that one before it was lost: then nothing is believed.

import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { syncFolder } from './folder.ts';

const BLOCK_BYTES = 4096;
const MAGIC = 0x77706a31; // "wpj1"
const RUN_BYTES = 16;
/** Magic, number, bytes of content, run; then the checksum of these and the content. */
const SUMMED_BYTES = 12 + RUN_BYTES;
const HEAD_BYTES = SUMMED_BYTES + 32;
/** The file grows by so much at a time, in zeros: then an entry changes no length, and its flush is of data alone. */
const GROW_BYTES = 1024 * 1024;
/** What a file is cut back to when it is begun anew. */
const KEPT_BYTES_MAX = 8 * GROW_BYTES;

/** Names a run: entries of another are not read. */
export function newRun(): Uint8Array {
  return randomBytes(RUN_BYTES);
}

export class Journal {
  readonly #file: number;
  #run: Uint8Array;
  #size: number;
  #end = 0;
  #entries = 0;

  private constructor(file: number, run: Uint8Array) {
    this.#file = file;
    this.#run = run;
    this.#size = fstatSync(file).size;
  }

  /** Makes the empty file of a run, whatever was there; durable. */
  static create(path: string, run: Uint8Array): Journal {
    const journal = new Journal(openSync(path, 'w+', 0o600), run);
    journal.#growTo(GROW_BYTES);
    syncFolder(dirname(path));
    return journal;
  }

  /** Throws ENOENT where there is none. Read it before anything is appended. */
  static open(path: string, run: Uint8Array): Journal {
    return new Journal(openSync(path, 'r+'), run);
  }

  /** The entries of the run in order, or null if one of them is lost. What is appended next follows them. */
  read(): readonly Uint8Array[] | null {
    const bytes = Buffer.alloc(this.#size);
    readSync(this.#file, bytes, 0, bytes.length, 0);
    const entries: Uint8Array[] = [];
    let at = 0;
    for (let found = this.#entryAt(bytes, at); found?.number === entries.length; found = this.#entryAt(bytes, at)) {
      entries.push(found.content);
      at += blocksFor(found.content.length);
    }
    for (let beyond = at; beyond < bytes.length; beyond += BLOCK_BYTES) {
      if (this.#entryAt(bytes, beyond) !== null) return null;
    }
    this.#end = at;
    this.#entries = entries.length;
    return entries;
  }

  /** On disk when it returns; throws if it is not. */
  append(content: Uint8Array): void {
    const entry = Buffer.alloc(blocksFor(content.length));
    entry.writeUInt32BE(MAGIC, 0);
    entry.writeUInt32BE(this.#entries, 4);
    entry.writeUInt32BE(content.length, 8);
    entry.set(this.#run, 12);
    entry.set(content, HEAD_BYTES);
    entry.set(checksum(entry, content.length), SUMMED_BYTES);
    if (this.#end + entry.length > this.#size) this.#growTo(this.#end + entry.length + GROW_BYTES);
    writeAll(this.#file, entry, this.#end);
    fdatasyncSync(this.#file);
    this.#end += entry.length;
    this.#entries += 1;
  }

  /** Begins a run at the file's beginning: what was there is forgotten. The caller has noted the run where it will look for it. */
  restart(run: Uint8Array): void {
    this.#run = run;
    this.#end = 0;
    this.#entries = 0;
    if (this.#size <= KEPT_BYTES_MAX) return;
    ftruncateSync(this.#file, KEPT_BYTES_MAX);
    fsyncSync(this.#file);
    this.#size = KEPT_BYTES_MAX;
  }

  close(): void {
    closeSync(this.#file);
  }

  #growTo(bytes: number): void {
    const zeros = Buffer.alloc(blocksFor(bytes - HEAD_BYTES) - this.#size);
    writeAll(this.#file, zeros, this.#size);
    fsyncSync(this.#file);
    this.#size += zeros.length;
  }

  #entryAt(bytes: Buffer, at: number): { readonly number: number; readonly content: Uint8Array } | null {
    if (at + HEAD_BYTES > bytes.length || bytes.readUInt32BE(at) !== MAGIC) return null;
    const length = bytes.readUInt32BE(at + 8);
    const contentAt = at + HEAD_BYTES;
    if (contentAt + length > bytes.length) return null;
    const entry = bytes.subarray(at, contentAt + length);
    if (!entry.subarray(12, SUMMED_BYTES).equals(this.#run)) return null;
    if (!entry.subarray(SUMMED_BYTES, HEAD_BYTES).equals(checksum(entry, length))) return null;
    return { number: entry.readUInt32BE(4), content: new Uint8Array(entry.subarray(HEAD_BYTES)) };
  }
}

function checksum(entry: Buffer, contentLength: number): Uint8Array {
  return createHash('sha256')
    .update(entry.subarray(0, SUMMED_BYTES))
    .update(entry.subarray(HEAD_BYTES, HEAD_BYTES + contentLength))
    .digest();
}

/** Bytes that an entry takes up. */
function blocksFor(contentLength: number): number {
  return Math.ceil((HEAD_BYTES + contentLength) / BLOCK_BYTES) * BLOCK_BYTES;
}

function writeAll(file: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, at + done);
}
