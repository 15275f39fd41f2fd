// Who holds which key now: the ledger's parties by the id of their key, as the embedded broker asks for them with every packet.
// Follows the ledger block by block and reads the parties anew only when they may have changed.

import { keyIdOf } from '../keys/files.ts';
import type { Block, Ledger } from '../ledger/types.ts';
import { isRequestKind, REQUEST_SIGNERS } from '../protocol/requests.ts';
import type { Party } from '../protocol/topics.ts';

export interface Directory {
  /** The party that holds a key, or null = unknown or revoked. */
  partyOf(keyId: string): Party | null;
  /** Takes note of a block; true if keys may have changed with it. Call with every block. */
  follow(block: Block): boolean;
}

export function createDirectory(ledger: Pick<Ledger, 'head' | 'parties'>): Directory {
  let known = read();
  let height = ledger.head().height;

  /** The utility at a root publishes like an operator. */
  function read(): ReadonlyMap<string, Party> {
    const byKeyId = new Map<string, Party>();
    for (const { id, role, publicKey } of ledger.parties()) {
      if (publicKey !== null) byKeyId.set(keyIdOf(publicKey), { id, role: role === 'utility' ? 'operator' : role });
    }
    return byKeyId;
  }

  function readAnew(): void {
    known = read();
    height = ledger.head().height;
  }

  return {
    partyOf(keyId) {
      // A snapshot was taken over: no block was heard of.
      if (ledger.head().height !== height) readAnew();
      return known.get(keyId) ?? null;
    },
    follow({ batch, header }) {
      const isNext = header.height === height + 1;
      height = header.height;
      if (isNext && !batch.requests.some(({ kind }) => changesParties(kind))) return false;
      readAnew();
      return true;
    },
  };
}

/** Gateways speak of energy; who takes part is for operators to say. */
function changesParties(kind: string): boolean {
  return !isRequestKind(kind) || REQUEST_SIGNERS[kind] !== 'gateway';
}
