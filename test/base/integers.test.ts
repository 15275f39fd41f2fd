import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ceilDiv, floorDiv, mulDivFloor } from '../../src/base/integers.ts';

const integer = fc.maxSafeInteger();
const divisor = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const bigFloor = (a: bigint, b: bigint): bigint => (a >= 0n ? a / b : -((-a + b - 1n) / b));

test('property: floor and ceiling agree with big integers', () => {
  fc.assert(
    fc.property(integer, divisor, (a, b) => {
      expect(BigInt(floorDiv(a, b))).toBe(bigFloor(BigInt(a), BigInt(b)));
      expect(BigInt(ceilDiv(a, b))).toBe(-bigFloor(BigInt(-a), BigInt(b)));
      expect(Object.is(floorDiv(a, b), -0) || Object.is(ceilDiv(a, b), -0)).toBe(false);
    }),
  );
});

test('property: mulDivFloor is exact beyond 2^53 and throws rather than round', () => {
  fc.assert(
    fc.property(integer, integer, divisor, (a, b, d) => {
      const exact = bigFloor(BigInt(a) * BigInt(b), BigInt(d));
      const fits = exact >= -BigInt(Number.MAX_SAFE_INTEGER) && exact <= BigInt(Number.MAX_SAFE_INTEGER);
      if (fits) expect(BigInt(mulDivFloor(a, b, d))).toBe(exact);
      else expect(() => mulDivFloor(a, b, d)).toThrow('safe integer');
    }),
  );
});
