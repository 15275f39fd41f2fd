// `wattpact chain`: reads a validator's book. `verify` re-executes it from genesis, `show` tells a block, `prove` writes
// the proof of one record to a file, `check` judges such a file with nothing but genesis at hand.

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import type { Json } from '../base/canonical.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { intervalAt, isoSeconds } from '../base/interval.ts';
import { commitsAgree, isCertified } from '../consensus/certificates.ts';
import { fastVerify } from '../keys/verify.ts';
import { audit } from '../ledger/audit.ts';
import { checkProofFile, proofFile } from '../ledger/prove.ts';
import type { Block, LeafProof, Ledger } from '../ledger/types.ts';
import { messageId } from '../protocol/envelope.ts';
import { headerHash } from '../protocol/header.ts';
import type { Leaf } from '../protocol/replies.ts';
import { type BookOptions, withBook, withLedger, withStore } from './chain-book.ts';
import { checkpointCommand } from './chain-checkpoint.ts';
import { EXIT_NO, printJson, printLine } from './output.ts';
import { loadGenesis } from './runtime.ts';

/** Largest proof file read: a certificate of 128 validators and a long history of their changes fit. */
const PROOF_BYTES_MAX = 4 * 1024 * 1024;

export function chainCommand(): Command {
  const chain = new Command('chain').description("read, verify and prove from a validator's book");
  withBook(chain.command('verify'))
    .description(
      'execute every block again from genesis; exit code 0 if all of it holds, 1 with the place where it breaks',
    )
    .action(verifyBook);
  withBook(chain.command('show'))
    .description('a block with its requests and results (the newest if no height is given)')
    .argument('[height]', 'height of the block')
    .action(showBlock);
  withBook(chain.command('prove'))
    .description('write the proof of one record to a file')
    .argument(
      '<record>',
      'id of a request, or notice/GATEWAY/INTERVAL, or settlement/GATEWAY/INTERVAL (number or UTC time)',
    )
    .option('-o, --out <file>', 'where to write it', 'proof.json')
    .action(proveRecord);
  chain
    .command('check')
    .description('judge a proof with nothing but genesis; exit code 0 if it holds, 1 if not')
    .argument('<file>', 'a file that `chain prove` wrote')
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .option('--json', 'one JSON document on standard output')
    .action(checkFile);
  chain.addCommand(checkpointCommand());
  return chain;
}

function verifyBook(options: BookOptions): void {
  const startedMs = performance.now();
  const found = withStore(options, (genesis, store) =>
    audit({ genesis, verify: fastVerify, source: store, isCertified: isCertified(genesis.chain, fastVerify) }),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  if (found.problem !== null) process.exitCode = EXIT_NO;
  if (options.json) {
    printJson({ ...found, verified: found.problem === null, seconds });
    return;
  }
  const done = `${found.height} blocks with ${found.records} records in ${seconds.toFixed(1)} s`;
  if (found.problem === null)
    printLine(`verified: ${done}; signatures, certificates, clearings, results and states all hold`);
  else printLine(`NOT verified: block ${found.problem.height}: ${found.problem.what} (right until then: ${done})`);
}

function showBlock(height: string | undefined, options: BookOptions): void {
  withLedger(options, (ledger) => {
    const wanted = height === undefined ? ledger.head().height : Number(height);
    const block = ledger.block(wanted);
    if (block === null) throw new WattpactError('usage.height', `no block ${height ?? wanted} in ${options.ledger}`);
    if (options.json) printJson(block);
    else for (const line of blockLines(ledger.genesis.chain, block)) printLine(line);
  });
}

function blockLines(chain: string, { header, batch, certificate, results }: Block): string[] {
  const kinds = new Map(batch.requests.map((request) => [messageId(chain, request), request.kind]));
  return [
    `block ${header.height}  ${isoSeconds(header.timeMs)}  ${headerHash(header)}`,
    `  state ${header.stateHash}  results ${header.resultsRoot}`,
    `  agreed by ${certificate.commits.length} (${certificate.engine}, view ${certificate.view}, proposed by ${certificate.proposer})`,
    ...results.map(({ leaf }) => `  ${leafLine(leaf, kinds)}`),
  ];
}

function leafLine(leaf: Leaf, kinds?: ReadonlyMap<string, string>): string {
  switch (leaf.kind) {
    case 'verdict': {
      const what = kinds?.get(leaf.request) ?? leaf.requestKind;
      return `${leaf.verdict} ${what} of ${leaf.signer} ${leaf.request}${leaf.reason === '' ? '' : `: ${leaf.reason}`}`;
    }
    case 'notice':
      return `notice to ${leaf.gateway} for interval ${leaf.interval}: ${leaf.status}, position ${leaf.positionWh} Wh, ${leaf.trades.length} trades`;
    case 'settlement':
      return `settlement of ${leaf.gateway} for interval ${leaf.interval}: delivered ${leaf.deliveredWh} Wh, trades ${leaf.tradesUc}, imbalance ${leaf.imbalanceUc}${leaf.provisional ? ' (provisional)' : ''}`;
    case 'clearing':
      return `clearing of ${leaf.feeder} for interval ${leaf.interval}: ${leaf.status}`;
    default:
      return leaf satisfies never;
  }
}

function proveRecord(record: string, options: BookOptions & { readonly out: string }): void {
  withLedger(options, (ledger) => {
    const file = proofFile(ledger, findRecord(ledger, record));
    writeFileSync(options.out, JSON.stringify(file));
    if (options.json) printJson({ file: options.out, height: file.header.height });
    else printLine(`${options.out}: ${leafLine(file.leaf)}, in block ${file.header.height}`);
  });
}

function findRecord(ledger: Ledger, record: string): LeafProof {
  const [kind = '', gateway = '', when = ''] = record.split('/');
  const interval = /^[0-9]+$/.test(when)
    ? Number(when)
    : intervalAt(Date.parse(when), ledger.genesis.interval.lengthMs);
  const found =
    kind === 'notice'
      ? ledger.noticeOf(gateway, interval)
      : kind === 'settlement'
        ? (ledger.settlementsOf(gateway, interval).at(-1) ?? null)
        : ledger.proofOf(record);
  if (found !== null) return found;
  throw new WattpactError('usage.record', `no record ${record} in this book`, {
    hint: 'Give the id of a request, or notice/GATEWAY/INTERVAL, or settlement/GATEWAY/INTERVAL',
  });
}

function checkFile(file: string, options: { readonly genesis: string; readonly json?: true }): void {
  const genesis = loadGenesis(options.genesis);
  const agreed = commitsAgree(genesis.chain, fastVerify);
  const checked = checkProofFile(readProof(file), { genesis, verify: fastVerify, agreed });
  if ('problem' in checked) process.exitCode = EXIT_NO;
  if (options.json) printJson({ ...checked, proven: !('problem' in checked) });
  else if ('problem' in checked) printLine(`false: ${checked.problem}`);
  else printLine(`true: ${leafLine(checked.leaf)}, in block ${checked.height} of ${isoSeconds(checked.timeMs)}`);
}

function readProof(file: string): Json {
  try {
    if (statSync(file).size > PROOF_BYTES_MAX)
      throw new WattpactError('usage.file', `${file} is larger than a proof can be`);
    return JSON.parse(readFileSync(file, 'utf8')) as Json;
  } catch (error) {
    throw new WattpactError('usage.file', `cannot read the proof ${file}: ${describeError(error)}`, { cause: error });
  }
}
