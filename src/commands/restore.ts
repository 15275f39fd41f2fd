// `wattpact restore SITE --api URL...`: gives a gateway that lost its store its past back from validators' open APIs, each record with its proof.
// A running gateway does the same over the broker by itself; this is for before it starts, and where HTTP is the way that is open.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { describeError, WattpactError } from '../base/errors.ts';
import { intervalAt } from '../base/interval.ts';
import { commitsAgree } from '../consensus/certificates.ts';
import { gatewayIdOf } from '../gateway/equipment.ts';
import { STORE_FILE } from '../gateway/gateway.ts';
import { createRebuilding } from '../gateway/history.ts';
import { type HistoryAnswer, historyPart } from '../gateway/history-part.ts';
import { fastVerify } from '../keys/verify.ts';
import { keysOf, type Sets, setAt } from '../ledger/succession.ts';
import { faultsTolerated } from '../protocol/quorum.ts';
import { HISTORY_RECORDS_MAX } from '../protocol/replies.ts';
import { loadSite } from '../site/load.ts';
import { openGatewayStore } from '../store/gateway.ts';
import { Source } from './chain-source.ts';
import { printJson, printLine } from './output.ts';
import { loadOwnKey } from './own-key.ts';
import { runtime } from './runtime.ts';
import { marketOf } from './site-market.ts';

interface Flags {
  readonly api: readonly string[];
  readonly profiles?: readonly string[];
  readonly id?: string;
  readonly json?: true;
}

export function restoreCommand(): Command {
  return new Command('restore')
    .description("give a gateway that lost its store its past back from validators' open APIs, with proofs")
    .argument('<site>', 'site file (YAML) with a market section')
    .requiredOption('--api <url...>', 'open APIs of validators: f + 1 of them, so that one is honest')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .option('--id <gateway>', 'id under which the operator admitted the site (default: gateway-<site id>)')
    .option('--json', 'one JSON document on standard output')
    .action(restore);
}

async function restore(siteFile: string, flags: Flags): Promise<void> {
  const { site } = loadSite(siteFile, flags.profiles);
  const { market, genesis } = marketOf(siteFile, site);
  const { chain, interval } = genesis;
  const gateway = flags.id ?? gatewayIdOf(site);
  const { clock, log } = runtime(genesis, gateway);
  const asker = { party: gateway, key: loadOwnKey(market.key, gateway, genesis) };
  const validators = await reach(flags.api, (url) => new Source(url, genesis, asker));
  const sets = longest(validators.map((validator) => validator.sets));
  const n = (sets.at(-1) as Sets[number]).validators.length;
  const f = faultsTolerated(n);
  if (validators.length <= f) {
    throw new WattpactError(
      'api.few',
      `${validators.length} of ${n} validators answer: it takes ${f + 1} to know that nothing is left out`,
      { hint: 'Name more of them with --api' },
    );
  }
  const keysAt = (height: number) => {
    const set = setAt(sets, height);
    return set === null ? null : keysOf(set);
  };
  const rules = { agreed: commitsAgree(chain, fastVerify), chain, f, gateway, keysAt, log };

  mkdirSync(market.dataDir, { recursive: true, mode: 0o700 });
  const store = openGatewayStore(join(market.dataDir, STORE_FILE));
  try {
    const lastWithOffers = intervalAt(clock.chainMs() + interval.gateOpenMs, interval.lengthMs);
    const rebuilding = createRebuilding(store, lastWithOffers);
    // Up to where f + 1 of them have certified blocks.
    const until = validators.map(({ height }) => height).sort((a, b) => b - a)[f] as number;
    let deliveries = 0;
    for (let from = rebuilding.historyFrom(); from !== null && from < until; from = rebuilding.historyFrom()) {
      const answers = await pages(validators, gateway, from);
      // Who has pruned will not have it later either: first those that keep it, then whoever has something.
      const part =
        historyPart(answers, { from, isPatient: true }, rules) ??
        historyPart(answers, { from, isPatient: false }, rules);
      if (part === null)
        throw new WattpactError('api.history', `the validators tell nothing of blocks from ${from} on`);
      rebuilding.onHistory(part.deliveries, part.untilHeight);
      deliveries += part.deliveries.length;
      if (!flags.json) process.stderr.write(`up to block ${part.untilHeight} of ${until}: ${deliveries} deliveries\n`);
    }
    if (flags.json) printJson({ deliveries, untilHeight: until });
    else if (deliveries === 0) printLine(`${gateway}: nothing is missing`);
    else
      printLine(
        `${gateway}: ${deliveries} deliveries restored, each proven; the gateway goes on from here when it starts`,
      );
  } finally {
    store.close();
  }
}

/** Records prove themselves, one by one. */
const pageSchema = z.object({
  keptFrom: z.int().min(0),
  records: z.array(z.unknown()).max(HISTORY_RECORDS_MAX),
  untilHeight: z.int().min(0),
});

interface Reached {
  readonly validator: string;
  readonly source: Source;
  readonly sets: Sets;
  /** Of its newest block, by its word. */
  readonly height: number;
}

/** The validators that answer, each once; what is wrong with the others goes to standard error. */
async function reach(urls: readonly string[], sourceOf: (url: string) => Source): Promise<readonly Reached[]> {
  const reached = new Map<string, Reached>();
  for (const url of urls) {
    try {
      const source = sourceOf(url);
      const { height, validator } = await source.chain();
      reached.set(validator, { validator, source, height, sets: await source.sets() });
    } catch (error) {
      process.stderr.write(`wattpact: ${url}: ${describeError(error)}\n`);
    }
  }
  return [...reached.values()];
}

/** Each was followed from genesis, change by proven change: the one that leads furthest knows all that the others know. */
function longest(all: readonly Sets[]): Sets {
  return all.reduce((best, sets) => (sets.length > best.length ? sets : best), all[0] ?? []);
}

/** What the validators tell from a height on; who fails says why on standard error. */
async function pages(validators: readonly Reached[], gateway: string, from: number): Promise<readonly HistoryAnswer[]> {
  const target = `/v1/parties/${gateway}/records?from=${from}&kinds=delivery,correction`;
  const answers: HistoryAnswer[] = [];
  for (const { source, validator } of validators) {
    try {
      const { keptFrom, records, untilHeight } = pageSchema.parse(await source.get(target));
      answers.push({ keptFrom, records, until: untilHeight });
    } catch (error) {
      process.stderr.write(`wattpact: ${validator}, blocks from ${from} on: ${describeError(error)}\n`);
    }
  }
  return answers;
}
