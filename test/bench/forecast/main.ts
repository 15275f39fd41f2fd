// `npm run bench -- forecast [--series REGEX] [--horizon next|day|both] [--days N] [--refit-days N] [--yardsticks cached|run|none]`
// Scores the forecaster on measured series beside what people use on servers (yardsticks.py) and the plain baselines. None sees what
// ends after the issue. --refit-days is the yardsticks' alone (ets is always fitted weekly, mstl at each issue): the forecaster keeps
// its own intervals, so at the default of 7 it has fresher models than they. A yardstick scored on another number of rows is marked.
// Data from WATTPACT_DATA/dev (default ../shared/data/dev); yardsticks' results and their Python are cached in WATTPACT_BENCH_CACHE
// (default ~/.cache/wattpact-bench): their code, pins and arguments are the key, what the data files hold is not.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { type BacktestResult, backtest } from '../../../src/forecast/backtest.ts';
import { readSeries } from '../../../src/forecast/series-csv.ts';
import type { ForecasterOptions, SeriesKind } from '../../../src/forecast/types.ts';

const HERE = import.meta.dirname;
const DAY_MS = 86_400_000;
const WARMUP_DAYS = 28;
const METHODS = {
  next: ['lightgbm', 'histgb', 'ridge', 'ets'],
  day: ['lightgbm', 'histgb', 'ridge', 'mstl', 'mlforecast'],
};
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
  readonly msPerStep: number;
  readonly stateBytes: number;
  readonly yardsticks: Readonly<Record<string, Score>>;
}

export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      series: { type: 'string', default: '.' },
      horizon: { type: 'string', default: 'both' },
      days: { type: 'string', default: '140' },
      'refit-days': { type: 'string', default: '7' },
      yardsticks: { type: 'string', default: 'run' },
    },
  });
  const data = resolve(process.env.WATTPACT_DATA ?? '../shared/data', 'dev');
  const wanted = new RegExp(values.series);
  const all = JSON.parse(readFileSync(join(HERE, 'series.json'), 'utf8')) as SeriesEntry[];
  const entries = all.filter(({ file }) => wanted.test(file));
  const days = Number(values.days);
  const horizons = (['next', 'day'] as const).filter((one) => values.horizon === 'both' || values.horizon === one);
  const result: Record<string, unknown> = {};
  for (const horizon of horizons) {
    const rows: Row[] = [];
    for (const entry of entries) {
      const own = score(data, entry, horizon, days);
      const yardsticks: Record<string, Score> = {};
      for (const method of values.yardsticks === 'none' ? [] : METHODS[horizon]) {
        const found = yardstick(data, entry, horizon, days, values['refit-days'], method, values.yardsticks === 'run');
        if (found !== null) yardsticks[method] = found;
      }
      for (const [name, baseline] of Object.entries(own.baselines)) {
        yardsticks[name] = scoreOf(baseline);
      }
      const row: Row = {
        ...scoreOf(own),
        series: entry.file,
        kind: entry.kind,
        msPerStep: own.msPerStep,
        stateBytes: own.stateBytes,
        yardsticks,
      };
      rows.push(row);
      print(`${horizon.padEnd(5)} ${line(row)}`);
    }
    result[horizon] = summary(rows);
  }
  print(JSON.stringify({ benchmark: 'forecast', days, yardstickRefitDays: Number(values['refit-days']), ...result }));
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
    horizon: horizon === 'next' ? 1 : DAY_MS / stepMs,
    warmupDays: WARMUP_DAYS,
    issueEveryMs: DAY_MS / 4,
    monotonicMs: () => performance.now(),
  });
}

function scoreOf({ n, mae, nmae, pinball, coverage80 }: BacktestResult['baselines'][string]): Score {
  return { n, nmae, npinball: (pinball * nmae) / mae, coverage80 };
}

/** A yardstick's score, from the cache or by running it; null when it may not be run or fails. */
function yardstick(
  data: string,
  entry: SeriesEntry,
  horizon: Horizon,
  days: number,
  refitDays: string,
  method: string,
  run: boolean,
): Score | null {
  const cache = process.env.WATTPACT_BENCH_CACHE ?? join(homedir(), '.cache', 'wattpact-bench');
  const script = join(HERE, 'yardsticks.py');
  const pins = join(HERE, 'requirements.txt');
  const place = [String(entry.lat ?? 'nan'), String(entry.lon ?? 'nan')];
  const args = [
    entry.kind,
    String(entry.step),
    entry.tz,
    ...place,
    horizon,
    String(days),
    String(WARMUP_DAYS),
    refitDays,
  ];
  const key = createHash('sha256')
    .update(readFileSync(script))
    .update(readFileSync(pins))
    .update([entry.file, ...args, method].join('\n'))
    .digest('hex')
    .slice(0, 24);
  const kept = join(cache, `forecast-${key}.json`);
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, 'utf8')) as Score;
  if (!run) return null;
  try {
    const python = pythonWith(pins, cache);
    const output = execFileSync(python, ['-W', 'ignore', script, join(data, entry.file), ...args, method], {
      encoding: 'utf8',
      timeout: YARDSTICK_TIMEOUT_MS,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const text = output.trim().split('\n').at(-1) as string;
    const found = JSON.parse(text) as Score;
    writeFileSync(kept, text);
    return found;
  } catch (error) {
    print(`      ${method} on ${entry.file} failed: ${(error as Error).message.split('\n').slice(-2).join(' ')}`);
    return null;
  }
}

/** A Python with the pinned packages, made once. */
function pythonWith(pins: string, cache: string): string {
  const name = createHash('sha256').update(readFileSync(pins)).digest('hex').slice(0, 12);
  const folder = join(cache, `python-${name}`);
  const python = join(folder, 'bin', 'python');
  const ready = join(folder, 'ready');
  if (existsSync(ready)) return python;
  mkdirSync(cache, { recursive: true });
  execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', '-r', pins], { stdio: 'inherit' });
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
    `in 80 % ${(row.coverage80 * 100).toFixed(1)}  ${row.msPerStep.toFixed(2)} ms  ${row.stateBytes} bytes`,
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

/** By kind: ours, and of the yardsticks and baselines that scored every series of that kind the best on the average. */
function summary(rows: readonly Row[]): Record<string, unknown> {
  const kinds = [...new Set(rows.map(({ kind }) => kind))];
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const byKind = kinds.map((kind) => {
    const own = rows.filter((row) => row.kind === kind);
    const names = Object.keys(own[0]?.yardsticks ?? {}).filter((name) => own.every((row) => row.yardsticks[name]));
    const averaged = (key: 'nmae' | 'npinball'): { name: string; value: number } =>
      names
        .map((name) => ({ name, value: mean(own.map((row) => row.yardsticks[name]?.[key] as number)) }))
        .reduce((a, b) => (b.value < a.value ? b : a), { name: '-', value: Number.POSITIVE_INFINITY });
    const [mae, pinball] = [averaged('nmae'), averaged('npinball')];
    const [nmae, npinball] = [mean(own.map((row) => row.nmae)), mean(own.map((row) => row.npinball))];
    return [
      kind,
      {
        series: own.length,
        nmae,
        npinball,
        bestNmae: mae,
        bestNpinball: pinball,
        maeRatio: nmae / mae.value,
        pinballRatio: npinball / pinball.value,
        coverage80: own.map((row) => row.coverage80),
      },
    ] as const;
  });
  return {
    ...Object.fromEntries(byKind),
    msPerStepMax: Math.max(...rows.map((row) => row.msPerStep)),
    stateBytesMax: Math.max(...rows.map((row) => row.stateBytes)),
  };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
