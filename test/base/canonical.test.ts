import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../../src/base/bytes.ts';
import { canonicalBytes, canonicalText, DEPTH_MAX, type Json, parseCanonical } from '../../src/base/canonical.ts';

test.each<[string, Json, string]>([
  [
    'keys sorted by UTF-16 units',
    { b: 1, a: 2, '\u{1F600}': 3, '\uFF61': 4 } as Json,
    '{"a":2,"b":1,"\u{1F600}":3,"\uFF61":4}',
  ],
  ['nested', { z: [true, null, { y: -5 }] }, '{"z":[true,null,{"y":-5}]}'],
  ['escapes as RFC 8785', '\u0000\n"\\/\u20ac', '"\\u0000\\n\\"\\\\/\u20ac"'],
])('%s', (_name, value, text) => {
  expect(canonicalText(value)).toBe(text);
});

test.each<[string, unknown]>([
  ['a fraction', 1.5],
  ['over 2^53', 2 ** 53],
  ['minus zero', -0],
  ['NaN', Number.NaN],
  ['a lone surrogate', '\ud800'],
  ['not NFC', 'e\u0301'],
  ['a key not NFC', { 'e\u0301': 1 }],
  ['undefined', { a: undefined }],
  ['__proto__', JSON.parse('{"__proto__":1}')],
  ['too deep', Array.from({ length: DEPTH_MAX + 2 }).reduce<unknown>((inner) => [inner], 1)],
])('%s has no canonical form', (_name, value) => {
  expect(() => canonicalText(value as Json)).toThrow();
});

test.each([
  ['spaces', '{ "a":1}'],
  ['unsorted', '{"b":1,"a":1}'],
  ['a key twice', '{"a":1,"a":1}'],
  ['exponent', '1e3'],
  ['1.0', '1.0'],
  ['-0', '-0'],
  ['needless escape', '"\\u0041"'],
  ['a byte order mark', '\ufeff1'],
  ['trailing newline', '1\n'],
  ['__proto__', '{"__proto__":1}'],
])('bytes with %s are refused', (_name, text) => {
  expect(() => parseCanonical(utf8(text))).toThrow();
});

test('invalid UTF-8 is refused, not replaced', () => {
  expect(() => parseCanonical(Uint8Array.of(0x22, 0xff, 0x22))).toThrow('UTF-8');
});

test('property: what has a canonical form decodes to itself, whatever the order of its keys', () => {
  const json = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.maxSafeInteger().map((n) => n + 0),
      fc.boolean(),
      fc.constant(null),
      fc.string().map((s) => s.normalize('NFC')),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(
        fc
          .string()
          .filter((key) => key !== '__proto__')
          .map((s) => s.normalize('NFC')),
        tie('value'),
        { maxKeys: 4 },
      ),
    ) as fc.Arbitrary<Json>,
  })).value;
  fc.assert(
    fc.property(json, (value) => {
      const bytes = canonicalBytes(value);
      expect(canonicalBytes(parseCanonical(bytes))).toEqual(bytes);
      expect(JSON.parse(canonicalText(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test('property: hex and base64url go back and forth; other spellings are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      expect([...fromHex(toHex(bytes))]).toEqual([...bytes]);
      expect([...fromBase64url(toBase64url(bytes))]).toEqual([...bytes]);
    }),
  );
  for (const text of ['AA==', 'AB', 'A', '++++', 'AA\n', ' AAAA']) expect(() => fromBase64url(text), text).toThrow();
  for (const text of ['0', 'AA', 'zz', '0x00']) expect(() => fromHex(text), text).toThrow();
});
