// What energy has cost at this site's bus in past clearings, by kind of day and hour, for the plan of hours that are not traded yet. Plain
// means that fade; where little or nothing was seen the contract's floor and ceiling stand in, as its tariff. Kept over restarts.

import type { Millis, UcPerWh } from '../base/units.ts';
import { createCalendar } from '../forecast/calendar.ts';
import type { GatewayStore } from '../store/gateway.ts';

/** Clearings of an hour that count as much as the tariff. */
const TARIFF_COUNTS = 4;
/** Clearings of an hour that are remembered: a month of one hour's four quarters. */
const COUNT_MAX = 120;
const PRICES = 'nodal prices';

/** One hour of one kind of day. */
interface Hour {
  readonly count: number;
  readonly meanUcPerWh: number;
  /** Mean distance from the mean: nobody knows on which side of it the next price is. */
  readonly spreadUcPerWh: number;
}

/** The site's own tariff: what a Wh costs at most and brings at least. */
export interface Tariff {
  readonly ceilingUcPerWh: UcPerWh;
  readonly floorUcPerWh: UcPerWh;
}

export interface MarketPrices {
  /** The nodal price of a cleared interval, once. */
  onCleared(interval: number, startMs: Millis, nodalPriceUcPerWh: UcPerWh): void;
  /** What is expected to be paid and got for a Wh at this time; sell <= buy, both within the tariff. */
  expected(startMs: Millis): { readonly buyUcPerWh: UcPerWh; readonly sellUcPerWh: UcPerWh };
}

/** One more price; the older ones count less once there are many. */
export function learnPrice(hour: Hour | undefined, priceUcPerWh: UcPerWh): Hour {
  if (hour === undefined) return { count: 1, meanUcPerWh: priceUcPerWh, spreadUcPerWh: 0 };
  const count = Math.min(hour.count + 1, COUNT_MAX);
  const away = Math.abs(priceUcPerWh - hour.meanUcPerWh);
  return {
    count,
    meanUcPerWh: hour.meanUcPerWh + (priceUcPerWh - hour.meanUcPerWh) / count,
    spreadUcPerWh: hour.spreadUcPerWh + (away - hour.spreadUcPerWh) / count,
  };
}

/** The tariff, moved towards what was seen by how often it was seen. */
export function expectedPrice(hour: Hour | undefined, { ceilingUcPerWh, floorUcPerWh }: Tariff) {
  if (hour === undefined) return { buyUcPerWh: ceilingUcPerWh, sellUcPerWh: floorUcPerWh };
  const share = hour.count / (hour.count + TARIFF_COUNTS);
  const within = (price: number): number => Math.min(ceilingUcPerWh, Math.max(floorUcPerWh, price));
  const [dear, cheap] = [hour.meanUcPerWh + hour.spreadUcPerWh, hour.meanUcPerWh - hour.spreadUcPerWh];
  return {
    buyUcPerWh: Math.round(within(ceilingUcPerWh + share * (within(dear) - ceilingUcPerWh))),
    sellUcPerWh: Math.round(within(floorUcPerWh + share * (within(cheap) - floorUcPerWh))),
  };
}

export function createMarketPrices(options: {
  store: Pick<GatewayStore, 'settings'>;
  timezone: string;
  tariff: Tariff;
}): MarketPrices {
  const { store, tariff } = options;
  const calendar = createCalendar(options.timezone);
  const kept = store.settings.get(PRICES) as { last: number; hours: Record<string, Hour> } | null;
  let last = kept?.last ?? -1;
  const hours: Record<string, Hour> = kept?.hours ?? {};

  const keyOf = (startMs: Millis): string => {
    const { minute, free } = calendar(startMs);
    return `${free ? 'free' : 'work'} ${Math.floor(minute / 60)}`;
  };

  return {
    onCleared(interval, startMs, nodalPriceUcPerWh) {
      // Notices come again when they are asked for again.
      if (interval <= last) return;
      last = interval;
      const key = keyOf(startMs);
      hours[key] = learnPrice(hours[key], nodalPriceUcPerWh);
      store.settings.set(PRICES, { last, hours });
    },
    expected: (startMs) => expectedPrice(hours[keyOf(startMs)], tariff),
  };
}
