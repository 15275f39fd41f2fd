// What a schema refused, in people's words; bytes that are no text.

import { expect, test } from 'vitest';
import { z } from 'zod';
import { describeError } from '../../src/base/errors.ts';
import { fileReason, textOfFile } from '../../src/base/text.ts';
import { wordsOf } from '../../src/base/words.ts';

const schema = z.strictObject({
  energyWh: z.int().min(0).max(10),
  name: z.string().min(1).max(4),
  list: z.array(z.number()).max(1),
  kind: z.enum(['supply', 'demand']),
  phases: z.union([z.literal(1), z.literal(3)]),
  date: z.string().regex(/^\d+$/, 'is a date such as 2026-12-25'),
});
const RIGHT = { energyWh: 1, name: 'a', list: [], kind: 'supply', phases: 1, date: '1' };

test.each<[object, string]>([
  [{ energyWh: undefined }, 'energyWh: is missing (a number)'],
  [{ energyWh: 1.5 }, 'energyWh: a whole number is wanted, not 1.5'],
  [{ energyWh: '5' }, 'energyWh: a number is wanted, not the text "5": leave the quotes out'],
  [{ energyWh: null }, 'energyWh: a number is wanted, not nothing (null)'],
  [{ energyWh: -1 }, 'energyWh: must be at least 0, not -1'],
  [{ energyWh: 11 }, 'energyWh: must be at most 10, not 11'],
  [{ name: '' }, 'name: must not be empty'],
  [{ name: 'abcde' }, 'name: must have at most 4 characters'],
  [{ name: 5 }, 'name: a text is wanted, not the number 5: put it in quotes'],
  [{ list: [1, 2] }, 'list: must have at most 1 entry'],
  [{ list: ['x'] }, 'list.0: a number is wanted, not "x"'],
  [{ kind: 'suply' }, 'kind: must be supply or demand, not "suply"; did you mean supply?'],
  [{ phases: 2 }, 'phases: must be 1 or 3, not 2'],
  [{ date: 'x' }, 'date: is a date such as 2026-12-25'],
  [{ more: 1 }, 'unknown key "more"'],
  [{ energyWh: -1, phases: 2 }, 'energyWh: must be at least 0, not -1; phases: must be 1 or 3, not 2'],
])('%j', (change, expected) => {
  const value = { ...RIGHT, ...change };
  const { error } = schema.safeParse(value);
  expect(wordsOf(error as z.ZodError, value)).toBe(expected);
});

test('what is told has a bound, whatever was sent', () => {
  const value = { list: Array.from({ length: 1000 }, () => 'x'.repeat(1000)), ['k'.repeat(5000)]: 1 };
  const { error } = schema.safeParse(value);
  expect(wordsOf(error as z.ZodError, value).length).toBeLessThan(1500);
});

test.each<[Uint8Array, string]>([
  [Buffer.from('a\nb: M\xfcller', 'latin1'), 'a.csv:2:5 here is a letter that is not UTF-8'],
  [Buffer.from([0xff, 0xfe, 0x61, 0]), 'a.csv:1:1 is UTF-16, not UTF-8'],
])('bytes that are no UTF-8', (bytes, expected) => {
  let told = '';
  try {
    textOfFile(bytes, 'a.csv');
  } catch (error) {
    told = describeError(error);
  }
  expect(told.startsWith(expected)).toBe(true);
  expect(textOfFile(Buffer.from('\uFEFFü'), 'a.csv')).toBe('ü');
});

test('why a file cannot be read', () => {
  expect(fileReason({ code: 'EISDIR', message: 'EISDIR: illegal operation' })).toBe('it is a folder, not a file');
  expect(fileReason(new Error('broken'))).toBe('broken');
});
