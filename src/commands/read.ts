// wattpact read: values of a device, once.

import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { loadSite } from '../site/load.ts';
import { printTable } from './bus-tools.ts';
import { EXIT_NO, printJson } from './output.ts';
import { probeSite, shownValue, unitText } from './probe.ts';

export function readCommand(): Command {
  return new Command('read')
    .description('Reads points of a device once.')
    .argument('<site>', 'site file')
    .argument('<device>', 'device of the site')
    .argument('[point...]', 'points such as gridPowerW; all when none is named')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .option('--json', 'one JSON document')
    .action(async (file: string, name: string, wanted: string[], options: { json?: boolean; profiles?: string[] }) => {
      const [probe] = await probeSite(loadSite(file, options.profiles), [name], wanted);
      if (probe === undefined || probe.failure !== null) {
        throw new WattpactError('fieldbus.read', probe?.failure ?? `${name} was not read`);
      }
      const unknown = wanted.filter((point) => !probe.points.some(({ measurand }) => measurand === point));
      if (unknown.length > 0) throw new WattpactError('usage.point', `${name} has no ${unknown.join(', ')}`);
      const points = probe.points.filter(({ measurand }) => wanted.length === 0 || wanted.includes(measurand));
      if (options.json) printJson(Object.fromEntries(points.map(({ measurand, value }) => [measurand, value])));
      else
        printTable(
          points.map(({ measurand, value, unit, reason }) => [
            measurand,
            shownValue(value),
            unitText(unit),
            reason ?? '',
          ]),
        );
      if (points.some(({ value }) => value === null)) process.exitCode = EXIT_NO;
    });
}
