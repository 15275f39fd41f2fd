// Exact integer arithmetic for everything that is signed or replicated: no float ever enters.

import { BugError } from './errors.ts';

/** Returns `value`; throws a `BugError` if it is not a safe integer. */
export function safeInteger(value: number, what: string): number {
  if (!Number.isSafeInteger(value)) throw new BugError(`${what} is not a safe integer: ${value}`);
  return value;
}

/** floor(a * b / divisor), exact also where a * b exceeds 2^53. All safe integers, divisor > 0. */
export function mulDivFloor(a: number, b: number, divisor: number): number {
  const product = a * b;
  if (Number.isSafeInteger(product)) return floorDiv(product, divisor);
  const big = BigInt(a) * BigInt(b);
  const d = BigInt(divisor);
  const quotient = big / d;
  return safeInteger(Number(big < 0n && quotient * d !== big ? quotient - 1n : quotient), 'quotient');
}

/** floor(numerator / denominator) for safe integers, denominator > 0. */
export function floorDiv(numerator: number, denominator: number): number {
  const remainder = numerator % denominator;
  return (numerator - remainder) / denominator - (remainder < 0 ? 1 : 0);
}

/** ceil(numerator / denominator) for safe integers, denominator > 0. */
export function ceilDiv(numerator: number, denominator: number): number {
  return 0 - floorDiv(-numerator, denominator);
}

/** Bounds a number from both sides. */
export function clamp(value: number, min: number, max: number): number {
  return Math.max(min, Math.min(max, value));
}

/** Three-way comparison by code units: the order of ids everywhere (no locale). */
export function compareStrings(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
