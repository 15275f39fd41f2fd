// The owner's word: what may be said, by whom, how it ends, and that it survives whoever said it.

import { beforeEach, describe, expect, test } from 'vitest';
import {
  createOverrides,
  OVERRIDE_MS_MAX,
  OWNER,
  overrideText,
  type SiteOverride,
} from '../../src/gateway/overrides.ts';
import { siteAccess } from '../../src/messaging/access.ts';
import { SITE_OVERRIDE_TOPIC, siteDemandTopic } from '../../src/protocol/topics.ts';
import { loadSite } from '../../src/site/load.ts';
import { type GatewayStore, openGatewayStore } from '../../src/store/gateway.ts';
import { T0_MS } from '../vectors/examples.ts';

const { site: house } = loadSite('devices/demo/house.yaml');
const { site: flat } = loadSite('devices/demo/flat.yaml');
const site = { ...house, loads: flat.loads };

let store: GatewayStore;
let chainMs: number;

beforeEach(() => {
  store = openGatewayStore(':memory:');
  chainMs = T0_MS;
});

const made = (of = site) =>
  createOverrides({ site: of, store, clock: { chainMs: () => chainMs, monotonicMs: () => 0 } });
const bytes = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const iso = (atMs: number) => `${new Date(atMs).toISOString().slice(0, 19)}Z`;
const until = (ms: number) => iso(T0_MS + ms);
const HOUR_MS = 3_600_000;

test('an override stands until its end, for a gateway that was started again too', () => {
  made().accept(bytes({ id: 'battery', mode: 'charge-to', percent: 80, until: until(2 * HOUR_MS) }), 'page');
  const restarted = made();
  expect(restarted.inForce()).toMatchObject([{ id: 'battery', mode: 'charge-to', percent: 80, by: 'page' }]);
  expect(restarted.changes()).toMatchObject([{ what: 'began' }]);
  expect(restarted.changes()).toEqual([]);
  chainMs = T0_MS + 2 * HOUR_MS - 1;
  expect(restarted.inForce()).toHaveLength(1);
  chainMs += 1;
  expect(restarted.inForce()).toEqual([]);
  expect(restarted.changes()).toMatchObject([{ what: 'ended', override: { id: 'battery' } }]);
  expect(restarted.changes()).toEqual([]);
});

test('an end that nobody saw is told by the next start, once', () => {
  made().accept(bytes({ id: 'boiler', mode: 'off', until: until(HOUR_MS) }), 'command line');
  chainMs += 5 * HOUR_MS;
  expect(made().changes()).toMatchObject([{ what: 'ended', override: { id: 'boiler' } }]);
  expect(made().changes()).toEqual([]);
});

test('the word of another process is heard, and taken back', () => {
  const gateway = made();
  made().accept(bytes({ id: 'boiler', mode: 'on', until: until(HOUR_MS) }), 'command line');
  expect(gateway.changes()).toMatchObject([{ what: 'began', override: { mode: 'on' } }]);
  made().accept(bytes({ id: 'boiler', mode: 'off', until: until(HOUR_MS) }), 'site broker');
  expect(gateway.changes()).toMatchObject([{ what: 'began', override: { mode: 'off' } }]);
  made().accept(bytes({ id: 'boiler', mode: 'auto' }), 'command line');
  expect(gateway.inForce()).toEqual([]);
  expect(gateway.changes()).toMatchObject([{ what: 'ended' }]);
});

const refused: [string, unknown, RegExp][] = [
  ['no JSON', '{', /not JSON/],
  ['nothing', {}, /cannot be used/],
  ['an unknown field', { id: 'battery', mode: 'hold', until: until(1), why: 1 }, /cannot be used/],
  ['no end', { id: 'battery', mode: 'hold' }, /cannot be used/],
  ['an end that is past', { id: 'battery', mode: 'hold', until: until(0) }, /is past/],
  ['an end too far away', { id: 'battery', mode: 'hold', until: until(OVERRIDE_MS_MAX + 1_000) }, /at most 7 days/],
  ['nothing to charge to', { id: 'battery', mode: 'charge-to', until: until(HOUR_MS) }, /cannot be used/],
  ['more than full', { id: 'battery', mode: 'charge-to', percent: 101, until: until(HOUR_MS) }, /cannot be used/],
  ['a charge of a load', { id: 'boiler', mode: 'charge-to', percent: 1, until: until(HOUR_MS) }, /cannot be said/],
  ['a battery switched on', { id: 'battery', mode: 'on', until: until(HOUR_MS) }, /cannot be said/],
  ['a stranger', { id: 'heater', mode: 'off', until: until(HOUR_MS) }, /no battery or load heater/],
  ['something huge', `"${'x'.repeat(2_000)}"`, /at most 1024 bytes/],
];
test.each(refused)('%s is refused, and nothing is kept', (_what, statement, why) => {
  const overrides = made();
  expect(() => overrides.accept(bytes(statement), 'page')).toThrow(why);
  expect(overrides.inForce()).toEqual([]);
  expect(overrides.changes()).toEqual([]);
});

describe('a heat pump by SG-ready states', () => {
  const pump = {
    ...site,
    loads: site.loads.slice(0, 1).map((load) => ({ ...load, id: 'pump', kind: 'sg-ready' as const })),
  };
  const said: [string, string, RegExp][] = [
    [
      'off',
      'nothing blocks it, and its owner is told so',
      /^pump: off \(it runs as it would on its own; .*until .* UTC$/,
    ],
    ['on', 'is forced', /^pump: on \(forced\) until/],
    ['hold', 'stays as it is', /^pump: hold until/],
  ];
  test.each(said)('%s: %s', (mode, _what, words) => {
    const set = made(pump).accept(bytes({ id: 'pump', mode, until: until(HOUR_MS) }), 'page');
    expect(overrideText(set as SiteOverride)).toMatch(words);
  });

  test('any other load that is off is off', () => {
    const set = made().accept(bytes({ id: 'boiler', mode: 'off', until: until(HOUR_MS) }), 'page');
    expect(overrideText(set as SiteOverride)).toMatch(/^boiler: off until/);
  });
});

test('a name that a battery and a load share means neither', () => {
  const twins = { ...site, loads: site.loads.map((load) => ({ ...load, id: 'battery' })) };
  const statement = bytes({ id: 'battery', mode: 'hold', until: until(HOUR_MS) });
  expect(() => made(twins).accept(statement, 'page')).toThrow(/both called battery/);
});

test('a clock that was set back a month does not make it last a month', () => {
  made().accept(bytes({ id: 'battery', mode: 'hold', until: until(HOUR_MS) }), 'page');
  chainMs -= 30 * 24 * HOUR_MS;
  expect(made().inForce()).toEqual([]);
});

test("on the site's broker the owner says overrides and nothing else, customers say demand and nothing else", () => {
  const access = siteAccess((name, token) => token === `of ${name}`, OWNER);
  const log = (username: string, password: string) =>
    access.authenticate({ clientId: 'x', username, password, certificateKeyId: null });
  expect(log(OWNER, 'of household')).toMatch(/no customer/);
  const owner = log(OWNER, `of ${OWNER}`);
  const customer = log('household', 'of household');
  if (typeof owner === 'string' || typeof customer === 'string') throw new Error('not let in');
  expect(owner.refusePublish(SITE_OVERRIDE_TOPIC, 100, false)).toBeNull();
  expect(owner.refusePublish(siteDemandTopic(OWNER), 100, false)).not.toBeNull();
  expect(customer.refusePublish(SITE_OVERRIDE_TOPIC, 100, false)).not.toBeNull();
  expect(owner.refusePublish(SITE_OVERRIDE_TOPIC, 100, true)).toMatch(/retained/);
});
