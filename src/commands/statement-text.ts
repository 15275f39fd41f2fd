// How a statement looks: text and HTML for people, CSV and JSON for programs. Decides nothing; all sums come in.

import { intervalStartMs, isoSeconds } from '../base/interval.ts';
import { byDay, type Statement, type StatementLine } from '../ledger/statement.ts';
import type { Genesis } from '../protocol/genesis.ts';

export interface StatementView {
  readonly statement: Statement;
  readonly genesis: Genesis;
  /** `2026-06`. */
  readonly month: string;
}

const DISCLAIMER = 'This statement follows from the records of the market. It is no tax invoice. Times are UTC.';

/** What the words of the summary mean. */
const NOTES = [
  'Amounts: what has no sign is paid to you, what has a minus is paid by you. Each is rounded by itself; the exact ones are in the CSV.',
  'Sold and bought: what was agreed in the market before each interval, at the price at your grid connection.',
  'Delivered more or less than agreed: what your meter counted otherwise (to use more than agreed counts as less, to use less as more). Less costs more than the market price, more earns less than it.',
];

/** How a line is proven, with the first as the example. */
function howToProve({ statement }: StatementView): string {
  const [first] = statement.lines;
  if (first === undefined) return '';
  return `Each line stands in the chain and can be proven: wattpact chain prove ${first.record} writes the proof, wattpact chain check judges it.`;
}

/** Mean price of an energy, in ¤ a kWh with two digits; empty without energy. */
function meanPrice(uc: bigint, energyWh: number, { currency }: Genesis): string {
  if (energyWh === 0) return '';
  return `, ${(Number(uc) / energyWh / 1000).toFixed(2)} ${currency.unit}/kWh on average`;
}

/** What is settled without a meter reading so far, in words; empty if nothing is. */
function openWork({ statement, genesis }: StatementView): string {
  const open = statement.lines.filter(({ provisional }) => provisional);
  if (open.length === 0) return '';
  const amountUc = open.reduce((sum, { imbalanceUc, tradesUc }) => sum + BigInt(imbalanceUc) + BigInt(tradesUc), 0n);
  return `Provisional: for ${open.length} of the intervals no meter reading has come. They are counted at the worst that the connection allows (${money(amountUc, genesis)} of the above); a correction within 30 days replaces that.`;
}

/** µ¤ as money with two digits: in the currency itself where ¤ is its cent, else in ¤. Rounded half away from zero. */
export function money(uc: bigint, { currency }: Genesis): string {
  const isCent = currency.unit === 'cent';
  const perDigit = isCent ? 1_000_000n : 10_000n;
  const size = uc < 0n ? -uc : uc;
  const digits = (size + perDigit / 2n) / perDigit;
  const sign = uc < 0n && digits > 0n ? '-' : '';
  const text = `${sign}${digits / 100n}.${String(digits % 100n).padStart(2, '0')}`;
  return `${text} ${isCent ? currency.code : currency.unit}`;
}

export function kilowattHours(energyWh: number): string {
  return `${(energyWh / 1000).toFixed(3)} kWh`;
}

/** The few lines that a household reads. */
function summary({ statement, genesis }: StatementView): [what: string, energy: string, amount: string][] {
  const { totals, customers, unpartedUc } = statement;
  return [
    [
      'Sold in the market',
      `${kilowattHours(totals.soldWh)}${meanPrice(totals.soldUc, totals.soldWh, genesis)}`,
      money(totals.soldUc, genesis),
    ],
    [
      'Bought in the market',
      `${kilowattHours(totals.boughtWh)}${meanPrice(0n - totals.boughtUc, totals.boughtWh, genesis)}`,
      money(totals.boughtUc, genesis),
    ],
    [
      'Delivered more or less than agreed',
      `${kilowattHours(totals.surplusWh)} more, ${kilowattHours(totals.shortfallWh)} less`,
      money(totals.imbalanceUc, genesis),
    ],
    // The words say the direction here.
    totals.balanceUc < 0n
      ? ['You pay', '', money(0n - totals.balanceUc, genesis)]
      : ['You receive', '', money(totals.balanceUc, genesis)],
    ...customers.map(({ customer, basis, balanceUc }): [string, string, string] => [
      `  of it ${customer}`,
      basis,
      money(balanceUc, genesis),
    ]),
    ...(customers.length > 0 && unpartedUc !== 0n
      ? ([['  of it not parted', 'sub-meters were silent', money(unpartedUc, genesis)]] as [string, string, string][])
      : []),
  ];
}

/** What stands below the sums; at least what the statement is not. */
function notesOf(view: StatementView): string[] {
  const nothing = view.statement.lines.length === 0 ? ['Nothing was settled for this site in this month.'] : [];
  return [...nothing, openWork(view), ...NOTES, howToProve(view), DISCLAIMER].filter((note) => note !== '');
}

export function statementText(view: StatementView): string {
  const { statement, genesis, month } = view;
  const rows = summary(view).map(
    ([what, energy, amount]) => `  ${what.padEnd(36)}${energy.padEnd(44)}${amount.padStart(14)}`,
  );
  const days = byDay(statement.lines, genesis.interval.lengthMs).map(
    ({ day, totals }) =>
      `  ${dayText(day)}  sold ${kilowattHours(totals.soldWh).padStart(13)}  bought ${kilowattHours(totals.boughtWh).padStart(13)}  ${money(totals.balanceUc, genesis).padStart(14)}`,
  );
  return [
    `Statement of ${statement.gateway} for ${month} (${statement.lines.length} intervals, chain ${genesis.chain})`,
    '',
    ...rows,
    '',
    ...days,
    '',
    ...notesOf(view),
  ].join('\n');
}

const CSV_COLUMNS =
  'start,record,block,sold_wh,bought_wh,delivered_wh,deviation_wh,price_uc_per_wh,trades_uc,imbalance_uc,status';

export function statementCsv({ statement, genesis }: StatementView): string {
  const row = (line: StatementLine): string =>
    [
      startOf(line, genesis),
      line.record,
      line.height,
      line.soldWh,
      line.boughtWh,
      line.deliveredWh,
      line.deviationWh,
      line.priceUcPerWh ?? '',
      line.tradesUc,
      line.imbalanceUc,
      statusOf(line),
      ...statement.customers.map((_, i) => line.partsUc?.[i] ?? ''),
    ].join(',');
  const columns = [CSV_COLUMNS, ...statement.customers.map(({ customer }) => `${customer}_uc`)].join(',');
  return [columns, ...statement.lines.map(row)].join('\n');
}

export function statementJson({ statement, genesis, month }: StatementView): unknown {
  const { totals, customers, lines } = statement;
  return {
    chain: genesis.chain,
    currency: genesis.currency,
    gateway: statement.gateway,
    month,
    taxInvoice: false,
    totals: withText(totals),
    customers: customers.map(withText),
    unpartedUc: String(statement.unpartedUc),
    lines: lines.map(({ partsUc, ...line }) => {
      return { start: startOf(line, genesis), ...line, partsUc: partsUc?.map(String) ?? null };
    }),
  };
}

/** Big totals are strings in JSON. */
function withText(values: object): object {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value]),
  );
}

export function statementHtml(view: StatementView): string {
  const { statement, genesis, month } = view;
  const cells = (values: readonly string[]): string =>
    `<tr>${values.map((value) => `<td>${htmlText(value)}</td>`).join('')}</tr>`;
  const lines = statement.lines.map((line) =>
    cells([
      startOf(line, genesis).slice(0, 16).replace('T', ' '),
      kilowattHours(line.soldWh),
      kilowattHours(line.boughtWh),
      kilowattHours(line.deviationWh),
      line.priceUcPerWh === null ? '' : (line.priceUcPerWh / 1000).toFixed(2),
      money(BigInt(line.tradesUc), genesis),
      money(BigInt(line.imbalanceUc), genesis),
      ...statement.customers.map((_, i) => partText(line.partsUc?.[i], genesis)),
      `${line.record} (block ${line.height}, ${statusOf(line)})`,
    ]),
  );
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Statement of ${htmlText(statement.gateway)} for ${htmlText(month)}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent) }
th:first-child, td:first-child, td:last-child, th:last-child { text-align: left }
#summary td:last-child { text-align: right }
.scroll { overflow-x: auto; white-space: nowrap }
small { opacity: .8 }
</style>
<h1>Statement for ${htmlText(month)}</h1>
<p>Site ${htmlText(statement.gateway)}, ${statement.lines.length} intervals, chain ${htmlText(genesis.chain)}</p>
<table id="summary">${summary(view).map(cells).join('')}</table>
${notesOf(view)
  .map((note) => `<p>${htmlText(note)}</p>`)
  .join('\n')}
<h2>Every interval</h2>
<div class="scroll"><table><tr><th>Start</th><th>Sold</th><th>Bought</th><th>More or less than agreed</th><th>Price, ${htmlText(genesis.currency.unit)}/kWh</th><th>Agreed</th><th>For more or less</th>${statement.customers.map(({ customer }) => `<th>${htmlText(customer)}</th>`).join('')}<th>Record</th></tr>
${lines.join('\n')}
</table></div>
</html>`;
}

function partText(partUc: bigint | undefined, genesis: Genesis): string {
  return partUc === undefined ? 'not parted' : money(partUc, genesis);
}

function startOf({ interval }: Pick<StatementLine, 'interval'>, genesis: Genesis): string {
  return isoSeconds(intervalStartMs(interval, genesis.interval.lengthMs));
}

function dayText(day: number): string {
  return isoSeconds(day * 24 * 3_600_000).slice(0, 10);
}

function statusOf({ provisional, corrected }: StatementLine): string {
  return provisional ? 'provisional' : corrected ? 'corrected' : 'settled';
}

function htmlText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
