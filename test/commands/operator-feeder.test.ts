// A feeder's folder becomes the request that publishes it: what the chain takes, or one line that says what is wrong and where.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { operatorCommand } from '../../src/commands/operator.ts';
import { readRequestFile } from '../../src/commands/request-file.ts';
import { voltageBand } from '../../src/commands/voltage-band.ts';
import { feederProblem } from '../../src/ledger/grid.ts';
import type { RequestBody } from '../../src/protocol/requests.ts';
import { testGenesis } from '../ledger/world.ts';

const GENESIS = testGenesis();
const BUSES = 'bus,parent,vn_v\nroot,,400\na,root,400\nb,a,400\n';
const LINES =
  'bus,capacity_w,tariff_uc_per_wh,loss_ppm,r_uohm,x_uohm\na,250000,13,500,10000,40000\nb,,138,5000,100000,50000\n';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-feeder-'));
  writeFileSync(join(folder, 'genesis.json'), JSON.stringify(GENESIS));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function publish(buses: string, lines: string, change: Record<string, string> = {}): Promise<string> {
  writeFileSync(join(folder, 'buses.csv'), buses);
  writeFileSync(join(folder, 'lines.csv'), lines);
  const out = join(folder, 'feeder.json');
  const options = {
    '--genesis': join(folder, 'genesis.json'),
    '--id': 'f1',
    '--as': 'operator',
    '--utility': 'utility',
    '--location': '48.46,-7.94',
    '--from': '2026-07-01T00:15Z',
    '--out': out,
    ...change,
  };
  await operatorCommand().parseAsync(['feeder', folder, ...Object.entries(options).flat()], { from: 'user' });
  return out;
}

test.each([
  ['5', 950_000, 1_050_000],
  ['10', 900_000, 1_100_000],
])('a voltage band of %s %% lies around nominal, at a power factor of 0.95', (percent, minPpm, maxPpm) => {
  const tanPhiPpm = Math.round(Math.tan(Math.acos(0.95)) * 1e6);
  expect(voltageBand(percent)).toMatchObject({ rootPpm: 1_000_000, minPpm, maxPpm, tanPhiPpm });
});

test('what it writes is what the chain takes', async () => {
  const file = readRequestFile(await publish(BUSES, LINES, { '--voltage-band': '5' }), GENESIS);
  expect(file.kind).toBe('feeder.publish');
  const { feeder, fromInterval } = file.body as RequestBody<'feeder.publish'>;
  expect(fromInterval * GENESIS.interval.lengthMs).toBe(Date.UTC(2026, 6, 1, 0, 15));
  expect(feederProblem(feeder)).toBeNull();
  expect(feeder).toMatchObject({
    id: 'f1',
    latitudeDeg10: 485,
    longitudeDeg10: -79,
    operator: 'operator',
    utility: 'utility',
  });
  expect(feeder.buses[1]).toEqual({
    capacityW: 250_000,
    id: 'a',
    lossPpm: 500,
    nominalV: 400,
    parent: 'root',
    reactanceUohm: 40_000,
    resistanceUohm: 10_000,
    tariffUcPerWh: 13,
  });
  expect(feeder.buses[2]?.capacityW).toBeNull();
  expect(feeder.voltage).toMatchObject({ maxPpm: 1_050_000, minPpm: 950_000 });
});

test('columns that a folder lacks are not made up', async () => {
  const file = readRequestFile(
    await publish('bus,parent\nroot,\na,root\n', 'bus,capacity_w,tariff_uc_per_wh,loss_ppm\na,1000,1,0\n'),
    GENESIS,
  );
  const { feeder } = file.body as RequestBody<'feeder.publish'>;
  expect(feeder.buses[1]).toEqual({ capacityW: 1000, id: 'a', lossPpm: 0, parent: 'root', tariffUcPerWh: 1 });
  expect(feeder).not.toHaveProperty('voltage');
});

test.each([
  ['a loop', BUSES.replace('a,root', 'a,b'), LINES, {}, /buses\.csv:[34]: .*loop/],
  ['two roots', BUSES.replace('a,root', 'a,'), LINES, {}, /buses\.csv:3: two roots: root and a/],
  ['a line with no capacity that is one', BUSES, LINES.replace('250000', '-1'), {}, /lines\.csv:2: capacity_w is "-1"/],
  [
    'a name that no chain knows',
    BUSES.replace('b,a', 'B 2,a'),
    LINES.replace('b,,', 'B 2,,'),
    {},
    /bus B 2 cannot go on a chain/,
  ],
  [
    'a time between intervals',
    BUSES,
    LINES,
    { '--from': '2026-07-01T00:07Z' },
    /not the start of an interval of 15 minutes/,
  ],
  ['a time of no zone', BUSES, LINES, { '--from': '2026-07-01T00:15' }, /not the start of an interval/],
  ['a place beside the earth', BUSES, LINES, { '--location': '95,7' }, /no latitude,longitude/],
  ['a band of nothing', BUSES, LINES, { '--voltage-band': '0' }, /voltage band "0"/],
  [
    'a band without voltages',
    BUSES.replaceAll(',400', ',').replace('vn_v', 'vn'),
    LINES,
    { '--voltage-band': '5' },
    /lacks the r, x or voltage/,
  ],
] as const)('%s is refused', async (_, buses, lines, change, reason) => {
  await expect(publish(buses, lines, change)).rejects.toThrow(reason);
});
