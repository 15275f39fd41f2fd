// What a request must be before it is ordered at all: well-formed, small enough, signed by a known key, not known yet,
// not expired. Owns the memory of what was already opened and verified, so that each signature is checked once a validator.

import { describeError } from '../base/errors.ts';
import { isoSeconds } from '../base/interval.ts';
import {
  type Envelope,
  envelopeLength,
  isSignedBy,
  messageId,
  parseEnvelope,
  type Verify,
} from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { parseRequest, type Request } from '../protocol/requests.ts';
import type { State } from './state.ts';
import { ALL, expiryInterval, ids, parties } from './tables.ts';

export interface Opened {
  readonly id: string;
  readonly request: Request;
  readonly bytes: number;
  /** The key that its signature was found to hold for, or null. */
  signedBy: string | null;
}

export class Intake {
  readonly #genesis: Genesis;
  readonly #verify: Verify;
  /** By envelope: the same object waits in the pool and comes by in proposal and batch; what is known of it goes with it. */
  readonly #opened = new WeakMap<Envelope, Opened>();

  constructor(genesis: Genesis, verify: Verify) {
    this.#genesis = genesis;
    this.#verify = verify;
  }

  /** Throws `message.*` or `request.*` for what is no request of this chain. */
  open(envelope: Envelope): Opened {
    const known = this.#opened.get(envelope);
    if (known !== undefined) return known;
    const request = parseRequest(parseEnvelope(envelope));
    const bytes = envelopeLength(envelope);
    const opened = { id: messageId(this.#genesis.chain, envelope), request, bytes, signedBy: null };
    this.#opened.set(envelope, opened);
    return opened;
  }

  /** Why the request cannot be ordered on this state, whatever the block time; null if nothing is against it. */
  problem(state: State, envelope: Envelope): string | null {
    let opened: Opened;
    try {
      opened = this.open(envelope);
    } catch (error) {
      return describeError(error);
    }
    const { id, request } = opened;
    if (ids.has(state, expiryInterval(this.#genesis, request.body.validUntilMs), id)) return 'already ordered';
    const publicKey = parties.get(state, ALL, request.signer)?.publicKey ?? null;
    if (publicKey === null) return `${request.signer} is unknown or revoked`;
    return this.#isSigned(envelope, opened, publicKey) ? null : 'the signature does not hold';
  }

  /** Why the request cannot stand in a block of this time, or null. */
  timeProblem(envelope: Envelope, timeMs: number): string | null {
    const { validUntilMs } = this.open(envelope).request.body;
    if (validUntilMs < timeMs) return `expired at ${isoSeconds(validUntilMs)}`;
    if (validUntilMs > timeMs + this.#genesis.limits.validForMsMax) return 'valid for longer than genesis allows';
    return null;
  }

  #isSigned(envelope: Envelope, opened: Opened, publicKey: string): boolean {
    if (opened.signedBy === publicKey) return true;
    if (!isSignedBy(this.#genesis.chain, envelope, publicKey, this.#verify)) return false;
    opened.signedBy = publicKey;
    return true;
  }
}
