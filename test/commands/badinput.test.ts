// Wrong input at the command line: one clear line that says what and what to do, an exit code that is not 0, nothing lost.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
let dir: string;
let busy: Server;
let busyPort = 0;

function wattpact(...args: string[]): { status: number | null; out: string; err: string } {
  const ran = spawnSync(process.execPath, [join(ROOT, 'src/cli.ts'), ...args], {
    encoding: 'utf8',
    cwd: dir,
    timeout: 60_000,
  });
  return { status: ran.status, out: ran.stdout, err: ran.stderr };
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'wattpact-bad-'));
  expect(wattpact('init', 'c', '--from', join(ROOT, 'devices/demo/consortium.yaml')).status).toBe(0);
  const house = readFileSync(join(ROOT, 'devices/demo/house.yaml'), 'utf8');
  const market = (key: string, dataDir: string): string =>
    `market:\n  genesis: c/genesis.json\n  brokers: ["mqtt://127.0.0.1:1"]\n  key: ${key}\n  dataDir: ${dataDir}\n`;
  writeFileSync(join(dir, 'good.yaml'), house + market('c/keys/gateway-house.pem', 'data'));
  writeFileSync(
    join(dir, 'wrong.yaml'),
    house.replace('capacityWh:', 'capacityWH:').replace('unitId: 1', 'unitId: one'),
  );
  writeFileSync(join(dir, 'noprofile.yaml'), house.replace('eastron/sdm630', 'eastron/sdm63'));
  writeFileSync(join(dir, 'nomarket.yaml'), house);
  writeFileSync(join(dir, 'loose.pem'), readFileSync(join(dir, 'c/keys/gateway-house.pem')));
  chmodSync(join(dir, 'loose.pem'), 0o644);
  writeFileSync(join(dir, 'loose.yaml'), house + market('loose.pem', 'data'));
  writeFileSync(join(dir, 'otherkey.yaml'), house + market('c/keys/gateway-flat.pem', 'data'));
  writeFileSync(join(dir, 'elsewhere.yaml'), house + market('c/keys/gateway-house.pem', 'elsewhere'));
  writeFileSync(join(dir, 'nofolder.yaml'), house + market('c/keys/gateway-house.pem', 'good.yaml'));
  writeFileSync(join(dir, 'nokey.yaml'), house + market('none.pem', 'data'));
  writeFileSync(join(dir, 'corrupt.yaml'), house + market('c/keys/gateway-house.pem', 'corrupt'));
  spawnSync('mkdir', [join(dir, 'corrupt')]);
  writeFileSync(join(dir, 'corrupt/gateway.sqlite'), 'SQLite format 3\0 and then nothing that a database would be');
  writeFileSync(
    join(dir, 'genesis-changed.json'),
    readFileSync(join(dir, 'c/genesis.json'), 'utf8').replace('"rate":1', '"rate":2'),
  );
  writeFileSync(join(dir, 'list.json'), '[]');
  writeFileSync(join(dir, 'short.json'), '{"a": "b');
  writeFileSync(join(dir, 'account.json'), '{"attestation": {}, "balanceUc": "5"}');
  spawnSync('mkdir', [join(dir, 'feeder')]);
  writeFileSync(join(dir, 'feeder/buses.csv'), 'bus,parent\nroot,\na,root\n');
  writeFileSync(join(dir, 'feeder/lines.csv'), 'bus,capacity_w,tariff_uc_per_wh,loss_ppm\na,10000,100,1000\n');
  writeFileSync(join(dir, 'feeder/orders.csv'), 'id,bus,side,price_uc_per_wh,energy_wh\ns1,a,supply,1000,500\n');
  busy = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => busy.once('listening', listening));
  const address = busy.address();
  busyPort = typeof address === 'object' && address !== null ? address.port : 0;
});
afterAll(() => {
  busy.close();
  rmSync(dir, { recursive: true, force: true });
});

const key = 'c/keys/validator-1.pem';
const validator = [
  'validator',
  '--genesis',
  'c/genesis.json',
  '--id',
  'validator-1',
  '--data',
  'c/validators/validator-1',
];
const clearing = ['market', 'verify', '--feeder', 'feeder', '--orders', 'feeder/orders.csv'];
const cases: [string, () => string[], number, RegExp[]][] = [
  [
    'a wrong site file',
    () => ['site', 'check', 'wrong.yaml'],
    1,
    [/wrong\.yaml:\d+:\d+ .*unitId/, /wrong\.yaml:\d+:\d+ .*capacityWH.*capacityWh/],
  ],
  [
    'an unknown profile',
    () => ['site', 'check', 'noprofile.yaml'],
    1,
    [/eastron\/sdm63\b.*did you mean eastron\/sdm630/],
  ],
  ['a site file that is not there', () => ['gateway', 'none.yaml'], 2, [/none\.yaml/]],
  ['a gateway without a market section', () => ['gateway', 'nomarket.yaml'], 2, [/no market section/]],
  [
    'a key with loose permissions',
    () => ['gateway', 'loose.yaml'],
    2,
    [/loose\.pem is open to others \(mode 0644\).*chmod 600/],
  ],
  [
    "another party's key",
    () => ['gateway', 'otherkey.yaml'],
    2,
    [/gateway-flat\.pem is the key of gateway-flat, not of gateway-house/],
  ],
  ['a file as data folder', () => ['gateway', 'nofolder.yaml'], 3, [/cannot read or write database .*good\.yaml/]],
  [
    'an override until a time without a zone',
    () => ['override', 'set', 'elsewhere.yaml', 'battery', 'hold', '--until', '2026-12-01T10:00'],
    2,
    [/until: is a time in UTC such as/],
  ],
  [
    'a percentage in words',
    () => ['override', 'set', 'elsewhere.yaml', 'battery', 'charge-to', 'eighty', '--for', '2h'],
    2,
    [/percent: a number is wanted, not "eighty"/],
  ],
  ['a missing key', () => ['gateway', 'nokey.yaml'], 2, [/no key file .*none\.pem.*wattpact keys generate/]],
  ['a corrupt database', () => ['gateway', 'corrupt.yaml'], 3, [/corrupt\/gateway\.sqlite/]],
  [
    'a genesis that was changed',
    () => ['genesis', 'check', 'genesis-changed.json'],
    2,
    [/genesis says chain demo-.* but its content makes demo-/],
  ],
  ['a genesis that is no JSON', () => ['genesis', 'check', 'wrong.yaml'], 2, [/wrong\.yaml: not JSON/]],
  [
    'a busy port',
    () => [...validator, '--key', key, '--listen', `127.0.0.1:${busyPort}`],
    3,
    [/cannot listen on 127\.0\.0\.1:\d+.*busy/],
  ],
  ['a validator without a broker', () => [...validator, '--key', key], 2, [/--broker URL, --listen HOST:PORT/]],
  [
    'a broker that is no URL',
    () => [...validator, '--key', key, '--broker', 'localhost'],
    2,
    [/localhost is no broker/],
  ],
  [
    'a second init in the same folder',
    () => ['init', 'c', '--from', join(ROOT, 'devices/demo/consortium.yaml')],
    2,
    [/holds a consortium already/],
  ],
  ['a key file that exists', () => ['keys', 'generate', key], 2, [/exists already/]],
  [
    'a proof that is a list',
    () => ['chain', 'check', 'list.json', '--genesis', 'c/genesis.json'],
    1,
    [/^false: not a proof: a group of keys is wanted, not a list/],
  ],
  [
    'a proof cut short',
    () => ['chain', 'check', 'short.json', '--genesis', 'c/genesis.json'],
    2,
    [/cannot read the proof short\.json/],
  ],
  [
    'an account without its party',
    () => ['chain', 'check', 'account.json', '--genesis', 'c/genesis.json'],
    1,
    [/^false: not an account: .*party: is missing \(a text\)/],
  ],
  [
    'another chain’s genesis altered in one letter',
    () => ['chain', 'verify', '--genesis', 'genesis-changed.json', '--ledger', 'none'],
    2,
    [/genesis says chain demo-.* but its content makes demo-/],
  ],
  ['a result that is no file', () => [...clearing, '--result', 'none.json'], 2, [/none\.json: there is no such file/]],
  ['a result cut short', () => [...clearing, '--result', 'short.json'], 2, [/short\.json: not JSON/]],
  ['a result that is a list', () => [...clearing, '--result', 'list.json'], 2, [/list\.json: \w+ is no list/]],
  [
    'a request that is a list',
    () => ['operator', 'possess', 'list.json', '--genesis', 'c/genesis.json', '--key', key],
    2,
    [/list\.json: \{"kind", "chain", "body"\} is wanted: a group of keys is wanted, not a list/],
  ],
  [
    'a statement from a book that is not there',
    () => ['statement', '--genesis', 'c/genesis.json', '--ledger', 'c', '--gateway', 'x', '--month', '2026-06'],
    3,
    [/cannot open database c\/ledger\.sqlite\. Does the file exist/],
  ],
  ['an unknown command', () => ['gatway'], 2, [/unknown command 'gatway'/, /Did you mean gateway\?/]],
  ['an unknown option', () => ['demo', '--intervalls', '3'], 2, [/unknown option '--intervalls'/]],
  ['a number out of range', () => ['demo', '--interval', '1'], 2, [/a whole number from 10 to 900 is wanted/]],
  [
    'a series folder that is not there',
    () => ['demo', '--data', 'nowhere', '--intervals', '1', '--no-page'],
    2,
    [/nowhere/],
  ],
  [
    'a member whose key is none',
    () => ['operator', 'member', 'validator-1', '--genesis', 'c/genesis.json', '--public-key', 'xyz', '-o', 'm.json'],
    2,
    [/--public-key "?xyz"? is no key: 32 bytes in base64url are wanted/],
  ],
  [
    'a proof that is a folder',
    () => ['chain', 'check', 'c', '--genesis', 'c/genesis.json'],
    2,
    [/cannot read the proof c: it is a folder, not a file/],
  ],
  [
    'a request into a folder that is not there',
    () => ['operator', 'revoke', 'gateway-flat', '--genesis', 'c/genesis.json', '-o', 'none/r.json'],
    2,
    [/cannot write none\/r\.json: there is no such folder/],
  ],
];
test.each(cases)('%s', (_name, args, status, lines) => {
  const ran = wattpact(...args());
  for (const line of lines) expect(ran.out + ran.err).toMatch(line);
  expect(ran.status).toBe(status);
  expect(ran.err).not.toMatch(/\n\s+at /);
});

test('nothing was lost: the key that could not be replaced and the corrupt file are as they were', () => {
  expect(wattpact('keys', 'show', key).status).toBe(0);
  expect(readFileSync(join(dir, 'corrupt/gateway.sqlite'), 'utf8')).toMatch('and then nothing');
  expect(existsSync(join(dir, 'data/gateway.sqlite'))).toBe(false);
});

test('--help is understood by a stranger', () => {
  const { out, status } = wattpact('--help');
  expect(status).toBe(0);
  for (const command of ['demo', 'gateway', 'validator', 'init', 'chain', 'site', 'profile', 'market'])
    expect(out).toMatch(command);
});
