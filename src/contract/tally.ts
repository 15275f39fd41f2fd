// Counting validators' words: one vote a validator and subject, decided when k of them say exactly the same.
// Owns the count alone; that a word is genuine is checked before it comes here.

/** What one validator says of a subject: the leaf's hash and the block it stands in. Equal `said` = identical word. */
export interface Vote {
  readonly validator: string;
  readonly said: string;
}

/** Validators by what they said, in order of arrival. Serialisable; at most one entry a validator. */
export interface Tally {
  readonly votes: readonly Vote[];
}

export const EMPTY_TALLY: Tally = { votes: [] };

/**
 * Adds a vote. A validator's first word stands: a repetition changes nothing and a contradiction never counts
 * (honest validators say one thing of a subject; what a liar says second is worth no more than what he said first).
 */
export function addVote(tally: Tally, vote: Vote): Tally {
  if (tally.votes.some(({ validator }) => validator === vote.validator)) return tally;
  return { votes: [...tally.votes, vote] };
}

/** Validators that said exactly this. */
export function supporters(tally: Tally, said: string): readonly string[] {
  return tally.votes.filter((vote) => vote.said === said).map(({ validator }) => validator);
}

/** The word that at least k validators said, or null. With k above half of the validators it is unique. */
export function decidedWord(tally: Tally, k: number): string | null {
  for (const { said } of tally.votes) if (supporters(tally, said).length >= k) return said;
  return null;
}
