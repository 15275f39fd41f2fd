// Long work in small pieces: a generator yields between pieces, so that a gateway's loops never wait for a fit.

/** Work that yields after each piece and returns its result. */
export type Work<T> = Generator<void, T, void>;

/** Does all pieces at once. */
export function finish<T>(work: Work<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** Does at most so many pieces; the result once there is one, else null. */
export function advance<T>(work: Work<T>, pieces: number): { readonly result: T } | null {
  for (let i = 0; i < pieces; i++) {
    const { done, value } = work.next();
    if (done === true) return { result: value };
  }
  return null;
}
