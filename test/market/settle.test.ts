// Settlement: the rule by table, sums to the last µ¤, and what a site can gain by not telling the truth.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import { orderBook } from '../../src/market/book.ts';
import { clear, walkRounds } from '../../src/market/clear.ts';
import { type BusRecord, buildFeeder } from '../../src/market/feeder.ts';
import {
  accountOfRounds,
  commonAmounts,
  type Lot,
  type MarketAccount,
  marketAccount,
  siteAmounts,
  worstDelivery,
} from '../../src/market/settle.ts';
import { pairTrades } from '../../src/market/trades.ts';
import type { Clearing, FeederModel, Order, UtilityTariff } from '../../src/market/types.ts';
import { randomInstance } from './instances.ts';

const TARIFF = { buyUcPerWh: 8, sellUcPerWh: 30 };
const PENALTIES = { shortfallPenaltyUcPerWh: 2, surplusPenaltyUcPerWh: 3 };

describe('one site', () => {
  for (const [name, site, tradesUc, imbalanceUc] of [
    ['delivers as traded', { positionWh: 100, deliveredWh: 100, priceUcPerWh: 20, uncertaintyWh: 0 }, 2000, 0],
    ['falls short of its sale', { positionWh: 100, deliveredWh: 90, priceUcPerWh: 20, uncertaintyWh: 0 }, 2000, -320],
    [
      'consumes more than bought',
      { positionWh: -100, deliveredWh: -110, priceUcPerWh: 20, uncertaintyWh: 0 },
      -2000,
      -320,
    ],
    [
      'nodal price above the utility’s',
      { positionWh: -100, deliveredWh: -110, priceUcPerWh: 40, uncertaintyWh: 0 },
      -4000,
      -420,
    ],
    ['exports more than sold', { positionWh: 100, deliveredWh: 110, priceUcPerWh: 20, uncertaintyWh: 0 }, 2000, 50],
    ['nodal price below the utility’s', { positionWh: 0, deliveredWh: 10, priceUcPerWh: 5, uncertaintyWh: 0 }, 0, 20],
    ['surplus that nobody wants', { positionWh: 0, deliveredWh: 10, priceUcPerWh: 1, uncertaintyWh: 0 }, 0, -20],
    ['within its uncertainty', { positionWh: 100, deliveredWh: 96, priceUcPerWh: 20, uncertaintyWh: 4 }, 2000, -80],
    [
      'beyond its uncertainty',
      { positionWh: 100, deliveredWh: 90, priceUcPerWh: 20, uncertaintyWh: 4 },
      2000,
      -80 - 192,
    ],
    ['not cleared', { positionWh: 0, deliveredWh: -10, priceUcPerWh: null, uncertaintyWh: 0 }, 0, -320],
  ] as const) {
    test(name, () => {
      expect(siteAmounts(site, TARIFF, PENALTIES)).toMatchObject({ tradesUc, imbalanceUc });
    });
  }

  test('without tariff the nodal price prices; without either nothing does', () => {
    const site = { positionWh: 0, deliveredWh: -10, priceUcPerWh: 7, uncertaintyWh: 0 };
    expect(siteAmounts(site, null, PENALTIES).imbalanceUc).toBe(-90);
    expect(siteAmounts({ ...site, priceUcPerWh: null }, null, PENALTIES)).toMatchObject({
      tradesUc: 0,
      penaltyUc: -20,
    });
  });

  test('silence costs the worse of both capacities, and never less than any delivery', () => {
    const site = { positionWh: 50, priceUcPerWh: 20, uncertaintyWh: 0 };
    expect(worstDelivery(site, 500, 400, TARIFF, PENALTIES)).toBe(-400);
    expect(worstDelivery({ ...site, priceUcPerWh: -40 }, 500, 0, TARIFF, PENALTIES)).toBe(500);
    fc.assert(
      fc.property(
        fc.integer({ min: -400, max: 500 }),
        fc.integer({ min: -60, max: 60 }),
        (deliveredWh, priceUcPerWh) => {
          const at = { ...site, priceUcPerWh };
          const worst = siteAmounts(
            { ...at, deliveredWh: worstDelivery(at, 500, 400, TARIFF, PENALTIES) },
            TARIFF,
            PENALTIES,
          );
          expect(worst.imbalanceUc).toBeLessThanOrEqual(
            siteAmounts({ ...at, deliveredWh }, TARIFF, PENALTIES).imbalanceUc,
          );
        },
      ),
    );
  });
});

test('what buyers pay is what sellers, operator and utility receive, to the last µ¤', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const { feeder, book, utility, label } = randomInstance(seed, 20, 40);
    const clearing = clear(feeder, book);
    const account = marketAccount(feeder, book, clearing);
    const next = seededRandom(seed);
    const ordinary = book.size - (book.hasUtility ? 2 : 0);
    const sites = Array.from({ length: ordinary }, (_, i) => {
      const positionWh = (book.supply[i] === 1 ? 1 : -1) * clearing.fillsWh[i]! + 0;
      const deliveredWh = positionWh + Math.floor(next() * 21) - 10;
      const priceUcPerWh = clearing.pricesUcPerWh[book.buses[i]!]!;
      const site = { positionWh, deliveredWh, priceUcPerWh, uncertaintyWh: Math.floor(next() * 5) };
      return { ...site, ...siteAmounts(site, utility ?? null, PENALTIES), counters: next() < 0.9 ? {} : null };
    });
    const common = commonAmounts(sites, { ...account, tariff: utility ?? null });
    const sitesUc = sites.reduce((sum, site) => sum + BigInt(site.tradesUc) + BigInt(site.imbalanceUc), 0n);
    expect(sitesUc + common.utilityUc + common.operatorUc, label).toBe(0n);
    expect(common.congestionUc, label).toBe(account.congestionUc);
    expect(account.congestionUc >= 0n, label).toBe(true);
    const spread = pairTrades(feeder, book, clearing).reduce(
      (sum, trade) => sum + BigInt(trade.energyWh) * BigInt(trade.buyerUcPerWh - trade.sellerUcPerWh),
      0n,
    );
    expect(spread, label).toBe(account.lineTariffsUc + account.congestionUc);
  }
});

test('the same in several rounds, and no deviation is priced better than any round paid', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const { feeder, book, utility, label } = randomInstance(seed, 20, 40);
    const next = seededRandom(seed);
    const ordinary = book.size - (book.hasUtility ? 2 : 0);
    const joins = Uint8Array.from({ length: book.size }, (_, i) => (i < ordinary ? Math.floor(next() * 3) : 0));
    const accounts: MarketAccount[] = [];
    const lots = Array.from({ length: ordinary }, (): Lot[] => []);
    walkRounds(feeder, book, joins, 3, (left, open) => {
      const clearing = clear(left, open);
      accounts.push(marketAccount(left, open, clearing));
      for (const [i, lot] of lots.entries()) {
        const positionWh = (book.supply[i] === 1 ? 1 : -1) * clearing.fillsWh[i]! + 0;
        lot.push({ positionWh, priceUcPerWh: clearing.pricesUcPerWh[book.buses[i]!]! });
      }
      return clearing;
    });
    const account = accountOfRounds(accounts);
    const sites = lots.map((lot) => {
      const positionWh = lot.reduce((sum, part) => sum + part.positionWh, 0);
      const deliveredWh = positionWh + Math.floor(next() * 21) - 10;
      const { priceUcPerWh } = lot[2] as Lot;
      const site = { positionWh, deliveredWh, priceUcPerWh, earlier: lot.slice(0, 2), uncertaintyWh: 3 };
      const amounts = siteAmounts(site, utility ?? null, PENALTIES);
      expect(amounts.tradesUc, label).toBe(lot.reduce((sum, part) => sum + part.positionWh * part.priceUcPerWh, 0) + 0);
      for (const part of lot) {
        expect(amounts.imbalanceUc, label).toBeLessThanOrEqual((deliveredWh - positionWh) * part.priceUcPerWh);
      }
      return { ...site, ...amounts, counters: {} };
    });
    const common = commonAmounts(sites, { ...account, tariff: utility ?? null });
    const sitesUc = sites.reduce((sum, site) => sum + BigInt(site.tradesUc) + BigInt(site.imbalanceUc), 0n);
    expect(sitesUc + common.utilityUc + common.operatorUc, label).toBe(0n);
    expect(common.congestionUc, label).toBe(account.congestionUc);
    expect(account.congestionUc >= 0n, label).toBe(true);
  }
});

test('an assumed delivery moves money, not energy: the operator holds it, the utility is not billed for it', () => {
  const site = { positionWh: 0, deliveredWh: -100, priceUcPerWh: 20, uncertaintyWh: 0 };
  const market = { lineTariffsUc: 0n, lossWh: 10, utilityUc: 0n, tariff: TARIFF };
  const settled = { ...site, ...siteAmounts(site, TARIFF, PENALTIES) };
  const losses = 10n * 30n;
  expect(commonAmounts([{ ...settled, counters: {} }], market)).toMatchObject({
    utilityUc: 3000n + losses,
    operatorUc: 200n - losses,
  });
  expect(commonAmounts([{ ...settled, counters: null }], market)).toMatchObject({
    utilityUc: losses,
    operatorUc: 3200n - losses,
  });
});

// A site with firm consumption or firm generation of `needWh` (+ = generation) on a feeder without line limits, a utility
// deep enough for all, and penalties no lower than the tariffs of any path to the root.
interface World {
  readonly feeder: FeederModel;
  readonly others: readonly Order[];
  readonly utility: UtilityTariff;
  readonly penalty: number;
  readonly bus: number;
  readonly needWh: number;
}

function world(seed: number): World {
  const next = seededRandom(seed);
  const below = (limit: number): number => Math.floor(next() * limit);
  const n = 1 + below(6);
  const records = Array.from(
    { length: n },
    (_, i): BusRecord => ({
      id: `b${i}`,
      parent: i === 0 ? null : `b${below(i)}`,
      capacityW: null,
      tariffUcPerWh: below(3),
      lossPpm: 0,
    }),
  );
  const buyUcPerWh = 5 + below(10);
  return {
    feeder: buildFeeder(records, { lengthMs: 900_000 }),
    others: Array.from({ length: below(12) }, () => ({
      bus: below(n),
      side: next() < 0.5 ? ('supply' as const) : ('demand' as const),
      priceUcPerWh: below(40),
      energyWh: 1 + below(20),
    })),
    utility: { buyUcPerWh, buyWhMax: 10_000, sellUcPerWh: buyUcPerWh + below(20), sellWhMax: 10_000 },
    penalty: 2 * n,
    bus: below(n),
    needWh: (1 + below(30)) * (next() < 0.5 ? 1 : -1),
  };
}

/** What the site comes out with when it offers `steps` and then delivers what it physically must. */
function outcome(
  of: World,
  steps: readonly Order[],
  uncertaintyWh = 0,
): { payoffUc: number; positionWh: number; price: number } {
  const book = orderBook(of.feeder, [...of.others, ...steps], of.utility);
  const clearing: Clearing = clear(of.feeder, book);
  let positionWh = 0;
  for (let i = of.others.length; i < of.others.length + steps.length; i++) {
    positionWh += (book.supply[i] === 1 ? 1 : -1) * clearing.fillsWh[i]!;
  }
  const price = clearing.pricesUcPerWh[of.bus]!;
  const site = { positionWh, deliveredWh: of.needWh, priceUcPerWh: price, uncertaintyWh };
  const penalties = { shortfallPenaltyUcPerWh: of.penalty, surplusPenaltyUcPerWh: of.penalty };
  const { tradesUc, imbalanceUc } = siteAmounts(site, of.utility, penalties);
  return { payoffUc: tradesUc + imbalanceUc, positionWh, price };
}

const ROUNDS = 3;

/** The same in several rounds: the others join in `joins`, the site's steps in `mine`. `lots`: what each round made of the site. */
function roundsOutcome(
  of: World,
  joins: readonly number[],
  steps: readonly Order[],
  mine: number,
  uncertaintyWh = 0,
): { payoffUc: number; lots: readonly Lot[] } {
  const book = orderBook(of.feeder, [...of.others, ...steps], of.utility);
  const all = Uint8Array.from(
    { length: book.size },
    (_, i) => joins[i] ?? (i < joins.length + steps.length ? mine : 0),
  );
  const lots: Lot[] = [];
  walkRounds(of.feeder, book, all, ROUNDS, (feeder, open) => {
    const clearing = clear(feeder, open);
    let positionWh = 0;
    for (let i = joins.length; i < joins.length + steps.length; i++) {
      positionWh += (open.supply[i] === 1 ? 1 : -1) * clearing.fillsWh[i]!;
    }
    lots.push({ positionWh, priceUcPerWh: clearing.pricesUcPerWh[of.bus]! });
    return clearing;
  });
  const { priceUcPerWh } = lots.at(-1) as Lot;
  const positionWh = lots.reduce((sum, lot) => sum + lot.positionWh, 0);
  const site = { positionWh, deliveredWh: of.needWh, priceUcPerWh, earlier: lots.slice(0, -1), uncertaintyWh };
  const penalties = { shortfallPenaltyUcPerWh: of.penalty, surplusPenaltyUcPerWh: of.penalty };
  const { tradesUc, imbalanceUc } = siteAmounts(site, of.utility, penalties);
  return { payoffUc: tradesUc + imbalanceUc, lots };
}

const truthful = ({ bus, needWh }: World): Order[] => [
  needWh > 0
    ? { bus, side: 'supply', priceUcPerWh: -1_000_000, energyWh: needWh }
    : { bus, side: 'demand', priceUcPerWh: 1_000_000, energyWh: -needWh },
];

const lieOf = fc.record({
  side: fc.constantFrom('supply' as const, 'demand' as const),
  priceUcPerWh: fc.integer({ min: -5, max: 50 }),
  energyWh: fc.integer({ min: 1, max: 60 }),
});

describe('honesty pays', () => {
  test('no site gains by offering nothing, its own effect on the price included', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), (seed) => {
        const of = world(seed);
        expect(outcome(of, []).payoffUc).toBeLessThanOrEqual(outcome(of, truthful(of)).payoffUc);
      }),
      { numRuns: 1500 },
    );
  });

  test('misstating an offer and then deviating gains at most (change of the price) x (what is still traded)', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e9 }),
        lieOf,
        fc.integer({ min: 0, max: 5 }),
        (seed, lie, uncertaintyWh) => {
          const of = world(seed);
          const honest = outcome(of, truthful(of), uncertaintyWh);
          const lying = outcome(of, [{ bus: of.bus, ...lie }], uncertaintyWh);
          const deviationWh = of.needWh - lying.positionWh;
          const freeWh = Math.max(-uncertaintyWh, Math.min(uncertaintyWh, deviationWh));
          const marketPower = (lying.price - honest.price) * (lying.positionWh + freeWh);
          expect(lying.payoffUc - honest.payoffUc).toBeLessThanOrEqual(marketPower);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('a site too small to move the price gains nothing by any lie', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), lieOf, (seed, lie) => {
        const of = world(seed);
        const honest = outcome(of, truthful(of));
        const lying = outcome(of, [{ bus: of.bus, ...lie }]);
        if (lying.price === honest.price) expect(lying.payoffUc).toBeLessThanOrEqual(honest.payoffUc);
      }),
      { numRuns: 2000 },
    );
  });

  test('in several rounds offering nothing never gains; a lie gains at most what it moves its own round’s price, and what later rounds pay better', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e9 }),
        lieOf,
        fc.integer({ min: 0, max: 5 }),
        (seed, lie, uncertaintyWh) => {
          const of = world(seed);
          const next = seededRandom(seed + 1);
          const joins = of.others.map(() => Math.floor(next() * ROUNDS));
          const mine = Math.floor(next() * ROUNDS);
          const honest = roundsOutcome(of, joins, truthful(of), mine);
          expect(roundsOutcome(of, joins, [], mine).payoffUc).toBeLessThanOrEqual(honest.payoffUc);

          const lieJoins = mine + Math.floor(next() * (ROUNDS - mine));
          const lying = roundsOutcome(of, joins, [{ bus: of.bus, ...lie }], lieJoins, uncertaintyWh);
          const price = (lots: readonly Lot[]): number => (lots[mine] as Lot).priceUcPerWh;
          const moved = (price(lying.lots) - price(honest.lots)) * of.needWh;
          const timing = lying.lots.reduce(
            (sum, lot) => sum + (lot.priceUcPerWh - price(lying.lots)) * lot.positionWh,
            0,
          );
          expect(lying.payoffUc - honest.payoffUc).toBeLessThanOrEqual(moved + timing);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('the residual is real: a large buyer that hides demand lowers its own price', () => {
    const of: World = {
      feeder: buildFeeder([{ id: 'b', parent: null, capacityW: null, tariffUcPerWh: 0, lossPpm: 0 }], {
        lengthMs: 900_000,
      }),
      others: [{ bus: 0, side: 'supply', priceUcPerWh: 1, energyWh: 50 }],
      utility: { buyUcPerWh: 0, buyWhMax: 1000, sellUcPerWh: 30, sellWhMax: 1000 },
      penalty: 2,
      bus: 0,
      needWh: -51,
    };
    const hiding = outcome(of, [{ bus: 0, side: 'demand', priceUcPerWh: 29, energyWh: 49 }]);
    expect(hiding.payoffUc).toBeGreaterThan(outcome(of, truthful(of)).payoffUc);
  });
});
