import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { chooseColumns, type Kind, SHIPPED_DAYS } from '../../src/simulator/library.ts';
import { peakW, stepAt } from '../../src/simulator/physics/series.ts';
import { chooseSeries } from '../../src/simulator/site-series.ts';
import { site } from './fixtures.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'wattpact-series-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

function put(file: string, header: string, ...values: string[]): void {
  const rows = Array.from({ length: 24 }, (_, hour) =>
    [`2025-06-01T${String(hour).padStart(2, '0')}:00:00Z`, ...values].join(','),
  );
  const text = [header, ...rows].join('\n');
  mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
  writeFileSync(path.join(folder, file), file.endsWith('.gz') ? gzipSync(text) : text);
}

function chosen(...needs: [site: string, kind: Kind, sizeW: number][]): string[] {
  return chooseColumns(
    folder,
    needs.map(([name, kind, sizeW]) => ({ site: name, kind, sizeW })),
  ).map(({ series }) => path.relative(folder, series.name));
}

describe('which series drives what', () => {
  test('a file named after the site is its own, packed or not', () => {
    put('house.csv', 'time,pv_w,load_w', '5', '6');
    put('load/other.csv.gz', 'time,load_wh', '100');
    put('wind/w.csv', 'time,wind_pu', '0.5');
    expect(chosen(['house', 'pv', 1], ['house', 'load', 1], ['farm', 'load', 1], ['farm', 'wind', 1])).toEqual([
      'house.csv:pv_w',
      'house.csv:load_w',
      'load/other.csv.gz:load_wh',
      'wind/w.csv:wind_pu',
    ]);
  });

  test('small ones go to small sites, large ones to large, whatever their order', () => {
    put('a.csv', 'time,load_w', '900');
    put('b.csv', 'time,load_w', '10');
    put('c.csv', 'time,load_w', '20000');
    expect(chosen(['factory', 'load', 90_000], ['flat', 'load', 5000], ['house', 'load', 20_000])).toEqual([
      'c.csv:load_w',
      'b.csv:load_w',
      'a.csv:load_w',
    ]);
  });

  test('a few are shared, a kind that is missing comes from the shipped days, prices are left alone', () => {
    put('pv/one.csv', 'time,pv_w', '5');
    put('price/p.csv', 'time,price_eur_mwh', '5');
    put('broken-price.csv', 'when,price', 'x');
    expect(chosen(['house', 'pv', 1], ['flat', 'pv', 2])).toEqual(['pv/one.csv:pv_w', 'pv/one.csv:pv_w']);
    expect(chooseColumns(folder, [{ site: 'house', kind: 'load', sizeW: 1 }])[0]!.series.name).toBe(
      `${path.join(SHIPPED_DAYS, 'house.load.csv')}:load_w`,
    );
  });

  const bad: [string, (at: string) => string, string][] = [
    ['a folder that is not there', (at) => path.join(at, 'none'), 'is not a folder'],
    ['a folder without series', (at) => at, 'has no .csv or .csv.gz file'],
  ];
  test.each(bad)('refuses %s', (_, at, message) => {
    expect(() => chooseColumns(at(folder), [])).toThrow(message);
  });

  test('a damaged file is an error that names it', () => {
    writeFileSync(path.join(folder, 'x.csv.gz'), 'not packed');
    expect(() => chosen(['house', 'pv', 1])).toThrow(`cannot read ${path.join(folder, 'x.csv.gz')}`);
    rmSync(path.join(folder, 'x.csv.gz'));
    put('pv.csv', 'time,pv_w', '1,2');
    expect(() => chosen(['house', 'pv', 1])).toThrow('pv.csv:2 3 fields where the header has 2');
  });
});

/** Measured series beside the checkout: files like those that users have. */
const MEASURED = path.join(process.env.WATTPACT_DATA ?? path.join(import.meta.dirname, '../../../shared/data'), 'dev');

describe('the series of sites', () => {
  const origin = Date.parse('2026-06-24T10:00:00Z');
  const farm = {
    ...site,
    id: 'farm',
    devices: [{ ...site.devices[1]!, id: 'turbine', role: 'wind' as const, ratedW: 60_000 }],
  };

  test('the shipped days: PV of the house peaks at its rated power about noon, wind of the farm at its own', () => {
    const series = chooseSeries(null, [site, farm], origin);
    const pv = series.get('house')!.generation.get('pv')!;
    expect(peakW(pv)).toBe(5000);
    const byHour = Array.from(
      { length: 24 },
      (_, hour) => stepAt(pv, Date.parse('2026-06-24T00:00:00Z') + hour * 3_600_000).powerW,
    );
    expect(byHour.indexOf(Math.max(...byHour))).toBeGreaterThanOrEqual(8);
    expect(byHour.indexOf(Math.max(...byHour))).toBeLessThanOrEqual(15);
    expect(Math.max(byHour[0]!, byHour[22]!)).toBeLessThanOrEqual(0);
    expect(peakW(series.get('farm')!.generation.get('turbine')!)).toBe(60_000);
    expect(peakW(series.get('farm')!.consumption!)).toBeLessThan(0.8 * farm.connection.importLimitW);
  });

  test.runIf(existsSync(MEASURED))('a folder of measured series drives every site, scaled to it', () => {
    const series = chooseSeries(MEASURED, [site, farm], origin);
    for (const { generation, consumption } of series.values()) {
      for (const each of [...generation.values(), consumption!]) expect(each.name.startsWith(MEASURED)).toBe(true);
      expect(peakW(consumption!)).toBeGreaterThan(0);
      expect(peakW(consumption!)).toBeLessThanOrEqual(0.8 * site.connection.importLimitW);
    }
    expect(peakW(series.get('farm')!.generation.get('turbine')!)).toBeCloseTo(60_000, 6);
    expect(peakW(series.get('house')!.generation.get('pv')!)).toBeLessThanOrEqual(5000);
  });

  test('the same arguments give the same series', () => {
    expect(chooseSeries(null, [site, farm], origin)).toEqual(chooseSeries(null, [site, farm], origin));
  });
});
