// YAML to a validated value, with every error at once as `file:line:column message`.
// Owns positions and the wording of errors; what is valid, the schemas say.

import { type Document, type ErrorCode, isMap, isNode, isPair, LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { WattpactError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { wordOf } from '../base/words.ts';

/** Far above any profile or site file; a bound against hostile ones. */
export const YAML_CHARACTERS_MAX = 1_000_000;
const ALIASES_MAX = 100;
/** More are not read by anyone. */
export const PROBLEMS_MAX = 200;

export type Path = readonly PropertyKey[];

/** Something wrong at a place of the document. */
export interface Problem {
  readonly path: Path;
  readonly message: string;
  /** The key itself is wrong, not its value. */
  readonly atKey?: boolean;
}

export interface YamlKind<T> {
  /** First part of error codes: `profile`, `site`. */
  readonly what: string;
  readonly schema: z.ZodType<T>;
  /** What no schema of one place can see: references from here to there. Gets the raw document, which may be of any shape. */
  readonly crossCheck: (raw: unknown) => readonly Problem[];
}

/** The validated value. Errors: `<what>.invalid` with one line for each problem; `<what>.size`. */
export function parseYaml<T>(text: string, file: string, kind: YamlKind<T>): T {
  if (text.length > YAML_CHARACTERS_MAX) {
    throw new WattpactError(`${kind.what}.size`, `${file}: longer than ${YAML_CHARACTERS_MAX} characters`);
  }
  const lines = new LineCounter();
  const { document, raw } = read(text, file, kind.what, lines);
  const parsed = kind.schema.safeParse(raw);
  const problems = [
    ...(parsed.success ? [] : parsed.error.issues.flatMap((issue) => problemsOf(issue, kind.schema, raw))),
    ...kind.crossCheck(raw),
  ];
  if (parsed.success && problems.length === 0) return parsed.data;
  throw invalid(
    kind.what,
    problems.map((problem) => ({ ...position(document, lines, problem), message: wording(problem) })),
    file,
  );
}

/** Problems found after a document was accepted, each as `file:line:column message`, in the order of the lines. */
export function placed(text: string, file: string, problems: readonly Problem[]): readonly string[] {
  if (problems.length === 0) return [];
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true });
  return inOrder(
    problems.map((problem) => ({ ...position(document, lines, problem), message: wording(problem) })),
    file,
  );
}

interface Placed {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

function read(text: string, file: string, what: string, lines: LineCounter): { document: Document; raw: unknown } {
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true });
    if (document.errors.length > 0) {
      // What follows a tab, or a depth that nobody can read, is an echo of it.
      const roots = document.errors.filter(({ code }) => code === 'TAB_AS_INDENT' || code === 'RESOURCE_EXHAUSTION');
      const placed = (roots.length > 0 ? roots : document.errors).map((error) => {
        return { ...place(lines, error.pos[0]), message: SYNTAX[error.code] ?? firstLine(error.message) };
      });
      throw invalid(what, placed, file);
    }
    const odd = oddities(document);
    if (odd.length > 0)
      throw invalid(
        what,
        odd.map(({ at, message }) => ({ ...place(lines, at), message })),
        file,
      );
    return { document, raw: document.toJS({ maxAliasCount: ALIASES_MAX }) };
  } catch (cause) {
    if (cause instanceof WattpactError) throw cause;
    throw new WattpactError(
      `${what}.invalid`,
      `${file}:1:1 cannot be read as YAML: it is nested too deeply, or its aliases multiply without end`,
      {
        cause,
      },
    );
  }
}

/** What the reader of YAML says, where its own words are no help. */
const SYNTAX: Partial<Record<ErrorCode, string>> = {
  BLOCK_AS_IMPLICIT_KEY:
    'stands further to the right than the keys beside it, or a text with a colon in it lacks quotes',
  DUPLICATE_KEY: 'this key stands here twice: keys must be unique',
  MULTIPLE_DOCS: 'a second document begins here: one file holds one',
  RESOURCE_EXHAUSTION: 'is nested too deeply',
  TAB_AS_INDENT: 'a tab is no indentation: use spaces',
};

/** What YAML takes and nobody means: a key that objects have anyhow, and quotes that a word processor made. */
function oddities(document: Document): { at: number; message: string }[] {
  const found: { at: number; message: string }[] = [];
  visit(document, {
    Scalar: (_key, { value, type, range }) => {
      const at = range?.[0] ?? 0;
      if (value === '__proto__') found.push({ at, message: '__proto__ is no name' });
      if (typeof value === 'string' && type === 'PLAIN' && /^[“”„‟«‘’‚]/.test(value))
        found.push({ at, message: `${value.charAt(0)} does not quote here: write " on both sides` });
    },
  });
  return found;
}

function invalid(what: string, placed: readonly Placed[], file: string): WattpactError {
  const shown = inOrder(placed, file);
  const more = shown.length > PROBLEMS_MAX ? [`${file}: ${shown.length - PROBLEMS_MAX} more`] : [];
  return new WattpactError(`${what}.invalid`, [...shown.slice(0, PROBLEMS_MAX), ...more].join('\n'));
}

function inOrder(placed: readonly Placed[], file: string): string[] {
  const sorted = [...placed].sort((a, b) => a.line - b.line || a.column - b.column);
  return [...new Set(sorted.map(({ line, column, message }) => `${file}:${line}:${column} ${message}`))];
}

/** Where the value (or the key) at a path stands; the nearest place above it that exists. */
function position(document: Document, lines: LineCounter, problem: Problem): { line: number; column: number } {
  const path = [...problem.path];
  const key = problem.atKey === true ? path.pop() : undefined;
  const parent = document.getIn(path, true);
  if (key !== undefined && isMap(parent)) {
    const pair = parent.items.find((item) => isPair(item) && String(item.key) === String(key));
    if (isNode(pair?.key) && pair.key.range) return place(lines, pair.key.range[0]);
  }
  for (let depth = path.length; depth >= 0; depth--) {
    const node = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return place(lines, node.range[0]);
  }
  return { line: 1, column: 1 };
}

function place(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

function wording({ path, message }: Problem): string {
  return path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`;
}

/** Problems in people's words from what zod says of `raw`. */
function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodType, raw: unknown): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, issue.path);
    return issue.keys.map((key) => {
      return { path: [...issue.path, key], message: unknownKey(key, known), atKey: true };
    });
  }
  if (issue.code === 'invalid_key') return [{ path: issue.path, message: wordOf(issue, raw), atKey: true }];
  if (issue.code === 'invalid_union' && !issue.errors.every(([first]) => first?.code === 'invalid_value')) {
    // The branch that came furthest is the one that was meant.
    const branches = [...issue.errors].sort((a, b) => deepest(b) - deepest(a) || a.length - b.length);
    const best = branches[0] ?? [];
    if (best.length > 0) {
      return best.flatMap((inner) => problemsOf({ ...inner, path: [...issue.path, ...inner.path] }, schema, raw));
    }
  }
  if (issue.code === 'invalid_type' && issue.path.length === 0) {
    const what = raw === null ? 'the file is empty' : 'the file is not in the form of keys with values';
    return [{ path: [], message: `${what}: it begins with lines such as \`id: house\`` }];
  }
  return [{ path: issue.path, message: wordOf(issue, raw) }];
}

function unknownKey(key: string, known: readonly string[]): string {
  if (known.includes(key)) return 'does not belong here';
  if (/^\d+$/.test(key)) return 'unknown key: the decimals of a number follow a point, not a comma';
  const meant = nearest(key, known);
  return `unknown key${meant === null ? '' : `; did you mean ${meant}?`}`;
}

function deepest(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...issues.map((issue) => issue.path.length));
}

/** Keys that the schema knows at a path, from its JSON Schema. */
function knownKeys(schema: z.ZodType, path: Path): string[] {
  const root = jsonSchemaOf(schema);
  let here: JsonSchema[] = [root];
  for (const key of path) here = alternatives(here, root).flatMap((node) => child(node, key));
  const names = alternatives(here, root).flatMap((node) => [
    ...Object.keys(node.properties ?? {}),
    ...(node.propertyNames?.enum ?? []),
  ]);
  return [...new Set(names)];
}

interface JsonSchema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly propertyNames?: { readonly enum?: readonly string[] };
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly prefixItems?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
}

/** JSON Schema of what may be written (before defaults and transforms). */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
}

function alternatives(nodes: readonly JsonSchema[], root: JsonSchema): JsonSchema[] {
  return nodes.flatMap((node) => {
    const resolved = node.$ref === undefined ? node : (root.$defs?.[node.$ref.replace('#/$defs/', '')] ?? {});
    const inner = [...(resolved.anyOf ?? []), ...(resolved.oneOf ?? []), ...(resolved.allOf ?? [])];
    return inner.length === 0 ? [resolved] : [resolved, ...alternatives(inner, root)];
  });
}

function child(node: JsonSchema, key: PropertyKey): JsonSchema[] {
  if (typeof key === 'number') return node.items === undefined ? [] : [node.items];
  const property = node.properties?.[String(key)];
  if (property !== undefined) return [property];
  return typeof node.additionalProperties === 'object' ? [node.additionalProperties] : [];
}

function firstLine(text: string): string {
  return text.split('\n')[0] as string;
}
