// Both contacts of a heat pump: whatever is asked in whatever order, and wherever a gateway dies, it is never left or passed as blocked.

import { afterEach, expect, test, vi } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { Fieldbus, LeaseStore } from '../../src/fieldbus/types.ts';
import { loadProfile } from '../../src/site/load.ts';
import { clock, fieldbusOf, memoryLeases, type Served, serve, served, siteOn } from './served.ts';

const SDM = loadProfile('eastron/sdm630');
const ISG = loadProfile('stiebel-eltron/isg');
const PUMP =
  'loads:\n  pump: { device: isg, kind: sg-ready, control: switch1, block: switch2, powersW: [1500, 3000] }\n';
const LEFT = ['switch1', 'switch2'].map((control) => {
  return { device: 'isg', control, value: 1, revertTo: 0, untilMs: 0 };
});

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface House {
  readonly isg: Served;
  /** `block:recommend` after every write. */
  readonly passed: string[];
  /** A gateway on these devices. */
  start(leases?: LeaseStore, at?: Clock): Promise<Fieldbus>;
}

async function house(contacts: readonly [recommend: number, block: number] = [0, 0]): Promise<House> {
  const isg = served(ISG);
  isg.image.write('holding', 4001, [contacts[0]]);
  isg.image.write('holding', 4002, [contacts[1]]);
  const passed: string[] = [];
  const seen = () => `${isg.image.control('switch2') ?? 0}:${isg.image.control('switch1') ?? 0}`;
  const answer: typeof isg.answer = (pdu) => {
    const answered = isg.answer(pdu);
    if (pdu[0] === 6 || pdu[0] === 16) passed.push(seen());
    return answered;
  };
  const server = await serve({ 1: served(SDM).answer, 2: answer });
  ends.push(() => server.close());
  const devices = {
    meter: 'profile: eastron/sdm630, unitId: 1, role: grid-meter',
    isg: 'profile: stiebel-eltron/isg, unitId: 2, role: load',
  };
  return {
    isg,
    passed,
    async start(leases = memoryLeases(), at = clock) {
      const fieldbus = fieldbusOf(siteOn(server.port, devices, PUMP), [SDM, ISG], leases, at);
      await fieldbus.start();
      ends.push(() => fieldbus.stop());
      await until(() => expect(fieldbus.readings('isg').get('switch2')?.quality).toBe('good'));
      return fieldbus;
    },
  };
}

const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 5 });

test('a gateway that comes back opens the blocking contact first, in whichever order it finds them on disk', async () => {
  for (const left of [LEFT, [...LEFT].reverse()]) {
    const { passed, start } = await house([1, 1]);
    const store = memoryLeases(left);
    await start(store);
    await until(() => expect(store.all()).toEqual([]));
    expect(passed).not.toContain('1:0');
    expect(passed.at(-1)).toBe('0:0');
  }
});

test('a blocking contact that cannot be opened keeps the other one closed until it can', async () => {
  const { isg, passed, start } = await house([1, 1]);
  let isRefusing = true;
  // 4002 is the blocking contact; exception 4 is a failure of the device.
  isg.intercept = (pdu) => (isRefusing && pdu[0] === 6 && pdu[2] === 0xa2 ? Uint8Array.of(0x86, 4) : undefined);
  const store = memoryLeases(LEFT);
  const fieldbus = await start(store);
  await until(() => expect(isg.seen.filter((pdu) => pdu.startsWith('060fa2')).length).toBeGreaterThan(1));
  expect(await fieldbus.lease('isg', 'switch1', 0, 300)).toMatchObject({ state: 'failed' });
  expect(isg.image.control('switch1')).toBe(1);
  isRefusing = false;
  await until(() => expect(store.all()).toEqual([]));
  expect(passed).not.toContain('1:0');
  expect(passed.at(-1)).toBe('0:0');
});

test('the end of the field bus, of both leases, and their release leave the pump to itself by way of state 3', async () => {
  for (const end of ['stop', 'release', 'time'] as const) {
    const { isg, passed, start } = await house();
    const store = memoryLeases();
    const fieldbus = await start(store);
    const ttlMs = end === 'time' ? 300 : 30_000;
    await fieldbus.lease('isg', 'switch1', 1, ttlMs);
    expect(await fieldbus.lease('isg', 'switch2', 1, ttlMs)).toMatchObject({ state: 'active' });
    expect(isg.image.control('switch2')).toBe(1);
    if (end === 'stop') await fieldbus.stop();
    if (end === 'release') await Promise.all(['switch1', 'switch2'].map((name) => fieldbus.release('isg', name)));
    await until(() => expect(store.all()).toEqual([]));
    expect(passed.filter((state, i) => state !== passed[i - 1])).toEqual(['0:1', '1:1', '0:1', '0:0']);
  }
});

test('it is not closed alone, and opened when the other one is another controller’s', async () => {
  const { isg, passed, start } = await house();
  const fieldbus = await start();
  const alone = await fieldbus.lease('isg', 'switch2', 1, 30_000);
  expect(alone).toMatchObject({ state: 'failed', reason: expect.stringMatching(/would block the heat pump pump/) });
  expect(passed).toEqual([]);
  await fieldbus.lease('isg', 'switch1', 1, 30_000);
  await fieldbus.lease('isg', 'switch2', 1, 30_000);
  await fieldbus.lease('isg', 'switch1', 0, 30_000);
  expect(isg.image.control('switch2')).toBe(0);
  expect(passed).not.toContain('1:0');
});

test('a contact that cannot be read for a while changes no state; after a lease’s time the blocking one is opened', async () => {
  const { isg, passed, start } = await house();
  let laterMs = 0;
  const fieldbus = await start(memoryLeases(), { ...clock, monotonicMs: () => clock.monotonicMs() + laterMs });
  const both = async () => {
    const [first, second] = [
      await fieldbus.lease('isg', 'switch1', 1, 30_000),
      await fieldbus.lease('isg', 'switch2', 1, 30_000),
    ];
    return [first.state, second.state];
  };
  expect(await both()).toEqual(['active', 'active']);
  // Exception 4 for the contact that recommends, read alone.
  isg.intercept = (pdu) => (Buffer.from(pdu).toString('hex') === '030fa10001' ? Uint8Array.of(0x83, 4) : undefined);
  laterMs = 11_000;
  expect(await both()).toEqual(['failed', 'active']);
  expect(passed.at(-1)).toBe('1:1');
  laterMs = 42_000;
  expect(await both()).toEqual(['failed', 'failed']);
  expect(passed.at(-1)).toBe('0:1');
});

test('whatever is asked in whatever order: no write leaves it blocked, so a gateway may die after any of them', async () => {
  const seed = 20261128;
  const random = seededRandom(seed);
  const { isg, passed, start } = await house();
  const fieldbus = await start();
  let fails = false;
  isg.intercept = (pdu) => (fails && pdu[0] === 6 ? Uint8Array.of(0x86, 4) : undefined);
  for (let i = 0; i < 200; i++) {
    fails = random() < 0.2;
    const name = random() < 0.5 ? 'switch1' : 'switch2';
    if (random() < 0.2) await fieldbus.release('isg', name);
    else await fieldbus.lease('isg', name, random() < 0.6 ? 1 : 0, 30_000);
  }
  expect(passed.length).toBeGreaterThan(50);
  expect(new Set(passed), `seed ${seed}`).toEqual(new Set(['0:0', '0:1', '1:1']));
});
