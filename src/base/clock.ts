// Time as a value. Two clocks, never mixed up:
//   chain time  UTC milliseconds of the market; in production equal to wall time, faster in a demo or a test;
//   monotonic   milliseconds of this machine that never jump: time-outs, leases, control loops, consensus timers.

/** Reads both clocks. Passed in wherever time is needed; nothing else reads a clock. */
export interface Clock {
  /** Chain time, ms since the epoch, UTC. */
  chainMs(): number;
  /** Monotonic wall time, ms since an arbitrary start. */
  monotonicMs(): number;
}

/** The chain clock of genesis: chain = originMs + (wall - wallOriginMs) * rate. In production rate is 1 and both origins are equal. */
export interface ChainClockTerms {
  readonly originMs: number;
  readonly wallOriginMs: number;
  readonly rate: number;
}

export function chainFromWall(terms: ChainClockTerms, wallMs: number): number {
  return Math.floor(terms.originMs + (wallMs - terms.wallOriginMs) * terms.rate);
}

/** A clock from a source of wall time and a source of monotonic time. */
export function chainClock(terms: ChainClockTerms, wallMs: () => number, monotonicMs: () => number): Clock {
  return { chainMs: () => chainFromWall(terms, wallMs()), monotonicMs };
}
