// `wattpact init`: from a consortium file to keys, vote logs and genesis, ready to be handed out.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { makeConsortium, parseConsortium } from '../demo/consortium.ts';
import { printJson, printLine } from './output.ts';
import { readUserFile } from './runtime.ts';

export function initCommand(): Command {
  return new Command('init')
    .description('make the keys, vote logs and genesis of a new consortium below a folder')
    .argument('<dir>', 'a folder that holds none yet')
    .requiredOption('--from <file>', 'consortium file (YAML), e.g. devices/demo/consortium.yaml')
    .option('--json', 'one JSON document on standard output')
    .action(init);
}

function init(dir: string, { from, json }: { from: string; json?: true }): void {
  if (existsSync(join(dir, 'genesis.json'))) {
    throw new WattpactError('usage.init', `${dir} holds a consortium already`, {
      hint: 'Choose another folder: keys are never overwritten',
    });
  }
  const nowMs = Date.now();
  const made = makeConsortium({
    consortium: parseConsortium(readUserFile(from, 'consortium file'), from),
    file: from,
    dir,
    clock: { originMs: nowMs, wallOriginMs: nowMs, rate: 1 },
  });
  if (json === true) {
    printJson({ chain: made.genesis.chain, genesis: made.genesisFile, keys: Object.fromEntries(made.keyFiles) });
    return;
  }
  printLine(`chain ${made.genesis.chain}: ${made.genesisFile}`);
  for (const [party, file] of made.keyFiles) printLine(`  key of ${party}: ${file}`);
  printLine('Give every party its own key and the genesis; then remove the keys that are not yours from here.');
}
