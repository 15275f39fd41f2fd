// How a bill looks: each sum in its own place and sign, each line with its state, in text, CSV, JSON and HTML.

import { expect, test } from 'vitest';
import { statementCsv, statementHtml, statementJson, statementText } from '../../src/commands/statement-text.ts';
import type { Statement, StatementLine } from '../../src/ledger/statement.ts';
import { T, testGenesis } from '../ledger/world.ts';

const line = (at: number, changes: Partial<StatementLine>): StatementLine => ({
  interval: T + at,
  record: `settlement/farm/${T + at}`,
  height: 40 + at,
  soldWh: 0,
  boughtWh: 0,
  deliveredWh: 0,
  deviationWh: 0,
  priceUcPerWh: 20_000,
  tradesUc: 0,
  imbalanceUc: 0,
  provisional: false,
  corrected: false,
  partsUc: [0n, 0n],
  ...changes,
});
const lines = [
  // Sold at 20, bought at 30 cent a kWh.
  line(0, {
    soldWh: 2_000,
    tradesUc: 40_000_000,
    deliveredWh: 2_300,
    deviationWh: 300,
    partsUc: [10_000_000n, 30_000_000n],
  }),
  line(1, {
    boughtWh: 1_000,
    tradesUc: -30_000_000,
    imbalanceUc: -2_000_000,
    deviationWh: -100,
    corrected: true,
    partsUc: null,
  }),
  line(2, {
    soldWh: 500,
    tradesUc: 10_000_000,
    imbalanceUc: -90_000_000,
    deviationWh: -500,
    provisional: true,
    priceUcPerWh: null,
  }),
];
const statement: Statement = {
  gateway: 'farm',
  fromInterval: T,
  untilInterval: T + 3,
  lines,
  totals: {
    soldWh: 2_500,
    boughtWh: 1_000,
    soldUc: 50_000_000n,
    boughtUc: -30_000_000n,
    shortfallWh: 600,
    surplusWh: 300,
    imbalanceUc: -92_000_000n,
    balanceUc: -72_000_000n,
  },
  customers: [
    { customer: '<b>', basis: 'sub-meter a', balanceUc: 10_000_000n },
    { customer: 'barn', basis: 'sub-meter b', balanceUc: -50_000_000n },
  ],
  unpartedUc: -32_000_000n,
};
const view = { statement, genesis: testGenesis(), month: '2026-06' };

test('text: what is received and paid, sold and bought, more and less, each with its own price and sign', () => {
  const text = statementText(view).replace(/ +/g, ' ');
  for (const expected of [
    'Sold in the market 2.500 kWh, 20.00 cent/kWh on average 0.50 EUR',
    'Bought in the market 1.000 kWh, 30.00 cent/kWh on average -0.30 EUR',
    'Delivered more or less than agreed 0.300 kWh more, 0.600 kWh less -0.92 EUR',
    'You pay 0.72 EUR',
    'of it <b> sub-meter a 0.10 EUR',
    'of it barn sub-meter b -0.50 EUR',
    'of it not parted sub-meters were silent -0.32 EUR',
    // Trades and imbalance of the interval that nobody has metered.
    'Provisional: for 1 of the intervals no meter reading has come. They are counted at the worst that the connection allows (-0.80 EUR',
  ]) {
    expect(text).toContain(expected);
  }
});

test('text: a site that receives, with every interval metered and parted, reads no more than that', () => {
  const [first] = lines as [StatementLine];
  const text = statementText({
    ...view,
    statement: {
      ...statement,
      lines: [first],
      totals: { ...statement.totals, boughtWh: 0, boughtUc: 0n, balanceUc: 40_000_000n },
      unpartedUc: 0n,
    },
  });
  expect(text).toMatch(/You receive +0\.40 EUR/);
  expect(text).toMatch(/Bought in the market +0\.000 kWh +0\.00 EUR/);
  expect(text).not.toMatch(/not parted|Provisional|You pay/);
});

test('CSV: a column for each customer, empty where nothing was parted or cleared; the state of each line', () => {
  const rows = statementCsv(view)
    .split('\n')
    .map((row) => row.split(','));
  expect(rows[0]?.slice(-3)).toEqual(['status', '<b>_uc', 'barn_uc']);
  expect(rows.slice(1).map((row) => row.slice(3))).toEqual([
    ['2000', '0', '2300', '300', '20000', '40000000', '0', 'settled', '10000000', '30000000'],
    ['0', '1000', '0', '-100', '20000', '-30000000', '-2000000', 'corrected', '', ''],
    ['500', '0', '0', '-500', '', '10000000', '-90000000', 'provisional', '0', '0'],
  ]);
});

test('JSON: big sums are texts, what was not parted is null', () => {
  expect(JSON.parse(JSON.stringify(statementJson(view)))).toMatchObject({
    totals: { soldWh: 2_500, soldUc: '50000000', boughtUc: '-30000000', balanceUc: '-72000000' },
    customers: [{ balanceUc: '10000000' }, { balanceUc: '-50000000' }],
    unpartedUc: '-32000000',
    lines: [{ partsUc: ['10000000', '30000000'] }, { partsUc: null }, { partsUc: ['0', '0'] }],
  });
});

test('HTML: the same sums, and names that are no markup', () => {
  const html = statementHtml(view);
  expect(html).not.toContain('<b>');
  expect(html).toContain('&#60;b&#62;');
  expect(html).toContain('<td>-0.30 EUR</td><td>-0.02 EUR</td><td>not parted</td><td>not parted</td>');
  expect(html).toContain('<td>20.00</td><td>0.40 EUR</td><td>0.00 EUR</td><td>0.10 EUR</td><td>0.30 EUR</td>');
});
