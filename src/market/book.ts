// The orders of one clearing as columns, and the exact rank that decides between them.
//
// Ties. Order i of m has weight w = m - i: who came earlier weighs more. A supply counts with the key p x SCALE - w, a
// demand with p x SCALE + w. SCALE exceeds twice any weight, so keys compare by price first and by weight among equal
// prices, tariffs (whole multiples of SCALE) never mix the two, and no two orders' keys are ever equal modulo SCALE. The
// optimum of the keyed problem is therefore unique: of all allocations of greatest welfare it is the one with the
// greatest sum of weight x energy. In words: trades without gain take place, and where two orders tie the earlier is served.
// The utility weighs least: its supply 1, its demand -2 (sum < 0: at buy = sell it does not trade with itself).

import { WattpactError } from '../base/errors.ts';
import { ENERGY_WH_MAX, PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import type { FeederModel, Order, OrderBook, UtilityTariff } from './types.ts';

/** Most orders of one clearing; the sum of their energies stays below 2^51 Wh. */
export const ORDERS_MAX = 2_000_000;
/** Keys are price x SCALE ± weight: |key| < 2^43, exact in a double. SCALE > 2 x ORDERS_MAX. */
export const SCALE = 2 ** 22;

/** An order that cannot be used; `order` is its index. */
export class OrderError extends WattpactError {
  override readonly name = 'OrderError';
  readonly order: number;

  constructor(order: number, code: string, message: string) {
    super(code, message);
    this.order = order;
  }
}

/** Orders in consensus order, then the utility's two. Throws `OrderError` for a bus, price or energy out of range. */
export function orderBook(feeder: FeederModel, orders: readonly Order[], utility?: UtilityTariff): OrderBook {
  const all = utility === undefined ? orders : [...orders, ...utilityOrders(feeder, utility)];
  const book = emptyBook(all.length, utility !== undefined);
  for (let i = 0; i < all.length; i++) {
    const order = all[i] as Order;
    book.buses[i] = order.bus;
    book.supply[i] = order.side === 'supply' ? 1 : 0;
    book.pricesUcPerWh[i] = checkedPrice(i, order.priceUcPerWh);
    book.energiesWh[i] = order.energyWh;
  }
  checkBook(feeder, book);
  return book;
}

/** Columns to be filled by a caller that reads orders from elsewhere; `checkBook` says whether they are usable. */
export function emptyBook(size: number, hasUtility = false): OrderBook {
  if (size > ORDERS_MAX) {
    throw new WattpactError('orders.size', `${size} orders in one clearing, the limit is ${ORDERS_MAX}`);
  }
  return {
    size,
    buses: new Int32Array(size),
    supply: new Uint8Array(size),
    pricesUcPerWh: new Int32Array(size),
    energiesWh: new Float64Array(size),
    hasUtility,
  };
}

/** Throws `OrderError` for the first order with an unknown bus, or a price or energy out of range. */
export function checkBook(feeder: FeederModel, book: OrderBook): void {
  const buses = feeder.ids.length;
  for (let i = 0; i < book.size; i++) {
    const bus = book.buses[i]!;
    if (bus < 0 || bus >= buses) throw new OrderError(i, 'order.bus', `order ${i} names bus ${bus} of ${buses}`);
    checkedPrice(i, book.pricesUcPerWh[i]!);
    const energyWh = book.energiesWh[i]!;
    if (!Number.isSafeInteger(energyWh) || energyWh < 0 || energyWh > ENERGY_WH_MAX) {
      throw new OrderError(i, 'order.energy', `energy of order ${i} is ${energyWh} Wh, not 0 to ${ENERGY_WH_MAX}`);
    }
  }
}

/** Keys of all orders: see the head of this file. */
export function orderKeys(book: OrderBook): Float64Array {
  const { size, supply, pricesUcPerWh, hasUtility } = book;
  const keys = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const weight = size - i;
    keys[i] = pricesUcPerWh[i]! * SCALE + (supply[i] === 1 ? -weight : weight);
  }
  if (hasUtility) {
    keys[size - 2] = pricesUcPerWh[size - 2]! * SCALE - 1;
    keys[size - 1] = pricesUcPerWh[size - 1]! * SCALE - 2;
  }
  return keys;
}

function utilityOrders(feeder: FeederModel, utility: UtilityTariff): Order[] {
  if (utility.buyUcPerWh > utility.sellUcPerWh) {
    throw new WattpactError('order.tariff', 'the utility must not buy dearer than it sells');
  }
  return [
    { bus: feeder.root, side: 'supply', priceUcPerWh: utility.sellUcPerWh, energyWh: utility.sellWhMax },
    { bus: feeder.root, side: 'demand', priceUcPerWh: utility.buyUcPerWh, energyWh: utility.buyWhMax },
  ];
}

function checkedPrice(order: number, priceUcPerWh: number): number {
  if (!Number.isSafeInteger(priceUcPerWh) || Math.abs(priceUcPerWh) > PRICE_UC_PER_WH_MAX) {
    throw new OrderError(
      order,
      'order.price',
      `price of order ${order} is ${priceUcPerWh} µ¤/Wh, beyond ±${PRICE_UC_PER_WH_MAX}`,
    );
  }
  return priceUcPerWh;
}
