// One interval from offers to accounts, and what happens when a step of it is missing.

import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../src/base/canonical.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { clearingProblem } from '../../src/ledger/clearing-document.ts';
import type { ClearingDocument } from '../../src/ledger/types.ts';
import { attest } from '../../src/protocol/header.ts';
import type { Notice, Settlement } from '../../src/protocol/replies.ts';
import { checkProof } from '../../src/protocol/replies.ts';
import { MINUTE, metered, minutesAfter, publicKeyOf, signerOf, T, testGenesis, World } from './world.ts';

const OPEN = minutesAfter(T, -20);
const GATE = minutesAfter(T, -5);
const END = minutesAfter(T, 15);
const SETTLE = minutesAfter(T, 20);

function noticeOf(world: World, gateway: string): Notice {
  const leaf = world.ledger.noticeOf(gateway, T)?.proof.leaf;
  if (leaf?.kind !== 'notice') throw new Error(`no notice for ${gateway}`);
  return leaf;
}

function settlementsOf(world: World, gateway: string, interval = T): Settlement[] {
  return world.ledger
    .settlementsOf(gateway, interval)
    .flatMap(({ proof: { leaf } }) => (leaf.kind === 'settlement' ? [leaf] : []));
}

const balances = (world: World): bigint =>
  world.ledger.accounts().reduce((sum, { balanceUc }) => sum + BigInt(balanceUc), 0n);
const balance = (world: World, id: string): bigint => BigInt(world.ledger.account(id)?.balanceUc ?? 'x');

/** Farm sells 3 kWh from 8000, factory buys 2 kWh up to 25000; utility buys at 5000 and sells at 30000. */
function traded(): World {
  const world = new World();
  world.block(OPEN - 1000, world.tariff());
  world.block(OPEN, world.offer('farm', T, [[8000, 3000]]), world.offer('factory', T, [], [[25_000, 2000]]));
  expect(world.ledger.dueAtMs()).toBe(GATE);
  world.block(GATE);
  return world;
}

test('offers clear at the gate; every site with an offer gets a notice it can verify', () => {
  const world = traded();
  const farm = noticeOf(world, 'farm');
  const factory = noticeOf(world, 'factory');
  expect(farm).toMatchObject({ status: 'cleared', positionWh: 2000, bindingLine: '' });
  expect(factory).toMatchObject({ status: 'cleared', positionWh: -2000, bindingLine: '' });
  expect(farm.trades).toEqual(factory.trades);
  expect(farm.trades).toHaveLength(1);
  expect(farm.trades[0]).toMatchObject({
    buyer: 'factory',
    seller: 'farm',
    energyWh: 2000,
    path: ['b', 'a', 'root', 'c'],
  });
  // Three lines at 100 each lie between them, none is full.
  expect(factory.nodalPriceUcPerWh - farm.nodalPriceUcPerWh).toBe(300);
  const document = world.ledger.clearing('f1', T);
  expect(document && clearingProblem(document)).toBeNull();
  expect(document && clearingProblem({ ...document, welfareUc: '1' })).toMatch(/welfare/);
  const found = world.ledger.noticeOf('farm', T);
  if (found === null) throw new Error('no proof');
  const attestation = attest(found.header, 'v1', signerOf('v1'));
  const set = world.ledger.validators();
  expect(checkProof(world.genesis.chain, { ...found.proof, attestation }, set, fastVerify)).toEqual(found.header);
  expect(
    checkProof(world.genesis.chain, { ...found.proof, salt: 'AAAAAAAAAAAAAAAAAAAAAA', attestation }, set, fastVerify),
  ).toBeNull();
  expect(world.ledger.openOffers('f1', T)).toEqual([]);
});

test('deliveries settle: what one pays others receive, to the last unit', () => {
  const world = traded();
  const [late] = [world.delivery('farm', T, 2000, 0)];
  world.block(END, late as never, world.delivery('factory', T, 0, 2100));
  expect(world.ledger.dueAtMs()).toBeLessThanOrEqual(SETTLE);
  world.block(SETTLE);
  const farm = settlementsOf(world, 'farm');
  const price = noticeOf(world, 'farm').nodalPriceUcPerWh;
  expect(farm).toEqual([
    expect.objectContaining({ deliveredWh: 2000, deviationWh: 0, imbalanceUc: 0, provisional: false }),
  ]);
  expect(farm[0]?.tradesUc).toBe(2000 * price);
  expect(balance(world, 'farm')).toBe(BigInt(2000 * price));
  // 100 Wh too many taken: 1 Wh within the uncertainty at the nodal price, 99 at the utility's price and the penalty.
  expect(settlementsOf(world, 'factory')[0]).toMatchObject({
    deviationWh: -100,
    imbalanceUc: -(price + 300) - 99 * (30_000 + 2000),
  });
  expect(balances(world)).toBe(0n);
});

test('steps of one pair make one trade', () => {
  const world = new World();
  const offers = [
    world.offer('farm', T, [
      [8000, 300],
      [8001, 300],
    ]),
    world.offer(
      'factory',
      T,
      [],
      [
        [25_000, 250],
        [24_000, 250],
      ],
    ),
  ];
  world.block(OPEN, ...offers);
  world.block(GATE);
  expect(noticeOf(world, 'farm').trades).toMatchObject([{ seller: 'farm', buyer: 'factory', energyWh: 500 }]);
});

test('no trade is told too, and unmatched orders name the line that stood in the way', () => {
  const world = new World();
  world.block(OPEN, world.offer('house', T, [[8000, 1000]]));
  world.block(GATE);
  expect(noticeOf(world, 'house')).toMatchObject({ status: 'cleared', positionWh: 0, trades: [], bindingLine: '' });
  const limited = new World();
  const limit = { capacities: [{ bus: 'b', capacityW: 4000 }], feeder: 'f1', fromInterval: T, untilInterval: T + 1 };
  limited.block(OPEN, limited.tariff(), limited.sign('operator1', 'limit', limit));
  limited.block(OPEN + 1, limited.offer('farm', T, [[8000, 3000]]), limited.offer('factory', T, [], [[25_000, 2000]]));
  limited.block(GATE);
  expect(noticeOf(limited, 'farm')).toMatchObject({ positionWh: 1000, bindingLine: 'b' });
});

test('a step that its price kept out is not blamed on a line', () => {
  const world = new World();
  const limit = { capacities: [{ bus: 'b', capacityW: 4000 }], feeder: 'f1', fromInterval: T, untilInterval: T + 1 };
  world.block(OPEN, world.sign('operator1', 'limit', limit));
  world.block(
    OPEN + 1,
    world.offer('farm', T, [
      [8000, 2000],
      [90_000, 100],
    ]),
    world.offer('factory', T, [], [[25_000, 2000]]),
  );
  world.block(GATE);
  expect(noticeOf(world, 'farm')).toMatchObject({ positionWh: 1000, bindingLine: 'b' });
  // One Wh more over the line is worth what the buyer would give, less the tariffs and the seller's price.
  expect(noticeOf(world, 'farm').bindingUcPerWh).toBe(25_000 - 300 - 8000);
  const base = testGenesis();
  const gateways = base.gateways.map((site) => (site.gateway === 'house' ? { ...site, bus: 'b' } : site));
  const dear = new World(testGenesis({ gateways }));
  dear.block(OPEN, dear.sign('operator1', 'limit', limit));
  const steps: [number, number][] = [
    [8000, 1000],
    [90_000, 100],
  ];
  dear.block(OPEN + 1, dear.offer('farm', T, steps), dear.offer('factory', T, [], [[25_000, 2000]]));
  dear.block(OPEN + 2, dear.offer('house', T, [[8000, 1000]]));
  dear.block(GATE);
  // Came first, so the line is the farm's; its second step nobody would buy at any line. The house's is kept out by the line.
  expect(noticeOf(dear, 'farm')).toMatchObject({ positionWh: 1000, bindingLine: '', bindingUcPerWh: 0 });
  expect(noticeOf(dear, 'house')).toMatchObject({ positionWh: 0, bindingLine: 'b', bindingUcPerWh: 16_700 });
});

test('where a feeder states its voltage band the clearing keeps it, with the tightened limits in the document', () => {
  const base = testGenesis();
  const voltage = { maxPpm: 1_010_000, minPpm: 990_000, repeatsMax: 8, rootPpm: 1_000_000, tanPhiPpm: 0 };
  const feeders = base.feeders.map((feeder) => ({
    ...feeder,
    buses: feeder.buses.map((bus) => ({ ...bus, nominalV: 400, reactanceUohm: 100_000, resistanceUohm: 200_000 })),
    voltage,
  }));
  const clearing = (of: typeof base.feeders) => {
    const world = new World(testGenesis({ feeders: of }));
    world.block(OPEN, world.tariff(), world.offer('farm', T, [[3000, 4000]]));
    world.block(GATE);
    const document = world.ledger.clearing('f1', T);
    expect(document && clearingProblem(document)).toBeNull();
    return { document, notice: noticeOf(world, 'farm') };
  };
  const free = clearing(base.feeders);
  const banded = clearing(feeders);
  expect(free.notice.positionWh).toBe(4000);
  expect(free.document?.tightened).toEqual([]);
  // u = 1 + 2 x 0.4 ohm x P / (400 V)^2 <= 1.01^2 leaves 4020 W: 1005 Wh in a quarter of an hour.
  expect(banded.notice.positionWh).toBeGreaterThan(900);
  expect(banded.notice.positionWh).toBeLessThanOrEqual(1005);
  expect(banded.document?.tightened.length).toBeGreaterThan(0);
  const strict = clearing(feeders.map((feeder) => ({ ...feeder, voltage: { ...voltage, repeatsMax: 0 } })));
  expect(strict.notice).toMatchObject({ status: 'void', positionWh: 0 });
  expect(strict.document?.reason).toMatch(/beyond the squared voltage band/);
});

test('a clearing that comes at the start of the interval or later is void', () => {
  const world = new World();
  world.block(
    OPEN,
    world.tariff(),
    world.offer('farm', T, [[8000, 3000]]),
    world.offer('factory', T, [], [[25_000, 2000]]),
  );
  world.block(minutesAfter(T, 0));
  expect(noticeOf(world, 'farm')).toMatchObject({ status: 'void', positionWh: 0, trades: [] });
  world.block(END, world.delivery('farm', T, 500, 0), world.delivery('factory', T, 0, 500));
  world.block(SETTLE);
  expect(settlementsOf(world, 'farm')[0]).toMatchObject({ positionWh: 0, deliveredWh: 500, tradesUc: 0 });
  expect(balances(world)).toBe(0n);
});

test('a replaced offer loses its place, a withdrawn one its standing; a late one is refused', () => {
  const world = new World();
  world.block(OPEN, world.offer('house', T, [[8000, 1000]]), world.offer('farm', T, [[8000, 1000]]));
  world.block(OPEN + 1, world.offer('house', T, [[8000, 900]]));
  expect(world.ledger.openOffers('f1', T).map(({ gateway }) => gateway)).toEqual(['farm', 'house']);
  world.block(OPEN + 2, world.offer('farm', T, []));
  expect(world.ledger.openOffers('f1', T).map(({ gateway }) => gateway)).toEqual(['house']);
  world.block(GATE);
  expect(world.ledger.noticeOf('farm', T)).toBeNull();
  expect(world.tell(GATE + 1, world.offer('farm', T, [[8000, 1000]]))).toMatch(
    /^late: the gate of interval \d+ closed at/,
  );
});

test('a silent site settles at its worst, and a correction with raw counters replaces that; both are kept', () => {
  const world = traded();
  world.block(END, world.delivery('factory', T, 0, 2000));
  world.block(SETTLE);
  const [provisional] = settlementsOf(world, 'farm');
  // 20 kW for a quarter of an hour imported instead of 2 kWh exported.
  expect(provisional).toMatchObject({ provisional: true, deliveredWh: -5000, deviationWh: -7000 });
  expect(balances(world)).toBe(0n);
  const correction = { ...metered('farm', T, 2000, 0), reason: 'the line was down' };
  expect(world.tell(SETTLE + 1, world.sign('farm', 'correction', correction))).toBe('');
  const [first, second] = settlementsOf(world, 'farm');
  expect(first).toEqual(provisional);
  expect(second).toMatchObject({ provisional: false, deliveredWh: 2000, imbalanceUc: 0 });
  expect(balance(world, 'farm')).toBe(BigInt(second?.tradesUc ?? 0));
  expect(second?.balanceUc).toBe(String(balance(world, 'farm')));
  expect(balances(world)).toBe(0n);
});

test('an active site is settled in every interval, with an offer or without', () => {
  const world = traded();
  world.block(SETTLE);
  expect(world.ledger.dueAtMs()).toBe(minutesAfter(T + 1, 20));
  world.block(minutesAfter(T + 1, 20));
  expect(settlementsOf(world, 'farm', T + 1)[0]).toMatchObject({ positionWh: 0, provisional: true });
  expect(world.ledger.settlementsOf('flat', T + 1)).toEqual([]);
  expect(balances(world)).toBe(0n);
});

test('an uncertainty beyond what the operator certified excuses nothing', () => {
  const [certified, claimed] = [10, 500].map((uncertaintyWh) => {
    const world = traded();
    world.block(END, world.delivery('farm', T, 1900, 0, { uncertaintyWh }));
    world.block(SETTLE);
    return settlementsOf(world, 'farm')[0];
  });
  expect(certified?.deviationWh).toBe(-100);
  expect(claimed).toEqual(certified);
});

test('the corrections of an interval fit its neighbours, and have a limit', () => {
  const world = traded();
  world.block(END, world.delivery('farm', T, 2000, 0));
  world.block(SETTLE);
  const late = { validUntilMs: minutesAfter(T + 1, 60) };
  const next = world.delivery('farm', T + 1, 2500, 0, { exportStartWh: 2000, ...late });
  world.block(minutesAfter(T + 1, 15), next);
  let atMs = minutesAfter(T + 1, 16);
  const correct = (exportWh: number, exportStartWh: number): string => {
    const body = metered('farm', T, exportWh, 0, { exportStartWh, reason: 'r', ...late });
    atMs += 1;
    return world.tell(atMs, world.sign('farm', 'correction', body));
  };
  expect(correct(2001, 0)).toBe('the counters do not end where the next interval starts');
  expect([correct(2000, 1), correct(2000, 2), correct(2000, 3)]).toEqual(['', '', '']);
  expect(correct(2000, 4)).toBe(`interval ${T} was corrected 3 times already`);
  expect(settlementsOf(world, 'farm').map(({ deliveredWh }) => deliveredWh)).toEqual([2000, 1999, 1998, 1997]);
  expect(balances(world)).toBe(0n);
  world.block(minutesAfter(T + 1, 20));
  const following = metered('farm', T + 1, 2500, 0, { exportStartWh: 1999, reason: 'r', ...late });
  expect(world.tell(minutesAfter(T + 1, 21), world.sign('farm', 'correction', following))).toBe(
    'the counters do not start where the interval before ended',
  );
});

test('the feeder of an interval is the version published for it', () => {
  const world = new World();
  const feeder = world.genesis.feeders[0];
  if (feeder === undefined) throw new Error('no feeder');
  const dear = {
    ...feeder,
    buses: feeder.buses.map((bus) => ({ ...bus, tariffUcPerWh: bus.parent === null ? 0 : 9000 })),
  };
  expect(
    world.tell(OPEN, world.sign('operator1', 'feeder.publish', { feeder: dear, fromInterval: T + 1 } as never)),
  ).toBe('');
  for (const t of [T, T + 1]) {
    world.block(
      OPEN + t - T + 1,
      world.offer('farm', t, [[8000, 100]]),
      world.offer('factory', t, [], [[25_000, 100]]),
    );
  }
  world.block(GATE);
  world.block(minutesAfter(T + 1, -5));
  const traded = [T, T + 1].map((t) => world.ledger.clearing('f1', t)?.tradedWh);
  // Three lines at 9000 each cost more than the 17000 between the prices.
  expect(traded).toEqual(['100', '0']);
});

test('of statements on the same interval the newest that covers it holds', () => {
  const world = new World();
  const tariff = (sellUcPerWh: number, fromInterval: number, untilInterval: number) =>
    world.sign('utility1', 'tariff', {
      buyUcPerWh: 1,
      buyWhMax: 1,
      feeder: 'f1',
      fromInterval,
      sellUcPerWh,
      sellWhMax: 1,
      untilInterval,
    });
  world.block(OPEN, tariff(10, T, T + 10), tariff(20, T + 2, T + 4));
  const prices = [T - 1, T, T + 2, T + 3, T + 4, T + 10].map((t) => world.ledger.tariff('f1', t)?.sellUcPerWh ?? null);
  expect(prices).toEqual([null, 10, 20, 20, 10, null]);
});

test('statements and versions have a limit, and those that are past make room', () => {
  const world = new World();
  const tariff = (fromInterval: number) => {
    const body = { buyUcPerWh: 1, buyWhMax: 1, feeder: 'f1', fromInterval, sellUcPerWh: 2, sellWhMax: 1 };
    return world.sign('utility1', 'tariff', { ...body, untilInterval: fromInterval + 1, validUntilMs: OPEN + 60_000 });
  };
  const verdicts = [0, 1].flatMap((round) =>
    world.block(OPEN + round, ...Array.from({ length: 257 }, (_, i) => tariff(T + round * 257 + i))),
  );
  expect(verdicts.filter(({ verdict }) => verdict === 'recorded')).toHaveLength(512);
  expect(verdicts.at(-1)?.reason).toBe('512 such statements wait already');
  const feeder = world.genesis.feeders[0] as unknown as JsonObject;
  const publish = (fromInterval: number, atMs: number): string =>
    world.tell(atMs, world.sign('operator1', 'feeder.publish', { feeder, fromInterval, validUntilMs: atMs }));
  const said = Array.from({ length: 8 }, (_, i) => publish(T + 1 + i, OPEN + 10 + i));
  expect(said).toEqual(['', '', '', '', '', '', '', '8 versions of f1 are kept already']);
  expect(publish(T + 9, minutesAfter(T + 6, 0))).toBe('');
});

test('a gateway may be called like something that every object has', () => {
  const base = testGenesis();
  const gateways = base.gateways.map((site) => (site.gateway === 'house' ? { ...site, gateway: 'constructor' } : site));
  const world = new World(
    testGenesis({ gateways: gateways.map((site) => ({ ...site, publicKey: publicKeyOf(site.gateway) })) }),
  );
  world.block(OPEN, world.tariff(), world.offer('farm', T, [[8000, 1000]]));
  world.block(GATE);
  world.block(SETTLE);
  const correction = { ...metered('constructor', T, 0, 0, { meterSerial: 'house-meter' }), reason: 'r' };
  expect(world.tell(SETTLE + 1, world.sign('constructor', 'correction', correction))).toMatch(
    /was not settled for constructor/,
  );
});

test('a seller with two buyers is told both', () => {
  const world = new World();
  const buyers = ['factory', 'flat'].map((name) => world.offer(name, T, [], [[25_000, 1000]]));
  world.block(OPEN, world.offer('farm', T, [[8000, 2000]]), ...buyers);
  world.block(GATE);
  expect(
    noticeOf(world, 'farm')
      .trades.map(({ buyer, energyWh }) => [buyer, energyWh])
      .sort(),
  ).toEqual([
    ['factory', 1000],
    ['flat', 1000],
  ]);
});

test('an active site without an offer pays for its deviation at the price of its bus', () => {
  const world = new World();
  world.block(OPEN, world.offer('house', T, [[8000, 10]]));
  world.block(OPEN + 1, world.offer('farm', T + 1, [[8000, 1000]]), world.offer('factory', T + 1, [], [[25_000, 900]]));
  world.block(GATE);
  world.block(minutesAfter(T + 1, -5));
  const late = { validUntilMs: minutesAfter(T + 1, 60) };
  world.block(minutesAfter(T + 1, 15), world.delivery('house', T + 1, 0, 101, late));
  world.block(minutesAfter(T + 1, 20));
  // House is at bus a, on the farm's way: there the price is the farm's 8000 and one line's tariff.
  expect(settlementsOf(world, 'house', T + 1)[0]?.imbalanceUc).toBe(-(8100 + 100 * (8100 + 2000)));
});

test('who settles at the root is the utility of that interval', () => {
  const base = testGenesis();
  const other = { id: 'utility2', publicKey: publicKeyOf('utility2') };
  const world = new World(testGenesis({ utilities: [...base.utilities, other] }));
  const feeder = { ...base.feeders[0], utility: 'utility2' };
  const prices = { buyUcPerWh: 5000, buyWhMax: 9999, feeder: 'f1', sellUcPerWh: 30_000, sellWhMax: 9999 };
  const tariff = (signer: string, fromInterval: number, untilInterval: number) =>
    world.sign(signer, 'tariff', { ...prices, fromInterval, untilInterval });
  world.block(
    OPEN,
    world.sign('operator1', 'feeder.publish', { feeder, fromInterval: T + 1 } as never),
    world.tariff(),
  );
  expect(world.tell(OPEN + 1, tariff('utility2', T, T + 1))).toBe('utility2 is not the utility of feeder f1');
  expect(world.tell(OPEN + 2, tariff('utility2', T + 1, T + 2))).toBe('');
  world.block(OPEN + 3, world.offer('farm', T, [[1000, 100]]), world.offer('farm', T + 1, [[1000, 100]]));
  world.block(GATE);
  world.block(minutesAfter(T + 1, -5));
  world.block(END, world.delivery('farm', T, 100, 0));
  world.block(SETTLE);
  const first = balance(world, 'utility1');
  expect(first).toBeLessThan(0n);
  expect(balance(world, 'utility2')).toBe(0n);
  const late = { exportStartWh: 100, validUntilMs: minutesAfter(T + 1, 60) };
  world.block(minutesAfter(T + 1, 15), world.delivery('farm', T + 1, 200, 0, late));
  world.block(minutesAfter(T + 1, 20));
  expect(balance(world, 'utility1')).toBe(first);
  expect(balance(world, 'utility2')).toBe(first);
  expect(balances(world)).toBe(0n);
});

test('a chain that stood still settles what is overdue with the feeder and tariff of that time', () => {
  const base = testGenesis();
  const limits = { ...base.limits, dueOperationsMax: 1 };
  const world = new World(testGenesis({ limits }));
  const feeder = base.feeders[0] as unknown as JsonObject;
  const publish = (fromInterval: number, validUntilMs: number) =>
    world.sign('operator1', 'feeder.publish', { feeder, fromInterval, validUntilMs });
  const prices = { buyUcPerWh: 5000, buyWhMax: 9999, feeder: 'f1', sellUcPerWh: 30_000, sellWhMax: 9999 };
  const tariff = (fromInterval: number, validUntilMs: number) =>
    world.sign('utility1', 'tariff', { ...prices, fromInterval, untilInterval: fromInterval + 4, validUntilMs });
  world.block(OPEN, tariff(T, OPEN), publish(T + 4, OPEN), world.offer('farm', T, [[1000, 100]]));
  const later = minutesAfter(T + 20, 0);
  // The statements of today come with the first block after the pause, before the past is settled.
  world.block(later, publish(T + 30, later), tariff(T + 30, later));
  for (let round = 1; (world.ledger.dueAtMs() ?? Number.POSITIVE_INFINITY) <= later && round < 99; round++) {
    world.block(later + round);
  }
  expect(noticeOf(world, 'farm').status).toBe('void');
  const worst = -(5000 * (30_000 + 2000));
  expect([T, T + 1, T + 3].map((t) => settlementsOf(world, 'farm', t)[0]?.imbalanceUc)).toEqual([worst, worst, worst]);
  expect(settlementsOf(world, 'farm', T + 4)[0]?.provisional).toBe(true);
  expect(balances(world)).toBe(0n);
});

describe('two rounds', () => {
  // The gate is open for 55 minutes: who offers in the first 27.5 is in the first round.
  function inTwoRounds(): World {
    const world = new World(testGenesis({ rounds: 2 }));
    world.block(minutesAfter(T, -41), world.tariff());
    world.block(
      minutesAfter(T, -40),
      world.offer('farm', T, [[8000, 3000]]),
      world.offer('factory', T, [], [[12_000, 2000]]),
    );
    world.block(GATE - 5 * MINUTE, world.offer('house', T, [], [[28_000, 2000]]));
    world.block(GATE);
    return world;
  }

  test('who offers early is served before who pays more later, each at the prices of its round', () => {
    const world = inTwoRounds();
    expect(noticeOf(world, 'factory')).toMatchObject({ status: 'cleared', positionWh: -2000 });
    expect(noticeOf(world, 'house').positionWh).toBe(-1000);
    const { trades, positionWh } = noticeOf(world, 'farm');
    expect(positionWh).toBe(3000);
    expect(trades.map(({ buyer, energyWh }) => [buyer, energyWh])).toEqual([
      ['factory', 2000],
      ['house', 1000],
    ]);
    expect(trades[0]?.sellerUcPerWh).toBeLessThan(12_000);
    expect(trades[1]?.sellerUcPerWh).toBeGreaterThan(20_000);
    const document = world.ledger.clearing('f1', T) as ClearingDocument;
    expect(document.orders.map(({ gateway, round }) => [gateway, round]).sort()).toEqual([
      ['factory', 1],
      ['farm', 1],
      ['house', 2],
    ]);
    expect(document.certificates).toHaveLength(2);
    expect(clearingProblem(document)).toBeNull();
    for (const wrong of [
      { rounds: 1 },
      { certificates: [] },
      { certificates: [...document.certificates].reverse() },
      { orders: document.orders.map((order) => ({ ...order, round: 1 })) },
    ]) {
      expect(clearingProblem({ ...document, ...wrong })).not.toBeNull();
    }
  });

  test('what an earlier round paid is paid; a deviation is priced by the round that is worse for the site', () => {
    const world = inTwoRounds();
    world.block(END, world.delivery('farm', T, 3000, 0), world.delivery('house', T, 0, 1000));
    world.block(END + MINUTE, world.delivery('factory', T, 0, 1990, { uncertaintyWh: 10 }));
    world.block(SETTLE);
    const { trades } = noticeOf(world, 'farm');
    const soldUc = trades.reduce((sum, { energyWh, sellerUcPerWh }) => sum + energyWh * sellerUcPerWh, 0);
    expect(settlementsOf(world, 'farm')[0]).toMatchObject({ tradesUc: soldUc, imbalanceUc: 0 });
    const [first, last] = (world.ledger.clearing('f1', T) as ClearingDocument).certificates.map(
      ({ pricesUcPerWh }) => pricesUcPerWh[3] as number,
    ) as [number, number];
    expect(first).toBeLessThan(last);
    expect(settlementsOf(world, 'factory')[0]).toMatchObject({ tradesUc: -2000 * first, imbalanceUc: 10 * first });
    expect(balances(world)).toBe(0n);
  });
});
