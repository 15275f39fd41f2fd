// Judges for a stranger what the engine's messages prove: that a quorum agreed on a block, or that a validator contradicted itself.

import { canonicalText } from '../base/canonical.ts';
import type { Envelope, Verify } from '../protocol/envelope.ts';
import { isSignedBy } from '../protocol/envelope.ts';
import type { Batch, Certificate } from './engine.ts';
import { commitsDecide, type IsSigned } from './pbft/core/certificate.ts';
import { membersOf } from './pbft/core/members.ts';
import { batchDigest, type Commit } from './pbft/core/messages.ts';

/** True if a quorum of these validators (id -> public key) committed this batch as the block above this parent. */
export function isCertified(
  chain: string,
  verify: Verify,
): (
  decided: {
    readonly batch: Batch;
    readonly certificate: Certificate;
    readonly height: number;
    readonly parent: string;
  },
  validators: ReadonlyMap<string, string>,
) => boolean {
  return ({ batch, certificate, height, parent }, validators) => {
    const decision = { digest: batchDigest(batch), height, parent };
    return decides(chain, verify, certificate.engine, certificate.commits, decision, validators);
  };
}

/** True if a quorum of these validators committed some batch as the block of this height above this parent. */
export function commitsAgree(
  chain: string,
  verify: Verify,
): (
  commits: readonly Envelope[],
  agreed: { readonly engine: string; readonly height: number; readonly parent: string },
  validators: ReadonlyMap<string, string>,
) => boolean {
  return (commits, { engine, height, parent }, validators) => {
    const digest = commits[0]?.body.digest;
    return (
      typeof digest === 'string' && decides(chain, verify, engine, commits, { digest, height, parent }, validators)
    );
  };
}

/** True if both messages are signed with this key and no honest validator signs the two: one place, different words. */
export function contradicts(
  chain: string,
  verify: Verify,
): (first: Envelope, second: Envelope, publicKey: string) => boolean {
  return (first, second, publicKey) => {
    const place = placeOf(first);
    if (place === null || place !== placeOf(second) || first.signer !== second.signer) return false;
    if (canonicalText(first.body) === canonicalText(second.body)) return false;
    return [first, second].every((message) => isSignedBy(chain, message, publicKey, verify));
  };
}

/** What a validator says one thing of at most. */
function placeOf({ kind, body }: Envelope): string | null {
  switch (kind) {
    case 'pbft.pre-prepare':
    case 'pbft.prepare':
    case 'pbft.commit':
      return `${kind} ${String(body.height)} ${String(body.view)}`;
    case 'pbft.view-change':
    case 'pbft.new-view':
      return `${kind} ${String(body.view)}`;
    case 'pbft.checkpoint':
      return `${kind} ${String(body.height)}`;
    default:
      return null;
  }
}

function decides(
  chain: string,
  verify: Verify,
  engine: string,
  commits: readonly Envelope[],
  decision: { readonly digest: string; readonly height: number; readonly parent: string },
  validators: ReadonlyMap<string, string>,
): boolean {
  // A prepare says the same with less weight: only commits count.
  if (engine !== 'pbft' || !commits.every(({ kind }) => kind === 'pbft.commit')) return false;
  const isSigned: IsSigned = (message, publicKey) =>
    isSignedBy(chain, message as unknown as Envelope, publicKey, verify);
  return commitsDecide(commits as unknown as readonly Commit[], decision, membersOf(validators), isSigned);
}
