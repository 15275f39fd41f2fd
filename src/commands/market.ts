// `wattpact market`: the clearing as a tool for planners and tests, without a chain: clear orders on a feeder, verify
// somebody's result, turn a network's electrical data into a feeder.

import { once } from 'node:events';
import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { allocate } from '../market/allocate.ts';
import { certify } from '../market/certificate.ts';
import { pairTrades } from '../market/trades.ts';
import type { Clearing, FeederModel, OrderTrade } from '../market/types.ts';
import { verifyClearing } from '../market/verify.ts';
import { type OrderFile, readFeeder, readOrders, readResult, resultText } from './market-files.ts';
import { marketImportCommand } from './market-import.ts';
import { EXIT_NO, printJson, printLine } from './output.ts';

interface InputOptions {
  readonly feeder: string;
  readonly orders: string;
  readonly interval: string;
  readonly json?: true;
}

export function marketCommand(): Command {
  const market = new Command('market').description('clear a market on a radial feeder, or verify a clearing, offline');
  withInputs(market.command('clear'))
    .description('the allocation of greatest welfare, with its certificate and trades')
    .option('--no-trades', 'leave the pairing of sellers and buyers out')
    .action(async (options: InputOptions & { trades: boolean }) => clearFiles(options));
  withInputs(market.command('verify'))
    .description('check a result: exit code 0 if it is the one optimal and canonical clearing, 1 if not')
    .requiredOption('--result <file>', 'result of `market clear --json`')
    .action(async (options: InputOptions & { result: string }) => verifyFiles(options));
  market.addCommand(marketImportCommand());
  return market;
}

function withInputs(command: Command): Command {
  return command
    .requiredOption(
      '--feeder <folder>',
      'folder with buses.csv (bus,parent) and lines.csv (bus,capacity_w,tariff_uc_per_wh,loss_ppm)',
    )
    .requiredOption('--orders <file>', 'CSV with id,bus,side,price_uc_per_wh,energy_wh in consensus order')
    .option('--interval <minutes>', 'length of the interval, whole minutes', '15m')
    .option('--json', 'one JSON document on standard output');
}

async function readInputs(options: InputOptions): Promise<{ feeder: FeederModel; orders: OrderFile }> {
  const feeder = await readFeeder(options.feeder, intervalMs(options.interval));
  return { feeder, orders: await readOrders(options.orders, feeder) };
}

function intervalMs(text: string): number {
  const match = /^([1-9][0-9]{0,3})(m|h)$/.exec(text);
  const minutes = match === null ? 0 : Number(match[1]) * (match[2] === 'h' ? 60 : 1);
  if (minutes < 1 || minutes > 24 * 60) {
    throw new WattpactError('usage.interval', `interval "${text}" is no whole number of minutes up to a day`, {
      hint: 'For example: 15m or 1h',
    });
  }
  return minutes * 60_000;
}

async function clearFiles(options: InputOptions & { trades: boolean }): Promise<void> {
  const { feeder, orders } = await readInputs(options);
  const { book } = orders;
  const [fillsWh, clearMs] = timed(() => allocate(feeder, book));
  const [clearing, certifyMs] = timed(() => certify(feeder, book, fillsWh));
  const [findings, verifyMs] = timed(() => verifyClearing(feeder, book, clearing));
  if (findings.length > 0) throw new Error(`the clearing does not pass its own check: ${findings[0]?.message}`);
  const trades = options.trades ? pairTrades(feeder, book, clearing) : null;
  const ms = { clear: clearMs, certify: certifyMs, verify: verifyMs };
  if (options.json) {
    for (const piece of resultText(feeder, orders, clearing, trades, ms)) {
      if (!process.stdout.write(piece)) await once(process.stdout, 'drain');
    }
    return;
  }
  printLine(`${book.size} orders on ${feeder.ids.length} buses`);
  printLine(`traded ${clearing.tradedWh} Wh, welfare ${clearing.welfareUc} µ¤`);
  printLine(priceSummary(clearing));
  printLine(`lines at their limit: ${fullLines(feeder, clearing)}`);
  if (trades !== null) printLine(`trades: ${trades.length}`);
  printLine(`cleared in ${clearMs} ms, certified in ${certifyMs} ms, verified in ${verifyMs} ms`);
}

function priceSummary({ pricesUcPerWh }: Clearing): string {
  const sorted = pricesUcPerWh.slice().sort();
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]!;
  return `nodal prices, µ¤/Wh: least ${at(0)}, median ${at(0.5)}, greatest ${at(1)}`;
}

/** Lines shown by name in the summary. */
const LINES_SHOWN_MAX = 8;

function fullLines(feeder: FeederModel, { flowsWh }: Clearing): string {
  const full = feeder.ids.filter((_, bus) => {
    const flow = flowsWh[bus]!;
    return bus !== feeder.root && flow !== 0 && (flow === feeder.upMaxWh[bus] || -flow === feeder.downMaxWh[bus]);
  });
  const more = full.length > LINES_SHOWN_MAX ? `, and ${full.length - LINES_SHOWN_MAX} more` : '';
  return full.length === 0 ? 'none' : full.slice(0, LINES_SHOWN_MAX).join(', ') + more;
}

async function verifyFiles(options: InputOptions & { result: string }): Promise<void> {
  const { feeder, orders } = await readInputs(options);
  const result = await readResult(options.result, feeder, orders);
  const findings: { code: string; message: string }[] = verifyClearing(feeder, orders.book, result.clearing).map(
    ({ code, at, message }) => ({
      code,
      message: code.startsWith('fill.range') ? message.replace(`order ${at}`, `order ${orders.ids[at]}`) : message,
    }),
  );
  if (findings.length === 0 && result.trades !== null) {
    const wrong = firstWrongTrade(pairTrades(feeder, orders.book, result.clearing), result.trades);
    if (wrong >= 0) findings.push({ code: 'trade', message: `trades[${wrong}] is not the canonical pairing` });
  }
  if (options.json) printJson({ ok: findings.length === 0, findings });
  else if (findings.length === 0) printLine('verified: optimal and canonical');
  else for (const { code, message } of findings) printLine(`${code}: ${message}`);
  if (findings.length > 0) process.exitCode = EXIT_NO;
}

function firstWrongTrade(right: readonly OrderTrade[], given: readonly Omit<OrderTrade, 'via'>[]): number {
  for (let i = 0; i < Math.max(right.length, given.length); i++) {
    const a = right[i];
    const b = given[i];
    const same =
      a !== undefined &&
      b !== undefined &&
      a.seller === b.seller &&
      a.buyer === b.buyer &&
      a.energyWh === b.energyWh &&
      a.sellerUcPerWh === b.sellerUcPerWh &&
      a.buyerUcPerWh === b.buyerUcPerWh &&
      a.lossWh === b.lossWh;
    if (!same) return i;
  }
  return -1;
}

/** A result and the milliseconds it took. */
function timed<T>(work: () => T): [T, number] {
  const start = performance.now();
  const value = work();
  return [value, Math.round((performance.now() - start) * 10) / 10];
}
