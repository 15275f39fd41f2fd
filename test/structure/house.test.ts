// The house as the design draws it: import arrows, purity, no dead file, no leftovers.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const SRC = join(ROOT, 'src');

/** Folder -> folders it may import from. `*` = composition: anything. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  site: ['base'],
  fieldbus: ['base', 'site'],
  metering: ['base'],
  forecast: ['base', 'metering'],
  dispatch: ['base', 'site', 'forecast'],
  protocol: ['base'],
  contract: ['base', 'site', 'protocol'],
  market: ['base'],
  ledger: ['base', 'protocol', 'market', 'consensus/engine.ts'],
  consensus: ['base', 'protocol'],
  keys: ['base', 'protocol'],
  messaging: ['base', 'protocol', 'keys'],
  store: ['base', 'protocol', 'contract', 'ledger', 'fieldbus', 'metering', 'forecast', 'consensus', 'messaging'],
  gateway: ['*'],
  validator: ['*'],
  simulator: ['*'],
  demo: ['*'],
  web: ['*'],
  commands: ['*'],
};

/** Files of a folder that keep it pure: no Node modules, no clock, no randomness, no environment, no async. */
const PURE: readonly string[] = [
  'base',
  'metering',
  'forecast',
  'dispatch',
  'protocol',
  'contract',
  'market',
  'ledger',
  'consensus/pbft/core',
];
const IMPURE = [
  { pattern: /from ['"]node:/, what: 'imports a Node module' },
  { pattern: /\bDate\.now\(|new Date\(\)/, what: 'reads the clock' },
  { pattern: /\bperformance\.now\(/, what: 'reads the clock' },
  { pattern: /\bMath\.random\(|\bgetRandomValues\(/, what: 'draws randomness' },
  { pattern: /\bprocess\.(?!\w*\b:)/, what: 'reads the process' },
  { pattern: /\basync\b|\bawait\b|\bPromise\b/, what: 'is asynchronous' },
  { pattern: /\bsetTimeout\(|\bsetInterval\(|\bsetImmediate\(/, what: 'sets a timer' },
];

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name));
}

const sources = filesBelow(SRC);
const code = (file: string): string => readFileSync(file, 'utf8');
const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
const roomOf = (file: string): string => relative(SRC, file).split('/')[0] as string;
const importsOf = (file: string): string[] =>
  [...code(file).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) =>
    resolve(dirname(file), match[1] as string),
  );

test('imports follow the arrows of the design', () => {
  const wrong: string[] = [];
  for (const file of sources) {
    const room = roomOf(file);
    if (room === 'cli.ts') continue;
    const allowed = ARROWS[room];
    if (allowed === undefined) {
      wrong.push(`${relative(ROOT, file)}: ${room} is no room of the house`);
      continue;
    }
    for (const target of importsOf(file)) {
      const to = roomOf(target);
      const seen = [to, relative(SRC, target), '*'];
      if (to !== room && !seen.some((name) => allowed.includes(name))) {
        wrong.push(`${relative(ROOT, file)} imports ${relative(ROOT, target)}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test('pure folders are pure', () => {
  const wrong: string[] = [];
  for (const room of PURE) {
    const files = filesBelow(join(SRC, room));
    if (files.length === 0) wrong.push(`${room}: no file`);
    for (const file of files) {
      const text = withoutComments(code(file)).replace(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g, (quoted) =>
        quoted.startsWith("'node:") ? quoted : "''",
      );
      for (const { pattern, what } of IMPURE) {
        if (pattern.test(text)) wrong.push(`${relative(ROOT, file)} ${what}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test('no file is dead: everything is reached from the command line', () => {
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file) || !existsSync(file)) return;
    reached.add(file);
    for (const target of importsOf(file)) visit(target);
  };
  visit(join(SRC, 'cli.ts'));
  expect(sources.filter((file) => !reached.has(file)).map((file) => relative(ROOT, file))).toEqual([]);
});

test('no leftovers in the sources, and no file grows without end', () => {
  const wrong: string[] = [];
  for (const file of sources) {
    const text = code(file);
    if (/\b(TODO|FIXME|XXX)\b|console\.log\(|debugger;|as any\b|@ts-ignore|@ts-expect-error/.test(text)) {
      wrong.push(`${relative(ROOT, file)} has a leftover`);
    }
    if (text.split('\n').length > 650) wrong.push(`${relative(ROOT, file)} is longer than 650 lines`);
  }
  expect(wrong).toEqual([]);
});
