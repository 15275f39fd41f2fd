// How commands speak: people's text or one JSON document on standard output, one clear line on standard error, exit codes.
//   0 done    1 the command ran and the answer is no (check failed, not verified)    2 wrong use or wrong input    3 something outside failed

import { describeError, isWattpactError } from '../base/errors.ts';

export const EXIT_NO = 1;
export const EXIT_USAGE = 2;
export const EXIT_FAILED = 3;

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Codes (or their first part) of errors that are in what the user wrote, not in the world outside. */
const INPUT_ERRORS = [
  'site',
  'profile',
  'genesis',
  'usage',
  'csv',
  'market',
  'canonical',
  'message',
  'request',
  'bytes',
  'consortium',
  'keys',
];

/** Says what went wrong in one line and ends with the exit code that fits. Bugs keep their stack. */
export function fail(error: unknown): never {
  if (isWattpactError(error)) {
    process.stderr.write(`wattpact: ${describeError(error)}\n`);
    process.exit(INPUT_ERRORS.includes(error.code.split('.')[0] ?? '') ? EXIT_USAGE : EXIT_FAILED);
  }
  process.stderr.write(`wattpact: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(EXIT_FAILED);
}
