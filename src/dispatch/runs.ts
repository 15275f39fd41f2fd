// The cheapest on/off pattern of a load for given prices: exactly so many intervals on, in runs and pauses of least
// lengths. Exact dynamic programming over (interval, intervals on so far, how long it has been on or off).

export interface RunRules {
  /** Intervals in which the load may be on: [first, end). */
  readonly first: number;
  readonly end: number;
  /** Least intervals on, and least intervals off between two runs. */
  readonly block: number;
  readonly pause: number;
  /** It must stay on, or off, for so many intervals from the start. */
  readonly carriedOn: number;
  readonly carriedOff: number;
  /** Whether it is on before the first interval. */
  readonly on: boolean;
}

/** 1 for each of `least` to `count` intervals that are on, whatever costs least; null when that cannot be met. */
export function bestRuns(
  pricesUc: ArrayLike<number>,
  count: number,
  rules: RunRules,
  least: number = count,
): number[] | null {
  const n = pricesUc.length;
  const { block, pause } = rules;
  // States: 0..block-1 = on for that many intervals + 1 (the last: at least block); block..block+pause-1 = off likewise.
  const states = block + pause;
  const onFull = block - 1;
  const offFull = states - 1;
  const width = (count + 1) * states;
  let costs = new Float64Array(width).fill(Number.POSITIVE_INFINITY);
  let next = new Float64Array(width);
  // What stood before the plan stood long enough unless it is carried on.
  costs[rules.on ? onFull : offFull] = 0;
  // Before it may begin and after its end it is off: nothing is to be chosen there.
  const from = rules.on ? 0 : Math.min(n, Math.max(rules.first, rules.carriedOff));
  const until = Math.max(from, Math.min(n, Math.max(rules.end, rules.carriedOn)));
  const cameFrom = new Int16Array((until - from) * width);
  for (let t = from; t < until; t++) {
    next.fill(Number.POSITIVE_INFINITY);
    const mayOn = (t >= rules.first && t < rules.end && t >= rules.carriedOff) || t < rules.carriedOn;
    const mayOff = t >= rules.carriedOn;
    const price = pricesUc[t]!;
    const most = Math.min(count, t - from);
    for (let used = 0; used <= most; used++) {
      const row = used * states;
      for (let state = 0; state < states; state++) {
        const cost = costs[row + state]!;
        if (cost === Number.POSITIVE_INFINITY) continue;
        const isOn = state < block;
        if (mayOn && used < count && (isOn || state === offFull)) {
          const at = row + states + (isOn ? Math.min(state + 1, onFull) : 0);
          if (cost + price < next[at]!) {
            next[at] = cost + price;
            cameFrom[(t - from) * width + at] = state;
          }
        }
        if (mayOff && (!isOn || state === onFull)) {
          const at = row + (isOn ? block : Math.min(state + 1, offFull));
          if (cost < next[at]!) {
            next[at] = cost;
            cameFrom[(t - from) * width + at] = state;
          }
        }
      }
    }
    [costs, next] = [next, costs];
  }
  let state = -1;
  let used = count;
  for (let on = least; on <= count; on++) {
    for (let s = 0; s < states; s++) {
      // A run cut off by the plan's end is not a whole one.
      if (s < block && s !== onFull) continue;
      if (state >= 0 && costs[on * states + s]! >= costs[used * states + state]!) continue;
      state = s;
      used = on;
    }
  }
  if (state < 0 || costs[used * states + state] === Number.POSITIVE_INFINITY) return null;
  const pattern = new Array<number>(n).fill(0);
  for (let t = until - 1; t >= from; t--) {
    const before = cameFrom[(t - from) * width + used * states + state]!;
    if (state < block) {
      pattern[t] = 1;
      used--;
    }
    state = before;
  }
  return pattern;
}
