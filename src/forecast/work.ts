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
