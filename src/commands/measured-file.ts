// Files of measured values that a user named: read whole, unpacked, and what is only assumed of them is said.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { isWattpactError, WattpactError } from '../base/errors.ts';
import { fileReason, textOfFile } from '../base/text.ts';
import { assumedUtcLine } from '../forecast/csv.ts';
import { printNote } from './output.ts';

/** Largest file, unpacked. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;

/** The text of a CSV or CSV.gz. Throws `csv.file`, `file.encoding`. */
export function readMeasured(file: string): string {
  const text = textOfFile(bytesOf(file), file);
  const line = assumedUtcLine(text);
  if (line !== null)
    printNote(`${file}:${line}: a time without a zone is taken as UTC; write 2026-06-22T09:15:00Z or +02:00`);
  return text;
}

function bytesOf(file: string): Uint8Array {
  try {
    const bytes = readFileSync(file);
    const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const unpacked = isPacked ? gunzipSync(bytes, { maxOutputLength: FILE_BYTES_MAX }) : bytes;
    if (unpacked.length > FILE_BYTES_MAX) throw new WattpactError('csv.file', `larger than ${FILE_BYTES_MAX} bytes`);
    return unpacked;
  } catch (cause) {
    const reason = isWattpactError(cause) ? cause.message : fileReason(cause);
    throw new WattpactError('csv.file', `cannot read ${file}: ${reason}`, { cause });
  }
}
