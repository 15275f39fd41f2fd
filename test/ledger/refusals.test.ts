// What is refused, and that people are told why. Every refusal is ordered, proven, and leaves nothing else behind.

import { describe, expect, test } from 'vitest';
import { toBase64url } from '../../src/base/bytes.ts';
import type { JsonObject } from '../../src/base/canonical.ts';
import { type Envelope, seal } from '../../src/protocol/envelope.ts';
import { validatorSetHash } from '../../src/protocol/header.ts';
import { approvalBytes, possessionBytes } from '../../src/protocol/requests.ts';
import { MINUTE, metered, minutesAfter, publicKeyOf, signerOf, T, T0_MS, testGenesis, World } from './world.ts';

const NOW = minutesAfter(T, -20);
const AFTER = minutesAfter(T, 16);
const possession = (world: World, id: string, value: JsonObject): string =>
  toBase64url(signerOf(id)(possessionBytes(world.genesis.chain, value)));

function forecast(world: World, more: JsonObject = {}): Envelope {
  const energyWh = 1000;
  return world.sign('house', 'forecast', {
    device: 'pv1',
    energyWh,
    interval: T,
    quantilesWh: Array(7).fill(energyWh),
    ...more,
  });
}

interface Case {
  readonly name: string;
  readonly make: (world: World) => Envelope;
  readonly reason: string | RegExp;
  readonly atMs?: number;
}

const RECORDS: readonly Case[] = [
  { name: 'a forecast within everything', make: (w) => forecast(w), reason: '' },
  {
    name: 'an unknown device',
    make: (w) => forecast(w, { device: 'pv9' }),
    reason: 'no device pv9 is admitted at house',
  },
  { name: 'a battery generates nothing', make: (w) => forecast(w, { device: 'battery1' }), reason: /is a battery/ },
  {
    name: 'over the capacity',
    make: (w) => forecast(w, { energyWh: 2001 }),
    reason: '2001 Wh is over the 2000 Wh that pv1 can give an interval',
  },
  {
    name: 'falling quantiles',
    make: (w) => forecast(w, { quantilesWh: [1, 2, 3, 4, 3, 6, 7] }),
    reason: 'the quantiles must not fall',
  },
  {
    name: 'a gate not open yet',
    make: (w) => forecast(w, { interval: T + 5 }),
    reason: /^early: the gate of interval \d+ opens at 2026-06-21T/,
  },
  {
    name: 'a closed gate',
    make: (w) => forecast(w),
    reason: /^late: the gate of interval \d+ closed at 2026-06-21T/,
    atMs: minutesAfter(T, -5),
  },
  {
    name: 'an unknown customer',
    make: (w) => w.sign('house', 'demand', { customer: 'c9', energyWh: 1, interval: T }),
    reason: 'no customer c9 is known at house',
  },
  {
    name: 'a demand over the connection',
    make: (w) => w.sign('house', 'demand', { customer: 'house-customer', energyWh: 5001, interval: T }),
    reason: /over the 5000 Wh/,
  },
  {
    name: 'selling over the limit',
    make: (w) =>
      w.offer('house', T, [
        [1, 3000],
        [2, 2001],
      ]),
    reason: 'selling 5001 Wh is over the 5000 Wh of the export limit',
  },
  {
    name: 'buying over the limit',
    make: (w) =>
      w.offer(
        'house',
        T,
        [],
        [
          [2, 5000],
          [1, 1],
        ],
      ),
    reason: 'buying 5001 Wh is over the 5000 Wh of the import limit',
  },
  {
    name: 'a gateway signs a tariff',
    make: (w) => w.sign('house', 'tariff', tariffBody()),
    reason: 'tariff is not for a gateway to sign',
  },
  {
    name: 'an operator signs an offer',
    make: (w) => w.sign('operator1', 'offer', { buy: [], interval: T, sell: [] }),
    reason: 'offer is not for an operator to sign',
  },
];

const METERS: readonly Case[] = [
  { name: 'a delivery', make: (w) => w.delivery('house', T, 10, 20), reason: '' },
  { name: 'before the end', make: (w) => w.delivery('house', T + 1, 1, 0), reason: /^early: interval \d+ ends at/ },
  {
    name: 'after settlement',
    make: (w) => w.delivery('house', T, 1, 0),
    reason: /^late: .*send a correction$/,
    atMs: minutesAfter(T, 20),
  },
  {
    name: 'another meter',
    make: (w) => w.delivery('house', T, 1, 0, { meterSerial: 'x' }),
    reason: 'meter x is not the registered house-meter',
  },
  {
    name: 'a counter backwards',
    make: (w) => w.delivery('house', T, 1, 0, { exportStartWh: 2 }),
    reason: 'a counter runs backwards',
  },
  {
    name: 'more than the connection',
    make: (w) => w.delivery('house', T, 7502, 0),
    reason: /^export of 7502 Wh is not believed/,
  },
  {
    name: 'a device unknown',
    make: (w) => w.delivery('house', T, 1, 0, { devices: [{ curtailed: false, device: 'x', energyWh: 1 }] }),
    reason: /^no device x/,
  },
  {
    name: 'a correction of nothing',
    make: (w) => w.sign('house', 'correction', { ...metered('house', T, 1, 0), reason: 'r' }),
    reason: /was not settled/,
  },
];

function tariffBody(more: JsonObject = {}): JsonObject {
  return {
    buyUcPerWh: 1,
    buyWhMax: 1,
    feeder: 'f1',
    fromInterval: T,
    sellUcPerWh: 2,
    sellWhMax: 1,
    untilInterval: T + 1,
    ...more,
  };
}

const limitBody = (more: JsonObject = {}): JsonObject => ({
  capacities: [{ bus: 'a', capacityW: 1 }],
  feeder: 'f1',
  fromInterval: T,
  untilInterval: T + 1,
  ...more,
});

const BAND = { maxPpm: 1_100_000, minPpm: 900_000, repeatsMax: 4, rootPpm: 1_000_000, tanPhiPpm: 0 };

const GRID: readonly Case[] = [
  { name: 'a tariff', make: (w) => w.sign('utility1', 'tariff', tariffBody()), reason: '' },
  {
    name: 'another feeder',
    make: (w) => w.sign('utility1', 'tariff', tariffBody({ feeder: 'f2' })),
    reason: 'utility1 is not the utility of feeder f2',
  },
  {
    name: 'a tariff too late',
    make: (w) => w.sign('utility1', 'tariff', tariffBody({ fromInterval: T - 2 })),
    reason: /^late/,
  },
  { name: 'a limit', make: (w) => w.sign('operator1', 'limit', limitBody()), reason: '' },
  {
    name: "not the feeder's operator",
    make: (w) => w.sign('operator2', 'limit', limitBody()),
    reason: 'operator2 does not operate feeder f1',
  },
  {
    name: 'an unknown bus',
    make: (w) => w.sign('operator1', 'limit', limitBody({ capacities: [{ bus: 'z', capacityW: 1 }] })),
    reason: 'no bus z on feeder f1',
  },
  {
    name: 'a bus twice',
    make: (w) =>
      w.sign(
        'operator1',
        'limit',
        limitBody({
          capacities: [
            { bus: 'a', capacityW: 1 },
            { bus: 'a', capacityW: 2 },
          ],
        }),
      ),
    reason: 'bus a appears twice',
  },
  {
    name: 'an empty range',
    make: (w) => w.sign('operator1', 'limit', limitBody({ untilInterval: T })),
    reason: 'untilInterval must be after fromInterval',
  },
  {
    name: 'a baseline at an unknown bus',
    make: (w) =>
      w.sign('operator1', 'baseline', {
        feeder: 'f1',
        fromInterval: T,
        netExports: [{ bus: 'z', energyWh: 1 }],
        untilInterval: T + 1,
      }),
    reason: 'no bus z on feeder f1',
  },
  {
    name: 'a feeder without the bus of a site',
    make: (w) =>
      w.sign(
        'operator1',
        'feeder.publish',
        feederBody(w, (buses) => buses.filter(({ id }) => id !== 'c')),
      ),
    reason: /is at bus c, which the new feeder lacks$/,
  },
  {
    name: 'a loop',
    make: (w) =>
      w.sign(
        'operator1',
        'feeder.publish',
        feederBody(w, (buses) => buses.map((bus) => (bus.id === 'a' ? { ...bus, parent: 'b' } : bus))),
      ),
    reason: /form a loop$/,
  },
  {
    name: 'two roots',
    make: (w) =>
      w.sign(
        'operator1',
        'feeder.publish',
        feederBody(w, (buses) => buses.map((bus) => ({ ...bus, parent: null }))),
      ),
    reason: 'a feeder has exactly one root',
  },
  {
    name: 'a feeder taken over by another operator',
    make: (w) =>
      w.sign(
        'operator2',
        'feeder.publish',
        feederBody(w, (buses) => buses, { operator: 'operator2' }),
      ),
    reason: 'operator2 does not operate feeder f1',
  },
  {
    name: 'a voltage band without resistances',
    make: (w) =>
      w.sign(
        'operator1',
        'feeder.publish',
        feederBody(w, (buses) => buses, { voltage: BAND }),
      ),
    reason: 'the line of bus a lacks the r, x or voltage that the band needs',
  },
  {
    name: 'a voltage band beside the root',
    make: (w) => {
      const voltage = { ...BAND, minPpm: 1_050_000 };
      return w.sign(
        'operator1',
        'feeder.publish',
        feederBody(w, (buses) => buses, { voltage }),
      );
    },
    reason: 'the root is outside the voltage band',
  },
];

type Buses = World['genesis']['feeders'][number]['buses'];
function feederBody(world: World, change: (buses: Buses) => Buses, more: JsonObject = {}): JsonObject {
  const feeder = world.genesis.feeders[0];
  if (feeder === undefined) throw new Error('no feeder');
  return { feeder: { ...feeder, buses: change(feeder.buses), ...more }, fromInterval: T } as unknown as JsonObject;
}

const PARTIES: readonly Case[] = [
  { name: 'a new gateway', make: (w) => admit(w, 'barn'), reason: '' },
  {
    name: 'a key that is not held',
    make: (w) => admit(w, 'barn', {}, 'house'),
    reason: 'the proof of possession of the new key does not hold',
  },
  {
    name: 'an id of another party',
    make: (w) => admit(w, 'barn', { gateway: 'v1' }),
    reason: "the id v1 is another party's",
  },
  {
    name: 'a known gateway with another key',
    make: (w) => admit(w, 'barn', { gateway: 'house' }),
    reason: /known with another key/,
  },
  { name: 'an unknown bus', make: (w) => admit(w, 'barn', { bus: 'z' }), reason: 'no bus z on feeder f1' },
  {
    name: 'a small-order key',
    make: (w) => admit(w, 'barn', { publicKey: toBase64url(Uint8Array.of(1, ...new Uint8Array(31))) }),
    reason: 'the public key is of small order',
  },
  {
    name: 'a non-canonical key',
    make: (w) =>
      admit(w, 'barn', { publicKey: toBase64url(Uint8Array.of(0xee, ...new Uint8Array(30).fill(0xff), 0x7f)) }),
    reason: 'the public key is not a canonical Ed25519 point',
  },
  {
    name: 'revoking nobody',
    make: (w) => w.sign('operator1', 'gateway.revoke', { gateway: 'nobody' }),
    reason: 'no gateway nobody is known',
  },
  {
    name: 'revoking by another operator',
    make: (w) => w.sign('operator2', 'gateway.revoke', { gateway: 'house' }),
    reason: 'operator2 does not operate feeder f1',
  },
  {
    name: 'a membership change that too few approve',
    make: (w) => membership(w, ['v1', 'v2', 'operator1']),
    reason: '2 validators approve, 3 are needed',
  },
  {
    name: 'one without operators',
    make: (w) => membership(w, ['v1', 'v2', 'v3']),
    reason: '0 operators approve, 1 are needed',
  },
  {
    name: 'one approved twice by the same',
    make: (w) => membership(w, ['v1', 'v1', 'v1', 'operator1']),
    reason: '1 validators approve, 3 are needed',
  },
  {
    name: 'one of another set',
    make: (w) => membership(w, ['v1', 'v2', 'v3', 'operator1'], { validatorSet: '0'.repeat(64) }),
    reason: 'the change is not of the validator set in force',
  },
  { name: 'one that all must approve', make: (w) => membership(w, ['v1', 'v2', 'v3', 'operator2']), reason: '' },
];

function admit(world: World, id: string, more: JsonObject = {}, keyHolder = id): Envelope {
  const house = world.genesis.gateways[0];
  const admission = { ...house, gateway: id, publicKey: publicKeyOf(id), ...more } as unknown as JsonObject;
  return world.sign('operator1', 'gateway.admit', { admission, possession: possession(world, keyHolder, admission) });
}

function membership(world: World, approvers: string[], more: JsonObject = {}): Envelope {
  const change = {
    publicKey: publicKeyOf('v5'),
    validator: 'v5',
    validatorSet: validatorSetHash(world.genesis.validators),
    ...more,
  };
  const approvals = approvers.map((signer) => ({
    signature: toBase64url(signerOf(signer)(approvalBytes(world.genesis.chain, change))),
    signer,
  }));
  return world.sign('operator1', 'membership', { approvals, change, possession: possession(world, 'v5', change) });
}

for (const [title, cases, defaultMs] of [
  ['forecasts, demands, offers', RECORDS, NOW],
  ['meters', METERS, AFTER],
  ['what operators and utilities publish', GRID, NOW],
  ['parties', PARTIES, NOW],
] as const) {
  describe(title, () => {
    test.each(cases)('$name', ({ make, reason, atMs = defaultMs }) => {
      const world = new World();
      const told = world.tell(atMs, make(world));
      if (typeof reason === 'string') expect(told).toBe(reason);
      else expect(told).toMatch(reason);
      expect(told.length).toBeLessThanOrEqual(200);
    });
  });
}

test('PV is bounded by the height of the sun: nothing at night, little at dawn', () => {
  const atHour = (hour: number, energyWh: number): string => {
    const interval = (Date.UTC(2026, 5, 21, 0) + hour * 3_600_000) / 900_000;
    const world = new World(testGenesis());
    const timeMs = minutesAfter(interval, -20);
    const body = {
      device: 'pv1',
      energyWh,
      interval,
      quantilesWh: Array(7).fill(energyWh),
      validUntilMs: timeMs + 60_000,
    };
    return world.tell(timeMs, world.sign('house', 'forecast', body));
  };
  expect(atHour(24, 1)).toBe("1 Wh is over the 0 Wh that the sun's height allows");
  expect(atHour(24, 0)).toBe('');
  // Sunrise at 52 N, 13 E is at 02:43 UTC on that day.
  expect(atHour(27, 1500)).toMatch(/the sun's height allows/);
  expect(atHour(27, 400)).toBe('');
  expect(atHour(36, 2000)).toBe('');
});

test('a refusal leaves nothing behind but its verdict and the sequence', () => {
  const world = new World();
  const refused = world.offer('house', T, [[1, 5001]]);
  const good = world.offer('farm', T, [[1, 1000]]);
  expect(world.block(NOW, refused, good).map(({ verdict }) => verdict)).toEqual(['refused', 'recorded']);
  expect(world.ledger.openOffers('f1', T).map(({ gateway }) => gateway)).toEqual(['farm']);
  expect(world.ledger.lastSequence('house')).toBe(1);
  expect(world.ledger.proofOf(world.idOf(refused))?.proof.leaf).toMatchObject({ verdict: 'refused', signer: 'house' });
  expect(world.ledger.check(refused, T0_MS)).toBe('already ordered');
});

test('a lower sequence of the same statement does not replace a higher one', () => {
  const world = new World();
  const [first, second] = [world.offer('house', T, [[1, 100]]), world.offer('house', T, [[1, 200]])];
  expect(world.tell(NOW, second)).toBe('');
  expect(world.tell(NOW + 1, first)).toBe('superseded: sequence 2 of the same statement is already recorded');
  expect(world.ledger.openOffers('f1', T)[0]?.sell).toEqual([{ energyWh: 200, priceUcPerWh: 1 }]);
  const [lower, higher] = [world.tariff(9000), world.tariff(10_000)];
  expect(world.tell(NOW + 2, higher)).toBe('');
  expect(world.tell(NOW + 3, lower)).toMatch(/^superseded/);
  expect(world.ledger.tariff('f1', T)?.sellUcPerWh).toBe(10_000);
});

test('counters telescope: the next interval starts where the last ended', () => {
  const world = new World();
  world.block(AFTER, world.delivery('house', T, 100, 50));
  const next = (more: JsonObject): Envelope =>
    world.delivery('house', T + 1, 200, 60, {
      exportStartWh: 100,
      importStartWh: 50,
      validUntilMs: AFTER + 3_600_000,
      ...more,
    });
  const atMs = minutesAfter(T + 1, 15);
  expect(world.tell(atMs, next({ exportStartWh: 101 }))).toBe(
    'the export counter starts at 101 Wh, the last interval ended at 100 Wh',
  );
  expect(world.tell(atMs + 1, next({ importStartWh: 49 }))).toBe(
    'the import counter starts at 49 Wh, the last interval ended at 50 Wh',
  );
  expect(world.tell(atMs + 2, next({ ctRatio: { primaryA: 50, secondaryA: 5 } }))).toBe(
    'CT ratio 50/5 A is not the 5/5 A seen so far',
  );
  expect(world.tell(atMs + 3, next({}))).toBe('');
  expect(world.tell(atMs + 4, next({ salt: 'AAAAAAAAAAAAAAAAAAAAAA' }))).toMatch(/already delivered/);
});

test('after a gap the counters may only have risen', () => {
  const world = new World();
  world.block(AFTER, world.delivery('house', T, 100, 50));
  const atMs = minutesAfter(T + 2, 15);
  const later = (exportStartWh: number): Envelope =>
    world.delivery('house', T + 2, 400, 60, { exportStartWh, importStartWh: 50, validUntilMs: atMs + 3_600_000 });
  expect(world.tell(atMs, later(99))).toBe('the export counter starts at 99 Wh, below 100 Wh seen before');
  expect(world.tell(atMs + 1, later(300))).toBe('');
});

test('after a week of deliveries a device is not believed far beyond its own past', () => {
  const world = new World();
  const forecastAfter = (interval: number): string => {
    const atMs = minutesAfter(interval, 16);
    const ahead = { interval: interval + 2, quantilesWh: Array(7).fill(2001), validUntilMs: atMs };
    return world.tell(atMs, world.sign('house', 'forecast', { device: 'wind1', energyWh: 2001, ...ahead }));
  };
  const week = 672;
  for (let interval = T; interval < T + week; interval++) {
    const atMs = minutesAfter(interval, 15);
    const devices = [{ curtailed: false, device: 'wind1', energyWh: 1000 }];
    expect(world.tell(atMs, world.delivery('house', interval, 0, 0, { devices, validUntilMs: atMs }))).toBe('');
    if (interval === T + week - 2) expect(forecastAfter(interval)).toBe('');
  }
  const most = "2001 Wh is over the 2000 Wh that the chain's history makes plausible";
  expect(forecastAfter(T + week - 1)).toBe(most);
});

test('a swapped meter: what the old one still counted belongs to the interval', () => {
  const world = new World();
  world.block(AFTER, world.delivery('house', T, 100, 50));
  const swap = {
    closingExportWh: 130,
    closingImportWh: 50,
    closingSerial: 'house-meter',
    gateway: 'house',
    interval: T + 1,
    openingExportWh: 7,
    openingImportWh: 0,
    openingSerial: 'new-meter',
  };
  expect(world.tell(AFTER + 1, world.sign('operator1', 'meter.swap', { ...swap, closingExportWh: 99 }))).toMatch(
    /below those already delivered/,
  );
  expect(world.tell(AFTER + 2, world.sign('operator1', 'meter.swap', swap))).toBe('');
  expect(world.ledger.site('house')?.meterSerial).toBe('new-meter');
  const readings = { exportStartWh: 7, meterSerial: 'new-meter', validUntilMs: AFTER + 3_600_000 };
  expect(world.tell(minutesAfter(T + 1, 15), world.delivery('house', T + 1, 27, 0, readings))).toBe('');
  world.block(minutesAfter(T + 1, 20));
  const leaf = world.ledger.settlementsOf('house', T + 1)[0]?.proof.leaf;
  expect(leaf).toMatchObject({ deliveredWh: 30 + 20 });
});

test('a rekeyed gateway: the old key is void, open offers fall, sequence and account go on', () => {
  const world = new World();
  world.block(NOW, world.offer('house', T, [[1, 100]]));
  const proof = { gateway: 'house', publicKey: publicKeyOf('house-2') };
  const old = world.offer('house', T, [[1, 300]]);
  const rekey = world.sign('operator1', 'gateway.rekey', { ...proof, possession: possession(world, 'house-2', proof) });
  const verdicts = world.block(NOW + 1, rekey, old);
  expect(verdicts.map(({ reason }) => reason)).toEqual(['', 'the key of house changed in this block']);
  expect(world.ledger.openOffers('f1', T)).toEqual([]);
  expect(world.ledger.check(world.offer('house', T, [[1, 300]]), T0_MS)).toBe('the signature does not hold');
  expect(world.ledger.party('house')?.publicKey).toBe(publicKeyOf('house-2'));
  expect(world.ledger.lastSequence('house')).toBe(2);
});

test('a revoked gateway is heard no more, and nothing more is expected of it', () => {
  const world = new World();
  world.block(NOW, world.offer('house', T, [[1, 100]]), world.offer('farm', T, [[1, 100]]));
  expect(world.tell(NOW + 1, world.sign('operator1', 'gateway.revoke', { gateway: 'house' }))).toBe('');
  expect(world.ledger.check(world.offer('house', T, [[1, 300]]), T0_MS)).toBe('house is unknown or revoked');
  expect(world.ledger.openOffers('f1', T).map(({ gateway }) => gateway)).toEqual(['farm']);
  world.block(minutesAfter(T, -5));
  world.block(minutesAfter(T, 20));
  expect(world.ledger.settlementsOf('farm', T)).toHaveLength(1);
  expect(world.ledger.settlementsOf('house', T)).toEqual([]);
});

test('the validator set changes from the next block on, one change at a time', () => {
  const world = new World();
  const before = validatorSetHash(world.genesis.validators);
  const approvers = ['v1', 'v2', 'v3', 'operator1'];
  world.block(NOW, membership(world, approvers));
  expect(world.ledger.head().validatorSet).toBe(before);
  expect([...world.ledger.validators().keys()]).toEqual(['v1', 'v2', 'v3', 'v4', 'v5']);
  expect(world.tell(NOW + 1, membership(world, approvers, { validator: 'v6', publicKey: publicKeyOf('v6') }))).toBe(
    'the change is not of the validator set in force',
  );
  expect(world.ledger.head().validatorSet).toBe(
    validatorSetHash([...world.genesis.validators, { id: 'v5', publicKey: publicKeyOf('v5') }]),
  );
});

test('batches that must not be prepared are named, requests that must not be ordered are hinted', () => {
  const world = new World();
  const { ledger } = world;
  const good = world.offer('house', T, [[1, 100]]);
  const verify = (requests: Envelope[], timeMs = NOW): string | null => ledger.verify({ requests, timeMs });
  expect(verify([good])).toBeNull();
  expect(verify([good], ledger.head().timeMs)).toBe('the block time is not later than the last');
  expect(verify([])).toBe('an empty batch with nothing due');
  expect(verify([good, { ...good }])).toMatch(/stands in the batch twice/);
  expect(verify([{ ...good, signer: 'nobody' }])).toBe('request of nobody: nobody is unknown or revoked');
  expect(verify([{ ...good, signer: 'farm' }])).toBe('request of farm: the signature does not hold');
  expect(verify([{ ...good, extra: 1 } as never])).toMatch(/not an envelope/);
  expect(verify([world.sign('house', 'offer', { buy: [], interval: T, sell: [], validUntilMs: NOW - 1 })])).toMatch(
    /expired at/,
  );
  expect(verify([world.sign('house', 'offer', { buy: [], interval: T, sell: [], validUntilMs: T0_MS * 2 })])).toMatch(
    /valid for longer/,
  );
  expect(verify(Array(501).fill(good))).toBe('501 requests, the limit is 500');
  world.block(NOW, good);
  expect(verify([good], NOW + 1)).toBe('request of house: already ordered');
  expect(ledger.propose([good, world.offer('farm', T, []), good], NOW + 1).requests).toHaveLength(1);
});

test('a proposal holds what fits, each signer in the order in which it signed', () => {
  const limits = { ...testGenesis().limits, batchBytesMax: 1024 };
  const world = new World(testGenesis({ limits }));
  const offers = Array.from({ length: 4 }, (_, i) => world.offer('house', T, [[1, 100 + i]]));
  const { requests } = world.ledger.propose([...offers].reverse(), NOW);
  expect(requests.map(({ body }) => body.sequence)).toEqual([2, 3, 4]);
  expect(world.ledger.verify({ requests: offers, timeMs: NOW })).toBe('requests of more than 1024 bytes');
  expect(world.ledger.verify({ requests, timeMs: NOW })).toBeNull();
});

test('a forecast of a lower sequence does not replace a higher one', () => {
  const world = new World();
  const [first, second] = [forecast(world), forecast(world)];
  world.block(NOW, second);
  expect(world.tell(NOW + 1, first)).toBe('superseded: sequence 2 of the same statement is already recorded');
});

test.each([
  ['expired', -1, /^expired at/],
  ['at its last instant', 0, null],
  ['as far ahead as genesis allows', 120 * MINUTE, null],
  ['a millisecond further', 120 * MINUTE + 1, /valid for longer/],
])('what no block made now may hold is not taken in: %s', (_name, aheadMs, reason) => {
  const world = new World();
  const nowMs = T0_MS + 30 * MINUTE;
  const { body, kind, signer } = world.offer('house', T, [[9000, 500]]);
  const request = seal(world.genesis.chain, kind, signer, { ...body, validUntilMs: nowMs + aheadMs }, signerOf(signer));
  const said = world.ledger.check(request, nowMs);
  if (reason === null) expect(said).toBeNull();
  else expect(said).toMatch(reason);
  // What is taken in is proposed, and what is not is not: nothing waits that no primary may order.
  expect(world.ledger.propose([request], nowMs).requests.length).toBe(reason === null ? 1 : 0);
});
