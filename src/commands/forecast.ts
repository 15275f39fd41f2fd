// `wattpact forecast`: how good the forecasts of a measured series would have been.

import { Command, Option } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { isoSeconds } from '../base/interval.ts';
import type { Millis } from '../base/units.ts';
import { type BacktestResult, backtest, type Scores } from '../forecast/backtest.ts';
import { DAY_MS } from '../forecast/calendar.ts';
import { type PlottedStep, plotForecasts } from '../forecast/plot.ts';
import { readSeries } from '../forecast/series-csv.ts';
import { type ForecasterOptions, QUANTILES, type SeriesKind } from '../forecast/types.ts';
import { readWeather } from '../forecast/weather-csv.ts';
import { addForecastShow } from './forecast-show.ts';
import { readMeasured } from './measured-file.ts';
import { fail, printJson, printLine, writeOut } from './output.ts';

/** Longest forecast of a backtest, steps. */
const HORIZON_MAX = 1_000;
/** Days that a plot shows: the last ones. */
const PLOT_DAYS = 5;

interface BacktestFlags {
  readonly csv: string;
  readonly column?: string;
  readonly kind: SeriesKind;
  readonly step: string;
  readonly horizon: string;
  readonly lat?: string;
  readonly lon?: string;
  readonly tz?: string;
  readonly capacityW?: string;
  readonly holidays?: string;
  readonly weather?: string;
  readonly warmupDays: string;
  readonly issueEvery: string;
  readonly out?: string;
  readonly plot?: string;
  readonly json?: true;
}

export function forecastCommand(): Command {
  const command = new Command('forecast').description('forecasts of generation, consumption and net energy');
  command
    .command('backtest')
    .description('walk forward through a measured series and score the forecasts against plain baselines')
    .requiredOption(
      '--csv <file>',
      'CSV or CSV.gz with `time` (UTC, start of step) and value columns *_w, *_wh or *_pu',
    )
    .option('--column <name>', 'value column (default: the first)')
    .addOption(
      new Option('--kind <kind>', 'what the series is').choices(['pv', 'wind', 'load', 'net']).makeOptionMandatory(),
    )
    .option('--step <duration>', 'length of a step, e.g. 15m; a finer series is averaged', '15m')
    .option('--horizon <steps>', 'steps of each forecast; 1 issues before every step', '1')
    .option('--lat <degrees>', 'latitude, + north')
    .option('--lon <degrees>', 'longitude, + east')
    .option('--tz <zone>', 'IANA time zone of the people there, e.g. Europe/Paris')
    .option('--capacity-w <watts>', 'rated AC power of a generator')
    .option('--holidays <dates>', 'local dates lived like a Sunday, YYYY-MM-DD, separated by commas')
    .option(
      '--weather <file>',
      'weather forecasts as CSV or CSV.gz: issued,time and radiation_wm2, direct_wm2, temperature_c, cloud_percent, wind10_ms, wind_hub_ms',
    )
    .option('--warmup-days <days>', 'days learnt before the first score', '28')
    .option('--issue-every <duration>', 'with a longer horizon: issued at whole multiples of this, UTC', '6h')
    .option('--out <file>', 'every forecast as CSV: issued,time,q05,q10,q25,q50,q75,q90,q95')
    .option('--plot <file>', 'the last days as SVG')
    .option('--json', 'one JSON object')
    .action((flags: BacktestFlags) => {
      try {
        runBacktest(flags);
      } catch (error) {
        fail(error);
      }
    });
  addForecastShow(command);
  return command;
}

function runBacktest(flags: BacktestFlags): void {
  const stepMs = duration(flags.step, '--step');
  if (stepMs < 60_000 || DAY_MS % stepMs !== 0) throw usage(`--step ${flags.step} does not divide a day`);
  const horizon = whole(flags.horizon, '--horizon', 1, HORIZON_MAX);
  const issueEveryMs = duration(flags.issueEvery, '--issue-every');
  if (issueEveryMs % stepMs !== 0) throw usage(`--issue-every ${flags.issueEvery} is no multiple of --step`);
  const options = optionsOf(flags, stepMs);
  const { column, samples } = readSeries(readMeasured(flags.csv), flags.csv, stepMs, flags.column);
  const rows: string[] = [];
  const plotted: PlottedStep[] = [];
  const plotFromMs = (samples.at(-1)?.startMs ?? 0) - PLOT_DAYS * DAY_MS;
  const result = backtest({
    options,
    samples,
    horizon,
    warmupDays: whole(flags.warmupDays, '--warmup-days', 0, 3_650),
    issueEveryMs,
    monotonicMs: () => performance.now(),
    ...(flags.weather === undefined ? {} : { weather: readWeather(readMeasured(flags.weather), flags.weather) }),
    onForecast: (issuedMs, startMs, quantilesW, actualW) => {
      if (flags.out !== undefined) {
        const shown = quantilesW.map((value) => Number(value.toPrecision(7)));
        rows.push([isoSeconds(issuedMs), isoSeconds(startMs), ...shown].join(','));
      }
      // Of overlapping forecasts the newest is drawn.
      const fresh = horizon === 1 || startMs - issuedMs < issueEveryMs;
      if (flags.plot !== undefined && fresh && startMs >= plotFromMs) plotted.push({ startMs, quantilesW, actualW });
    },
  });
  if (result.n === 0) {
    throw new WattpactError('csv.short', `${flags.csv}: nothing to score after ${flags.warmupDays} days of warm-up`, {
      hint: 'Give a longer series or a smaller --warmup-days',
    });
  }
  if (flags.out !== undefined) {
    const names = QUANTILES.map((quantile) => `q${String(Math.round(quantile * 100)).padStart(2, '0')}`);
    writeOut(flags.out, `${['issued,time', ...names].join(',')}\n${rows.join('\n')}\n`);
  }
  if (flags.plot !== undefined) writeOut(flags.plot, plotForecasts(column, plotted));
  if (flags.json) printJson(result);
  else print(column, stepMs, result);
}

function optionsOf(flags: BacktestFlags, stepMs: Millis): ForecasterOptions {
  const latitude = flags.lat === undefined ? undefined : real(flags.lat, '--lat', -90, 90);
  const longitude = flags.lon === undefined ? undefined : real(flags.lon, '--lon', -180, 180);
  if ((latitude === undefined) !== (longitude === undefined)) throw usage('--lat and --lon go together');
  const capacityW = flags.capacityW === undefined ? undefined : real(flags.capacityW, '--capacity-w', 0, 4e9);
  return {
    kind: flags.kind,
    stepMs,
    ...(latitude === undefined || longitude === undefined ? {} : { latitude, longitude }),
    ...(flags.tz === undefined ? {} : { timezone: flags.tz }),
    ...(capacityW === undefined ? {} : { capacityW }),
    ...(flags.holidays === undefined ? {} : { holidays: flags.holidays.split(',').map(dateOf) }),
  };
}

function print(column: string, stepMs: Millis, result: BacktestResult): void {
  const hours = (result.horizon * stepMs) / 3_600_000;
  printLine(`${column}: ${result.n} forecast steps of ${stepMs / 60_000} min, up to ${hours} h ahead`);
  printLine('                        MAE      nMAE      RMSE      bias   pinball   in 80 %');
  printScores('forecast', result);
  for (const [name, scores] of Object.entries(result.baselines)) printScores(name, scores);
  printLine(`in 80 %: of steps whose band has a width; of all steps ${percent(result.coverage80All)}`);
  const marks = Object.entries(result.marks);
  if (marks.length > 0) printLine(`not learnt from: ${marks.map(([mark, steps]) => `${steps} ${mark}`).join(', ')}`);
  if (result.marks.shifted !== undefined) {
    printLine(
      'shifted: the stamps came to stand an hour off the days before; check the clock and time zone of the logger',
    );
  }
  printLine(`skill against the best baseline ${percent(result.skillMae)}, ${result.msPerStep.toFixed(2)} ms a step`);
}

function printScores(name: string, scores: Scores): void {
  const numbers = [scores.mae, scores.nmae, scores.rmse, scores.bias, scores.pinball].map((value) =>
    Number(value.toPrecision(4)).toString().padStart(10),
  );
  printLine(`${name.padEnd(17)}${numbers.join('')}${percent(scores.coverage80).padStart(10)}`);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function duration(text: string, flag: string): Millis {
  const match = /^(\d{1,6})(m|h|min)$/.exec(text);
  if (match === null) throw usage(`${flag} ${text} is no duration`, 'Write 15m or 6h');
  return Number(match[1]) * (match[2] === 'h' ? 3_600_000 : 60_000);
}

function dateOf(text: string): string {
  const date = text.trim();
  if (!/^\d{4}-\d{2}-\d{2}$/.test(date) || Number.isNaN(Date.parse(date))) {
    throw usage(`--holidays: ${text} is no date`, 'Write 2026-12-25,2026-12-26');
  }
  return date;
}

function whole(text: string, flag: string, min: number, max: number): number {
  const value = real(text, flag, min, max);
  if (!Number.isInteger(value)) throw usage(`${flag} ${text} is not a whole number`);
  return value;
}

function real(text: string, flag: string, min: number, max: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(value >= min && value <= max)) throw usage(`${flag} ${text} is not a number from ${min} to ${max}`);
  return value;
}

function usage(message: string, hint?: string): WattpactError {
  return new WattpactError('usage.forecast', message, hint === undefined ? {} : { hint });
}
