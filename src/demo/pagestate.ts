// What the page is shown, out of the demo's book. Pure.

import { floorDiv } from '../base/integers.ts';
import { intervalAt, intervalEndMs, intervalStartMs } from '../base/interval.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { headerHash } from '../protocol/header.ts';
import type {
  ClearingView,
  EquipmentView,
  EventView,
  PageState,
  RequestView,
  SiteView,
  ValidatorView,
} from '../web/state.ts';
import type { Book } from './book.ts';

const REQUESTS_SHOWN = 40;

export function pageState(options: {
  book: Book;
  genesis: Genesis;
  source: string;
  nowMs: number;
  /** Whether the page takes the owner's word. */
  canAct: boolean;
  names: ReadonlyMap<string, string>;
  /** What the owner of each site may speak of. */
  equipment: ReadonlyMap<string, readonly Omit<EquipmentView, 'override'>[]>;
  /** Grid powers of each site of the last while, oldest first. */
  curves: ReadonlyMap<string, readonly (number | null)[]>;
  events: readonly EventView[];
}): PageState {
  const { book, genesis, nowMs } = options;
  const { lengthMs } = genesis.interval;
  const number = intervalAt(nowMs, lengthMs);
  const { head } = book;
  return {
    chain: genesis.chain,
    source: options.source,
    canAct: options.canAct,
    rate: genesis.clock.rate,
    nowMs,
    interval: { number, startMs: intervalStartMs(number, lengthMs), endMs: intervalEndMs(number, lengthMs) },
    currency: genesis.currency,
    head: head === null ? null : { height: head.height, timeMs: head.timeMs, hash: headerHash(head) },
    sites: book.gateways.map((gateway) => siteView(options, gateway)),
    requests: [...book.requests()]
      .reverse()
      .slice(0, REQUESTS_SHOWN)
      .map((entry): RequestView => ({ ...entry, intervalStartMs: intervalStartMs(entry.interval, lengthMs) })),
    clearing: clearingView(book, genesis),
    validators: genesis.validators.map(({ id }) => validatorView(book, id, genesis.validators.length)),
    events: options.events,
  };
}

function siteView({ book, names, equipment, curves }: Parameters<typeof pageState>[0], gateway: string): SiteView {
  const now = book.now(gateway);
  const lastSettled = book.settled().at(-1);
  const settlement = lastSettled === undefined ? null : book.site(gateway, lastSettled).settlement;
  const unknown = {
    gridPowerW: null,
    generationPowerW: null,
    batteryPowerW: null,
    consumptionPowerW: null,
    stateOfChargePercent: null,
  };
  return {
    id: gateway,
    name: names.get(gateway) ?? gateway,
    ...(now?.powers ?? unknown),
    positionWh: now?.positionWh ?? null,
    deliveredWh: now?.deliveredWh ?? null,
    balanceUc: settlement?.balanceUc ?? null,
    gridPowersW: curves.get(gateway) ?? [],
    trouble: now === null ? 'the gateway is not running' : now.trouble,
    conditions: now?.conditions ?? [],
    equipment: (equipment.get(gateway) ?? []).map((each) => ({
      ...each,
      override: now?.overrides.find(({ id }) => id === each.id) ?? null,
    })),
  };
}

function validatorView(book: Book, id: string, brokers: number): ValidatorView {
  const status = book.validators.get(id);
  if (status === undefined) {
    return { id, up: false, role: 'down', view: 0, height: 0, stateHash: '', brokersConnected: 0, brokers };
  }
  const { view, height, stateHash, brokersConnected } = status;
  const standing = status.primary === id ? 'primary' : 'backup';
  const role = status.state === 'changing' ? 'changing' : status.state === 'voting' ? standing : 'syncing';
  return { id, up: true, role, view, height, stateHash, brokersConnected, brokers: status.brokers };
}

function clearingView(book: Book, genesis: Genesis): ClearingView | null {
  const [clearing] = [...book.clearings.values()];
  if (clearing === undefined) return null;
  const { feeder, interval, lengthMs, status, tradedWh, trades } = clearing;
  return {
    feeder,
    interval,
    intervalStartMs: intervalStartMs(interval, lengthMs),
    status,
    tradedWh,
    buses: clearing.buses.map(({ id, parent, capacityW }, i) => ({
      id,
      parent: clearing.buses.findIndex((bus) => bus.id === parent),
      capacityWh: capacityW === null ? -1 : floorDiv(capacityW * lengthMs, 3_600_000),
      flowWh: clearing.flowsWh[i] ?? 0,
      priceUcPerWh: clearing.pricesUcPerWh[i] ?? 0,
      sites: genesis.gateways.filter((site) => site.feeder === feeder && site.bus === id).map(({ gateway }) => gateway),
    })),
    trades,
  };
}
