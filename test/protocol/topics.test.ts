import { expect, test } from 'vitest';
import { mayPublish, maySubscribe, type Role, topic } from '../../src/protocol/topics.ts';

const chain = 'demo-0123456789abcdef';
const at = (...path: [Parameters<typeof topic>[1], ...string[]]): string => topic(chain, ...path);

const publishing: [Role, string, string, boolean][] = [
  ['gateway', 'g1', at('request', 'g1'), true],
  ['gateway', 'g1', at('request', 'g2'), false],
  ['gateway', 'g1', at('reply', 'g1', 'v1'), false],
  ['gateway', 'g1', at('consensus', 'g1'), false],
  ['gateway', 'g1', at('status', 'g1'), true],
  ['validator', 'v1', at('reply', 'g1', 'v1'), true],
  ['validator', 'v1', at('reply', 'g1', 'v2'), false],
  ['validator', 'v1', at('consensus', 'v1'), true],
  ['validator', 'v1', at('consensus', 'v2'), false],
  ['validator', 'v1', at('request', 'v1'), false],
  ['operator', 'o1', at('order', 'o1'), true],
  ['operator', 'o1', at('order', 'o2'), false],
  ['operator', 'o1', at('operator', 'o1'), true],
  ['observer', 'x', at('status', 'x'), false],
  ['gateway', 'g1', `wattpact/1/other-chain/request/g1`, false],
  ['gateway', 'g1', `${at('request', 'g1')}/more`, false],
  ['gateway', 'g1', 'wattpact/1/demo-0123456789abcdef/__proto__/g1', false],
];
test.each(publishing)('%s %s publishes to %s: %s', (role, id, to, allowed) => {
  expect(mayPublish(chain, { id, role }, to)).toBe(allowed);
});

const subscribing: [Role, string, string, boolean][] = [
  ['gateway', 'g1', at('reply', 'g1', '+'), true],
  ['gateway', 'g1', at('reply', '+', 'v1'), false],
  ['gateway', 'g1', at('reply', 'g2', '+'), false],
  ['gateway', 'g1', at('notice', 'g1', '+'), true],
  ['gateway', 'g1', at('request', '+'), false],
  ['gateway', 'g1', at('consensus', '+'), false],
  ['gateway', 'g1', at('header', '+'), true],
  ['gateway', 'g1', at('order', '+'), true],
  ['validator', 'v1', at('request', '+'), true],
  ['validator', 'v1', at('consensus', '+'), true],
  ['validator', 'v1', at('reply', '+', '+'), false],
  ['operator', 'o1', at('reply', 'o1', '+'), true],
  ['observer', 'x', at('header', '+'), true],
  ['observer', 'x', at('request', '+'), false],
  ['validator', 'v1', 'wattpact/1/demo-0123456789abcdef/#', false],
  ['validator', 'v1', '#', false],
  ['validator', 'v1', '+/+/+/+/+', false],
];
test.each(subscribing)('%s %s subscribes to %s: %s', (role, id, filter, allowed) => {
  expect(maySubscribe(chain, { id, role }, filter)).toBe(allowed);
});
