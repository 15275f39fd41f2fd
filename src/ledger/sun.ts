// The sun's height in integers, so that every validator finds the same: a table of sines and the low-precision formulas
// of the Astronomical Almanac ("Low precision formulas for the Sun", about 0.01 degrees from 1950 to 2050).
// Angles are thousandths of a degree, sines parts per million.

import { floorDiv, mulDivFloor } from '../base/integers.ts';

/** 2000-01-01T12:00Z, the epoch of the formulas. */
const J2000_MS = 946_728_000_000;
const DAY_MS = 86_400_000;
const PPM = 1_000_000;

/** round(10^6 sin d) for d = 0..90 degrees. */
const SINES = [
  0, 17452, 34899, 52336, 69756, 87156, 104528, 121869, 139173, 156434, 173648, 190809, 207912, 224951, 241922, 258819,
  275637, 292372, 309017, 325568, 342020, 358368, 374607, 390731, 406737, 422618, 438371, 453990, 469472, 484810,
  500000, 515038, 529919, 544639, 559193, 573576, 587785, 601815, 615661, 629320, 642788, 656059, 669131, 681998,
  694658, 707107, 719340, 731354, 743145, 754710, 766044, 777146, 788011, 798636, 809017, 819152, 829038, 838671,
  848048, 857167, 866025, 874620, 882948, 891007, 898794, 906308, 913545, 920505, 927184, 933580, 939693, 945519,
  951057, 956305, 961262, 965926, 970296, 974370, 978148, 981627, 984808, 987688, 990268, 992546, 994522, 996195,
  997564, 998630, 999391, 999848, 1000000,
] as const;

/** Sine of an angle, interpolated between whole degrees (error below 40 ppm). */
export function sinePpm(angleMdeg: number): number {
  const angle = angleMdeg - floorDiv(angleMdeg, 360_000) * 360_000;
  if (angle >= 180_000) return 0 - sinePpm(angle - 180_000);
  const folded = angle > 90_000 ? 180_000 - angle : angle;
  const degree = floorDiv(folded, 1000);
  const low = SINES[degree] as number;
  const high = SINES[degree + 1] ?? low;
  return low + floorDiv((high - low) * (folded - degree * 1000), 1000);
}

function cosinePpm(angleMdeg: number): number {
  return sinePpm(angleMdeg + 90_000);
}

function product(a: number, b: number): number {
  return floorDiv(a * b, PPM);
}

/** Sine of the sun's height over a place at an instant, ppm. Latitude + north, longitude + east, tenths of a degree. */
export function sunSinePpm(timeMs: number, latitudeDeg10: number, longitudeDeg10: number): number {
  const sinceMs = timeMs - J2000_MS;
  const longitude = 280_460 + mulDivFloor(sinceMs, 9_856_474, DAY_MS * 10_000);
  const anomaly = 357_528 + mulDivFloor(sinceMs, 9_856_003, DAY_MS * 10_000);
  const ecliptic = longitude + floorDiv(1915 * sinePpm(anomaly) + 20 * sinePpm(2 * anomaly), PPM);
  const obliquity = 23_439;
  // The sun as a vector over the equator: no arc tangent is needed.
  const x = cosinePpm(ecliptic);
  const y = product(cosinePpm(obliquity), sinePpm(ecliptic));
  const z = product(sinePpm(obliquity), sinePpm(ecliptic));
  const sidereal = 280_461 + mulDivFloor(sinceMs, 36_098_564_737, DAY_MS * 100_000) + longitudeDeg10 * 100;
  const equatorial = product(x, cosinePpm(sidereal)) + product(y, sinePpm(sidereal));
  const latitude = latitudeDeg10 * 100;
  return product(z, sinePpm(latitude)) + product(equatorial, cosinePpm(latitude));
}

/**
 * Most of its rated power that a PV plant of any tilt can give under a clear sky, by the sun's height. Direct light
 * 1367 x 0.7^(AM^0.678) W/m2 (Meinel) with the air mass of Kasten and Young, plus 120 W/m2 diffuse, times 1.25 for
 * bright cloud edges and cold modules, each row with the value of its upper end. Below -3 degrees nothing is generated.
 */
const BOUNDS: readonly { readonly fromSinePpm: number; readonly ppm: number }[] = [
  { fromSinePpm: 342_020, ppm: 1_000_000 }, // 20 degrees
  { fromSinePpm: 258_819, ppm: 970_000 }, // 15
  { fromSinePpm: 173_648, ppm: 860_000 }, // 10
  { fromSinePpm: 87_156, ppm: 690_000 }, // 5
  { fromSinePpm: 34_899, ppm: 450_000 }, // 2
  { fromSinePpm: 0, ppm: 270_000 },
  { fromSinePpm: -52_336, ppm: 180_000 }, // -3
];

/** Longest step between the instants looked at: the sun climbs 1.25 degrees in it at most, well within the bounds' margin. */
const STEP_MS = 5 * 60_000;

/** Most of its rated power that PV at a place can give during `[startMs, endMs)`, ppm. */
export function pvBoundPpm(startMs: number, endMs: number, latitudeDeg10: number, longitudeDeg10: number): number {
  let highest = sunSinePpm(endMs, latitudeDeg10, longitudeDeg10);
  for (let timeMs = startMs; timeMs < endMs; timeMs += STEP_MS) {
    highest = Math.max(highest, sunSinePpm(timeMs, latitudeDeg10, longitudeDeg10));
  }
  return BOUNDS.find(({ fromSinePpm }) => highest >= fromSinePpm)?.ppm ?? 0;
}
