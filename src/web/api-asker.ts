// Who asks the open API: nobody in particular, or a party of the chain by a signed query (protocol/query.ts). Owns the judging of queries and
// the memory that each is taken once; what a party may see is the ledger's to say.

import type { Clock } from '../base/clock.ts';
import { Pace } from '../base/pace.ts';
import type { Ledger } from '../ledger/types.ts';
import { isSignedBy, messageId, type Verify } from '../protocol/envelope.ts';
import { parseQueryHeader, QUERY_VALID_MS_MAX } from '../protocol/query.ts';

/** Queries remembered until they end. */
const TAKEN_MAX = 100_000;
/** What one party may ask for; a route says what it costs. */
const SIGNER_LIMITS = { burst: 100, perS: 10, knownMax: 10_000 };

export type Asker =
  /** Null: the public. */
  | { readonly party: string | null }
  | { readonly status: 401 | 429 | 503; readonly error: string; readonly waitS?: number };

export interface Askers {
  /** `authorization` and `target` as they stand in the request, and what the answer costs. */
  judge(authorization: string | undefined, target: string, cost: number): Asker;
}

export function createAskers(options: { self: string; ledger: Ledger; verify: Verify; clock: Clock }): Askers {
  const { self, ledger, verify, clock } = options;
  const { chain, clock: terms } = ledger.genesis;
  const pace = new Pace(SIGNER_LIMITS, () => clock.monotonicMs());
  /** Id -> end, in order of arrival. */
  const taken = new Map<string, number>();

  function forget(nowMs: number): void {
    if (taken.size < TAKEN_MAX) return;
    for (const [id, expiresMs] of taken) if (expiresMs <= nowMs) taken.delete(id);
  }

  const no = (error: string): Asker => ({ status: 401, error });

  return {
    judge(authorization, target, cost) {
      if (authorization === undefined) return { party: null };
      const query = parseQueryHeader(authorization);
      if (query === null) return no('the header Authorization is no signed query (docs/protocol.md, section 8)');
      const { envelope, body } = query;
      const nowMs = clock.chainMs();
      if (body.validator !== self) return no(`the query is for ${body.validator}, this is ${self}`);
      if (body.target !== target) return no('the query is for another target');
      if (body.expiresMs <= nowMs) return no('the query has expired: do the clocks agree?');
      if (body.expiresMs > nowMs + QUERY_VALID_MS_MAX * terms.rate) {
        return no('the query is valid for too long: do the clocks agree?');
      }
      const publicKey = ledger.party(envelope.signer)?.publicKey ?? null;
      if (publicKey === null || !isSignedBy(chain, envelope, publicKey, verify)) {
        return no('the query is not signed by a party of this chain');
      }
      // Charged only now: nobody else can use up what is a signer's.
      const waitS = pace.take(envelope.signer, cost);
      if (waitS > 0) return { status: 429, error: `${envelope.signer} asks too often`, waitS };
      const id = messageId(chain, envelope);
      if (taken.has(id)) return no('the query was used before: sign a new one');
      forget(nowMs);
      if (taken.size >= TAKEN_MAX) return { status: 503, error: 'too many signed queries at this time', waitS: 60 };
      taken.set(id, body.expiresMs);
      return { party: envelope.signer };
    },
  };
}
