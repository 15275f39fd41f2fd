// A validator's open API as commands ask it: questions signed where there is a key, answers bounded, the validators' sets followed from genesis.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { toBase64url } from '../base/bytes.ts';
import type { Json, JsonObject } from '../base/canonical.ts';
import { chainFromWall } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { commitsAgree } from '../consensus/certificates.ts';
import type { Key } from '../keys/files.ts';
import { fastVerify } from '../keys/verify.ts';
import { follow, genesisSets, type Sets, wantedFrom } from '../ledger/succession.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { headerSchema } from '../protocol/header.ts';
import { queryHeader } from '../protocol/query.ts';

/** How long an answer may take, ms, and how large it may be, bytes. */
const ANSWER_MS_MAX = 15_000;
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;
/** How long a validator that says "too often" is waited for in all, ms, one question. */
const WAIT_MS_MAX = 120_000;
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

  /** Whom this is the API of and how high its chain is, by its own word: a query that is signed for another is worth nothing here. */
  async chain(): Promise<{ readonly validator: string; readonly height: number }> {
    const { attestation, chain, validator } = (await this.#ask('/v1/chain', () => ({}))) as JsonObject;
    if (chain !== this.#genesis.chain) {
      throw new WattpactError('api.chain', `it is of chain ${String(chain)}, not ${this.#genesis.chain}`);
    }
    this.#validator = String(validator);
    const header = headerSchema.safeParse((attestation as JsonObject | undefined)?.body);
    if (!header.success) throw new WattpactError('api.answer', 'it does not say which block is the newest');
    return { validator: this.#validator, height: header.data.height };
  }

  /** A target of this API, signed if there is a key. */
  get(target: string): Promise<Json> {
    return this.#ask(target, () => this.#signed(target));
  }

  #signed(target: string): Readonly<Record<string, string>> {
    if (this.#asker === null || this.#validator === null) return {};
    const { clock, chain } = this.#genesis;
    const body = {
      expiresMs: chainFromWall(clock, Date.now()) + VALID_MS * clock.rate,
      salt: toBase64url(new Uint8Array(randomBytes(16))),
      target,
      validator: this.#validator,
    };
    const { party, key } = this.#asker;
    return { authorization: queryHeader(chain, party, body, key.sign) };
  }

  /** The validators' sets as far as this validator can lead from genesis. */
  async sets(): Promise<Sets> {
    const rules = { genesis: this.#genesis, verify: fastVerify, agreed: commitsAgree(this.#genesis.chain, fastVerify) };
    let sets = genesisSets(this.#genesis);
    for (;;) {
      const { changes } = (await this.#ask(`/v1/changes?from=${wantedFrom(sets)}`, () => ({}))) as {
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

  /** Asks again as the answer says while it is "too often"; `headers` are made anew each time: a signed query is good once. */
  async #ask(target: string, headers: () => Readonly<Record<string, string>>): Promise<Json> {
    for (let waitedMs = 0; ; ) {
      const { retryMs, status, value } = await this.#fetch(target, headers());
      if (status >= 200 && status < 300) return value;
      if (retryMs === null || waitedMs + retryMs > WAIT_MS_MAX)
        throw new WattpactError('api.refused', `${status}: ${String((value as JsonObject).error)}`);
      await sleep(retryMs);
      waitedMs += retryMs;
    }
  }

  async #fetch(
    target: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly status: number; readonly retryMs: number | null; readonly value: Json }> {
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
    const { status } = response;
    const seconds = /^\d{1,3}$/.exec(response.headers.get('retry-after') ?? '')?.[0];
    try {
      const value = JSON.parse(text) as Json;
      return { status, retryMs: seconds === undefined ? null : Math.max(1, Number(seconds)) * 1_000, value };
    } catch (cause) {
      throw new WattpactError('api.answer', `status ${status} and no JSON: is this an open API?`, { cause });
    }
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
