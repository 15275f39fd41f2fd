// `wattpact override`: the owner's own word for a battery or a load, for a while. Who may write the site's data folder may say it; over the
// page and the site's broker the owner's token is wanted, and it is made here.

import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { isoSeconds } from '../base/interval.ts';
import type { Millis } from '../base/units.ts';
import { STORE_FILE } from '../gateway/gateway.ts';
import { createOverrides, type Overrides, OWNER, overridable, overrideText } from '../gateway/overrides.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { loadSite } from '../site/load.ts';
import type { SiteFile } from '../site/types.ts';
import { type GatewayStore, openGatewayStore } from '../store/gateway.ts';
import { printJson, printLine } from './output.ts';
import { runtime } from './runtime.ts';
import { marketOf } from './site-market.ts';

interface SetFlags {
  readonly for?: Millis;
  readonly until?: string;
}

/** `90m`, `2h`, `1d`. */
function duration(text: string): Millis {
  const found = /^(\d{1,4})(m|h|d)$/.exec(text);
  const units = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
  if (found === null || Number(found[1]) === 0)
    throw new InvalidArgumentError('a duration such as 90m, 2h or 1d is wanted.');
  return Number(found[1]) * units[found[2] as keyof typeof units];
}

export function overrideCommand(): Command {
  const command = new Command('override').description(
    'hold, charge or switch a battery or a load by hand, for a while',
  );
  command
    .command('set')
    .description(
      'modes of a battery: hold, charge-to PERCENT, off; of a load: on, off, hold (as it is); a heat pump by SG-ready states that is off runs as it would on its own',
    )
    .argument('<site>', 'site file')
    .argument('<id>', 'a battery (storage:) or a load (loads:) of the site file')
    .argument('<mode>', 'hold, charge-to, off or on')
    .argument('[percent]', 'where charge-to stops')
    .option('--for <duration>', 'how long, e.g. 90m, 2h, 1d', duration)
    .option('--until <time>', 'its end, ISO 8601 UTC')
    .action((site: string, id: string, mode: string, percent: string | undefined, flags: SetFlags) => {
      const set = withOverrides(site, (overrides, nowMs) => {
        const until = endOf(flags, nowMs);
        const statement = {
          id,
          mode,
          until,
          ...(percent === undefined
            ? {}
            : { percent: percent.trim() === '' || Number.isNaN(Number(percent)) ? percent : Number(percent) }),
        };
        return overrides.accept(new TextEncoder().encode(JSON.stringify(statement)), 'command line');
      });
      if (set !== null) printLine(overrideText(set));
    });
  command
    .command('end')
    .description('back to plan and trades')
    .argument('<site>', 'site file')
    .argument('<id>', 'a battery or a load of the site file')
    .action((site: string, id: string) => {
      withOverrides(site, (overrides) =>
        overrides.accept(new TextEncoder().encode(JSON.stringify({ id, mode: 'auto' })), 'command line'),
      );
      printLine(`${id}: by plan and trades`);
    });
  command
    .command('list')
    .description('what is overridden now, and what can be')
    .argument('<site>', 'site file')
    .option('--json', 'one JSON document on standard output')
    .action((site: string, { json }: { json?: true }) => {
      const known = overridable(loadSite(site).site);
      const inForce = withOverrides(site, (overrides) => overrides.inForce());
      if (json === true) {
        printJson({ equipment: known, overrides: inForce });
        return;
      }
      for (const { id, kind } of known) {
        const override = inForce.find((each) => each.id === id);
        printLine(
          override === undefined
            ? `${id}: by plan and trades (${kind.replace('-', ' ')})`
            : `${overrideText(override)}, by the ${override.by}`,
        );
      }
    });
  command
    .command('token')
    .description("make a new owner's token (shown once) for the page and the site's broker; the old one ends")
    .argument('<site>', 'site file')
    .action((site: string) => printLine(withStore(site, (store) => store.customers.issue(OWNER))));
  return command;
}

function endOf(flags: SetFlags, nowMs: Millis): string {
  if ((flags.for === undefined) === (flags.until === undefined)) {
    throw new WattpactError('usage.until', 'an override has an end: say --for 2h or --until TIME');
  }
  return flags.until ?? isoSeconds(nowMs + (flags.for as Millis));
}

function withOverrides<T>(siteFile: string, work: (overrides: Overrides, nowMs: Millis) => T): T {
  return withStore(siteFile, (store, genesis, site) => {
    const { clock } = runtime(genesis, site.id);
    return work(createOverrides({ site, store, clock }), clock.chainMs());
  });
}

function withStore<T>(siteFile: string, work: (store: GatewayStore, genesis: Genesis, site: SiteFile) => T): T {
  const { site } = loadSite(siteFile);
  const { market, genesis } = marketOf(siteFile, site);
  const store = openGatewayStore(join(market.dataDir, STORE_FILE));
  try {
    return work(store, genesis, site);
  } finally {
    store.close();
  }
}
