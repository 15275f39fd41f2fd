// The command line: composes the commands, turns errors into one clear line and an exit code.

import { Command } from 'commander';
import { brokerCommand } from './commands/broker.ts';
import { busCommand } from './commands/bus.ts';
import { chainCommand } from './commands/chain.ts';
import { commissionCommand } from './commands/commission.ts';
import { customerCommand } from './commands/customer.ts';
import { demoCommand } from './commands/demo.ts';
import { forecastCommand } from './commands/forecast.ts';
import { gatewayCommand } from './commands/gateway.ts';
import { genesisCommand } from './commands/genesis.ts';
import { initCommand } from './commands/init.ts';
import { keysCommand } from './commands/keys.ts';
import { marketCommand } from './commands/market.ts';
import { EXIT_USAGE, fail } from './commands/output.ts';
import { planCommand } from './commands/plan.ts';
import { probeCommand } from './commands/probe.ts';
import { profileCommand } from './commands/profile.ts';
import { readCommand } from './commands/read.ts';
import { scanCommand } from './commands/scan.ts';
import { simulateCommand } from './commands/simulate.ts';
import { siteCommand } from './commands/site.ts';
import { statementCommand } from './commands/statement.ts';
import { statusCommand } from './commands/status.ts';
import { validatorCommand } from './commands/validator.ts';
import { writeCommand } from './commands/write.ts';

const program = new Command('wattpact')
  .description('Gateways and validators of a local energy market: measure, predict, sign, agree, clear, act.')
  .version('0.1.0')
  .showHelpAfterError('(--help says more)')
  .showSuggestionAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));

for (const command of [
  demoCommand(),
  gatewayCommand(),
  validatorCommand(),
  initCommand(),
  genesisCommand(),
  keysCommand(),
  statusCommand(),
  customerCommand(),
  siteCommand(),
  profileCommand(),
  scanCommand(),
  probeCommand(),
  readCommand(),
  writeCommand(),
  busCommand(),
  commissionCommand(),
  simulateCommand(),
  planCommand(),
  forecastCommand(),
  marketCommand(),
  chainCommand(),
  statementCommand(),
  brokerCommand(),
]) {
  program.addCommand(command);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
program.parseAsync().catch(fail);
