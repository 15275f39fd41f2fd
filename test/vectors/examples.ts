// One example of everything that is signed, with fixed keys: what the vectors are made of.

import { createHash } from 'node:crypto';
import { getPublicKey, hashes, sign } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { toBase64url, utf8 } from '../../src/base/bytes.ts';
import type { JsonObject } from '../../src/base/canonical.ts';
import { chainId, type Genesis } from '../../src/protocol/genesis.ts';
import { validatorSetHash } from '../../src/protocol/header.ts';
import type { Leaf, SignedKind } from '../../src/protocol/replies.ts';
import { approvalBytes, possessionBytes, type RequestKind } from '../../src/protocol/requests.ts';

hashes.sha512 = sha512;

/** A key pair from a name: secret = SHA-256("wattpact test key " + name). Never for anything but tests. */
export function testKey(name: string): {
  secret: Uint8Array;
  publicKey: string;
  sign: (message: Uint8Array) => Uint8Array;
} {
  const secret = new Uint8Array(createHash('sha256').update(`wattpact test key ${name}`).digest());
  return { secret, publicKey: toBase64url(getPublicKey(secret)), sign: (message) => sign(message, secret) };
}

export const VALIDATORS = ['validator-1', 'validator-2', 'validator-3', 'validator-4'];
export const salt = toBase64url(Uint8Array.from({ length: 16 }, (_, i) => i));
const MINUTE = 60_000;
export const INTERVAL_MS = 15 * MINUTE;
export const T0_MS = Date.UTC(2026, 5, 21, 10, 0, 0);
export const INTERVAL = T0_MS / INTERVAL_MS;

function admission(gateway: string, bus: string) {
  return {
    bus,
    customers: [`${gateway.slice(8)}-customer`],
    devices: [{ capacityW: 10_000, id: 'pv', kind: 'pv' as const }],
    exportLimitW: 20_000,
    feeder: 'feeder-1',
    gateway,
    importLimitW: 30_000,
    meterSerial: `meter-${gateway}`,
    publicKey: testKey(gateway).publicKey,
    uncertaintyWhMax: 20,
  };
}

const withoutChain: Omit<Genesis, 'chain'> = {
  clock: { originMs: T0_MS - 60 * MINUTE, rate: 1, wallOriginMs: T0_MS - 60 * MINUTE },
  currency: { code: 'EUR', unit: 'cent' },
  feeders: [
    {
      buses: [
        { capacityW: null, id: 'root', lossPpm: 0, parent: null, tariffUcPerWh: 0 },
        { capacityW: 40_000, id: 'north', lossPpm: 12_000, parent: 'root', tariffUcPerWh: 300 },
        { capacityW: 25_000, id: 'south', lossPpm: 18_000, parent: 'root', tariffUcPerWh: 450 },
      ],
      id: 'feeder-1',
      latitudeDeg10: 523,
      longitudeDeg10: 47,
      operator: 'operator-1',
      utility: 'utility-1',
    },
  ],
  gateways: [admission('gateway-farm', 'north'), admission('gateway-flat', 'south')],
  interval: {
    gateCloseMs: 5 * MINUTE,
    gateOpenMs: 60 * MINUTE,
    lengthMs: INTERVAL_MS,
    requestMs: 10 * MINUTE,
    settlementMs: 5 * MINUTE,
  },
  limits: {
    batchBytesMax: 1_048_576,
    batchRequestsMax: 1000,
    clockSkewMsMax: 5000,
    dueOperationsMax: 1000,
    validForMsMax: 120 * MINUTE,
  },
  name: 'vectors',
  operatorThreshold: 1,
  operators: [{ id: 'operator-1', publicKey: testKey('operator-1').publicKey }],
  rounds: 1,
  settlement: { shortfallPenaltyUcPerWh: 2000, surplusPenaltyUcPerWh: 1000 },
  tariffRule: { distanceUcPerWhKm: 50, energyUcPerWh: 25_000, loadingPercent: 100 },
  trustPeriodMs: 30 * 24 * 60 * MINUTE,
  utilities: [{ id: 'utility-1', publicKey: testKey('utility-1').publicKey }],
  validators: VALIDATORS.map((id) => ({ id, publicKey: testKey(id).publicKey })),
};
export const GENESIS: Genesis = { ...withoutChain, chain: chainId(withoutChain) };

const common = { salt, sequence: 1, validUntilMs: T0_MS };
const metered = {
  ctRatio: { primaryA: 1, secondaryA: 1 },
  devices: [{ curtailed: false, device: 'pv', energyWh: 1900 }],
  exportEndWh: 1_001_500,
  exportStartWh: 1_000_000,
  importEndWh: 500_000,
  importStartWh: 500_000,
  interval: INTERVAL,
  meterSerial: 'meter-gateway-farm',
  quality: 'measured',
  uncertaintyWh: 2,
};
const newAdmission = admission('gateway-house', 'north');
const possession = (body: JsonObject, key: string): string =>
  toBase64url(testKey(key).sign(possessionBytes(GENESIS.chain, body)));
const change = {
  publicKey: testKey('validator-5').publicKey,
  validator: 'validator-5',
  validatorSet: validatorSetHash(GENESIS.validators),
};
const approval = (signer: string): JsonObject => ({
  signature: toBase64url(testKey(signer).sign(approvalBytes(GENESIS.chain, change))),
  signer,
});

/** Signer and body of one request of each kind. */
export const REQUESTS: Readonly<Record<RequestKind, { signer: string; body: JsonObject }>> = {
  baseline: {
    signer: 'operator-1',
    body: {
      ...common,
      feeder: 'feeder-1',
      fromInterval: INTERVAL,
      netExports: [{ bus: 'south', energyWh: -250 }],
      untilInterval: INTERVAL + 4,
    },
  },
  correction: {
    signer: 'gateway-farm',
    body: { ...common, ...metered, exportEndWh: 1_001_510, reason: 'meter read again' },
  },
  delivery: { signer: 'gateway-farm', body: { ...common, ...metered } },
  demand: { signer: 'gateway-flat', body: { ...common, customer: 'flat-customer', energyWh: 400, interval: INTERVAL } },
  'feeder.publish': {
    signer: 'operator-1',
    body: { ...common, feeder: GENESIS.feeders[0] as unknown as JsonObject, fromInterval: INTERVAL },
  },
  forecast: {
    signer: 'gateway-farm',
    body: {
      ...common,
      device: 'pv',
      energyWh: 1900,
      interval: INTERVAL,
      quantilesWh: [1200, 1400, 1700, 1900, 2050, 2200, 2300],
    },
  },
  'gateway.admit': {
    signer: 'operator-1',
    body: { ...common, admission: newAdmission, possession: possession(newAdmission, 'gateway-house') },
  },
  'gateway.rekey': {
    signer: 'operator-1',
    body: {
      ...common,
      gateway: 'gateway-farm',
      possession: possession(
        { gateway: 'gateway-farm', publicKey: testKey('gateway-farm-2').publicKey },
        'gateway-farm-2',
      ),
      publicKey: testKey('gateway-farm-2').publicKey,
    },
  },
  'gateway.revoke': { signer: 'operator-1', body: { ...common, gateway: 'gateway-farm' } },
  limit: {
    signer: 'operator-1',
    body: {
      ...common,
      capacities: [{ bus: 'south', capacityW: 8000 }],
      feeder: 'feeder-1',
      fromInterval: INTERVAL,
      untilInterval: INTERVAL + 1,
    },
  },
  membership: {
    signer: 'operator-1',
    body: {
      ...common,
      approvals: ['operator-1', 'validator-1', 'validator-2', 'validator-3'].map(approval),
      change,
      possession: possession(change, 'validator-5'),
    },
  },
  'meter.swap': {
    signer: 'operator-1',
    body: {
      ...common,
      closingExportWh: 1_002_000,
      closingImportWh: 500_100,
      closingSerial: 'meter-gateway-farm',
      gateway: 'gateway-farm',
      interval: INTERVAL,
      openingExportWh: 0,
      openingImportWh: 0,
      openingSerial: 'meter-2',
    },
  },
  offer: {
    signer: 'gateway-farm',
    body: {
      ...common,
      buy: [],
      interval: INTERVAL,
      sell: [
        { energyWh: 1000, priceUcPerWh: 9000 },
        { energyWh: 500, priceUcPerWh: 12_000 },
      ],
    },
  },
  tariff: {
    signer: 'utility-1',
    body: {
      ...common,
      buyUcPerWh: 8000,
      buyWhMax: 1_000_000,
      feeder: 'feeder-1',
      fromInterval: INTERVAL,
      sellUcPerWh: 30_000,
      sellWhMax: 1_000_000,
      untilInterval: INTERVAL + 96,
    },
  },
};

/** Bytes with the rule of canonical form that they keep or break. */
export const CANONICAL: { accepted: string[]; refused: { rule: string; bytes: Uint8Array }[] } = {
  accepted: [
    'null',
    'true',
    '0',
    '-1',
    '9007199254740991',
    '""',
    '"€"',
    '"\\u0000\\t\\n\\"\\\\/"',
    '[]',
    '[1,[2,"3"]]',
    '{}',
    '{"a":{"b":[]},"b":1,"😀":2,"｡":3}',
    // The outermost value is level 0.
    `${'['.repeat(33)}${']'.repeat(33)}`,
    `${'['.repeat(32)}0${']'.repeat(32)}`,
  ],
  refused: [
    { rule: 'no white space', bytes: utf8('{"a": 1}') },
    { rule: 'keys sorted by UTF-16 units', bytes: utf8('{"b":1,"a":2}') },
    { rule: 'a key once', bytes: utf8('{"a":1,"a":1}') },
    { rule: 'safe integers only', bytes: utf8('9007199254740992') },
    { rule: 'no fractions', bytes: utf8('1.5') },
    { rule: 'no exponents', bytes: utf8('1e3') },
    { rule: 'no minus zero', bytes: utf8('-0') },
    { rule: 'no needless escapes', bytes: utf8('"\\u0041"') },
    { rule: 'no lone surrogates', bytes: utf8('"\\ud800"') },
    { rule: 'NFC only', bytes: utf8('"e\u0301"') },
    { rule: 'no __proto__', bytes: utf8('{"__proto__":1}') },
    { rule: 'no byte order mark', bytes: utf8('\ufeff1') },
    { rule: 'valid UTF-8', bytes: Uint8Array.of(0x22, 0xc3, 0x28, 0x22) },
    { rule: 'nothing after the value', bytes: utf8('1\n') },
    { rule: 'nothing deeper than level 32', bytes: utf8(`${'['.repeat(34)}${']'.repeat(34)}`) },
    { rule: 'no plain value deeper than level 32', bytes: utf8(`${'['.repeat(33)}0${']'.repeat(33)}`) },
  ],
};

const hash = (digit: string): string => digit.repeat(64);

/** Signer and body of every other signed message. */
export const MESSAGES: Readonly<Record<SignedKind, { signer: string; body: JsonObject }>> = {
  absent: { signer: 'validator-1', body: { header: hash('a'), height: 9, request: hash('b'), timeMs: T0_MS + 1 } },
  ask: {
    signer: 'gateway-farm',
    body: {
      historyFrom: null,
      intervals: [INTERVAL],
      requests: [hash('b')],
      salt,
      sequence: true,
      setsFrom: null,
      timeMs: T0_MS,
    },
  },
  checkpoint: {
    signer: 'operator-1',
    body: {
      header: {
        chain: GENESIS.chain,
        height: 9,
        parent: hash('a'),
        resultsRoot: hash('b'),
        stateHash: hash('c'),
        timeMs: T0_MS,
        validatorSet: validatorSetHash(GENESIS.validators),
      },
      validators: GENESIS.validators,
    } as unknown as JsonObject,
  },
  hint: { signer: 'validator-1', body: { reason: 'the signature does not hold', request: hash('b') } },
  history: { signer: 'validator-1', body: { from: 0, keptFrom: 1, records: [], salt, until: 9 } },
  order: {
    signer: 'operator-1',
    body: {
      exportLimitW: 0,
      fromMs: T0_MS,
      gateway: 'gateway-farm',
      importLimitW: null,
      sequence: 1,
      untilMs: T0_MS + INTERVAL_MS,
    },
  },
  query: {
    signer: 'gateway-farm',
    body: {
      expiresMs: T0_MS + MINUTE,
      salt,
      target: '/v1/parties/gateway-farm/account',
      validator: 'validator-1',
    },
  },
  sequence: {
    signer: 'validator-1',
    body: { gateway: 'gateway-farm', header: hash('a'), height: 9, salt, sequence: 41 },
  },
};

/** One leaf of each kind. */
export const LEAVES: readonly Leaf[] = [
  {
    kind: 'verdict',
    reason: 'late: the gate of interval 1980040 closed at 2026-06-21T09:55:00Z',
    request: 'b'.repeat(64),
    requestKind: 'offer',
    signer: 'gateway-farm',
    verdict: 'refused',
  },
  {
    bindingLine: 'south',
    bindingUcPerWh: 1500,
    clearing: 'c'.repeat(64),
    feeder: 'feeder-1',
    gateway: 'gateway-farm',
    interval: INTERVAL,
    kind: 'notice',
    nodalPriceUcPerWh: 11_000,
    positionWh: 400,
    status: 'cleared',
    trades: [
      {
        buyer: 'gateway-flat',
        buyerUcPerWh: 11_750,
        energyWh: 400,
        lossWh: 11,
        path: ['north', 'root', 'south'],
        seller: 'gateway-farm',
        sellerUcPerWh: 11_000,
      },
    ],
  },
  {
    balanceUc: '4275000',
    deliveredWh: 390,
    deviationWh: -10,
    gateway: 'gateway-farm',
    imbalanceUc: -125_000,
    interval: INTERVAL,
    kind: 'settlement',
    positionWh: 400,
    provisional: false,
    tradesUc: 4_400_000,
  },
  {
    clearing: 'c'.repeat(64),
    feeder: 'feeder-1',
    interval: INTERVAL,
    kind: 'clearing',
    status: 'cleared',
    tradedWh: null,
  },
];
