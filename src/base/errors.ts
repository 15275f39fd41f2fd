// Typed errors for people: what happened, where, and what to do about it.
// Owns the error classes of the project. Expected failures (a wrong file, a busy port, a silent device) are
// `WattpactError`s with a stable code; a broken invariant is a `BugError` and ends the process.

/** An expected failure. `message` says what happened and where; `hint` says what the reader can do. */
export class WattpactError extends Error {
  override readonly name: string = 'WattpactError';
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

/** A broken invariant: the code, not its user or its input, is wrong. */
export class BugError extends Error {
  override readonly name = 'BugError';
}

export function isWattpactError(error: unknown): error is WattpactError {
  return error instanceof WattpactError;
}

/** One line for people from anything that was thrown. */
export function describeError(error: unknown): string {
  if (isWattpactError(error))
    return error.hint === undefined
      ? error.message
      : `${error.message}${/[.?!]$/.test(error.message) ? '' : '.'} ${error.hint}`;
  if (error instanceof Error) return error.message;
  return String(error);
}

/** Throws a `BugError` unless the invariant holds. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new BugError(message);
}
