// Plans against HiGHS: how far from the optimum, and how fast.

import type { PlanLoad } from '../../../src/dispatch/equipment.ts';
import { medianOf, planSite } from '../../../src/dispatch/plan.ts';
import type { PlanInput } from '../../../src/dispatch/plan-types.ts';
import { bounds } from '../../dispatch/oracle.ts';
import { problem, randomProblem } from '../../dispatch/problems.ts';
import { haveData, intervalsOf, SITES } from './sites.ts';

const DAY = 96;
/** Seconds that HiGHS gets for one problem; of what it does not solve to 0.01 % within them only its bound is known. */
const ORACLE_SECONDS = 20;
/** The same where its time is taken. */
const TIMED_SECONDS = 4;
const ORACLE_GAP = 1e-4;
/** A gap above this counts as one that is too wide, %. */
const WIDE_PERCENT = 0.5;

export interface PlanFigures {
  readonly problems: number;
  readonly realDays: number;
  readonly unsolved: number;
  /** Worst gap of those to the bound that HiGHS has proved: the true one is less. */
  readonly unsolvedGapAtMostPercent: number;
  /** Worst of the single problems' gaps to the optimum; a day that nearly pays for itself has little to be measured against. */
  readonly gapPercent: number;
  readonly gapMeanPercent: number;
  readonly gapP99Percent: number;
  /** How many of the problems have a gap above 0.5 %. */
  readonly gapsAboveHalfPercent: number;
  /**
   * The same difference against what the day turns over: its consumption bought and its generation sold at its prices, loads at the mean
   * price. Beside the first, which has no meaning where cost is nearly nothing.
   */
  readonly gapOfTurnoverPercent: number;
  /** The largest difference in money, ¤. */
  readonly worst: number;
  /** Median processor time of a plan of 144 intervals, one battery, five loads: what else runs on the machine does not count. */
  readonly ms: number;
  /** Median processor time of HiGHS (text read included) over ours, on those. */
  readonly vsHighs: number;
}

export async function benchPlans(random: number, real: number, timed: number): Promise<PlanFigures> {
  const gaps: number[] = [];
  const ofTurnover: number[] = [];
  let worstUc = 0;
  const unsolved: number[] = [];
  const compare = async (input: PlanInput): Promise<void> => {
    const ours = planSite(input).costUc;
    const { costUc, boundUc, isProven } = await bounds(input, ORACLE_GAP, ORACLE_SECONDS);
    const percent = (100 * (ours - boundUc)) / Math.max(Math.abs(boundUc), 1);
    if (!isProven) {
      unsolved.push(percent);
      return;
    }
    gaps.push(percent);
    ofTurnover.push((100 * (ours - costUc)) / turnoverUc(input));
    worstUc = Math.max(worstUc, ours - costUc);
  };
  for (let seed = 1; seed <= random; seed++) {
    await compare(randomProblem(seed, { intervals: DAY, loads: seed % 6, negative: seed % 5 === 0 }));
    if (seed % 50 === 0)
      process.stdout.write(`  ${seed} random problems, worst gap so far ${Math.max(...gaps).toFixed(3)} %\n`);
  }
  const days = haveData() ? realDays(real) : [];
  for (const input of days) await compare(input);

  const times = { ours: [] as number[], highs: [] as number[] };
  for (let seed = 10_001; seed <= 10_000 + timed; seed++) {
    const input = randomProblem(seed, { loads: 5 });
    times.ours.push(await processorMs(() => planSite(input)));
    times.highs.push(await processorMs(() => bounds(input, ORACLE_GAP, TIMED_SECONDS)));
  }
  const sorted = [...gaps].sort((a, b) => a - b);
  return {
    problems: random,
    realDays: days.length,
    unsolved: unsolved.length,
    unsolvedGapAtMostPercent: Math.max(0, ...unsolved),
    gapPercent: sorted.at(-1)!,
    gapMeanPercent: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length,
    gapP99Percent: sorted[Math.floor(0.99 * (sorted.length - 1))]!,
    gapsAboveHalfPercent: gaps.filter((gap) => gap > WIDE_PERCENT).length,
    gapOfTurnoverPercent: Math.max(...ofTurnover),
    worst: worstUc / 1e6,
    ms: median(times.ours),
    vsHighs: median(times.highs) / median(times.ours),
  };
}

/** What a day turns over without storage and without choosing times. */
function turnoverUc({ intervals, loads, intervalMs }: PlanInput): number {
  const meanUc = intervals.reduce((sum, x) => sum + Math.abs(x.buyUcPerWh), 0) / intervals.length;
  const loadsWh = loads.map((load) =>
    load.kind === 'energy'
      ? load.needWh
      : load.powersW.reduce((sum, powerW) => sum + (powerW * intervalMs) / 3_600_000, 0),
  );
  return intervals.reduce(
    (sum, x) =>
      sum + medianOf(x.consumptionWh) * Math.abs(x.buyUcPerWh) + medianOf(x.generationWh) * Math.abs(x.sellUcPerWh),
    meanUc * loadsWh.reduce((sum, wh) => sum + wh, 0),
  );
}

/** Days of the paired sites, with a program and a car. */
function realDays(count: number): PlanInput[] {
  const inputs: PlanInput[] = [];
  const each = Math.ceil(count / (2 * SITES.length));
  for (const site of SITES) {
    for (const tariff of ['time-of-use', 'day-ahead'] as const) {
      const all = intervalsOf(site, tariff);
      for (let k = 0; k < each && inputs.length < count; k++) {
        const from = DAY * Math.floor(((k + 0.5) * (all.length / DAY)) / each);
        const day = all.slice(from, from + DAY);
        const startMs = day[0]!.startMs;
        const span = { earliestMs: startMs, deadlineMs: startMs + DAY * 900_000 };
        const loads: PlanLoad[] = [
          { kind: 'program', id: 'dishwasher', powersW: [2000, 200, 200, 1800, 100], ...span },
          {
            kind: 'energy',
            id: 'car',
            needWh: 9000,
            powersW: [1400, 2300, 3600],
            minOnMs: 0,
            minOffMs: 0,
            on: false,
            sinceMs: 0,
            ...span,
          },
        ];
        inputs.push(
          problem(
            day.map((x) => ({ ...x, importLimitW: 100_000, exportLimitW: 100_000 })),
            {
              batteries: [{ battery: site.battery, storedWh: site.battery.capacityWh / 2 }],
              loads,
              curtailable: true,
              endValueUcPerWh: 15_000,
            },
          ),
        );
      }
    }
  }
  return inputs;
}

async function processorMs(work: () => unknown): Promise<number> {
  const began = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
