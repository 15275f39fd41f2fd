// What measured days may say and nobody is likely to mean: another unit, another sign. For people; nothing is changed by it.

import { PRICE_UC_PER_WH_MAX, type Watts } from '../base/units.ts';

/** Beyond this multiple of the connection's limit, or below this share of it, a power was hardly meant in watts. */
const MOST_LIMITS = 10;
const LEAST_LIMITS = 0.001;
/** A price that never exceeds this, µ¤/Wh, is below 1 ¤/kWh. */
const LEAST_PRICE_UC_PER_WH = 1000;

/** Doubts about a column of powers at a connection of so many watts. */
export function powerDoubts(column: string, powersW: Iterable<Watts>, limitW: Watts): string[] {
  let [most, below, above] = [0, 0, 0];
  for (const powerW of powersW) {
    most = Math.max(most, powerW);
    if (powerW < 0) below -= powerW;
    else above += powerW;
  }
  const doubts: string[] = [];
  if (below > above)
    doubts.push(
      `${column} is mostly below zero, which counts as nothing: it is generation or consumption, both 0 or more`,
    );
  if (most > MOST_LIMITS * limitW)
    doubts.push(`${column} is up to ${Math.round(most)} W, and the connection has ${limitW} W: watts are wanted`);
  if (most > 0 && most < LEAST_LIMITS * limitW)
    doubts.push(
      `${column} is never above ${Number(most.toPrecision(3))} W, and the connection has ${limitW} W: is it in kW? Watts are wanted`,
    );
  return doubts;
}

/** Doubts about a column of prices. */
export function priceDoubts(column: string, pricesUcPerWh: Iterable<number>): string[] {
  let most = 0;
  for (const price of pricesUcPerWh) most = Math.max(most, Math.abs(price));
  const shown = `${Number(most.toPrecision(3))} µ¤/Wh, ${Number((most / 1000).toPrecision(3))} ¤/kWh`;
  if (most > 0 && most < LEAST_PRICE_UC_PER_WH) return [`${column} is never above ${shown}: 30 ¤/kWh is 30000`];
  return most > PRICE_UC_PER_WH_MAX ? [`${column} is up to ${shown}, more than the market takes`] : [];
}
