// The door for requests: bytes from a topic become a request for consensus, or a reason why not. Owns size, form, the match of topic
// and signer, the pace of each publisher, and the line in which requests wait; what a request may say is the ledger's to judge.
//
// Thousands come at once when an interval begins, on the connections that votes come by. Each costs a signature check, so they are taken in
// turns: between two of them the program hears what else has come, and a vote does not wait behind a crowd until a timer gives the primary up.

import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Pace } from '../base/pace.ts';
import { sparing } from '../base/sparing.ts';
import type { Ledger } from '../ledger/types.ts';
import type { Message } from '../messaging/client.ts';
import {
  decodeEnvelope,
  type Envelope,
  isSignedBy,
  MESSAGE_BYTES_MAX,
  messageId,
  type Verify,
} from '../protocol/envelope.ts';
import { GATEWAY_REQUEST_BYTES_MAX } from '../protocol/requests.ts';
import type { Speaker } from './speaker.ts';

/** Messages of one publisher by one broker. */
const PUBLISHER_LIMITS = { burst: 200, perS: 20, knownMax: 10_000 };
/** What waits in line, and how long a turn is. */
const LINE_MAX = 20_000;
const LINE_BYTES_MAX = 64 * 1024 * 1024;
const TURN_MS = 4;

interface Waiting {
  readonly message: Message;
  readonly bytesMax: number;
  /** Height of the chain when it came. */
  readonly height: number;
}

export interface Door {
  onRequest(message: Message): void;
  onOperator(message: Message): void;
  /** What waits is forgotten (its signers ask again), and nothing more is taken in. */
  close(): void;
}

export function createDoor(options: {
  ledger: Ledger;
  speaker: Speaker;
  verify: Verify;
  clock: Clock;
  log: Log;
  /** Takes a request for ordering: null, or why not. */
  submit: (request: Envelope) => string | null;
  /** Calls back when the program has heard what came meanwhile. */
  later: (turn: () => void) => void;
}): Door {
  const { ledger, speaker, verify, clock, log, submit, later } = options;
  const { chain } = ledger.genesis;
  const pace = new Pace(PUBLISHER_LIMITS, () => clock.monotonicMs());
  const line = new Set<Waiting>();
  let lineBytes = 0;
  let isServed = false;
  const warn = sparing(log, () => clock.monotonicMs());
  let isOpen = true;

  function enter(message: Message, bytesMax: number): void {
    if (!isOpen) return;
    const publisher = message.path[0] ?? '';
    // Charged to the broker it came by as well: a broker that invents publishers must not use up theirs elsewhere.
    if (pace.take(`${message.broker} ${publisher}`, 1) > 0) {
      warn(
        publisher,
        { publisher, limit: PUBLISHER_LIMITS.burst },
        'requests dropped: too many at once from one publisher',
      );
      return;
    }
    if (line.size >= LINE_MAX || lineBytes + message.payload.length > LINE_BYTES_MAX) {
      warn(publisher, { publisher, waiting: line.size }, 'request dropped: too many wait');
      return;
    }
    line.add({ message, bytesMax, height: ledger.head().height });
    lineBytes += message.payload.length;
    if (!isServed) serve();
  }

  /** One turn; the next, or the end, when the program has heard what came meanwhile. */
  function serve(): void {
    isServed = line.size > 0;
    if (!isServed) return;
    const untilMs = clock.monotonicMs() + TURN_MS;
    for (const waiting of line) {
      line.delete(waiting);
      lineBytes -= waiting.message.payload.length;
      try {
        take(waiting);
      } catch (error) {
        log.error({ topic: waiting.message.path, reason: describeError(error) }, 'handling a request failed');
      }
      if (clock.monotonicMs() >= untilMs) break;
    }
    later(serve);
  }

  function take({ message, bytesMax, height }: Waiting): void {
    const publisher = message.path[0] ?? '';
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(message.payload, bytesMax);
    } catch (error) {
      warn(publisher, { publisher, broker: message.broker, reason: describeError(error) }, 'request dropped');
      return;
    }
    if (envelope.signer !== publisher) {
      warn(publisher, { publisher, signer: envelope.signer }, 'request dropped: not published by its signer');
      return;
    }
    if (envelope.kind === 'ask') onAsk(envelope);
    else onEnvelope(envelope, height);
  }

  /** What was ordered already is refused as well: then its verdict is the answer. */
  function onEnvelope(envelope: Envelope, height: number): void {
    const refusal = submit(envelope);
    if (refusal === null) return;
    const id = messageId(chain, envelope);
    if (!speaker.repeat(id, envelope.signer, height)) speaker.hint(id, envelope.signer, refusal);
  }

  function onAsk(ask: Envelope): void {
    const publicKey = ledger.party(ask.signer)?.publicKey ?? null;
    if (publicKey !== null && isSignedBy(chain, ask, publicKey, verify)) speaker.onAsk(ask);
    else warn(ask.signer, { signer: ask.signer }, 'ask dropped: not signed by a known party');
  }

  return {
    onRequest: (message) => enter(message, GATEWAY_REQUEST_BYTES_MAX),
    onOperator: (message) => enter(message, MESSAGE_BYTES_MAX),
    close() {
      isOpen = false;
      line.clear();
    },
  };
}
