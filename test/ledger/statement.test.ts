// A month's bill: exact sums, every line with its record, and parts that make the whole.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { statementCommand } from '../../src/commands/statement.ts';
import { money } from '../../src/commands/statement-text.ts';
import { type Parting, statementOf } from '../../src/ledger/statement.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';
import { metered, minutesAfter, T, testGenesis, World } from './world.ts';

const genesis = testGenesis();

/** The farm sells in T and T+1, delivers short in T+1 and corrects that; in T+2 it is silent. */
function month(world: World): void {
  world.block(minutesAfter(T, -21), world.tariff());
  const trade = (t: number, soldWh: number) => [
    world.offer('farm', t, [[8000, soldWh]]),
    world.offer('factory', t, [], [[25_000, 4000]]),
  ];
  world.block(minutesAfter(T, -20), ...trade(T, 2000), ...trade(T + 1, 1000));
  world.block(minutesAfter(T, -5));
  world.block(minutesAfter(T, 10));
  world.block(minutesAfter(T, 15), world.delivery('farm', T, 2000, 0));
  const late = { validUntilMs: minutesAfter(T + 1, 60) };
  world.block(minutesAfter(T + 1, 15), world.delivery('farm', T + 1, 2900, 0, { exportStartWh: 2000, ...late }));
  world.block(minutesAfter(T + 1, 20));
  const corrected = metered('farm', T + 1, 3000, 0, { exportStartWh: 2000, reason: 'read again', ...late });
  expect(world.tell(minutesAfter(T + 1, 21), world.sign('farm', 'correction', corrected))).toBe('');
  world.block(minutesAfter(T + 2, 20));
}

test('sums are exact and equal to the account; corrections replace, silence is shown as provisional', () => {
  const world = new World(genesis);
  month(world);
  const shares: Parting = {
    by: 'share',
    customers: [
      { customer: 'farm-customer', sharePpm: 333_333 },
      { customer: 'other', sharePpm: 666_667 },
    ],
  };
  const { lines, totals, customers } = statementOf(world.ledger, 'farm', T - 100, T + 100, shares);
  expect(
    lines.map(({ interval, soldWh, deliveredWh, provisional, corrected }) => [
      interval - T,
      soldWh,
      deliveredWh,
      provisional,
      corrected,
    ]),
  ).toEqual([
    [0, 2000, 2000, false, false],
    [1, 1000, 1000, false, true],
    [2, 0, -5000, true, false],
  ]);
  expect(String(totals.balanceUc)).toBe(world.ledger.account('farm')?.balanceUc);
  expect(totals).toMatchObject({ soldWh: 3000, boughtWh: 0, shortfallWh: 5000, surplusWh: 0 });
  expect(customers.reduce((sum, { balanceUc }) => sum + balanceUc, 0n)).toBe(totals.balanceUc);
  for (const { record, height } of lines) {
    const [, gateway = '', interval] = record.split('/');
    expect(world.ledger.settlementsOf(gateway, Number(interval)).at(-1)?.header.height).toBe(height);
  }
  expect(statementOf(world.ledger, 'farm', T + 1, T + 2, null).lines).toHaveLength(1);
  expect(statementOf(world.ledger, 'house', T, T + 2, null).lines).toEqual([]);
});

test('sub-meters part each interval by what they counted; where one is silent nothing is parted', () => {
  const world = new World(genesis);
  world.block(minutesAfter(T, -21), world.tariff());
  const counted = (wind1: number, pv1: number) => ({
    devices: [
      { curtailed: false, device: 'wind1', energyWh: wind1 },
      { curtailed: false, device: 'pv1', energyWh: pv1 },
    ],
  });
  world.block(minutesAfter(T, 15), world.delivery('farm', T, 4000, 0, counted(3000, 1000)));
  const late = { exportStartWh: 4000, validUntilMs: minutesAfter(T + 1, 60) };
  const silent = { ...counted(0, 0), devices: counted(1000, 0).devices.slice(0, 1) };
  world.block(minutesAfter(T + 1, 15), world.delivery('farm', T + 1, 5000, 0, { ...silent, ...late }));
  world.block(minutesAfter(T + 1, 20));
  const customers = [
    { customer: 'farm-customer', device: 'wind1' },
    { customer: 'other', device: 'pv1' },
  ];
  const {
    lines,
    customers: parts,
    totals,
    unpartedUc,
  } = statementOf(world.ledger, 'farm', T, T + 2, { by: 'meter', customers });
  const [first, second] = lines.map(({ tradesUc, imbalanceUc }) => BigInt(tradesUc + imbalanceUc)) as [bigint, bigint];
  expect(lines.map(({ partsUc }) => partsUc)).toEqual([[(first * 3n) / 4n, first - (first * 3n) / 4n], null]);
  expect(unpartedUc).toBe(second);
  expect(parts.reduce((sum, { balanceUc }) => sum + balanceUc, unpartedUc)).toBe(totals.balanceUc);
});

test.each([
  [123_456_789n, '1.23 EUR'],
  [-500_000n, '-0.01 EUR'],
  [-499_999n, '0.00 EUR'],
  [0n, '0.00 EUR'],
])('%d µ¤ are %s', (uc, text) => expect(money(uc, genesis)).toBe(text));

test('the command writes for people and for programs, and says what is wrong', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-statement-'));
  const said: string[] = [];
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said.push(String(text));
    return true;
  });
  try {
    const store = openLedgerStore(join(folder, 'ledger.sqlite'));
    month(new World(genesis, store));
    store.close();
    writeFileSync(join(folder, 'genesis.json'), JSON.stringify(genesis));
    const run = async (...args: string[]): Promise<string> => {
      said.length = 0;
      const book = ['--genesis', join(folder, 'genesis.json'), '--ledger', folder];
      await statementCommand().parseAsync([...book, '--gateway', 'farm', '--month', '2026-06', ...args], {
        from: 'user',
      });
      return said.join('');
    };
    const text = await run();
    expect(text).toMatch(/Sold in the market +3\.000 kWh/);
    expect(text).toMatch(/3\.000 kWh, 24\.70 cent\/kWh on average/);
    expect(text).toMatch(/You pay +0\.86 EUR/);
    expect(text).toMatch(/Provisional: for 1 of the intervals no meter reading has come.*\(-1\.60 EUR of the above\)/);
    expect(text).toMatch(/wattpact chain prove settlement\/farm\/\d+/);
    expect(await run('--month', '2026-07')).toMatch(/Nothing was settled for this site in this month/);
    expect(text).toMatch(/no tax invoice/);
    expect((await run('--csv')).trim().split('\n')).toHaveLength(4);
    expect(JSON.parse(await run('--json'))).toMatchObject({ taxInvoice: false, totals: { soldWh: 3000 } });
    expect(await run('--html', '--share', 'farm-customer=100')).toMatch(/<td>stated share of 100 %<\/td>/);
    await expect(run('--share', 'farm-customer=90')).rejects.toThrow('the shares make 90 %, not 100 %');
    await expect(run('--share', 'nobody=100')).rejects.toThrow('"nobody" is no customer of this site');
    expect((await run('--csv', '--share', 'farm-customer=100')).split('\n')[0]).toMatch(/,farm-customer_uc$/);
    await expect(run('--submeter', 'farm-customer=x')).rejects.toThrow('no device x is admitted at this site');
    await expect(run('--share', 'farm-customer=half')).rejects.toThrow('"half" is no share in percent');
    await expect(run('--month', '2026-13')).rejects.toThrow('is no month');
    await expect(run('--gateway', 'x')).rejects.toThrow('no gateway x on this chain');
  } finally {
    write.mockRestore();
    rmSync(folder, { recursive: true });
  }
});
