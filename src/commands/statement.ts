// `wattpact statement`: a site's bill for a month from a validator's book.

import { Command, Option } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { ceilDiv } from '../base/integers.ts';
import { type Statement, statementOf } from '../ledger/statement.ts';
import type { Ledger } from '../ledger/types.ts';
import { type BookOptions, withBook, withLedger } from './chain-book.ts';
import { printJson, printLine } from './output.ts';
import { type StatementView, statementCsv, statementHtml, statementJson, statementText } from './statement-text.ts';

interface StatementOptions extends BookOptions {
  readonly gateway: string;
  readonly month: string;
  readonly share: readonly string[];
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
    .option('--share <customer=percent...>', "stated shares of the site's customers, together 100", [])
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

function statementFor(ledger: Ledger, { gateway, month, share }: StatementOptions): Statement {
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
  return statementOf(ledger, gateway, fromInterval, untilInterval, sharesOf(share, site.customers));
}

function sharesOf(texts: readonly string[], customers: readonly string[]): { customer: string; sharePpm: number }[] {
  const shares = texts.map((text) => {
    const match = /^([a-z0-9-]{1,64})=([0-9]{1,3}(?:\.[0-9]{1,4})?)$/.exec(text);
    const customer = match?.[1] ?? '';
    if (!customers.includes(customer)) {
      throw new WattpactError('usage.share', `"${text}" is no share of a customer of this site`, {
        hint: `For example: ${customers[0] ?? 'customer'}=50; customers here: ${customers.join(', ') || 'none'}`,
      });
    }
    return { customer, sharePpm: Math.round(Number(match?.[2]) * 10_000) };
  });
  const total = shares.reduce((sum, { sharePpm }) => sum + sharePpm, 0);
  if (shares.length > 0 && total !== 1_000_000) {
    throw new WattpactError('usage.share', `the shares make ${total / 10_000} %, not 100 %`);
  }
  return shares;
}
