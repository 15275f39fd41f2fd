// `wattpact genesis`: looks at a genesis as every party should before it signs anything on its chain.

import { Command } from 'commander';
import { genesisHash } from '../protocol/genesis.ts';
import { consensusQuorum, deviceQuorum, faultsTolerated } from '../protocol/quorum.ts';
import { printJson, printLine } from './output.ts';
import { loadGenesis } from './runtime.ts';

export function genesisCommand(): Command {
  const genesis = new Command('genesis').description('check a genesis and show what it says');
  genesis
    .command('check')
    .description('exit code 0 if the file is a valid genesis; shows its hash, which gateways are installed with')
    .argument('<file>', 'the genesis')
    .option('--json', 'one JSON document on standard output')
    .action(check);
  return genesis;
}

function check(file: string, { json }: { json?: true }): void {
  const loaded = loadGenesis(file);
  const n = loaded.validators.length;
  const summary = {
    chain: loaded.chain,
    hash: genesisHash(loaded),
    validators: n,
    faultsTolerated: faultsTolerated(n),
    consensusQuorum: consensusQuorum(n),
    deviceQuorum: deviceQuorum(n),
    operators: loaded.operators.map(({ id }) => id),
    feeders: loaded.feeders.map(({ id }) => id),
    gateways: loaded.gateways.map(({ gateway }) => gateway),
    intervalMinutes: loaded.interval.lengthMs / 60_000,
    rounds: loaded.rounds,
    tariffRule: loaded.tariffRule,
  };
  if (json === true) {
    printJson(summary);
    return;
  }
  printLine(`chain       ${summary.chain}`);
  printLine(`hash        ${summary.hash}`);
  printLine(
    `validators  ${n}: ${summary.faultsTolerated} may fail; ${summary.consensusQuorum} decide, a device counts to ${summary.deviceQuorum}`,
  );
  printLine(`operators   ${summary.operators.join(', ')}`);
  printLine(`feeders     ${summary.feeders.join(', ')}`);
  printLine(`gateways    ${summary.gateways.length === 0 ? 'none yet' : summary.gateways.join(', ')}`);
  printLine(`interval    ${summary.intervalMinutes} minutes, cleared in ${summary.rounds} round(s)`);
  const { distanceUcPerWhKm, energyUcPerWh, loadingPercent } = summary.tariffRule;
  printLine(
    `tariffs     ${distanceUcPerWhKm} µ¤/Wh a km, lost energy ${energyUcPerWh} µ¤/Wh, lines used to ${loadingPercent} %`,
  );
}
