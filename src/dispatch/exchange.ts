// What a site's net export of one interval brings at the grid connection: prices that fall as export rises, with what can be
// held back and what the limits cost. Owns the money of one interval; what the battery does in it is value.ts.

import type { UcPerWh, WattHours } from '../base/units.ts';

/** Which of the two a battery may do. */
export type Only = 'charge' | 'discharge';

export interface Adaptable {
  readonly mostWh: WattHours;
  readonly worthUcPerWh: UcPerWh;
}

/** What the site's net export brings in an interval: prices fall as export rises. Energies AC, + export. */
export interface Exchange {
  readonly netWh: WattHours;
  readonly generationWh: WattHours;
  readonly curtailable: boolean;
  readonly positionWh: WattHours;
  readonly buyUcPerWh: UcPerWh;
  readonly sellUcPerWh: UcPerWh;
  readonly importLimitWh: WattHours;
  readonly exportLimitWh: WattHours;
  /** Price of breaking a limit of the connection: above every real price. */
  readonly penaltyUcPerWh: UcPerWh;
  /** Consumption that may be or not be, and what each Wh of it is worth: how the search for loads' times sees those that adapt to the others. */
  readonly adaptable?: readonly Adaptable[];
  /** Which of the two a battery may do where prices below zero would pay for doing both at once. Charge unless told. */
  readonly only?: Only;
}

export interface Segments {
  readonly startWh: number;
  readonly costAtStartUc: number;
  readonly prices: readonly number[];
  readonly widthsWh: readonly number[];
  /** Which of them is holding generation back. */
  readonly curtailing: number;
}

/** Price of net export as falling segments that cover [fromWh, untilWh], curtailment included. */
export function exportPrices(x: Exchange, fromWh: number, untilWh: number): Segments {
  const position = Math.min(Math.max(x.positionWh, -x.importLimitWh), x.exportLimitWh);
  const start = Math.min(fromWh, -x.importLimitWh);
  const end = Math.max(untilWh, x.exportLimitWh);
  const below = -x.importLimitWh - start;
  const sell = Math.min(x.sellUcPerWh, x.buyUcPerWh);
  // Curtailing is worth nothing and comes before the first price below zero.
  const curtailedWh = x.curtailable ? x.generationWh : 0;
  const boughtWh = position + x.importLimitWh;
  const soldWh = x.exportLimitWh - position;
  const above = end - x.exportLimitWh;
  const dearest = x.buyUcPerWh + x.penaltyUcPerWh;
  const cheapest = sell - x.penaltyUcPerWh;
  const curtailing = x.buyUcPerWh < 0 ? 1 : sell < 0 ? 2 : 3;
  const prices =
    curtailing === 1
      ? [dearest, 0, x.buyUcPerWh, sell, cheapest]
      : curtailing === 2
        ? [dearest, x.buyUcPerWh, 0, sell, cheapest]
        : [dearest, x.buyUcPerWh, sell, 0, cheapest];
  const widthsWh =
    curtailing === 1
      ? [below, curtailedWh, boughtWh, soldWh, above]
      : curtailing === 2
        ? [below, boughtWh, curtailedWh, soldWh, above]
        : [below, boughtWh, soldWh, curtailedWh, above];
  const costAtStartUc = below * (x.buyUcPerWh + x.penaltyUcPerWh) + x.buyUcPerWh * (x.importLimitWh + position);
  let curtailed = curtailing;
  for (const { mostWh, worthUcPerWh } of x.adaptable ?? []) {
    // Never before the first one: nothing is worth breaking a limit of the connection.
    const found = prices.findIndex((price, i) => i > 0 && price < worthUcPerWh);
    const at = found < 0 ? prices.length : found;
    prices.splice(at, 0, worthUcPerWh);
    widthsWh.splice(at, 0, mostWh);
    if (at <= curtailed) curtailed++;
  }
  return { startWh: start, costAtStartUc, prices, widthsWh, curtailing: curtailed };
}

/** Money of an interval whose net export before curtailment is `exportWh`: cost, and what is best curtailed. */
export function exchangeCost(
  x: Exchange,
  exportWh: WattHours,
): { readonly costUc: number; readonly curtailedWh: WattHours } {
  const { startWh, costAtStartUc, prices, widthsWh, curtailing } = exportPrices(x, exportWh, exportWh);
  let costUc = costAtStartUc;
  let curtailedWh = 0;
  let at = startWh;
  for (let i = 0; i < prices.length && at < exportWh; i++) {
    const width = Math.min(widthsWh[i]!, exportWh - at);
    costUc -= prices[i]! * width;
    if (i === curtailing) curtailedWh += width;
    at += width;
  }
  return { costUc, curtailedWh };
}

/** Price of the Wh of net export just below or just above an amount of it. */
export function priceAround(
  startWh: number,
  prices: readonly number[],
  widthsWh: readonly number[],
  exportWh: WattHours,
  side: 'below' | 'above',
): UcPerWh {
  let end = startWh;
  for (let i = 0; i < prices.length; i++) {
    if (widthsWh[i]! <= 0) continue;
    end += widthsWh[i]!;
    if (side === 'below' ? end >= exportWh - 1e-9 : end > exportWh + 1e-9) return prices[i]!;
  }
  return prices.at(-1)!;
}

/** What a Wh less of net export costs there. */
export function pricePerWhBelow(x: Exchange, exportWh: WattHours): UcPerWh {
  const { startWh, prices, widthsWh } = exportPrices(x, exportWh, exportWh);
  return priceAround(startWh, prices, widthsWh, exportWh, 'below');
}
