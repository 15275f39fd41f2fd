// What to ask for energy when loads can be placed anew by what is traded: they move in whole steps, a trade may be filled in part. A step's
// price is such that at one price for all that is traded no part of it costs more than not trading. Selling and buying alike: a Wh bought
// costs what it is worth, below zero.

export interface Piece {
  energyWh: number;
  priceUcPerWh: number;
}

/** Cost of trading an energy, loads being where they are: pieces of rising price. */
export interface Side {
  /** Cost while nothing is traded. */
  readonly untradedUc: number;
  readonly pieces: readonly Piece[];
  /** What a Wh costs that is traded beyond the pieces: no less than the last of them. */
  readonly beyondUcPerWh: number;
}

/** Energy that is traded, and what the site then costs more than without a trade. */
interface Point {
  readonly energyWh: number;
  readonly costUc: number;
}

const NOTHING_WH = 1e-6;

/**
 * Pieces by which to trade when loads are placed as for `fixed` or as for `other`, whichever costs less. Where the one takes over from the
 * other, the whole stretch stands at its mean price, or at what its dearest part costs for each Wh that is then traded altogether.
 */
export function withOther(fixed: Side, other: Side): Piece[] {
  const points = leastOf(fixed, other);
  const pieces: Piece[] = [];
  for (let from = 0; from + 1 < points.length; ) {
    // The next corner of the lower convex hull.
    let to = from + 1;
    for (let i = to + 1; i < points.length; i++) {
      if (slope(points[from]!, points[i]!) <= slope(points[from]!, points[to]!)) to = i;
    }
    let priceUcPerWh = slope(points[from]!, points[to]!);
    for (const { energyWh, costUc } of points.slice(from + 1, to + 1))
      priceUcPerWh = Math.max(priceUcPerWh, costUc / energyWh);
    pieces.push({ energyWh: points[to]!.energyWh - points[from]!.energyWh, priceUcPerWh });
    from = to;
  }
  return pieces;
}

/** What trading costs in the mean of several outcomes with these shares: Wh by Wh, as which of them it is shows later. */
export function expectedOf(sides: readonly Side[], shares: readonly number[]): Side {
  const mean = (of: (side: Side) => number): number => sides.reduce((sum, side, k) => sum + shares[k]! * of(side), 0);
  const pieces: Piece[] = [];
  let from = 0;
  for (const end of endsOf(sides.map((side) => side.pieces))) {
    const middle = (from + end) / 2;
    pieces.push({ energyWh: end - from, priceUcPerWh: mean((side) => priceAt(side.pieces, middle, side)) });
    from = end;
  }
  return { untradedUc: mean((side) => side.untradedUc), pieces, beyondUcPerWh: mean((side) => side.beyondUcPerWh) };
}

/** Of several ways to price the same side the lowest price for each Wh. Each way alone never loses; neither does this. */
export function cheapestOf(ways: readonly (readonly Piece[])[]): Piece[] {
  const pieces: Piece[] = [];
  const ends = endsOf(ways);
  let from = 0;
  for (const end of ends) {
    const middle = (from + end) / 2;
    const priceUcPerWh = Math.min(...ways.map((way) => priceAt(way, middle)));
    pieces.push({ energyWh: end - from, priceUcPerWh });
    from = end;
  }
  return pieces;
}

/** The lower of two costs at each of their corners and where they cross. */
function leastOf(fixed: Side, other: Side): Point[] {
  // An other schedule that costs less without any trade would have been the plan.
  const moreUc = Math.max(0, other.untradedUc - fixed.untradedUc);
  const points: Point[] = [{ energyWh: 0, costUc: 0 }];
  let [from, a, b] = [0, 0, moreUc];
  for (const end of endsOf([fixed.pieces, other.pieces])) {
    const middle = (from + end) / 2;
    const [ofA, ofB] = [priceAt(fixed.pieces, middle, fixed), priceAt(other.pieces, middle, other)];
    const crossesWh = (b - a) / (ofA - ofB);
    if (crossesWh > NOTHING_WH && from + crossesWh < end - NOTHING_WH)
      points.push({ energyWh: from + crossesWh, costUc: a + ofA * crossesWh });
    a += ofA * (end - from);
    b += ofB * (end - from);
    points.push({ energyWh: end, costUc: Math.min(a, b) });
    from = end;
  }
  return points;
}

function endsOf(ways: readonly (readonly Piece[])[]): number[] {
  const ends = ways.flatMap((way) => {
    let end = 0;
    return way.map(({ energyWh }) => {
      end += energyWh;
      return end;
    });
  });
  ends.sort((a, b) => a - b);
  return ends.filter((end, i) => end - (ends[i - 1] ?? 0) > NOTHING_WH);
}

/** Price of the Wh at a place; beyond the pieces none is offered, or it costs what the side says. */
function priceAt(pieces: readonly Piece[], atWh: number, side?: Side): number {
  let end = 0;
  for (const { energyWh, priceUcPerWh } of pieces) {
    end += energyWh;
    if (end > atWh) return priceUcPerWh;
  }
  return side?.beyondUcPerWh ?? Number.POSITIVE_INFINITY;
}

function slope(from: Point, to: Point): number {
  return (to.costUc - from.costUc) / (to.energyWh - from.energyWh);
}
