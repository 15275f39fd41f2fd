import { BugError } from '../base/errors.ts';
import type { Verify } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Ledger, LedgerStore } from './types.ts';

export interface LedgerOptions {
  readonly genesis: Genesis;
  /** Ed25519 by ZIP-215. */
  readonly verify: Verify;
  readonly store: LedgerStore;
  readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
}

/** Opens the ledger on its store: continues where the store ends, or starts from genesis in an empty one. */
export function createLedger(options: LedgerOptions): Ledger {
  throw new BugError(`no ledger for ${options.genesis.chain} yet`);
}
