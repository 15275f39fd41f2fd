// Which level in each interval meets a need at least cost, where the cost of each interval is known by itself: an exact search over the
// energy still to be had. A load whose steps differ in size meets a need of 2,625 Wh by 900 + 3 × 575, which no greedy order finds.

/** States of the energy to be had; a finer common measure of the steps is made coarser. */
const STATES_MAX = 600;

/**
 * `costsUc[t][k]`: cost of level k in interval t, infinite where it must not be. `energiesWh[k]`: energy of level k, rising from 0.
 * Returns the level of each interval such that at least `needWh` is had and hardly more than `mostWh`, or null if that cannot be.
 */
export function cheapestLevels(
  costsUc: readonly (readonly number[])[],
  energiesWh: readonly number[],
  needWh: number,
  mostWh: number,
): number[] | null {
  const unitWh = Math.max(commonMeasure(energiesWh), mostWh / STATES_MAX);
  // Rounded towards less for what is had, more for what is needed: what is planned meets the need. A hair less than a whole one is one.
  const units = energiesWh.map((wh) => Math.floor(wh / unitWh + 1e-6));
  const need = Math.ceil(needWh / unitWh - 1e-6);
  const most = Math.floor(mostWh / unitWh + 1e-6);
  if (most < need) return null;
  /** By what was had in later intervals. */
  let least = new Float64Array(most + 1).fill(Number.POSITIVE_INFINITY);
  least[0] = 0;
  const chosen: Uint8Array[] = [];
  for (let t = costsUc.length - 1; t >= 0; t--) {
    const costs = costsUc[t]!;
    const withThis = new Float64Array(most + 1).fill(Number.POSITIVE_INFINITY);
    const choice = new Uint8Array(most + 1);
    for (let k = 0; k < costs.length; k++) {
      const [costUc, unit] = [costs[k]!, units[k]!];
      if (costUc === Number.POSITIVE_INFINITY) continue;
      for (let had = unit; had <= most; had++) {
        const totalUc = costUc + least[had - unit]!;
        if (totalUc < withThis[had]!) {
          withThis[had] = totalUc;
          choice[had] = k;
        }
      }
    }
    least = withThis;
    chosen[t] = choice;
  }
  let had = need;
  for (let other = need; other <= most; other++) if (least[other]! < least[had]!) had = other;
  if (least[had] === Number.POSITIVE_INFINITY) return null;
  return costsUc.map((_, t) => {
    const level = chosen[t]![had]!;
    had -= units[level]!;
    return level;
  });
}

/** Of energies in steps of a thousandth of a Wh. */
function commonMeasure(energiesWh: readonly number[]): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  return energiesWh.reduce((measure, wh) => gcd(measure, Math.round(wh * 1000)), 0) / 1000;
}
