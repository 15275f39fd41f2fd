// Randomness as a value: real bytes come from the composition, repeatable ones from a seed.

/** A source of random bytes. */
export type RandomBytes = (length: number) => Uint8Array;

/** A repeatable generator of numbers in [0, 1) from a 32-bit seed (mulberry32). For simulation and tests, never for keys. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** Repeatable bytes from a seed. For simulation and tests, never for keys. */
export function seededBytes(seed: number): RandomBytes {
  const next = seededRandom(seed);
  return (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256));
}
