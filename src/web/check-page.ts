// The page that checks a clearing in a browser, as one file that needs neither a server nor a network: the market's own modules with
// their types taken out, each under a name in an import map. Who wants to trust nobody makes it from his own checkout.

import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { BugError } from '../base/errors.ts';

const SRC = dirname(import.meta.dirname);
const ENTRY = join(import.meta.dirname, 'assets/check.js');
/** Imports as this project writes them: one `from '…'` each, never of a library in the folders that a browser gets. */
const IMPORT = /\bfrom '([^']+)'/g;

/** The whole page. Deterministic: the same checkout gives the same bytes. */
export function checkPage(): string {
  const modules = new Map<string, string>();
  const entry = browserCode(ENTRY, modules);
  const imports: Record<string, string> = {};
  for (const [name, code] of [...modules].sort(([a], [b]) => (a < b ? -1 : 1))) {
    imports[name] = `data:text/javascript;base64,${Buffer.from(code).toString('base64')}`;
  }
  return readFileSync(join(import.meta.dirname, 'assets/check.html'), 'utf8')
    .replace('<!--importmap-->', () => `<script type="importmap">${JSON.stringify({ imports })}</script>`)
    .replace('/* entry */', () => entry);
}

/** A file for the browser, its imports by name; what it imports is added to `modules`. */
function browserCode(file: string, modules: Map<string, string>): string {
  const source = readFileSync(file, 'utf8');
  const code = file.endsWith('.ts') ? stripTypeScriptTypes(source) : source;
  return code.replace(IMPORT, (_, specifier: string) => {
    if (!specifier.startsWith('.')) throw new BugError(`${file} imports ${specifier}: no browser has it`);
    const imported = join(dirname(file), specifier);
    const name = relative(SRC, imported);
    if (!modules.has(name)) {
      // Named before it is read: circles end here.
      modules.set(name, '');
      modules.set(name, browserCode(imported, modules));
    }
    return `from '${name}'`;
  });
}
