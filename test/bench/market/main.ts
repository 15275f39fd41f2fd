// `npm run bench -- market [--quick] [exact] [speed] [highs] [lemon] [growth] [--plot FILE.svg]`: exactness, speed and growth of the clearing, against HiGHS and LEMON.
// Each figure is taken on fresh instances in this run. Times are wall milliseconds, the best of RUNS; ratios compare CPU
// milliseconds, so that other work on the machine does not decide. The last line is one JSON object.

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { allocate } from '../../../src/market/allocate.ts';
import { certify } from '../../../src/market/certificate.ts';
import { clear } from '../../../src/market/clear.ts';
import type { FeederModel, OrderBook } from '../../../src/market/types.ts';
import { verifyClearing } from '../../../src/market/verify.ts';
import {
  type LargeTerms,
  largeInstance,
  pendulumInstance,
  randomInstance,
  type Shape,
} from '../../market/instances.ts';
import { highsWelfare, loadHighs, searchClearing } from '../../market/oracle.ts';
import { partsOf } from '../parts.ts';
import { buildLemon, type Lemon } from './lemon.ts';
import { growthPlot } from './plot.ts';

/** Runs of each measurement: more where they are short. */
const RUNS = { large: 3, small: 15 };
const SMALL_ORDERS_MAX = 100_000;
const EXACT_INSTANCES = 2000;
/** LEMON needs minutes on some instances; more CPU than this counts as this. */
const LEMON_MS_MAX = 30_000;

interface Timing {
  readonly clear: number;
  readonly clearCpu: number;
  readonly verify: number;
  readonly verifyCpu: number;
  readonly welfareUc: bigint;
}

const PARTS = ['exact', 'speed', 'highs', 'lemon', 'growth'] as const;

export async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { quick: { type: 'boolean', default: false }, plot: { type: 'string' } },
  });
  const { quick, plot } = values;
  const scale = quick ? 0.1 : 1;
  const wanted = partsOf(PARTS, positionals);
  const figures: Record<string, unknown> = { bench: 'market' };
  if (wanted.has('exact')) figures.exact = await exactness(quick ? 200 : EXACT_INSTANCES);
  if (wanted.has('speed')) figures.speed = speeds(1_000_000 * scale);
  if (wanted.has('highs')) figures.vsHighs = await againstHighs(quick ? 3000 : 30_000);
  if (wanted.has('lemon')) {
    const lemon = buildLemon();
    figures.vsLemon = lemon === null ? null : await againstLemon(lemon, 1_000_000 * scale);
    lemon?.close();
    if (lemon === null) print('LEMON: liblemon-dev is not installed, no comparison');
  }
  if (wanted.has('growth')) {
    const growth = growths(quick ? [1e3, 1e4, 1e5] : [1e3, 1e4, 1e5, 1e6]);
    if (plot !== undefined) writeFileSync(plot, growthPlot(growth));
    figures.growth = growth;
  }
  figures.rssMaxMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  print(JSON.stringify(figures));
}

async function exactness(instances: number): Promise<Record<string, number>> {
  const highs = await loadHighs();
  let equalToHighs = 0;
  let equalToSearch = 0;
  let tiny = 0;
  let verified = 0;
  for (let seed = 1; seed <= instances; seed++) {
    const isTiny = seed % 4 === 0;
    const { feeder, book } = isTiny ? randomInstance(seed, 7, 10, 6) : randomInstance(seed, 60, 300);
    const clearing = clear(feeder, book);
    if (Math.abs(highsWelfare(highs, feeder, book) - Number(clearing.welfareUc)) < 0.5) equalToHighs++;
    if (verifyClearing(feeder, book, clearing).length === 0) verified++;
    if (!isTiny) continue;
    tiny++;
    if (searchClearing(feeder, book).every((fill, i) => fill === clearing.fillsWh[i])) equalToSearch++;
  }
  print(`exact: welfare equals HiGHS' in ${equalToHighs} of ${instances}, verified ${verified}`);
  print(`exact: fills equal a dumb search's in ${equalToSearch} of ${tiny} tiny ones`);
  return { instances, equalToHighs, verified, tiny, equalToSearch };
}

function speeds(orders: number): Record<string, Omit<Timing, 'welfareUc'>> {
  const result: Record<string, Omit<Timing, 'welfareUc'>> = {};
  const note = (name: string, instance: { feeder: FeederModel; book: OrderBook }): void => {
    const { clear: clearMs, clearCpu, verify, verifyCpu } = measure(instance);
    result[name] = { clear: clearMs, clearCpu, verify, verifyCpu };
    const cpu = `(${clearCpu} and ${verifyCpu} ms of CPU)`;
    print(
      `${name.padEnd(22)} ${orders} orders on ${orders / 10} buses: clear ${clearMs} ms, verify ${verify} ms ${cpu}`,
    );
  };
  for (const shape of ['random', 'path', 'star', 'binary'] as const) {
    for (const limits of [true, false]) {
      for (const tariffs of [true, false]) {
        const name = `${shape}${limits ? '+limits' : ''}${tariffs ? '+tariffs' : ''}`;
        note(name, largeInstance({ shape, buses: orders / 10, orders, limits, tariffs, seed: 11 }));
      }
    }
  }
  note('pendulum', pendulumInstance(orders / 10, orders));
  return result;
}

async function againstHighs(orders: number): Promise<number> {
  const highs = await loadHighs();
  const terms: LargeTerms = { shape: 'random', buses: orders / 10, orders, limits: true, tariffs: true, seed: 23 };
  const { feeder, book } = largeInstance(terms);
  const ours = measure({ feeder, book });
  let highsCpu = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS.large; run++) {
    const start = process.cpuUsage();
    const welfare = highsWelfare(highs, feeder, book);
    highsCpu = Math.min(highsCpu, cpuMsSince(start));
    if (Math.abs(welfare - Number(ours.welfareUc)) > 1e-9 * Math.abs(welfare)) throw new Error('HiGHS disagrees');
  }
  const ratio = round(highsCpu / ours.clearCpu);
  print(`HiGHS at ${orders} orders: ${round(highsCpu)} ms of CPU, ours ${ours.clearCpu}: ${ratio}x`);
  return ratio;
}

/** Ratio for each instance (CPU of LEMON's run() alone, once, over our whole clearing, best of RUNS), and the least. */
async function againstLemon(lemon: Lemon, orders: number): Promise<Record<string, number>> {
  const ratios: Record<string, number> = {};
  for (const [shape, limits] of [
    ['random', true],
    ['path', true],
    ['star', true],
    ['random', false],
  ] as const satisfies readonly (readonly [Shape, boolean])[]) {
    const terms: LargeTerms = { shape, buses: orders / 10, orders, limits, tariffs: true, seed: 31 };
    const { feeder, book } = largeInstance(terms);
    const peer = await lemon.solve(feeder, book, LEMON_MS_MAX);
    const ours = measure({ feeder, book });
    if (peer !== null && peer.welfareUc !== ours.welfareUc) throw new Error(`LEMON disagrees on ${shape}`);
    const name = `${shape}${limits ? '+limits' : ''}+tariffs`;
    ratios[name] = round((peer?.cpuMs ?? LEMON_MS_MAX) / ours.clearCpu);
    const peerMs = peer === null ? `over ${LEMON_MS_MAX} ms of CPU` : `${round(peer.cpuMs)} ms of CPU`;
    print(`LEMON ${name} at ${orders} orders: ${peerMs}, ours ${ours.clearCpu}: ${ratios[name]}x`);
  }
  return { ...ratios, least: Math.min(...Object.values(ratios)) };
}

/** Milliseconds of CPU. */
export interface GrowthPoint {
  readonly shape: Shape;
  readonly orders: number;
  readonly clear: number;
  readonly verify: number;
}

function growths(sizes: readonly number[]): GrowthPoint[] {
  const points: GrowthPoint[] = [];
  for (const shape of ['random', 'path', 'star'] as const) {
    for (const orders of sizes) {
      const terms: LargeTerms = { shape, buses: orders / 10, orders, limits: true, tariffs: true, seed: 41 };
      const { clearCpu, verifyCpu } = measure(largeInstance(terms));
      points.push({ shape, orders, clear: clearCpu, verify: verifyCpu });
      print(`growth ${shape} ${orders} orders: clear ${clearCpu} ms, verify ${verifyCpu} ms of CPU`);
    }
  }
  return points;
}

function measure({ feeder, book }: { feeder: FeederModel; book: OrderBook }): Timing {
  const none = Number.POSITIVE_INFINITY;
  const best = { clear: none, clearCpu: none, verify: none, verifyCpu: none };
  let welfareUc = 0n;
  const runs = book.size > SMALL_ORDERS_MAX ? RUNS.large : RUNS.small;
  for (let run = 0; run < runs; run++) {
    const startCpu = process.cpuUsage();
    const start = performance.now();
    const clearing = certify(feeder, book, allocate(feeder, book));
    const cleared = performance.now();
    best.clearCpu = Math.min(best.clearCpu, round(cpuMsSince(startCpu)));
    best.clear = Math.min(best.clear, round(cleared - start));
    const begunCpu = process.cpuUsage();
    const begun = performance.now();
    const findings = verifyClearing(feeder, book, clearing);
    best.verify = Math.min(best.verify, round(performance.now() - begun));
    best.verifyCpu = Math.min(best.verifyCpu, round(cpuMsSince(begunCpu)));
    if (findings.length > 0) throw new Error(`not verified: ${findings[0]?.message}`);
    welfareUc = clearing.welfareUc;
  }
  return { ...best, welfareUc };
}

/** User and system time of this process, all its threads. */
function cpuMsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
