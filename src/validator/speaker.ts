// What a validator says to the world: one attestation a block, proofs to those concerned, and answers to those who ask again.
// Says only what the ledger has durably applied. Decides nothing.

import { canonicalBytes, canonicalText, type Json, type JsonObject, rememberText } from '../base/canonical.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { Pace } from '../base/pace.ts';
import { sparing } from '../base/sparing.ts';
import type { Key } from '../keys/files.ts';
import { historyPage } from '../ledger/history.ts';
import { createChanges } from '../ledger/succession.ts';
import type { AddressedProof, Applied, LeafProof, Ledger } from '../ledger/types.ts';
import type { Messaging } from '../messaging/client.ts';
import { type Envelope, encodeEnvelope, seal } from '../protocol/envelope.ts';
import { attest, type Header, headerHash } from '../protocol/header.ts';
import { bodyOf, encodeProof, REASON_LENGTH_MAX } from '../protocol/replies.ts';

/** Attestations kept for proofs of the same block; older ones are signed again (the same bytes). */
const ATTESTATIONS_MAX = 256;
/** An `ask` older than this (chain time) is not answered: a recording of it is worth nothing. */
const ASK_AGE_MS_MAX = 60 * 60_000;
/** Changes of the validators told in one answer; who is further behind asks again. */
const CHANGES_TOLD_MAX = 16;
/** Pages of its past that one gateway gets: the proofs of a page take a good part of 100 ms to make. */
const PAST_LIMITS = { burst: 2, perS: 1, knownMax: 10_000 };

/** Requests and intervals of one asker that are answered: each `absent` costs a signature, and one ask names hundreds. */
const ASKED_LIMITS = { burst: 1_024, perS: 100, knownMax: 10_000 };

export interface Speaker {
  /** Publishes the block's attestation and every proof of it that concerns somebody. */
  onApplied(applied: Applied): void;
  /** Answers a gateway's or operator's genuine `ask`. */
  onAsk(ask: Envelope): void;
  /**
   * The verdict again, for a request that came when the chain had this height; false if it is in no block. One of a later block was told when
   * that was applied.
   */
  repeat(requestId: string, to: string, height: number): boolean;
  hint(requestId: string, to: string, reason: string): void;
}

export function createSpeaker(options: {
  id: string;
  key: Key;
  ledger: Ledger;
  messaging: Pick<Messaging, 'publish'>;
  clock: Clock;
  log: Log;
}): Speaker {
  const { id, key, ledger, messaging, clock, log } = options;
  const { chain } = ledger.genesis;
  const warn = sparing(log, () => clock.monotonicMs());
  const attestations = new Map<number, Envelope<Header>>();
  const changes = createChanges(ledger);
  const past = new Pace(PAST_LIMITS, () => clock.monotonicMs());
  const asked = new Pace(ASKED_LIMITS, () => clock.monotonicMs());

  function attestationOf(header: Header): Envelope<Header> {
    const known = attestations.get(header.height);
    if (known !== undefined) return known;
    const made = attest(header, id, key.sign);
    rememberText(made, canonicalText(made as unknown as Json)); // it goes with every proof of the block
    attestations.set(header.height, made);
    if (attestations.size > ATTESTATIONS_MAX) attestations.delete(attestations.keys().next().value as number);
    return made;
  }

  function say(channel: 'reply' | 'notice', to: string, { header, proof }: LeafProof): void {
    void messaging.publish(channel, [to, id], encodeProof({ ...proof, attestation: attestationOf(header) }));
  }

  function sayAddressed(addressed: AddressedProof): void {
    if (addressed.to === null) return;
    say(addressed.proof.leaf.kind === 'verdict' ? 'reply' : 'notice', addressed.to, addressed);
  }

  function saySigned(kind: string, to: string, body: JsonObject): void {
    void messaging.publish('reply', [to, id], encodeEnvelope(seal(chain, kind, id, body, key.sign)));
  }

  /** What a gateway that lost its store delivered, certified block by block. */
  function sayHistory(to: string, from: number, salt: string): void {
    if (past.take(to, 1) > 0) return;
    const { keptFrom, records, untilHeight } = historyPage(ledger, to, from, ['delivery', 'correction']);
    saySigned('history', to, { from, keptFrom, records, salt, until: untilHeight } as unknown as JsonObject);
  }

  /** Each proves itself: whoever follows does not know this validator's key yet, perhaps. */
  function sayChanges(to: string, from: number): void {
    for (const change of changes(from, CHANGES_TOLD_MAX)) {
      void messaging.publish('reply', [to, id], canonicalBytes(change as unknown as Json));
    }
  }

  function repeat(requestId: string, to: string, height: number): boolean {
    const recordedAt = ledger.heightOf(requestId);
    if (recordedAt === null) return false;
    const known = recordedAt > height ? null : ledger.proofOf(requestId);
    // Somebody else's verdict is nobody's business: known, but not told.
    if (known?.proof.leaf.kind === 'verdict' && known.proof.leaf.signer === to) say('reply', to, known);
    return true;
  }

  return {
    onApplied({ block, proofs }) {
      void messaging.publish('header', [id], encodeEnvelope(attestationOf(block.header)));
      for (const addressed of proofs) sayAddressed(addressed);
    },

    onAsk(ask) {
      const body = bodyOf('ask', ask);
      if (body === null || Math.abs(clock.chainMs() - body.timeMs) > ASK_AGE_MS_MAX) {
        warn(ask.signer, { signer: ask.signer }, 'ask refused: malformed or too old');
        return;
      }
      const to = ask.signer;
      const head = ledger.head();
      const place = { header: headerHash(head), height: head.height };
      // What is too much now is not answered: who still wants it asks again.
      for (const request of body.requests) {
        if (asked.take(to, 1) > 0) break;
        if (!repeat(request, to, head.height)) saySigned('absent', to, { ...place, request, timeMs: head.timeMs });
      }
      for (const interval of body.intervals) {
        if (asked.take(to, 1) > 0) break;
        const notice = ledger.noticeOf(to, interval);
        if (notice !== null) say('notice', to, notice);
        for (const settlement of ledger.settlementsOf(to, interval)) say('notice', to, settlement);
      }
      if (body.historyFrom !== null) sayHistory(to, body.historyFrom, body.salt);
      if (body.setsFrom !== null) sayChanges(to, body.setsFrom);
      if (body.sequence) {
        saySigned('sequence', to, { ...place, gateway: to, salt: body.salt, sequence: ledger.lastSequence(to) });
        // The head's attestation, so that the asker knows where the chain is although no block may come soon.
        void messaging.publish('header', [id], encodeEnvelope(attestationOf(head)));
      }
    },

    repeat,

    hint(requestId, to, reason) {
      saySigned('hint', to, { reason: reason.slice(0, REASON_LENGTH_MAX), request: requestId });
    },
  };
}
