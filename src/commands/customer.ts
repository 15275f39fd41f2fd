// `wattpact customer`: who may state demand at a site, and stating it from the command line.

import { join } from 'node:path';
import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { createDemandDesk } from '../gateway/demands.ts';
import { STORE_FILE } from '../gateway/gateway.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { loadSite } from '../site/load.ts';
import type { SiteFile } from '../site/types.ts';
import { type GatewayStore, openGatewayStore } from '../store/gateway.ts';
import { printJson, printLine } from './output.ts';
import { runtime } from './runtime.ts';
import { marketOf } from './site-market.ts';

export function customerCommand(): Command {
  const customer = new Command('customer').description('customers of a site: tokens, and stated demand');
  customer
    .command('token')
    .description('give a customer a new token (shown once) for the MQTT and HTTP doors; the old one ends')
    .argument('<site>', 'site file')
    .argument('<customer>', 'id of a customer in the site file')
    .option('--json', 'one JSON document on standard output')
    .action((site: string, id: string, { json }: { json?: true }) => {
      const token = withStore(site, id, (store) => store.customers.issue(id));
      if (json === true) printJson({ customer: id, token });
      else printLine(token);
    });
  customer
    .command('demand')
    .description(
      "state what a customer needs in one interval; who may write the site's data folder speaks for its customers",
    )
    .argument('<site>', 'site file')
    .argument('<customer>', 'id of a customer in the site file')
    .requiredOption('--start <time>', 'start of the interval, ISO 8601 UTC')
    .requiredOption('--energy-wh <wh>', 'energy needed, whole Wh', Number)
    .action((siteFile: string, id: string, { start, energyWh }: { start: string; energyWh: number }) => {
      const taken = withStore(siteFile, id, (store, genesis, site) => {
        const statement = new TextEncoder().encode(JSON.stringify({ demands: [{ start, energyWh }] }));
        const { clock } = runtime(genesis, id);
        return createDemandDesk({ site, store, intervalMs: genesis.interval.lengthMs, clock })(id, statement);
      });
      if (taken === 0) throw new WattpactError('demand.time', `the interval that starts at ${start} is over`);
      printLine(`${id} needs ${energyWh} Wh from ${start}`);
    });
  return customer;
}

function withStore<T>(
  siteFile: string,
  customer: string,
  work: (store: GatewayStore, genesis: Genesis, site: SiteFile) => T,
): T {
  const { site } = loadSite(siteFile);
  if (!site.customers.some(({ id }) => id === customer)) {
    const known = site.customers.map(({ id }) => id).join(', ');
    throw new WattpactError('site.customer', `${siteFile}: there is no customer ${customer}`, {
      hint: `Customers: ${known || 'none'}`,
    });
  }
  const { market, genesis } = marketOf(siteFile, site);
  const store = openGatewayStore(join(market.dataDir, STORE_FILE));
  try {
    return work(store, genesis, site);
  } finally {
    store.close();
  }
}
