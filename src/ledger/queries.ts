// What can be asked of the ledger: the present state, and history from the store. Reads only.

import { compareStrings } from '../base/integers.ts';
import type { Leaf } from '../protocol/replies.ts';
import { tiesOf } from './context.ts';
import { validatorKeys, withMeter } from './parties.ts';
import { proofAt, type ResultTree, resultTree } from './results.ts';
import type { State } from './state.ts';
import {
  ALL,
  accounts,
  feederAt,
  grids,
  marketKey,
  members,
  newestCovering,
  offers,
  parties,
  signers,
  sites as siteTable,
  tariffs,
} from './tables.ts';
import type { Block, LeafProof, Ledger, LedgerStore, OpenOffer, PartyRecord, RecordedRequest } from './types.ts';
import { maySee } from './visibility.ts';

export type Queries = Pick<
  Ledger,
  | 'block'
  | 'headers'
  | 'certificate'
  | 'heightOf'
  | 'proofOf'
  | 'noticeOf'
  | 'settlementsOf'
  | 'summaryOf'
  | 'leavesOf'
  | 'clearing'
  | 'requestsOf'
  | 'memberships'
  | 'keptFrom'
  | 'maySee'
  | 'party'
  | 'parties'
  | 'site'
  | 'sites'
  | 'feeder'
  | 'feeders'
  | 'tariff'
  | 'openOffers'
  | 'account'
  | 'accountProof'
  | 'accounts'
  | 'lastSequence'
>;

/** Blocks kept at hand for proofs. */
const RECENT_MAX = 16;

interface Sources {
  readonly operators: readonly string[];
  readonly store: LedgerStore;
  /** The state at the head: another one after a snapshot is restored. */
  readonly state: () => State;
  readonly height: () => number;
}

export function queries({ operators, store, state, height }: Sources): Queries {
  /** Changes of the validators in blocks up to `scanned`: asked for often, and there are few. */
  const memberships: RecordedRequest[] = [];
  let scanned = 0;
  let kept: { readonly of: State; readonly fromHeight: number | null } | null = null;

  /** Blocks with their trees, the one used longest ago first: proofs are asked for in flocks. */
  const recent = new Map<number, { readonly block: Block; readonly tree: ResultTree }>();

  function blockWithTree(height: number): { readonly block: Block; readonly tree: ResultTree } | null {
    const known = recent.get(height);
    const block = known?.block ?? store.block(height);
    if (block === null) return null;
    const found = known ?? { block, tree: resultTree(block.results) };
    recent.delete(height);
    recent.set(height, found);
    if (recent.size > RECENT_MAX) recent.delete(recent.keys().next().value as number);
    return found;
  }

  function proofs(kind: Leaf['kind'], subject: string, interval: number | null): LeafProof[] {
    return store.resultPlaces(kind, subject, interval).flatMap(({ height, index }) => {
      const found = blockWithTree(height);
      return found === null ? [] : [proofAt(found.block.header, found.block.results, found.tree, index)];
    });
  }

  function party(id: string): PartyRecord | null {
    const known = parties.get(state(), ALL, id);
    if (known !== null) return { id, ...known };
    const publicKey = validatorKeys(state()).find((validator) => validator.id === id)?.publicKey;
    return publicKey === undefined ? null : { id, publicKey, role: 'validator' };
  }

  return {
    block: (height) => store.block(height),
    headers: (fromHeight, toHeight) => store.headers(fromHeight, toHeight),
    certificate: (height) => store.certificate(height),
    heightOf: (request) => store.resultPlaces('verdict', request, null)[0]?.height ?? null,
    proofOf: (request) => proofs('verdict', request, null)[0] ?? null,
    noticeOf: (gateway, interval) => proofs('notice', gateway, interval)[0] ?? null,
    settlementsOf: (gateway, interval) => proofs('settlement', gateway, interval),
    summaryOf: (feeder, interval) => proofs('clearing', feeder, interval)[0] ?? null,
    leavesOf: (kind, subject, fromInterval, untilInterval) =>
      store.leavesOf(kind, subject, fromInterval, untilInterval),
    clearing: (feeder, interval) => store.clearing(feeder, interval),
    requestsOf: (signer, fromHeight, toHeight, limit) => store.requestsOf(signer, fromHeight, toHeight, limit),
    memberships() {
      const until = height() + 1;
      const found = operators
        .flatMap((operator) => store.requestsOf(operator, scanned, until, Number.MAX_SAFE_INTEGER))
        .filter(({ kind }) => kind === 'membership');
      memberships.push(...found.sort((a, b) => a.height - b.height));
      scanned = until;
      return memberships;
    },
    keptFrom() {
      // Only another snapshot makes another beginning, and with it comes another state.
      if (kept?.of !== state() || kept.fromHeight === null) {
        // The block that a snapshot ends with is not kept itself: the run begins above it.
        kept = { of: state(), fromHeight: store.block(height()) === null ? null : store.keptFrom() };
      }
      return kept.fromHeight ?? height() + 1;
    },
    maySee: (asker, subject) => maySee(state(), asker, subject),
    party,
    parties: () => [
      ...validatorKeys(state()).map((validator): PartyRecord => ({ ...validator, role: 'validator' })),
      ...parties.list(state(), ALL).map(({ name, value }): PartyRecord => ({ id: name, ...value })),
    ],
    site: (gateway) => {
      const admission = siteTable.get(state(), gateway, 'admission');
      return admission === null ? null : withMeter(state(), admission);
    },
    sites: (feeder) =>
      members.names(state(), feeder).flatMap((gateway) => {
        const admission = siteTable.get(state(), gateway, 'admission');
        return admission === null ? [] : [withMeter(state(), admission)];
      }),
    feeder: (id, interval) => feederAt(state(), id, interval),
    feeders: () => grids.names(state(), ALL),
    tariff: (feeder, interval) => {
      const row = newestCovering(state(), tariffs, feeder, interval);
      if (row === null) return null;
      const { buyUcPerWh, buyWhMax, sellUcPerWh, sellWhMax } = row;
      return { buyUcPerWh, buyWhMax, sellUcPerWh, sellWhMax };
    },
    openOffers: (feeder, interval) => offersInOrder(state(), feeder, interval),
    account: (id) => {
      const balanceUc = accounts.get(state(), ALL, id);
      return balanceUc === null ? null : { id, balanceUc };
    },
    accountProof: (id) => state().prove(accounts.key(ALL, id)),
    accounts: () => accounts.list(state(), ALL).map(({ name, value }) => ({ id: name, balanceUc: value })),
    lastSequence: (signer) => signers.get(state(), signer, 'last')?.sequence ?? 0,
  };
}

/** Offers that still stand, first come first; within a height the order may change until the gate closes. */
export function offersInOrder(state: State, feeder: string, interval: number): OpenOffer[] {
  const standing = offers
    .list(state, marketKey(feeder, interval))
    .filter(({ value }) => value.buy.length + value.sell.length > 0);
  const ties = tiesOf(standing.map(({ value }) => value.request));
  return standing
    .map(({ name, value: { buy, height, request, round, sell } }) => {
      return { buy, gateway: name, place: { height, tie: ties.get(request) as string }, round, sell };
    })
    .sort((a, b) => a.place.height - b.place.height || compareStrings(a.place.tie, b.place.tie));
}
