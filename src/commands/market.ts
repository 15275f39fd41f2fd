// `wattpact market`: the clearing as a tool for planners and tests, without a chain: clear orders on a feeder, verify
// somebody's result, turn a network's electrical data into a feeder.

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { BugError, WattpactError } from '../base/errors.ts';
import { allocate } from '../market/allocate.ts';
import { certify } from '../market/certificate.ts';
import { sumOfRounds, walkRounds } from '../market/clear.ts';
import { congestionOf } from '../market/congestion.ts';
import { pairTrades } from '../market/trades.ts';
import type { Clearing, FeederModel, Finding, OrderBook, OrderTrade } from '../market/types.ts';
import { verifyClearing } from '../market/verify.ts';
import {
  clearSecurely,
  type TightenedLine,
  tighteningFindings,
  type VoltageModel,
  verifySecurely,
  voltageModel,
} from '../market/voltage.ts';
import { ROUNDS_MAX } from '../protocol/genesis.ts';
import { type OrderFile, readFeeder, readOrders, readResult, resultText } from './market-files.ts';
import { marketImportCommand } from './market-import.ts';
import { EXIT_NO, printJson, printLine } from './output.ts';
import { voltageBand } from './voltage-band.ts';

interface InputOptions {
  readonly feeder: string;
  readonly orders: string;
  readonly interval: string;
  readonly rounds: string;
  readonly voltageBand?: string;
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
  market
    .command('page')
    .description('write a page that checks the clearings of a chain in a browser, without server, network or trust')
    .option('-o, --out <file>', 'where to write it', 'check-clearing.html')
    .action(async ({ out }: { out: string }) => {
      writeFileSync(out, (await import('../web/check-page.ts')).checkPage());
      printLine(`${out}: open it in a browser and choose the document of a clearing`);
    });
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
    .option('--rounds <number>', 'clear in so many rounds; a column `round` of the orders says where each joins', '1')
    .option(
      '--voltage-band <percent>',
      'keep every bus within this of its nominal voltage; needs vn_v, r_uohm and x_uohm',
    )
    .option('--json', 'one JSON document on standard output');
}

interface Inputs {
  readonly feeder: FeederModel;
  readonly orders: OrderFile;
  readonly rounds: number;
  /** Null unless a voltage band is asked for. */
  readonly voltage: Voltage | null;
}

interface Voltage {
  readonly model: VoltageModel;
  readonly repeatsMax: number;
}

async function readInputs(options: InputOptions): Promise<Inputs> {
  const lengthMs = intervalMs(options.interval);
  const rounds = roundsOf(options.rounds);
  const { feeder, records } = await readFeeder(options.feeder, lengthMs);
  const orders = await readOrders(options.orders, feeder, rounds);
  if (options.voltageBand === undefined) return { feeder, orders, rounds, voltage: null };
  const { repeatsMax, ...band } = voltageBand(options.voltageBand);
  const model = voltageModel(records, band, lengthMs);
  if (model === null) {
    throw new WattpactError(
      'csv.voltage',
      `${options.feeder}: a voltage band needs vn_v of every bus, and r_uohm and x_uohm of every line`,
    );
  }
  return { feeder, orders, rounds, voltage: { model, repeatsMax } };
}

function roundsOf(text: string): number {
  const rounds = /^[1-9][0-9]?$/.test(text) ? Number(text) : 0;
  if (rounds < 1 || rounds > ROUNDS_MAX) {
    throw new WattpactError('usage.rounds', `rounds "${text}" is no whole number from 1 to ${ROUNDS_MAX}`);
  }
  return rounds;
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
  const { feeder, orders, rounds: count, voltage } = await readInputs(options);
  const rounds: TimedRound[] = [];
  walkRounds(feeder, orders.book, orders.joins, count, (left, open) => {
    const round = clearTimed(left, open, voltage, options.trades);
    rounds.push(round);
    return round.clearing;
  });
  const last = rounds[rounds.length - 1] as TimedRound;
  const clearing = sumOfRounds(rounds.map((round) => round.clearing));
  const { tightened } = last;
  const trades = options.trades ? rounds.flatMap((round) => round.trades) : null;
  const ms = {
    clear: sumMs(rounds, 'clearMs'),
    certify: sumMs(rounds, 'certifyMs'),
    verify: sumMs(rounds, 'verifyMs'),
  };
  if (options.json) {
    for (const piece of resultText(feeder, orders, { clearing, tightened }, trades, rounds, ms)) {
      if (!process.stdout.write(piece)) await once(process.stdout, 'drain');
    }
    return;
  }
  printLine(`${orders.book.size} orders on ${feeder.ids.length} buses`);
  if (count > 1) {
    for (const [i, round] of rounds.entries()) {
      printLine(`round ${i + 1}: traded ${round.clearing.tradedWh} Wh, welfare ${round.clearing.welfareUc} µ¤`);
    }
  }
  printLine(`traded ${clearing.tradedWh} Wh, welfare ${clearing.welfareUc} µ¤`);
  printLine(priceSummary(clearing));
  printLine(`short lines and their shadow prices, µ¤/Wh: ${shortLines(feeder, last.clearing)}`);
  if (trades !== null) printLine(`trades: ${trades.length}`);
  if (tightened !== null) printLine(`lines tightened to keep the voltage band: ${tightened.length}`);
  printLine(`cleared in ${ms.clear} ms, certified in ${ms.certify} ms, verified in ${ms.verify} ms`);
}

interface TimedRound {
  readonly clearing: Clearing;
  readonly tightened: readonly TightenedLine[] | null;
  readonly trades: readonly OrderTrade[];
  readonly clearMs: number;
  readonly certifyMs: number;
  readonly verifyMs: number;
}

/** One round, checked. Within a voltage band every repeat is certified: its time counts as clearing. */
function clearTimed(feeder: FeederModel, book: OrderBook, voltage: Voltage | null, pairs: boolean): TimedRound {
  let cleared: Pick<TimedRound, 'clearing' | 'tightened' | 'clearMs' | 'certifyMs'>;
  if (voltage === null) {
    const [fillsWh, clearMs] = timed(() => allocate(feeder, book));
    const [clearing, certifyMs] = timed(() => certify(feeder, book, fillsWh));
    cleared = { clearing, tightened: null, clearMs, certifyMs };
  } else {
    const [secure, clearMs] = timed(() => clearSecurely(feeder, book, voltage.model, voltage.repeatsMax));
    if (secure.status === 'void') throw new WattpactError('market.void', secure.message);
    cleared = { clearing: secure.clearing, tightened: secure.tightened, clearMs, certifyMs: 0 };
  }
  const { clearing, tightened } = cleared;
  const [findings, verifyMs] = timed(() => findingsOf(feeder, book, voltage, clearing, tightened ?? []));
  if (findings.length > 0) throw new BugError(`the clearing does not pass its own check: ${findings[0]?.message}`);
  return { ...cleared, verifyMs, trades: pairs ? pairTrades(feeder, book, clearing) : [] };
}

function sumMs(rounds: readonly TimedRound[], key: 'clearMs' | 'certifyMs' | 'verifyMs'): number {
  return Math.round(rounds.reduce((sum, round) => sum + round[key], 0) * 10) / 10;
}

function findingsOf(
  feeder: FeederModel,
  book: OrderBook,
  voltage: Voltage | null,
  clearing: Clearing,
  tightened: readonly TightenedLine[],
): Finding[] {
  return voltage === null
    ? verifyClearing(feeder, book, clearing)
    : verifySecurely(feeder, book, voltage.model, clearing, tightened);
}

function priceSummary({ pricesUcPerWh }: Clearing): string {
  const sorted = pricesUcPerWh.slice().sort();
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]!;
  return `nodal prices, µ¤/Wh: least ${at(0)}, median ${at(0.5)}, greatest ${at(1)}`;
}

/** Lines shown by name in the summary. */
const LINES_SHOWN_MAX = 8;

function shortLines(feeder: FeederModel, clearing: Clearing): string {
  const { shadowsUcPerWh } = congestionOf(feeder, clearing);
  const short = feeder.ids.map((id, bus) => ({ id, shadow: shadowsUcPerWh[bus]! })).filter(({ shadow }) => shadow > 0);
  short.sort((x, y) => y.shadow - x.shadow);
  const shown = short.slice(0, LINES_SHOWN_MAX).map(({ id, shadow }) => `${id} (${shadow})`);
  const more = short.length > LINES_SHOWN_MAX ? `, and ${short.length - LINES_SHOWN_MAX} more` : '';
  return short.length === 0 ? 'none' : shown.join(', ') + more;
}

async function verifyFiles(options: InputOptions & { result: string }): Promise<void> {
  const { feeder, orders, rounds: count, voltage } = await readInputs(options);
  const { whole, rounds, trades } = await readResult(options.result, feeder, orders, count);
  const findings: { code: string; message: string }[] = [];
  const paired: OrderTrade[] = [];
  walkRounds(feeder, orders.book, orders.joins, count, (left, open, i) => {
    const { clearing, tightened } = rounds[i] as (typeof rounds)[number];
    const found = findingsOf(left, open, voltage, clearing, tightened);
    if (found.length === 0 && voltage !== null) {
      found.push(...tighteningFindings(left, open, voltage.model, voltage.repeatsMax, tightened));
    }
    for (const { code, at, message } of found) {
      const named = code === 'fill.range' ? message.replace(`order ${at}`, `order ${orders.ids[at]}`) : message;
      findings.push({ code, message: count > 1 ? `round ${i + 1}: ${named}` : named });
    }
    if (findings.length > 0) return null;
    if (trades !== null) for (const trade of pairTrades(left, open, clearing)) paired.push(trade);
    return clearing;
  });
  if (findings.length === 0 && !isSum(whole, sumOfRounds(rounds.map(({ clearing }) => clearing)))) {
    findings.push({ code: 'rounds', message: 'the whole is not what its rounds make together' });
  }
  if (findings.length === 0 && trades !== null) {
    const wrong = firstWrongTrade(paired, trades);
    if (wrong >= 0) findings.push({ code: 'trade', message: `trades[${wrong}] is not the canonical pairing` });
  }
  if (options.json) printJson({ ok: findings.length === 0, findings });
  else if (findings.length === 0) printLine('verified: optimal and canonical');
  else for (const { code, message } of findings) printLine(`${code}: ${message}`);
  if (findings.length > 0) process.exitCode = EXIT_NO;
}

function isSum(whole: Clearing, sum: Clearing): boolean {
  const same = (a: Float64Array, b: Float64Array): boolean => a.every((value, i) => value === b[i]);
  return (
    whole.welfareUc === sum.welfareUc &&
    whole.tradedWh === sum.tradedWh &&
    same(whole.fillsWh, sum.fillsWh) &&
    same(whole.flowsWh, sum.flowsWh) &&
    same(whole.pricesUcPerWh, sum.pricesUcPerWh)
  );
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
