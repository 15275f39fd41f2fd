// The door for customers: only with a token, only a statement, only so often wrong.

import { afterEach, expect, test } from 'vitest';
import { WattpactError } from '../../src/base/errors.ts';
import { SILENT } from '../../src/base/log.ts';
import { parseStatedDemand } from '../../src/messaging/demand.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { WRONG_TOKENS_MAX } from '../../src/web/bearer.ts';
import { createDemandDoor, type DemandDoor } from '../../src/web/demand.ts';

const doors: DemandDoor[] = [];
afterEach(async () => {
  for (const door of doors.splice(0)) await door.close();
});

async function door(accept?: (customer: string, payload: Uint8Array) => number) {
  const { customers } = openGatewayStore(':memory:');
  const token = customers.issue('planning');
  const heard: unknown[] = [];
  let nowMs = 0;
  const made = await createDemandDoor({
    host: '127.0.0.1',
    port: 0,
    holderOf: customers.holderOf,
    accept:
      accept ??
      ((customer, payload) => {
        const demands = parseStatedDemand(customer, payload, 900_000);
        heard.push(...demands);
        return demands.length;
      }),
    monotonicMs: () => nowMs,
    log: SILENT,
  });
  doors.push(made);
  const post = async (body: string, authorization = `Bearer ${token}`, path = '/demand', method = 'POST') => {
    const response = await fetch(made.url + path, {
      method,
      headers: { authorization },
      ...(method === 'POST' ? { body } : {}),
    });
    return [response.status, await response.json()] as [number, Record<string, unknown>];
  };
  return { post, heard, wait: (ms: number) => (nowMs += ms) };
}

const GOOD = JSON.stringify({ demands: [{ start: '1970-01-01T00:15:00Z', energyWh: 5 }] });

test('a statement with its token is taken', async () => {
  const { post, heard } = await door();
  expect(await post(GOOD)).toEqual([202, { customer: 'planning', intervals: 1 }]);
  expect(heard).toEqual([{ customer: 'planning', interval: 1, energyWh: 5 }]);
});

test('no token, a wrong one or another scheme is refused; nothing is heard', async () => {
  const { post, heard } = await door();
  for (const authorization of ['', 'Bearer wrong', 'Basic cGxhbm5pbmc6', 'Bearer ', `Bearer ${'x'.repeat(500)}`]) {
    expect((await post(GOOD, authorization))[0], authorization).toBe(401);
  }
  expect(heard).toEqual([]);
});

test('after some wrong tokens the address waits, also with the right one; a minute later it may', async () => {
  const { post, wait } = await door();
  for (let i = 0; i < WRONG_TOKENS_MAX; i++) await post(GOOD, 'Bearer wrong');
  expect((await post(GOOD))[0]).toBe(429);
  wait(60_000);
  expect((await post(GOOD))[0]).toBe(202);
});

test('a bad statement says why, a large one is cut off, other paths and methods are not there', async () => {
  const { post, heard } = await door();
  expect(await post('{"demands":[]}')).toEqual([422, { error: expect.stringMatching(/cannot be used/) }]);
  expect((await post('x'.repeat(20_000)))[0]).toBe(413);
  expect((await post(GOOD, undefined, '/'))[0]).toBe(404);
  expect((await post('', undefined, '/demand', 'GET'))[0]).toBe(405);
  expect(heard).toEqual([]);
});

test('a statement that cannot be kept is not said to be taken', async () => {
  const { post } = await door(() => {
    throw new WattpactError('store.full', 'no room left on the disk');
  });
  expect(await post(GOOD)).toEqual([500, { error: 'the statement could not be kept' }]);
});
