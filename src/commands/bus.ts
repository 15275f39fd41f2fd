// wattpact bus plan: how busy each bus will be, before anything is wired.

import { Command } from 'commander';
import { type BusPlan, planBus } from '../fieldbus/busplan.ts';
import { loadSite } from '../site/load.ts';
import { printTable } from './bus-tools.ts';
import { EXIT_NO, printJson, printLine } from './output.ts';

export function busCommand(): Command {
  const command = new Command('bus').description('The buses of a site.');
  command
    .command('plan')
    .description("Predicts each bus's cycle time and load from the profiles.")
    .argument('<site>', 'site file')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .option('--json', 'one JSON document')
    .action((file: string, options: { profiles?: string[]; json?: boolean }) => {
      const { site, profiles } = loadSite(file, options.profiles);
      const plans = site.buses.map((bus) => planBus(site, profiles, bus));
      if (options.json) printJson(plans);
      else for (const plan of plans) printPlan(plan);
      if (plans.some(({ load }) => load > 1)) process.exitCode = EXIT_NO;
    });
  return command;
}

export function printPlan(plan: BusPlan): void {
  const full = plan.load > 1 ? '; it cannot keep up' : '';
  printLine(
    `${plan.bus}: ${plan.devices.length} devices: ${(plan.cycleMs / 1000).toFixed(2)} s a cycle, ${Math.round(plan.load * 100)} %${full}`,
  );
  printTable(
    plan.devices.flatMap(({ device, classes }) =>
      classes.map(({ poll, blocks, timeMs }) => [
        '  ',
        device,
        poll,
        `${Math.round(timeMs)} ms`,
        blocks.map(({ table, address, count }) => `${table} ${address}+${count}`).join(', '),
      ]),
    ),
  );
}
