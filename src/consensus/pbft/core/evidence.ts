// Evidence of equivocation: two messages of one signer that an honest validator never signs both. Nobody honest can be
// accused: both signatures are checked before, and an honest validator persists a vote before it leaves.

import { canonicalText, type Json } from '../../../base/canonical.ts';
import type { Output } from './io.ts';
import type { Message } from './messages.ts';
import { EVIDENCE_MAX, persist, type Replica, tell } from './state.ts';

/** Keeps and shows the first contradiction of each signer. The same words signed twice are none. */
export function accuse(r: Replica, out: Output, first: Message, second: Message): void {
  if (canonicalText(first.body as Json) === canonicalText(second.body as Json)) return;
  const accused = first.signer;
  if (r.evidence.length >= EVIDENCE_MAX || r.evidence.some((piece) => piece.accused === accused)) return;
  const piece = { accused, first, second };
  r.evidence.push(piece);
  persist(out, { type: 'evidence', ...piece });
  tell(out, { type: 'evidence', ...piece });
}
