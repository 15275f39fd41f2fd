// `wattpact plan SITE` without measured days: from what the gateway keeps, or one line that says what is missing.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keepIssued } from '../../src/gateway/issued.ts';
import { keepStored } from '../../src/gateway/stored.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const LENGTH_MS = 900_000;
const START_MS = Date.UTC(2026, 5, 21, 20);
let dir: string;

function wattpact(...args: string[]): { status: number | null; out: string; err: string } {
  const ran = spawnSync(process.execPath, [join(ROOT, 'src/cli.ts'), ...args], {
    encoding: 'utf8',
    cwd: dir,
    timeout: 60_000,
  });
  return { status: ran.status, out: ran.stdout, err: ran.stderr };
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'wattpact-plan-'));
  expect(wattpact('init', 'c', '--from', join(ROOT, 'devices/demo/consortium.yaml')).status).toBe(0);
  const house = readFileSync(join(ROOT, 'devices/demo/house.yaml'), 'utf8');
  const site = (name: string, market: string): void => writeFileSync(join(dir, `${name}.yaml`), house + market);
  const market = (dataDir: string): string =>
    `market:\n  genesis: c/genesis.json\n  brokers: ["mqtt://127.0.0.1:1"]\n  key: c/keys/gateway-house.pem\n  dataDir: ${dataDir}\n`;
  site('nomarket', '');
  for (const name of ['kept', 'charged', 'silent', 'never']) site(name, market(name));
  for (const name of ['kept', 'charged', 'silent']) {
    mkdirSync(join(dir, name));
    const store = openGatewayStore(join(dir, name, 'gateway.sqlite'));
    const first = START_MS / LENGTH_MS;
    const consumption = Array.from({ length: 96 }, (_, i) => ({
      interval: first + i,
      quantilesWh: [60, 70, 80, 100, 120, 140, 160],
    }));
    const issued = { issuedAtMs: START_MS + 300_000, first, interval: first + 1, generation: new Map(), consumption };
    const expected = consumption.map(({ quantilesWh }) => ({ netWh: quantilesWh }));
    if (name === 'kept' || name === 'charged') keepIssued(store, { ...issued, expected });
    if (name === 'charged') keepStored(store, new Map([['battery', 83.4]]), START_MS + 240_000);
    store.close();
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('the plan comes from the forecast that the gateway issued last, and changes nothing in its file', () => {
  const before = readFileSync(join(dir, 'kept/gateway.sqlite'));
  const { status, out, err } = wattpact('plan', 'kept.yaml', '--explain', '--stored', '80');
  expect(err).toBe('');
  expect(status).toBe(0);
  expect(out).not.toMatch(/^battery:/m);
  const [from, summary, offer, ...decisions] = out.trim().split('\n');
  expect(from).toContain('forecast of 2026-06-21T20:05:00Z');
  expect(summary).toContain('96 intervals from 2026-06-21T20:00:00Z');
  expect(offer).toContain('offer for 2026-06-21T20:15:00Z');
  expect(decisions.length).toBeGreaterThan(0);
  for (const line of decisions) expect(line).toMatch(/^2026-06-2\dT\d\d:\d\d:00Z {2}\S/);
  expect(readFileSync(join(dir, 'kept/gateway.sqlite')).equals(before)).toBe(true);
});

test('the state of charge is the one the gateway knew last, with its age; one that was never known is assumed and said', () => {
  const storedAtFirst = (...args: string[]): number => JSON.parse(wattpact(...args, '--json').out).steps[0].storedEndWh;
  const known = wattpact('plan', 'charged.yaml').out;
  expect(known).toMatch(/^battery: 83 % at 2026-06-21T20:04:00Z, \d+ (minutes|hours|days) ago/m);
  expect(storedAtFirst('plan', 'charged.yaml')).toBeCloseTo(
    storedAtFirst('plan', 'charged.yaml', '--stored', '83.4'),
    6,
  );
  expect(wattpact('plan', 'kept.yaml').out).toMatch(/^battery: its state of charge was never known .* 50 % assumed/m);
});

test.each([
  ['nomarket.yaml', 'nomarket.yaml has no market section'],
  ['never.yaml', 'no gateway ran here yet'],
  ['silent.yaml', 'the gateway has issued no forecast yet'],
])('%s: what is missing is said, and what to give instead', (site, what) => {
  const { status, out, err } = wattpact('plan', site, '--explain');
  expect(status).not.toBe(0);
  expect(out).toBe('');
  expect(err).toContain(what);
  expect(err).toContain('--csv <file>');
});

describe('measured days from a file', () => {
  const NAMES = 'time,pv_w,load_w,buy_uc_per_wh,sell_uc_per_wh';
  /** Five days in steps of so many minutes; what comes in an hour is the same in each of its steps. */
  function days(minutes: number, row: (hour: number) => string): string {
    const rows = Array.from({ length: (5 * 1440) / minutes }, (_, i) => {
      const at = new Date(Date.UTC(2026, 2, 26) + i * minutes * 60_000);
      return `${at.toISOString().slice(0, 19)}Z,${row(at.getUTCHours())}`;
    });
    return `${rows.join('\n')}\n`;
  }
  const usual = (hour: number): string =>
    `${hour > 8 && hour < 16 ? 4000 : 0},${400 + 50 * hour},${hour > 16 ? 38000 : 22000},8000`;
  function backtest(text: string, ...more: string[]): ReturnType<typeof wattpact> {
    writeFileSync(join(dir, 'days.csv'), text);
    return wattpact('plan', 'backtest', '--site', 'nomarket.yaml', '--csv', 'days.csv', '--warmup-days', '3', ...more);
  }

  test('hours stand for their quarters, five minutes for a part of one', () => {
    const [hours, quarters, minutes] = [60, 15, 5].map((step) => {
      const { out, err } = backtest(`${NAMES}\n${days(step, usual)}`, '--json');
      expect(err).toBe('');
      return JSON.parse(out);
    });
    expect(quarters.days).toBe(2);
    expect({ ...hours, msPerPlan: 0 }).toEqual({ ...quarters, msPerPlan: 0 });
    expect({ ...minutes, msPerPlan: 0 }).toEqual({ ...quarters, msPerPlan: 0 });
  });

  test('a column that is missing is named, with what is wanted; nothing counts as no generation', () => {
    const withoutPv = `${NAMES.replace('pv_w,', '')}\n${days(15, (hour) => usual(hour).replace(/^\d+,/, ''))}`;
    expect(backtest(withoutPv).err).toMatch(/days\.csv:1: no column pv_w, and house has pv\. Add what it gave/);
    const inKw = `${NAMES.replace('load_w', 'load_kw')}\n${days(15, usual)}`;
    expect(backtest(inKw).err).toMatch(/days\.csv:1: no column load_w\. It has: time, pv_w, load_kw.*load_w.*\(W\)/);
    expect(backtest(`${NAMES}\n${days(15, usual)}`.replaceAll(',', ';')).err).toMatch(/separated by semicolons/);
  });

  test('what is sold dearer than it is bought is said', () => {
    const { out } = backtest(`${NAMES}\n${days(15, () => '0,400,20000,30000')}`);
    expect(out).toMatch(/^480 intervals sell for more than buying costs/m);
  });
});
