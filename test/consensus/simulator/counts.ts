// The counts of the protocol, without the product's arithmetic: a bug in that must not hide itself.

/** The largest f with 3 f < n. */
export function faultyOf(n: number): number {
  let f = 0;
  while (3 * (f + 1) < n) f++;
  return f;
}

/** The fewest votes of which two sets always share more than f members. */
export function votesThatDecide(n: number): number {
  let q = 1;
  while (2 * q - n <= faultyOf(n)) q++;
  return q;
}
