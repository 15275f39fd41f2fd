// Text from a file's bytes, and why a file could not be read, for people.

import { WattpactError } from './errors.ts';

const SAVE_AS_UTF8 = 'Save the file as UTF-8 (in a spreadsheet: "CSV UTF-8")';

/** UTF-8 without its byte-order mark. Throws `file.encoding` with `file:line:column` where bytes are none. */
export function textOfFile(bytes: Uint8Array, file: string): string {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new WattpactError('file.encoding', `${file}:1:1 is UTF-16, not UTF-8`, { hint: SAVE_AS_UTF8 });
  }
  const text = utf8(bytes);
  if (text !== null) return text;
  let line = 1;
  let from = 0;
  for (let to = bytes.indexOf(10); to >= 0; to = bytes.indexOf(10, from)) {
    if (utf8(bytes.subarray(from, to)) === null) break;
    from = to + 1;
    line++;
  }
  const column = new TextDecoder().decode(bytes.subarray(from)).indexOf('\uFFFD') + 1;
  throw new WattpactError('file.encoding', `${file}:${line}:${column} here is a letter that is not UTF-8`, {
    hint: SAVE_AS_UTF8,
  });
}

function utf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a folder, not a file',
  EACCES: 'you may not: see its owner and mode (`ls -l`)',
  EPERM: 'you may not: see its owner and mode (`ls -l`)',
};

/** Why a file could not be opened, read or written. */
export function fileReason(cause: unknown): string {
  const { code, message } = cause as { code?: string; message?: string };
  return (code === undefined ? undefined : REASONS[code]) ?? message ?? String(cause);
}
