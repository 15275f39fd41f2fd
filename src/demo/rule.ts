// What the same site would have earned with the usual rule: its battery takes every surplus and covers every need, and nothing is planned. A
// second site is moved by the simulator's own physics, from the same stored energy, under the same sun and the same people; its battery
// is left to its own automatic mode. Pure.

import { intervalStartMs } from '../base/interval.ts';
import type { Uc, UcPerWh, WattHours } from '../base/units.ts';
import { createSitePhysics } from '../simulator/physics/site.ts';
import { siteModel } from '../simulator/site-model.ts';
import type { SiteSeries, SiteTruth } from '../simulator/types.ts';
import type { SiteFile } from '../site/types.ts';

/** A site's batteries at an instant, all together: what is in them, and what has passed at their terminals. */
export interface BatteryEdge {
  readonly storedWh: WattHours;
  readonly chargedWh: WattHours;
  readonly dischargedWh: WattHours;
}

export interface RuleComparison {
  /** Money of the intervals, wear taken off, what more is stored at the end added at `storedUcPerWh`. */
  readonly earnedUc: {
    readonly plan: Uc;
    /** The rule, if every Wh of its net had been foreseen and traded at the market's price at its bus: better than it could have done. */
    readonly ruleAtMarket: Uc;
    /** The rule, outside of the market, on the utility's tariff. */
    readonly ruleAtTariff: Uc;
  };
  readonly storedEndWh: { readonly plan: WattHours; readonly rule: WattHours };
  /** Value of a stored Wh, the same for both: the mean price at the bus, as far as it comes out of the battery, less wear. */
  readonly storedUcPerWh: number;
}

/** Batteries of a site by the simulator's truth. */
export function edgeOf(truth: SiteTruth): BatteryEdge {
  const batteries = [...truth.batteries.values()];
  const sum = (of: (battery: (typeof batteries)[number]) => number): number =>
    batteries.reduce((total, battery) => total + of(battery), 0);
  return {
    storedWh: sum(({ storedWh }) => storedWh),
    chargedWh: sum(({ chargeEnergyWh }) => chargeEnergyWh),
    dischargedWh: sum(({ dischargeEnergyWh }) => dischargeEnergyWh),
  };
}

/** Whether the rule can be compared: something is stored, and no load that somebody would have to switch. */
export function isComparable(site: SiteFile): boolean {
  return site.storage.length > 0 && site.loads.length === 0;
}

/** Compares intervals `[first, first + moneyUc.length)`. Money + is what the site gets. */
export function compareWithRule(options: {
  site: SiteFile;
  series: SiteSeries;
  lengthMs: number;
  first: number;
  /** What the site got and paid in each interval, as settled. */
  moneyUc: readonly Uc[];
  /** Price at its bus in each interval; null where nothing was cleared. */
  pricesUcPerWh: readonly (UcPerWh | null)[];
  /** The utility's: what it pays, and what it takes. */
  tariff: { readonly buyUcPerWh: UcPerWh; readonly sellUcPerWh: UcPerWh };
  start: BatteryEdge;
  end: BatteryEdge;
}): RuleComparison {
  const { site, lengthMs, first, moneyUc, pricesUcPerWh, tariff, start, end } = options;
  const capacityWh = site.storage.reduce((sum, storage) => sum + storage.capacityWh, 0);
  const startMs = intervalStartMs(first, lengthMs);
  const model = siteModel(site, options.series, {
    inverterLagMs: 0,
    initialStateOfChargePercent: (100 * start.storedWh) / capacityWh,
  });
  const physics = createSitePhysics(model, startMs, 0);
  physics.advance(startMs, 0);
  let before = physics.truth();
  const began = edgeOf(before);
  let [marketUc, tariffUc] = [0, 0];
  moneyUc.forEach((_, i) => {
    const atMs = intervalStartMs(first + i + 1, lengthMs);
    physics.advance(atMs, atMs - startMs);
    const truth = physics.truth();
    const exportedWh = truth.exportEnergyWh - before.exportEnergyWh;
    const importedWh = truth.importEnergyWh - before.importEnergyWh;
    const atTariff = exportedWh * tariff.buyUcPerWh - importedWh * tariff.sellUcPerWh;
    const price = pricesUcPerWh[i] ?? null;
    tariffUc += atTariff;
    marketUc += price === null ? atTariff : (exportedWh - importedWh) * price;
    before = truth;
  });
  const ended = edgeOf(before);

  const mean = (of: (storage: SiteFile['storage'][number]) => number): number =>
    site.storage.reduce((sum, storage) => sum + of(storage) * storage.capacityWh, 0) / capacityWh;
  const wear = mean(({ cycleCostUcPerWh }) => cycleCostUcPerWh) / 2;
  const charging = mean(({ chargeEfficiency }) => chargeEfficiency);
  const discharging = mean(({ dischargeEfficiency }) => dischargeEfficiency);
  const known = pricesUcPerWh.filter((price) => price !== null);
  const meanPrice =
    known.length === 0
      ? (tariff.buyUcPerWh + tariff.sellUcPerWh) / 2
      : known.reduce((sum, price) => sum + price, 0) / known.length;
  const storedUcPerWh = Math.max(0, meanPrice * discharging - wear);
  const total = (money: Uc, from: BatteryEdge, to: BatteryEdge): Uc => {
    const passedWh = (to.chargedWh - from.chargedWh) * charging + (to.dischargedWh - from.dischargedWh) / discharging;
    return Math.round(money - wear * passedWh + (to.storedWh - from.storedWh) * storedUcPerWh);
  };
  return {
    earnedUc: {
      plan: total(
        moneyUc.reduce((sum, uc) => sum + uc, 0),
        start,
        end,
      ),
      ruleAtMarket: total(marketUc, began, ended),
      ruleAtTariff: total(tariffUc, began, ended),
    },
    storedEndWh: { plan: Math.round(end.storedWh), rule: Math.round(ended.storedWh) },
    storedUcPerWh: Math.round(storedUcPerWh),
  };
}
