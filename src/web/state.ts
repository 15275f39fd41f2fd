// What the page shows, as plain data: the composition fills it, the page draws it. All powers and signs are the house's.

/** One device of a site as it stands. Null = not known (stale, invalid, missing): the page says so. */
export interface SiteView {
  readonly id: string;
  readonly name: string;
  /** + import, - export. */
  readonly gridPowerW: number | null;
  readonly generationPowerW: number | null;
  /** + discharging; null also when there is no battery. */
  readonly batteryPowerW: number | null;
  readonly consumptionPowerW: number | null;
  readonly stateOfChargePercent: number | null;
  /** Position of the present interval (cleared export - cleared import), null when nothing was heard yet. */
  readonly positionWh: number | null;
  /** Net export of the present interval so far. */
  readonly deliveredWh: number | null;
  readonly balanceUc: string | null;
  /** Grid powers of the last while, oldest first, for the small curve; at most 120. */
  readonly gridPowersW: readonly (number | null)[];
  /** Plain sentence of what is wrong, or null. */
  readonly trouble: string | null;
  /** What is not as it should be, each with what is done about it. */
  readonly conditions: readonly string[];
  /** What the owner may speak of, and what he says of it now. */
  readonly equipment: readonly EquipmentView[];
}

export interface EquipmentView {
  readonly id: string;
  /** A heat pump is a load by SG-ready states: off, it runs as it would on its own. */
  readonly kind: 'battery' | 'load' | 'heat-pump';
  readonly override: {
    readonly mode: 'hold' | 'charge-to' | 'off' | 'on';
    readonly percent: number | null;
    readonly untilMs: number;
  } | null;
}

/** A request on its way through request, pre-prepare, prepare, commit, reply. */
export interface RequestView {
  readonly id: string;
  readonly gateway: string;
  readonly kind: string;
  readonly interval: number;
  readonly intervalStartMs: number;
  /** Energy it speaks of, or null if the kind has none. */
  readonly energyWh: number | null;
  readonly stage: 'request' | 'pre-prepare' | 'prepare' | 'commit' | 'reply';
  readonly phase: 'undecided' | 'recorded' | 'refused' | 'expired';
  readonly reason: string;
  readonly confirmations: number;
  readonly needed: number;
  readonly validators: number;
}

export interface BusView {
  readonly id: string;
  /** Index into the list, -1 at the root. */
  readonly parent: number;
  /** + towards the root, over the line to the parent. */
  readonly flowWh: number;
  /** -1 = no limit. */
  readonly capacityWh: number;
  readonly priceUcPerWh: number;
  /** Sites at this bus. */
  readonly sites: readonly string[];
}

export interface ClearingView {
  readonly feeder: string;
  readonly interval: number;
  readonly intervalStartMs: number;
  readonly status: 'cleared' | 'void';
  readonly tradedWh: string;
  readonly buses: readonly BusView[];
  readonly trades: readonly {
    readonly seller: string;
    readonly buyer: string;
    readonly energyWh: number;
    readonly sellerUcPerWh: number;
    readonly buyerUcPerWh: number;
    readonly lossWh: number;
  }[];
}

export interface ValidatorView {
  readonly id: string;
  readonly up: boolean;
  readonly role: 'primary' | 'backup' | 'changing' | 'syncing' | 'down';
  readonly view: number;
  readonly height: number;
  readonly stateHash: string;
  readonly brokersConnected: number;
  readonly brokers: number;
}

export interface EventView {
  /** Chain time. */
  readonly atMs: number;
  readonly tone: 'plain' | 'good' | 'warn' | 'bad';
  readonly text: string;
}

export interface PageState {
  readonly chain: string;
  /** What the demo runs on: `shipped days` or a folder; chain seconds a wall second. */
  readonly source: string;
  /** Whether something can be done from here, with the owner's token. */
  readonly canAct: boolean;
  readonly rate: number;
  readonly nowMs: number;
  readonly interval: { readonly number: number; readonly startMs: number; readonly endMs: number };
  /** Name and unit of money: amounts are millionths of `unit`. */
  readonly currency: { readonly code: string; readonly unit: string };
  readonly head: { readonly height: number; readonly timeMs: number; readonly hash: string } | null;
  readonly sites: readonly SiteView[];
  /** Newest first, at most 40. */
  readonly requests: readonly RequestView[];
  readonly clearing: ClearingView | null;
  readonly validators: readonly ValidatorView[];
  /** Newest first, at most 40. */
  readonly events: readonly EventView[];
}
