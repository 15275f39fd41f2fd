// Evidence against other validators as files a person can look at and hand on: `evidence/<accused>.json` in the validator's folder. The vote
// log holds it as well; these files can be read while the validator runs, and judged by anybody with `wattpact chain check`.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Contradiction } from '../consensus/engine.ts';
import { idSchema } from '../protocol/envelope.ts';

const FOLDER = 'evidence';
export const EVIDENCE_KIND = 'wattpact.evidence';

const messageSchema = z.strictObject({
  body: z.record(z.string(), z.unknown()),
  kind: z.string(),
  signature: z.string(),
  signer: idSchema,
});
export const evidenceSchema = z.strictObject({
  accused: idSchema,
  chain: z.string(),
  first: messageSchema,
  kind: z.literal(EVIDENCE_KIND),
  second: messageSchema,
});

/** Writes what is not there yet. */
export function keepEvidence(dir: string, chain: string, pieces: readonly Contradiction[]): void {
  for (const { accused, first, second } of pieces) {
    const file = join(dir, FOLDER, `${accused}.json`);
    if (existsSync(file)) continue;
    mkdirSync(join(dir, FOLDER), { recursive: true, mode: 0o700 });
    writeFileSync(file, JSON.stringify({ accused, chain, first, kind: EVIDENCE_KIND, second }));
  }
}

/** What a folder holds: whom, of what kind, and the file. */
export function readEvidence(dir: string): { accused: string; what: string; file: string }[] {
  if (!existsSync(join(dir, FOLDER))) return [];
  return readdirSync(join(dir, FOLDER)).flatMap((name) => {
    const file = join(dir, FOLDER, name);
    const parsed = evidenceSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    if (!parsed.success) return [];
    const { accused, first } = parsed.data;
    const at = ['height', 'view'].flatMap((field) => (field in first.body ? [`${field} ${first.body[field]}`] : []));
    return [{ accused, what: `two ${first.kind} at ${at.join(', ')}`, file }];
  });
}
