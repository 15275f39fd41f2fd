// What a schema refused, in people's words: what stands there, and what is wanted instead.

import type { z } from 'zod';
import { nearest } from './nearest.ts';

/** Most that is told of one value at once; nobody reads more. */
const PROBLEMS_TOLD_MAX = 8;
/** Longest that is shown of a value or key, characters. */
const SHOWN_MAX = 60;

type Issue = z.core.$ZodIssue;

/** Everything wrong with `value` (what was parsed) in one line: `body.energyWh: must be at least 0, not -5; ...`. */
export function wordsOf(error: z.ZodError, value: unknown): string {
  const told = error.issues.slice(0, PROBLEMS_TOLD_MAX).map((issue) => {
    const place = issue.path.map((key) => shortened(String(key))).join('.');
    return place === '' ? wordOf(issue, value) : `${place}: ${wordOf(issue, value)}`;
  });
  const more = error.issues.length - told.length;
  return [...told, ...(more > 0 ? [`${more} more`] : [])].join('; ');
}

/** One problem without its place. `root` is the whole value that was parsed. */
export function wordOf(issue: Issue, root: unknown): string {
  const value = valueAt(root, issue.path);
  switch (issue.code) {
    case 'invalid_type':
      return value === undefined
        ? `is missing (${TYPES[issue.expected] ?? issue.expected})`
        : typeWord(issue.expected, value, issue.message);
    case 'invalid_value':
      return choiceWord(issue.values.map(String), value);
    case 'too_small':
      return own(issue.message) ?? boundWord(issue.origin, issue.minimum, issue.inclusive !== false, 'least', value);
    case 'too_big':
      return own(issue.message) ?? boundWord(issue.origin, issue.maximum, issue.inclusive !== false, 'most', value);
    case 'unrecognized_keys':
      return `unknown key ${issue.keys.map((key) => `"${shortened(key)}"`).join(', ')}`;
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message;
    case 'invalid_union':
      return unionWord(issue, root);
    default:
      return lowerFirst(issue.message);
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a group of keys',
  record: 'a group of keys',
  null: 'null',
};

function typeWord(expected: string, value: unknown, message: string): string {
  const wanted = TYPES[expected];
  if (wanted === undefined) return lowerFirst(message);
  const number = expected === 'number' || expected === 'int';
  if (number && typeof value === 'string') {
    const text = value.trim();
    if (/^[+-]?\d+(\.\d+)?$/.test(text))
      return `${wanted} is wanted, not the text "${shortened(text)}": leave the quotes out`;
    if (/^[+-]?\d/.test(text))
      return `${wanted} is wanted, not the text "${shortened(text)}": write the number alone, no unit, with a point for decimals and nothing between thousands`;
  }
  if (expected === 'string' && typeof value === 'number')
    return `a text is wanted, not the number ${value}: put it in quotes`;
  return `${wanted} is wanted, not ${shown(value)}`;
}

function choiceWord(choices: readonly string[], value: unknown): string {
  const list = choices.length < 2 ? choices.join('') : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
  if (value === undefined) return `is missing (${list})`;
  const meant = typeof value === 'string' && value.length <= SHOWN_MAX ? nearest(value, choices) : null;
  const guess = meant === null || choices.length < 2 ? '' : `; did you mean ${meant}?`;
  return `must be ${list}, not ${shown(value)}${guess}`;
}

function boundWord(
  origin: string,
  bound: number | bigint,
  inclusive: boolean,
  side: 'least' | 'most',
  value: unknown,
): string {
  if (origin === 'string' || origin === 'array' || origin === 'set' || origin === 'map') {
    const unit = origin === 'string' ? 'character' : 'entr';
    const ending = origin === 'string' ? (bound === 1 ? '' : 's') : bound === 1 ? 'y' : 'ies';
    return bound === 1 && side === 'least' ? 'must not be empty' : `must have at ${side} ${bound} ${unit}${ending}`;
  }
  const wanted = inclusive ? `at ${side} ${bound}` : `${side === 'least' ? 'above' : 'below'} ${bound}`;
  return `must be ${wanted}, not ${shown(value)}`;
}

function unionWord(issue: Issue & { code: 'invalid_union' }, root: unknown): string {
  const value = valueAt(root, issue.path);
  if ('options' in issue && Array.isArray(issue.options)) return choiceWord(issue.options.map(String), value);
  const values = issue.errors.flatMap(([first]) => (first?.code === 'invalid_value' ? first.values.map(String) : []));
  if (values.length >= issue.errors.length && values.length > 0) return choiceWord(values, value);
  const [first] = issue.errors.find((errors) => errors.length > 0) ?? [];
  if (first === undefined) return lowerFirst(issue.message);
  const words = wordOf({ ...first, path: [...issue.path, ...first.path] }, root);
  return first.path.length === 0 ? words : `${first.path.map(String).join('.')}: ${words}`;
}

/** A message that the schema gives itself; null for the library's own. */
function own(message: string): string | null {
  return /^(?:Too (?:small|big)|Invalid|Unrecognized)\b/.test(message) ? null : message;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let here = root;
  for (const key of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined;
    here = (here as Record<PropertyKey, unknown>)[key];
  }
  return here;
}

function shown(value: unknown): string {
  if (value === null) return 'nothing (null)';
  if (typeof value === 'string') return value === '' ? 'an empty text' : `"${shortened(value)}"`;
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a group of keys' : String(value);
}

/** A text from outside as it may be shown. */
export function shortened(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
