// `wattpact forecast show SITE`: what a site's gateway expects of the next hours, with its doubts, and how its last forecasts turned out.
// Reads the gateway's own file, also while it runs.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { intervalStartMs, isoSeconds } from '../base/interval.ts';
import { MEDIAN, QUANTILES } from '../forecast/types.ts';
import { keptDoubts } from '../gateway/doubts.ts';
import { generatorsOf } from '../gateway/equipment.ts';
import { CONSUMPTION, consumptionWh, movableLoads } from '../gateway/forecasting.ts';
import { STORE_FILE } from '../gateway/gateway.ts';
import { type Issued, issuedFor, lastIssued, NET } from '../gateway/issued.ts';
import { loadSite } from '../site/load.ts';
import type { SiteFile } from '../site/types.ts';
import { type GatewayStore, openGatewayStore } from '../store/gateway.ts';
import { printJson, printLine } from './output.ts';
import { marketOf } from './site-market.ts';

/** Intervals shown ahead in rows, and looked back at; the curve shows all that was issued. */
const AHEAD = 16;
const BACK = 16;
/** Intervals compared for the figures: a day of quarters. */
const COMPARED = 96;
const BARS = '▁▂▃▄▅▆▇█';
/** Places of the shown quantiles: 5, 25, 50, 75, 95 %. */
const SHOWN = [0, 2, 3, 4, 6] as const;

interface Flags {
  readonly json?: true;
}

interface Compared {
  readonly start: string;
  readonly quantilesWh: readonly number[];
  /** What came; null while it is not known. */
  readonly actualWh: number | null;
}

export function addForecastShow(command: Command): void {
  command
    .command('show')
    .description("the forecast of a site's gateway with its quantiles, and its last forecasts against what came")
    .argument('<site>', 'site file with a market section')
    .option('--json', 'one JSON document on standard output')
    .action(show);
}

function show(siteFile: string, { json }: Flags): void {
  const { site } = loadSite(siteFile);
  const { market, genesis } = marketOf(siteFile, site);
  const file = join(market.dataDir, STORE_FILE);
  if (!existsSync(file)) {
    throw new WattpactError('forecast.none', `${market.dataDir} has no ${STORE_FILE}: no gateway ran here yet`);
  }
  const { lengthMs } = genesis.interval;
  const store = openGatewayStore(file, { readonly: true });
  try {
    const issued = lastIssued(store);
    if (issued === null) throw new WattpactError('forecast.none', 'the gateway has issued no forecast yet');
    const names = [...generatorsOf(site).map(({ id }) => id), CONSUMPTION, NET];
    const doubts = keptDoubts(store.settings, issued.first, lengthMs);
    const series = names.map((name) => {
      return { name, ahead: aheadOf(issued, name, lengthMs), past: pastOf(store, site, issued.first, name, lengthMs) };
    });
    if (json === true) {
      printJson({
        issued: isoSeconds(issued.issuedAtMs),
        quantiles: QUANTILES,
        doubts,
        series: series.map((each) => ({ ...each, score: scoreOf(each.past) })),
      });
      return;
    }
    printLine(
      `${site.name}: forecast of ${isoSeconds(issued.issuedAtMs)}, Wh an interval of ${lengthMs / 60_000} minutes`,
    );
    for (const { subject, intervals, why } of doubts) {
      printLine(`not learnt from: ${intervals} intervals of ${subject} in the last day (${why}); look at its meter`);
    }
    for (const each of series) for (const line of linesOf(each.name, each.ahead, each.past)) printLine(line);
  } finally {
    store.close();
  }
}

function aheadOf(issued: Issued, name: string, lengthMs: number): Compared[] {
  return issued.intervals.map((quantiles, i) => ({
    start: isoSeconds(intervalStartMs(issued.first + i, lengthMs)),
    quantilesWh: quantiles[name] ?? [],
    actualWh: null,
  }));
}

/** What was issued for the intervals before the running one, oldest first, and what came. */
function pastOf(store: GatewayStore, site: SiteFile, running: number, name: string, lengthMs: number): Compared[] {
  const loads = new Map(
    movableLoads(site).flatMap((load) => {
      const [first] = store.energies.range(load, CONSUMPTION, running - COMPARED, running);
      return first === undefined ? [] : [[load, first.interval] as const];
    }),
  );
  const generated = (id: string, interval: number): number | null => {
    const [stored] = store.energies.range(id, 'generation', interval, interval + 1);
    return stored === undefined || stored.quality === 'gap' ? null : stored.energyWh;
  };
  const actual = (interval: number): number | null => {
    if (name !== CONSUMPTION && name !== NET) return generated(name, interval);
    const consumed = consumptionWh(site, store, interval, loads);
    if (name === CONSUMPTION || consumed === null) return consumed;
    const parts = generatorsOf(site).map(({ id }) => generated(id, interval));
    return parts.includes(null) ? null : consumed - (parts as number[]).reduce((sum, wh) => sum + wh, 0);
  };
  const past: Compared[] = [];
  for (let interval = running - COMPARED; interval < running; interval++) {
    const quantilesWh = issuedFor(store, interval)?.[name];
    if (quantilesWh === undefined || quantilesWh.length === 0) continue;
    past.push({ start: isoSeconds(intervalStartMs(interval, lengthMs)), quantilesWh, actualWh: actual(interval) });
  }
  return past;
}

/** Mean error of the median, and the share that came within the 80 % band; null before anything came. */
function scoreOf(past: readonly Compared[]): { n: number; maeWh: number; coverage80: number } | null {
  const known = past.flatMap(({ quantilesWh, actualWh }) => (actualWh === null ? [] : [{ quantilesWh, actualWh }]));
  if (known.length === 0) return null;
  const at = (quantilesWh: readonly number[], place: number): number => quantilesWh[place] ?? 0;
  const off = known.reduce((sum, each) => sum + Math.abs(each.actualWh - at(each.quantilesWh, MEDIAN)), 0);
  const inside = known.filter(
    ({ quantilesWh, actualWh }) => at(quantilesWh, 1) <= actualWh && actualWh <= at(quantilesWh, 5),
  ).length;
  return { n: known.length, maeWh: Math.round(off / known.length), coverage80: inside / known.length };
}

function linesOf(name: string, ahead: readonly Compared[], past: readonly Compared[]): string[] {
  const medians = ahead.map(({ quantilesWh }) => quantilesWh[MEDIAN] ?? 0);
  const head = SHOWN.map((place) => `${(QUANTILES[place] as number) * 100} %`.padStart(8)).join('');
  const rows = ahead.slice(0, AHEAD).map(({ start, quantilesWh }) => {
    return `  ${start.slice(11, 16)}${SHOWN.map((place) => String(quantilesWh[place] ?? '-').padStart(8)).join('')}`;
  });
  const score = scoreOf(past);
  const came = past.slice(-BACK).map(({ start, quantilesWh, actualWh }) => {
    const [low = 0, middle = 0, high = 0] = [quantilesWh[1], quantilesWh[MEDIAN], quantilesWh[5]];
    const verdict = actualWh === null ? 'not known' : actualWh < low ? 'below' : actualWh > high ? 'above' : '';
    return `  ${start.slice(11, 16)}${String(middle).padStart(8)}${String(actualWh ?? '-').padStart(8)}  ${`${low} to ${high}`.padEnd(16)} ${verdict}`.trimEnd();
  });
  return [
    '',
    name === NET ? 'net (+ import)' : name,
    `  ${sparkline(medians)}  ${Math.min(...medians)} to ${Math.max(...medians)} Wh, ${ahead.length} intervals`,
    `  UTC  ${head}`,
    ...rows,
    ...(came.length === 0
      ? ['  no forecast has met its interval yet']
      : ['  UTC    median    came  80 % band', ...came]),
    ...(score === null
      ? []
      : [
          `  last ${score.n}: off by ${score.maeWh} Wh on average, ${Math.round(100 * score.coverage80)} % within the 80 % band`,
        ]),
  ];
}

/** Heights of eighths between the least and the most. */
export function sparkline(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const last = BARS.length - 1;
  return values
    .map((value) => BARS[most === least ? 0 : Math.round(((value - least) / (most - least)) * last)])
    .join('');
}
