// `wattpact chain ask`: asks the open APIs of validators, signs where a key is given, and judges what comes (chain-judge.ts).

import { Command } from 'commander';
import type { Json } from '../base/canonical.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import type { Key } from '../keys/files.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { faultsTolerated } from '../protocol/quorum.ts';
import { type Judgement, judge } from './chain-judge.ts';
import { Source } from './chain-source.ts';
import { EXIT_NO, printJson, printLine, writeOut } from './output.ts';
import { loadOwnKey } from './own-key.ts';
import { loadGenesis } from './runtime.ts';

interface Options {
  readonly genesis: string;
  readonly api: readonly string[];
  readonly as?: string;
  readonly key?: string;
  readonly out?: string;
  readonly json?: true;
}

export function askCommand(): Command {
  return new Command('ask')
    .description("ask validators' open APIs, and check what comes; exit code 1 if anything does not hold")
    .argument('<target>', 'for example /v1/parties/gateway-house/account (docs/api.md lists them)')
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .requiredOption('--api <url...>', 'open APIs of one or several validators')
    .option('--as <party>', 'sign the question as this party')
    .option('--key <file>', 'its key')
    .option('-o, --out <file>', "write the first answer's JSON to a file")
    .option('--json', 'one JSON document on standard output')
    .action(ask);
}

/** What one validator says. */
interface Said extends Judgement {
  readonly validator: string;
  readonly answer: Json;
}

async function ask(target: string, options: Options): Promise<void> {
  const genesis = loadGenesis(options.genesis);
  const asker = askerOf(options, genesis);
  const said: Said[] = [];
  const failures: string[] = [];
  for (const url of options.api) {
    try {
      said.push(await askOne(new Source(url, genesis, asker), target, genesis));
    } catch (error) {
      failures.push(`${url}: ${describeError(error)}`);
    }
  }
  const [first] = said;
  if (first === undefined) throw new WattpactError('api.ask', failures.join('\n'));
  if (options.out !== undefined) writeOut(options.out, JSON.stringify(first.answer));
  if (failures.length > 0 || said.some(({ holds }) => holds === false)) process.exitCode = EXIT_NO;
  if (options.json) {
    printJson({
      failures,
      said: said.map(({ answer, detail, holds, validator }) => ({ answer, holds, validator, ...detail })),
    });
    return;
  }
  for (const failure of failures) process.stderr.write(`wattpact: ${failure}\n`);
  for (const { answer, holds, text, validator } of said) {
    if (holds === null) printLine(`${validator}: ${text}\n${JSON.stringify(answer, null, 2)}`);
    else printLine(`${validator}: ${holds}: ${text}`);
  }
  const needed = faultsTolerated(genesis.validators.length) + 1;
  if (said.length < needed && target.endsWith('/account')) {
    printLine(`(an account is sure when ${needed} validators say the same: name more with --api)`);
  }
}

function askerOf({ as, key }: Options, genesis: Genesis): { party: string; key: Key } | null {
  if (as === undefined && key === undefined) return null;
  if (as === undefined || key === undefined) throw new WattpactError('usage.as', '--as and --key go together');
  return { party: as, key: loadOwnKey(key, as, genesis) };
}

async function askOne(source: Source, target: string, genesis: Genesis): Promise<Said> {
  const { validator } = await source.chain();
  const answer = await source.get(target);
  const sets = await source.sets();
  // A share says nothing without the notice that the chain proves.
  const beside = /^\/v1\/parties\/([^/]+)\/clearings\/(\d+)$/.exec(target);
  const notice = beside === null ? null : await source.get(`/v1/parties/${beside[1]}/notices/${beside[2]}`);
  return { ...judge(answer, genesis, sets, notice), answer, validator };
}
