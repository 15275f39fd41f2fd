// Rules for other brokers say exactly what the table of topics says.

import { expect, test } from 'vitest';
import { usersOf } from '../../src/commands/broker.ts';
import type { Key } from '../../src/keys/files.ts';
import { filtersOf, mosquittoRules } from '../../src/messaging/rules.ts';
import type { Genesis } from '../../src/protocol/genesis.ts';
import { CHANNELS, type Channel, mayPublish, maySubscribe, type Role, topic } from '../../src/protocol/topics.ts';
import { CHAIN, keys } from './fixtures.ts';

const matches = (filter: string, name: string): boolean => {
  const levels = name.split('/');
  return (
    filter.split('/').length === levels.length &&
    filter.split('/').every((part, i) => part === '+' || part === levels[i])
  );
};

test('for every role and topic the rules and the table agree', () => {
  const ids = ['gateway-a', 'gateway-b', 'validator-a', 'operator-a'];
  for (const role of ['validator', 'gateway', 'operator', 'observer'] satisfies Role[]) {
    const party = { id: role === 'gateway' ? 'gateway-a' : `${role}-a`, role };
    const { publish, subscribe } = filtersOf(CHAIN, party);
    for (const channel of Object.keys(CHANNELS) as Channel[]) {
      const paths =
        CHANNELS[channel].levels.length === 1 ? ids.map((id) => [id]) : ids.flatMap((a) => ids.map((b) => [a, b]));
      for (const path of paths) {
        const name = topic(CHAIN, channel, ...path);
        expect(
          publish.some((filter) => matches(filter, name)),
          `${role} publishes ${name}`,
        ).toBe(mayPublish(CHAIN, party, name));
        expect(
          subscribe.some((filter) => matches(filter, name)),
          `${role} hears ${name}`,
        ).toBe(maySubscribe(CHAIN, party, name));
      }
    }
    for (const filter of subscribe) expect(maySubscribe(CHAIN, party, filter), filter).toBe(true);
  }
});

test('an acl_file of mosquitto names each user once, with its topics', () => {
  const text = mosquittoRules(CHAIN, [{ user: 'u1', party: { id: 'gateway-a', role: 'gateway' } }]);
  expect(text).toBe(`# Chain ${CHAIN}. Whoever is not named here may do nothing.

# gateway gateway-a
user u1
topic write wattpact/1/${CHAIN}/request/gateway-a
topic write wattpact/1/${CHAIN}/status/gateway-a
topic read wattpact/1/${CHAIN}/reply/gateway-a/+
topic read wattpact/1/${CHAIN}/notice/gateway-a/+
topic read wattpact/1/${CHAIN}/header/+
topic read wattpact/1/${CHAIN}/order/+
topic read wattpact/1/${CHAIN}/status/+
`);
});

test('everybody in genesis is a user by its key id, in its role', () => {
  const key = (id: string) => ({ id, publicKey: (keys[id] as Key).publicKey });
  const genesis = {
    validators: [key('validator-1')],
    operators: [key('operator-grid')],
    utilities: [key('validator-2')],
    gateways: [{ gateway: 'gateway-farm', publicKey: key('gateway-farm').publicKey }],
  } as unknown as Genesis;
  expect(usersOf(genesis).map(({ user, party }) => [user, party.role])).toEqual([
    [keys['validator-1']?.keyId, 'validator'],
    [keys['operator-grid']?.keyId, 'operator'],
    [keys['validator-2']?.keyId, 'operator'],
    [keys['gateway-farm']?.keyId, 'gateway'],
  ]);
});
