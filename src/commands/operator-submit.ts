// `wattpact operator submit`: the last hand on a request: signs, sends, and waits until 51 % of the validators have said the same of it.

import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { connectParty, type RequestProgress } from '../gateway/party.ts';
import { readCheckpoint } from './chain-checkpoint.ts';
import { EXIT_FAILED, EXIT_NO, printJson, printLine } from './output.ts';
import { loadOwnKey } from './own-key.ts';
import { lacksPossession, readRequestFile } from './request-file.ts';
import { loadGenesis, runtime } from './runtime.ts';

const LOOK_MS = 100;

interface Options {
  readonly genesis: string;
  readonly as: string;
  readonly key: string;
  readonly broker: readonly string[];
  readonly checkpoint?: readonly string[];
  readonly wait: number;
  readonly json?: true;
}

export function submitCommand(): Command {
  return new Command('submit')
    .description(
      'sign a request, send it, and wait for its verdict; exit code 0 if it is recorded, 1 if refused, 3 if undecided',
    )
    .argument('<file>', 'the request: made by the commands beside this one, or written by hand (docs/operator.md)')
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .requiredOption('--as <party>', 'the operator or utility who submits it')
    .requiredOption('--key <file>', 'its key')
    .requiredOption('--broker <url...>', 'brokers to talk through')
    .option(
      '--checkpoint <file...>',
      "operators' checkpoints (`chain checkpoint`), where genesis is older than the trust period",
    )
    .option('--wait <seconds>', 'how long to wait for the verdict', Number, 120)
    .option('--json', 'one JSON document on standard output')
    .action(submit);
}

async function submit(path: string, options: Options): Promise<void> {
  const genesis = loadGenesis(options.genesis);
  const file = readRequestFile(path, genesis);
  if (lacksPossession(file)) {
    throw new WattpactError('usage.request', `${path}: the holder of the new key has not signed yet`, {
      hint: `wattpact operator possess ${path} --genesis ${options.genesis} --key NEW`,
    });
  }
  const { log, ...machine } = runtime(genesis, options.as);
  let last: RequestProgress | null = null;
  let failure: unknown = null;
  const party = connectParty({
    genesis,
    party: options.as,
    key: loadOwnKey(options.key, options.as, genesis),
    brokers: options.broker,
    checkpoints: (options.checkpoint ?? []).map(readCheckpoint),
    ...machine,
    log: { ...log, debug: () => undefined, info: () => undefined },
    onReady() {
      try {
        party.submit(file.kind, file.body);
      } catch (error) {
        failure = error;
      }
    },
    onRequest: (progress) => {
      last = progress;
    },
  });
  const progress = (): RequestProgress | null => last;
  try {
    const endMs = machine.clock.monotonicMs() + options.wait * 1000;
    while (
      failure === null &&
      (progress()?.phase ?? 'undecided') === 'undecided' &&
      machine.clock.monotonicMs() < endMs
    )
      await sleep(LOOK_MS);
    if (failure !== null) throw failure;
    tell(file.kind, progress(), party.connected() === 0 ? 'no broker lets it in' : party.obstacle(), options);
  } finally {
    await party.stop();
  }
}

function tell(kind: string, last: RequestProgress | null, obstacle: string | null, { json, wait }: Options): void {
  const phase = last?.phase ?? 'unsent';
  const reason = last === null ? (obstacle ?? '') : last.reason;
  if (json) {
    const { id = null, confirmations = 0, validators = null } = last ?? {};
    printJson({ confirmations, id, kind, phase, reason, validators });
  } else if (phase === 'recorded') {
    printLine(`${kind} recorded: ${last?.confirmations} of ${last?.validators} validators say so (${last?.id})`);
  } else {
    printLine(`${kind} ${phase}${reason === '' ? '' : `: ${reason}`}`);
    if (phase === 'undecided') printLine(`after ${wait} s; it may still be recorded: submitting it again does no harm`);
  }
  if (phase !== 'recorded') process.exitCode = phase === 'refused' ? EXIT_NO : EXIT_FAILED;
}
