// The offline tool from outside: files in, JSON out, exit codes; and every kind of wrong file refused with its line.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { readFeeder, readOrders, readResult } from '../../src/commands/market-files.ts';
import { orderBook } from '../../src/market/book.ts';
import { clear } from '../../src/market/clear.ts';
import { verifyClearing } from '../../src/market/verify.ts';
import { chainId } from '../../src/protocol/genesis.ts';
import { GENESIS } from '../vectors/examples.ts';

const DATA = process.env.WATTPACT_DATA ?? join(import.meta.dirname, '../../../shared/data');
const SRC = join(import.meta.dirname, '../../src/commands');
const RUN = `
  const { marketCommand } = await import(${JSON.stringify(join(SRC, 'market.ts'))});
  const { fail } = await import(${JSON.stringify(join(SRC, 'output.ts'))});
  await marketCommand().parseAsync(process.argv.slice(1), { from: 'user' }).catch(fail);
`;
const market = (...args: string[]) =>
  spawnSync(process.execPath, ['--input-type=module', '-e', RUN, '--', ...args], { encoding: 'utf8', timeout: 60_000 });

const BUSES = 'bus,parent\nroot,\nstreet,root\nhouse,street\n';
const LINES = 'bus,capacity_w,tariff_uc_per_wh,loss_ppm\nstreet,,2,10000\nhouse,400,1,20000\n';
const ORDERS = `id,bus,side,price_uc_per_wh,energy_wh
s1,house,supply,5,150
s2,root,supply,9,50
d1,root,demand,20,120
d2,street,demand,30,10
`;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-market-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made = 0;
function files(buses = BUSES, lines = LINES, orders = ORDERS): { feeder: string; orders: string } {
  const feeder = join(folder, `case${made++}`);
  mkdirSync(feeder);
  writeFileSync(join(feeder, 'buses.csv'), buses);
  writeFileSync(join(feeder, 'lines.csv'), lines);
  writeFileSync(join(feeder, 'orders.csv'), orders);
  return { feeder, orders: join(feeder, 'orders.csv') };
}
const read = async (at: { feeder: string; orders: string }): Promise<unknown> => {
  const { feeder } = await readFeeder(at.feeder, 900_000);
  return readOrders(at.orders, feeder);
};

describe('clear and verify', () => {
  test('a result as documented, which verifies; a changed one does not', () => {
    const { feeder, orders } = files();
    const cleared = market('clear', '--feeder', feeder, '--orders', orders, '--json');
    expect(cleared.stderr).toBe('');
    const { ms, ...result } = JSON.parse(cleared.stdout) as { ms: Record<string, number>; fills: object[] };
    // The house may export floor(400 x 15 / 60) = 100 Wh: 10 to the street, 90 to the root, 30 more from the root itself.
    expect(result).toEqual({
      welfareUc: String(20 * 120 + 30 * 10 - 5 * 100 - 9 * 30 - 100 * 1 - 90 * 2),
      tradedWh: '130',
      fills: [
        { id: 's1', energyWh: 100 },
        { id: 's2', energyWh: 30 },
        { id: 'd1', energyWh: 120 },
        { id: 'd2', energyWh: 10 },
      ],
      flows: [
        { bus: 'street', wh: 90 },
        { bus: 'house', wh: 100 },
      ],
      prices: [
        { bus: 'root', ucPerWh: 9 },
        { bus: 'street', ucPerWh: 7 },
        { bus: 'house', ucPerWh: 5 },
      ],
      trades: [
        { seller: 's1', buyer: 'd2', energyWh: 10, sellerUcPerWh: 5, buyerUcPerWh: 7, lossWh: 0 },
        { seller: 's2', buyer: 'd1', energyWh: 30, sellerUcPerWh: 9, buyerUcPerWh: 9, lossWh: 0 },
        { seller: 's1', buyer: 'd1', energyWh: 90, sellerUcPerWh: 5, buyerUcPerWh: 9, lossWh: 2 },
      ],
    });
    expect(Object.keys(ms)).toEqual(['clear', 'certify', 'verify']);

    const path = join(feeder, 'result.json');
    writeFileSync(path, cleared.stdout);
    const verify = (): ReturnType<typeof market> =>
      market('verify', '--feeder', feeder, '--orders', orders, '--result', path, '--json');
    const right = verify();
    expect([right.status, JSON.parse(right.stdout)]).toEqual([0, { ok: true, findings: [] }]);

    writeFileSync(path, cleared.stdout.replace('"buyer":"d2","energyWh":10', '"buyer":"d1","energyWh":10'));
    const wrongTrade = verify();
    expect([wrongTrade.status, JSON.parse(wrongTrade.stdout).findings[0].code]).toEqual([1, 'trade']);
    writeFileSync(path, cleared.stdout.replace('"ucPerWh":7', '"ucPerWh":8'));
    const wrongPrice = verify();
    expect([wrongPrice.status, JSON.parse(wrongPrice.stdout).findings[0].code]).toEqual([1, 'price']);
  });

  test('trades can be left out; other intervals count minutes; people get a summary', () => {
    const { feeder, orders } = files();
    const bare = JSON.parse(
      market('clear', '--feeder', feeder, '--orders', orders, '--json', '--no-trades', '--interval', '7m').stdout,
    );
    expect(bare.trades).toBeUndefined();
    expect(bare.flows[1]).toEqual({ bus: 'house', wh: 46 });
    const text = market('clear', '--feeder', feeder, '--orders', orders);
    expect(text.stdout).toContain('traded 130 Wh');
    expect(text.stdout).toContain('short lines and their shadow prices, µ¤/Wh: house (1)');
  });

  test('wrong use and wrong files end with exit code 2 and one line', () => {
    const { feeder, orders } = files();
    const interval = market('clear', '--feeder', feeder, '--orders', orders, '--interval', '90s');
    expect([interval.status, interval.stderr.split('\n').length]).toEqual([2, 2]);
    const missing = market('clear', '--feeder', feeder, '--orders', join(feeder, 'none.csv'));
    expect([missing.status, missing.stderr]).toEqual([
      2,
      `wattpact: ${join(feeder, 'none.csv')}: there is no such file\n`,
    ]);
  });
});

test('rounds: early orders first; every round is in the result and is verified', () => {
  const rows = [
    's1,house,supply,5,150,1',
    's2,root,supply,9,50,2',
    'd1,root,demand,20,60,1',
    'd2,street,demand,30,50,2',
  ];
  const header = 'id,bus,side,price_uc_per_wh,energy_wh';
  const { feeder, orders } = files(BUSES, LINES, `${header},round\n${rows.join('\n')}\n`);
  const inputs = ['--feeder', feeder, '--orders', orders, '--rounds', '2', '--json'];
  const cleared = market('clear', ...inputs);
  expect(cleared.stderr).toBe('');
  const result = JSON.parse(cleared.stdout);
  // The line of the house carries 100 Wh: 60 in the first round, what is left in the second.
  const fills = (from: { fills: { energyWh: number }[] }): number[] => from.fills.map(({ energyWh }) => energyWh);
  expect(result.rounds.map(fills)).toEqual([
    [60, 0, 60, 0],
    [40, 10, 0, 50],
  ]);
  expect(fills(result)).toEqual([100, 10, 60, 50]);
  expect(result.tradedWh).toBe('110');
  const path = join(feeder, 'result.json');
  const verify = (changed: object): string[] => {
    writeFileSync(path, JSON.stringify({ ...result, ...changed }));
    const { status, stdout } = market('verify', ...inputs, '--result', path);
    expect(status).toBe(stdout.includes('"ok":true') ? 0 : 1);
    return JSON.parse(stdout).findings.map(({ code }: { code: string }) => code);
  };
  expect(verify({})).toEqual([]);
  expect(verify({ tradedWh: '111' })).toEqual(['rounds']);
  expect(verify({ rounds: [...result.rounds].reverse() })).not.toEqual([]);
  expect(verify({ trades: [...result.trades].reverse() })).toEqual(['trade']);

  const late = files(BUSES, LINES, `${header},round\n${rows.join('\n').replace(/2$/, '3')}\n`);
  const refused = (...args: string[]): string => market('clear', '--feeder', feeder, ...args).stderr;
  expect(refused('--orders', late.orders, '--rounds', '2')).toContain('orders.csv:5: round is "3"');
  expect(refused('--orders', files().orders, '--rounds', '2')).toContain('orders.csv:1: no column round');
  expect(refused('--orders', orders, '--rounds', '17')).toContain('no whole number from 1 to 16');
});

describe('refused with file and line', () => {
  const head = 'id,bus,side,price_uc_per_wh,energy_wh\n';
  const lineHead = 'bus,capacity_w,tariff_uc_per_wh,loss_ppm\n';
  for (const [name, [buses, lines, orders], where] of [
    [
      'a loop',
      ['bus,parent\nroot,\nstreet,house\nhouse,street\n'],
      'buses.csv:3: bus street does not lead to the root',
    ],
    ['two roots', ['bus,parent\nroot,\nstreet,\nhouse,street\n'], 'buses.csv:3: two roots: root and street'],
    ['no root', ['bus,parent\nroot,root\nstreet,root\nhouse,street\n'], 'buses.csv:1: no bus is the root'],
    [
      'an unknown parent',
      ['bus,parent\nroot,\nstreet,x\nhouse,street\n'],
      'buses.csv:3: bus street hangs on unknown bus x',
    ],
    ['a bus twice', ['bus,parent\nroot,\nstreet,root\nstreet,root\n'], 'buses.csv:4: bus street appears twice'],
    ['a bus without a line', [BUSES, `${lineHead}street,,2,1\n`], 'buses.csv:4: bus house has no line'],
    ['a line of nowhere', [BUSES, `${LINES}x,,1,1\n`], 'lines.csv:4: bus x is not in buses.csv'],
    ['a line twice', [BUSES, `${LINES}house,,1,1\n`], 'lines.csv:4: the line of bus house appears twice'],
    ['a line of the root', [BUSES, `${LINES}root,,1,1\n`], 'lines.csv:4: bus root is the root'],
    ['a negative capacity', [BUSES, `${lineHead}street,-1,2,1\nhouse,,1,1\n`], 'lines.csv:2: capacity_w is "-1"'],
    [
      'a fractional tariff',
      [BUSES, `${lineHead}street,,2.5,1\nhouse,,1,1\n`],
      'lines.csv:2: tariff_uc_per_wh is "2.5"',
    ],
    ['a missing column', [BUSES, 'bus,capacity_w\n'], 'lines.csv:1: no column tariff_uc_per_wh'],
    ['an empty file', [''], 'buses.csv:1: empty; the header must name bus,parent'],
    ['semicolons', [BUSES.replaceAll(',', ';')], 'buses.csv:1: columns are separated by semicolons or tabs'],
    ['a column twice', [BUSES.replace('parent', 'parent,parent')], 'buses.csv:1: column parent appears twice'],
    ['another encoding', ['bus,parent\nroot,\nm\uFFFDll,root\n'], 'buses.csv:3: column 2 is no UTF-8'],
    ['a short row', [BUSES, LINES, `${head}a,root,supply,1\n`], 'orders.csv:2: 4 cells where the header has 5'],
    [
      'an unknown bus',
      [BUSES, LINES, `${ORDERS}x,nowhere,supply,1,1\n`],
      'orders.csv:6: order x is at unknown bus nowhere',
    ],
    ['an order twice', [BUSES, LINES, `${ORDERS}s1,root,supply,1,1\n`], 'orders.csv:6: order s1 is already in line 2'],
    ['a third side', [BUSES, LINES, `${head}a,root,buy,1,1\n`], 'orders.csv:2: side is "buy"'],
    [
      'a price out of range',
      [BUSES, LINES, `${head}a,root,supply,1000001,1\n`],
      'orders.csv:2: price_uc_per_wh is "1000001"',
    ],
    [
      'an energy out of range',
      [BUSES, LINES, `${head}a,root,supply,1,1000000001\n`],
      'orders.csv:2: energy_wh is "1000000001"',
    ],
    ['a negative energy', [BUSES, LINES, `${head}a,root,supply,1,-1\n`], 'orders.csv:2: energy_wh is "-1"'],
    ['an energy in hexadecimal', [BUSES, LINES, `${head}a,root,supply,1,0x10\n`], 'orders.csv:2: energy_wh is "0x10"'],
    ['an open quotation mark', [BUSES, LINES, `${head}"a,root,supply,1,1\n`], 'orders.csv:2: a quotation mark'],
  ] as const) {
    test(name, async () => {
      await expect(read(files(buses, lines, orders))).rejects.toThrow(where);
    });
  }

  test('a folder in place of a file; spaces after commas', async () => {
    const at = files(BUSES.replaceAll(',', ', '));
    expect(await read(at)).toMatchObject({ book: { size: 4 } });
    await expect(read({ ...at, orders: at.feeder })).rejects.toThrow('it is a folder, not a file');
  });

  test('quotation marks, CRLF, a byte order mark, other column orders and further columns are fine', async () => {
    const orders = '\ufeffenergy_wh,note,side,id,price_uc_per_wh,bus\r\n7,"a ""b"", c",demand,"x,y",-3,"root"\r\n';
    expect(await read(files(BUSES, LINES, orders))).toMatchObject({
      ids: ['x,y'],
      book: { size: 1, supply: Uint8Array.of(0), pricesUcPerWh: Int32Array.of(-3), energiesWh: Float64Array.of(7) },
    });
  });

  test('results that name unknown, missing or double orders, or no integers', async () => {
    const at = files();
    const { feeder } = await readFeeder(at.feeder, 900_000);
    const orders = await readOrders(at.orders, feeder);
    const path = join(at.feeder, 'r.json');
    const good = JSON.parse(market('clear', '--feeder', at.feeder, '--orders', at.orders, '--json').stdout);
    for (const [change, message] of [
      [{ fills: good.fills.slice(1) }, 'fills lacks s1'],
      [{ fills: [...good.fills, { id: 's1', energyWh: 1 }] }, 'names id s1 twice'],
      [{ fills: [{ id: 'x', energyWh: 1 }] }, 'names unknown id "x"'],
      [{ fills: good.fills.map((fill: object) => ({ ...fill, energyWh: '1' })) }, 'is no whole number'],
      [{ prices: null }, 'prices is no list'],
      [{ welfareUc: 12 }, 'welfareUc is no whole number in a string'],
      [{ trades: [{ seller: 'x' }] }, 'names an unknown order'],
    ] as const) {
      writeFileSync(path, JSON.stringify({ ...good, ...change }));
      await expect(readResult(path, feeder, orders)).rejects.toThrow(message);
    }
    writeFileSync(path, '{');
    await expect(readResult(path, feeder, orders)).rejects.toThrow('not JSON');
  });
});

describe('import', () => {
  const network = (lines: string): string => {
    const from = join(folder, `network${made++}`);
    mkdirSync(from);
    writeFileSync(join(from, 'buses.csv'), 'bus,vn_kv,is_root,x,y\nMV,20,1,,\nLV,0.4,0,,\n"end, east",0.4,0,,\n');
    writeFileSync(
      join(from, 'lines.csv'),
      `line,from,to,r_ohm,x_ohm,limit_a,limit_kva,length_m,kind,in_service\n${lines}`,
    );
    writeFileSync(join(from, 'loads.csv'), 'bus,p_kw,q_kvar,phase\n"end, east",8,1,ABC\n');
    return from;
  };
  const LINES_OK =
    'T,MV,LV,0.01,0.04,,250,,transformer,1\n1,"end, east",LV,0.1,0.05,142,,250,line,1\n2,MV,"end, east",1,1,,,,line,0\n';

  test('turns r, x, length and ampacity into a feeder that clears within a voltage band', () => {
    const to = join(folder, 'imported');
    expect(market('import', '--from', network(LINES_OK), '--to', to).stdout).toContain(
      '3 buses, 2 of 2 lines with a limit',
    );
    expect(readFileSync(join(to, 'buses.csv'), 'utf8')).toBe(
      'bus,parent,vn_v\nMV,,20000\nLV,MV,400\n"end, east",LV,400\n',
    );
    // 0.01 ohm x 8 kW / 400^2 = 500 ppm; 25000 x 0.0005 = 12.5 -> 13. 0.1 ohm: 5000 ppm; 12.5 + 125 -> 138. 142 A at 400 V: 98.38 kVA.
    expect(readFileSync(join(to, 'lines.csv'), 'utf8')).toBe(
      'bus,capacity_w,tariff_uc_per_wh,loss_ppm,r_uohm,x_uohm\nLV,250000,13,500,10000,40000\n"end, east",98380,138,5000,100000,50000\n',
    );
    const orders = join(folder, 'imported-orders.csv');
    writeFileSync(
      orders,
      'id,bus,side,price_uc_per_wh,energy_wh\ns,MV,supply,1000,30000\nd,"end, east",demand,9000,20000\n',
    );
    const args = ['--feeder', to, '--orders', orders, '--voltage-band', '5', '--json'];
    const result = market('clear', ...args);
    const { tradedWh, tightened } = JSON.parse(result.stdout);
    expect(Number(tradedWh)).toBeLessThan(20_000);
    expect(tightened.length).toBeGreaterThan(0);
    const path = join(folder, 'imported-result.json');
    writeFileSync(path, result.stdout);
    expect(market('verify', ...args, '--result', path).stdout).toBe('{"ok":true,"findings":[]}\n');
    // Optimal behind a line of 10,000 Wh; but the rule makes none so narrow.
    const narrow = join(folder, 'narrow');
    mkdirSync(narrow);
    for (const file of ['buses.csv', 'lines.csv']) {
      writeFileSync(join(narrow, file), readFileSync(join(to, file), 'utf8').replace('98380', '40000'));
    }
    const biased = JSON.parse(market('clear', '--feeder', narrow, '--orders', orders, '--json').stdout);
    expect(biased.tradedWh).toBe('10000');
    const stated = [{ bus: 'end, east', upMaxWh: 10_000, downMaxWh: 10_000 }];
    writeFileSync(path, JSON.stringify({ ...biased, tightened: stated }));
    const refused = market('verify', ...args, '--result', path);
    expect([refused.status, refused.stdout]).toEqual([1, expect.stringContaining('than the voltage rule does')]);
  });

  test('takes the rule of a genesis; what is given on the command line goes first', () => {
    const rule = { distanceUcPerWhKm: 0, energyUcPerWh: 50_000, loadingPercent: 80 };
    const { chain: _chain, ...rest } = { ...GENESIS, tariffRule: rule };
    const genesis = join(folder, 'genesis.json');
    writeFileSync(genesis, JSON.stringify({ ...rest, chain: chainId(rest) }));
    const to = join(folder, 'by-genesis');
    const lines = (...more: string[]): string => {
      market('import', '--from', network(LINES_OK), '--to', to, '--genesis', genesis, ...more);
      return readFileSync(join(to, 'lines.csv'), 'utf8').split('\n')[1] as string;
    };
    expect(lines()).toBe('LV,200000,25,500,10000,40000');
    expect(lines('--loading-percent', '50')).toBe('LV,125000,25,500,10000,40000');
  });

  test('refuses loops, islands, no and two roots, and tariffs out of range, with file and line', () => {
    const to = join(folder, 'refused');
    const loop = market('import', '--from', network(LINES_OK.replace('line,0', 'line,1')), '--to', to);
    expect(loop.stderr).toMatch(/lines\.csv:[34]: closes a loop/);
    const island = market('import', '--from', network(LINES_OK.replace('250,line,1', '250,line,0')), '--to', to);
    expect(island.stderr).toContain('buses.csv:4: no line in service leads to bus end, east');
    const roots = network(LINES_OK);
    const withRoots = (text: string): string => {
      writeFileSync(join(roots, 'buses.csv'), text);
      return market('import', '--from', roots, '--to', to).stderr;
    };
    expect(withRoots('bus,vn_kv,is_root\nMV,20,1\nLV,0.4,1\n"end, east",0.4,0\n')).toContain(
      'buses.csv:3: two roots: MV and LV',
    );
    expect(withRoots('bus,vn_kv,is_root\nMV,20,0\nLV,0.4,0\n"end, east",0.4,0\n')).toContain(
      'buses.csv:1: no bus is the root',
    );
    const far = LINES_OK.replace('142,,250', '142,,250000');
    const dear = market('import', '--from', network(far), '--to', to, '--distance-uc-per-wh-km', '9999');
    expect(dear.stderr).toContain('lines.csv:3: its tariff would be');
  });
});

describe.skipIf(!existsSync(join(DATA, 'feeders')))('public test feeders', () => {
  for (const name of ['schutterwald_t4', 'ieee_european_lv', 'case85']) {
    test(`${name} is imported and clears`, async () => {
      const to = join(folder, name);
      expect(market('import', '--from', join(DATA, 'feeders', name), '--to', to).status).toBe(0);
      const { feeder, records } = await readFeeder(to, 900_000);
      const next = seededRandom(3);
      const orders = Array.from({ length: 400 }, () => ({
        bus: Math.floor(next() * feeder.ids.length),
        side: next() < 0.5 ? ('supply' as const) : ('demand' as const),
        priceUcPerWh: 5000 + Math.floor(next() * 25_000),
        energyWh: 1 + Math.floor(next() * 1500),
      }));
      const book = orderBook(feeder, orders);
      const clearing = clear(feeder, book);
      expect(clearing.tradedWh > 0n).toBe(true);
      expect(verifyClearing(feeder, book, clearing)).toEqual([]);
      expect(
        records
          .slice(1)
          .every(({ nominalV, resistanceUohm }) => nominalV !== undefined && resistanceUohm !== undefined),
      ).toBe(true);
    });
  }
});

test('the clearing needs no network, no clock and no files of its own: it runs where only its arguments are', () => {
  const code = `
    const { clear } = await import(${JSON.stringify(join(SRC, '../market/clear.ts'))});
    const { buildFeeder } = await import(${JSON.stringify(join(SRC, '../market/feeder.ts'))});
    const { orderBook } = await import(${JSON.stringify(join(SRC, '../market/book.ts'))});
    for (const name of ['process', 'performance', 'Date', 'setTimeout', 'fetch', 'crypto', 'Buffer']) delete globalThis[name];
    Math.random = undefined;
    const feeder = buildFeeder([{ id: 'a', parent: null, capacityW: null, tariffUcPerWh: 0, lossPpm: 0 }], { lengthMs: 60000 });
    const order = (side, priceUcPerWh) => ({ bus: 0, side, priceUcPerWh, energyWh: 4 });
    console.log(String(clear(feeder, orderBook(feeder, [order('supply', 1), order('demand', 3)])).welfareUc));
  `;
  expect(execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })).toBe('8\n');
});
