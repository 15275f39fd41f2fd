// `wattpact plan SITE`: what a site with its batteries and loads would do over the coming day and a half, and what it
// would have earned on measured days (`plan backtest`). Composes site file, series, forecasts and plan; decides nothing.

import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { isoSeconds } from '../base/interval.ts';
import { energyOfPowerWh, PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { backtest, type MeasuredInterval, type SiteForecast } from '../dispatch/backtest.ts';
import { planSite } from '../dispatch/plan.ts';
import type { Plan } from '../dispatch/plan-types.ts';
import { batteriesOf, bidTermsOf, curtailableOf, planLoadsOf } from '../dispatch/site-equipment.ts';
import { causalForecast } from '../dispatch/site-forecast.ts';
import { readTable } from '../forecast/csv.ts';
import { readSeries } from '../forecast/series-csv.ts';
import type { Sample } from '../forecast/types.ts';
import { loadSite } from '../site/load.ts';
import type { SiteFile } from '../site/types.ts';
import { readMeasured } from './measured-file.ts';
import { fail, printJson, printLine, printNote } from './output.ts';
import { ASSUMED_PERCENT, type PlannedStored, planKept } from './plan-kept.ts';
import { powerDoubts, priceDoubts } from './series-doubts.ts';

const INTERVAL_MS = 900_000;
const DAY_MS = 86_400_000;
/** A plan looks a day and a half ahead. */
const HORIZON = 144;
/** Longest gap that is bridged by the day before, steps. */
const GAP_MAX = 96;

interface PlanFlags {
  readonly csv?: string;
  readonly stored?: string;
  readonly explain?: true;
  readonly json?: true;
}

interface BacktestFlags {
  readonly site: string;
  readonly csv?: string;
  readonly warmupDays: string;
  readonly replan: string;
  readonly json?: true;
}

export function planCommand(): Command {
  const command = new Command('plan')
    .description('plan a site with its storage and loads over the next 36 hours')
    .argument('<site>', 'site file')
    .option(
      '--csv <file>',
      'measured days up to now, CSV or CSV.gz: time,pv_w,load_w[,wind_w],buy_uc_per_wh,sell_uc_per_wh; rows with prices only are the future. Without it the plan is made from what the gateway of the site keeps',
    )
    .option(
      '--stored <percent>',
      'state of charge now; unless given as the gateway knew it last, and 50 where it did not or with --csv',
    )
    .option('--explain', 'one line for each decision')
    .option('--json', 'one JSON object')
    .action((site: string, flags: PlanFlags) => guarded(() => runPlan(site, flags)));
  command
    .command('backtest')
    .description('what the planner would have earned on measured days')
    .requiredOption('--site <file>', 'site file')
    .option('--csv <file>', 'CSV or CSV.gz: time,pv_w,load_w[,wind_w],buy_uc_per_wh,sell_uc_per_wh')
    .option('--warmup-days <days>', 'days that only teach the forecasts', '14')
    .option('--replan <steps>', 'intervals between two plans', '4')
    .option('--json', 'one JSON object')
    // `--csv` and `--json` are options of `plan` too, which takes them wherever they stand.
    .action((_flags, self: Command) => guarded(() => runBacktest(self.optsWithGlobals<BacktestFlags>())));
  return command;
}

async function guarded(action: () => void | Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    fail(error);
  }
}

async function runPlan(siteFile: string, flags: PlanFlags): Promise<void> {
  const { site } = loadSite(siteFile);
  const given = flags.stored === undefined ? null : numberIn(flags.stored, '--stored', 0, 100);
  if (flags.csv === undefined) {
    const { plan, bidAt, issuedAtMs, nowMs, stored } = await planKept(site, siteFile, given);
    if (flags.json) {
      printJson(plan);
      return;
    }
    printLine(`from the gateway's forecast of ${isoSeconds(issuedAtMs)}, its trades and its past prices`);
    if (given === null) for (const battery of stored) printLine(storedText(battery, nowMs));
    print(site, plan, bidAt, flags.explain === true);
    return;
  }
  const percent = given ?? ASSUMED_PERCENT;
  const { measured, prices } = readDays(site, flags.csv);
  if (!flags.json) tellSoldDearer(prices);
  const now = measured.length;
  const count = Math.min(HORIZON, prices.length - now);
  if (count < 1) {
    throw new WattpactError('usage.csv', `${flags.csv}: no row with prices after the last measured one`, {
      hint: 'Rows of the future carry time and prices and leave the powers empty',
    });
  }
  const startMs = prices[now]!.startMs;
  // The forecasters learn every measured step; the first future one is only asked for.
  const rows = [...measured, { ...prices[now]!, generationWh: 0, consumptionWh: 0 }];
  const forecast = forecasterOf(site, rows)(now, count);
  const plan = planSite({
    intervalMs: INTERVAL_MS,
    intervals: prices.slice(now, now + count).map(({ buyUcPerWh, sellUcPerWh, ...at }, i) => ({
      startMs: at.startMs,
      generationWh: forecast.generationWh[i]!,
      consumptionWh: forecast.consumptionWh[i]!,
      buyUcPerWh,
      sellUcPerWh,
      positionWh: 0,
      importLimitW: site.connection.importLimitW,
      exportLimitW: site.connection.exportLimitW,
    })),
    bidInterval: 0,
    batteries: batteriesOf(site).map((battery) => ({ battery, storedWh: (battery.capacityWh * percent) / 100 })),
    loads: planLoadsOf(site, startMs, INTERVAL_MS, count, new Map()),
    curtailable: curtailableOf(site),
    endValueUcPerWh: null,
    terms: bidTermsOf(site, PRICE_UC_PER_WH_MAX),
  });
  if (flags.json) {
    printJson(plan);
    return;
  }
  if (given === null) for (const { id } of batteriesOf(site)) printLine(assumedText(id, 'is in no column of the file'));
  print(site, plan, 0, flags.explain === true);
}

function assumedText(battery: string, why: string): string {
  return `${battery}: its state of charge ${why}, ${ASSUMED_PERCENT} % assumed (--stored says another)`;
}

/** Which state of charge a plan was made with, and how old it is. */
function storedText({ id, percent, atMs }: PlannedStored, nowMs: number): string {
  if (atMs === null) return assumedText(id, 'was never known to the gateway');
  return `${id}: ${Math.round(percent)} % at ${isoSeconds(atMs)}, ${ageText(nowMs - atMs)} (--stored says another)`;
}

function ageText(ageMs: number): string {
  const minutes = Math.round(ageMs / 60_000);
  if (minutes < 1) return 'now';
  if (minutes < 120) return `${minutes} minutes ago`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} hours ago` : `${Math.round(hours / 24)} days ago`;
}

function print(site: SiteFile, plan: Plan, bidAt: number, explain: boolean): void {
  for (const { id, driven } of site.storage) {
    if (!driven) printLine(`${id} is not planned: its profile names no watchdog, and it is never driven`);
  }
  const offered = (steps: Plan['bids']['sell']): string =>
    steps.map(({ energyWh, priceUcPerWh }) => `${energyWh} Wh at ${(priceUcPerWh / 1000).toFixed(2)}`).join(', ') ||
    'nothing';
  printLine(
    `${site.name}: ${plan.steps.length} intervals from ${isoSeconds(plan.steps[0]!.startMs)}, expected cost ${(plan.costUc / 1e6).toFixed(2)} ¤`,
  );
  printLine(
    `offer for ${isoSeconds(plan.steps[bidAt]!.startMs)}: sell ${offered(plan.bids.sell)}; buy ${offered(plan.bids.buy)} (¤/kWh)`,
  );
  if (explain) {
    for (const { startMs, what } of plan.explanation) printLine(`${isoSeconds(startMs)}  ${what}`);
    return;
  }
  printLine('time                  generation  consumption  loads  battery     grid   stored  (Wh)');
  const cell = (value: number, width: number): string => String(Math.round(value) + 0).padStart(width);
  for (const step of plan.steps) {
    printLine(
      `${isoSeconds(step.startMs)}  ${cell(step.generationWh, 10)}  ${cell(step.consumptionWh, 11)}  ${cell(step.loadsWh, 5)}  ${cell(step.batteryWh, 7)}  ${cell(step.gridWh, 7)}  ${cell(step.storedEndWh, 7)}`,
    );
  }
}

function runBacktest(flags: BacktestFlags): void {
  const { site } = loadSite(flags.site);
  const { measured } = readDays(site, flags.csv);
  if (!flags.json) tellSoldDearer(measured);
  const warmupDays = numberIn(flags.warmupDays, '--warmup-days', 0, 3650);
  const scoredFrom = Math.round((warmupDays * DAY_MS) / INTERVAL_MS);
  if (scoredFrom >= measured.length) {
    throw new WattpactError('usage.csv', `${flags.csv}: nothing to score after ${warmupDays} days of warm-up`, {
      hint: 'Give a longer series or a smaller --warmup-days',
    });
  }
  const result = backtest({
    intervalMs: INTERVAL_MS,
    intervals: measured,
    batteries: batteriesOf(site),
    curtailable: curtailableOf(site),
    importLimitW: site.connection.importLimitW,
    exportLimitW: site.connection.exportLimitW,
    terms: bidTermsOf(site, PRICE_UC_PER_WH_MAX),
    scoredFrom,
    horizon: HORIZON,
    replanEvery: wholeIn(flags.replan, '--replan', 1, HORIZON),
    pricesPublishedMs: DAY_MS / 2,
    forecast: forecasterOf(site, measured),
    stopwatch: () => performance.now(),
  });
  const { none, rule, planner, perfect } = result;
  const costUc = { none: none.costUc, rule: rule.costUc, planner: planner.costUc, perfect: perfect.costUc };
  const { days, shareOfPossible, shareBeyondRule, msPerPlan } = result;
  if (flags.json) {
    printJson({ days, costUc, shareOfPossible, shareBeyondRule, cycles: planner.cycles, msPerPlan });
    return;
  }
  const money = (uc: number): string => `${(uc / 1e6).toFixed(2)} ¤`.padStart(14);
  printLine(`${site.name}: ${days.toFixed(1)} days`);
  printLine(`without storage     ${money(none.costUc)}`);
  printLine(`the usual rule      ${money(rule.costUc)}  ${rule.cycles.toFixed(1)} cycles`);
  printLine(`this planner        ${money(planner.costUc)}  ${planner.cycles.toFixed(1)} cycles`);
  printLine(`perfect foresight   ${money(perfect.costUc)}  ${perfect.cycles.toFixed(1)} cycles`);
  if (shareOfPossible !== null)
    printLine(`${(shareOfPossible * 100).toFixed(1)} % of the possible saving, ${msPerPlan.toFixed(1)} ms a plan`);
  else printLine('storage could not have saved anything here');
}

function forecasterOf(site: SiteFile, rows: readonly MeasuredInterval[]): (t: number, count: number) => SiteForecast {
  const generators = site.devices.filter(({ role }) => role === 'pv' || role === 'hybrid' || role === 'wind');
  const wind = generators.length > 0 && generators.every(({ role }) => role === 'wind');
  return causalForecast(rows, {
    intervalMs: INTERVAL_MS,
    ...site.location,
    timezone: site.timezone,
    generation: generators.length === 0 ? null : wind ? 'wind' : 'pv',
    capacityW: generators.reduce((sum, { ratedW }) => sum + (ratedW ?? 0), 0),
  });
}

interface PricedInterval {
  readonly startMs: number;
  readonly buyUcPerWh: number;
  readonly sellUcPerWh: number;
}

/** Measured intervals, and all intervals with prices (those after the last measured one are the future). */
interface Days {
  readonly measured: MeasuredInterval[];
  readonly prices: PricedInterval[];
}

function readDays(site: SiteFile, file: string | undefined): Days {
  // Not a required option: commander would ask for it on both levels.
  if (file === undefined) throw new WattpactError('usage.csv', 'give the measured days: --csv <file>');
  const text = readMeasured(file);
  const { header } = readTable(text, file);
  const column = (name: string): Map<number, number> | null => {
    if (!header.includes(name)) return null;
    const { samples, sourceStepMs, contradictions } = readSeries(text, file, INTERVAL_MS, name, 'held');
    if (contradictions > 0)
      printNote(
        `${file}: ${contradictions} times of ${name} stand there twice with different values: neither is believed`,
      );
    // Columns that end in _wh are read as energies of a step; a price is that number itself.
    const factor = name.endsWith('_uc_per_wh') ? sourceStepMs / 3_600_000 : 1;
    const values = new Map(samples.map(({ startMs, powerW }: Sample) => [startMs, (powerW ?? 0) * factor]));
    const doubts = name.endsWith('_uc_per_wh')
      ? priceDoubts(name, values.values())
      : powerDoubts(name, values.values(), Math.max(site.connection.importLimitW, site.connection.exportLimitW));
    for (const doubt of doubts) printNote(`${file}: ${doubt}`);
    return values;
  };
  const needed = (name: string): Map<number, number> => {
    const values = column(name);
    if (values !== null) return values;
    throw new WattpactError('csv.header', `${file}:1: no column ${name}`, {
      hint: `It has: ${header.join(', ') || 'nothing'}. Wanted, separated by commas: time (UTC), load_w, pv_w and wind_w where they generate (W), buy_uc_per_wh, sell_uc_per_wh (µ¤/Wh)`,
    });
  };
  const [load, buy, sell] = [needed('load_w'), needed('buy_uc_per_wh'), needed('sell_uc_per_wh')];
  for (const { id, role } of site.devices) {
    // What a generator gave is not nothing because no column tells it.
    if ((role === 'pv' || role === 'wind') && !header.includes(`${role}_w`))
      throw new WattpactError('csv.header', `${file}:1: no column ${role}_w, and ${site.id} has ${id}`, {
        hint: 'Add what it gave, or plan with a site file without it',
      });
  }
  const generations = ['pv_w', 'wind_w'].map(column).filter((values) => values !== null);
  const first = Math.min(...load.keys());
  const until = Math.max(...buy.keys());
  const lastMeasured = Math.max(...load.keys());
  const prices: PricedInterval[] = [];
  const measured: MeasuredInterval[] = [];
  const perDay = DAY_MS / INTERVAL_MS;
  let missing = 0;
  for (let startMs = first; startMs <= until; startMs += INTERVAL_MS) {
    const before = measured[measured.length - perDay];
    const buyUcPerWh = buy.get(startMs) ?? prices[prices.length - perDay]?.buyUcPerWh;
    const sellUcPerWh = sell.get(startMs) ?? prices[prices.length - perDay]?.sellUcPerWh;
    if (buyUcPerWh === undefined || sellUcPerWh === undefined) {
      throw new WattpactError('csv.gap', `${file}: no price at ${isoSeconds(startMs)}`);
    }
    prices.push({ startMs, buyUcPerWh, sellUcPerWh });
    if (startMs > lastMeasured) continue;
    const powers = [load, ...generations].map((values) => values.get(startMs));
    missing = powers.includes(undefined) ? missing + 1 : 0;
    if (missing > GAP_MAX || (missing > 0 && before === undefined)) {
      throw new WattpactError('csv.gap', `${file}: no measured powers at ${isoSeconds(startMs)}`, {
        hint: 'Gaps of up to a day are bridged by the day before; cut the file after a longer one',
      });
    }
    const [loadW, ...generationW] = powers;
    measured.push({
      startMs,
      consumptionWh: loadW === undefined ? before!.consumptionWh : Math.max(0, energyOfPowerWh(loadW, INTERVAL_MS)),
      generationWh: generationW.includes(undefined)
        ? before!.generationWh
        : generationW.reduce((sum: number, powerW) => sum + Math.max(0, energyOfPowerWh(powerW ?? 0, INTERVAL_MS)), 0),
      buyUcPerWh,
      sellUcPerWh,
    });
  }
  return { measured, prices };
}

/** One meter cannot buy and sell at once: nothing is won by buying what is sold dearer. */
function tellSoldDearer(prices: readonly PricedInterval[]): void {
  const dearer = prices.filter(({ buyUcPerWh, sellUcPerWh }) => sellUcPerWh > buyUcPerWh).length;
  if (dearer > 0)
    printLine(`${dearer} intervals sell for more than buying costs: counted as sold for what buying costs`);
}

function wholeIn(text: string, name: string, min: number, max: number): number {
  const value = numberIn(text, name, min, max);
  if (Number.isInteger(value)) return value;
  throw new WattpactError('usage.number', `${name} must be a whole number from ${min} to ${max}, not ${text}`);
}

function numberIn(text: string, name: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= min && value <= max) return value;
  throw new WattpactError('usage.number', `${name} must be from ${min} to ${max}, not ${text}`);
}
