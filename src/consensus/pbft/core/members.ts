// The validators of a height: their order, their keys, and the counts that follow from how many they are.

import { compareStrings } from '../../../base/integers.ts';
import { consensusQuorum, faultsTolerated } from '../../../protocol/quorum.ts';

export interface Members {
  /** In order of id: the primary of view v is the one at v mod n. */
  readonly ids: readonly string[];
  readonly keys: ReadonlyMap<string, string>;
  /** Most faulty ones tolerated, and the votes that decide. */
  readonly faults: number;
  readonly quorum: number;
}

export function membersOf(validators: ReadonlyMap<string, string>): Members {
  const ids = [...validators.keys()].sort(compareStrings);
  return { ids, keys: validators, faults: faultsTolerated(ids.length), quorum: consensusQuorum(ids.length) };
}

export function primaryOf(members: Members, view: number): string {
  return members.ids[view % members.ids.length] as string;
}

export function sameMembers(a: Members, b: Members): boolean {
  return a.ids.length === b.ids.length && a.ids.every((id) => a.keys.get(id) === b.keys.get(id) && b.keys.has(id));
}
