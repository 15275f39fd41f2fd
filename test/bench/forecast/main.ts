// `npm run bench -- forecast [--series REGEX] [--horizon next|two|day|all] [--days N] [--refit-days N] [--yardsticks run|cached|none]`
// Scores the forecaster on measured series beside what people use on servers (yardsticks.py) and the plain baselines. None sees what
// ends after the issue. `two` is the next interval forecast one step too early (lead 2 alone): the forecaster and the plain baselines.
// Bounded: each series' last DAYS (of which WARMUP_DAYS are learnt only), and without --series the ones marked `core` in series.json
// (every kind, step and sort of site); `--series .` takes all. A yardstick scored on another number of rows is marked.
// Data from WATTPACT_DATA/dev (default ../shared/data/dev). WATTPACT_BENCH_CACHE (default ~/.cache/wattpact-bench) keeps the yardsticks'
// Python and their scores; the key of a score is everything it depends on: script, pins, arguments and the bytes of the data file.

import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { type BacktestResult, backtest, type Scores } from '../../../src/forecast/backtest.ts';
import { readSeries } from '../../../src/forecast/series-csv.ts';
import type { ForecasterOptions, SeriesKind } from '../../../src/forecast/types.ts';

const HERE = import.meta.dirname;
const SCRIPT = join(HERE, 'yardsticks.py');
const PINS = join(HERE, 'requirements.txt');
const DAY_MS = 86_400_000;
const WARMUP_DAYS = 28;
/** Days read of each series: boosting a day ahead, fitted daily, takes minutes a series. */
const DAYS = { next: 84, two: 84, day: 56 } as const;
const METHODS = {
  next: ['lightgbm', 'histgb', 'mlforecast', 'ridge', 'ets', 'arima'],
  two: [],
  day: ['lightgbm', 'histgb', 'mlforecast', 'ridge', 'ets', 'arima', 'mstl'],
} as const;
/** Days between two fits of the yardsticks: a day ahead they have as many rows for each day as a day has leads, and take so much longer. */
const REFIT_DAYS = { next: 1, two: 1, day: 7 } as const;
const YARDSTICK_TIMEOUT_MS = 1_800_000;

type Horizon = keyof typeof METHODS;

interface SeriesEntry {
  readonly file: string;
  readonly kind: SeriesKind;
  /** Minutes. */
  readonly step: number;
  readonly lat?: number;
  readonly lon?: number;
  readonly tz: string;
  readonly core?: true;
}

interface Score {
  /** Rows scored. */
  readonly n: number;
  readonly nmae: number;
  readonly npinball: number;
  /** Of yardsticks over all rows; of the forecaster and the plain baselines over the rows whose band has a width (PV at night has none). */
  readonly coverage80: number;
}

interface Row extends Score {
  readonly series: string;
  readonly kind: SeriesKind;
  readonly coverage80All: number;
  /** Processor time, learning included. */
  readonly msPerStep: number;
  readonly stateBytes: number;
  readonly yardsticks: Readonly<Record<string, Score>>;
}

/** One yardstick on one series. */
interface Job {
  readonly entry: SeriesEntry;
  readonly method: string;
  readonly args: readonly string[];
  /** Where its score is kept. */
  readonly kept: string;
}

export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      series: { type: 'string' },
      horizon: { type: 'string', default: 'all' },
      days: { type: 'string' },
      'refit-days': { type: 'string' },
      yardsticks: { type: 'string', default: 'run' },
    },
  });
  const data = resolve(process.env.WATTPACT_DATA ?? '../shared/data', 'dev');
  const all = JSON.parse(readFileSync(join(HERE, 'series.json'), 'utf8')) as SeriesEntry[];
  const entries = all.filter(({ file, core }) =>
    values.series === undefined ? core === true : new RegExp(values.series).test(file),
  );
  const horizons = (['next', 'two', 'day'] as const).filter(
    (one) => values.horizon === 'all' || values.horizon === one,
  );
  const result: Record<string, unknown> = {};
  for (const horizon of horizons) {
    const days = values.days === undefined ? DAYS[horizon] : Number(values.days);
    const refitDays = values['refit-days'] === undefined ? REFIT_DAYS[horizon] : Number(values['refit-days']);
    const jobs = METHODS[horizon].flatMap((method) =>
      entries.map((entry) => jobOf(data, entry, horizon, days, String(refitDays), method)),
    );
    // First the yardsticks, as many at a time as there are cores; then our own, whose time is measured.
    if (values.yardsticks === 'run') await runAll(data, jobs);
    const rows = entries.map((entry) => {
      const row = rowOf(data, entry, horizon, days, values.yardsticks === 'none' ? [] : jobs);
      print(`${horizon.padEnd(5)} ${line(row)}`);
      return row;
    });
    result[horizon] = { days, yardstickRefitDays: refitDays, ...summary(rows) };
  }
  print(JSON.stringify({ benchmark: 'forecast', ...result }));
}

function rowOf(data: string, entry: SeriesEntry, horizon: Horizon, days: number, jobs: readonly Job[]): Row {
  const found = score(data, entry, horizon, days);
  const own = scoredOf(found, horizon);
  const yardsticks: Record<string, Score> = {};
  for (const { method, kept } of jobs.filter((job) => job.entry === entry && existsSync(job.kept))) {
    yardsticks[method] = JSON.parse(readFileSync(kept, 'utf8')) as Score;
  }
  for (const [name, baseline] of Object.entries(found.baselines))
    yardsticks[name] = scoreOf(scoredOf(baseline, horizon));
  const { msPerStep, stateBytes } = found;
  const { file: series, kind } = entry;
  return { ...scoreOf(own), series, kind, coverage80All: own.coverage80All, msPerStep, stateBytes, yardsticks };
}

function score(data: string, entry: SeriesEntry, horizon: Horizon, days: number): BacktestResult {
  const bytes = readFileSync(join(data, entry.file));
  const text = (entry.file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const stepMs = entry.step * 60_000;
  const { samples } = readSeries(text, entry.file, stepMs);
  const lastMs = samples.at(-1)?.startMs ?? 0;
  const options: ForecasterOptions = {
    kind: entry.kind,
    stepMs,
    timezone: entry.tz,
    ...(entry.lat === undefined || entry.lon === undefined ? {} : { latitude: entry.lat, longitude: entry.lon }),
  };
  return backtest({
    options,
    samples: samples.filter(({ startMs }) => startMs >= lastMs - days * DAY_MS),
    horizon: horizon === 'next' ? 1 : horizon === 'two' ? 2 : DAY_MS / stepMs,
    warmupDays: WARMUP_DAYS,
    issueEveryMs: horizon === 'two' ? stepMs : DAY_MS / 4,
    monotonicMs: processorMs,
  });
}

/** Over all leads, but of `two` the second alone. */
function scoredOf(scores: Scores & { readonly byLead?: readonly Scores[] }, horizon: Horizon): Scores {
  return horizon === 'two' ? (scores.byLead?.[1] ?? scores) : scores;
}

function scoreOf({ n, mae, nmae, pinball, coverage80 }: Scores): Score {
  return { n, nmae, npinball: (pinball * nmae) / mae, coverage80 };
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function jobOf(
  data: string,
  entry: SeriesEntry,
  horizon: Horizon,
  days: number,
  refitDays: string,
  method: string,
): Job {
  const place = [String(entry.lat ?? 'nan'), String(entry.lon ?? 'nan')];
  const windows = [String(days), String(WARMUP_DAYS), refitDays];
  const args = [entry.kind, String(entry.step), entry.tz, ...place, horizon, ...windows, method];
  const hash = createHash('sha256');
  for (const file of [SCRIPT, PINS, join(data, entry.file)]) hash.update(readFileSync(file));
  const key = hash
    .update([entry.file, ...args].join('\n'))
    .digest('hex')
    .slice(0, 24);
  return { entry, method, args, kept: join(cacheFolder(), `forecast-${key}.json`) };
}

function cacheFolder(): string {
  return process.env.WATTPACT_BENCH_CACHE ?? join(homedir(), '.cache', 'wattpact-bench');
}

/** Runs what has no score yet. One that fails is named and left out. */
async function runAll(data: string, jobs: readonly Job[]): Promise<void> {
  const waiting = jobs.filter(({ kept }) => !existsSync(kept));
  if (waiting.length === 0) return;
  const python = pythonWithPins();
  const worker = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const { entry, method, args, kept } = job;
      const beganMs = performance.now();
      try {
        const { stdout } = await promisify(execFile)(
          python,
          ['-W', 'ignore', SCRIPT, join(data, entry.file), ...args],
          {
            timeout: YARDSTICK_TIMEOUT_MS,
            env: { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
          },
        );
        writeFileSync(kept, stdout.trim().split('\n').at(-1) as string);
        print(
          `      ${method} on ${entry.file}: ${((performance.now() - beganMs) / 1000).toFixed(0)} s, ${waiting.length} to go`,
        );
      } catch (error) {
        const said = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1);
        print(`      ${method} on ${entry.file} failed: ${said ?? (error as Error).message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

/** A Python with the pinned packages, made once. */
function pythonWithPins(): string {
  const name = createHash('sha256').update(readFileSync(PINS)).digest('hex').slice(0, 12);
  const folder = join(cacheFolder(), `python-${name}`);
  const python = join(folder, 'bin', 'python');
  const ready = join(folder, 'ready');
  if (existsSync(ready)) return python;
  mkdirSync(cacheFolder(), { recursive: true });
  execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', '-r', PINS], { stdio: 'inherit' });
  writeFileSync(ready, '');
  return python;
}

function line(row: Row): string {
  const otherRows = Object.entries(row.yardsticks).filter(([, { n }]) => n !== row.n);
  const bestMae = best(row, 'nmae');
  const bestPinball = best(row, 'npinball');
  return [
    row.series.padEnd(46),
    `nMAE ${row.nmae.toFixed(4)} (${bestMae.name} ${bestMae.value.toFixed(4)})`.padEnd(38),
    `pinball ${row.npinball.toFixed(4)} (${bestPinball.name} ${bestPinball.value.toFixed(4)})`.padEnd(40),
    `in 80 % ${(row.coverage80 * 100).toFixed(1)} (${(row.coverage80All * 100).toFixed(1)})  ${row.msPerStep.toFixed(2)} ms  ${row.stateBytes} bytes`,
    ...otherRows.map(([name, { n }]) => `(${name} on ${n} rows instead of ${row.n})`),
  ].join(' ');
}

function best(row: Row, key: 'nmae' | 'npinball'): { name: string; value: number } {
  let found = { name: '-', value: Number.NaN };
  for (const [name, yardstick] of Object.entries(row.yardsticks)) {
    if (!(yardstick[key] >= found.value)) found = { name, value: yardstick[key] };
  }
  return found;
}

/** By kind: ours, every yardstick that scored all series of the kind, and how ours stands to the best of them. */
function summary(rows: readonly Row[]): Record<string, unknown> {
  const kinds = [...new Set(rows.map(({ kind }) => kind))];
  const byKind = kinds.map((kind) => {
    const own = rows.filter((row) => row.kind === kind);
    const names = Object.keys(own[0]?.yardsticks ?? {}).filter((name) => own.every((row) => row.yardsticks[name]));
    const yardsticks = names.map((name) => {
      const scores = own.map((row) => row.yardsticks[name] as Score);
      return { name, nmae: mean(scores, 'nmae'), npinball: mean(scores, 'npinball') };
    });
    const [nmae, npinball] = [mean(own, 'nmae'), mean(own, 'npinball')];
    const least = (key: 'nmae' | 'npinball'): number => Math.min(...yardsticks.map((one) => one[key]));
    const value = {
      series: own.length,
      nmae,
      npinball,
      maeRatio: nmae / least('nmae'),
      pinballRatio: npinball / least('npinball'),
      coverage80: own.map((row) => row.coverage80),
      yardsticks: Object.fromEntries(yardsticks.map(({ name, ...scores }) => [name, scores])),
    };
    print(`      ${kind}: nMAE ${nmae.toFixed(4)}, pinball ${npinball.toFixed(4)}, over ${own.length} series; against`);
    for (const one of yardsticks) {
      print(`        ${one.name.padEnd(18)} ${one.nmae.toFixed(4)} ${one.npinball.toFixed(4)}`);
    }
    return [kind, value] as const;
  });
  return {
    ...Object.fromEntries(byKind),
    msPerStepMax: Math.max(...rows.map((row) => row.msPerStep)),
    stateBytesMax: Math.max(...rows.map((row) => row.stateBytes)),
  };
}

function mean(scores: readonly Score[], key: 'nmae' | 'npinball'): number {
  return scores.reduce((sum, one) => sum + one[key], 0) / scores.length;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
