// A site judges the answer to its own offer: what every honest clearing gives is fair, and a Wh or a price beside it is not.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { newRequest } from '../../src/contract/life.ts';
import { watchFairness } from '../../src/gateway/fairness.ts';
import { noticeProblem, shareOf, shareProblem } from '../../src/ledger/share.ts';
import { encodeEnvelope, seal } from '../../src/protocol/envelope.ts';
import type { Notice } from '../../src/protocol/replies.ts';
import { type GatewayStore, openGatewayStore, type StoredRequest } from '../../src/store/gateway.ts';
import { minutesAfter, signerOf, T, testGenesis, World } from '../ledger/world.ts';

const SITES = ['house', 'farm', 'factory', 'flat'];
/** Rising sell prices above falling buy prices, a side may be empty. */
const offerArbitrary = fc
  .record({
    prices: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
    energies: fc.array(fc.integer({ min: 1, max: 990 }), { minLength: 5, maxLength: 5 }),
    buys: fc.integer({ min: 0, max: 5 }),
  })
  .map(({ prices, energies, buys }) => {
    const steps = prices
      .sort((a, b) => a - b)
      .map((price, i) => [price * 1_000, energies[i] as number] as [number, number]);
    return { buy: steps.slice(0, buys).reverse(), sell: steps.slice(buys) };
  });

function cleared(
  offers: readonly { buy: [number, number][]; sell: [number, number][] }[],
  rounds: number,
  capacityW: number,
) {
  const base = testGenesis();
  const feeders = base.feeders.map((feeder) => ({
    ...feeder,
    buses: feeder.buses.map((bus) => (bus.id === 'a' ? { ...bus, capacityW } : bus)),
  }));
  const world = new World(testGenesis({ feeders, rounds }));
  world.block(minutesAfter(T, -40), world.tariff());
  for (const [i, { buy, sell }] of offers.entries()) {
    world.block(minutesAfter(T, -35 + 8 * i), world.offer(SITES[i] as string, T, sell, buy));
  }
  world.block(minutesAfter(T, -5));
  const document = world.ledger.clearing('f1', T);
  if (document === null) throw new Error('nothing was cleared');
  return SITES.map((site) => {
    const leaf = world.ledger.noticeOf(site, T)?.proof.leaf as Notice;
    const share = shareOf(document, site);
    if (share === null) throw new Error('no share');
    return { leaf, share };
  });
}

test('every clearing is fair to every site, and one Wh or another price is seen', () => {
  fc.assert(
    fc.property(
      fc.array(offerArbitrary, { minLength: 4, maxLength: 4 }),
      fc.constantFrom(1, 1, 3),
      fc.constantFrom(40_000, 3_000),
      (offers, rounds, capacityW) => {
        for (const [i, { leaf, share }] of cleared(offers, rounds, capacityW).entries()) {
          expect(shareProblem(share, leaf)).toBeNull();
          const { buy, sell } = offers[i] as (typeof offers)[number];
          const steps = (pairs: [number, number][]) =>
            pairs.map(([priceUcPerWh, energyWh]) => ({ energyWh, priceUcPerWh }));
          const offer = { buy: steps(buy), sell: steps(sell) };
          expect(noticeProblem(leaf, offer, rounds)).toBeNull();
          expect(shareProblem(share, { ...leaf, positionWh: leaf.positionWh + 1 })).not.toBeNull();
          if (share.status === 'cleared') {
            expect(shareProblem(share, { ...leaf, nodalPriceUcPerWh: leaf.nodalPriceUcPerWh + 1 })).not.toBeNull();
          }
        }
      },
    ),
    { numRuns: 40 },
  );
});

/** An offer to buy, in the store with what became of it. */
function offered(
  store: GatewayStore,
  letter: string,
  steps: readonly [number, number][],
  phase: 'recorded' | 'undecided',
): void {
  const buy = steps.map(([priceUcPerWh, energyWh]) => ({ energyWh, priceUcPerWh }));
  const request: StoredRequest = store.requests.create(() => ({
    id: letter.repeat(64),
    kind: 'offer',
    interval: T,
    bytes: encodeEnvelope(seal('chain', 'offer', 'house', { buy, interval: T, sell: [] }, signerOf('house'))),
    createdAtMs: 0,
    life: newRequest(letter.repeat(64), 0),
  }));
  if (phase === 'undecided') return;
  const decision = { verdict: 'recorded' as const, reason: '', height: 1, header: '', timeMs: 0 };
  const {
    nextSendAtMs: _n,
    sendings: _s,
    hints: _h,
    ...common
  } = request.life as Extract<typeof request.life, { phase: 'undecided' }>;
  store.requests.saveLife({ ...common, phase, decision, validators: [] });
}

/** A buyer's notice of a market with plenty, and who judges it. */
function watched() {
  const [first] = cleared(
    [{ buy: [[20_000, 500]], sell: [] }, ...Array(3).fill({ buy: [], sell: [[6_000, 1_000]] })],
    1,
    40_000,
  );
  if (first === undefined) throw new Error('no notice');
  const said: string[] = [];
  const log = { ...SILENT, error: (_fields: object, message: string) => said.push(message) };
  const store = openGatewayStore(':memory:');
  const judge = watchFairness({ store, rounds: 1, log });
  return { first, said, store, judge };
}

test('what is not fair is said aloud, once the offer that stood is known', () => {
  const { first, said, store, judge } = watched();
  judge({ ...first.leaf, positionWh: 0 });
  expect(said).toEqual([]);
  offered(store, 'a', [[20_000, 500]], 'recorded');
  judge(first.leaf);
  expect(said).toEqual([]);
  judge({ ...first.leaf, positionWh: -499 });
  expect(said).toEqual(['the clearing is no fair answer to the offer']);
  store.close();
});

test('the offer that stood is the last one recorded, whatever was said before and after it', () => {
  const { first, said, store, judge } = watched();
  offered(store, 'a', [[20_000, 100]], 'recorded');
  offered(store, 'b', [[20_000, 500]], 'recorded');
  offered(store, 'c', [[20_000, 200]], 'undecided');
  judge(first.leaf);
  expect(said).toEqual([]);
  judge({ ...first.leaf, positionWh: -100 });
  expect(said).toHaveLength(1);
  store.close();
});
