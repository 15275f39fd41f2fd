// `wattpact validator`: the program of a validator, in the foreground, until a signal ends it.

import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { startValidator } from '../validator/validator.ts';
import { type Address, address } from './gateway.ts';
import { createNotifier } from './notify.ts';
import { loadOwnKey } from './own-key.ts';
import { loadGenesis, runtime, runUntilSignal, tellParent } from './runtime.ts';

interface Flags {
  readonly genesis: string;
  readonly id: string;
  readonly key: string;
  readonly data: string;
  readonly broker: readonly string[];
  readonly listen?: Address;
  readonly api?: Address;
  readonly metrics?: Address;
}

export function validatorCommand(): Command {
  const collect = (url: string, before: readonly string[]): readonly string[] => [...before, url];
  return new Command('validator')
    .description('run a validator: consensus, ledger, and if wanted an embedded MQTT broker')
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .requiredOption('--id <validator>', "this validator's id in genesis")
    .requiredOption('--key <file>', 'its key')
    .requiredOption(
      '--data <dir>',
      'folder of its ledger and vote log (`wattpact init` or `wattpact keys votes` makes the log)',
    )
    .option('--broker <url>', 'a broker to talk through; may be given several times', collect, [])
    .option('--listen <host:port>', 'run an embedded broker here', address)
    .option('--api <host:port>', 'answer questions over HTTP here, read only (docs/api.md)', address)
    .option('--metrics <host:port>', 'show its figures here at /metrics, for Prometheus', address)
    .action(validator);
}

async function validator(flags: Flags): Promise<void> {
  const genesis = loadGenesis(flags.genesis);
  const key = loadOwnKey(flags.key, flags.id, genesis);
  if (flags.broker.length === 0 && flags.listen === undefined) {
    throw new WattpactError(
      'usage.broker',
      'a validator needs a broker: give --broker URL, --listen HOST:PORT, or both',
    );
  }
  const { log, ...machine } = runtime(genesis, flags.id);
  const running = await startValidator({
    genesis,
    id: flags.id,
    key,
    dir: flags.data,
    brokers: flags.broker,
    listen: flags.listen ?? null,
    api: flags.api ?? null,
    metrics: flags.metrics ?? null,
    ...machine,
    log,
    emit: tellParent,
  });
  const notifier = createNotifier({ environment: process.env, monotonicMs: machine.clock.monotonicMs, log });
  runUntilSignal(async () => {
    await notifier.stopping();
    await running.stop();
  });
  await notifier.ready(`${flags.id} on chain ${genesis.chain}`);
  notifier.watch(running.lastStatusMs);
}
