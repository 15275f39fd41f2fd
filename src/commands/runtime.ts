// The one place where programs meet the machine: clocks, randomness, logs, signals, the parent's channel.

import { randomBytes as nodeRandomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { type Clock, chainClock } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { RandomBytes } from '../base/random.ts';
import { fileReason, textOfFile } from '../base/text.ts';
import { type Genesis, parseGenesis } from '../protocol/genesis.ts';

/** Largest genesis file read: a feeder of 200,000 buses fits. */
const GENESIS_BYTES_MAX = 64 * 1024 * 1024;

/** What a long-running program gets from the machine. */
export interface Runtime {
  readonly clock: Clock;
  readonly log: Log;
  readonly randomBytes: RandomBytes;
  /** Numbers in [0, 1), for jitter only. */
  readonly random: () => number;
}

export function runtime(genesis: Genesis, name: string): Runtime {
  const log = pino({ name, level: process.env.WATTPACT_LOG ?? 'info', base: { name } });
  return {
    clock: chainClock(
      genesis.clock,
      () => Date.now(),
      () => performance.now(),
    ),
    log: {
      debug: (fields, message) => log.debug(fields, message),
      info: (fields, message) => log.info(fields, message),
      warn: (fields, message) => log.warn(fields, message),
      error: (fields, message) => log.error(fields, message),
    },
    randomBytes: (length) => new Uint8Array(nodeRandomBytes(length)),
    random: () => Math.random(),
  };
}

/** Reads a text file that the user named; `what` says what it should be. */
export function readUserFile(path: string, what: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new WattpactError('usage.file', `cannot read the ${what} ${path}: ${fileReason(cause)}`, { cause });
  }
  return textOfFile(bytes, path);
}

export function loadGenesis(path: string): Genesis {
  const text = readUserFile(path, 'genesis');
  if (text.length > GENESIS_BYTES_MAX) throw new WattpactError('genesis.size', `${path}: larger than a genesis may be`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new WattpactError('genesis.json', `${path}: not JSON: ${(cause as Error).message}`, { cause });
  }
  return parseGenesis(value);
}

/** Tells the parent process (the demo), if there is one. */
export function tellParent(message: unknown): void {
  if (process.connected) process.send?.(message, () => undefined);
}

/** A terminal signals a whole group and `npm` hands the same signal on: what comes this soon after the first is the first again, ms. */
const SAME_SIGNAL_MS = 2_000;

/** Runs until SIGINT, SIGTERM or the end of the parent, then stops and exits 0; a later second signal exits at once. */
export function runUntilSignal(stop: () => Promise<void>): void {
  let stoppingSinceMs: number | null = null;
  const end = (): void => {
    if (stoppingSinceMs !== null) return;
    stoppingSinceMs = performance.now();
    stop().then(
      () => process.exit(0),
      (error) => {
        process.stderr.write(`wattpact: could not stop cleanly: ${describeError(error)}\n`);
        process.exit(1);
      },
    );
  };
  const onSignal = (): void => {
    if (stoppingSinceMs !== null && performance.now() - stoppingSinceMs > SAME_SIGNAL_MS) process.exit(1);
    end();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('disconnect', end);
}
