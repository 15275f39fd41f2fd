// Whether a notice is a fair answer to this site's own offer. The validators proved it and it stands; what is found wrong here is said aloud,
// so that the owner can ask for the clearing and show it.

import { parseCanonical } from '../base/canonical.ts';
import type { Log } from '../base/log.ts';
import { noticeProblem } from '../ledger/share.ts';
import { parseEnvelope } from '../protocol/envelope.ts';
import type { Notice } from '../protocol/replies.ts';
import type { RequestBody } from '../protocol/requests.ts';
import type { GatewayStore } from '../store/gateway.ts';

/** Judges notices by the offers in the store; `rounds` is genesis'. */
export function watchFairness(options: {
  store: Pick<GatewayStore, 'requests'>;
  rounds: number;
  log: Log;
}): (notice: Notice) => void {
  const { store, rounds, log } = options;
  return (notice) => {
    // The last one recorded is the one that stood.
    const offer = store.requests
      .of(notice.interval)
      .findLast(({ kind, life }) => kind === 'offer' && life.phase === 'recorded');
    if (offer === undefined) return;
    const { body } = parseEnvelope(parseCanonical(offer.bytes));
    const problem = noticeProblem(notice, body as unknown as RequestBody<'offer'>, rounds);
    if (problem === null) return;
    log.error(
      { interval: notice.interval, clearing: notice.clearing, problem },
      'the clearing is no fair answer to the offer',
    );
  };
}
