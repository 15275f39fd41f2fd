// wattpact site: check site files.

import { Command } from 'commander';
import { describeError, WattpactError } from '../base/errors.ts';
import { loadSite, notesOfSite } from '../site/load.ts';
import { siteSchema } from '../site/site-schema.ts';
import { jsonSchemaOf } from '../site/yaml.ts';
import { EXIT_NO, printLine } from './output.ts';

export function siteCommand(): Command {
  const command = new Command('site').description('Site files: the devices of a site and its contract terms.');
  command
    .command('check')
    .description('Checks site files and their profiles; every error with file, line and column.')
    .argument('<file...>', 'site files')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .action((files: string[], options: { profiles?: string[] }) => {
      for (const file of files) {
        try {
          const loaded = loadSite(file, options.profiles);
          const { site } = loaded;
          for (const note of notesOfSite(loaded)) printLine(`note: ${note}`);
          printLine(`${file}: ok (${site.devices.length} devices on ${site.buses.length} buses)`);
        } catch (error) {
          if (!(error instanceof WattpactError)) throw error;
          printLine(describeError(error));
          process.exitCode = EXIT_NO;
        }
      }
    });
  command
    .command('schema')
    .description('The JSON Schema of site files, for editors.')
    .action(() => printLine(JSON.stringify(jsonSchemaOf(siteSchema), null, 1)));
  return command;
}
