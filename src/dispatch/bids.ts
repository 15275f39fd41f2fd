// The bid curve of one interval: at which price the site sells and buys which net energy at the grid connection.
// The marginal value of stored energy prices each Wh of the battery; surplus and need of the site stand at what they
// bring and cost without a trade; loads that can be elsewhere make their own steps (offers.ts). What is uncertain counts by
// its expected cost, Wh by Wh. Integers, at most eight steps a side; joined steps keep the price nobody loses by.

import { QUANTILES } from '../forecast/types.ts';
import { type CostToGo, costAt } from './cost-to-go.ts';
import { type Exchange, exchangeCost } from './exchange.ts';
import { cheapestOf, expectedOf, type Piece, type Side, withOther } from './offers.ts';
import { BID_STEPS_MAX, type BidCurve, type BidStep, type BidTerms } from './plan-types.ts';
import { mostWh } from './taper.ts';
import { acWh, choicesOf, decide, type Storage } from './value.ts';

/** Share of all outcomes that each quantile of a forecast stands for: what is nearer to it than to its neighbours. */
const OUTCOME_SHARES: readonly number[] = QUANTILES.map((at, k) => {
  const [below, above] = [QUANTILES[k - 1], QUANTILES[k + 1]];
  return (above === undefined ? 1 : (at + above) / 2) - (below === undefined ? 0 : (below + at) / 2);
});

/** What fractions get wrong of a price: no reason to ask for one more. */
const NOTHING_UC_PER_WH = 1e-6;

/** The interval offered for, with loads in their places. */
export interface PricedInterval {
  /** Certain (one) or by quantiles of net consumption (seven). */
  readonly exchanges: readonly Exchange[];
  /** Cost-to-go after the interval. */
  readonly after: CostToGo;
}

export interface BidInput extends PricedInterval {
  readonly storage: Storage | null;
  readonly storedWh: number;
  /** The same with loads elsewhere, as they may be placed once it is known what was traded. */
  readonly others: readonly PricedInterval[];
  readonly terms: BidTerms;
}

/** Builds the offer: export rises with price, from full charge to full discharge. */
export function bidCurve({ exchanges, storage, storedWh, after, others, terms }: BidInput): BidCurve {
  const fixed = sidesOf({ exchanges, after }, storage, storedWh, terms);
  const moved = others.map((other) => sidesOf(other, storage, storedWh, terms));
  const supply = cheapestOf([fixed.sell.pieces, ...moved.map(({ sell }) => withOther(fixed.sell, sell))]);
  const demand = cheapestOf([fixed.buy.pieces, ...moved.map(({ buy }) => withOther(fixed.buy, buy))]);

  const low = Math.max(terms.floorUcPerWh, terms.priceMinUcPerWh);
  const high = Math.min(terms.ceilingUcPerWh, terms.priceMaxUcPerWh);
  const wanted = demand.map(({ energyWh, priceUcPerWh }) => ({ energyWh, priceUcPerWh: -priceUcPerWh }));
  const buy = steps(wanted, (price) => Math.floor(Math.min(price, high) + NOTHING_UC_PER_WH) + 0, -1, terms);
  const lowestSell = buy[0] === undefined ? Number.NEGATIVE_INFINITY : buy[0].priceUcPerWh + 1;
  const sell = steps(supply, (price) => Math.ceil(Math.max(price, low, lowestSell) - NOTHING_UC_PER_WH) + 0, 1, terms);
  return { sell, buy };
}

interface Sides {
  readonly sell: Side;
  readonly buy: Side;
}

/** What selling and buying cost with loads in their places: expected, or at the quantile that the contract names. */
function sidesOf(priced: PricedInterval, storage: Storage | null, storedWh: number, terms: BidTerms): Sides {
  const { exchanges, after } = priced;
  const sides = (x: Exchange): Sides => certainSidesOf(x, after, storage, storedWh);
  if (exchanges.length === 1) return sides(exchanges[0]!);
  if (terms.riskQuantile !== null) return sides(atRisk(exchanges, terms.riskQuantile));
  const all = exchanges.map(sides);
  return {
    sell: expectedOf(
      all.map(({ sell }) => sell),
      OUTCOME_SHARES,
    ),
    buy: expectedOf(
      all.map(({ buy }) => buy),
      OUTCOME_SHARES,
    ),
  };
}

/** The same when what the site takes is known; a Wh bought costs what it is worth, below zero. */
function certainSidesOf(x: Exchange, after: CostToGo, storage: Storage | null, storedWh: number): Sides {
  const { pieces, startWh } = batteryPieces(x, storage, storedWh, after);
  // Surplus that would cost something to give away is held back instead.
  const surplusUcPerWh = x.curtailable ? Math.max(x.sellUcPerWh, 0) : x.sellUcPerWh;
  const supply: Piece[] = [];
  const demand: Piece[] = [];
  let at = startWh;
  if (at > 0) supply.push({ energyWh: Math.min(at, x.exportLimitWh), priceUcPerWh: surplusUcPerWh });
  for (const piece of pieces) {
    const end = at + piece.energyWh;
    const bought = Math.min(end, 0) - Math.max(at, -x.importLimitWh);
    if (bought > 0) demand.unshift({ energyWh: bought, priceUcPerWh: -Math.min(piece.priceUcPerWh, x.buyUcPerWh) });
    const sold = Math.min(end, x.exportLimitWh) - Math.max(at, 0);
    if (sold > 0) supply.push({ energyWh: sold, priceUcPerWh: Math.max(piece.priceUcPerWh, surplusUcPerWh) });
    at = end;
  }
  if (at < 0) demand.unshift({ energyWh: Math.min(-at, x.importLimitWh), priceUcPerWh: -x.buyUcPerWh });
  const untradedUc = costUntraded(x, storage, storedWh, after);
  const beyond = (side: readonly Piece[], priceUcPerWh: number): number =>
    Math.max(priceUcPerWh, side.at(-1)?.priceUcPerWh ?? priceUcPerWh);
  return {
    sell: { untradedUc, pieces: supply, beyondUcPerWh: beyond(supply, x.buyUcPerWh) },
    buy: { untradedUc, pieces: demand, beyondUcPerWh: beyond(demand, -x.sellUcPerWh) },
  };
}

/** Cost of the interval and all after it when nothing is traded. */
function costUntraded(x: Exchange, storage: Storage | null, storedWh: number, after: CostToGo): number {
  if (storage === null) return exchangeCost(x, -x.netWh).costUc + after.costAtLowUc;
  const { withdrawnWh, storedEndWh } = decide(after, choicesOf(storage, x), storage, storedWh);
  const exchangedUc = exchangeCost(x, acWh(storage, withdrawnWh) - x.netWh).costUc;
  return exchangedUc + storage.wearUcPerWh * Math.abs(withdrawnWh) + costAt(after, storedEndWh);
}

/** Net consumption such that what is offered is exceeded by no more than the wanted share of outcomes. */
function atRisk(exchanges: readonly Exchange[], riskQuantile: number): Exchange {
  if (exchanges.length === 1) return exchanges[0]!;
  // Export at its quantile q is net consumption at 1 - q.
  const level = 1 - riskQuantile;
  const last = QUANTILES.length - 1;
  const k = QUANTILES.findIndex((at) => at >= level);
  if (k <= 0) return exchanges[k === 0 ? 0 : last]!;
  const share = (level - QUANTILES[k - 1]!) / (QUANTILES[k]! - QUANTILES[k - 1]!);
  const [before, upper] = [exchanges[k - 1]!, exchanges[k]!];
  return { ...upper, netWh: before.netWh + share * (upper.netWh - before.netWh) };
}

/** What the battery adds to the net export, by rising price, beginning at full charge. */
function batteryPieces(
  x: Exchange,
  storage: Storage | null,
  storedWh: number,
  after: CostToGo,
): { pieces: Piece[]; startWh: number } {
  const pieces: Piece[] = [];
  if (storage === null) return { pieces, startWh: -x.netWh };
  const kept = Math.max(storage.lowWh, storedWh - storage.standingLossWh);
  let chargeWh = storage.chargesFromGrid ? storage.chargeAcWh : Math.min(storage.chargeAcWh, Math.max(0, -x.netWh));
  let dischargeWh = storage.exports ? storage.dischargeAcWh : Math.min(storage.dischargeAcWh, Math.max(0, x.netWh));
  if (storage.tapers !== null) {
    chargeWh = Math.min(chargeWh, mostWh(storage.tapers.charge, storedWh) / storage.chargeEfficiency);
    dischargeWh = Math.min(dischargeWh, mostWh(storage.tapers.discharge, storedWh) * storage.dischargeEfficiency);
  }
  let fullChargeWh = 0;
  let at = after.lowWh;
  const discharge: Piece[] = [];
  for (const [i, value] of after.values.entries()) {
    const end = at + after.widthsWh[i]!;
    const below = Math.min(end, kept) - at;
    if (below > 0) {
      discharge.unshift({
        energyWh: below * storage.dischargeEfficiency,
        priceUcPerWh: (value + storage.wearUcPerWh) / storage.dischargeEfficiency,
      });
    }
    const above = end - Math.max(at, kept);
    if (above > 0 && chargeWh > 0) {
      const energyWh = Math.min(chargeWh, above / storage.chargeEfficiency);
      pieces.unshift({ energyWh, priceUcPerWh: (value - storage.wearUcPerWh) * storage.chargeEfficiency });
      chargeWh -= energyWh;
      fullChargeWh += energyWh;
    }
    at = end;
  }
  for (const piece of discharge) {
    const energyWh = Math.min(piece.energyWh, dischargeWh);
    if (energyWh > 0) pieces.push({ ...piece, energyWh });
    dischargeWh -= energyWh;
  }
  return { pieces, startWh: -x.netWh - fullChargeWh };
}

/** Integer steps of one side (`direction` 1: prices rise, -1: they fall), joined to the allowed number at least distortion. */
function steps(
  pieces: readonly Piece[],
  priceOf: (price: number) => number,
  direction: 1 | -1,
  terms: BidTerms,
): BidStep[] {
  const joined: Piece[] = [];
  for (const piece of pieces) {
    const priceUcPerWh = priceOf(piece.priceUcPerWh);
    if (priceUcPerWh > terms.priceMaxUcPerWh || priceUcPerWh < terms.priceMinUcPerWh) continue;
    const last = joined.at(-1);
    if (last !== undefined && (priceUcPerWh - last.priceUcPerWh) * direction <= 0) last.energyWh += piece.energyWh;
    else joined.push({ energyWh: piece.energyWh, priceUcPerWh });
  }
  while (joined.length > BID_STEPS_MAX) {
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < joined.length; i++) {
      // The earlier step moves to the later, more careful price.
      const distortion = joined[i]!.energyWh * Math.abs(joined[i + 1]!.priceUcPerWh - joined[i]!.priceUcPerWh);
      if (distortion < least) {
        least = distortion;
        best = i;
      }
    }
    joined[best + 1]!.energyWh += joined[best]!.energyWh;
    joined.splice(best, 1);
  }
  // Whole Wh of the running sum, so that roundings do not add up.
  const result: BidStep[] = [];
  let sum = 0;
  let given = 0;
  for (const { energyWh, priceUcPerWh } of joined) {
    sum += energyWh;
    const whole = Math.floor(sum + 1e-6) - given;
    if (whole < 1) continue;
    given += whole;
    result.push({ energyWh: whole, priceUcPerWh });
  }
  return result;
}
