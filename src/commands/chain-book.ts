// Opens a validator's book for the commands that read it.

import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { SILENT } from '../base/log.ts';
import { fastVerify } from '../keys/verify.ts';
import { createLedger } from '../ledger/ledger.ts';
import type { Ledger } from '../ledger/types.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { openLedgerStore, type SqliteLedgerStore } from '../store/ledger.ts';
import { LEDGER_FILE } from '../validator/validator.ts';
import { loadGenesis } from './runtime.ts';

export interface BookOptions {
  readonly genesis: string;
  readonly ledger: string;
  readonly json?: true;
}

/** The options of every command that reads a book. */
export function withBook(command: Command): Command {
  return command
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .requiredOption('--ledger <path>', `a validator's folder, or its ${LEDGER_FILE}`)
    .option('--json', 'one JSON document on standard output');
}

/** Opens genesis and the book's file for reading; closes it afterwards. Throws `store.*`, `genesis.*` or `usage.*`. */
export function withStore<T>(options: BookOptions, work: (genesis: Genesis, store: SqliteLedgerStore) => T): T {
  const genesis = loadGenesis(options.genesis);
  const folder = existsSync(options.ledger) && statSync(options.ledger).isDirectory();
  const store = openLedgerStore(folder ? join(options.ledger, LEDGER_FILE) : options.ledger, { readonly: true });
  try {
    return work(genesis, store);
  } finally {
    store.close();
  }
}

/** The ledger as its book stands. Throws `ledger.*` for a book that is empty, altered or of another chain. */
export function withLedger<T>(options: BookOptions, work: (ledger: Ledger) => T): T {
  return withStore(options, (genesis, store) => {
    if (store.head() === null) throw new WattpactError('ledger.empty', `${options.ledger} holds no block yet`);
    return work(createLedger({ genesis, verify: fastVerify, store, log: SILENT }));
  });
}
