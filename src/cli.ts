// The command line: composes the commands, turns errors into one clear line and an exit code.

import { Command, type CommanderError } from 'commander';
import { EXIT_USAGE, fail } from './commands/output.ts';

/** Only the command that is asked for is loaded: a gateway on a small machine need not read the market's tools to start. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./commands/demo.ts')).demoCommand(),
  gateway: async () => (await import('./commands/gateway.ts')).gatewayCommand(),
  validator: async () => (await import('./commands/validator.ts')).validatorCommand(),
  init: async () => (await import('./commands/init.ts')).initCommand(),
  genesis: async () => (await import('./commands/genesis.ts')).genesisCommand(),
  keys: async () => (await import('./commands/keys.ts')).keysCommand(),
  restore: async () => (await import('./commands/restore.ts')).restoreCommand(),
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  override: async () => (await import('./commands/override.ts')).overrideCommand(),
  customer: async () => (await import('./commands/customer.ts')).customerCommand(),
  site: async () => (await import('./commands/site.ts')).siteCommand(),
  profile: async () => (await import('./commands/profile.ts')).profileCommand(),
  scan: async () => (await import('./commands/scan.ts')).scanCommand(),
  probe: async () => (await import('./commands/probe.ts')).probeCommand(),
  read: async () => (await import('./commands/read.ts')).readCommand(),
  write: async () => (await import('./commands/write.ts')).writeCommand(),
  bus: async () => (await import('./commands/bus.ts')).busCommand(),
  commission: async () => (await import('./commands/commission.ts')).commissionCommand(),
  simulate: async () => (await import('./commands/simulate.ts')).simulateCommand(),
  plan: async () => (await import('./commands/plan.ts')).planCommand(),
  forecast: async () => (await import('./commands/forecast.ts')).forecastCommand(),
  market: async () => (await import('./commands/market.ts')).marketCommand(),
  chain: async () => (await import('./commands/chain.ts')).chainCommand(),
  statement: async () => (await import('./commands/statement.ts')).statementCommand(),
  operator: async () => (await import('./commands/operator.ts')).operatorCommand(),
  broker: async () => (await import('./commands/broker.ts')).brokerCommand(),
};

/** Wrong use ends with the exit code of wrong use, in subcommands as well. */
function strict(command: Command): Command {
  command.exitOverride((error: CommanderError) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));
  command.showHelpAfterError('(--help says more)');
  for (const child of command.commands) strict(child);
  return command;
}

async function main(): Promise<void> {
  const program = new Command('wattpact')
    .description('Gateways and validators of a local energy market: measure, predict, sign, agree, clear, act.')
    .version('0.1.0');
  const wanted = process.argv[2] ?? '';
  const names = Object.hasOwn(COMMANDS, wanted) ? [wanted] : Object.keys(COMMANDS);
  for (const name of names) program.addCommand(await (COMMANDS[name] as () => Promise<Command>)());
  await strict(program).parseAsync();
}

/** Who read us has gone (`| head`): no fault to tell of, and nobody to tell it to. 128 + SIGPIPE, as a shell says it. */
const EXIT_PIPE = 141;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT_PIPE);
  fail(error);
});
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
main().catch(fail);
