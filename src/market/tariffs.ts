// The rule that turns a line's electrical data into what the market counts with: capacity, loss and tariff. Integers only,
// so that everybody who knows the rule's parameters gets the operator's figures.
//
//   capacityW     = floor(rating x loading / 100), rating = apparent power of the line at power factor 1
//   lossPpm       = round(10^6 x R x P / V^2): share lost of a reference power P over resistance R at voltage V
//   tariffUcPerWh = ceil(distance price x length + energy price x loss share)
//
// The energy price is what the operator pays for losses (the utility's sell price), the distance price its charge a
// kilometre: a trade over a longer or lossier path has to gain more than it costs the grid.

/** Parameters of the rule. */
export interface TariffRule {
  readonly distanceUcPerWhKm: number;
  readonly energyUcPerWh: number;
  /** Share of the rating that may be used, percent. */
  readonly loadingPercent: number;
}

/** 0.05 ct/kWh a kilometre, losses at 25 ct/kWh (with ¤ = 1 cent), lines used to their rating. */
export const DEFAULT_TARIFF_RULE: TariffRule = { distanceUcPerWhKm: 50, energyUcPerWh: 25_000, loadingPercent: 100 };

export interface LineData {
  readonly resistanceUohm: number;
  readonly lengthM: number;
  /** Nominal voltage that the resistance refers to, V between phases. */
  readonly nominalV: number;
  /** Null: the line has no known limit. */
  readonly ratingVa: number | null;
  /** Power for which the loss is stated, W. */
  readonly referenceW: number;
}

export interface LineTerms {
  readonly capacityW: number | null;
  readonly lossPpm: number;
  readonly tariffUcPerWh: number;
}

/** All figures whole and >= 0, `nominalV` > 0. */
export function lineTerms(line: LineData, rule: TariffRule): LineTerms {
  const lossPpm = roundDiv(
    BigInt(line.resistanceUohm) * BigInt(line.referenceW),
    BigInt(line.nominalV) * BigInt(line.nominalV),
  );
  const bounded = lossPpm > 1_000_000n ? 1_000_000n : lossPpm;
  // Both parts over one denominator: 10^6 = metres a kilometre x 1000 = parts per million.
  const parts = BigInt(rule.distanceUcPerWhKm) * BigInt(line.lengthM) * 1000n + BigInt(rule.energyUcPerWh) * bounded;
  return {
    capacityW: line.ratingVa === null ? null : Number((BigInt(line.ratingVa) * BigInt(rule.loadingPercent)) / 100n),
    lossPpm: Number(bounded),
    tariffUcPerWh: Number((parts + 999_999n) / 1_000_000n),
  };
}

function roundDiv(numerator: bigint, denominator: bigint): bigint {
  return (2n * numerator + denominator) / (2n * denominator);
}
