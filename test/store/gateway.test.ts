// A gateway's file: nothing is lost or used twice, over kill -9 at any instant, and limits hold.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newRequest, stepLife } from '../../src/contract/life.ts';
import {
  ENERGIES_KEPT_MS,
  type GatewayStore,
  type NewRequest,
  openGatewayStore,
  REQUESTS_KEPT_MS,
  UNDECIDED_MAX,
} from '../../src/store/gateway.ts';

let folder: string;
let store: GatewayStore;
const reopen = (): void => {
  store.close();
  store = openGatewayStore(join(folder, 'gateway.db'));
};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-store-'));
  store = openGatewayStore(join(folder, 'gateway.db'));
});
afterEach(() => {
  store.close();
  rmSync(folder, { recursive: true });
});

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const request = (sequence: number, createdAtMs = 1_000): NewRequest => ({
  id: `id-${sequence}`,
  kind: 'offer',
  interval: 7,
  bytes: bytes(`request ${sequence}`),
  createdAtMs,
  life: newRequest(`id-${sequence}`, 5_000),
});
const decision = { verdict: 'recorded', reason: '', height: 1, header: 'h', timeMs: 10 } as const;

describe('requests', () => {
  test('sequences rise by one, over a restart as well; what was signed comes back byte for byte, due at once', () => {
    store.requests.create(request);
    store.requests.create(request);
    reopen();
    expect(store.requests.create(request).sequence).toBe(3);
    expect(store.requests.undecided().map(({ sequence, bytes }) => [sequence, Buffer.from(bytes).toString()])).toEqual([
      [1, 'request 1'],
      [2, 'request 2'],
      [3, 'request 3'],
    ]);
    const { life } = store.requests.get('id-1') ?? { life: null };
    expect(life).toEqual(newRequest('id-1', 5_000));
    expect(stepLife(life as never, { type: 'tick', monotonicMs: 0, chainMs: 0 }, 3).effect).toBe('send');
  });

  test('a request that cannot be signed uses up no sequence', () => {
    expect(() =>
      store.requests.create(() => {
        throw new Error('the clock is not proven');
      }),
    ).toThrow('the clock is not proven');
    expect(store.requests.lastSequence()).toBe(0);
    expect(store.requests.create(request).sequence).toBe(1);
  });

  test('after a lost file the sequence goes on above what the validators have seen, and never falls', () => {
    store.requests.raiseSequence(41);
    store.requests.raiseSequence(12);
    expect(store.requests.create(request).sequence).toBe(42);
  });

  test('a decided request is undecided no more, and keeps its decision', () => {
    const { life } = store.requests.create(request);
    const { life: decided } = stepLife(life, { type: 'reply', validator: 'v1', decision }, 1);
    store.requests.saveLife(decided);
    reopen();
    expect(store.requests.undecided()).toEqual([]);
    expect(store.requests.of(7)[0]?.life).toEqual(decided);
    expect(store.requests.recent(5).map(({ id }) => id)).toEqual(['id-1']);
  });

  test('too many undecided requests stop the signing, with a line that says so', () => {
    for (let i = 0; i < UNDECIDED_MAX; i++) store.requests.create(request);
    expect(() => store.requests.create(request)).toThrow(`${UNDECIDED_MAX} requests wait`);
    expect(store.requests.lastSequence()).toBe(UNDECIDED_MAX);
  });

  test('old decided requests are dropped, undecided ones never', () => {
    const old = store.requests.create((sequence) => request(sequence, 1_000));
    store.requests.create((sequence) => request(sequence, 1_000));
    store.requests.create((sequence) => request(sequence, 5_000));
    for (const id of ['id-1', 'id-3']) {
      const { life } = stepLife(newRequest(id, 5_000), { type: 'reply', validator: 'v1', decision }, 1);
      store.requests.saveLife(life);
    }
    store.prune(REQUESTS_KEPT_MS + 2_000, 900_000);
    expect(store.requests.get(old.id)).toBeNull();
    expect(store.requests.recent(5).map(({ id }) => id)).toEqual(['id-3', 'id-2']);
  });
});

describe('the outbox', () => {
  const message = { id: 'm1', topic: 't', payload: bytes('payload') };

  test('keeps what was put, who acknowledged it, in order, over a restart', () => {
    store.outbox.put(message);
    store.outbox.put({ ...message, id: 'm2' });
    store.outbox.put(message);
    store.outbox.acknowledge('m1', 'mqtt://a');
    store.outbox.acknowledge('m1', 'mqtt://a');
    store.outbox.acknowledge('gone', 'mqtt://a');
    reopen();
    expect(store.outbox.all()).toEqual([
      { ...message, acknowledged: ['mqtt://a'] },
      { ...message, id: 'm2', acknowledged: [] },
    ]);
    store.outbox.remove('m1');
    expect(store.outbox.size()).toBe(1);
    // What is put again after it was removed owes every broker again.
    store.outbox.put(message);
    expect(store.outbox.all()[1]?.acknowledged).toEqual([]);
  });

  test('the same id with other bytes is a bug', () => {
    store.outbox.put(message);
    expect(() => store.outbox.put({ ...message, payload: bytes('other') })).toThrow(/other bytes/);
  });
});

test('leases, energies, outcomes, demands, settings and headers come back as they were', () => {
  const lease = { device: 'battery', control: 'batterySetpointW', value: -1_500.5, revertTo: 0, untilMs: 12_345.6 };
  store.leases.save(lease);
  store.leases.save({ ...lease, value: 100 });
  store.leases.save({ ...lease, device: 'inverter' });
  store.leases.remove('inverter', 'batterySetpointW');
  const energy = { subject: 'grid', quantity: 'import', uncertaintyWh: 8, quality: 'measured', curtailed: false };
  store.energies.save([
    { ...energy, interval: 3, energyWh: 10 },
    { ...energy, interval: 1, energyWh: null, quality: 'gap' },
    { ...energy, interval: 2, energyWh: 0, curtailed: true },
    { ...energy, interval: 2, energyWh: 5, subject: 'other' },
  ]);
  store.outcomes.save(3, 'notice', { positionWh: 5 });
  store.demands.save({ customer: 'c', interval: 3, energyWh: 1, statedAtMs: 1 });
  store.demands.save({ customer: 'c', interval: 3, energyWh: 2, statedAtMs: 2 });
  store.settings.set('forecaster', { level: [1, 2] });
  const hash = '0'.repeat(64);
  const header = { chain: 'c', parent: hash, resultsRoot: hash, stateHash: hash, timeMs: 1, validatorSet: hash };
  store.saveHeader({ ...header, height: 4 });
  store.saveHeader({ ...header, height: 3 });
  reopen();
  expect(store.leases.all()).toEqual([{ ...lease, value: 100 }]);
  expect(store.energies.range('grid', 'import', 1, 3)).toEqual([
    { ...energy, interval: 1, energyWh: null, quality: 'gap' },
    { ...energy, interval: 2, energyWh: 0, curtailed: true },
  ]);
  expect([store.outcomes.get(3, 'notice'), store.outcomes.get(3, 'settlement')]).toEqual([{ positionWh: 5 }, null]);
  expect(store.demands.of(3)).toEqual([{ customer: 'c', interval: 3, energyWh: 2, statedAtMs: 2 }]);
  expect([store.settings.get('forecaster'), store.settings.get('none')]).toEqual([{ level: [1, 2] }, null]);
  expect(store.highestHeader()?.height).toBe(4);
  store.prune(ENERGIES_KEPT_MS + 3 * 900_000, 900_000);
  expect(store.energies.range('grid', 'import', 0, 9).map(({ interval }) => interval)).toEqual([3]);
});

test('a customer has one token at a time, kept as its hash only', () => {
  const first = store.customers.issue('planning');
  const other = store.customers.issue('other');
  expect(store.customers.holderOf(first)).toBe('planning');
  expect([store.customers.isToken('planning', first), store.customers.isToken('planning', other)]).toEqual([
    true,
    false,
  ]);
  const second = store.customers.issue('planning');
  expect([store.customers.holderOf(first), store.customers.holderOf(second)]).toEqual([null, 'planning']);
  store.customers.revoke('planning');
  expect([store.customers.holderOf(second), store.customers.all()]).toEqual([null, ['other']]);
});

/** Creates requests and says each sequence the moment `create` has returned, until it is killed. */
const WRITER = `
  import { openGatewayStore } from ${JSON.stringify(resolve(import.meta.dirname, '../../src/store/gateway.ts'))};
  import { newRequest } from ${JSON.stringify(resolve(import.meta.dirname, '../../src/contract/life.ts'))};
  import { writeSync } from 'node:fs';
  const store = openGatewayStore(process.argv[1]);
  for (;;) {
    const { id, bytes, sequence } = store.requests.create((sequence) => ({
      id: 'id-' + sequence, kind: 'offer', interval: 7, createdAtMs: 1, life: newRequest('id-' + sequence, 5000),
      bytes: new TextEncoder().encode(sequence + ' ' + process.pid),
    }));
    store.outbox.put({ id, topic: 't', payload: bytes });
    writeSync(1, sequence + ' ' + process.pid + '\\n');
  }
`;

test('kill -9 in the middle of writing: everything said is there, no sequence twice', async () => {
  store.close();
  const path = join(folder, 'gateway.db');
  const said: string[] = [];
  for (let round = 0; round < 3; round++) {
    const writer: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', WRITER, path]);
    let output = '';
    const most = 20 + round * 7;
    writer.stdout?.on('data', (chunk) => {
      output += chunk;
      if (output.split('\n').length > most) writer.kill('SIGKILL');
    });
    await new Promise((ended) => writer.once('close', ended));
    said.push(...output.split('\n').filter((line, i, lines) => line !== '' && i < lines.length - 1));
  }
  store = openGatewayStore(path);
  const kept = store.requests.recent(10_000).map((one) => Buffer.from(one.bytes).toString());
  expect(said.length).toBeGreaterThan(60);
  expect(said.filter((line) => !kept.includes(line))).toEqual([]);
  expect(kept.map((line) => Number(line.split(' ')[0]))).toEqual(kept.map((_, i) => kept.length - i));
  // A request whose outbox entry the kill cut off is undecided and is sent from the requests: none is lost.
  const waiting = new Set(store.requests.undecided().map(({ id }) => id));
  expect(store.outbox.all().every(({ id }) => waiting.has(id))).toBe(true);
});
