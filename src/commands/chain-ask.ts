// `wattpact chain ask`: asks the open APIs of validators, signs where a key is given, and judges what comes (chain-judge.ts).

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { toBase64url } from '../base/bytes.ts';
import type { Json, JsonObject } from '../base/canonical.ts';
import { chainFromWall } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { commitsAgree } from '../consensus/certificates.ts';
import { type Key, loadKey } from '../keys/files.ts';
import { fastVerify } from '../keys/verify.ts';
import { follow, genesisSets, type Sets, wantedFrom } from '../ledger/succession.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { queryHeader } from '../protocol/query.ts';
import { faultsTolerated } from '../protocol/quorum.ts';
import { type Judgement, judge } from './chain-judge.ts';
import { EXIT_NO, printJson, printLine } from './output.ts';
import { loadGenesis } from './runtime.ts';

/** How long an answer may take, ms, and how large it may be, bytes. */
const ANSWER_MS_MAX = 15_000;
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;
/** How long a query is good for, ms of the wall's clock. */
const VALID_MS = 60_000;

interface Options {
  readonly genesis: string;
  readonly api: readonly string[];
  readonly as?: string;
  readonly key?: string;
  readonly out?: string;
  readonly json?: true;
}

export function askCommand(): Command {
  return new Command('ask')
    .description("ask validators' open APIs, and check what comes; exit code 1 if anything does not hold")
    .argument('<target>', 'for example /v1/parties/gateway-house/account (docs/api.md lists them)')
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .requiredOption('--api <url...>', 'open APIs of one or several validators')
    .option('--as <party>', 'sign the question as this party')
    .option('--key <file>', 'its key')
    .option('-o, --out <file>', "write the first answer's JSON to a file")
    .option('--json', 'one JSON document on standard output')
    .action(ask);
}

/** What one validator says. */
interface Said extends Judgement {
  readonly validator: string;
  readonly answer: Json;
}

async function ask(target: string, options: Options): Promise<void> {
  const genesis = loadGenesis(options.genesis);
  const asker = askerOf(options);
  const said: Said[] = [];
  const failures: string[] = [];
  for (const url of options.api) {
    try {
      said.push(await askOne(new Source(url, genesis, asker), target, genesis));
    } catch (error) {
      failures.push(`${url}: ${describeError(error)}`);
    }
  }
  const [first] = said;
  if (first === undefined) throw new WattpactError('api.ask', failures.join('\n'));
  if (options.out !== undefined) writeFileSync(options.out, JSON.stringify(first.answer));
  if (failures.length > 0 || said.some(({ holds }) => holds === false)) process.exitCode = EXIT_NO;
  if (options.json) {
    printJson({
      failures,
      said: said.map(({ answer, detail, holds, validator }) => ({ answer, holds, validator, ...detail })),
    });
    return;
  }
  for (const failure of failures) process.stderr.write(`wattpact: ${failure}\n`);
  for (const { answer, holds, text, validator } of said) {
    if (holds === null) printLine(`${validator}: ${text}\n${JSON.stringify(answer, null, 2)}`);
    else printLine(`${validator}: ${holds}: ${text}`);
  }
  const needed = faultsTolerated(genesis.validators.length) + 1;
  if (said.length < needed && target.endsWith('/account')) {
    printLine(`(an account is sure when ${needed} validators say the same: name more with --api)`);
  }
}

function askerOf({ as, key }: Options): { party: string; key: Key } | null {
  if (as === undefined && key === undefined) return null;
  if (as === undefined || key === undefined) throw new WattpactError('usage.as', '--as and --key go together');
  return { party: as, key: loadKey(key) };
}

async function askOne(source: Source, target: string, genesis: Genesis): Promise<Said> {
  const { validator } = await source.chain();
  const answer = await source.get(target);
  const sets = await source.sets();
  // A share says nothing without the notice that the chain proves.
  const beside = /^\/v1\/parties\/([^/]+)\/clearings\/(\d+)$/.exec(target);
  const notice = beside === null ? null : await source.get(`/v1/parties/${beside[1]}/notices/${beside[2]}`);
  return { ...judge(answer, genesis, sets, notice), answer, validator };
}

/** One validator's API. */
class Source {
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
