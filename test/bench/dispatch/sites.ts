// Sites paired from measured series: which roof with which household, how each is shifted and scaled, and its battery.
// Listed here in full so that a figure can be judged by its input. The series lie outside the project (WATTPACT_DATA).

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { energyOfPowerWh } from '../../../src/base/units.ts';
import type { MeasuredInterval } from '../../../src/dispatch/backtest.ts';
import { createCalendar } from '../../../src/forecast/calendar.ts';
import { readSeries } from '../../../src/forecast/series-csv.ts';
import type { Battery } from '../../../src/site/types.ts';

export const DATA = process.env.WATTPACT_DATA ?? resolve(import.meta.dirname, '../../../../shared/data');
const QUARTER_MS = 900_000;
const DAY_MS = 86_400_000;

interface Source {
  readonly file: string;
  /** Whole hours by which the series is moved so that its local day falls on the site's. */
  readonly hours: number;
  /** Day of the series that becomes the site's first day (UTC). */
  readonly from: string;
  /** Mean power (consumption) or greatest power (generation) after scaling, W; null: as measured. */
  readonly toW: number | null;
}

export interface BenchSite {
  readonly name: string;
  readonly first: string;
  readonly days: number;
  readonly latitude: number;
  readonly longitude: number;
  readonly timezone: string;
  readonly generation: { readonly kind: 'pv' | 'wind'; readonly source: Source } | null;
  readonly consumption: Source;
  readonly spot: { readonly file: string; readonly from: string };
  readonly battery: Battery;
}

function battery(capacityWh: number, powerW: number): Battery {
  return {
    id: 'battery',
    capacityWh,
    chargeLimitW: powerW,
    dischargeLimitW: powerW,
    chargeTaper: [],
    dischargeTaper: [],
    chargeEfficiency: 0.95,
    dischargeEfficiency: 0.95,
    standingLossW: 10,
    cycleCostUcPerWh: 3000,
    reservePercent: 5,
    export: 'yes',
  };
}

const GERMANY = { latitude: 48.4, longitude: 10.9, timezone: 'Europe/Berlin' };
const SERF = 'pv/nrel_serf_east_inv2_2011_2013.csv.gz';
const HFDP = 'pv/nl_hfdp_solar_farms_2021.csv';
const SPOT_DE = 'price/de_dayahead_2015.csv';

/** Weekdays are kept: shifts are whole weeks. Golden's noon (19 UTC) and Sydney's (2 UTC) are moved to the site's. */
export const SITES: readonly BenchSite[] = [
  {
    name: 'flats, roof (spring)',
    first: '2015-03-16',
    days: 84,
    ...GERMANY,
    generation: { kind: 'pv', source: { file: SERF, hours: -8, from: '2012-03-12', toW: 9000 } },
    consumption: { file: 'load/vdi_multifamily_small_2019.csv.gz', hours: 0, from: '2019-03-11', toW: 900 },
    spot: { file: SPOT_DE, from: '2015-03-16' },
    battery: battery(10_000, 5000),
  },
  {
    name: 'flats, roof (autumn)',
    first: '2015-08-31',
    days: 84,
    ...GERMANY,
    generation: { kind: 'pv', source: { file: SERF, hours: -8, from: '2012-08-27', toW: 7000 } },
    consumption: { file: 'load/vdi_multifamily_small_2019.csv.gz', hours: 0, from: '2019-08-26', toW: 700 },
    spot: { file: SPOT_DE, from: '2015-08-31' },
    battery: battery(8000, 4000),
  },
  {
    name: 'Swiss house, roof (winter)',
    first: '2015-11-02',
    days: 48,
    ...GERMANY,
    generation: { kind: 'pv', source: { file: SERF, hours: -8, from: '2012-10-29', toW: 8000 } },
    consumption: { file: 'load/ch_house_1000317_2018.csv', hours: 0, from: '2018-10-29', toW: null },
    spot: { file: SPOT_DE, from: '2015-11-02' },
    battery: battery(8000, 4000),
  },
  {
    name: 'Australian house, Dutch sun',
    first: '2015-08-03',
    days: 84,
    ...GERMANY,
    generation: { kind: 'pv', source: { file: HFDP, hours: 0, from: '2021-08-02', toW: 6000 } },
    consumption: { file: 'load/sgsc_10006414_2012_2014.csv.gz', hours: 9, from: '2013-08-05', toW: null },
    spot: { file: SPOT_DE, from: '2015-08-03' },
    battery: battery(10_000, 5000),
  },
  {
    name: 'school, large roof',
    first: '2015-08-03',
    days: 84,
    ...GERMANY,
    generation: { kind: 'pv', source: { file: HFDP, hours: 0, from: '2021-08-02', toW: 60_000 } },
    consumption: { file: 'load/vdi_school_medium_2014.csv.gz', hours: 0, from: '2014-08-04', toW: 9000 },
    spot: { file: SPOT_DE, from: '2015-08-03' },
    battery: battery(60_000, 30_000),
  },
  {
    name: 'toolmaker, wind',
    first: '2015-08-03',
    days: 84,
    ...GERMANY,
    generation: {
      kind: 'wind',
      source: { file: 'wind/nl_nryn_wind_2021.csv', hours: 0, from: '2021-08-02', toW: 40_000 },
    },
    consumption: { file: 'load/vdi_toolmaker_2018.csv.gz', hours: 0, from: '2018-08-06', toW: 12_000 },
    spot: { file: SPOT_DE, from: '2015-08-03' },
    battery: battery(50_000, 25_000),
  },
  {
    name: 'Swiss house without generation',
    first: '2015-11-02',
    days: 48,
    ...GERMANY,
    generation: null,
    consumption: { file: 'load/ch_house_4323122_2018.csv', hours: 0, from: '2018-10-29', toW: null },
    spot: { file: SPOT_DE, from: '2015-11-02' },
    battery: battery(6000, 3000),
  },
];

export type Tariff = 'time-of-use' | 'day-ahead';

export function haveData(): boolean {
  return existsSync(join(DATA, 'dev'));
}

/** Measured intervals of a site under a tariff. A gap repeats the day before. */
export function intervalsOf(site: BenchSite, tariff: Tariff): MeasuredInterval[] {
  const count = site.days * 96;
  const startMs = Date.parse(`${site.first}T00:00:00Z`);
  const consumption = quarters(site.consumption, count, 'mean');
  const generation = site.generation === null ? null : quarters(site.generation.source, count, 'max');
  const spot = quarters({ ...site.spot, hours: 0, toW: null }, count, 'mean');
  const calendar = createCalendar(site.timezone);
  return Array.from({ length: count }, (_, t): MeasuredInterval => {
    const at = startMs + t * QUARTER_MS;
    return {
      startMs: at,
      generationWh: Math.max(0, energyOfPowerWh(generation?.[t] ?? 0, QUARTER_MS)),
      consumptionWh: Math.max(0, energyOfPowerWh(consumption[t]!, QUARTER_MS)),
      ...prices(tariff, spot[t]!, calendar(at).minute / 60),
    };
  });
}

/** µ¤/Wh with ¤ = ct. Time of use: 22, 30 and 38 ct/kWh, 8 for what is sold. Day-ahead: the exchange and 15 ct; the exchange for what is sold. */
function prices(tariff: Tariff, spotPerMwh: number, hour: number): { buyUcPerWh: number; sellUcPerWh: number } {
  if (tariff === 'day-ahead') {
    const spot = spotPerMwh * 100;
    return { buyUcPerWh: spot + 15_000, sellUcPerWh: spot };
  }
  const buyUcPerWh = hour >= 17 && hour < 21 ? 38_000 : hour >= 6 && hour < 22 ? 30_000 : 22_000;
  return { buyUcPerWh, sellUcPerWh: 8000 };
}

/** A series on quarter hours from a day on; a coarser step is held, a gap repeats the day before. */
function quarters(source: Source, count: number, scaleBy: 'mean' | 'max'): number[] {
  const path = join(DATA, 'dev', source.file);
  const bytes = readFileSync(path);
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const stepMs = stepOf(text);
  const { samples } = readSeries(
    text,
    path,
    Math.max(QUARTER_MS, stepMs),
    text.slice(0, text.indexOf('\n')).trim().split(',')[1],
  );
  const byTime = new Map(samples.map(({ startMs, powerW }) => [startMs, powerW]));
  const fromMs = Date.parse(`${source.from}T00:00:00Z`) - source.hours * 3_600_000;
  const held = Math.max(QUARTER_MS, stepMs);
  const values: number[] = [];
  for (let t = 0; t < count; t++) {
    const at = fromMs + t * QUARTER_MS;
    values.push(byTime.get(Math.floor(at / held) * held) ?? values[t - DAY_MS / QUARTER_MS] ?? 0);
  }
  if (source.toW === null) return values;
  const reference = scaleBy === 'mean' ? values.reduce((sum, v) => sum + v, 0) / count : Math.max(...values);
  return values.map((value) => (value * (source.toW as number)) / reference);
}

function stepOf(text: string): number {
  const [, first, second] = text.split('\n', 4).map((line) => Date.parse(line.split(',')[0] ?? ''));
  return second! - first!;
}
