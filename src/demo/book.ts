// What the demo has seen, interval by interval: gateways' and validators' events in, the terminal's lines, the page's state and the final
// document out. Owns the bookkeeping; starts nothing and prints nothing.

import type { GatewayEvent } from '../gateway/events.ts';
import type { ClearingDocument } from '../ledger/types.ts';
import type { Header } from '../protocol/header.ts';
import type { Settlement } from '../protocol/replies.ts';
import type { ValidatorEvent } from '../validator/events.ts';

/** Intervals and requests remembered: more than a person looks back at in a demo. */
const INTERVALS_KEPT = 400;
const REQUESTS_KEPT = 2_000;

/** An event of a gateway, of one type. */
type Told<Type extends GatewayEvent['type']> = Extract<GatewayEvent, { type: Type }>;

export interface RequestEntry extends Omit<Told<'request'>, 'type'> {
  readonly gateway: string;
  readonly interval: number;
  /** How far the seed's five phases have come, as the validators tell. */
  readonly stage: 'request' | 'pre-prepare' | 'prepare' | 'commit' | 'reply';
}

export interface SiteInterval {
  forecast: Told<'forecast'> | null;
  notice: Told<'notice'> | null;
  delivery: Told<'delivery'> | null;
  settlement: Settlement | null;
  stateOfChargePercent: number | null;
}

export type SiteNow = Omit<Told<'powers'>, 'type'>;

export interface Book {
  onGateway(gateway: string, event: GatewayEvent): void;
  onValidator(validator: string, event: ValidatorEvent): void;
  /** A process ended: what it last said of itself is not the truth any more. */
  onEnd(name: string): void;
  readonly ready: ReadonlySet<string>;
  /** Intervals that every gateway has seen settled, rising. */
  settled(): readonly number[];
  requests(interval?: number): readonly RequestEntry[];
  /** Whether every gateway has requested something for the interval, and all of it was recorded in time. */
  requestedInTimeByAll(interval: number): boolean;
  site(gateway: string, interval: number): SiteInterval;
  now(gateway: string): SiteNow | null;
  readonly validators: ReadonlyMap<string, Extract<ValidatorEvent, { type: 'status' }>>;
  readonly head: Header | null;
  /** The last clearing of each feeder. */
  readonly clearings: ReadonlyMap<string, ClearingDocument>;
  readonly gateways: readonly string[];
}

export function createBook(gateways: readonly string[]): Book {
  const ready = new Set<string>();
  const requests = new Map<string, RequestEntry>();
  const intervals = new Map<number, Map<string, SiteInterval>>();
  const present = new Map<string, SiteNow>();
  const validators = new Map<string, Extract<ValidatorEvent, { type: 'status' }>>();
  const clearings = new Map<string, ClearingDocument>();
  let head: Header | null = null;

  function site(gateway: string, interval: number): SiteInterval {
    let sites = intervals.get(interval);
    if (sites === undefined) {
      sites = new Map();
      intervals.set(interval, sites);
      if (intervals.size > INTERVALS_KEPT) intervals.delete(Math.min(...intervals.keys()));
    }
    let found = sites.get(gateway);
    if (found === undefined) {
      found = { forecast: null, notice: null, delivery: null, settlement: null, stateOfChargePercent: null };
      sites.set(gateway, found);
    }
    return found;
  }

  function onRequest(gateway: string, event: Told<'request'>): void {
    if (event.interval === null) return;
    const { type: _type, interval, ...rest } = event;
    const stage =
      event.confirmations > 0 || event.phase !== 'undecided' ? 'reply' : (requests.get(event.id)?.stage ?? 'request');
    requests.set(event.id, { ...rest, interval, gateway, stage });
    if (requests.size > REQUESTS_KEPT) requests.delete(requests.keys().next().value as string);
  }

  /** Phases before the reply are of the batch in work: every waiting request is shown to be that far. */
  function onPhase(stage: 'pre-prepare' | 'prepare' | 'commit'): void {
    for (const [id, entry] of requests) {
      if (entry.stage !== 'reply' && entry.phase === 'undecided') requests.set(id, { ...entry, stage });
    }
  }

  return {
    ready,
    validators,
    clearings,
    gateways,
    get head() {
      return head;
    },
    onGateway(gateway, event) {
      switch (event.type) {
        case 'ready':
          ready.add(gateway);
          return;
        case 'powers': {
          const { type: _type, ...now } = event;
          present.set(gateway, now);
          return;
        }
        case 'request':
          return onRequest(gateway, event);
        case 'forecast':
          site(gateway, event.interval).forecast = event;
          return;
        case 'notice':
          site(gateway, event.interval).notice = event;
          return;
        case 'delivery': {
          const entry = site(gateway, event.interval);
          entry.delivery = event;
          entry.stateOfChargePercent = present.get(gateway)?.powers.stateOfChargePercent ?? null;
          return;
        }
        case 'settlement':
          site(gateway, event.interval).settlement = event.settlement;
          return;
        case 'trouble':
        case 'override':
        case 'condition':
          return;
        default:
          return event satisfies never;
      }
    },
    onValidator(validator, event) {
      switch (event.type) {
        case 'ready':
          ready.add(validator);
          return;
        case 'status':
          validators.set(validator, event);
          return;
        case 'consensus': {
          const { type } = event.event;
          if (type === 'pre-prepare' || type === 'prepare' || type === 'commit') onPhase(type);
          return;
        }
        case 'block':
          if (head === null || event.header.height > head.height) head = event.header;
          for (const clearing of event.clearings) clearings.set(clearing.feeder, clearing);
          return;
        default:
          return event satisfies never;
      }
    },
    onEnd(name) {
      ready.delete(name);
      validators.delete(name);
      present.delete(name);
    },
    settled: () =>
      [...intervals.entries()]
        .filter(([, sites]) => gateways.every((gateway) => sites.get(gateway)?.settlement != null))
        .map(([interval]) => interval)
        .sort((a, b) => a - b),
    requests: (interval) =>
      [...requests.values()].filter((entry) => interval === undefined || entry.interval === interval),
    requestedInTimeByAll: (interval) =>
      gateways.every((gateway) => {
        const of = [...requests.values()].filter(
          ({ kind, ...entry }) =>
            entry.gateway === gateway && entry.interval === interval && kind !== 'delivery' && kind !== 'correction',
        );
        return of.length > 0 && of.every(({ phase }) => phase === 'recorded');
      }),
    site,
    now: (gateway) => present.get(gateway) ?? null,
  };
}
