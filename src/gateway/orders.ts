// Operators' restrictive orders as they stand at this site. Owns keeping them and telling which are in force; control obeys them.

import type { Clock } from '../base/clock.ts';
import type { Order } from '../protocol/replies.ts';
import type { GatewayStore } from '../store/gateway.ts';

export interface OrderBook {
  readonly sequences: Map<string, number>;
  add(operator: string, order: Order): void;
  inForce(): readonly Order[];
}

/** Operators' orders, kept over restarts with their sequences: an old one never comes back. */
export function createOrderBook(store: Pick<GatewayStore, 'settings'>, clock: Clock): OrderBook {
  const kept = (store.settings.get('orders') as Record<string, Order> | null) ?? {};
  const byOperator = new Map<string, Order>(Object.entries(kept));
  return {
    sequences: new Map([...byOperator].map(([operator, { sequence }]) => [operator, sequence])),
    add(operator, order) {
      byOperator.set(operator, order);
      store.settings.set('orders', Object.fromEntries(byOperator));
    },
    inForce: () => {
      const nowMs = clock.chainMs();
      return [...byOperator.values()].filter(({ fromMs, untilMs }) => fromMs <= nowMs && nowMs < untilMs);
    },
  };
}
