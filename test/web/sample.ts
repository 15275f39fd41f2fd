// A page's state as a demo in its second interval would fill it, with everything that can go wrong somewhere in it.

import type { PageState, RequestView, SiteView } from '../../src/web/state.ts';

const MINUTE_MS = 60_000;
const START_MS = Date.UTC(2026, 5, 21, 10, 15);

const curve = (base: number, swing: number): number[] =>
  Array.from({ length: 120 }, (_, i) => Math.round(base + swing * Math.sin(i / 9)));

function site(id: string, name: string, gridPowerW: number | null, rest: Partial<SiteView>): SiteView {
  return {
    id,
    name,
    gridPowerW,
    generationPowerW: 0,
    batteryPowerW: null,
    consumptionPowerW: 400,
    stateOfChargePercent: null,
    positionWh: null,
    deliveredWh: null,
    balanceUc: null,
    gridPowersW: curve(gridPowerW ?? 0, 300),
    trouble: null,
    conditions: [],
    equipment: [],
    ...rest,
  };
}

function request(n: number, rest: Partial<RequestView>): RequestView {
  return {
    id: `${n}`.padStart(64, '0'),
    gateway: 'gateway-farm',
    kind: 'offer',
    interval: 1_984_000 + n,
    intervalStartMs: START_MS + 15 * MINUTE_MS,
    energyWh: 1_250,
    stage: 'reply',
    phase: 'recorded',
    reason: '',
    confirmations: 4,
    needed: 3,
    validators: 4,
    ...rest,
  };
}

export function sampleState(): PageState {
  return {
    chain: 'neighbourhood-0123456789abcdef',
    source: 'shipped days',
    canAct: true,
    rate: 45,
    nowMs: START_MS + 6.5 * MINUTE_MS,
    interval: { number: 1_984_000, startMs: START_MS, endMs: START_MS + 15 * MINUTE_MS },
    currency: { code: 'EUR', unit: 'ct' },
    head: { height: 17, timeMs: START_MS, hash: '9f3a61c2'.repeat(8) },
    sites: [
      site('gateway-house', 'House with battery', -2_340, {
        generationPowerW: 4_410,
        batteryPowerW: -1_500,
        consumptionPowerW: 570,
        stateOfChargePercent: 62,
        positionWh: 560,
        deliveredWh: 241,
        balanceUc: '12345678',
      }),
      site('gateway-farm', 'Farm with a wind turbine', -18_200, {
        generationPowerW: 21_000,
        consumptionPowerW: 2_800,
        positionWh: 4_500,
        deliveredWh: 1_950,
        balanceUc: '88231000',
      }),
      site('gateway-factory', 'Factory', 24_700, {
        consumptionPowerW: 24_700,
        positionWh: -5_100,
        deliveredWh: -2_680,
        balanceUc: '-97110000',
      }),
      site('gateway-flat', 'House with loads', null, {
        generationPowerW: null,
        consumptionPowerW: null,
        gridPowersW: [...curve(500, 200).slice(0, 80), ...Array.from({ length: 40 }, () => null)],
        trouble: 'The meter does not answer: timeout after 1000 ms (unit 1 at 127.0.0.1:5024)',
      }),
    ],
    requests: [
      request(9, { gateway: 'gateway-house', stage: 'prepare', phase: 'undecided', confirmations: 0 }),
      request(8, { kind: 'demand', gateway: 'gateway-factory', stage: 'reply', phase: 'undecided', confirmations: 2 }),
      request(7, {
        kind: 'delivery',
        gateway: 'gateway-flat',
        phase: 'refused',
        reason: 'late: the gate closed at 10:10:00',
        confirmations: 0,
      }),
      request(6, { kind: 'forecast', gateway: 'gateway-house' }),
      ...Array.from({ length: 16 }, (_, i) => request(5 - i, { kind: i % 2 === 0 ? 'offer' : 'delivery' })),
    ],
    clearing: {
      feeder: 'feeder-1',
      interval: 1_984_000,
      intervalStartMs: START_MS,
      status: 'cleared',
      tradedWh: '5060',
      buses: [
        { id: 'substation', parent: -1, flowWh: 0, capacityWh: -1, priceUcPerWh: 14_500, sites: [] },
        { id: 'street', parent: 0, flowWh: 40, capacityWh: 25_000, priceUcPerWh: 14_200, sites: [] },
        { id: 'house', parent: 1, flowWh: 560, capacityWh: 5_000, priceUcPerWh: 13_900, sites: ['gateway-house'] },
        { id: 'flat', parent: 1, flowWh: 0, capacityWh: 5_000, priceUcPerWh: 14_200, sites: ['gateway-flat'] },
        { id: 'lane', parent: 1, flowWh: -600, capacityWh: 6_000, priceUcPerWh: 14_900, sites: [] },
        { id: 'farm', parent: 4, flowWh: 4_500, capacityWh: 4_500, priceUcPerWh: 12_600, sites: ['gateway-farm'] },
        {
          id: 'factory',
          parent: 4,
          flowWh: -5_100,
          capacityWh: 10_000,
          priceUcPerWh: 15_200,
          sites: ['gateway-factory'],
        },
      ],
      trades: [
        {
          seller: 'gateway-farm',
          buyer: 'gateway-factory',
          energyWh: 4_500,
          sellerUcPerWh: 12_600,
          buyerUcPerWh: 15_200,
          lossWh: 41,
        },
        {
          seller: 'gateway-house',
          buyer: 'gateway-factory',
          energyWh: 560,
          sellerUcPerWh: 13_900,
          buyerUcPerWh: 15_200,
          lossWh: 9,
        },
        {
          seller: 'utility',
          buyer: 'gateway-factory',
          energyWh: 40,
          sellerUcPerWh: 14_500,
          buyerUcPerWh: 15_200,
          lossWh: 1,
        },
      ],
    },
    validators: ['validator-1', 'validator-2', 'validator-3', 'validator-4'].map((id, i) => ({
      id,
      up: i !== 3,
      role: i === 0 ? 'primary' : i === 3 ? 'down' : 'backup',
      view: 0,
      height: i === 3 ? 14 : 17,
      stateHash: (i === 3 ? '77ab' : 'c01d').repeat(16),
      brokersConnected: i === 3 ? 0 : 4,
      brokers: 4,
    })),
    events: [
      { atMs: START_MS + 6 * MINUTE_MS, tone: 'bad', text: 'validator-4 was ended (kill): three go on' },
      {
        atMs: START_MS + 5 * MINUTE_MS,
        tone: 'warn',
        text: 'gateway-flat: the meter does not answer, nothing is offered',
      },
      { atMs: START_MS, tone: 'good', text: '10:15 cleared: 5.1 kWh in 3 trades' },
      { atMs: START_MS - MINUTE_MS, tone: 'plain', text: 'gateway-house requested 0.56 kWh for 10:15' },
    ],
  };
}
