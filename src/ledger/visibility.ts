// Who sees what of the book: the public headers and aggregates, an owner what is his own, a feeder's operator and utility what
// their role needs, validators everything. Brokers hold the same lines for topics (protocol/topics.ts).

import type { Leaf } from '../protocol/replies.ts';
import type { State } from './state.ts';
import { ALL, grids, parties, sites, validators } from './tables.ts';

/** Fewest gateways whose total is public. */
export const AGGREGATE_MIN = 5;

/** What somebody wants to see. */
export type Subject =
  /** Headers, membership, feeders' names, summaries of clearings. */
  | { readonly about: 'everybody' }
  /** Requests, verdicts, notices, settlements, account and admission of one party. */
  | { readonly about: 'party'; readonly party: string }
  /** A feeder's orders, flows, prices and trades in full. */
  | { readonly about: 'market'; readonly feeder: string };

/** True if the asker (null = the public) may see the subject. A revoked party is the public. */
export function maySee(state: State, asker: string | null, subject: Subject): boolean {
  if (subject.about === 'everybody') return true;
  if (asker === null) return false;
  if (validators.has(state, ALL, asker)) return true;
  const party = parties.get(state, ALL, asker);
  if (party === null || party.publicKey === null) return false;
  if (subject.about === 'market') {
    const grid = grids.get(state, ALL, subject.feeder);
    return grid !== null && (grid.operator === asker || grid.utility === asker);
  }
  if (subject.party === asker) return true;
  const feeder = sites.get(state, subject.party, 'admission')?.feeder;
  return feeder !== undefined && grids.get(state, ALL, feeder)?.operator === asker;
}

/** What a leaf is about. */
export function subjectOf(leaf: Leaf): Subject {
  const party = addressee(leaf);
  return party === null ? { about: 'everybody' } : { about: 'party', party };
}

/** Whom a leaf concerns: the signer of a request, a site; null = everybody. */
export function addressee(leaf: Leaf): string | null {
  switch (leaf.kind) {
    case 'verdict':
      return leaf.signer;
    case 'notice':
    case 'settlement':
      return leaf.gateway;
    case 'clearing':
      return null;
    default:
      return leaf satisfies never;
  }
}
