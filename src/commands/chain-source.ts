// A validator's open API as commands ask it: questions signed where there is a key, answers bounded, the validators' sets followed from genesis.

import { randomBytes } from 'node:crypto';
import { toBase64url } from '../base/bytes.ts';
import type { Json, JsonObject } from '../base/canonical.ts';
import { chainFromWall } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { commitsAgree } from '../consensus/certificates.ts';
import type { Key } from '../keys/files.ts';
import { fastVerify } from '../keys/verify.ts';
import { follow, genesisSets, type Sets, wantedFrom } from '../ledger/succession.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { queryHeader } from '../protocol/query.ts';

/** How long an answer may take, ms, and how large it may be, bytes. */
const ANSWER_MS_MAX = 15_000;
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;
/** How long a query is good for, ms of the wall's clock. */
const VALID_MS = 60_000;

/** One validator's API. */
export class Source {
  readonly #url: string;
  readonly #genesis: Genesis;
  readonly #asker: { readonly party: string; readonly key: Key } | null;
  #validator: string | null = null;

  constructor(url: string, genesis: Genesis, asker: { party: string; key: Key } | null) {
    this.#url = url.replace(/\/$/, '');
    this.#genesis = genesis;
    this.#asker = asker;
  }

  /** Whom this is the API of, by its own word: a query that is signed for another is worth nothing here. */
  async chain(): Promise<{ readonly validator: string }> {
    const { chain, validator } = (await this.#fetch('/v1/chain', {})) as JsonObject;
    if (chain !== this.#genesis.chain) {
      throw new WattpactError('api.chain', `it is of chain ${String(chain)}, not ${this.#genesis.chain}`);
    }
    this.#validator = String(validator);
    return { validator: this.#validator };
  }

  /** A target of this API, signed if there is a key. */
  get(target: string): Promise<Json> {
    if (this.#asker === null || this.#validator === null) return this.#fetch(target, {});
    const { clock, chain } = this.#genesis;
    const body = {
      expiresMs: chainFromWall(clock, Date.now()) + VALID_MS * clock.rate,
      salt: toBase64url(new Uint8Array(randomBytes(16))),
      target,
      validator: this.#validator,
    };
    const { party, key } = this.#asker;
    return this.#fetch(target, { authorization: queryHeader(chain, party, body, key.sign) });
  }

  /** The validators' sets as far as this validator can lead from genesis. */
  async sets(): Promise<Sets> {
    const rules = { genesis: this.#genesis, verify: fastVerify, agreed: commitsAgree(this.#genesis.chain, fastVerify) };
    let sets = genesisSets(this.#genesis);
    for (;;) {
      const { changes } = (await this.#fetch(`/v1/changes?from=${wantedFrom(sets)}`, {})) as {
        changes: readonly Json[];
      };
      const before = sets;
      for (const change of changes) {
        const followed = follow(sets, change, rules);
        if ('problem' in followed)
          throw new WattpactError('api.changes', `a change of the validators: ${followed.problem}`);
        sets = followed;
      }
      if (sets === before) return sets;
    }
  }

  async #fetch(target: string, headers: Readonly<Record<string, string>>): Promise<Json> {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    let response: Response;
    try {
      response = await fetch(`${this.#url}${target}`, { headers, redirect: 'error', signal });
    } catch (cause) {
      throw new WattpactError('api.unreachable', `no answer: ${describeError((cause as Error).cause ?? cause)}`, {
        cause,
      });
    }
    const text = await boundedText(response);
    let value: Json;
    try {
      value = JSON.parse(text) as Json;
    } catch (cause) {
      throw new WattpactError('api.answer', `status ${response.status} and no JSON: is this an open API?`, { cause });
    }
    if (response.ok) return value;
    throw new WattpactError('api.refused', `${response.status}: ${String((value as JsonObject).error)}`);
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX)
      throw new WattpactError('api.answer', `an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
