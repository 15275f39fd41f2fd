// wattpact commission: checks, plans and probes a site, and writes the report that an installer hands over.

import { Command } from 'commander';
import { planBus } from '../fieldbus/busplan.ts';
import { commissioningReport } from '../fieldbus/report.ts';
import { loadSite } from '../site/load.ts';
import { machineClock } from './bus-tools.ts';
import { EXIT_NO, printLine, writeOut } from './output.ts';
import { probeSite } from './probe.ts';

export function commissionCommand(): Command {
  return new Command('commission')
    .description('Checks the site file, predicts the buses, probes every device, and writes a printable report.')
    .argument('<site>', 'site file')
    .option('--out <file>', 'report (HTML)', 'commissioning.html')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .action(async (file: string, options: { out: string; profiles?: string[] }) => {
      const loaded = loadSite(file, options.profiles);
      const plans = loaded.site.buses.map((bus) => planBus(loaded.site, loaded.profiles, bus));
      const probes = await probeSite(loaded, []);
      const { html, problems } = commissioningReport(loaded, plans, probes, machineClock.chainMs());
      writeOut(options.out, html);
      for (const problem of problems) printLine(problem);
      printLine(`${options.out}: ${probes.length} devices, ${problems.length} problems`);
      if (problems.length > 0) process.exitCode = EXIT_NO;
    });
}
