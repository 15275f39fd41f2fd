// `npm run bench -- dispatch [--quick] [--seed N] [plan|backtest|control|killSafe ...]`: the figures of plan, backtest and control; `--plot FILE.svg`
// draws control, `--plot-plan FILE.svg` a plan instead.
// Prints for people; the last line is one JSON object.

import { writeFileSync } from 'node:fs';
import { benchBacktests } from './backtests.ts';
import { benchControl } from './controls.ts';
import { benchKills } from './kills.ts';
import { plotPlan } from './plan-plot.ts';
import { benchPlans } from './plans.ts';
import { plotControl } from './plot.ts';
import { DATA, haveData } from './sites.ts';

export async function main(args: string[]): Promise<void> {
  for (const [flag, plot] of [
    ['--plot', plotControl],
    ['--plot-plan', plotPlan],
  ] as const) {
    const at = args.indexOf(flag);
    if (at < 0) continue;
    const file = args[at + 1] ?? 'plot.svg';
    writeFileSync(file, plot());
    process.stdout.write(`${JSON.stringify({ plot: file })}\n`);
    return;
  }
  const quick = args.includes('--quick');
  const seedAt = args.indexOf('--seed');
  const seed = seedAt < 0 ? 0 : Number(args[seedAt + 1]);
  const named = args.filter((arg, i) => !arg.startsWith('--') && (seedAt < 0 || i !== seedAt + 1));
  const wanted = (name: string): boolean => named.length === 0 || named.includes(name);
  const result: Record<string, unknown> = {};
  if (wanted('plan')) {
    process.stdout.write('plans against HiGHS\n');
    result.plan = await benchPlans(quick ? 60 : 500, quick ? 12 : 60, quick ? 10 : 40);
  }
  if (wanted('control')) {
    process.stdout.write('control against the plant’s truth\n');
    result.control = benchControl(quick ? 4 : 25, seed);
  }
  if (wanted('killSafe')) {
    process.stdout.write('gateways killed while their batteries discharge\n');
    result.control = { ...(result.control ?? {}), killSafe: await benchKills(quick ? 6 : 50) };
  }
  if (wanted('backtest')) {
    if (haveData()) {
      process.stdout.write('backtests on measured days (money in hundreds of ¤)\n');
      result.backtest = benchBacktests(quick ? 14 : 400);
    } else process.stdout.write(`no measured days in ${DATA}: no backtest (WATTPACT_DATA names their folder)\n`);
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
