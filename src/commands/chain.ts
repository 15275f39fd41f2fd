// `wattpact chain`: reads a validator's book. `verify` re-executes it from genesis, `show` tells a block, `prove` writes
// the proof of one record to a file, `check` judges such a file with nothing but genesis at hand; `ask` and `checkpoint` are files of their own.

import { readFileSync, statSync } from 'node:fs';
import { Command } from 'commander';
import type { Json } from '../base/canonical.ts';
import { describeError, isWattpactError, WattpactError } from '../base/errors.ts';
import { intervalAt, isoSeconds } from '../base/interval.ts';
import { fileReason } from '../base/text.ts';
import { isCertified } from '../consensus/certificates.ts';
import { fastVerify } from '../keys/verify.ts';
import { audit } from '../ledger/audit.ts';
import { proofFile } from '../ledger/prove.ts';
import { genesisSets } from '../ledger/succession.ts';
import type { Block, LeafProof, Ledger } from '../ledger/types.ts';
import { hashOf, messageId } from '../protocol/envelope.ts';
import { headerHash } from '../protocol/header.ts';
import { apiDocument } from '../web/api-document.ts';
import { askCommand } from './chain-ask.ts';
import { type BookOptions, withBook, withLedger, withStore } from './chain-book.ts';
import { checkpointCommand } from './chain-checkpoint.ts';
import { judge, leafLine } from './chain-judge.ts';
import { EXIT_NO, printJson, printLine, writeOut } from './output.ts';
import { loadGenesis } from './runtime.ts';

/** Largest file read: a clearing of a large feeder fits. */
const PROOF_BYTES_MAX = 64 * 1024 * 1024;

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
      'id of a request, or notice/GATEWAY/INTERVAL, settlement/GATEWAY/INTERVAL, summary/FEEDER/INTERVAL or clearing/FEEDER/INTERVAL (number or UTC time)',
    )
    .option('-o, --out <file>', 'where to write it', 'proof.json')
    .action(proveRecord);
  chain
    .command('check')
    .description('judge a proof or a clearing with nothing but genesis; exit code 0 if it holds, 1 if not')
    .argument('<file>', 'a file that `chain prove` or `chain ask --out` wrote')
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .option('--notice <file>', 'of a clearing: the proof of a notice or summary that names its hash')
    .option('--json', 'one JSON document on standard output')
    .action(checkFile);
  chain
    .command('openapi')
    .description("the open API's description (docs/api.json)")
    .action(() => printLine(apiDocument()));
  chain.addCommand(askCommand());
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

function proveRecord(record: string, options: BookOptions & { readonly out: string }): void {
  withLedger(options, (ledger) => {
    if (record.startsWith('clearing/')) return writeClearing(ledger, record, options);
    const file = proofFile(ledger, findRecord(ledger, record));
    writeOut(options.out, JSON.stringify(file));
    if (options.json) printJson({ file: options.out, height: file.header.height });
    else printLine(`${options.out}: ${leafLine(file.leaf)}, in block ${file.header.height}`);
  });
}

/** A clearing proves itself; that it is the chain's, its hash in a notice or summary shows. */
function writeClearing(ledger: Ledger, record: string, options: { readonly out: string; readonly json?: true }): void {
  const [, feeder = '', when = ''] = record.split('/');
  const document = ledger.clearing(feeder, intervalOf(ledger, when));
  if (document === null) throw new WattpactError('usage.record', `no ${record} in this book`);
  writeOut(options.out, JSON.stringify(document));
  if (options.json) printJson({ file: options.out, clearing: hashOf(document) });
  else printLine(`${options.out}: clearing of ${feeder} for interval ${document.interval}, hash ${hashOf(document)}`);
}

function intervalOf({ genesis }: Ledger, when: string): number {
  return /^[0-9]+$/.test(when) ? Number(when) : intervalAt(Date.parse(when), genesis.interval.lengthMs);
}

function findRecord(ledger: Ledger, record: string): LeafProof {
  const [kind = '', gateway = '', when = ''] = record.split('/');
  const interval = intervalOf(ledger, when);
  const found =
    kind === 'notice'
      ? ledger.noticeOf(gateway, interval)
      : kind === 'settlement'
        ? (ledger.settlementsOf(gateway, interval).at(-1) ?? null)
        : kind === 'summary'
          ? ledger.summaryOf(gateway, interval)
          : ledger.proofOf(record);
  if (found !== null) return found;
  throw new WattpactError('usage.record', `no record ${record} in this book`, {
    hint: 'Give the id of a request, or notice/GATEWAY/INTERVAL, settlement/GATEWAY/INTERVAL, summary/FEEDER/INTERVAL or clearing/FEEDER/INTERVAL',
  });
}

function checkFile(
  file: string,
  options: { readonly genesis: string; readonly notice?: string; readonly json?: true },
): void {
  const genesis = loadGenesis(options.genesis);
  const notice = options.notice === undefined ? null : readProof(options.notice);
  const judged = judge(readProof(file), genesis, genesisSets(genesis), notice);
  const holds = judged.holds === true;
  if (!holds) process.exitCode = EXIT_NO;
  if (options.json) printJson({ ...judged.detail, proven: holds });
  else printLine(`${holds}: ${judged.text}`);
}

function readProof(file: string): Json {
  try {
    if (statSync(file).size > PROOF_BYTES_MAX)
      throw new WattpactError('usage.file', `${file} is larger than a proof can be`);
    return JSON.parse(readFileSync(file, 'utf8')) as Json;
  } catch (error) {
    const reason =
      error instanceof SyntaxError
        ? 'it is not JSON'
        : isWattpactError(error)
          ? describeError(error)
          : fileReason(error);
    throw new WattpactError('usage.file', `cannot read the proof ${file}: ${reason}`, { cause: error });
  }
}
