// `npm run bench -- dispatch [--quick] [--seed N] [plan|backtest|control|killSafe ...]`: the figures of plan, backtest and control; `--plot FILE.svg`
// draws control, `--plot-plan FILE.svg` a plan instead.
// Prints for people; the last line is one JSON object.

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { partsOf } from '../parts.ts';
import { benchBacktests } from './backtests.ts';
import { benchControl } from './controls.ts';
import { benchKills } from './kills.ts';
import { plotPlan } from './plan-plot.ts';
import { benchPlans } from './plans.ts';
import { plotControl } from './plot.ts';
import { DATA, haveData } from './sites.ts';

const PARTS = ['plan', 'control', 'killSafe', 'backtest'] as const;

export async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      seed: { type: 'string', default: '0' },
      plot: { type: 'string' },
      'plot-plan': { type: 'string' },
    },
  });
  const drawing = values.plot ?? values['plot-plan'];
  if (drawing !== undefined) {
    writeFileSync(drawing, values.plot === undefined ? plotPlan() : plotControl());
    process.stdout.write(`${JSON.stringify({ plot: drawing })}\n`);
    return;
  }
  const { quick } = values;
  const seed = Number(values.seed);
  const wanted = partsOf(PARTS, positionals);
  const result: Record<string, unknown> = {};
  if (wanted.has('plan')) {
    process.stdout.write('plans against HiGHS\n');
    result.plan = await benchPlans(quick ? 60 : 500, quick ? 12 : 60, quick ? 10 : 40);
  }
  if (wanted.has('control')) {
    process.stdout.write('control against the plant’s truth\n');
    result.control = benchControl(quick ? 4 : 25, seed);
  }
  if (wanted.has('killSafe')) {
    process.stdout.write('gateways killed while their batteries discharge\n');
    result.control = { ...(result.control ?? {}), killSafe: await benchKills(quick ? 6 : 50) };
  }
  if (wanted.has('backtest')) {
    if (haveData()) {
      process.stdout.write('backtests on measured days (money in hundreds of ¤)\n');
      result.backtest = benchBacktests(quick ? 14 : 400);
    } else process.stdout.write(`no measured days in ${DATA}: no backtest (WATTPACT_DATA names their folder)\n`);
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
