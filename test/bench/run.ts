// `npm run bench -- NAME [ARGS]`: runs test/bench/NAME/main.ts, which prints for people and ends in one line of JSON. `--help` says what a
// benchmark takes: the words at the top of its file.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from './parts.ts';

const [name, ...args] = process.argv.slice(2);
const known = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();
if (name === undefined || !known.includes(name)) {
  process.stderr.write(`usage: npm run bench -- NAME [ARGS]; names: ${known.join(', ')}\n`);
  process.exit(2);
}
const file = join(import.meta.dirname, name, 'main.ts');
const help = (): string => {
  const lines = readFileSync(file, 'utf8').split('\n');
  const end = lines.findIndex((line) => !line.startsWith('//'));
  return `${lines
    .slice(0, end)
    .map((line) => line.replace(/^\/\/ ?/, ''))
    .join('\n')}\n`;
};
if (args.includes('--help')) {
  process.stdout.write(help());
  process.exit(0);
}
const { main } = (await import(file)) as { main: (args: string[]) => Promise<void> };
try {
  await main(args);
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error instanceof TypeError && /^ERR_PARSE_ARGS/.test(String(Object(error).code)));
  if (!isUsage) throw error;
  process.stderr.write(`${(error as Error).message}\n\n${help()}`);
  process.exitCode = 2;
}
