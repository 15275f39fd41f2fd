// One site's part of a clearing: what an owner may see of it, and whether it is a fair answer to his own offer. The rest of the market is
// others' business; that all of it is optimal is what the validators attest with the notice, and what a feeder's operator can check.

import { z } from 'zod';
import { hashOf, hashSchema, idSchema } from '../protocol/envelope.ts';
import type { Notice } from '../protocol/replies.ts';
import type { OfferStep } from '../protocol/requests.ts';
import type { ClearingDocument } from './types.ts';

const stepSchema = z.strictObject({
  energyWh: z.int(),
  /** Filled in each round, in order. */
  fillsWh: z.array(z.int().min(0)),
  priceUcPerWh: z.int(),
  /** The first round it takes part in, from 1. */
  round: z.int().min(1),
  side: z.enum(['supply', 'demand']),
});

export const shareSchema = z.strictObject({
  /** Hash of the whole document: the one in the notice. */
  clearing: hashSchema,
  feeder: idSchema,
  gateway: idSchema,
  interval: z.int().min(0),
  /** Nodal price at the site's bus in each round; empty when void. */
  pricesUcPerWh: z.array(z.int()),
  reason: z.string(),
  status: z.enum(['cleared', 'void']),
  steps: z.array(stepSchema),
});
export type ClearingShare = z.infer<typeof shareSchema>;

/** Null if the site had no offer in it. */
export function shareOf(document: ClearingDocument, gateway: string): ClearingShare | null {
  const rounds = document.certificates.length > 0 ? document.certificates : [document];
  const own = document.orders.flatMap((order, i) => (order.gateway === gateway ? [{ order, i }] : []));
  const bus = own[0]?.order.bus;
  if (bus === undefined) return null;
  const isCleared = document.status === 'cleared';
  return {
    clearing: hashOf(document),
    feeder: document.feeder,
    gateway,
    interval: document.interval,
    pricesUcPerWh: isCleared ? rounds.map(({ pricesUcPerWh }) => pricesUcPerWh[bus] as number) : [],
    reason: document.reason,
    status: document.status,
    steps: own.map(({ order: { energyWh, priceUcPerWh, round, side }, i }) => ({
      energyWh,
      fillsWh: isCleared ? rounds.map(({ fillsWh }) => fillsWh[i] as number) : [],
      priceUcPerWh,
      round,
      side,
    })),
  };
}

/**
 * Why a share is no fair answer, or null: in every round each step is filled as its price against the bus's says (a step that gains is
 * filled, one that would lose is not), the fills make the position of the notice, and trades have the bus's price.
 */
export function shareProblem(share: ClearingShare, notice: Notice): string | null {
  if (share.clearing !== notice.clearing) return 'it is not of the clearing that the notice names';
  if (share.status !== notice.status) return `it is ${share.status}, the notice says ${notice.status}`;
  let positionWh = 0;
  for (const { energyWh, fillsWh, priceUcPerWh, round, side } of share.steps) {
    let leftWh = energyWh;
    for (const [i, nodalUcPerWh] of share.pricesUcPerWh.entries()) {
      const filledWh = fillsWh[i] ?? 0;
      const gainUcPerWh = side === 'supply' ? nodalUcPerWh - priceUcPerWh : priceUcPerWh - nodalUcPerWh;
      const where = `${side} at ${priceUcPerWh} in round ${i + 1} at price ${nodalUcPerWh}`;
      if (filledWh > leftWh || (i + 1 < round && filledWh > 0)) return `${where}: filled with more than was offered`;
      if (gainUcPerWh < 0 && filledWh > 0) return `${where}: filled at a loss`;
      if (gainUcPerWh > 0 && i + 1 >= round && filledWh < leftWh) return `${where}: not filled, though it gains`;
      leftWh -= filledWh;
    }
    positionWh += (side === 'supply' ? 1 : -1) * (energyWh - leftWh);
  }
  if (positionWh !== notice.positionWh) return `the fills make ${positionWh} Wh, the notice says ${notice.positionWh}`;
  const last = share.pricesUcPerWh.at(-1) ?? 0;
  if (last !== notice.nodalPriceUcPerWh) return `the price is ${last}, the notice says ${notice.nodalPriceUcPerWh}`;
  const wrong = notice.trades.find(({ seller, buyerUcPerWh, sellerUcPerWh }) => {
    return !share.pricesUcPerWh.includes(seller === share.gateway ? sellerUcPerWh : buyerUcPerWh);
  });
  return wrong === undefined ? null : 'a trade has another price than the bus';
}

/**
 * Why a notice is no fair answer to the offer it is on, or null, as far as the offer and the price tell: with several rounds the notice has
 * the last one's price only and nothing can be said without the share.
 */
export function noticeProblem(
  notice: Notice,
  offer: { readonly sell: readonly OfferStep[]; readonly buy: readonly OfferStep[] },
  rounds: number,
): string | null {
  if (notice.status === 'void' || rounds > 1) return null;
  const price = notice.nodalPriceUcPerWh;
  const total = (steps: readonly OfferStep[], takes: (priceUcPerWh: number) => boolean): number =>
    steps.reduce((sum, { energyWh, priceUcPerWh }) => sum + (takes(priceUcPerWh) ? energyWh : 0), 0);
  const least = total(offer.sell, (asked) => asked < price) - total(offer.buy, (paid) => paid >= price);
  const most = total(offer.sell, (asked) => asked <= price) - total(offer.buy, (paid) => paid > price);
  if (notice.positionWh >= least && notice.positionWh <= most) return null;
  return `at ${price} the offer means ${least} to ${most} Wh, the notice says ${notice.positionWh}`;
}
