// The demo's bookkeeping: what counts as settled, as requested in time, and what the final document must show.

import { expect, test } from 'vitest';
import { type Book, createBook } from '../../src/demo/book.ts';
import { type DemoOutcome, outcomeProblems } from '../../src/demo/outcome.ts';
import { intervalLines } from '../../src/demo/report.ts';
import type { GatewayEvent } from '../../src/gateway/events.ts';
import { GENESIS, INTERVAL } from '../vectors/examples.ts';

const GATEWAYS = ['gateway-farm', 'gateway-flat'];
const request = (
  kind: string,
  phase: 'undecided' | 'recorded' | 'refused',
  confirmations: number,
  reason = '',
): GatewayEvent => ({
  ...{
    type: 'request',
    id: `${kind}${phase}`,
    kind,
    interval: INTERVAL,
    energyWh: 500,
    phase,
    reason,
    confirmations,
    needed: 3,
    validators: 4,
  },
});
const settlement = (gateway: string): GatewayEvent => ({
  type: 'settlement',
  interval: INTERVAL,
  settlement: {
    balanceUc: '0',
    deliveredWh: 480,
    deviationWh: -20,
    gateway,
    imbalanceUc: -640_000,
    interval: INTERVAL,
    kind: 'settlement',
    positionWh: 500,
    provisional: false,
    tradesUc: 4_500_000,
  },
});

function bookWith(...events: [string, GatewayEvent][]): Book {
  const book = createBook(GATEWAYS);
  for (const [gateway, event] of events) book.onGateway(gateway, event);
  return book;
}

test('an interval is settled when every gateway has proved its settlement', () => {
  expect(bookWith(['gateway-farm', settlement('gateway-farm')]).settled()).toEqual([]);
  const both = bookWith(...GATEWAYS.map((gateway) => [gateway, settlement(gateway)] as [string, GatewayEvent]));
  expect(both.settled()).toEqual([INTERVAL]);
});

test.each([
  ['both recorded', request('offer', 'recorded', 3), request('demand', 'recorded', 4), true],
  ['one refused as late', request('offer', 'recorded', 3), request('demand', 'refused', 0, 'late'), false],
  ['one still open', request('offer', 'undecided', 2), request('demand', 'recorded', 4), false],
  ['one has only delivered', request('offer', 'recorded', 3), request('delivery', 'recorded', 4), false],
])('requested in time by all: %s', (_name, farm, flat, expected) => {
  expect(bookWith(['gateway-farm', farm], ['gateway-flat', flat]).requestedInTimeByAll(INTERVAL)).toBe(expected);
});

const good: DemoOutcome = {
  intervals: [
    {
      start: '2026-06-21T10:00:00Z',
      requests: GATEWAYS.map((gateway) => ({ gateway, kind: 'offer', energyWh: 1, confirmations: 3, validators: 4 })),
      trades: [{ seller: 'gateway-farm', buyer: 'gateway-flat', energyWh: 1, sellerUcPerWh: 1, buyerUcPerWh: 1 }],
      deliveries: [],
      imbalanceWh: 0,
      moneyBalanced: true,
    },
  ],
  chain: { height: 1, verified: true, problem: null },
};
const interval = good.intervals[0] as DemoOutcome['intervals'][number];
const changed = (change: Partial<DemoOutcome['intervals'][number]>): DemoOutcome => ({
  ...good,
  intervals: [{ ...interval, ...change }],
});

test.each<[string, DemoOutcome, RegExp | null]>([
  ['everything as it should be', good, null],
  ['a site without a request', changed({ requests: interval.requests.slice(1) }), /no request of gateway-farm/],
  [
    'a request below its quorum',
    changed({ requests: interval.requests.map((r) => ({ ...r, confirmations: 2 })) }),
    /confirmed by 2 of 4/,
  ],
  [
    'no trade from site to site',
    changed({ trades: [{ ...interval.trades[0]!, buyer: 'utility-1' }] }),
    /no trade from site to site/,
  ],
  ['money that does not balance', changed({ moneyBalanced: false }), /money does not balance/],
  [
    'a chain that does not verify',
    { ...good, chain: { height: 1, verified: false, problem: 'block 1: state' } },
    /does not verify: block 1/,
  ],
  ['fewer intervals than wanted', { ...good, intervals: [] }, /0 of 1 intervals/],
])('the outcome is judged: %s', (_name, outcome, problem) => {
  const problems = outcomeProblems(outcome, createBook(GATEWAYS), 1, null);
  if (problem === null) expect(problems).toEqual([]);
  else expect(problems.join('\n')).toMatch(problem);
});

test('a gateway that the demo killed may miss one interval, and no more', () => {
  const silent = { ...interval, requests: interval.requests.slice(1) };
  const problems = (intervals: DemoOutcome['intervals'], ended: string) =>
    outcomeProblems({ ...good, intervals }, createBook(GATEWAYS), intervals.length, ended);
  expect(problems([interval, silent, interval], 'gateway-farm')).toEqual([]);
  expect(problems([interval, silent, silent], 'gateway-farm')).toEqual([expect.stringMatching(/gateway-farm/)]);
  expect(problems([interval, silent, interval], 'validator-1')).toEqual([expect.stringMatching(/gateway-farm/)]);
});

test('the terminal tells an interval in plain words', () => {
  const book = bookWith(
    ['gateway-farm', { type: 'forecast', interval: INTERVAL, generationWh: 600.4, consumptionWh: 100 }],
    ['gateway-farm', request('offer', 'recorded', 4)],
    [
      'gateway-farm',
      {
        type: 'notice',
        interval: INTERVAL,
        status: 'cleared',
        positionWh: 500,
        nodalPriceUcPerWh: 9000,
        bindingLine: 'north',
        confirmations: 3,
        trades: [
          {
            seller: 'gateway-farm',
            buyer: 'gateway-flat',
            buyerUcPerWh: 9300,
            energyWh: 500,
            lossWh: 2,
            path: [],
            sellerUcPerWh: 9000,
          },
        ],
      },
    ],
    ['gateway-farm', { type: 'delivery', interval: INTERVAL, deliveredWh: 480, quality: 'measured', uncertaintyWh: 2 }],
    ['gateway-farm', settlement('gateway-farm')],
  );
  expect(intervalLines(book, INTERVAL, GENESIS).slice(0, 4)).toEqual([
    '2026-06-21 10:00-10:15 UTC',
    '  farm     forecast   generation 600, consumption 100 Wh  offer +500 Wh 4 of 4',
    '           traded     sold 500 Wh to flat at 9.00 cent/kWh; the line above north was full',
    '           delivered  +480 Wh (measured), deviation -20 Wh, +3.86 cent',
  ]);
});
