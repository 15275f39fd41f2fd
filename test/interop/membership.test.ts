// Changes of who takes part, on a running cluster, as people make them: files passed from hand to hand through the command line.

import { execFile } from 'node:child_process';
import { renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chainClock } from '../../src/base/clock.ts';
import { SILENT } from '../../src/base/log.ts';
import { generateKey } from '../../src/keys/files.ts';
import { connect } from '../../src/messaging/client.ts';
import { VOTES_FILE } from '../../src/validator/validator.ts';
import { readBook } from './consensus/books.ts';
import { Cluster, VALIDATORS } from './consensus/cluster.ts';
import { Gateways } from './consensus/gateways.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const GATEWAYS = ['gateway-0', 'gateway-1'];
const MS_MAX = 120_000;

let cluster: Cluster;
let gateways: Gateways;
const at = (name: string): string => join(cluster.folder, name);
const heightOf = (id: string): number => readBook(id, cluster.dirOf(id), cluster.genesis).blocks.length;

/** Not synchronously: the links to the brokers live in this process. */
function wattpact(...args: string[]): Promise<{ code: number; text: string }> {
  const env = { ...process.env, WATTPACT_LOG: 'error' };
  return new Promise((done) => {
    const child = execFile(process.execPath, [join(ROOT, 'src/cli.ts'), ...args], { env }, (_error, stdout, stderr) =>
      done({ code: child.exitCode ?? -1, text: `${stdout}${stderr}` }),
    );
  });
}

function operator(command: string, ...args: string[]): Promise<{ code: number; text: string }> {
  return wattpact('operator', command, ...args, '--genesis', at('genesis.json'));
}

async function made(command: string, ...args: string[]): Promise<void> {
  expect(await operator(command, ...args)).toMatchObject({ code: 0 });
}

async function submit(file: string): Promise<{ code: number; phase: string; reason: string; text: string }> {
  const broker = cluster.brokerUrls('gateway-0');
  const as = ['--as', 'operator', '--key', at('operator.pem')];
  const { code, text } = await operator('submit', at(file), ...as, '--broker', ...broker, '--wait', '60', '--json');
  const said = text.startsWith('{')
    ? (JSON.parse(text) as { phase: string; reason: string })
    : { phase: '', reason: '' };
  return { code, text, ...said };
}

async function approvedBy(file: string, ...parties: string[]): Promise<void> {
  for (const party of parties) await made('approve', at(file), '--as', party, '--key', at(`${party}.pem`));
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`${what}: not within a minute`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Blocks go on being made, seen in the book of one validator. */
async function goesOn(id: string): Promise<void> {
  const before = heightOf(id);
  await until(`${id} gets beyond block ${before + 2}`, () => heightOf(id) > before + 2);
}

beforeAll(async () => {
  cluster = await Cluster.start({
    gateways: GATEWAYS,
    embedding: ['validator-0', 'validator-1'],
    mosquitto: false,
    answering: 'validator-0',
  });
  gateways = new Gateways(cluster, GATEWAYS);
  await gateways.connected();
  gateways.begin();
  await until('the first blocks', () => heightOf('validator-0') > 2);
}, MS_MAX);
afterAll(async () => {
  await gateways?.stop();
  await cluster?.stop();
});

test('a validator that lost its vote log gets a new key, and is then needed and enough', {
  timeout: MS_MAX,
}, async () => {
  const lost = 'validator-3';
  cluster.begin({ type: 'kill', node: lost });
  for (const file of [at(`${lost}.pem`), join(cluster.dirOf(lost), VOTES_FILE)]) renameSync(file, `${file}.old`);
  const keys = ['keys', 'generate', at(`${lost}.pem`), '--votes', join(cluster.dirOf(lost), VOTES_FILE)];
  expect(await wattpact(...keys)).toMatchObject({ code: 0 });
  const { publicKey } = JSON.parse((await wattpact('keys', 'show', at(`${lost}.pem`), '--json')).text) as {
    publicKey: string;
  };

  await made(
    'member',
    lost,
    '--public-key',
    publicKey,
    '--ledger',
    cluster.dirOf('validator-0'),
    '-o',
    at('rekey.json'),
  );
  expect(await submit('rekey.json')).toMatchObject({ code: 2, text: expect.stringMatching(/has not signed yet/) });
  expect((await operator('possess', at('rekey.json'), '--key', at('validator-0.pem'))).text).toMatch(
    /is about the key/,
  );
  await made('possess', at('rekey.json'), '--key', at(`${lost}.pem`));
  await approvedBy('rekey.json', 'validator-0', 'validator-1', 'operator');
  expect(await submit('rekey.json')).toMatchObject({
    code: 1,
    phase: 'refused',
    reason: '2 validators approve, 3 are needed',
  });
  await approvedBy('rekey.json', 'validator-2');
  expect(await submit('rekey.json')).toMatchObject({ code: 0, phase: 'recorded' });
  expect(await submit('rekey.json')).toMatchObject({
    code: 1,
    reason: expect.stringMatching(/not of the validator set in force/),
  });

  await cluster.run(lost);
  cluster.begin({ type: 'kill', node: 'validator-2' });
  await goesOn(lost); // three of four are a quorum: its votes count
  await cluster.run('validator-2');
});

test('a validator is added and another removed', { timeout: MS_MAX }, async () => {
  generateKey(at('validator-4.pem'));
  const key = ['--new-key', at('validator-4.pem')];
  await made('member', 'validator-4', ...key, '--ledger', cluster.dirOf('validator-0'), '-o', at('add.json'));
  await approvedBy('add.json', 'validator-0', 'validator-1', 'validator-2', 'operator');
  expect(await submit('add.json')).toMatchObject({ code: 0, phase: 'recorded' });
  await goesOn('validator-0'); // four of five

  // The set in force as a stranger learns it: proven from genesis over the changes so far.
  await made('member', 'validator-4', '--remove', '--api', cluster.api, '-o', at('remove.json'));
  await approvedBy('remove.json', ...VALIDATORS, 'operator');
  expect(await submit('remove.json')).toMatchObject({ code: 0, phase: 'recorded' });
  cluster.begin({ type: 'kill', node: 'validator-2' });
  await goesOn('validator-0'); // three of four again
  await cluster.run('validator-2');
});

test('a site is admitted from its site file, and only then its gateway is let in', { timeout: MS_MAX }, async () => {
  const key = generateKey(at('gateway-new.pem'));
  const voice = connect({
    chain: cluster.genesis.chain,
    self: 'gateway-new',
    key,
    brokers: cluster.brokerUrls('gateway-0'),
    brokersWanted: 1,
    clock: chainClock(
      cluster.genesis.clock,
      () => Date.now(),
      () => performance.now(),
    ),
    log: SILENT,
    random: Math.random,
  });
  try {
    const brokers = (): string => JSON.stringify(voice.status().brokers);
    await until('a stranger is refused', () => brokers().includes('does not know this key'));
    const site = ['admit', join(ROOT, 'devices/examples/house.yaml'), '--id', 'gateway-new', '--feeder', 'street'];
    await made(...(site as ['admit']), '--bus', 'root', '--public-key', key.publicKey, '-o', at('admit.json'));
    expect(await submit('admit.json')).toMatchObject({ code: 2, text: expect.stringMatching(/has not signed yet/) });
    await made('possess', at('admit.json'), '--key', at('gateway-new.pem'));
    expect(await submit('admit.json')).toMatchObject({ code: 0, phase: 'recorded' });
    await voice.connected(1, 60_000);
  } finally {
    await voice.stop();
  }
});

test('a gateway gets a new key and is revoked', { timeout: MS_MAX }, async () => {
  generateKey(at('gateway-1.pem'));
  await made('rekey', 'gateway-1', '--new-key', at('gateway-1.pem'), '-o', at('gateway.json'));
  expect(await submit('gateway.json')).toMatchObject({ code: 0, phase: 'recorded' });
  expect(await submit('gateway.json')).toMatchObject({ code: 1, reason: 'gateway-1 has this key already' });
  await made('revoke', 'gateway-1', '-o', at('revoke.json'));
  expect(await submit('revoke.json')).toMatchObject({ code: 0, phase: 'recorded' });
  expect(await submit('revoke.json')).toMatchObject({ code: 1, reason: 'gateway-1 is revoked already' });
});
