// `wattpact statement`: a site's bill for a month from a validator's book.

import { Command, Option } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { ceilDiv } from '../base/integers.ts';
import { type Parting, type Statement, statementOf } from '../ledger/statement.ts';
import type { Ledger } from '../ledger/types.ts';
import type { Admission } from '../protocol/genesis.ts';
import { type BookOptions, withBook, withLedger } from './chain-book.ts';
import { printJson, printLine } from './output.ts';
import { type StatementView, statementCsv, statementHtml, statementJson, statementText } from './statement-text.ts';

interface StatementOptions extends BookOptions {
  readonly gateway: string;
  readonly month: string;
  readonly share?: readonly string[];
  readonly submeter?: readonly string[];
  readonly html?: true;
  readonly csv?: true;
}

export function statementCommand(): Command {
  return withBook(new Command('statement'))
    .description(
      "a site's bill for a month: what it sold and bought, what its deviations cost, each line with its record",
    )
    .requiredOption('--gateway <id>', 'the site')
    .requiredOption('--month <YYYY-MM>', 'month, UTC')
    .addOption(
      new Option('--share <customer=percent...>', "stated shares of the site's customers, together 100").conflicts(
        'submeter',
      ),
    )
    .option('--submeter <customer=device...>', 'part every interval by what these devices of the site counted in it')
    .addOption(new Option('--html', 'a page to print').conflicts(['csv', 'json']))
    .addOption(new Option('--csv', 'a line for every interval').conflicts(['html', 'json']))
    .action(printStatement);
}

function printStatement(options: StatementOptions): void {
  withLedger(options, (ledger) => {
    const statement = statementFor(ledger, options);
    const view: StatementView = { statement, genesis: ledger.genesis, month: options.month };
    if (options.json) printJson(statementJson(view));
    else if (options.csv) printLine(statementCsv(view));
    else if (options.html) printLine(statementHtml(view));
    else printLine(statementText(view));
  });
}

function statementFor(ledger: Ledger, { gateway, month, share, submeter }: StatementOptions): Statement {
  const site = ledger.site(gateway);
  if (site === null) throw new WattpactError('usage.gateway', `no gateway ${gateway} on this chain`);
  const match = /^([0-9]{4})-(0[1-9]|1[0-2])$/.exec(month);
  if (match === null)
    throw new WattpactError('usage.month', `"${month}" is no month`, { hint: 'For example: 2026-06' });
  const [year, number] = [Number(match[1]), Number(match[2])];
  const { lengthMs } = ledger.genesis.interval;
  // An interval belongs to the month in which it starts.
  const fromInterval = ceilDiv(Date.UTC(year, number - 1), lengthMs);
  const untilInterval = ceilDiv(Date.UTC(year, number), lengthMs);
  return statementOf(ledger, gateway, fromInterval, untilInterval, partingOf(site, share ?? [], submeter ?? []));
}

function partingOf(site: Admission, shares: readonly string[], submeters: readonly string[]): Parting | null {
  if (submeters.length > 0) {
    const customers = submeters.map((text) => {
      const [customer, device = ''] = pairOf(site, text);
      if (site.devices.some(({ id }) => id === device)) return { customer, device };
      throw new WattpactError('usage.submeter', `no device ${device} is admitted at this site`);
    });
    return { by: 'meter', customers };
  }
  if (shares.length === 0) return null;
  const customers = shares.map((text) => {
    const [customer, percent = ''] = pairOf(site, text);
    if (/^[0-9]{1,3}(\.[0-9]{1,4})?$/.test(percent))
      return { customer, sharePpm: Math.round(Number(percent) * 10_000) };
    throw new WattpactError('usage.share', `"${percent}" is no share in percent`, {
      hint: 'For example: 50 or 33.3333',
    });
  });
  const total = customers.reduce((sum, { sharePpm }) => sum + sharePpm, 0);
  if (total !== 1_000_000) throw new WattpactError('usage.share', `the shares make ${total / 10_000} %, not 100 %`);
  return { by: 'share', customers };
}

function pairOf(site: Admission, text: string): [customer: string, value: string | undefined] {
  const [customer = '', value] = text.split('=');
  if (site.customers.includes(customer)) return [customer, value];
  throw new WattpactError('usage.customer', `"${customer}" is no customer of this site`, {
    hint: `Customers here: ${site.customers.join(', ') || 'none'}`,
  });
}
