// How commands speak: people's text or one JSON document on standard output, one clear line on standard error, exit codes.
//   0 done    1 the command ran and the answer is no (check failed, not verified)    2 wrong use or wrong input    3 something outside failed

import { writeFileSync } from 'node:fs';
import { describeError, isWattpactError, WattpactError } from '../base/errors.ts';
import { fileReason } from '../base/text.ts';

export const EXIT_NO = 1;
export const EXIT_USAGE = 2;
export const EXIT_FAILED = 3;

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What the reader should know and no program reads: on standard error, so that JSON stays one document. */
export function printNote(text: string): void {
  process.stderr.write(`note: ${text}\n`);
}

/** Writes a file that the user named. Throws `usage.file` with the reason where it cannot be. */
export function writeOut(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (cause) {
    const isFolderMissing = (cause as { code?: string }).code === 'ENOENT';
    const reason = isFolderMissing ? 'there is no such folder' : fileReason(cause);
    throw new WattpactError('usage.file', `cannot write ${file}: ${reason}`, { cause });
  }
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** First parts of the codes of errors that are in what the user wrote, not in the world outside: starting again would not help. */
const INPUT_ERRORS = [
  ...[
    'broker.url',
    'bytes',
    'canonical',
    'consortium',
    'csv',
    'demand',
    'file',
    'forecast',
    'genesis',
    'key',
    'market',
    'message',
  ],
  ...['override', 'profile', 'request', 'series', 'site', 'usage'],
];

/** Says what went wrong in one line and ends with the exit code that fits. Bugs keep their stack. */
export function fail(error: unknown): never {
  if (isWattpactError(error)) {
    process.stderr.write(`wattpact: ${describeError(error)}\n`);
    const isInput = INPUT_ERRORS.some((part) => error.code === part || error.code.startsWith(`${part}.`));
    process.exit(isInput ? EXIT_USAGE : EXIT_FAILED);
  }
  process.stderr.write(`wattpact: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(EXIT_FAILED);
}
