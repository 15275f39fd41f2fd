// How a request to a device fails, by what the bus does next.

import { WattpactError } from '../base/errors.ts';

/**
 * `timeout`: no answer in time. `exception`: the device said no (code in `exception`). `damaged`: an answer that cannot be right.
 * `disconnected`: the line is gone or not there yet. `closed`: the bus was stopped. `busy`: too much is waiting.
 */
export type FieldbusFault = 'timeout' | 'exception' | 'damaged' | 'disconnected' | 'closed' | 'busy';

export class FieldbusError extends WattpactError {
  override readonly name = 'FieldbusError';
  readonly fault: FieldbusFault;
  readonly exception: number | null;

  constructor(
    fault: FieldbusFault,
    message: string,
    options: { exception?: number; hint?: string; cause?: unknown } = {},
  ) {
    const { exception, ...rest } = options;
    super(`fieldbus.${fault}`, message, rest);
    this.fault = fault;
    this.exception = exception ?? null;
  }
}

/** Exception 2 or 3: the device refuses these addresses or this many of them; asking again is of no use. */
export function isRefused(error: unknown): error is FieldbusError {
  return (
    error instanceof FieldbusError && error.fault === 'exception' && (error.exception === 2 || error.exception === 3)
  );
}

const EXCEPTIONS: Readonly<Record<number, string>> = {
  1: 'illegal function',
  2: 'illegal data address',
  3: 'illegal data value',
  4: 'device failure',
  5: 'acknowledge',
  6: 'device busy',
  8: 'memory parity error',
  10: 'gateway path unavailable',
  11: 'gateway target device failed to respond',
};

/** Source: MODBUS Application Protocol V1.1b3 section 7. */
export function exceptionText(code: number): string {
  return `exception ${code} (${EXCEPTIONS[code] ?? 'unknown'})`;
}
