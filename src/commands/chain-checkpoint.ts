// `wattpact chain checkpoint`: an operator signs the head of a book that he trusts, for gateways that were silent for longer than the chain's
// trust period; and the reading of such a file.

import { Command } from 'commander';
import { canonicalText, type Json, type JsonObject } from '../base/canonical.ts';
import { WattpactError } from '../base/errors.ts';
import { isoSeconds } from '../base/interval.ts';
import { loadKey } from '../keys/files.ts';
import { type Envelope, parseEnvelope, seal } from '../protocol/envelope.ts';
import { validatorSetHash } from '../protocol/header.ts';
import { bodyOf } from '../protocol/replies.ts';
import { type BookOptions, withBook, withLedger } from './chain-book.ts';
import { printJson, printLine, writeOut } from './output.ts';
import { readUserFile } from './runtime.ts';

interface Options extends BookOptions {
  readonly as: string;
  readonly key: string;
  readonly out: string;
}

export function checkpointCommand(): Command {
  return withBook(new Command('checkpoint'))
    .description("sign the head of a book as an operator: where a gateway's trust begins anew after a long silence")
    .requiredOption('--as <operator>', 'the operator who signs')
    .requiredOption('--key <file>', 'its key')
    .option('-o, --out <file>', 'where to write it', 'checkpoint.json')
    .action(sign);
}

function sign(options: Options): void {
  const key = loadKey(options.key);
  withLedger(options, (ledger) => {
    if (ledger.genesis.operators.find(({ id }) => id === options.as)?.publicKey !== key.publicKey) {
      throw new WattpactError('usage.as', `${options.key} is not the key of an operator ${options.as} of this chain`);
    }
    const header = ledger.head();
    const validators = [...ledger.validators()].map(([id, publicKey]) => ({ id, publicKey }));
    if (validatorSetHash(validators) !== header.validatorSet) {
      throw new WattpactError(
        'ledger.checkpoint',
        'the newest block changes the validators: the block after it can be signed',
      );
    }
    const body = { header, validators } as unknown as JsonObject;
    const envelope = seal(ledger.genesis.chain, 'checkpoint', options.as, body, key.sign);
    writeOut(options.out, canonicalText(envelope as unknown as Json));
    const { operatorThreshold } = ledger.genesis;
    if (options.json) printJson({ file: options.out, height: header.height, needed: operatorThreshold });
    else {
      printLine(
        `${options.out}: block ${header.height} of ${isoSeconds(header.timeMs)}, ${validators.length} validators`,
      );
      printLine(
        `A gateway wants ${operatorThreshold} such of different operators: wattpact gateway SITE.yaml --checkpoint FILE...`,
      );
    }
  });
}

/** A file that `chain checkpoint` wrote; whether it is genuine is the gateway's to judge. */
export function readCheckpoint(file: string): Envelope {
  let envelope: Envelope | null = null;
  try {
    envelope = parseEnvelope(JSON.parse(readUserFile(file, 'checkpoint')));
  } catch (cause) {
    if (!(cause instanceof SyntaxError) && !(cause instanceof WattpactError && cause.code.startsWith('message')))
      throw cause;
  }
  if (envelope === null || bodyOf('checkpoint', envelope) === null) {
    throw new WattpactError('usage.file', `${file} is no checkpoint`, {
      hint: 'Operators make them with `wattpact chain checkpoint`',
    });
  }
  return envelope;
}
