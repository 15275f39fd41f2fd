// Judges the certificates of blocks for `wattpact chain`: the commits of the engine that made them.

import { commitsDecide, type IsSigned } from '../consensus/pbft/core/certificate.ts';
import { membersOf } from '../consensus/pbft/core/members.ts';
import { batchDigest, type Commit } from '../consensus/pbft/core/messages.ts';
import type { CheckCertificate } from '../ledger/audit.ts';
import type { CheckCommits } from '../ledger/prove.ts';
import { type Envelope, isSignedBy, type Verify } from '../protocol/envelope.ts';

/** A quorum of these validators committed this batch as the block above this parent. */
export function isCertified(chain: string, verify: Verify): CheckCertificate {
  return ({ batch, certificate, height, parent }, validators) =>
    decides(
      chain,
      verify,
      certificate.engine,
      certificate.commits,
      { digest: batchDigest(batch), height, parent },
      validators,
    );
}

/** A quorum of these validators committed some batch as the block of this height above this parent. */
export function commitsAgree(chain: string, verify: Verify): CheckCommits {
  return (commits, { engine, height, parent }, validators) => {
    const digest = commits[0]?.body.digest;
    return (
      typeof digest === 'string' && decides(chain, verify, engine, commits, { digest, height, parent }, validators)
    );
  };
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
