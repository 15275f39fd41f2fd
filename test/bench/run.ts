// `npm run bench -- NAME [ARGS]`: runs test/bench/NAME/main.ts, which prints for people and ends in one line of JSON.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const [name, ...args] = process.argv.slice(2);
const known = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();
if (name === undefined || !known.includes(name)) {
  process.stderr.write(`usage: npm run bench -- NAME [ARGS]; names: ${known.join(', ')}\n`);
  process.exit(2);
}
const { main } = (await import(join(import.meta.dirname, name, 'main.ts'))) as {
  main: (args: string[]) => Promise<void>;
};
await main(args);
