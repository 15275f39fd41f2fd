// A request of an operator or utility on its way between the people who must sign it: `{"body", "chain", "kind"}`, the body without what
// the last signer adds (salt, sequence, validity). Owns the file's form and what each hand adds to it.

import { existsSync } from 'node:fs';
import { z } from 'zod';
import { toBase64url } from '../base/bytes.ts';
import type { JsonObject } from '../base/canonical.ts';
import { WattpactError } from '../base/errors.ts';
import { wordsOf } from '../base/words.ts';
import type { RequestDraft } from '../gateway/requester.ts';
import type { Key } from '../keys/files.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { validatorSetHash } from '../protocol/header.ts';
import {
  approvalBytes,
  isRequestKind,
  possessionBytes,
  REQUEST_SCHEMAS,
  REQUEST_SIGNERS,
  type RequestBody,
  type RequestKind,
} from '../protocol/requests.ts';
import { writeOut } from './output.ts';
import { readUserFile } from './runtime.ts';

const fileSchema = z.strictObject({
  body: z.record(z.string(), z.unknown()),
  chain: z.string(),
  kind: z.string(),
});

export interface RequestFile<K extends RequestKind = RequestKind> {
  readonly body: RequestDraft<K>;
  readonly chain: string;
  readonly kind: K;
}

/** Stands for what the last signer adds, so that a draft can be held against the schema. */
const LAST_HAND = { salt: toBase64url(new Uint8Array(16)), sequence: 1, validUntilMs: 0 };

/** A file that people may have written by hand; throws `usage.request` with what is wrong in it. */
export function readRequestFile(path: string, genesis: Genesis): RequestFile {
  const wrong = (reason: string): WattpactError => new WattpactError('usage.request', `${path}: ${reason}`);
  let value: unknown;
  try {
    value = JSON.parse(readUserFile(path, 'request'));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw wrong(`not JSON: ${cause.message}`);
    throw cause;
  }
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) throw wrong(`{"kind", "chain", "body"} is wanted: ${wordsOf(parsed.error, value)}`);
  const { kind, chain, body } = parsed.data;
  if (!isRequestKind(kind) || REQUEST_SIGNERS[kind] === 'gateway') {
    const known = Object.entries(REQUEST_SIGNERS).flatMap(([name, signer]) => (signer === 'gateway' ? [] : [name]));
    throw wrong(`${kind} is no request of an operator or utility; there are ${known.join(', ')}`);
  }
  if (chain !== genesis.chain) throw wrong(`it is for chain ${chain}, not ${genesis.chain}`);
  const possession = 'possession' in body && body.possession === '' ? { possession: NO_SIGNATURE } : {};
  const draft = { ...body, ...possession, ...LAST_HAND };
  const checked = REQUEST_SCHEMAS[kind].safeParse(draft);
  if (!checked.success) throw wrong(`${kind}: ${wordsOf(checked.error, draft)}`);
  return { body: body as RequestDraft<typeof kind>, chain, kind };
}
/** In place of a proof of possession that is still to come. */
const NO_SIGNATURE = toBase64url(new Uint8Array(64));

export function writeRequestFile(path: string, file: RequestFile, isNew: boolean): void {
  if (isNew && existsSync(path)) throw new WattpactError('usage.file', `${path} exists already: it is not overwritten`);
  writeOut(path, `${JSON.stringify(file, null, 2)}\n`);
}

/** What the holder of a new key signs, and where it stands in the body; null: the kind brings no key. */
function newKeyOf({ kind, body }: RequestFile): { value: JsonObject; publicKey: string } | null {
  switch (kind) {
    case 'gateway.admit': {
      const { admission } = body as RequestDraft<'gateway.admit'>;
      return { value: admission as unknown as JsonObject, publicKey: admission.publicKey };
    }
    case 'gateway.rekey': {
      const { gateway, publicKey } = body as RequestDraft<'gateway.rekey'>;
      return { value: { gateway, publicKey }, publicKey };
    }
    case 'membership': {
      const { change } = body as RequestDraft<'membership'>;
      return change.publicKey === null ? null : { value: change as JsonObject, publicKey: change.publicKey };
    }
    default:
      return null;
  }
}

/** The new key's own signature that its holder agrees. */
export function possess(file: RequestFile, key: Key): RequestFile {
  const wanted = newKeyOf(file);
  if (wanted === null) throw new WattpactError('usage.request', `a ${file.kind} of this kind brings no new key`);
  if (wanted.publicKey !== key.publicKey) {
    throw new WattpactError(
      'usage.key',
      `the request is about the key ${wanted.publicKey}, this one is ${key.publicKey}`,
    );
  }
  const possession = toBase64url(key.sign(possessionBytes(file.chain, wanted.value)));
  return { ...file, body: { ...file.body, possession } as RequestFile['body'] };
}

/** Whether the new key's holder has still to sign. */
export function lacksPossession(file: RequestFile): boolean {
  return newKeyOf(file) !== null && !(file.body as { possession?: string | null }).possession;
}

export function isMembership(file: RequestFile): file is RequestFile<'membership'> {
  return file.kind === 'membership';
}

/** One more approval of a change of the validators; a signer's second replaces its first. */
export function approve(file: RequestFile<'membership'>, signer: string, key: Key): RequestFile<'membership'> {
  const signature = toBase64url(key.sign(approvalBytes(file.chain, file.body.change as JsonObject)));
  const others = file.body.approvals.filter((approval) => approval.signer !== signer);
  return { ...file, body: { ...file.body, approvals: [...others, { signature, signer }] } };
}

/** A change of the set in force: `publicKey` null removes. */
export function membershipFile(
  chain: string,
  validators: readonly { readonly id: string; readonly publicKey: string }[],
  validator: string,
  publicKey: string | null,
): RequestFile<'membership'> {
  const change: RequestBody<'membership'>['change'] = {
    publicKey,
    validator,
    validatorSet: validatorSetHash(validators),
  };
  return { body: { approvals: [], change, possession: null }, chain, kind: 'membership' };
}
