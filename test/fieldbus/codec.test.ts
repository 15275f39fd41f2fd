import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addressOf,
  decodePart,
  decodeText,
  encodePart,
  encodeText,
  NO_LAYOUT,
  rawRange,
} from '../../src/fieldbus/codec.ts';
import type { DataType, Order, Part } from '../../src/site/types.ts';

function part(type: DataType, over: Partial<Part> = {}): Part {
  const length = { u16: 1, s16: 1, u32: 2, s32: 2, f32: 2, u64: 4, s64: 4, f64: 4, bit: 1, bcd: 2, string: 4 }[type];
  return {
    table: 'holding',
    model: null,
    address: 10,
    type,
    length,
    byteOrder: 'big',
    wordOrder: 'big',
    scale: 1,
    offset: 0,
    scaleRegister: null,
    sentinels: [],
    bits: null,
    times: 1,
    ...over,
  };
}

const at =
  (words: readonly number[], start = 10) =>
  (_table: string, address: number) =>
    words[address - start];

describe('decode', () => {
  const cases: readonly [string, Part, number[], number | RegExp][] = [
    ['u16', part('u16'), [0xfffe], 65534],
    ['s16', part('s16'), [0xfffe], -2],
    ['s32, high word first', part('s32'), [0xffff, 0xfffe], -2],
    ['s32, low word first', part('s32', { wordOrder: 'little' }), [0xfffe, 0xffff], -2],
    ['u32, bytes swapped', part('u32', { byteOrder: 'little' }), [0x3412, 0x7856], 0x12345678],
    ['f32', part('f32'), [0x4366, 0x3333], 230.1999969482422],
    ['f32, low word first', part('f32', { wordOrder: 'little' }), [0x3333, 0x4366], 230.1999969482422],
    ['f64', part('f64'), [0x4059, 0, 0, 0], 100],
    ['u64', part('u64'), [0, 0, 1, 0], 65536],
    ['bcd', part('bcd'), [0x0012, 0x3456], 123456],
    ['bcd with a letter', part('bcd'), [0x0012, 0x34a6], /not BCD/],
    ['scale', part('u16', { scale: 0.1 }), [2301], 230.1],
    ['scale and offset', part('s16', { scale: 0.1, offset: -100 }), [1250], 25],
    ['times', part('u16', { times: -1 }), [5], -5],
    ['bits', part('u16', { bits: { from: 4, count: 3 } }), [0b0101_0000], 5],
    ['sentinel', part('u16', { sentinels: [0xffffn] }), [0xffff], /sentinel 0xffff/],
    ['sentinel of s16', part('s16', { sentinels: [0x8000n] }), [0x8000], /sentinel 0x8000/],
    ['NaN', part('f32'), [0x7fc0, 0], /not a number/],
    ['infinite', part('f32'), [0x7f80, 0], /infinite/],
    ['half read', part('u32'), [1], /not read/],
    ['no such model', part('u16', { model: 103 }), [1], /no SunSpec model 103/],
  ];
  for (const [name, entry, words, expected] of cases) {
    test(name, () => {
      const decoded = decodePart(entry, at(words), NO_LAYOUT);
      if (typeof expected === 'number') expect(decoded).toEqual({ value: expected });
      else expect('reason' in decoded ? decoded.reason : decoded.value).toMatch(expected);
    });
  }

  test('a live scale register, and one that is damaged', () => {
    const entry = part('s16', { scaleRegister: { table: 'holding', model: null, address: 11 } });
    expect(decodePart(entry, at([2301, 0xffff]), NO_LAYOUT)).toEqual({ value: 230.1 });
    expect(decodePart(entry, at([2301, 2]), NO_LAYOUT)).toEqual({ value: 230100 });
    expect(decodePart(entry, at([2301, 0x8000]), NO_LAYOUT)).toEqual({ reason: 'scale register 11 says 10^-32768' });
    expect(decodePart(entry, at([2301]), NO_LAYOUT)).toEqual({ reason: 'scale register 11 not read' });
  });

  test('places in a SunSpec model follow its address', () => {
    const layout = new Map([[103, { address: 40069, length: 50 }]]);
    expect(addressOf({ table: 'holding', model: 103, address: 14 }, layout)).toBe(40083);
    expect(addressOf({ table: 'holding', model: 103, address: 14 }, NO_LAYOUT)).toBe(null);
  });

  test('texts', () => {
    expect(decodeText(encodeText('SolarEdge ', 8), 'big')).toBe('SolarEdge');
    expect(decodeText([0x6f53, 0x616c], 'little')).toBe('Sola');
    expect(decodeText([0x0741, 0x4200, 0x4343], 'big')).toBe('AB');
  });
});

describe('encode', () => {
  const types: DataType[] = ['u16', 's16', 'u32', 's32', 'u64', 's64', 'bcd'];
  const orders = fc.constantFrom<Order>('big', 'little');

  test('what is written is read back, whatever the type, order, scale and sign', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        orders,
        orders,
        fc.constantFrom(1, 0.1, 0.01, 10, 1000),
        fc.constantFrom(0, -40, 12.5),
        fc.constantFrom(1, -1),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (type, byteOrder, wordOrder, scale, offset, times, where) => {
          const entry = part(type, { byteOrder, wordOrder, scale, offset, times });
          const { min, max } = rawRange(entry);
          const bound = Math.min(max, 2 ** 52);
          const raw = Math.round(Math.max(min, -bound) + where * (bound - Math.max(min, -bound)));
          const value = (raw * scale + offset) * times;
          const words = encodePart(entry, value, () => undefined, NO_LAYOUT);
          expect(words).toHaveLength(entry.length);
          for (const word of words) expect(word >= 0 && word <= 0xffff && Number.isInteger(word)).toBe(true);
          const decoded = decodePart(entry, at(words), NO_LAYOUT);
          expect('value' in decoded && Math.abs(decoded.value - value)).toBeLessThanOrEqual(
            scale * 0.51 + Math.abs(value) * 1e-12,
          );
        },
      ),
    );
  });

  test('floats come back exactly', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), orders, orders, (value, byteOrder, wordOrder) => {
        const entry = part('f32', { byteOrder, wordOrder });
        expect(decodePart(entry, at(encodePart(entry, value, () => undefined, NO_LAYOUT)), NO_LAYOUT)).toEqual({
          value: value + 0,
        });
      }),
    );
  });

  test('what does not fit is refused, never cut', () => {
    for (const [entry, value] of [
      [part('u16'), 65_536],
      [part('u16'), -1],
      [part('s16'), 32_768],
      [part('u16', { scale: 0.1 }), 6_553.6],
      [part('u16', { bits: { from: 0, count: 2 } }), 4],
      [part('u16'), Number.NaN],
    ] as const) {
      expect(() => encodePart(entry, value, () => 0, NO_LAYOUT)).toThrow(/does not fit/);
    }
  });

  test('a field of bits leaves the others alone', () => {
    const entry = part('u16', { bits: { from: 4, count: 2 } });
    expect(encodePart(entry, 1, at([0b1111_0000_1111]), NO_LAYOUT)).toEqual([0b1111_0001_1111]);
  });
});

test('decoding never throws and never invents', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<DataType>('u16', 's16', 'u32', 's32', 'u64', 's64', 'f32', 'f64', 'bcd', 'bit', 'string'),
      fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 5 }),
      fc.boolean(),
      (type, words, scaled) => {
        const entry = part(type, scaled ? { scaleRegister: { table: 'holding', model: null, address: 14 } } : {});
        const decoded = decodePart(entry, at(words), NO_LAYOUT);
        if ('value' in decoded) expect(Number.isFinite(decoded.value)).toBe(true);
        else expect(decoded.reason).not.toBe('');
        if (words.length < entry.length) expect(decoded).toHaveProperty('reason');
      },
    ),
  );
});
